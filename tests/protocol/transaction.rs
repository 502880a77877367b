//! The TRANSACTION state: message-numbers, listings, marks.

use crate::common::client::Channel;
use crate::common::script::Dialogue;
use crate::common::{Maildir, Server, USER};

const LOGIN: &str = "C: USER {user}\nS: +OK*\nC: PASS secret\nS: +OK*\n";

fn three_messages(maildir: &Maildir) {
    maildir.deliver_named("new", "1700000001.M1.example", b"Subject: one\n\n1\n");
    maildir.deliver_named("new", "1700000002.M2.example", b"Subject: two\n\n22\n");
    maildir.deliver_named("new", "1700000003.M3.example", b"Subject: three\n\n333\n");
}

fn logged_in(script: &str) {
    Dialogue::new(&format!("{LOGIN}{script}")).mail(&three_messages).run();
}

const NO_NUMBERS: [&str; 16] = [
    "0",
    "00",
    "-1",
    "+1",
    "01x",
    "1x",
    "x1",
    "0x1",
    "1.0",
    "1,2",
    "4",
    "4294967295",
    "4294967296",
    "4294967297",
    "18446744073709551617",
    "340282366920938463463374607431768211457",
];

#[test]
fn what_is_no_message_number_is_refused_and_touches_nothing() {
    for verb in ["RETR ?", "DELE ?", "TOP ? 0", "LIST ?", "UIDL ?"] {
        let mut script = LOGIN.to_owned();
        for number in NO_NUMBERS {
            script += &format!("C: {}\nS: -ERR*\nC: NOOP\nS: +OK*\n", verb.replace('?', number));
        }
        script += "C: STAT\nS: +OK 3 62";
        Dialogue::new(&script).mail(&three_messages).over(&[Channel::Plain]).run();
    }
}

#[test]
fn behind_refused_numbers_quit_removes_nothing() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    three_messages(&maildir);
    let before = maildir.files();
    let mut client = server.log_in(USER);
    for number in NO_NUMBERS.iter().chain(&["", " ", "1\t", "\u{661}"]) {
        client.err(&format!("DELE {number}"));
        client.ok("NOOP");
    }
    client.quit();
    assert_eq!(maildir.files(), before);
}

#[test]
fn top_takes_only_a_decimal_number_of_lines() {
    for lines in ["-1", "+1", "1x", "x", "0x1", "1.0"] {
        logged_in(&format!("C: TOP 1 {lines}\nS: -ERR*\nC: NOOP\nS: +OK*"));
    }
}

#[test]
fn listings_leave_deleted_messages_out_and_keep_the_numbers() {
    logged_in(
        "C: DELE 2\nS: +OK*\nC: STAT\nS: +OK 2 42
         C: LIST\nS: +OK*\nS: 1 19\nS: 3 23\nS: .
         C: UIDL\nS: +OK*\nS: 1 1700000001.M1.example\nS: 3 1700000003.M3.example\nS: .
         C: RETR 3\nS: +OK 23 *\nS: Subject: three\nS: \nS: 333\nS: .",
    );
}

#[test]
fn deleted_message_is_refused_whatever_asks_for_it() {
    logged_in(
        "C: DELE 2\nS: +OK*\nC: RETR 2\nS: -ERR*\nC: TOP 2 0\nS: -ERR*\nC: LIST 2\nS: -ERR*\nC: UIDL 2\nS: -ERR*
         C: DELE 2\nS: -ERR*\nC: STAT\nS: +OK 2 42",
    );
}

#[test]
fn rset_unmarks_everything() {
    logged_in(
        "C: DELE 1\nS: +OK*\nC: DELE 3\nS: +OK*\nC: STAT\nS: +OK 1 20\nC: RSET\nS: +OK*\nC: STAT\nS: +OK 3 62
         C: LIST 1\nS: +OK 1 19\nC: DELE 1\nS: +OK*\nC: RSET\nS: +OK*\nC: QUIT\nS: +OK*\nS: <eof>",
    );
}

#[test]
fn behind_rset_quit_removes_nothing() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    three_messages(&maildir);
    let before = maildir.files();
    let mut client = server.log_in(USER);
    for number in 1..=3 {
        client.ok(&format!("DELE {number}"));
    }
    client.ok("RSET");
    client.quit();
    assert_eq!(maildir.files(), before);
}

#[test]
fn rset_never_reads_the_maildir_again() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    three_messages(&maildir);
    let mut client = server.log_in(USER);
    maildir.deliver_named("new", "1600000000.M0.example", b"Subject: early\n\n");
    client.ok("RSET");
    assert_eq!(client.ok("STAT"), "+OK 3 62");
    assert_eq!(client.list("LIST"), ["1 19", "2 20", "3 23"]);
}

#[test]
fn list_and_uidl_of_one_message_echo_its_number() {
    logged_in("C: LIST 3\nS: +OK 3 23\nC: UIDL 3\nS: +OK 3 1700000003.M3.example\nC: LIST 1\nS: +OK 1 19");
}

#[test]
fn retr_says_how_many_octets_follow() {
    logged_in(
        "C: RETR 1\nS: +OK 19 octets*\nS: Subject: one\nS: \nS: 1\nS: .\nC: RETR 1\nS: +OK 19 octets*\nS: <lines>",
    );
}

#[test]
fn top_sends_the_header_and_so_many_lines() {
    Dialogue::new(&format!(
        "{LOGIN}C: TOP 1 0\nS: +OK*\nS: A: 1\nS: B: 2\nS: \nS: .
         C: TOP 1 1\nS: +OK*\nS: A: 1\nS: B: 2\nS: \nS: one\nS: .
         C: TOP 1 2\nS: +OK*\nS: A: 1\nS: B: 2\nS: \nS: one\nS: \nS: .
         C: TOP 1 3\nS: +OK*\nS: A: 1\nS: B: 2\nS: \nS: one\nS: \nS: ..three\nS: .
         C: TOP 1 99999999\nS: +OK*\nS: A: 1\nS: B: 2\nS: \nS: one\nS: \nS: ..three\nS: .
         C: STAT\nS: +OK 1 29"
    ))
    .mail(&|maildir| {
        maildir.deliver(b"A: 1\nB: 2\n\none\n\n.three\n");
    })
    .run();
}

#[test]
fn dele_says_ok_and_nothing_is_gone_before_quit() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    three_messages(&maildir);
    let before = maildir.files();
    let mut client = server.log_in(USER);
    client.ok("DELE 1");
    client.ok("NOOP");
    assert_eq!(maildir.files(), before);
    client.quit();
    assert_eq!(maildir.names(), ["new/1700000002.M2.example", "new/1700000003.M3.example"]);
}

#[test]
fn messages_that_are_left_move_up_in_the_next_session() {
    let server = Server::start();
    three_messages(&server.maildir(USER));
    let mut client = server.log_in(USER);
    client.ok("DELE 1");
    client.quit();
    let mut client = server.log_in(USER);
    assert_eq!(client.list("UIDL"), ["1 1700000002.M2.example", "2 1700000003.M3.example"]);
}

#[test]
fn reply_to_quit_comes_when_the_messages_are_gone() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    for _ in 0..20 {
        three_messages(&maildir);
        let mut client = server.log_in(USER);
        client.send(b"DELE 1\r\nDELE 2\r\nDELE 3\r\nQUIT\r\n");
        (0..4).for_each(|_| assert!(client.line().starts_with("+OK")));
        assert_eq!(maildir.names(), Vec::<String>::new());
        client.rest();
    }
}

#[test]
fn long_listings_are_whole() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    for _ in 0..3_000 {
        maildir.deliver(b"Subject: x\n\nx\n");
    }
    for &channel in server.channels() {
        let mut client = server.connect_over(channel);
        client.log_in(server.name_of(USER), crate::common::PASSWORD);
        for command in ["LIST", "UIDL"] {
            let listed = client.list(command);
            assert_eq!(listed.len(), 3_000);
            for (at, line) in listed.iter().enumerate() {
                assert!(line.starts_with(&format!("{} ", at + 1)), "{command} line {at}: {line}");
            }
        }
        assert_eq!(client.ok("STAT"), "+OK 3000 51000");
        client.quit();
    }
}
