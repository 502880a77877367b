//! mpop: many commands in flight.

use std::process::Command;

use super::{Client, Errand, Transport, files, run};
use crate::odd::Odd;

/// Delivers as to Exchange, the one way of its own that keeps CRLF.
pub struct Mpop;

impl Client for Mpop {
    fn program(&self) -> &'static str {
        "mpop"
    }

    fn cannot_fetch(&self, message: &Odd) -> Option<&'static str> {
        (message.what == "a line of 10,000 CRs").then_some("loses a CR where its buffer ends")
    }

    fn fetch(&self, errand: &Errand, _: usize) -> Vec<Vec<u8>> {
        let inbox = errand.inbox();
        let switch = |on| if on { "on" } else { "off" };
        let settings = format!(
            "account default\nhost localhost\nport {}\nuser {}\npassword {}\nauth user\ntimeout 60\n\
             tls {}\ntls_starttls {}\ntls_trust_file {}\nuidls_file {}\nkeep {}\nreceived_header off\n\
             delivery exchange {}\n",
            errand.port,
            errand.user,
            errand.password,
            switch(errand.transport != Transport::Plain),
            switch(errand.transport != Transport::Tls),
            errand.ca_file.display(),
            errand.scratch.join("uidls").display(),
            switch(!errand.delete),
            inbox.display(),
        );
        let settings = errand.write("mpoprc", &settings);
        run(Command::new("mpop").arg("--quiet").arg("--file").arg(settings), b"", &[0]);
        files(&inbox)
    }
}
