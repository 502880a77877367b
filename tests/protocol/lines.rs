//! Lines: verbs, their ends, their length, and how many of them come at once.

use crate::common::client::Channel;
use crate::common::script::{Dialogue, dialogue};
use crate::common::{Maildir, Server, USER};

const LOGIN: &str = "C: USER {user}\nS: +OK*\nC: PASS secret\nS: +OK*\n";

fn two_messages(maildir: &Maildir) {
    maildir.deliver_named("new", "1700000001.M1.example", b"Subject: one\n\n1\n");
    maildir.deliver_named("new", "1700000002.M2.example", b"Subject: two\n\n2\n");
}

/// A dialogue of a user who has logged in to two messages of 19 octets.
fn logged_in(script: &str) {
    Dialogue::new(&format!("{LOGIN}{script}")).mail(&two_messages).run();
}

#[test]
fn verbs_have_no_case() {
    Dialogue::new("C: user {user}\nS: +OK*\nC: pAsS secret\nS: +OK*\nC: sTAT\nS: +OK 2 38\nC: quit\nS: +OK*\nS: <eof>")
        .mail(&two_messages)
        .run();
}

#[test]
fn lf_alone_ends_a_line() {
    Dialogue::new("C= USER {user}\\n\nS: +OK*\nC= PASS secret\\n\nS: +OK*\nC= STAT\\nNOOP\\r\\n\nS: +OK 2 38\nS: +OK*")
        .mail(&two_messages)
        .run();
}

#[test]
fn trailing_spaces_are_ignored() {
    logged_in(
        "C= STAT   \\r\\n\nS: +OK 2 38\nC= LIST 2  \\r\\n\nS: +OK 2 19\nC= NOOP \\n\nS: +OK*\nC= QUIT \\r\\n\nS: +OK*\nS: <eof>",
    );
}

#[test]
fn too_many_arguments_are_refused() {
    for command in ["STAT 1", "LIST 1 2", "UIDL 1 2", "RETR 1 2", "TOP 1 2 3", "DELE 1 2", "NOOP x", "RSET x", "QUIT x"]
    {
        let script = format!("{LOGIN}C: {command}\nS: -ERR*\nC: STAT\nS: +OK 2 38");
        Dialogue::new(&script).mail(&two_messages).over(&[Channel::Plain]).run();
    }
    dialogue("C: USER {user} x\nS: -ERR*\nC: QUIT x\nS: -ERR*\nC: USER {user}\nS: +OK*");
}

#[test]
fn missing_arguments_are_refused() {
    logged_in("C: RETR\nS: -ERR*\nC: DELE\nS: -ERR*\nC: TOP\nS: -ERR*\nC: TOP 1\nS: -ERR*\nC: STAT\nS: +OK 2 38");
}

#[test]
fn nul_in_a_line_is_refused_and_nothing_is_done() {
    logged_in(
        "C: DELE 1\\0 2\nS: -ERR*\nC: DELE 1\\0\nS: -ERR*\nC: \\0DELE 1\nS: -ERR*\nC: DE\\0LE 1\nS: -ERR*
         C: QUIT\\0\nS: -ERR*\nC: STAT\nS: +OK 2 38",
    );
    dialogue("C: USER {user}\\0x\nS: -ERR*\nC: USER {user}\nS: +OK*\nC: PASS secret\\0\nS: -ERR*\nC: \\0\nS: -ERR*");
}

#[test]
fn line_of_512_octets_is_read() {
    for length in [511, 512] {
        logged_in(&format!("C= NOOP{}\\r\\n\nS: +OK*\nC: STAT\nS: +OK 2 38", " ".repeat(length - 6)));
    }
}

#[test]
fn line_of_513_octets_is_refused_once() {
    logged_in(&format!("C= NOOP{}\\r\\n\nS: -ERR*\nC: STAT\nS: +OK 2 38", " ".repeat(513 - 6)));
}

#[test]
fn no_part_of_an_over_long_line_is_run() {
    for length in [600, 1_030, 5_000, 60_000] {
        let filling = "x".repeat(length);
        logged_in(&format!("C: DELE 1 {filling}DELE 2\nS: -ERR*\nC: STAT\nS: +OK 2 38"));
        let filling = " ".repeat(length);
        logged_in(&format!("C: DELE 1{filling} DELE 2\nS: -ERR*\nC: STAT\nS: +OK 2 38"));
    }
}

#[test]
fn over_long_line_before_login_is_refused_once() {
    dialogue(&format!("C: USER {}\nS: -ERR*\n{LOGIN}", "x".repeat(2_000)));
}

#[test]
fn line_of_more_than_64_kib_closes() {
    let long = "x".repeat(70_000);
    logged_in(&format!("C= {long}\nS: -ERR*\nS: <eof>"));
    dialogue(&format!("C= {long}\nS: -ERR*\nS: <eof>"));
}

#[test]
fn empty_lines_and_unknown_verbs_are_refused_and_the_session_lives() {
    dialogue(&format!("C:\nS: -ERR*\nC: HELO\nS: -ERR*\nC:  \nS: -ERR*\nC:  USER {{user}}\nS: -ERR*\n{LOGIN}"));
    logged_in(
        "C:\nS: -ERR*\nC: XYZ 1\nS: -ERR*\nC: STATS\nS: -ERR*\nC: STA\nS: -ERR*\nC= \\n\nS: -ERR*\nC: STAT\nS: +OK 2 38",
    );
}

#[test]
fn fifth_bad_command_in_a_row_before_login_closes() {
    dialogue(&format!("{}S: <eof>", "C: HELO\nS: -ERR*\n".repeat(5)));
    let almost = "C: HELO\nS: -ERR*\n".repeat(4);
    dialogue(&format!("{almost}C: CAPA\nS: +OK*\nS: <lines>\n{almost}{LOGIN}"));
}

#[test]
fn twentieth_bad_command_in_a_row_after_login_closes() {
    logged_in(&format!("{}S: <eof>", "C: HELO\nS: -ERR*\n".repeat(20)));
    let almost = "C: HELO\nS: -ERR*\n".repeat(19);
    logged_in(&format!("{almost}C: NOOP\nS: +OK*\n{almost}C: STAT\nS: +OK 2 38"));
}

#[test]
fn thousand_pipelined_commands_get_a_thousand_replies_in_order() {
    let asked = "C: NOOP\nC: LIST 1\nC: LIST 2\nC: LIST 3\n".repeat(250);
    let told = "S: +OK*\nS: +OK 1 19\nS: +OK 2 19\nS: -ERR*\n".repeat(250);
    logged_in(&format!("{asked}{told}C: QUIT\nS: +OK*\nS: <eof>"));
}

#[test]
fn multi_line_replies_can_be_pipelined() {
    let asked = "C: UIDL\nC: LIST\nC: RETR 1\nC: TOP 2 0\nC: CAPA\n".repeat(50);
    let told = "S: +OK*\nS: <lines>\n".repeat(250);
    logged_in(&format!("{asked}C: STAT\n{told}S: +OK 2 38"));
}

#[test]
fn what_comes_behind_quit_is_not_run() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    two_messages(&maildir);
    let mut client = server.log_in(USER);
    client.send(b"DELE 1\r\nQUIT\r\nDELE 2\r\nNOOP\r\n");
    client.line();
    client.line();
    assert_eq!(client.rest(), b"");
    assert_eq!(maildir.names(), ["new/1700000002.M2.example"]);
}
