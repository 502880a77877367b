//! The real clients: how each is set up, what it does to a message by its own habit, what it can't stand.
//!
//! Owns: their configuration files and command lines.
//! Does not know: which server they talk to, or what a maildrop ought to look like afterwards.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

use crate::odd::Odd;

pub mod curl;
pub mod fetchmail;
pub mod getmail;
pub mod mpop;
pub mod poplib;

/// How a client reaches the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    Plain,
    Stls,
    Tls,
}

/// One client's way to one maildrop.
#[derive(Debug)]
pub struct Errand {
    pub transport: Transport,
    /// The server is `localhost`.
    pub port: u16,
    pub ca_file: PathBuf,
    pub user: String,
    pub password: String,
    /// Whether messages are removed once they are fetched.
    pub delete: bool,
    /// The client's own: its settings, its memory, what it fetched.
    pub scratch: PathBuf,
}

/// A program that fetches mail.
pub trait Client: Sync {
    /// What must be installed.
    fn program(&self) -> &'static str;

    /// The transports it has.
    fn transports(&self) -> &'static [Transport] {
        &[Transport::Plain, Transport::Stls, Transport::Tls]
    }

    /// Whether it remembers unique-ids from run to run.
    fn remembers(&self) -> bool {
        true
    }

    /// Whether a message that it fetched and kept counts as read: RETR says so, TOP does not.
    fn marks_as_read(&self) -> bool {
        true
    }

    /// Why it can't fetch this message whole from any server, where it can't.
    fn cannot_fetch(&self, message: &Odd) -> Option<&'static str>;

    /// What it makes of messages that reached it as these octets.
    fn turned(&self, messages: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        messages
    }

    /// Fetches all there is (of `count` messages) that it does not know yet, in any order.
    fn fetch(&self, errand: &Errand, count: usize) -> Vec<Vec<u8>>;
}

impl Errand {
    /// Writes a file of settings that nobody else may read, as some clients demand.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.scratch.join(name);
        let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).expect("scratch can be written");
        path
    }

    /// An empty folder for what is fetched.
    fn inbox(&self) -> PathBuf {
        let inbox = self.scratch.join("inbox");
        let _ = fs::remove_dir_all(&inbox);
        fs::create_dir_all(&inbox).expect("scratch can be written");
        inbox
    }

    /// A shell command that files the message on its standard input.
    fn file_it(&self, inbox: &Path) -> String {
        format!("cat > {}/$$", inbox.display())
    }
}

/// Runs `command` with `input`; all that it said is in the panic where its exit status is none of `good`.
fn run(command: &mut Command, input: &[u8], good: &[i32]) -> Output {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let mut pipe = child.stdin.take().expect("piped");
    let output = thread::scope(|scope| {
        // A thread, for a program that answers before it has read all would wait for us.
        scope.spawn(move || pipe.write_all(input).expect("a client reads its input"));
        child.wait_with_output().expect("a client ends")
    });
    let said = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8_lossy(&said[said.len().saturating_sub(2_000)..]);
    assert!(output.status.code().is_some_and(|code| good.contains(&code)), "{command:?}: {}: {said}", output.status);
    output
}

/// All files of a folder.
fn files(folder: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder).expect("a folder of what was fetched");
    entries.map(|entry| fs::read(entry.unwrap().path()).expect("what was fetched can be read")).collect()
}
