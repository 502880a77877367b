//! Wrong passwords slow down the address that they come from, and no other.
//!
//! Pauses are measured by a virtual clock in `src/server/house/tests/strangers.rs`; here only what comes before what
//! counts, and each order has seconds to spare.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::common::client::{Channel, Client};
use crate::common::{Builder, PASSWORD, Server, USER, eventually, has_ipv6, ours};

const GUESSER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 10);

/// A server that makes an exception for nobody, as it is by default.
fn strict() -> Builder {
    Server::builder().config("login.penalty-free", "[]")
}

/// Says something wrong without listening for the reply.
fn guess(client: &mut Client, password: &str) {
    client.send(format!("USER {USER}\r\nPASS {password}\r\n").as_bytes());
    assert!(client.line().starts_with("+OK"));
}

/// Whether it has been told something by now.
fn has_heard(client: &Client) -> bool {
    client.socket().set_nonblocking(true).expect("no waiting");
    let heard = client.socket().peek(&mut [0]).is_ok();
    client.socket().set_nonblocking(false).expect("waiting");
    heard
}

#[test]
fn guesser_waits_while_another_address_logs_in() {
    if !ours() {
        return;
    }
    let server = strict().start();
    let mut guesser = Client::connect_from(GUESSER, &server);
    for _ in 0..2 {
        guess(&mut guesser, "wrong");
        assert!(guesser.line().starts_with("-ERR [AUTH]"));
    }
    // Four seconds for this one, and then eight for the next.
    guess(&mut guesser, "wrong");
    let mut rival = Client::connect_from(GUESSER, &server);
    guess(&mut rival, "wrong");
    let mut other = Client::connect_from(OTHER, &server);
    other.log_in(USER, PASSWORD);
    assert!(!has_heard(&rival), "the pauses are for everybody");
    other.quit();
    assert!(guesser.line().starts_with("-ERR [AUTH]"));
    assert_eq!(guesser.line_or_end(), None, "the third wrong password closes");
    // The address is slow, and not shut.
    let mut right = Client::connect_from(GUESSER, &server);
    right.log_in(USER, PASSWORD);
    assert!(has_heard(&rival), "whose turn it was before");
    assert!(rival.line().starts_with("-ERR [AUTH]"));
    right.quit();
}

#[test]
fn fifty_connections_have_the_guesses_of_one_and_their_passwords_are_in_no_log() {
    if !ours() {
        return;
    }
    let canary = "canary-4d1e!";
    let server = strict().env("POPPET_LOG", "trace").start();
    let mut clients: Vec<Client> = (0..50).map(|_| Client::connect_from(GUESSER, &server)).collect();
    clients.iter_mut().for_each(|client| guess(client, canary));
    let (mut wrong, mut unchecked) = (0, 0);
    for client in &mut clients {
        let reply = client.line();
        assert!(!reply.contains("lock") && !reply.contains("wait"), "{reply}");
        match reply {
            reply if reply.starts_with("-ERR [AUTH]") => wrong += 1,
            reply if reply.starts_with("-ERR [SYS/TEMP] too many wrong passwords") => unchecked += 1,
            reply => panic!("{reply}"),
        }
    }
    // At 0, 1, 3, 7 and 15 seconds; a slow machine has fewer.
    assert!((1..=5).contains(&wrong) && wrong + unchecked == 50, "{wrong} wrong, {unchecked} unchecked");
    let log = server.log();
    assert_eq!(log.matches("LOGIN FAILED, ").count(), wrong, "{log}");
    assert!(log.contains("LOGIN REFUSED, ") && !log.contains(canary), "{log}");
    assert!(log.matches("LOGIN REFUSED, ").count() <= 20, "ten lines a minute:\n{log}");
}

#[test]
fn networks_without_penalty_guess_as_they_like_and_the_log_tells_ten_lines_a_minute() {
    if !ours() {
        return;
    }
    let server = Server::builder().config("login.penalty-free", "[\"127.0.0.9\"]").start();
    // Fifteen at their pace would take two minutes, and the third of each connection closes it.
    for _ in 0..5 {
        let mut client = Client::connect_from(GUESSER, &server);
        for _ in 0..3 {
            client.cmd(&format!("USER {USER}"));
            assert!(client.cmd("PASS wrong").starts_with("-ERR [AUTH]"));
        }
        assert_eq!(client.line_or_end(), None);
    }
    assert_eq!(server.log().matches("LOGIN FAILED, ").count(), 10, "{}", server.log());
}

#[test]
fn connection_that_hangs_up_during_its_pause_is_gone() {
    if !ours() {
        return;
    }
    // The harness's own look at the port came from another address.
    let server = strict().config("limits.connections-per-address", "1").start();
    let mut guesser = Client::connect_from(GUESSER, &server);
    for _ in 0..2 {
        guess(&mut guesser, "wrong");
        assert!(guesser.line().starts_with("-ERR [AUTH]"));
    }
    guess(&mut guesser, "wrong");
    eventually("it pauses, for four seconds", || server.log().matches("LOGIN FAILED, ").count() == 3);
    drop(guesser);
    let mut again = Client::connect_from(GUESSER, &server);
    again.ok(&format!("USER {USER}"));
}

#[test]
fn ipv6_is_slowed_by_its_64_and_named_in_the_log() {
    if !ours() || !has_ipv6() {
        return;
    }
    let server = strict().listen_also(Ipv6Addr::LOCALHOST.into()).start();
    let mut guesser = Client::connect_at(server.also[0][0], &server, Channel::Plain);
    for _ in 0..2 {
        guess(&mut guesser, "wrong");
        assert!(guesser.line().starts_with("-ERR [AUTH]"));
    }
    guess(&mut guesser, "wrong");
    Client::connect_from(OTHER, &server).log_in(USER, PASSWORD);
    assert!(!has_heard(&guesser));
    eventually("the log has them", || server.log().matches(", ip=[::1]").count() == 3);
}
