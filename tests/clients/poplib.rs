//! Python's poplib, by a script: the library of countless small programs.

use std::process::Command;

use super::{Client, Errand, Transport, files, run};
use crate::odd::Odd;

/// Splits at line ends and keeps every octet between them.
pub struct Poplib;

impl Client for Poplib {
    fn program(&self) -> &'static str {
        "python3"
    }

    fn remembers(&self) -> bool {
        false
    }

    fn cannot_fetch(&self, message: &Odd) -> Option<&'static str> {
        (message.what == "name with a wrong size on the wire").then_some("the script wants LIST to be true")
    }

    fn fetch(&self, errand: &Errand, _: usize) -> Vec<Vec<u8>> {
        let inbox = errand.inbox();
        let script = errand.write("poplib_session.py", include_str!("poplib.py"));
        let transport = match errand.transport {
            Transport::Plain => "plain",
            Transport::Stls => "stls",
            Transport::Tls => "tls",
        };
        let mut command = Command::new("python3");
        command.arg(script).arg(transport).arg(errand.port.to_string()).arg(&errand.ca_file);
        command.arg(if errand.delete { "delete" } else { "keep" }).arg(&inbox);
        run(&mut command, format!("{}\n{}\n", errand.user, errand.password).as_bytes(), &[0]);
        files(&inbox)
    }
}
