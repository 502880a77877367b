//! Limits: time before login, connections, and what SIGTERM ends.

use std::thread;
use std::time::{Duration, Instant};

use crate::common::client::{Channel, Client, End};
use crate::common::{DEADLINE, PASSWORD, Server, USER, eventually, ours};

/// Whether a new connection is greeted with `+OK`.
fn greeted(server: &Server) -> Option<Client> {
    let mut client = Client::over(server.socket());
    client.line_or_end().is_some_and(|line| line.starts_with("+OK")).then_some(client)
}

#[test]
fn silence_before_login_is_closed_without_a_word() {
    if !ours() {
        return;
    }
    let server = Server::builder().config("limits.login-time", "\"5s\"").start();
    for channel in [Channel::Plain, Channel::Stls, Channel::Tls] {
        assert_eq!(server.connect_over(channel).rest(), b"", "{channel:?}");
    }
}

#[test]
fn silence_in_place_of_a_handshake_is_closed() {
    if !ours() {
        return;
    }
    let server = Server::builder().config("limits.login-time", "\"5s\"").start();
    let mut silent = Client::over(std::net::TcpStream::connect(server.tls).expect("connect"));
    // An alert may come, a word may not.
    assert!(!silent.rest().contains(&b'\n'));
    let mut half = server.connect();
    half.ok("STLS");
    half.send(&[0x16, 0x03]);
    half.rest();
}

#[test]
fn talking_does_not_prolong_the_time_before_login() {
    if !ours() {
        return;
    }
    let server = Server::builder().config("limits.login-time", "\"5s\"").start();
    let mut client = server.connect();
    let until = Instant::now() + DEADLINE;
    loop {
        assert!(Instant::now() < until, "still open");
        if client.try_send(b"CAPA\r\n").is_err() {
            break;
        }
        match client.line_or_end() {
            None => break,
            Some(_) => while client.line_or_end().is_some_and(|line| line != ".") {},
        }
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn time_before_login_does_not_end_a_session() {
    if !ours() {
        return;
    }
    let server = Server::builder().config("limits.login-time", "\"5s\"").start();
    let mut client = server.log_in(USER);
    thread::sleep(Duration::from_secs(7));
    client.ok("NOOP");
}

#[test]
fn one_address_has_so_many_connections_and_no_more() {
    if !ours() {
        return;
    }
    let server = Server::builder().config("limits.connections-per-address", "3").start();
    // The harness's own look at the port may still be counted for a moment.
    let mut clients = Vec::new();
    eventually("three connections", || {
        clients.extend(greeted(&server));
        clients.len() == 3
    });
    for _ in 0..5 {
        assert!(greeted(&server).is_none(), "a fourth connection was greeted");
    }
    for client in &mut clients {
        client.list("CAPA");
    }
    clients.pop();
    eventually("a place is free again", || greeted(&server).is_some());
}

#[test]
fn in_a_full_house_the_oldest_connection_that_has_not_logged_in_makes_room() {
    if !ours() {
        return;
    }
    let server = Server::builder().config("limits.connections", "3").user("bob", PASSWORD).user(USER, PASSWORD).start();
    let mut resident = server.log_in(USER);
    // The harness's own look at the port goes first, if it is still there.
    let (mut oldest, mut younger) = (server.connect_tls(), server.connect_tls());
    let mut newcomer = server.log_in("bob");
    assert_eq!(oldest.rest(), b"");
    assert_eq!(oldest.end(), End::Clean, "close_notify");
    for client in [&mut resident, &mut newcomer] {
        client.ok("NOOP");
    }
    younger.list("CAPA");
    eventually("the log has it", || server.log().contains("full house: "));
}

#[test]
fn all_addresses_have_so_many_sessions_and_no_more() {
    if !ours() {
        return;
    }
    let builder = Server::builder().config("limits.connections", "3");
    let names = ["ada", "bob", "eve"];
    let server = names.iter().fold(builder, |builder, name| builder.user(name, PASSWORD)).start();
    let mut clients: Vec<Client> = names.iter().map(|name| server.log_in(name)).collect();
    // Whether the fourth waits unaccepted or is turned away, it is not greeted while the three stay.
    let waiting = server.socket();
    waiting.set_read_timeout(Some(Duration::from_millis(300))).expect("a time");
    let mut octets = [0; 3];
    let read = std::io::Read::read(&mut &waiting, &mut octets).unwrap_or(0);
    assert_ne!(&octets[..read], b"+OK");
    drop(waiting);
    for client in &mut clients {
        client.ok("NOOP");
    }
    clients.clear();
    eventually("a place is free again", || greeted(&server).is_some());
}

#[test]
fn sigterm_ends_idle_sessions_without_an_update() {
    if !ours() {
        return;
    }
    let mut server = Server::start();
    let maildir = server.maildir(USER);
    maildir.deliver(b"Subject: x\n\n");
    let before = maildir.files();
    let mut stranger = server.connect_tls();
    let mut client = server.log_in(USER);
    client.ok("RETR 1");
    client.multiline();
    client.ok("DELE 1");
    server.terminate();
    assert!(server.wait(), "the server did not end well");
    assert!(!client.rest().starts_with(b"+OK"));
    stranger.rest();
    assert_eq!(maildir.files(), before);
}

#[test]
fn sigterm_lets_an_update_finish() {
    if !ours() {
        return;
    }
    let (mut finished, mut cut) = (0, 0);
    // Soon behind QUIT, when it may not have begun, and as soon as it surely has.
    for delay in [0, 1, 2, 4, 8, 16].map(Some).into_iter().chain([None; 4]) {
        let mut server = Server::start();
        let maildir = server.maildir(USER);
        (0..500).for_each(|_| drop(maildir.deliver(b"Subject: x\n\n")));
        let mut client = server.log_in(USER);
        client.send((1..=500).map(|number| format!("DELE {number}\r\n")).collect::<String>().as_bytes());
        (0..500).for_each(|_| assert!(client.line().starts_with("+OK")));
        client.send(b"QUIT\r\n");
        match delay {
            Some(delay) => thread::sleep(Duration::from_millis(delay)),
            None => eventually("a message is removed", || count(&maildir.path.join("new")) < 500),
        }
        server.terminate();
        assert!(server.wait(), "the server did not end well");
        let left = maildir.files().len();
        match client.line_or_end() {
            Some(reply) => assert!(reply.starts_with("+OK") && left == 0, "{reply}, and {left} messages are left"),
            None => assert!(left == 500 && delay.is_some(), "no reply, and of 500 messages {left} are left"),
        }
        if left == 0 { finished += 1 } else { cut += 1 }
    }
    eprintln!("{finished} updates finished, {cut} never began");
    assert!(finished >= 4);
}

fn count(folder: &std::path::Path) -> usize {
    std::fs::read_dir(folder).expect("read the folder").count()
}

#[test]
fn sigterm_frees_the_ports_for_the_next_server() {
    if !ours() {
        return;
    }
    let mut server = Server::start();
    let mut client = server.log_in(USER);
    server.terminate();
    assert!(server.wait());
    client.rest();
    server.start_again();
    let mut client = server.connect();
    client.log_in(USER, PASSWORD);
    client.quit();
}
