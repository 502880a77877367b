//! The sockets that clients come to.
//!
//! Owns: how a listening socket is made, and which options those inherit that come through it.
//! Does not know: who accepts, or what is spoken.

use std::{io, net::SocketAddr, os::fd::AsFd, time::Duration};

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with, sockopt};

/// What is spoken at a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Clear text until STLS.
    Pop3,
    /// TLS from the first octet.
    Pop3s,
}

/// A bound socket.
#[derive(Debug)]
pub struct Listener {
    /// It does not block.
    pub socket: std::net::TcpListener,
    /// What is spoken there.
    pub kind: Kind,
}

impl Listener {
    /// A socket that somebody else has opened, with the same options as one of [`bind`].
    ///
    /// # Errors
    /// It is no TCP socket.
    pub fn adopt(socket: std::net::TcpListener, kind: Kind) -> io::Result<Listener> {
        socket.set_nonblocking(true)?;
        inheritable(&socket)?;
        Ok(Listener { socket, kind })
    }
}

/// Connections that may wait in the kernel.
const BACKLOG: i32 = 1024;

/// A client that has said nothing for so long is asked whether it is still there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// And again after so long.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// And after so many questions without an answer its connection is over: two minutes after its last octet.
const KEEPALIVE_PROBES: u32 = 3;

/// Binds the addresses of one kind. `[::]` takes IPv4 too, unless `0.0.0.0` has the same port.
///
/// # Errors
/// The address, and why it can't be had.
pub fn bind(addresses: &[SocketAddr], kind: Kind) -> Result<Vec<Listener>, (SocketAddr, io::Error)> {
    let mut listeners = vec![];
    for &address in addresses {
        let has_v4_twin = addresses.iter().any(|other| other.is_ipv4() && other.port() == address.port());
        let socket = match listen(address, has_v4_twin) {
            // A machine without IPv6: `[::]`, the default, means every address that there is.
            Err(error) if is_without_ipv6(&error) && address.ip().is_unspecified() && !has_v4_twin => {
                let v4 = SocketAddr::from(([0, 0, 0, 0], address.port()));
                log::info!("this machine has no IPv6: listening at {v4} instead of {address}");
                listen(v4, false)
            }
            other => other,
        };
        listeners.push(Listener { socket: socket.map_err(|error| (address, error))?, kind });
    }
    Ok(listeners)
}

fn listen(address: SocketAddr, v6_only: bool) -> io::Result<std::net::TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, v6_only)?;
    }
    inheritable(&socket)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Those who come in inherit all of these: no call for each of them.
fn inheritable(socket: impl AsFd + Copy) -> io::Result<()> {
    sockopt::set_tcp_nodelay(socket, true)?;
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(socket, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(socket, KEEPALIVE_PROBES)?;
    // No TCP_USER_TIMEOUT: Linux would also cut off a client that answers and merely rests from reading.
    Ok(())
}

fn is_without_ipv6(error: &io::Error) -> bool {
    let errno = rustix::io::Errno::from_io_error(error);
    matches!(errno, Some(rustix::io::Errno::AFNOSUPPORT | rustix::io::Errno::ADDRNOTAVAIL))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn an_address_in_use_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let (named, error) = bind(&[address], Kind::Pop3).unwrap_err();
        assert_eq!((named, error.kind()), (address, io::ErrorKind::AddrInUse));
    }

    #[test]
    fn who_comes_in_is_asked_whether_it_is_still_there() {
        let listener = bind(&["127.0.0.1:0".parse().unwrap()], Kind::Pop3).unwrap().remove(0).socket;
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        listener.set_nonblocking(false).unwrap();
        let (came, _) = listener.accept().unwrap();
        assert!(sockopt::socket_keepalive(&came).unwrap() && sockopt::tcp_nodelay(&came).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&came).unwrap(), Duration::from_secs(60));
        assert_eq!(sockopt::tcp_keepintvl(&came).unwrap(), Duration::from_secs(20));
        assert_eq!(sockopt::tcp_keepcnt(&came).unwrap(), 3);
    }

    #[test]
    fn the_unspecified_ipv6_address_takes_ipv4_too() {
        let listeners = bind(&["[::]:0".parse().unwrap()], Kind::Pop3).unwrap();
        let port = listeners[0].socket.local_addr().unwrap().port();
        TcpStream::connect(("127.0.0.1", port)).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let both = [SocketAddr::from(([0; 8], free)), SocketAddr::from(([0; 4], free))];
        assert_eq!(bind(&both, Kind::Pop3).unwrap().len(), 2);
    }
}
