//! What tests of the house may see of a connection, and of its turn alone.

use std::io::{Read, Write};

use super::*;

impl<S> Connection<S> {
    /// Octets that wait in the outbox.
    pub(in crate::server) fn waiting(&self) -> usize {
        self.outbox.len()
    }
}

/// Gives what is in it, then blocks; takes everything.
#[derive(Default)]
struct Script {
    input: std::collections::VecDeque<u8>,
    output: Vec<u8>,
}

impl Read for Script {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() { Err(ErrorKind::WouldBlock.into()) } else { self.input.read(into) }
    }
}

impl Write for Script {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.output.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Script {}

fn tools() -> Tools {
    Tools {
        block: vec![0; 64 * 1024].into_boxed_slice(),
        spare: Vec::new(),
        proxy_from: ["198.51.100.0/24".parse().unwrap()].into_iter().collect(),
        plaintext_from: ["192.0.2.0/24".parse().unwrap()].into_iter().collect(),
        tls: None,
        mark_seen: true,
        login_time: Duration::from_secs(60),
        idle_time: Duration::from_secs(600),
        quota: Quota::default(),
    }
}

fn connection(input: &[u8], now: Instant) -> Connection<Script> {
    let terms = session::Terms { tls_offered: false, tls_active: false, plaintext_login: true };
    let stream = Script { input: input.iter().copied().collect(), output: vec![] };
    Connection::new(stream, "192.0.2.1:1100".parse().unwrap(), Transport::Plain, terms, now)
}

fn replies(connection: &Connection<Script>) -> usize {
    connection.stream.output.iter().filter(|&&octet| octet == b'\n').count()
}

#[test]
fn a_turn_ends_after_a_fair_share_of_commands_and_asks_for_another() {
    let now = Instant::now();
    let mut connection = connection(&b"LANG en\r\n".repeat(100), now);
    let mut tools = tools();
    assert!(matches!(connection.turn(now, &mut tools), Next::RunAgain));
    let first = replies(&connection);
    assert!((20..=STEPS_A_TURN + 1).contains(&first), "{first}");
    while let Next::RunAgain = connection.turn(now, &mut tools) {}
    assert_eq!(replies(&connection), 101);
}

#[test]
fn an_idle_connection_keeps_no_memory_for_octets() {
    let now = Instant::now();
    let mut connection = connection(b"CAPA\r\n", now);
    let mut tools = tools();
    while let Next::RunAgain = connection.turn(now, &mut tools) {}
    assert_eq!(connection.outbox.end().capacity(), 0);
    assert!(tools.spare.capacity() > 0);
}

#[test]
fn a_password_does_not_stay_in_the_shared_block() {
    let now = Instant::now();
    let mut connection = connection(b"USER ada\r\nPASS swordfish\r\n", now);
    let mut tools = tools();
    assert!(matches!(connection.turn(now, &mut tools), Next::Submit(Job::Authenticate { .. })));
    assert!(tools.block.iter().all(|&octet| octet == 0));
}
