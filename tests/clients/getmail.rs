//! getmail6: hands each message to a program, here `cat`.
//!
//! Clear text and TLS, no STLS: its POP3 retrievers are `SimplePOP3Retriever` and `SimplePOP3SSLRetriever`, and neither
//! says STLS.

use std::process::Command;

use super::{Client, Errand, Transport, files, run};
use crate::odd::Odd;

/// Writes every message anew from what Python's email package understood of it.
pub struct Getmail;

impl Client for Getmail {
    fn program(&self) -> &'static str {
        "getmail"
    }

    fn transports(&self) -> &'static [Transport] {
        &[Transport::Plain, Transport::Tls]
    }

    fn cannot_fetch(&self, _: &Odd) -> Option<&'static str> {
        None
    }

    /// Python's email package takes a message apart, and writes it again with LF line ends, a lone CR being one of
    /// them: only getmail's own code can tell what becomes of it.
    fn turned(&self, messages: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let input: Vec<u8> = messages.iter().flat_map(|message| framed(message)).collect();
        // The interpreter that getmail itself runs in: another may not have its modules.
        let output = run(Command::new("/usr/bin/python3").arg("-c").arg(include_str!("getmail.py")), &input, &[0]);
        let mut rest = &output.stdout[..];
        let mut turned = Vec::new();
        while let Some((length, behind)) = rest.split_first_chunk() {
            let (message, behind) = behind.split_at(u64::from_be_bytes(*length) as usize);
            turned.push(message.to_vec());
            rest = behind;
        }
        turned
    }

    fn fetch(&self, errand: &Errand, _: usize) -> Vec<Vec<u8>> {
        let inbox = errand.inbox();
        let retriever = match errand.transport {
            Transport::Tls => format!("SimplePOP3SSLRetriever\nca_certs = {}", errand.ca_file.display()),
            _ => "SimplePOP3Retriever".to_owned(),
        };
        // It overlooks a child that ends before it waits for it, and gives up a minute later: the child stays until its
        // parent sleeps.
        let until_awaited = "while read -r _ _ state _ < /proc/$PPID/stat && [ $state != S ]; do sleep 0.01; done";
        let file_it = format!("{}; {until_awaited}", errand.file_it(&inbox));
        let settings = format!(
            "[retriever]\ntype = {retriever}\nserver = localhost\nport = {}\nusername = {}\npassword = {}\n\
             timeout = 60\n[destination]\ntype = MDA_external\npath = /bin/sh\narguments = (\"-c\", {:?})\n\
             unixfrom = false\nallow_root_commands = true\n\
             [options]\nread_all = false\ndelete = {}\ndelivered_to = false\nreceived = false\nverbose = 0\n",
            errand.port, errand.user, errand.password, file_it, errand.delete,
        );
        let settings = errand.write("getmailrc", &settings);
        let mut command = Command::new("getmail");
        command.arg("--getmaildir").arg(&errand.scratch).arg("--rcfile").arg(settings);
        run(&mut command, b"", &[0]);
        files(&inbox)
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u64).to_be_bytes(), message].concat()
}
