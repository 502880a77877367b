//! curl: one URL a message, and one more to delete it, all over one session.

use std::fmt::Write;
use std::process::Command;

use super::{Client, Errand, Transport, files, run};
use crate::odd::Odd;

/// Writes the octets as they come, with dots unstuffed.
pub struct Curl;

impl Client for Curl {
    fn program(&self) -> &'static str {
        "curl"
    }

    fn remembers(&self) -> bool {
        false
    }

    fn cannot_fetch(&self, message: &Odd) -> Option<&'static str> {
        message.octets.is_empty().then_some("7.88 shows a line end where there is none; later ones may not")
    }

    fn fetch(&self, errand: &Errand, count: usize) -> Vec<Vec<u8>> {
        let inbox = errand.inbox();
        let scheme = if errand.transport == Transport::Tls { "pop3s" } else { "pop3" };
        let mut common =
            format!("user = \"{}:{}\"\nno-progress-meter\nfail-early\nmax-time = 60\n", errand.user, errand.password);
        if errand.transport != Transport::Plain {
            let _ = writeln!(common, "ssl-reqd\ncacert = \"{}\"", errand.ca_file.display());
        }
        let mut parts = Vec::new();
        for number in 1..=count {
            let url = format!("{common}url = \"{scheme}://localhost:{}/{number}\"\n", errand.port);
            parts.push(format!("{url}output = \"{}/{number}\"\n", inbox.display()));
            if errand.delete {
                // `head`, for no lines follow the reply to DELE.
                parts.push(format!("{url}request = DELE\nhead\n"));
            }
        }
        let config = errand.write("curl.conf", &parts.join("next\n"));
        run(Command::new("curl").arg("-q").arg("--config").arg(config), b"", &[0]);
        files(&inbox)
    }
}
