//! A client's socket, of the event loop's kind.
//!
//! Owns: the call that `Write` has no word for.
//! Does not know: when anything is the last.

use std::io::{self, IoSlice, Read, Write};

use mio::net::TcpStream;

use crate::net::transport::Stream;

/// One client's, and nobody else's: none of it is shared with another process.
#[derive(Debug)]
pub struct Socket(pub TcpStream);

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Socket {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.write(octets)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Socket {
    #[cfg(target_os = "linux")]
    fn write_last(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
        let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
        self.0.try_io(|| Ok(sendmsg(&self.0, parts, &mut SendAncillaryBuffer::default(), flags)?))
    }

    fn end(&mut self) {
        // A client that has gone needs no end.
        let _ = self.0.shutdown(std::net::Shutdown::Write);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream as Peer};

    use super::*;

    #[test]
    fn what_is_last_arrives_and_then_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peer = Peer::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        accepted.set_nonblocking(true).unwrap();
        let mut socket = Socket(TcpStream::from_std(accepted));
        let mut count = socket.write(b"+OK bye").unwrap();
        count += socket.write_last(&[IoSlice::new(b"\r"), IoSlice::new(b"\n")]).unwrap();
        socket.end();
        let mut heard = String::new();
        peer.read_to_string(&mut heard).expect("an orderly end while the socket is still open");
        assert_eq!((heard.as_str(), count), ("+OK bye\r\n", 9));
        drop(peer);
        socket.end();
    }
}
