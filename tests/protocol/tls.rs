//! STLS and TLS.

use std::io::Write;

use rustls::version::{TLS12, TLS13};

use crate::common::certificates::client_config;
use crate::common::client::{Channel, Client, End};
use crate::common::script::Dialogue;
use crate::common::{Authority, PASSWORD, Server, USER, eventually, ours};

/// A client on `channel` just before its handshake.
fn before_handshake(server: &Server, channel: Channel) -> Client {
    if channel == Channel::Stls {
        let mut client = server.connect();
        client.ok("STLS");
        return client;
    }
    Client::over(std::net::TcpStream::connect(server.tls).expect("connect"))
}

fn speaks_tls(server: &Server) -> bool {
    let speaks = server.channels().contains(&Channel::Tls);
    if !speaks {
        eprintln!("skipped: needs a TLS port");
    }
    speaks
}

#[test]
fn tls_1_2_and_1_3_are_spoken() {
    let server = Server::start();
    if !speaks_tls(&server) {
        return;
    }
    for channel in [Channel::Stls, Channel::Tls] {
        for version in [&TLS12, &TLS13] {
            let mut client = before_handshake(&server, channel);
            client.handshake(client_config(&server.ca_file, &["pop3"], &[version]), "localhost").expect("shake hands");
            assert_eq!(client.tls().and_then(|tls| tls.protocol_version()), Some(version.version));
            if channel == Channel::Tls {
                assert!(client.line().starts_with("+OK"));
            }
            client.log_in(server.name_of(USER), PASSWORD);
            assert_eq!(client.end_by(b"QUIT\r\n"), End::Clean);
        }
    }
}

#[test]
fn alpn_is_pop3_where_the_client_offers_any() {
    let server = Server::start();
    if !speaks_tls(&server) {
        return;
    }
    for channel in [Channel::Stls, Channel::Tls] {
        for (offered, chosen) in [(&["pop3"][..], Some(&b"pop3"[..])), (&["imap", "pop3"], Some(b"pop3")), (&[], None)]
        {
            let mut client = before_handshake(&server, channel);
            let config = client_config(&server.ca_file, offered, rustls::ALL_VERSIONS);
            client.handshake(config, "localhost").unwrap_or_else(|error| panic!("{offered:?}: {error}"));
            assert_eq!(client.tls().and_then(|tls| tls.alpn_protocol()), chosen, "{offered:?}");
        }
        for offered in [&["imap"][..], &["h2", "http/1.1"]] {
            let mut client = before_handshake(&server, channel);
            let config = client_config(&server.ca_file, offered, rustls::ALL_VERSIONS);
            assert!(client.handshake(config, "localhost").is_err(), "{offered:?} was let in over {channel:?}");
        }
    }
}

#[test]
fn second_certificate_is_chosen_by_name() {
    if !ours() {
        return;
    }
    let other = Authority::new();
    let server = Server::builder().certificate_also("mail.example.com", &other).start();
    let other_file = server.folder.join("other-ca.pem");
    std::fs::write(&other_file, other.pem()).expect("write the authority");
    for channel in [Channel::Stls, Channel::Tls] {
        for (ca_file, name) in [(&server.ca_file, "localhost"), (&other_file, "mail.example.com")] {
            let mut client = before_handshake(&server, channel);
            client.handshake(client_config(ca_file, &[], rustls::ALL_VERSIONS), name).expect("the name's certificate");
        }
        let mut client = before_handshake(&server, channel);
        let config = client_config(&other_file, &[], rustls::ALL_VERSIONS);
        assert!(client.handshake(config, "localhost").is_err(), "localhost has the other's certificate");
    }
}

#[test]
fn close_notify_comes_before_the_end() {
    let server = Server::start();
    for &channel in server.channels() {
        assert_eq!(server.connect_over(channel).end_by(b"QUIT\r\n"), End::Clean, "{channel:?}: QUIT");
        let mut client = server.connect_over(channel);
        assert_eq!(client.end_by(&b"HELO\r\n".repeat(5)), End::Clean, "{channel:?}: bad commands");
        let mut client = server.connect_over(channel);
        client.log_in(server.name_of(USER), PASSWORD);
        assert_eq!(client.end_by(b"QUIT\r\n"), End::Clean, "{channel:?}: QUIT after login");
    }
}

#[test]
fn stls_twice_is_refused() {
    Dialogue::new("C: STLS\nS: -ERR*\nC: USER {user}\nS: +OK*\nC: PASS secret\nS: +OK*")
        .over(&[Channel::Stls, Channel::Tls])
        .run();
}

#[test]
fn stls_after_login_is_refused_and_the_session_lives() {
    Dialogue::new("C: USER {user}\nS: +OK*\nC: PASS secret\nS: +OK*\nC: STLS\nS: -ERR*\nC: STAT\nS: +OK 0 0").run();
}

#[test]
fn stls_without_a_certificate_is_refused() {
    if !ours() {
        return;
    }
    let server = Server::builder().tls(false).start();
    let mut client = server.connect();
    client.err("STLS");
    client.log_in(USER, PASSWORD);
}

#[test]
fn stls_with_an_argument_is_refused() {
    Dialogue::new("C: STLS x\nS: -ERR*\nC: USER {user}\nS: +OK*").over(&[Channel::Plain]).run();
}

#[test]
fn nothing_behind_stls_is_acted_on() {
    let server = Server::start();
    if !speaks_tls(&server) {
        return;
    }
    let name = server.name_of(USER);
    for injected in
        [format!("USER {name}\r\n"), "N".into(), "\r\n".into(), "CAPA\r\nQUIT\r\n".into(), "\x16\x03\x01".into()]
    {
        let mut client = server.connect();
        client.send(format!("STLS\r\n{injected}").as_bytes());
        let heard = client.rest();
        let lines = heard.iter().filter(|&&octet| octet == b'\n').count();
        assert!(lines <= 1, "{injected:?} was answered: {}", heard.escape_ascii());
    }
}

#[test]
fn clear_text_in_place_of_a_handshake_is_not_answered() {
    let server = Server::start();
    if !speaks_tls(&server) {
        return;
    }
    for channel in [Channel::Stls, Channel::Tls] {
        let mut client = before_handshake(&server, channel);
        client.socket().write_all(b"CAPA\r\nQUIT\r\n").expect("send");
        let heard = client.rest();
        assert!(!heard.starts_with(b"+OK") && !heard.starts_with(b"-ERR"), "{channel:?}: {}", heard.escape_ascii());
    }
}

#[test]
fn user_given_before_stls_is_forgotten() {
    let server = Server::start();
    if !speaks_tls(&server) {
        return;
    }
    let mut client = server.connect();
    client.ok(&format!("USER {}", server.name_of(USER)));
    client.ok("STLS");
    client.handshake(client_config(&server.ca_file, &[], rustls::ALL_VERSIONS), "localhost").expect("shake hands");
    client.err(&format!("PASS {PASSWORD}"));
    client.log_in(server.name_of(USER), PASSWORD);
}

#[test]
fn stls_may_arrive_in_pieces() {
    let server = Server::start();
    if !speaks_tls(&server) {
        return;
    }
    let mut client = server.connect();
    client.send(b"STL");
    client.send(b"S\r\n");
    assert!(client.line().starts_with("+OK"));
    client.handshake(client_config(&server.ca_file, &[], rustls::ALL_VERSIONS), "localhost").expect("shake hands");
    client.ok("CAPA");
    client.multiline();
}

#[test]
fn half_a_command_between_stls_and_the_handshake_ends_the_connection() {
    let server = Server::builder().env("POPPET_LOG", "debug").start();
    if !speaks_tls(&server) {
        return;
    }
    let mut client = server.connect();
    client.ok("STLS");
    client.socket().write_all(b"US").expect("send");
    // A handshake behind it must not succeed, and so the rest of the command must find nobody.
    let config = client_config(&server.ca_file, &[], rustls::ALL_VERSIONS);
    assert!(client.handshake(config, "localhost").is_err(), "a session came to be");
    client.try_send(format!("ER {}\r\n", server.name_of(USER)).as_bytes()).ok();
    let heard = client.rest();
    assert!(!contains(&heard, b"+OK") && !contains(&heard, b"-ERR"), "{}", heard.escape_ascii());
    if ours() {
        eventually("the log has its end", || server.log().contains("CLOSED, ip=[127.0.0.1], tls=?"));
        assert!(!server.log().contains("LOGIN"), "{}", server.log());
    }
}

fn contains(octets: &[u8], part: &[u8]) -> bool {
    octets.windows(part.len()).any(|window| window == part)
}

#[test]
fn sessions_are_resumed_by_ticket() {
    let server = Server::start();
    if !speaks_tls(&server) {
        return;
    }
    let config = client_config(&server.ca_file, &["pop3"], rustls::ALL_VERSIONS);
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let mut client = before_handshake(&server, Channel::Tls);
        client.handshake(config.clone(), "localhost").expect("shake hands");
        client.line();
        kinds.push(client.tls().and_then(|tls| tls.handshake_kind()));
        client.quit();
    }
    assert_eq!(kinds, [Some(rustls::HandshakeKind::Full), Some(rustls::HandshakeKind::Resumed)]);
}
