//! TLS between a rustls client and the transport, over a pipe that gives and takes as little as it likes.

use std::{collections::VecDeque, sync::OnceLock};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion,
    crypto::ring,
    pki_types::ServerName,
    version::{TLS12, TLS13},
};

use super::*;
use crate::net::tls::{self, CertificateFiles};

/// Records' own octets beside what they carry.
const OVERHEAD: usize = 8 * 1024;

/// A stream that gives and takes at most so many octets at once, and blocks every other time.
#[derive(Default)]
struct Pipe {
    to_server: VecDeque<u8>,
    to_client: Vec<u8>,
    at_once: usize,
    blocks: bool,
    /// How many octets it takes in all before it is full.
    room: usize,
    ended: bool,
    interrupted: bool,
    /// How many octets came as the last ones.
    last: usize,
}

impl Pipe {
    fn new(at_once: usize) -> Pipe {
        Pipe { at_once, room: usize::MAX, ..Pipe::default() }
    }

    /// An error in front of every octet or two: a signal, or nothing to be had yet.
    fn hesitates(&mut self) -> io::Result<()> {
        self.blocks = !self.blocks;
        self.interrupted ^= self.blocks;
        match (self.blocks, self.interrupted) {
            (true, true) => Err(ErrorKind::Interrupted.into()),
            (true, false) => Err(ErrorKind::WouldBlock.into()),
            _ => Ok(()),
        }
    }
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.hesitates()?;
        if self.to_server.is_empty() && !self.ended {
            return Err(ErrorKind::WouldBlock.into());
        }
        let at_once = self.at_once.min(into.len());
        self.to_server.read(&mut into[..at_once])
    }
}

impl Write for Pipe {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.hesitates()?;
        let count = octets.len().min(self.at_once).min(self.room);
        if count == 0 && !octets.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.room -= count;
        self.to_client.extend_from_slice(&octets[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Pipe {
    fn write_last(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let count = self.write_vectored(parts)?;
        self.last += count;
        Ok(count)
    }
}

/// Both ends, and what the server has to say.
struct Ends {
    client: ClientConnection,
    server: Transport,
    pipe: Pipe,
    outbox: Outbox,
    /// What the server heard, and how it ended.
    heard: Vec<u8>,
    end: Option<io::Result<()>>,
}

impl Ends {
    fn new(version: &'static SupportedProtocolVersion, at_once: usize) -> Ends {
        let (server, client) = configurations(version);
        let client = ClientConnection::new(client, ServerName::try_from("mail.example.org").unwrap()).unwrap();
        let server = Transport::tls(server).unwrap();
        Ends { client, server, pipe: Pipe::new(at_once), outbox: Outbox::default(), heard: vec![], end: None }
    }

    fn shaken(version: &'static SupportedProtocolVersion) -> Ends {
        let mut ends = Ends::new(version, 1 << 20);
        ends.run();
        assert!(!ends.server.is_handshaking() && !ends.client.is_handshaking());
        ends
    }

    /// What the client has to say goes into the pipe.
    fn client_writes(&mut self) {
        while self.client.wants_write() {
            let mut octets = vec![];
            self.client.write_tls(&mut octets).unwrap();
            self.pipe.to_server.extend(octets);
        }
    }

    /// What is in the pipe goes to the client; what it reads comes back.
    fn client_reads(&mut self) -> Vec<u8> {
        let mut octets = &std::mem::take(&mut self.pipe.to_client)[..];
        let mut read = vec![];
        while !octets.is_empty() {
            self.client.read_tls(&mut octets).unwrap();
            self.client.process_new_packets().unwrap();
            let _ = self.client.reader().read_to_end(&mut read);
        }
        read
    }

    /// The server reads until it blocks some times in a row, and flushes as it must.
    fn server_turn(&mut self) {
        let mut into = [0; 1000];
        let mut blocked = 0;
        while blocked < 4 && self.end.is_none() {
            match self.server.fill(&mut self.pipe, &mut into) {
                Ok(0) => self.end = Some(Ok(())),
                Ok(count) => {
                    self.heard.extend_from_slice(&into[..count]);
                    blocked = 0;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => blocked += 1,
                Err(error) => self.end = Some(Err(error)),
            }
            if blocked == 4 && !self.pipe.to_server.is_empty() {
                blocked = 0;
            }
        }
        self.until_written(Transport::flush);
    }

    /// The server has nothing more to say.
    fn finish(&mut self) {
        self.until_written(Transport::finish);
    }

    fn until_written(&mut self, write: fn(&mut Transport, &mut Pipe, &mut Outbox) -> io::Result<()>) {
        for _ in 0..1 << 22 {
            match write(&mut self.server, &mut self.pipe, &mut self.outbox) {
                Ok(()) => return,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        panic!("the flush never ends");
    }

    /// Both, to and fro, until neither has more to say; what the client read.
    fn run(&mut self) -> Vec<u8> {
        let mut read = vec![];
        for _ in 0..6 {
            self.client_writes();
            self.server_turn();
            read.extend(self.client_reads());
        }
        read
    }

    fn error(&self) -> ErrorKind {
        self.end.as_ref().expect("an end").as_ref().expect_err("an error").kind()
    }
}

fn configurations(version: &'static SupportedProtocolVersion) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    static MADE: OnceLock<(Arc<ServerConfig>, RootCertStore)> = OnceLock::new();
    let (server, roots) = MADE.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(["mail.example.org".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (certificate, private_key) = (folder.path().join("crt"), folder.path().join("key"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&private_key, made.signing_key.serialize_pem()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        (tls::load(&[CertificateFiles { certificate, private_key }]).unwrap().config, roots)
    });
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    (server.clone(), Arc::new(client))
}

const VERSIONS: [(&SupportedProtocolVersion, &str); 2] = [(&TLS12, "1.2"), (&TLS13, "1.3")];

#[test]
fn a_session_is_the_same_however_little_the_stream_gives_and_takes() {
    for (version, name) in VERSIONS {
        for at_once in [1, 2, 3, 5, 7, 64, 1000, 1 << 20] {
            let mut ends = Ends::new(version, at_once);
            ends.outbox.end().extend(b"+OK poppet ready\r\n");
            assert_eq!(ends.run(), b"+OK poppet ready\r\n", "{at_once}");
            assert_eq!(ends.server.tls_version(), name);
            let said: Vec<u8> = (0..40_000u32).map(|n| n as u8).collect();
            ends.client.writer().write_all(&said).unwrap();
            ends.outbox.end().extend(&said);
            assert_eq!(ends.run(), said, "{at_once}");
            assert_eq!(ends.heard, said, "{at_once}");
        }
    }
}

#[test]
fn a_handshake_may_be_split_anywhere() {
    for (version, _) in VERSIONS {
        let mut at = 0;
        loop {
            let mut ends = Ends::new(version, 1 << 20);
            ends.client_writes();
            if at > ends.pipe.to_server.len() {
                break;
            }
            let rest = ends.pipe.to_server.split_off(at);
            ends.server_turn();
            ends.pipe.to_server.extend(rest);
            ends.run();
            assert!(!ends.server.is_handshaking() && !ends.client.is_handshaking(), "split at {at}");
            at += 3;
        }
    }
}

#[test]
fn a_record_may_be_split_anywhere() {
    for (version, _) in VERSIONS {
        let mut ends = Ends::shaken(version);
        for at in 0.. {
            ends.client.writer().write_all(b"NOOP\r\n").unwrap();
            ends.client_writes();
            if at > ends.pipe.to_server.len() {
                break;
            }
            let rest = ends.pipe.to_server.split_off(at);
            let is_whole = rest.is_empty();
            ends.server_turn();
            assert_eq!(ends.heard.is_empty(), !is_whole, "split at {at}");
            ends.pipe.to_server.extend(rest);
            ends.server_turn();
            assert_eq!(std::mem::take(&mut ends.heard), b"NOOP\r\n", "split at {at}");
        }
    }
}

#[test]
fn plaintext_that_tls_holds_comes_without_asking_the_stream() {
    let mut ends = Ends::shaken(&TLS13);
    ends.client.writer().write_all(&[b'x'; 3000]).unwrap();
    ends.client_writes();
    let mut into = [0; 1000];
    while ends.server.fill(&mut ends.pipe, &mut into).is_err() {}
    assert!(ends.pipe.to_server.is_empty());
    ends.pipe.ended = true;
    assert_eq!(ends.server.fill(&mut ends.pipe, &mut into).unwrap(), 1000);
    assert_eq!(ends.server.fill(&mut ends.pipe, &mut into).unwrap(), 1000);
    ends.server_turn();
    assert_eq!(ends.error(), ErrorKind::UnexpectedEof);
}

#[test]
fn close_notify_of_the_client_is_an_orderly_end_behind_all_that_it_said() {
    for (version, _) in VERSIONS {
        let mut ends = Ends::shaken(version);
        ends.client.writer().write_all(b"QUIT\r\n").unwrap();
        ends.client.send_close_notify();
        ends.client_writes();
        ends.pipe.ended = true;
        ends.server_turn();
        assert_eq!(ends.heard, b"QUIT\r\n");
        assert!(matches!(ends.end, Some(Ok(()))), "{:?}", ends.end);
    }
}

#[test]
fn an_end_without_close_notify_is_unexpected() {
    for (version, _) in VERSIONS {
        let mut ends = Ends::shaken(version);
        ends.client.writer().write_all(b"QUIT\r\n").unwrap();
        ends.client_writes();
        ends.pipe.ended = true;
        ends.server_turn();
        assert_eq!((&ends.heard[..], ends.error()), (&b"QUIT\r\n"[..], ErrorKind::UnexpectedEof));
    }
    let mut ends = Ends::new(&TLS13, 1 << 20);
    ends.client_writes();
    ends.pipe.to_server.truncate(50);
    ends.pipe.ended = true;
    ends.server_turn();
    assert_eq!(ends.error(), ErrorKind::UnexpectedEof, "in the middle of a handshake");
}

#[test]
fn clear_text_ends_with_its_stream() {
    let (mut plain, mut pipe) = (Transport::Plain, Pipe::new(1));
    pipe.to_server.extend(b"Q");
    pipe.ended = true;
    let mut read = || loop {
        match plain.fill(&mut pipe, &mut [0; 9]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            done => return done.unwrap(),
        }
    };
    assert_eq!((read(), read()), (1, 0));
}

#[test]
fn close_notify_of_the_server_leaves_once_behind_all_that_it_said() {
    for (version, _) in VERSIONS {
        let mut ends = Ends::shaken(version);
        ends.outbox.end().extend(b"+OK bye\r\n");
        let before = ends.pipe.to_client.len();
        for _ in 0..2 {
            ends.finish();
        }
        assert_eq!(ends.pipe.last, ends.pipe.to_client.len() - before, "the stream is told that they are the last");
        let mut octets = &std::mem::take(&mut ends.pipe.to_client)[..];
        let (mut read, mut state) = (vec![], None);
        while !octets.is_empty() {
            ends.client.read_tls(&mut octets).unwrap();
            state = Some(ends.client.process_new_packets().expect("one close_notify and no octet behind it"));
        }
        ends.client.reader().read_to_end(&mut read).expect("an orderly end");
        assert_eq!(read, b"+OK bye\r\n");
        assert!(state.is_some_and(|state| state.peer_has_closed()));
    }
}

#[test]
fn garbage_is_invalid_and_its_alert_leaves_with_the_next_flush() {
    let mut ends = Ends::new(&TLS13, 1 << 20);
    ends.pipe.to_server.extend(b"USER ada\r\nPASS secret\r\n");
    let mut into = [0; 99];
    let error = loop {
        match ends.server.fill(&mut ends.pipe, &mut into) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            done => break done.unwrap_err(),
        }
    };
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(ends.pipe.to_client.is_empty());
    while ends.server.flush(&mut ends.pipe, &mut ends.outbox).is_err() {}
    // A record of type alert, level fatal.
    assert_eq!((ends.pipe.to_client[0], ends.pipe.to_client[5]), (21, 2), "{:?}", ends.pipe.to_client);
}

#[test]
fn the_outbox_is_held_while_the_handshake_lasts() {
    for (version, _) in VERSIONS {
        let mut ends = Ends::new(version, 1 << 20);
        ends.outbox.end().extend(b"+OK poppet ready\r\n");
        ends.server_turn();
        assert!(ends.pipe.to_client.is_empty() && ends.outbox.len() == 18);
        ends.client_writes();
        ends.server_turn();
        assert!(ends.server.is_handshaking() && ends.outbox.len() == 18);
        assert!(!ends.pipe.to_client.is_empty(), "the server's part of the handshake left");
        assert_eq!(ends.client_reads(), b"");
        assert_eq!(ends.run(), b"+OK poppet ready\r\n");
        assert!(ends.outbox.is_empty());
    }
}

#[test]
fn a_large_outbox_leaves_whole_and_rustls_holds_little_of_it() {
    for (version, _) in VERSIONS {
        let mut ends = Ends::shaken(version);
        let said: Vec<u8> = (0..1u32 << 20).map(|n| (n / 7) as u8).collect();
        ends.outbox.end().extend(&said);
        let (mut read, mut left) = (vec![], 0);
        while read.len() < said.len() {
            ends.pipe.room = 10_000;
            let full = loop {
                match ends.server.flush(&mut ends.pipe, &mut ends.outbox) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock && ends.pipe.room > 0 => {}
                    Err(error) => break Some(error.kind()),
                    Ok(()) => break None,
                }
            };
            left += ends.pipe.to_client.len();
            let inside = (said.len() - ends.outbox.len()).saturating_sub(left);
            assert!(inside <= TLS_BUFFER + OVERHEAD, "{inside} octets inside rustls");
            read.extend(ends.client_reads());
            assert_eq!(full, (read.len() < said.len()).then_some(ErrorKind::WouldBlock));
        }
        assert!(read == said && ends.outbox.is_empty());
    }
}

#[test]
fn clear_text_leaves_whole_however_little_the_stream_takes() {
    let (mut pipe, mut outbox) = (Pipe::new(3), Outbox::default());
    let said: Vec<u8> = (0..10_000u32).map(|n| n as u8).collect();
    outbox.end().extend(&said);
    let mut blocked = 0;
    while let Err(error) = Transport::Plain.flush(&mut pipe, &mut outbox) {
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        blocked += 1;
    }
    assert!(pipe.to_client == said && outbox.is_empty() && blocked > 1000);
}

#[test]
fn aes_128_is_taken_where_the_processor_knows_aes_whatever_the_client_likes_best() {
    for version in [&TLS13, &TLS12] {
        let ends = Ends::shaken(version);
        let suite = format!("{:?}", ends.client.negotiated_cipher_suite().unwrap().suite());
        assert!(suite.contains("AES_128_GCM_SHA256") || !tls::has_aes(), "{suite}");
    }
}
