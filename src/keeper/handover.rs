//! What the keeper hands to the server, over a pair of connected sockets of which the server's is its standard input.
//!
//! Owns: the form of it. One octet says what follows; octets come behind their length; sockets travel as descriptors.
//! The other way goes one octet for each set of certificates: in force, or not. The end of the stream means: stop.
//! Does not know: what the octets say.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use zeroize::Zeroizing;

use crate::net::tls::PairOctets;
use crate::server::{Arrival, Kind, Listener, Source};

const POP3: u8 = b'3';
const POP3S: u8 = b's';
const STATUS: u8 = b'u';
const CONFIG: u8 = b'c';
const PAIRS: u8 = b'p';
const IN_FORCE: u8 = b'+';
const NOT_IN_FORCE: u8 = b'-';

/// A file of certificates is some KiB; this is for whoever names the wrong file.
const LONGEST: u32 = 16 * 1024 * 1024;
/// For what has begun to come, and for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// One end: the keeper's, or the server's.
#[derive(Debug)]
pub struct Link {
    stream: UnixStream,
    /// Answers that did not come in time, and may come yet: they are not those to what is asked now.
    owed: u32,
}

/// All that a server begins with.
#[derive(Debug)]
pub struct Handover {
    /// Ports that are open.
    pub listeners: Vec<Listener>,
    /// Where `poppet status` asks.
    pub status: Option<UnixListener>,
    /// The text of the configuration file.
    pub config: String,
    /// What certificates and keys hold; none where no TLS is configured.
    pub pairs: Vec<PairOctets>,
}

/// What the server says of certificates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// They are in force.
    InForce,
    /// They are not, and its log says why.
    NotInForce,
    /// Nothing: it has gone, or is stuck.
    None,
}

impl Link {
    fn over(stream: UnixStream) -> Link {
        Link { stream, owed: 0 }
    }

    /// Both ends; the second one becomes somebody's standard input.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn pair() -> io::Result<(Link, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        // A server that is stuck must not hold up the keeper.
        ours.set_write_timeout(Some(PATIENCE))?;
        ours.set_read_timeout(Some(PATIENCE))?;
        Ok((Link::over(ours), theirs.into()))
    }

    /// The server's end. Standard input leads nowhere afterwards.
    ///
    /// # Errors
    /// Standard input is no socket.
    pub fn of_stdin() -> io::Result<Link> {
        let socket = io::stdin().as_fd().try_clone_to_owned()?;
        rustix::net::sockopt::socket_type(&socket)?;
        let nowhere = std::fs::File::open("/dev/null")?;
        rustix::stdio::dup2_stdin(&nowhere)?;
        let link = UnixStream::from(socket);
        link.set_read_timeout(Some(PATIENCE))?;
        Ok(Link::over(link))
    }

    /// Hands over what a server begins with.
    ///
    /// # Errors
    /// The server has gone, or is stuck.
    pub fn send(
        &mut self,
        listeners: &[Listener],
        status: Option<&UnixListener>,
        config: &str,
        pairs: &[PairOctets],
    ) -> io::Result<()> {
        for Listener { socket, kind } in listeners {
            self.send_socket(if *kind == Kind::Pop3 { POP3 } else { POP3S }, socket.as_fd())?;
        }
        if let Some(socket) = status {
            self.send_socket(STATUS, socket.as_fd())?;
        }
        self.stream.write_all(&[CONFIG])?;
        self.send_octets(config.as_bytes())?;
        self.send_pairs(pairs)
    }

    fn send_socket(&mut self, what: u8, socket: BorrowedFd<'_>) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let socket = [socket];
        if !control.push(SendAncillaryMessage::ScmRights(&socket)) {
            return Err(io::Error::other("no room for a descriptor"));
        }
        rustix::net::sendmsg(&self.stream, &[IoSlice::new(&[what])], &mut control, SendFlags::empty())?;
        Ok(())
    }

    /// Hands over certificates and keys.
    ///
    /// # Errors
    /// As [`Link::send`].
    pub fn send_pairs(&mut self, pairs: &[PairOctets]) -> io::Result<()> {
        let count = u32::try_from(pairs.len()).map_err(io::Error::other)?;
        // Before the first octet: half of a message would be the end of this link.
        if pairs.iter().any(|pair| pair.certificate.len().max(pair.private_key.len()) > LONGEST as usize) {
            return Err(io::Error::other("a file of more than 16 MiB is not handed over"));
        }
        self.stream.write_all(&[PAIRS])?;
        self.stream.write_all(&count.to_be_bytes())?;
        for pair in pairs {
            self.send_octets(&pair.certificate)?;
            self.send_octets(&pair.private_key)?;
        }
        Ok(())
    }

    fn send_octets(&mut self, octets: &[u8]) -> io::Result<()> {
        let length = u32::try_from(octets.len()).ok().filter(|&length| length <= LONGEST);
        let length = length.ok_or_else(|| io::Error::other("a file of more than 16 MiB is not handed over"))?;
        self.stream.write_all(&length.to_be_bytes())?;
        self.stream.write_all(octets)
    }

    /// What the server says of the pairs that it got last. `waits` says whether there is something to read, when it has
    /// waited for that as long as it likes.
    pub fn hear_answer(&mut self, mut waits: impl FnMut(BorrowedFd<'_>, Duration) -> bool) -> Answer {
        loop {
            let heard = if waits(self.stream.as_fd(), PATIENCE) { self.octet() } else { Ok(None) };
            let answer = match heard {
                Ok(Some(IN_FORCE)) => Answer::InForce,
                Ok(Some(_)) => Answer::NotInForce,
                Ok(None) | Err(_) => {
                    self.owed += 1;
                    return Answer::None;
                }
            };
            if self.owed == 0 {
                return answer;
            }
            self.owed -= 1;
        }
    }

    /// Tells the server to stop.
    pub fn close(&self) {
        // Where this fails nobody is there to be told.
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    /// What the keeper sent first.
    ///
    /// # Errors
    /// It does not come, or makes no sense: this is no keeper.
    pub fn receive(&mut self) -> io::Result<Handover> {
        let mut listeners = Vec::new();
        let (mut config, mut status) = (String::new(), None);
        loop {
            let (octet, socket) = self.octet_and_socket()?;
            match (octet, socket) {
                (POP3, Some(socket)) => listeners.push(Listener { socket: socket.into(), kind: Kind::Pop3 }),
                (POP3S, Some(socket)) => listeners.push(Listener { socket: socket.into(), kind: Kind::Pop3s }),
                (STATUS, Some(socket)) => status = Some(socket.into()),
                (CONFIG, None) => {
                    config = String::from_utf8(self.octets()?.to_vec()).map_err(|_| nonsense())?;
                }
                (PAIRS, None) => return Ok(Handover { listeners, status, config, pairs: self.pairs()? }),
                _ => return Err(nonsense()),
            }
        }
    }

    fn octet_and_socket(&mut self) -> io::Result<(u8, Option<OwnedFd>)> {
        let mut octet = [0];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut into = [IoSliceMut::new(&mut octet)];
        let got = rustix::net::recvmsg(&self.stream, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        if got.bytes == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let mut sockets = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        let socket = sockets.next();
        Ok((octet[0], socket))
    }

    fn pairs(&mut self) -> io::Result<Vec<PairOctets>> {
        let count = self.number()?;
        (0..count).map(|_| Ok(PairOctets { certificate: self.octets()?, private_key: self.octets()? })).collect()
    }

    fn octets(&mut self) -> io::Result<Zeroizing<Vec<u8>>> {
        let length = self.number()?;
        if length > LONGEST {
            return Err(nonsense());
        }
        let mut octets = Zeroizing::new(vec![0; length as usize]);
        self.stream.read_exact(&mut octets)?;
        Ok(octets)
    }

    fn number(&mut self) -> io::Result<u32> {
        let mut octets = [0; 4];
        self.stream.read_exact(&mut octets)?;
        Ok(u32::from_be_bytes(octets))
    }

    /// `None` at the end.
    fn octet(&mut self) -> io::Result<Option<u8>> {
        let mut octet = [0];
        loop {
            match self.stream.read(&mut octet) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) => return Ok(None),
                Ok(_) => return Ok(Some(octet[0])),
                Err(error) => return Err(error),
            }
        }
    }
}

impl Source for Link {
    fn next(&mut self, patience: Duration) -> Arrival {
        let waited = self.stream.set_read_timeout(Some(patience)).and_then(|()| self.octet());
        let _ = self.stream.set_read_timeout(Some(PATIENCE));
        match waited {
            Ok(Some(PAIRS)) => self.pairs().map_or(Arrival::End, Arrival::Pairs),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Arrival::Nothing,
            // Without a keeper nobody would notice that this server ends.
            Ok(_) | Err(_) => Arrival::End,
        }
    }

    fn answer(&mut self, in_force: bool) {
        // A keeper that has gone is heard of by the next call.
        let _ = self.stream.write_all(&[if in_force { IN_FORCE } else { NOT_IN_FORCE }]);
    }
}

fn nonsense() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "that is no keeper at standard input")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn pair(text: &str) -> PairOctets {
        PairOctets {
            certificate: Zeroizing::new(text.as_bytes().to_vec()),
            private_key: Zeroizing::new(text.bytes().rev().collect()),
        }
    }

    fn both() -> (Link, Link) {
        let (keeper, server) = Link::pair().unwrap();
        (keeper, Link::over(server.into()))
    }

    #[test]
    fn a_server_gets_sockets_configuration_and_pairs_as_they_were() {
        let (mut keeper, mut server) = both();
        let listeners = [Kind::Pop3, Kind::Pop3s, Kind::Pop3]
            .map(|kind| Listener { socket: TcpListener::bind("127.0.0.1:0").unwrap(), kind });
        let folder = tempfile::tempdir().unwrap();
        let status = UnixListener::bind(folder.path().join("status")).unwrap();
        keeper.send(&listeners, Some(&status), "[mail]\n", &[pair("one"), pair("")]).unwrap();
        let handed = server.receive().unwrap();
        let shown = |listener: &Listener| (listener.kind, listener.socket.local_addr().unwrap());
        assert_eq!(handed.listeners.iter().map(shown).collect::<Vec<_>>(), listeners.each_ref().map(shown));
        let path = |socket: &UnixListener| socket.local_addr().unwrap().as_pathname().unwrap().to_owned();
        assert_eq!(handed.status.as_ref().map(path), Some(path(&status)));
        assert_eq!((handed.config.as_str(), handed.pairs), ("[mail]\n", vec![pair("one"), pair("")]));
    }

    #[test]
    fn later_pairs_are_answered_and_the_end_is_the_end() {
        let (mut keeper, mut server) = both();
        assert!(matches!(server.next(Duration::from_millis(1)), Arrival::Nothing));
        keeper.send_pairs(&[pair("two")]).unwrap();
        assert!(matches!(server.next(PATIENCE), Arrival::Pairs(pairs) if pairs == [pair("two")]));
        server.answer(true);
        server.answer(false);
        let mut hear = || keeper.hear_answer(|_, _| true);
        assert_eq!([hear(), hear()], [Answer::InForce, Answer::NotInForce]);
        keeper.close();
        assert!(matches!(server.next(PATIENCE), Arrival::End));
        drop(server);
        assert_eq!(keeper.hear_answer(|_, _| true), Answer::None);
        assert!(keeper.send_pairs(&[]).is_err());
    }

    #[test]
    fn an_answer_that_comes_late_is_not_taken_for_the_next_one() {
        let (mut keeper, mut server) = both();
        assert_eq!(keeper.hear_answer(|_, _| false), Answer::None);
        server.answer(true);
        server.answer(false);
        assert_eq!(keeper.hear_answer(|_, _| true), Answer::NotInForce);
    }

    #[test]
    fn a_file_that_is_far_too_long_is_not_handed_over() {
        let (mut keeper, mut server) = both();
        let huge = PairOctets { certificate: Zeroizing::new(vec![0; LONGEST as usize + 1]), ..pair("") };
        assert!(keeper.send_pairs(&[huge]).is_err());
        assert!(matches!(server.next(Duration::from_millis(1)), Arrival::Nothing), "not even a part of it");
        let (mut stranger, mut other) = both();
        stranger.stream.write_all(b"c\xff\xff\xff\xff").unwrap();
        assert_eq!(other.receive().unwrap_err().kind(), ErrorKind::InvalidData);
        drop(keeper);
        assert!(server.receive().is_err());
    }
}
