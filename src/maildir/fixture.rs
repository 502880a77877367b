//! A Maildir for the tests of this layer, and a count of wire octets that is not the server's own.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode};

use super::{Count, OpenError, Store};
use crate::maildrop::{Marks, MessageNumber};

pub(super) struct Fixture {
    directory: tempfile::TempDir,
}

impl Fixture {
    pub(super) fn new() -> Fixture {
        let fixture = Fixture { directory: tempfile::tempdir().unwrap() };
        for folder in ["new", "cur", "tmp"] {
            fixture.directory(folder);
        }
        fixture
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(super) fn put(&self, name: &str, text: &str) {
        fs::write(self.at(name), text).unwrap();
    }

    pub(super) fn put_all<const N: usize>(&self, names: [&str; N], text: &str) {
        names.iter().for_each(|name| self.put(name, text));
    }

    pub(super) fn sparse(&self, name: &str, octets: u64) {
        fs::File::create(self.at(name)).unwrap().set_len(octets).unwrap();
    }

    pub(super) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.at(from), self.at(to)).unwrap();
    }

    pub(super) fn remove(&self, name: &str) {
        fs::remove_file(self.at(name)).unwrap();
    }

    pub(super) fn directory(&self, name: &str) {
        fs::create_dir(self.at(name)).unwrap();
    }

    pub(super) fn link(&self, target: &str, name: &str) {
        symlink(target, self.at(name)).unwrap();
    }

    pub(super) fn fifo(&self, name: &str) {
        rustix::fs::mknodat(CWD, self.at(name), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    }

    /// The names in one of its directories, sorted.
    pub(super) fn names(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.at(directory)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Waits until what was changed so far carries another time than what comes.
    pub(super) fn settle(&self) {
        std::thread::sleep(super::stamps::CLOCK_TICK + Duration::from_millis(20));
    }

    pub(super) fn open(&self) -> Store {
        self.try_open().unwrap()
    }

    pub(super) fn try_open(&self) -> Result<Store, OpenError> {
        Store::open::<CrLf>(self.path())
    }
}

pub(super) fn number(n: u32) -> MessageNumber {
    MessageNumber::new(n).unwrap()
}

/// Marks the messages of these numbers as deleted.
pub(super) fn deleted(store: &Store, numbers: impl IntoIterator<Item = u32>) -> Marks {
    let mut marks = Marks::default();
    for n in numbers {
        marks.delete(store.maildrop(), number(n));
    }
    marks
}

/// Counts the simple way: each LF has a CR before it, and the last line an end.
pub(super) fn wire_octets(file: &[u8]) -> u64 {
    let mut wire = Vec::new();
    for &octet in file {
        if octet == b'\n' && wire.last() != Some(&b'\r') {
            wire.push(b'\r');
        }
        wire.push(octet);
    }
    if !wire.is_empty() && !wire.ends_with(b"\n") {
        wire.extend_from_slice(b"\r\n");
    }
    wire.len() as u64
}

/// [`wire_octets`] in pieces.
pub(super) struct CrLf {
    wire: u64,
    last: u8,
}

impl Count for CrLf {
    fn new() -> CrLf {
        CrLf { wire: 0, last: b'\n' }
    }

    fn push(&mut self, octets: &[u8]) {
        for &octet in octets {
            self.wire += 1 + u64::from(octet == b'\n' && self.last != b'\r');
            self.last = octet;
        }
    }

    fn finish(self) -> u64 {
        self.wire + if self.last == b'\n' { 0 } else { 2 }
    }
}
