//! Octets over a stream, in clear text or TLS; above it the two look the same.
//!
//! Owns: the TLS connection, its records and its alerts. The only user of rustls's connection.
//! Does not know: mio, what the octets mean. The stream is anything that reads and writes without blocking.

use std::{
    io::{self, ErrorKind, IoSlice, Read, Write},
    sync::Arc,
};

use rustls::{ProtocolVersion, ServerConfig, ServerConnection};

use super::outbox::Outbox;

/// What octets go over.
pub trait Stream: Read + Write {
    /// Writes of the last octets of all, for which [`Stream::end`] may wait: then they leave in one segment with it, and
    /// the client is woken once.
    ///
    /// # Errors
    /// As [`Write::write_vectored`].
    fn write_last(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_vectored(parts)
    }

    /// Nothing follows.
    fn end(&mut self) {}
}

/// How octets go over the stream.
#[derive(Debug)]
pub enum Transport {
    /// As they are.
    Plain,
    /// In TLS records.
    Tls(Box<ServerConnection>),
}

/// Octets of TLS records that may wait inside rustls.
const TLS_BUFFER: usize = 64 * 1024;

impl Transport {
    /// TLS from the next octet on.
    ///
    /// # Errors
    /// What rustls has against the configuration.
    pub fn tls(config: Arc<ServerConfig>) -> Result<Transport, rustls::Error> {
        let mut connection = ServerConnection::new(config)?;
        connection.set_buffer_limit(Some(TLS_BUFFER));
        Ok(Transport::Tls(Box::new(connection)))
    }

    /// Reads what the client sent; 0 is its orderly end.
    ///
    /// # Errors
    /// `WouldBlock` where nothing is there; `UnexpectedEof` where TLS ended without close_notify;
    /// `InvalidData` where it is no TLS. What the handshake or an alert wants to say leaves with
    /// the next [`Transport::flush`], which must follow each time.
    pub fn fill(&mut self, stream: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
        let Transport::Tls(connection) = self else { return uninterrupted(|| stream.read(into)) };
        loop {
            // What rustls holds already raises no event of the socket: it is asked first.
            match connection.reader().read(into) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                done => return done,
            }
            if uninterrupted(|| connection.read_tls(stream))? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if let Err(error) = connection.process_new_packets() {
                return Err(io::Error::new(ErrorKind::InvalidData, error));
            }
        }
    }

    /// Writes until nothing waits: neither in `outbox` nor inside rustls.
    ///
    /// What is in `outbox` stays there as long as the handshake lasts.
    ///
    /// # Errors
    /// `WouldBlock` where the stream takes no more now.
    pub fn flush(&mut self, stream: &mut impl Write, outbox: &mut Outbox) -> io::Result<()> {
        loop {
            match self {
                Transport::Plain if outbox.is_empty() => return Ok(()),
                Transport::Plain => {
                    let count = uninterrupted(|| stream.write(outbox.front()))?;
                    if count == 0 {
                        return Err(ErrorKind::WriteZero.into());
                    }
                    outbox.consume(count);
                }
                Transport::Tls(connection) => {
                    // Before records that wait are written, so that tickets and greeting share a segment.
                    if !connection.is_handshaking() && !outbox.is_empty() {
                        let count = connection.writer().write(outbox.front())?;
                        outbox.consume(count);
                    }
                    if !connection.wants_write() {
                        return Ok(());
                    }
                    self.write_records(stream)?;
                }
            }
        }
    }

    /// Writes as [`Transport::flush`] does, the last octets of this connection, and the goodbye of TLS behind them.
    /// Then the stream is to end.
    ///
    /// # Errors
    /// `WouldBlock` where the stream takes no more now.
    pub fn finish(&mut self, stream: &mut impl Stream, outbox: &mut Outbox) -> io::Result<()> {
        let last = &mut Last(stream);
        self.flush(last, outbox)?;
        if let Transport::Tls(connection) = self {
            connection.send_close_notify();
        }
        self.flush(last, outbox)
    }

    #[cfg(test)]
    fn is_handshaking(&self) -> bool {
        matches!(self, Transport::Tls(connection) if connection.is_handshaking())
    }

    /// For logs: `1.2`, `1.3` or `no`.
    pub fn tls_version(&self) -> &'static str {
        match self {
            Transport::Plain => "no",
            Transport::Tls(connection) => match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "1.3",
                Some(ProtocolVersion::TLSv1_2) => "1.2",
                _ => "?",
            },
        }
    }

    fn write_records(&mut self, stream: &mut impl Write) -> io::Result<()> {
        let Transport::Tls(connection) = self else { return Ok(()) };
        while connection.wants_write() {
            if uninterrupted(|| connection.write_tls(stream))? == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }
}

/// Writes nothing but last octets.
struct Last<'a, S>(&'a mut S);

impl<S: Stream> Write for Last<'_, S> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.write_last(&[IoSlice::new(octets)])
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_last(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn uninterrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests;
