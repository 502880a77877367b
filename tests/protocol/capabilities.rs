//! CAPA, UTF8, LANG, and how short replies travel.

use std::collections::BTreeSet;

use crate::common::client::{Channel, Client};
use crate::common::script::{Dialogue, dialogue};
use crate::common::{PASSWORD, Server, USER, ours};

fn tags(offered: &[String]) -> BTreeSet<&str> {
    offered.iter().map(|line| line.split(' ').next().expect("a tag")).collect()
}

fn without<'a>(tags: &BTreeSet<&'a str>, left_out: &[&str]) -> BTreeSet<&'a str> {
    tags.iter().copied().filter(|tag| !left_out.contains(tag)).collect()
}

#[test]
fn capa_is_the_same_before_and_after_login() {
    let server = Server::start();
    for &channel in server.channels() {
        let mut client = server.connect_over(channel);
        let before = client.list("CAPA");
        client.log_in(server.name_of(USER), PASSWORD);
        let after = client.list("CAPA");
        assert_eq!(
            without(&tags(&before), &["STLS", "SASL"]),
            without(&tags(&after), &["STLS", "SASL"]),
            "{channel:?}"
        );
        assert!(!tags(&after).contains("STLS"), "{after:?}");
        client.quit();
    }
}

#[test]
fn capa_names_what_is_there_and_nothing_else() {
    let server = Server::start();
    let offered = server.connect().list("CAPA");
    let tags = tags(&offered);
    let wanted =
        ["TOP", "UIDL", "USER", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "SASL", "UTF8", "LANG", "IMPLEMENTATION"];
    for tag in wanted {
        assert!(tags.contains(tag), "{tag} is missing: {offered:?}");
    }
    for tag in ["EXPIRE", "LOGIN-DELAY", "APOP"] {
        assert!(!tags.contains(tag), "{tag} is no true promise: {offered:?}");
    }
    assert_eq!(tags.len(), offered.len(), "a tag twice: {offered:?}");
    assert!(tags.iter().all(|tag| *tag == tag.to_uppercase()), "{offered:?}");
    let sasl = offered.iter().find(|line| line.starts_with("SASL ")).expect("SASL");
    assert!(sasl.split(' ').any(|name| name == "PLAIN") && sasl.split(' ').any(|name| name == "LOGIN"), "{sasl}");
}

#[test]
fn capa_offers_stls_only_where_it_would_work() {
    let server = Server::start();
    for &channel in server.channels() {
        let offered = server.connect_over(channel).list("CAPA");
        assert_eq!(tags(&offered).contains("STLS"), channel == Channel::Plain, "{channel:?}: {offered:?}");
    }
    if ours() {
        let server = Server::builder().tls(false).start();
        assert!(!tags(&server.connect().list("CAPA")).contains("STLS"));
    }
}

#[test]
fn utf8_is_accepted_before_and_after_login() {
    dialogue("C: UTF8\nS: +OK*\nC: USER {user}\nS: +OK*\nC: PASS secret\nS: +OK*\nC: NOOP\nS: +OK*");
    dialogue("C: USER {user}\nS: +OK*\nC: PASS secret\nS: +OK*\nC: UTF8\nS: +OK*\nC: NOOP\nS: +OK*");
}

#[test]
fn lang_lists_en_and_i_default() {
    let server = Server::start();
    let mut client = server.connect();
    let listed = client.list("LANG");
    assert_eq!(tags(&listed), BTreeSet::from(["en", "i-default"]));
    client.log_in(server.name_of(USER), PASSWORD);
    assert_eq!(client.list("LANG"), listed);
}

#[test]
fn lang_takes_what_it_lists_and_refuses_the_rest() {
    dialogue(
        "C: LANG en\nS: +OK*\nC: LANG i-default\nS: +OK*\nC: LANG *\nS: +OK*\nC: LANG tlh\nS: -ERR*\nC: LANG EN\nS: +OK*",
    );
}

#[test]
fn short_replies_travel_in_one_piece() {
    let server = Server::start();
    server.maildir(USER).deliver(b"Subject: x\n\nx\n");
    for &channel in server.channels() {
        let mut client = server.connect_over(channel);
        let one = |client: &mut Client, command: String, end: &[u8]| {
            client.send(command.as_bytes());
            let read = client.one_read();
            assert!(read.ends_with(end), "{channel:?}, {command}: {}", read.escape_ascii());
        };
        one(&mut client, "CAPA\r\n".into(), b"\r\n.\r\n");
        one(&mut client, format!("USER {}\r\n", server.name_of(USER)), b"\r\n");
        one(&mut client, format!("PASS {PASSWORD}\r\n"), b"\r\n");
        for command in ["STAT", "LIST 1", "UIDL 1", "NOOP", "RSET", "XXXX", "QUIT"] {
            one(&mut client, format!("{command}\r\n"), b"\r\n");
        }
    }
}

#[test]
fn greeting_travels_in_one_piece() {
    let server = Server::start();
    let read = Client::over(server.socket()).one_read();
    assert!(read.starts_with(b"+OK") && read.ends_with(b"\r\n"), "{}", read.escape_ascii());
}

#[test]
fn what_a_client_says_is_never_echoed() {
    let server = Server::start();
    let canary = "XYZZYPLUGH";
    let mut client = server.connect();
    let ask = |client: &mut Client, command: &str| {
        let reply = client.cmd(&command.replace('?', canary));
        assert!(!reply.to_uppercase().contains(canary), "{command}: {reply}");
    };
    for command in ["?", "USER ?", "PASS ?", "AUTH ?"] {
        ask(&mut client, command);
    }
    client.log_in(server.name_of(USER), PASSWORD);
    for command in ["?", "RETR ?", "DELE ?", "LIST ?", "UIDL ?", "TOP ? 1", "TOP 1 ?", "STAT ?", "NOOP ?", "LANG ?"] {
        ask(&mut client, command);
    }
}

#[test]
fn stls_after_utf8_is_refused() {
    Dialogue::new("C: UTF8\nS: +OK*\nC: STLS\nS: -ERR*\nC: USER {user}\nS: +OK*\nC: PASS secret\nS: +OK*")
        .over(&[Channel::Plain])
        .run();
}
