//! `poppet-index`: what the last login found out, so that the next one need not.
//!
//! Owns: the file's form (`docs/INDEX.md` describes it), and when it is believed.
//! Does not know: how a maildrop is scanned, or what a unique-id is made of.
//!
//! Sizes in it are a cache: a missing, torn, foreign or older index is done without, never an error.
//! Unique-ids in it are a promise: they stay for as long as the message is there.

use std::io::{self, BufWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::root::{Root, Stamps, kind};
use super::{name, unique_id};
use crate::maildrop::{Folder, Maildrop, MessageNumber, NewMessage, Octets, TooMany};

/// An index that was read, whole and in a form that this version knows.
pub(super) struct Index {
    octets: Vec<u8>,
    count: usize,
    stamps: Stamps,
}

/// One message in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a [u8],
    pub(super) base_len: u8,
    pub(super) folder: Folder,
    pub(super) inode: u64,
    pub(super) octets: Octets,
    /// Where it is not the base name.
    pub(super) unique_id: Option<&'a [u8]>,
}

impl Index {
    /// Reads the index; `None` where there is none that can be used.
    pub(super) fn read(root: &Root) -> Option<Index> {
        match read_file(root) {
            Ok(octets) => {
                let index = Index::decode(octets);
                if index.is_none() {
                    log::debug!("{:?} is torn or of another version: it is made anew", root.path().join(FILE));
                }
                index
            }
            Err(Errno::NOENT) => None,
            Err(errno) => {
                log::debug!("cannot read {:?}: {errno}", root.path().join(FILE));
                None
            }
        }
    }

    /// Takes apart what was read; `None` where anything in it can't be.
    pub(super) fn decode(octets: Vec<u8>) -> Option<Index> {
        let body = octets.len().checked_sub(4)?;
        let checksum = u32::from_le_bytes(octets[body..].try_into().ok()?);
        if octets.get(..MAGIC.len())? != MAGIC || crc32fast::hash(&octets[..body]) != checksum {
            return None;
        }
        let count = usize::try_from(u64_at(&octets, COUNT_AT)?).ok()?;
        let names_at = count.checked_mul(ENTRY)?.checked_add(HEADER)?;
        if names_at > body {
            return None;
        }
        let stamps = Stamps::decode(octets.get(STAMPS_AT..HEADER)?)?;
        let index = Index { octets, count, stamps };
        let mut names_end = names_at;
        for at in 0..count {
            let entry = &index.octets[HEADER + at * ENTRY..][..ENTRY];
            let [.., name_len, base_len, folder, unique_id_len] = *entry else { return None };
            let whole = usize::from(name_len) + usize::from(unique_id_len);
            let begins = u32::from_le_bytes(entry[NAME_AT..NAME_AT + 4].try_into().ok()?) as usize;
            let fits = begins == names_end - names_at && names_end + whole <= body;
            if !fits || name_len == 0 || folder > 1 || unique_id_len > 70 || u64_at(entry, 8)? > LARGEST_MESSAGE {
                return None;
            }
            let base = name::base(&index.octets[names_end..names_end + usize::from(name_len)]);
            if base.len() != usize::from(base_len) || unique_id_len == 0 && !unique_id::is_valid(base) {
                return None;
            }
            let unique_id = &index.octets[names_end + usize::from(name_len)..names_end + whole];
            if unique_id_len > 0 && !unique_id::is_valid(unique_id) {
                return None;
            }
            names_end += whole;
        }
        // No name may lead anywhere else, whoever has written this.
        let harmless = memchr::memchr2(b'/', 0, &index.octets[names_at..names_end]).is_none();
        (names_end == body && harmless).then_some(index)
    }

    /// Whether the directories are as they were when the names in here were read.
    pub(super) fn is_current(&self, root: &Root) -> bool {
        self.stamps.are_settled() && self.stamps.are_still(root)
    }

    pub(super) fn stamps(&self) -> &Stamps {
        &self.stamps
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The entry at a place, counted from 0.
    ///
    /// # Panics
    /// Where there is none.
    pub(super) fn entry(&self, at: usize) -> Entry<'_> {
        let entry = &self.octets[HEADER + at * ENTRY..][..ENTRY];
        let number = |from: usize| u64::from_le_bytes(entry[from..from + 8].try_into().expect("8 octets"));
        let [.., name_len, base_len, folder, unique_id_len] = *entry else { unreachable!("an entry has 40 octets") };
        let name_at = u32::from_le_bytes(entry[NAME_AT..NAME_AT + 4].try_into().expect("4 octets")) as usize;
        let names = &self.octets[HEADER + self.count * ENTRY + name_at..];
        let (name, rest) = names.split_at(name_len.into());
        Entry {
            name,
            base_len,
            folder: if folder == 0 { Folder::New } else { Folder::Cur },
            inode: number(0),
            octets: Octets { wire: number(8), file: number(16), modified: number(24) },
            unique_id: (unique_id_len > 0).then(|| &rest[..unique_id_len.into()]),
        }
    }

    /// The maildrop as it is in here.
    pub(super) fn to_maildrop(&self) -> Result<Maildrop, TooMany> {
        let names = self.octets.len() - 4 - HEADER - self.count * ENTRY;
        let mut maildrop = Maildrop::with_capacity(self.count, names);
        for at in 0..self.count {
            let Entry { name, base_len, folder, inode, octets, unique_id } = self.entry(at);
            maildrop.push(NewMessage { name, base_len, folder, inode, octets, unique_id })?;
        }
        Ok(maildrop)
    }
}

/// Writes the index of a maildrop, beside the old one and then in its place.
///
/// # Errors
/// Nobody needs to care: the next login does without.
pub(super) fn write(
    root: &Root,
    maildrop: &Maildrop,
    stamps: &Stamps,
    octets: impl Fn(MessageNumber) -> Octets,
) -> io::Result<()> {
    static WRITTEN: AtomicU32 = AtomicU32::new(0);
    let Some(tmp) = root.open_directory("tmp")? else { return Err(io::ErrorKind::NotFound.into()) };
    let serial = WRITTEN.fetch_add(1, Ordering::Relaxed);
    let name = format!("{FILE}.{}.{serial}", std::process::id());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = retry_on_intr(|| rustix::fs::openat(&tmp, &name[..], flags, Mode::RUSR | Mode::WUSR))?;
    let written = encode(file, maildrop, stamps, octets)
        .and_then(|()| Ok(rustix::fs::renameat(&tmp, &name[..], root.directory(), FILE)?));
    if written.is_err() {
        let _ = rustix::fs::unlinkat(&tmp, &name[..], rustix::fs::AtFlags::empty());
    }
    written
}

fn encode(
    file: OwnedFd,
    maildrop: &Maildrop,
    stamps: &Stamps,
    octets: impl Fn(MessageNumber) -> Octets,
) -> io::Result<()> {
    let mut out = Checked { out: BufWriter::with_capacity(64 * 1024, file.into()), crc: crc32fast::Hasher::new() };
    out.put(MAGIC)?;
    out.put(&u64::from(maildrop.count()).to_le_bytes())?;
    out.put(&stamps.encode())?;
    let mut name_at = 0u32;
    for message in maildrop.numbers() {
        let Octets { wire, file, modified } = octets(message);
        let (name, unique_id) = (maildrop.name(message), kept_unique_id(maildrop, message));
        let mut entry = [0; ENTRY];
        for (at, number) in [maildrop.inode(message), wire, file, modified].into_iter().enumerate() {
            entry[at * 8..at * 8 + 8].copy_from_slice(&number.to_le_bytes());
        }
        entry[NAME_AT..NAME_AT + 4].copy_from_slice(&name_at.to_le_bytes());
        let folder = maildrop.folder(message) as u8;
        let short = [name.len() as u8, maildrop.base(message).len() as u8, folder, unique_id.len() as u8];
        entry[NAME_AT + 4..].copy_from_slice(&short);
        out.put(&entry)?;
        name_at += (name.len() + unique_id.len()) as u32;
    }
    for message in maildrop.numbers() {
        out.put(maildrop.name(message))?;
        out.put(kept_unique_id(maildrop, message))?;
    }
    let checksum = out.crc.finalize().to_le_bytes();
    out.out.write_all(&checksum)?;
    out.out.flush()
}

/// The unique-id, where it is not the base name.
fn kept_unique_id(maildrop: &Maildrop, message: MessageNumber) -> &[u8] {
    let unique_id = maildrop.unique_id(message);
    if unique_id == maildrop.base(message) { b"" } else { unique_id }
}

struct Checked {
    out: BufWriter<std::fs::File>,
    crc: crc32fast::Hasher,
}

impl Checked {
    fn put(&mut self, octets: &[u8]) -> io::Result<()> {
        self.crc.update(octets);
        self.out.write_all(octets)
    }
}

fn read_file(root: &Root) -> Result<Vec<u8>, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = retry_on_intr(|| rustix::fs::openat(root.directory(), FILE, flags, Mode::empty()))?;
    let stat = rustix::fs::fstat(&file)?;
    let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
    if !kind(&stat).is_file() || size > LARGEST {
        return Err(Errno::FBIG);
    }
    let mut octets = Vec::new();
    octets.try_reserve_exact(size as usize + 1).map_err(|_| Errno::NOMEM)?;
    let read = std::fs::File::from(file).take(size).read_to_end(&mut octets);
    read.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    Ok(octets)
}

fn u64_at(octets: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(octets.get(at..at + 8)?.try_into().ok()?))
}

/// In the Maildir itself, where no other program looks.
pub(super) const FILE: &str = "poppet-index";
/// What it begins with; the last octet is the version.
const MAGIC: &[u8; 16] = b"poppet-index\r\n\0\x01";
const COUNT_AT: usize = MAGIC.len();
const STAMPS_AT: usize = COUNT_AT + 8;
const HEADER: usize = STAMPS_AT + Stamps::ENCODED;
/// Octets of an entry, without its name.
const ENTRY: usize = 40;
const NAME_AT: usize = 32;
/// More no message has; as many of these as an index has room for still add up in 64 bits.
const LARGEST_MESSAGE: u64 = 1 << 38;
/// Ten million messages; nobody has more, and somebody may have written a file that claims so.
const LARGEST: u64 = 1 << 30;

#[cfg(test)]
mod tests;
