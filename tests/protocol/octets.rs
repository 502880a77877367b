//! The octets of a message: line ends, dots, counts.

use crate::common::client::Client;
use crate::common::script::Dialogue;
use crate::common::{Maildir, PASSWORD, Server, USER};

/// What is stored, and what a client must have when it has undone the dots.
const PAIRS: [(&[u8], &[u8]); 32] = [
    (b"a: 1\n\nb\n", b"a: 1\r\n\r\nb\r\n"),
    (b"a: 1\r\n\r\nb\r\n", b"a: 1\r\n\r\nb\r\n"),
    (b"a: 1\r\n\nb\nc\r\n", b"a: 1\r\n\r\nb\r\nc\r\n"),
    (b"a\rb\n", b"a\rb\r\n"),
    (b"a\r\r\nb\n", b"a\r\r\nb\r\n"),
    (b"a", b"a\r\n"),
    (b"a\n\nb", b"a\r\n\r\nb\r\n"),
    (b"a\r", b"a\r\r\n"),
    (b"a\n\r", b"a\r\n\r\r\n"),
    (b"a\r\n\r", b"a\r\n\r\r\n"),
    (b"\r", b"\r\r\n"),
    (b"\n", b"\r\n"),
    (b"\r\n", b"\r\n"),
    (b"", b""),
    (b".", b".\r\n"),
    (b".\n", b".\r\n"),
    (b".\r\n", b".\r\n"),
    (b"..\n", b"..\r\n"),
    (b".a\n..b\n.\n...\n", b".a\r\n..b\r\n.\r\n...\r\n"),
    (b".\r", b".\r\r\n"),
    (b"a\r.\n", b"a\r.\r\n"),
    (b"a\r.\r\n.b\r\n", b"a\r.\r\n.b\r\n"),
    (b"a\n.", b"a\r\n.\r\n"),
    (b"a.\n.b.\n", b"a.\r\n.b.\r\n"),
    (b"\n.\n", b"\r\n.\r\n"),
    (b"a\n.\n.\n.\nb\n", b"a\r\n.\r\n.\r\n.\r\nb\r\n"),
    (b"\0", b"\0\r\n"),
    (b"a\0b\n\0\n", b"a\0b\r\n\0\r\n"),
    (b"\xff\xfe\x80\n\xe9", b"\xff\xfe\x80\r\n\xe9\r\n"),
    (b"\x1a\x04\x0c\n", b"\x1a\x04\x0c\r\n"),
    (b"Subject: no empty line\n", b"Subject: no empty line\r\n"),
    (b"Subject: nor a line end", b"Subject: nor a line end\r\n"),
];

fn deliver_pairs(maildir: &Maildir) {
    for (stored, _) in PAIRS {
        maildir.deliver(stored);
    }
}

fn logged_in_over_each(test: impl Fn(&mut Client), lay: impl Fn(&Maildir)) {
    let server = Server::start();
    lay(&server.maildir(USER));
    for &channel in server.channels() {
        let mut client = server.connect_over(channel);
        client.log_in(server.name_of(USER), PASSWORD);
        test(&mut client);
        client.ok("RSET");
        client.quit();
    }
}

/// The number behind `+OK` of RETR.
fn octets_said(status: &str) -> usize {
    let number = status.strip_prefix("+OK ").and_then(|rest| rest.split(' ').next());
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no number of octets: {status}"))
}

/// TOP as RFC 1939 has it, of a message as RETR sends it.
fn top(wire: &[u8], lines: usize) -> Vec<u8> {
    let mut left = None;
    let mut sent = Vec::new();
    for line in wire.split_inclusive(|&octet| octet == b'\n') {
        match &mut left {
            None if line == b"\r\n" => left = Some(lines),
            None => {}
            Some(0) => break,
            Some(left) => *left -= 1,
        }
        sent.extend_from_slice(line);
    }
    sent
}

#[test]
fn retr_sends_each_message_with_crlf_line_ends() {
    let test = |client: &mut Client| {
        for (at, (stored, wire)) in PAIRS.iter().enumerate() {
            let sent = client.body(&format!("RETR {}", at + 1));
            assert_eq!(sent.escape_ascii().to_string(), wire.escape_ascii().to_string(), "{}", stored.escape_ascii());
        }
    };
    logged_in_over_each(test, deliver_pairs);
}

#[test]
fn list_stat_and_retr_count_the_same_octets() {
    let test = |client: &mut Client| {
        let listed = client.list("LIST");
        let mut sum = 0;
        for (at, (stored, wire)) in PAIRS.iter().enumerate() {
            let number = at + 1;
            let stored = stored.escape_ascii();
            sum += wire.len();
            assert_eq!(listed[at], format!("{number} {}", wire.len()), "{stored}");
            assert_eq!(client.ok(&format!("LIST {number}")), format!("+OK {number} {}", wire.len()), "{stored}");
            assert_eq!(octets_said(&client.ok(&format!("RETR {number}"))), wire.len(), "{stored}");
            client.multiline();
        }
        assert_eq!(client.ok("STAT"), format!("+OK {} {sum}", PAIRS.len()));
    };
    logged_in_over_each(test, deliver_pairs);
}

#[test]
fn top_is_a_prefix_of_what_retr_sends() {
    let test = |client: &mut Client| {
        for (at, (stored, wire)) in PAIRS.iter().enumerate() {
            for lines in [0, 1, 2, 3, 99_999_999] {
                let sent = client.body(&format!("TOP {} {lines}", at + 1));
                let wanted = top(wire, lines);
                let what = format!("TOP with {lines} lines of {}", stored.escape_ascii());
                assert_eq!(sent.escape_ascii().to_string(), wanted.escape_ascii().to_string(), "{what}");
            }
        }
    };
    logged_in_over_each(test, deliver_pairs);
}

#[test]
fn top_counts_lines_of_a_message_stored_with_crlf() {
    let test = |client: &mut Client| assert_eq!(client.body("TOP 1 1"), b"A: 1\r\n\r\none\r\n");
    logged_in_over_each(test, |maildir| {
        maildir.deliver(b"A: 1\r\n\r\none\r\ntwo\r\nthree\r\n");
    });
}

#[test]
fn first_octet_is_stuffed_too() {
    Dialogue::new(
        "C: USER {user}\nS: +OK*\nC: PASS secret\nS: +OK*
         C: RETR 1\nS: +OK 13 *\nS: ..\nS: ..a\nS: \nS: ...\nS: .\nC: TOP 1 0\nS: +OK*\nS: ..\nS: ..a\nS: \nS: .
         C: STAT\nS: +OK 1 13",
    )
    .mail(&|maildir| {
        maildir.deliver(b".\n.a\n\n..\n");
    })
    .run();
}

#[test]
fn empty_file_is_just_the_dot() {
    Dialogue::new(
        "C: USER {user}\nS: +OK*\nC: PASS secret\nS: +OK*\nC: LIST 1\nS: +OK 1 0\nC: RETR 1\nS: +OK 0 *\nS: .
         C: TOP 1 5\nS: +OK*\nS: .\nC: STAT\nS: +OK 1 0",
    )
    .mail(&|maildir| {
        maildir.deliver(b"");
    })
    .run();
}

#[test]
fn long_lines_and_large_messages_arrive_whole() {
    let mut long = b"Subject: long\n\n".to_vec();
    long.resize(2_000_000, b'.');
    let mut many = b"Subject: many\n\n".to_vec();
    for at in 0..60_000_u32 {
        many.extend_from_slice(&b"...................."[..(at % 20) as usize]);
        many.extend_from_slice(if at % 7 == 0 { b"\r\n" } else { b"x\n" });
    }
    let wire = |stored: &[u8]| {
        let text = stored.split_inclusive(|&octet| octet == b'\n');
        text.flat_map(|line| [line.trim_ascii_end(), b"\r\n"].concat()).collect::<Vec<u8>>()
    };
    let wanted = [wire(&long), wire(&many)];
    let test = |client: &mut Client| {
        for (at, wanted) in wanted.iter().enumerate() {
            let status = client.ok(&format!("RETR {}", at + 1));
            let sent = client.multiline();
            assert_eq!(octets_said(&status), sent.len());
            assert!(&sent == wanted, "message {} differs: {} octets for {}", at + 1, sent.len(), wanted.len());
        }
    };
    logged_in_over_each(test, |maildir| {
        maildir.deliver(&long);
        maildir.deliver(&many);
    });
}

/// A message of 20 octets on the wire whose name says 7.
fn deliver_a_lie(server: &Server) {
    server.maildir(USER).deliver_named("new", "1700000001.M1.example,S=5,W=7", b"Subject: x\n\nx\ny\n");
}

#[test]
fn size_that_a_name_made_up_does_not_cut_the_message() {
    let server = Server::start();
    deliver_a_lie(&server);
    assert_eq!(server.log_in(USER).body("RETR 1"), b"Subject: x\r\n\r\nx\r\ny\r\n");
}

#[test]
fn size_that_a_name_made_up_is_not_what_retr_announces() {
    let server = Server::start();
    deliver_a_lie(&server);
    assert_eq!(octets_said(&server.log_in(USER).ok("RETR 1")), 20);
}

#[test]
fn size_that_a_name_made_up_is_corrected_once_the_message_was_read() {
    let server = Server::start();
    deliver_a_lie(&server);
    let mut client = server.log_in(USER);
    client.body("RETR 1");
    client.quit();
    assert_eq!(server.log_in(USER).ok("STAT"), "+OK 1 20");
}

#[test]
fn last_line_end_and_the_dot_leave_together() {
    let server = Server::start();
    server.maildir(USER).deliver(b"Subject: x\n\nx\n");
    for &channel in server.channels() {
        let mut client = server.connect_over(channel);
        client.log_in(server.name_of(USER), PASSWORD);
        client.send(b"RETR 1\r\n");
        let mut all = Vec::new();
        while !all.ends_with(b"\r\n.\r\n") {
            let read = client.one_read();
            assert!(!read.starts_with(b"."), "the dot came alone");
            all.extend(read);
        }
        client.quit();
    }
}
