//! `poppet-index`: what the last login found out, so that the next one need not.
//!
//! Owns: the file's form (`docs/INDEX.md` describes it), and when it is believed.
//! Does not know: how a maildrop is scanned, or what a unique-id is made of.
//!
//! Sizes in it are a cache: a missing, torn, foreign or older index is done without, never an error.
//! Unique-ids in it are a promise: they stay for as long as the message is there.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::root::{Root, kind};
use super::stamps::Stamps;
use super::unique_id;
use crate::maildrop::{Maildrop, MessageNumber, Octets, Record};

/// An index that was read, whole and in a form that this version knows.
pub(super) struct Index {
    maildrop: Maildrop,
    stamps: Stamps,
}

/// How much of a maildrop its index told at a login.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recall {
    /// All of it: nothing else was read.
    Whole,
    /// What has not changed since; names were read, and the messages that are new.
    Part,
    /// There was none that could be used.
    Nothing,
}

impl Index {
    /// Reads the index; `None` where there is none that can be used, or one of more than `limit` octets.
    pub(super) fn read(root: &Root, limit: u64) -> Option<Index> {
        match open(root, limit) {
            Ok((file, octets)) => {
                let index = Index::decode(file, octets);
                if index.is_none() {
                    log::debug!("{:?} is torn or of another version: it is made anew", root.path().join(FILE));
                }
                index
            }
            Err(Errno::NOENT) => None,
            Err(Errno::FBIG) if limit < LARGEST => None,
            Err(errno) => {
                log::debug!("cannot read {:?}: {errno}", root.path().join(FILE));
                None
            }
        }
    }

    /// Takes apart what is read, `octets` in all; `None` where anything in it can't be.
    ///
    /// A message lies in the file as it does in memory: what was read need only be looked at, and not be copied.
    pub(super) fn decode(from: impl Read, octets: u64) -> Option<Index> {
        let mut from = Checked { inner: BufReader::new(from), crc: crc32fast::Hasher::new() };
        let mut header = [0; HEADER];
        from.fill(&mut header)?;
        if header[..MAGIC.len()] != *MAGIC {
            return None;
        }
        let count = usize::try_from(u64::from_le_bytes(header[COUNT_AT..STAMPS_AT].try_into().ok()?)).ok()?;
        let stamps = Stamps::decode(&header[STAMPS_AT..])?;
        // A count that lies must not cost memory.
        let beside_names = count.checked_mul(size_of::<Record>())?.checked_add(HEADER + CHECKSUM)?;
        let names = usize::try_from(octets).ok()?.checked_sub(beside_names)?;
        let (mut records, mut names) = (vec![[0; size_of::<Record>()]; count], vec![0; names]);
        from.fill(records.as_flattened_mut())?;
        from.fill(&mut names)?;
        let found = from.crc.finalize().to_le_bytes();
        let mut written = [0; CHECKSUM];
        from.inner.read_exact(&mut written).ok()?;
        let maildrop = Maildrop::from_parts(records, names).filter(|_| written == found)?;
        names_are_names(&maildrop).then_some(Index { maildrop, stamps })
    }

    /// Whether the directories are as they were when the names in here were read.
    pub(super) fn is_current(&self, root: &Root) -> bool {
        self.stamps.unchanged(root) == [true; 2]
    }

    pub(super) fn stamps(&self) -> &Stamps {
        &self.stamps
    }

    pub(super) fn maildrop(&self) -> &Maildrop {
        &self.maildrop
    }

    pub(super) fn into_maildrop(self) -> Maildrop {
        self.maildrop
    }
}

/// Whether no name leads anywhere else, and each unique-id is one, whoever has written this.
fn names_are_names(maildrop: &Maildrop) -> bool {
    // Nearly always all of them can be shown to a client, which is seen at once.
    let printable = unique_id::is_printable(maildrop.names());
    let is_right = |message| {
        let name = maildrop.name(message);
        let ends = memchr::memchr(b':', name).unwrap_or(name.len()) == maildrop.base(message).len();
        let unique_id = maildrop.unique_id(message);
        ends && if printable { (1..=70).contains(&unique_id.len()) } else { unique_id::is_valid(unique_id) }
    };
    memchr::memchr2(b'/', 0, maildrop.names()).is_none() && maildrop.numbers().all(is_right)
}

/// Writes the index of a maildrop, with what was `learned` since login, beside the old one and then in its place.
///
/// # Errors
/// Nobody needs to care: the next login does without.
pub(super) fn write(
    root: &Root,
    maildrop: &Maildrop,
    stamps: &Stamps,
    learned: &[(MessageNumber, Octets)],
) -> io::Result<()> {
    static WRITTEN: AtomicU32 = AtomicU32::new(0);
    let Some(tmp) = root.open_directory("tmp")? else { return Err(io::ErrorKind::NotFound.into()) };
    let serial = WRITTEN.fetch_add(1, Ordering::Relaxed);
    let name = format!("{FILE}.{}.{serial}", std::process::id());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = retry_on_intr(|| rustix::fs::openat(&tmp, &name[..], flags, Mode::RUSR | Mode::WUSR))?;
    let written = encode(file.into(), maildrop, stamps, learned)
        .and_then(|()| Ok(rustix::fs::renameat(&tmp, &name[..], root.directory(), FILE)?));
    if written.is_err() {
        let _ = rustix::fs::unlinkat(&tmp, &name[..], rustix::fs::AtFlags::empty());
    }
    written
}

fn encode(
    file: std::fs::File,
    maildrop: &Maildrop,
    stamps: &Stamps,
    learned: &[(MessageNumber, Octets)],
) -> io::Result<()> {
    let mut out = Checked { inner: BufWriter::new(file), crc: crc32fast::Hasher::new() };
    let mut header = MAGIC.to_vec();
    header.extend(u64::from(maildrop.count()).to_le_bytes());
    header.extend(stamps.encode());
    out.put(&header)?;
    if learned.is_empty() {
        out.put(maildrop.records().as_flattened())?;
    } else {
        let mut records = maildrop.records().to_vec();
        learned.iter().for_each(|(message, octets)| octets.put(&mut records[message.get() as usize - 1]));
        out.put(records.as_flattened())?;
    }
    out.put(maildrop.names())?;
    out.inner.write_all(&out.crc.finalize().to_le_bytes())?;
    out.inner.flush()
}

/// A file, and the checksum of what has gone through. A small one goes through in one piece, a large one past the buffer.
struct Checked<F> {
    inner: F,
    crc: crc32fast::Hasher,
}

impl<F: Read> Checked<F> {
    fn fill(&mut self, octets: &mut [u8]) -> Option<()> {
        for block in octets.chunks_mut(BLOCK) {
            self.inner.read_exact(block).ok()?;
            self.crc.update(block);
        }
        Some(())
    }
}

impl<F: Write> Checked<F> {
    fn put(&mut self, octets: &[u8]) -> io::Result<()> {
        octets.chunks(BLOCK).try_for_each(|block| {
            self.crc.update(block);
            self.inner.write_all(block)
        })
    }
}

/// The file, and how many octets it has.
fn open(root: &Root, limit: u64) -> Result<(std::fs::File, u64), Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = retry_on_intr(|| rustix::fs::openat(root.directory(), FILE, flags, Mode::empty()))?;
    let stat = rustix::fs::fstat(&file)?;
    let octets = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
    if kind(&stat).is_file() && octets <= limit { Ok((file.into(), octets)) } else { Err(Errno::FBIG) }
}

/// In the Maildir itself, where no other program looks.
pub(super) const FILE: &str = "poppet-index";
/// What it begins with; the last octet is the version.
const MAGIC: &[u8; 16] = b"poppet-index\r\n\0\x01";
const COUNT_AT: usize = MAGIC.len();
const STAMPS_AT: usize = COUNT_AT + 8;
const HEADER: usize = STAMPS_AT + Stamps::ENCODED;
const CHECKSUM: usize = 4;
/// Read or written, and summed up, at once: while it is near the processor.
const BLOCK: usize = 256 * 1024;
/// Ten million messages; nobody has more, and somebody may have written a file that claims so.
pub(super) const LARGEST: u64 = 1 << 30;

#[cfg(test)]
mod tests;
