//! `[listen] proxy-from`: the PROXY header, over real sockets. A real HAProxy is in `tests/haproxy.rs`.

use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::common::certificates::client_config;
use crate::common::client::{Channel, Client};
use crate::common::{PASSWORD, Server, USER, eventually, ours};

/// What a proxy says of a client at `192.0.2.7`: a line, the same with a mapped address, and binary with a TLV behind it.
const HEADERS: [&[u8]; 3] = [
    b"PROXY TCP4 192.0.2.7 203.0.113.1 1100 110\r\n",
    b"PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 1100 110\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10\xc0\0\x02\x07\xcb\0\x71\x01\x04\x4c\0\x6e\x04\0\x01\0",
];

/// A server whose proxies are at 127.0.0.1, and whose clients at 192.0.2.0/24 need no TLS.
fn behind_a_proxy(settings: &[(&str, &str)]) -> Server {
    let builder = Server::builder()
        .config("listen.proxy-from", "[\"127.0.0.1\"]")
        .config("login.plaintext-from", "[\"192.0.2.0/24\"]");
    settings.iter().fold(builder, |builder, (key, value)| builder.config(key, value)).start()
}

fn socket(server: &Server, channel: Channel) -> Client {
    Client::over(TcpStream::connect(if channel == Channel::Tls { server.tls } else { server.plain }).expect("connect"))
}

/// A client that the proxy at our end has announced by `header`, with the greeting read.
fn announced(server: &Server, channel: Channel, header: &[u8]) -> Client {
    let mut client = socket(server, channel);
    client.send(header);
    let config = client_config(&server.ca_file, &["pop3"], rustls::ALL_VERSIONS);
    if channel == Channel::Tls {
        client.handshake(config.clone(), "localhost").expect("shake hands");
    }
    client.greeting = client.line();
    if channel == Channel::Stls {
        client.ok("STLS");
        client.handshake(config, "localhost").expect("shake hands");
    }
    client
}

#[test]
fn address_in_the_header_is_the_client_on_every_channel() {
    if !ours() {
        return;
    }
    let server = behind_a_proxy(&[]);
    server.maildir(USER).deliver(b"Subject: x\n\n");
    let mut sessions = 0;
    for &channel in server.channels() {
        for header in HEADERS {
            let mut client = announced(&server, channel, header);
            client.log_in(USER, PASSWORD);
            assert_eq!(client.body("RETR 1"), b"Subject: x\r\n\r\n", "{channel:?}");
            client.quit();
            sessions += 1;
        }
    }
    let mut wrong = announced(&server, Channel::Plain, HEADERS[2]);
    wrong.ok(&format!("USER {USER}"));
    wrong.err("PASS wrong");
    let said = |what: &str| server.log().matches(&format!("{what}, user={USER}, ")).count();
    eventually("all ends are in the log", || said("LOGOUT") == sessions && said("LOGIN FAILED") == 1);
    let log = server.log();
    let lines = log.lines().filter(|line| line.contains("user="));
    assert!(lines.clone().all(|line| line.contains("ip=[192.0.2.7]")), "{log}");
    assert_eq!(lines.count(), 2 * sessions + 1, "{log}");
}

#[test]
fn nothing_is_said_before_the_header_and_nothing_behind_it_is_lost() {
    if !ours() {
        return;
    }
    let server = behind_a_proxy(&[]);
    for header in HEADERS {
        let all = [header, b"CAPA\r\nQUIT\r\n"].concat();
        for cut in 1..all.len() {
            let mut client = socket(&server, Channel::Plain);
            client.send(&all[..cut]);
            if cut % 8 == 0 {
                // Time for the server to read the first piece alone; the outcome must be the same without.
                thread::sleep(Duration::from_millis(10));
            }
            client.send(&all[cut..]);
            let said = String::from_utf8(client.rest()).expect("ASCII");
            assert!(said.starts_with("+OK poppet ready\r\n+OK capabilities\r\n"), "cut at {cut}: {said}");
            assert!(said.ends_with("\r\n.\r\n+OK bye\r\n"), "cut at {cut}: {said}");
        }
    }
}

#[test]
fn no_header_or_a_bad_one_is_closed_without_a_word() {
    if !ours() {
        return;
    }
    let server = behind_a_proxy(&[("limits.login-time", "\"5s\"")]);
    let long = format!("PROXY UNKNOWN {}\r\n", "f".repeat(93));
    let cases: [&[u8]; 9] = [
        b"CAPA\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"PROXY TCP4 192.0.2.7 203.0.113.1 1100\r\n",
        b"PROXY TCP4 192.0.2.7 203.0.113.1 1100 110\n",
        long.as_bytes(),
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x04\xc0\0\x02\x07",
        // These two do not come to their ends.
        b"PROXY TCP4 192.0.2.7",
        b"",
    ];
    let mut clients = Vec::new();
    for said in cases {
        for channel in [Channel::Plain, Channel::Tls] {
            let mut client = socket(&server, channel);
            client.send(said);
            clients.push((said, client));
        }
    }
    for (said, mut client) in clients {
        assert_eq!(client.rest(), b"", "{}", said.escape_ascii());
    }
    let log = server.log();
    assert_eq!(log.matches("user=-, ip=[127.0.0.1]: no PROXY header, and [listen] proxy-from has").count(), 4, "{log}");
    assert_eq!(log.matches("user=-, ip=[127.0.0.1]: the PROXY header is malformed").count(), 6, "{log}");
    assert_eq!(log.matches("user=-, ip=[127.0.0.1]: the PROXY header is too long").count(), 4, "{log}");
}

#[test]
fn header_where_none_is_due_closes_and_is_not_believed() {
    if !ours() {
        return;
    }
    let server = Server::start();
    for header in HEADERS {
        let mut client = server.connect();
        client.send(&[header, b"CAPA\r\n"].concat());
        let said = client.rest();
        assert!(!said.windows(3).any(|three| three == b"+OK"), "{}", said.escape_ascii());
        let mut client = socket(&server, Channel::Tls);
        client.send(header);
        assert!(!client.rest().contains(&b'\n'), "an alert may come, a word may not");
    }
    assert!(!server.log().contains("192.0.2.7"), "{}", server.log());
}

#[test]
fn proxy_that_speaks_for_itself_keeps_its_own_address() {
    if !ours() {
        return;
    }
    let server = behind_a_proxy(&[("limits.connections-per-address", "2")]);
    let local: [&[u8]; 2] = [b"PROXY UNKNOWN\r\n", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"];
    let mut clients: Vec<Client> =
        (0..6).map(|n| announced(&server, [Channel::Plain, Channel::Tls][n / 2 % 2], local[n % 2])).collect();
    // 127.0.0.1 is not in plaintext-from.
    assert!(clients[0].err(&format!("USER {USER}")).contains("TLS"));
    clients[2].log_in(USER, PASSWORD);
    eventually("the login is in the log", || server.log().contains("LOGIN, user=ada, ip=[127.0.0.1], tls=1.3"));
}

#[test]
fn connections_are_counted_for_the_client_behind_the_proxy() {
    if !ours() {
        return;
    }
    let server = behind_a_proxy(&[("limits.connections-per-address", "2")]);
    let mut clients: Vec<Client> = (0..2).map(|n| announced(&server, Channel::Plain, HEADERS[n])).collect();
    let third = announced(&server, Channel::Plain, HEADERS[2]);
    assert_eq!(third.greeting, "-ERR [SYS/TEMP] too many connections");
    let mut third = socket(&server, Channel::Tls);
    third.send(HEADERS[2]);
    assert_eq!(third.rest(), b"");
    let other = announced(&server, Channel::Plain, b"PROXY TCP4 192.0.2.8 203.0.113.1 1100 110\r\n");
    assert!(other.greeting.starts_with("+OK"), "{}", other.greeting);
    clients.pop();
    eventually("a place is free again", || announced(&server, Channel::Plain, HEADERS[2]).greeting.starts_with("+OK"));
}
