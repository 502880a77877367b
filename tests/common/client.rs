//! A POP3 client that blocks, with a deadline for everything, over clear text or TLS.
//!
//! Owns: lines, multi-line replies, the ways a connection ends.
//! Does not know: what a reply ought to be.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Stream};

use super::certificates::client_config;
use super::{DEADLINE, Server};

/// The three ways to a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Channel {
    /// Clear text.
    Plain,
    /// TLS behind STLS.
    Stls,
    /// TLS from the first octet.
    Tls,
}

/// A connection, and what it has read and nobody has looked at.
pub struct Client {
    wire: Wire,
    inbox: Vec<u8>,
    at: usize,
    end: Option<End>,
    /// The greeting, without its line end.
    pub greeting: String,
}

/// How the server ended a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// FIN over clear text, close_notify over TLS.
    Clean,
    /// TLS that was cut without close_notify.
    Cut,
    /// RST, or TLS that broke.
    Reset,
}

enum Wire {
    Plain(TcpStream),
    Tls(Box<ClientConnection>, TcpStream),
}

impl Client {
    /// Connects over `channel` and reads the greeting.
    pub fn connect(server: &Server, channel: Channel) -> Client {
        Client::connect_at(if channel == Channel::Tls { server.tls } else { server.plain }, server, channel)
    }

    /// The same at another of its addresses.
    pub fn connect_at(address: SocketAddr, server: &Server, channel: Channel) -> Client {
        let socket = TcpStream::connect_timeout(&address, DEADLINE).expect("connect");
        let mut client = Client::over(socket);
        if channel == Channel::Tls {
            let config = client_config(&server.ca_file, &["pop3"], rustls::ALL_VERSIONS);
            client.handshake(config, "localhost").expect("shake hands");
        }
        client.greeting = client.line();
        assert!(client.greeting.starts_with("+OK"), "greeting: {}", client.greeting);
        if channel == Channel::Stls {
            let reply = client.cmd("STLS");
            assert!(reply.starts_with("+OK"), "STLS: {reply}");
            let config = client_config(&server.ca_file, &["pop3"], rustls::ALL_VERSIONS);
            client.handshake(config, "localhost").expect("shake hands");
        }
        client
    }

    /// Over clear text, as if from the machine that has the address `source`: any in 127.0.0.0/8 will do.
    pub fn connect_from(source: std::net::Ipv4Addr, server: &Server) -> Client {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
        let made = || {
            // Else a server that another test starts would have it too, and it would never close.
            let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
            bind(&socket, &SocketAddr::from((source, 0)))?;
            connect(&socket, &server.plain)?;
            rustix::io::Result::Ok(TcpStream::from(socket))
        };
        let mut client = Client::over(made().expect("connect from another address"));
        client.greeting = client.line();
        assert!(client.greeting.starts_with("+OK"), "greeting: {}", client.greeting);
        client
    }

    /// A client on `socket` that has read nothing, the greeting neither.
    pub fn over(socket: TcpStream) -> Client {
        socket.set_nodelay(true).expect("no delay");
        socket.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        socket.set_write_timeout(Some(DEADLINE)).expect("a deadline");
        Client { wire: Wire::Plain(socket), inbox: Vec::new(), at: 0, end: None, greeting: String::new() }
    }

    /// Turns to TLS, asking for `name`.
    pub fn handshake(&mut self, config: Arc<ClientConfig>, name: &str) -> io::Result<()> {
        assert_eq!(self.unread(), b"", "octets before the handshake");
        let socket = self.socket().try_clone()?;
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let mut connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
        let mut through = socket.try_clone()?;
        while connection.is_handshaking() {
            connection.complete_io(&mut through)?;
        }
        self.wire = Wire::Tls(Box::new(connection), socket);
        Ok(())
    }

    /// The TLS connection, where there is one.
    pub fn tls(&self) -> Option<&ClientConnection> {
        match &self.wire {
            Wire::Plain(_) => None,
            Wire::Tls(connection, _) => Some(connection),
        }
    }

    /// The socket beneath.
    pub fn socket(&self) -> &TcpStream {
        match &self.wire {
            Wire::Plain(socket) => socket,
            Wire::Tls(_, socket) => socket,
        }
    }

    /// Sends `octets`.
    pub fn send(&mut self, octets: &[u8]) {
        self.try_send(octets).expect("send");
    }

    /// Sends `octets`, to a server that may have closed.
    pub fn try_send(&mut self, octets: &[u8]) -> io::Result<()> {
        match &mut self.wire {
            Wire::Plain(socket) => socket.write_all(octets),
            Wire::Tls(connection, socket) => {
                let mut stream = Stream::new(&mut **connection, socket);
                stream.write_all(octets).and_then(|()| stream.flush())
            }
        }
    }

    /// Reads one line; it comes without its CRLF, and its octets as Latin-1.
    pub fn line(&mut self) -> String {
        match self.line_or_end() {
            Some(line) => line,
            None => panic!("the server closed instead of a line"),
        }
    }

    /// Reads one line, or nothing where the connection has ended.
    pub fn line_or_end(&mut self) -> Option<String> {
        let mut line = self.raw_line()?;
        assert!(line.ends_with(b"\r\n"), "a line without CRLF: {}", line.escape_ascii());
        line.truncate(line.len() - 2);
        Some(line.into_iter().map(char::from).collect())
    }

    /// Reads up to and with the next LF, or nothing where the connection has ended.
    pub fn raw_line(&mut self) -> Option<Vec<u8>> {
        let mut seen = 0;
        loop {
            if let Some(found) = self.unread()[seen..].iter().position(|&octet| octet == b'\n') {
                return Some(self.take(seen + found + 1));
            }
            seen = self.unread().len();
            if !self.fill() {
                let rest = self.unread();
                assert!(rest.is_empty(), "the server closed in the middle of a line: {}", rest.escape_ascii());
                return None;
            }
        }
    }

    /// Reads the rest of a multi-line reply and undoes the dots. Every line keeps its CRLF; the final dot is left out.
    pub fn multiline(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line = self.raw_line().expect("the server closed before the final dot");
            assert!(line.ends_with(b"\r\n"), "a line without CRLF: {}", line.escape_ascii());
            match line.strip_prefix(b".") {
                Some(b"\r\n") => return body,
                Some(stuffed) => body.extend_from_slice(stuffed),
                None => body.extend_from_slice(&line),
            }
        }
    }

    /// Sends a command and reads the first line of its reply.
    pub fn cmd(&mut self, command: &str) -> String {
        self.send(format!("{command}\r\n").as_bytes());
        self.line()
    }

    /// Sends a command that must be granted; its status line.
    pub fn ok(&mut self, command: &str) -> String {
        let reply = self.cmd(command);
        assert!(reply.starts_with("+OK"), "{command}: {reply}");
        reply
    }

    /// Sends a command that must be refused; its status line.
    pub fn err(&mut self, command: &str) -> String {
        let reply = self.cmd(command);
        assert!(reply.starts_with("-ERR"), "{command}: {reply}");
        reply
    }

    /// Sends a command that must be granted with a multi-line reply; the lines without CRLF.
    pub fn list(&mut self, command: &str) -> Vec<String> {
        self.ok(command);
        String::from_utf8_lossy(&self.multiline()).lines().map(str::to_owned).collect()
    }

    /// Sends RETR (or TOP) that must be granted; what was sent, with the dots undone.
    pub fn body(&mut self, command: &str) -> Vec<u8> {
        self.ok(command);
        self.multiline()
    }

    /// Logs in with USER and PASS, which must be granted.
    pub fn log_in(&mut self, user: &str, password: &str) {
        self.ok(&format!("USER {user}"));
        self.ok(&format!("PASS {password}"));
    }

    /// Says QUIT, which must be granted, and sees the connection end.
    pub fn quit(&mut self) {
        self.ok("QUIT");
        assert_eq!(self.rest(), b"", "octets behind the reply to QUIT");
    }

    /// Reads to the end of the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.fill() {}
        self.take(self.unread().len())
    }

    /// Reads to the end of the connection; how it ended.
    pub fn end(&mut self) -> End {
        while self.fill() {}
        self.end.expect("an end")
    }

    /// Sends the last command, reads to the end of the connection; how it ended.
    pub fn end_by(&mut self, octets: &[u8]) -> End {
        self.send(octets);
        self.end()
    }

    /// Reads what one read gives.
    pub fn one_read(&mut self) -> Vec<u8> {
        assert!(self.fill(), "the server closed");
        self.take(self.unread().len())
    }

    /// Tells the server that nothing more comes, and goes on reading.
    pub fn half_close(&mut self) {
        if let Wire::Tls(connection, socket) = &mut self.wire {
            connection.send_close_notify();
            let _ = connection.write_tls(socket);
        }
        let _ = self.socket().shutdown(Shutdown::Write);
    }

    /// Ends the connection by RST.
    pub fn reset(self) {
        rustix::net::sockopt::set_socket_linger(self.socket(), Some(Duration::ZERO)).expect("SO_LINGER");
    }

    /// How many octets are read and not yet looked at.
    pub fn unread(&self) -> &[u8] {
        &self.inbox[self.at..]
    }

    /// Reads once; `false` at the end. A read that gives nothing before the deadline is a failure.
    fn fill(&mut self) -> bool {
        if self.end.is_some() {
            return false;
        }
        if self.at > 0 {
            self.inbox.drain(..self.at);
            self.at = 0;
        }
        let mut space = vec![0; 1 << 16];
        let (read, secure) = match &mut self.wire {
            Wire::Plain(socket) => (socket.read(&mut space), false),
            Wire::Tls(connection, socket) => (read_tls(connection, socket, &mut space), true),
        };
        match read {
            Ok(0) => self.end = Some(End::Clean),
            Ok(count) => self.inbox.extend_from_slice(&space[..count]),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                    panic!("nothing within {DEADLINE:?}, after {}", self.unread().escape_ascii())
                }
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::UnexpectedEof if secure => self.end = Some(End::Cut),
                _ => self.end = Some(End::Reset),
            },
        }
        self.end.is_none()
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let taken = self.unread()[..count].to_vec();
        self.at += count;
        taken
    }
}

/// Reads without writing: what the server said before it closed is there even where nothing can be sent any more.
fn read_tls(connection: &mut ClientConnection, socket: &mut TcpStream, space: &mut [u8]) -> io::Result<usize> {
    loop {
        match connection.reader().read(space) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
        connection.read_tls(socket)?;
        connection.process_new_packets().map_err(io::Error::other)?;
    }
}
