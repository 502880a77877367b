//! fetchmail: hands each message to a program, here `cat`.

use std::process::Command;

use super::{Client, Errand, Transport, files, run};
use crate::odd::{Odd, decoded};

/// Keeps with TOP and deletes with RETR: `fetchall` makes the difference.
pub struct Fetchmail;

impl Client for Fetchmail {
    fn program(&self) -> &'static str {
        "fetchmail"
    }

    fn marks_as_read(&self) -> bool {
        false
    }

    fn cannot_fetch(&self, message: &Odd) -> Option<&'static str> {
        let octets = decoded(&message.octets);
        let body = octets.windows(4).position(|four| four == b"\r\n\r\n").map_or(&[][..], |at| &octets[at + 4..]);
        if body.split_inclusive(|&b| b == b'\n').any(|line| line.len() > 8_191) {
            return Some("breaks lines of the body that are longer than 8,191 octets, with octets of its own between");
        }
        STRANGE_HEADERS
            .contains(&&*message.what)
            .then_some("writes a header where there is none, and keeps some header lines not as they are")
    }

    /// It ends a header that has no end.
    fn turned(&self, mut messages: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        for message in &mut messages {
            if !message.windows(4).any(|four| four == b"\r\n\r\n") {
                message.extend(b"\r\n");
            }
        }
        messages
    }

    fn fetch(&self, errand: &Errand, _: usize) -> Vec<Vec<u8>> {
        let inbox = errand.inbox();
        let transport = match errand.transport {
            Transport::Plain => "sslproto ''".to_owned(),
            Transport::Stls => format!("sslproto 'auto' sslcertck sslcertfile {:?}", errand.ca_file),
            Transport::Tls => format!("ssl sslcertck sslcertfile {:?}", errand.ca_file),
        };
        let after = if errand.delete { "no keep fetchall" } else { "keep" };
        let settings = format!(
            "set invisible\nset no bouncemail\nset no spambounce\n\
             poll localhost service {} protocol pop3 uidl timeout 60 auth password bad-header accept\n\
             user {:?} password {:?} {transport} {after}\n\
             no rewrite no stripcr no forcecr no mimedecode no dropstatus no dropdelivered pass8bits\n\
             mda {:?}\n",
            errand.port,
            errand.user,
            errand.password,
            errand.file_it(&inbox),
        );
        let settings = errand.write("fetchmailrc", &settings);
        let mut command = Command::new("fetchmail");
        command.env("FETCHMAILHOME", &errand.scratch).env("HOME", &errand.scratch);
        command
            .arg("--pidfile")
            .arg(errand.scratch.join("pid"))
            .arg("--nosyslog")
            .arg("-f")
            .arg(settings)
            .arg("-i")
            .arg(errand.scratch.join("fetchids"));
        // 1 says that there was no mail.
        run(&mut command, b"", &[0, 1]);
        files(&inbox)
    }
}

const STRANGE_HEADERS: [&str; 10] = [
    "a dot before each line",
    "a NUL in the header",
    "empty file",
    "a line end and nothing else",
    "a CRLF and nothing else",
    "a CR and nothing else",
    "empty lines and nothing else",
    "no header, an empty line first",
    "a space before the colon",
    "an mbox line first",
];
