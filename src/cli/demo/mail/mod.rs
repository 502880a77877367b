//! The mail of `poppet demo`: each message shows one thing that a POP3 server has to get right, and tells the reader
//! what to look at.
//!
//! Owns: their texts, headers and order.
//! Does not know: where they are delivered, what serves them.

use std::time::{Duration, SystemTime};

mod date;

/// The sample messages, each with a name for its file and its octets, the oldest first.
///
/// The newest is dated `now`, the others lie a minute apart before it. One of them has 3 MB.
pub fn messages(now: SystemTime) -> Vec<(&'static str, Vec<u8>)> {
    let drafts = drafts();
    let last = drafts.len() as u32 - 1;
    let dated = drafts.into_iter().zip(0..);
    dated.map(|(draft, at)| (draft.name, draft.written(now - Duration::from_secs(60) * (last - at)))).collect()
}

/// A message before it has a date.
struct Draft {
    name: &'static str,
    subject: &'static str,
    /// Header lines beside those that each has, with their line ends.
    header: &'static str,
    body: Vec<u8>,
    line_end: &'static str,
}

impl Draft {
    fn new(name: &'static str, subject: &'static str, body: impl Into<Vec<u8>>) -> Draft {
        Draft { name, subject, header: "", body: body.into(), line_end: "\n" }
    }

    fn with_header(self, header: &'static str) -> Draft {
        Draft { header, ..self }
    }

    fn with_crlf(self) -> Draft {
        Draft { line_end: "\r\n", ..self }
    }

    /// The file, as a delivery agent would leave it.
    fn written(self, date: SystemTime) -> Vec<u8> {
        let Draft { name, subject, header, body, line_end } = self;
        let date = date::rfc5322(date);
        let header = format!(
            "From: Poppet <poppet@example.org>\nTo: You <you@example.org>\nDate: {date}\nSubject: {subject}\n\
             Message-ID: <{name}@example.org>\n{header}\n"
        );
        let mut file = header.replace('\n', line_end).into_bytes();
        match line_end {
            "\n" => file.extend(body),
            _ => file.extend(String::from_utf8_lossy(&body).replace('\n', line_end).into_bytes()),
        }
        file
    }
}

fn drafts() -> Vec<Draft> {
    vec![
        Draft::new("welcome", "Welcome to poppet", include_str!("welcome.txt")),
        Draft::new("plain", "Plain text", include_str!("plain.txt")),
        Draft::new("dots", "Lines of dots", include_str!("dots.txt")),
        Draft::new("attachment", "An attachment", include_str!("attachment.txt"))
            .with_header("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"postcard\"\n"),
        Draft::new("letters", "=?UTF-8?Q?Gr=C3=BC=C3=9Fe_=E2=9C=89_in_every_script?=", include_str!("letters.txt"))
            .with_header(
                "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n",
            ),
        Draft::new("html", "The same in HTML", include_str!("html.txt"))
            .with_header("MIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=\"either\"\n"),
        Draft::new("long-line", "One long line", long_line()),
        // A text file that an editor has been at has its last line end: it is cut off here.
        Draft::new("no-last-line-end", "No last line end", include_str!("no-last-line-end.txt").trim_end()),
        Draft::new("crlf", "Stored with CRLF", include_str!("crlf.txt")).with_crlf(),
        Draft::new("lone-cr", "A carriage return alone", include_str!("lone-cr.txt").replace("<CR>", "\r")),
        Draft::new("large", "Three megabytes", large()),
        Draft::new("short-lines", "Ten thousand short lines", short_lines()),
        Draft::new("deleting", "Deleting, and unique-ids", include_str!("deleting.txt")),
        Draft::new("tls", "TLS and ports", include_str!("tls.txt")),
    ]
}

fn long_line() -> Vec<u8> {
    let line: Vec<String> = (1..=20_000).map(|n| n.to_string()).collect();
    format!("{}\n{}\nThat was it.\n", include_str!("long-line.txt").trim_end(), line.join(" ")).into_bytes()
}

fn large() -> Vec<u8> {
    let mut body = include_str!("large.txt").as_bytes().to_vec();
    for line in 1.. {
        if body.len() > LARGE_OCTETS {
            break;
        }
        body.extend(format!("Line {line:>6}: poppet sends this while it serves everybody else.\n").into_bytes());
    }
    body
}

fn short_lines() -> Vec<u8> {
    let lines: String = (0..10_000).map(|n| ["a\n", "\n", ".\n"][n % 3]).collect();
    format!("{}{lines}", include_str!("short-lines.txt")).into_bytes()
}

const LARGE_OCTETS: usize = 3_000_000;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn of(name: &str) -> Vec<u8> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        messages(now).into_iter().find(|(found, _)| *found == name).expect("a message of that name").1
    }

    #[test]
    fn there_are_a_dozen_and_their_names_are_unique() {
        let messages = messages(SystemTime::now());
        assert!((12..=14).contains(&messages.len()), "{}", messages.len());
        assert_eq!(messages.iter().map(|(name, _)| name).collect::<BTreeSet<_>>().len(), messages.len());
        // They become part of a file's name, and so of a unique-id.
        assert!(messages.iter().all(|(name, _)| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
    }

    #[test]
    fn each_has_the_headers_of_a_mail_then_an_empty_line_then_a_text() {
        for (name, octets) in messages(SystemTime::now()) {
            let text = String::from_utf8(octets).expect("UTF-8").replace("\r\n", "\n");
            let (header, body) = text.split_once("\n\n").unwrap_or_else(|| panic!("{name}: no empty line"));
            for field in ["From", "To", "Date", "Subject", "Message-ID"] {
                let count = header.lines().filter(|line| line.starts_with(&format!("{field}: "))).count();
                assert_eq!(count, 1, "{name}: {field}");
            }
            assert!(header.lines().all(|line| line.is_ascii() && line.contains(": ") && line.len() < 78), "{name}");
            assert!(body.len() > 100, "{name}");
        }
    }

    #[test]
    fn the_last_one_is_dated_now_and_each_a_minute_after_the_one_before() {
        let messages = messages(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        let dates = ["Tue, 14 Nov 2023 22:12:20 +0000", "Tue, 14 Nov 2023 22:13:20 +0000"];
        for ((name, octets), date) in messages[messages.len() - 2..].iter().zip(dates) {
            assert!(String::from_utf8_lossy(octets).contains(&format!("\nDate: {date}\n")), "{name}");
        }
    }

    #[test]
    fn each_is_what_it_says_it_is() {
        let starts_with_dot = |line: &&[u8]| line.starts_with(b".");
        assert!(of("dots").split(|&b| b == b'\n').filter(starts_with_dot).count() >= 5);
        assert!(of("long-line").split(|&b| b == b'\n').any(|line| line.len() > 100_000));
        assert!(!of("no-last-line-end").ends_with(b"\n"));
        assert_eq!(String::from_utf8(of("crlf")).unwrap().replace("\r\n", "").matches(['\r', '\n']).count(), 0);
        assert!(of("lone-cr").windows(2).any(|two| two[0] == b'\r' && two[1] != b'\n'));
        assert!((LARGE_OCTETS..LARGE_OCTETS + 1_000).contains(&of("large").len()));
        assert!(of("short-lines").split(|&b| b == b'\n').count() > 10_000);
        assert!(!of("letters").is_ascii());
    }

    #[test]
    fn each_part_of_a_mime_message_is_there_and_the_last_boundary_closes_it() {
        for (name, boundary) in [("attachment", "postcard"), ("html", "either")] {
            let text = String::from_utf8(of(name)).unwrap();
            assert_eq!(text.matches(&format!("\n--{boundary}\n")).count(), 2, "{name}");
            assert!(text.ends_with(&format!("\n--{boundary}--\n")), "{name}");
        }
    }
}
