//! The example session of RFC 1939 section 10.

mod common;

use common::Server;
use common::script::{Dialogue, Pace, Script};

const SESSION: &str = include_str!("data/rfc1939-section-10.txt");

#[test]
fn the_session_of_section_10_goes_as_written() {
    Dialogue::new(SESSION)
        .mail(&|maildir| {
            maildir.deliver_named("new", "1700000001.M1.example", &message(120));
            maildir.deliver_named("new", "1700000002.M2.example", &message(200));
        })
        .run();
}

#[test]
fn behind_the_session_of_section_10_the_maildrop_is_empty() {
    let server = Server::start();
    let maildir = server.maildir(common::USER);
    maildir.deliver(&message(120));
    maildir.deliver(&message(200));
    let mut client = server.connect();
    let name = server.name_of(common::USER);
    Script::parse(SESSION).play(&mut client, name, Pace::Lines).unwrap_or_else(|mismatch| panic!("{mismatch}"));
    assert_eq!(maildir.names(), Vec::<String>::new());
}

/// A message of so many octets on the wire, stored with LF line ends.
fn message(octets: usize) -> Vec<u8> {
    let mut message = b"Subject: an example\n\n".to_vec();
    let wire = message.len() + 2;
    message.resize(message.len() + octets - wire - 2, b'x');
    message.push(b'\n');
    message
}
