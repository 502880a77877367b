//! What systemd hands to a service, and what it wants to hear from one: sd_listen_fds(3), sd_notify(3).
//!
//! Owns: the variables of the environment, the names of sockets, the form of a message.
//! Does not know: what the server does. Without systemd nothing comes and nothing is said.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// A socket that systemd opened, and what the unit calls it: `FileDescriptorName=`.
#[derive(Debug)]
pub struct Socket {
    /// It listens already.
    pub socket: TcpListener,
    /// `pop3` or `pop3s`, if all is well.
    pub name: String,
}

/// The sockets that were handed over, none where none were.
///
/// # Errors
/// One of them is no listening TCP socket.
pub fn sockets() -> io::Result<Vec<Socket>> {
    // They are counted by a variable that the crate takes away; the names stay.
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut handed = listenfd::ListenFd::from_env();
    let mut found = vec![];
    for at in 0..handed.len() {
        let name = names.next().unwrap_or_default().to_owned();
        if let Some(socket) = handed.take_tcp_listener(at)? {
            // `Accept=yes` would hand over a connection instead.
            if !rustix::net::sockopt::socket_acceptconn(&socket)? {
                return Err(io::Error::other("it does not listen; the unit must have Accept=no"));
            }
            found.push(Socket { socket, name });
        }
    }
    Ok(found)
}

/// The way to systemd, where there is one.
#[derive(Debug, Default)]
pub struct Notifier(Option<(UnixDatagram, SocketAddr)>);

impl Notifier {
    /// As `NOTIFY_SOCKET` says. A socket that can't be had is logged, and then nothing is said.
    pub fn from_environment() -> Notifier {
        let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Notifier::default();
        };
        match Notifier::to(&name) {
            Ok(notifier) => notifier,
            Err(error) => {
                log::warn!("cannot tell systemd anything at {name:?}: {error}");
                Notifier::default()
            }
        }
    }

    fn to(name: &OsStr) -> io::Result<Notifier> {
        let address = match name.as_bytes() {
            [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
            _ => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        // A systemd that is busy must not stop the loop.
        socket.set_nonblocking(true)?;
        Ok(Notifier(Some((socket, address))))
    }

    /// Says `state`: lines of `NAME=value`.
    pub fn say(&self, state: &str) {
        let Some((socket, address)) = &self.0 else { return };
        if let Err(error) = socket.send_to_addr(state.as_bytes(), address) {
            log::debug!("cannot tell systemd {state:?}: {error}");
        }
    }

    /// Says that files are being read anew; `READY=1` is due afterwards.
    pub fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let now = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={now}"));
    }

    /// Whether anybody listens.
    pub fn is_there(&self) -> bool {
        self.0.is_some()
    }
}

/// How often `WATCHDOG=1` is due: half of what systemd waits for. `None` where it does not wait for this process.
pub fn watchdog() -> Option<Duration> {
    // The keeper's server is told no process: systemd means the keeper, and the loop to be watched is the server's.
    let ours = env::var("WATCHDOG_PID").map_or(true, |pid| pid.parse() == Ok(std::process::id()));
    let micros: u64 = env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    (ours && micros > 0).then(|| Duration::from_micros(micros) / 2)
}
