//! From the files of a Maildir to a maildrop: which are messages, in what order, under which unique-id.
//!
//! Owns: reading the names until they hold still, the order of delivery, two names for one message and one
//! base name for two.
//! Does not know: locks, removals, what a unique-id is made of, how octets are counted.
//!
//! A login does this, for a hundred thousand messages at times: nothing is allocated per message.

use super::measure::{Count, Measure, Measured};
use super::places::Places;
use super::root::Root;
use super::unique_id::{self, Hashed, Taken};
use super::{FileError, OpenError, name};
use crate::maildrop::{Folder, Maildrop, NewMessage, Octets};

/// Reads the names, measures the messages and numbers them.
///
/// The places are those of messages that were seen under two names.
///
/// # Errors
/// Where a directory can't be read: that must never look like an empty maildrop.
pub(super) fn scan<C: Count>(root: &Root) -> Result<(Maildrop, Places), OpenError> {
    let mut listing = Listing::read(root)?;
    listing.measure::<C>(root)?;
    listing.into_maildrop(root)
}

/// The files that are messages, with their names in one arena.
#[derive(Default)]
struct Listing {
    files: Vec<File>,
    arena: Vec<u8>,
}

#[derive(Clone, Copy)]
struct File {
    delivered: (u64, u32),
    inode: u64,
    octets: Octets,
    /// Where its name begins in the arena; rises in the order in which names were seen.
    name_at: usize,
    name_len: u8,
    base_len: u8,
    folder: Folder,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Listed,
    /// The same message is listed under a name that was seen later, and stands behind this one.
    SeenAgain,
    /// It was not where its name had been read a moment before.
    Gone,
    /// It is no message.
    Dropped,
}

impl Listing {
    /// Reads the names of both directories, in the order of delivery.
    fn read(root: &Root) -> Result<Listing, OpenError> {
        let mut listing = Listing::default();
        for _ in 0..PASSES {
            let before = listing.files.len();
            let pass = root.read_folders(|folder, name, inode| listing.push(folder, name, inode))?;
            let Some(pass) = pass else { return Err(OpenError::NoMaildir { path: root.path().into() }) };
            // A rename while a directory is read can hide the file from that pass: flags are file names. So what
            // any pass saw is listed, unless one saw everything.
            if pass.quiet {
                listing.files.drain(..before);
                break;
            }
        }
        listing.sort();
        Ok(listing)
    }

    fn push(&mut self, folder: Folder, name: &[u8], inode: u64) {
        let base = name::base(name);
        self.files.push(File {
            delivered: name::delivered(base),
            inode,
            octets: Octets { wire: 0, file: Octets::UNKNOWN },
            name_at: self.arena.len(),
            name_len: u8::try_from(name.len()).expect("names are at most 255 octets long"),
            base_len: base.len() as u8,
            folder,
            state: State::Listed,
        });
        self.arena.extend_from_slice(name);
    }

    /// Sorts by delivery, and finds the messages that were seen twice: one base name, one inode.
    ///
    /// Such a message was moved between the two sightings, or whoever moved it left the old name behind.
    fn sort(&mut self) {
        let arena = &self.arena;
        self.files.sort_unstable_by(|a, b| {
            (a.delivered, a.base(arena), a.inode, a.name_at).cmp(&(b.delivered, b.base(arena), b.inode, b.name_at))
        });
        for at in 1..self.files.len() {
            let [earlier, later] = &mut self.files[at - 1..=at] else { unreachable!("two files") };
            if earlier.is_same_message(later, arena) {
                earlier.state = State::SeenAgain;
            }
        }
    }

    /// Finds out the size of each message.
    fn measure<C: Count>(&mut self, root: &Root) -> Result<(), OpenError> {
        let mut measure = Measure::new(root);
        let mut gone = 0;
        for file in self.files.iter_mut().filter(|file| file.state == State::Listed) {
            gone += usize::from(!file.measure::<C>(&self.arena, &mut measure)?);
        }
        // Flags may have changed since the names were read. All such files are looked for in one pass.
        for _ in 0..PASSES {
            if gone == 0 {
                break;
            }
            let now = Listing::read(root)?;
            gone = 0;
            for file in self.files.iter_mut().filter(|file| file.state == State::Gone) {
                let Some((folder, name)) = now.find(file, &self.arena) else { continue };
                file.folder = folder;
                file.name_at = self.arena.len();
                file.name_len = name.len() as u8;
                self.arena.extend_from_slice(name);
                gone += usize::from(!file.measure::<C>(&self.arena, &mut measure)?);
            }
        }
        measure.report();
        Ok(())
    }

    /// Where a message of another listing is in this one.
    fn find(&self, file: &File, arena: &[u8]) -> Option<(Folder, &[u8])> {
        let key = (file.delivered, file.base(arena), file.inode);
        let after = self.files.partition_point(|other| (other.delivered, other.base(&self.arena), other.inode) <= key);
        let found = &self.files[after.checked_sub(1)?];
        let same = (found.base(&self.arena), found.inode) == (key.1, key.2);
        same.then(|| (found.folder, found.name(&self.arena)))
    }

    fn into_maildrop(mut self, root: &Root) -> Result<(Maildrop, Places), OpenError> {
        self.files.retain(|file| matches!(file.state, State::Listed | State::SeenAgain));
        let hashed = self.hashed_unique_ids();
        let mut hashed = hashed.iter().peekable();
        let octets = self.files.iter().map(|file| usize::from(file.name_len)).sum::<usize>() + hashed.len() * 32;
        let mut maildrop = Maildrop::with_capacity(self.files.len(), octets);
        let mut places = Places::default();
        let mut seen_before = Vec::new();
        for (at, file) in self.files.iter().enumerate() {
            if file.state == State::SeenAgain {
                seen_before.push(file);
                continue;
            }
            let name = file.name(&self.arena);
            maildrop
                .push(NewMessage {
                    name,
                    base_len: file.base_len,
                    folder: file.folder,
                    inode: file.inode,
                    octets: file.octets,
                    unique_id: hashed.next_if(|hashed| hashed.0 == at).map(|hashed| &hashed.1[..]),
                })
                .map_err(|error| too_many(root, error))?;
            for other in seen_before.drain(..) {
                if other.is_same_message(file, &self.arena) && !other.is_same_file(file, &self.arena) {
                    places.add(maildrop.count(), other.folder, other.name(&self.arena), true);
                }
            }
        }
        Ok((maildrop, places))
    }

    /// The unique-ids of those messages whose base name is none, by their place in `files`.
    fn hashed_unique_ids(&self) -> Vec<(usize, Hashed)> {
        let listed = |file: &&File| file.state == State::Listed;
        let mut needed = Vec::new();
        let mut at = 0;
        for namesakes in self.files.chunk_by(|a, b| a.base(&self.arena) == b.base(&self.arena)) {
            let shared = namesakes.iter().filter(listed).count() > 1;
            if shared || !unique_id::is_valid(namesakes[0].base(&self.arena)) {
                let indices = at..at + namesakes.len();
                needed.extend(indices.zip(namesakes).filter(|(_, file)| listed(file)).map(|(at, _)| (at, shared)));
            }
            at += namesakes.len();
        }
        if needed.is_empty() {
            return Vec::new();
        }
        let mut taken = Taken::default();
        self.files.iter().for_each(|file| taken.note(file.base(&self.arena)));
        let hash = |(at, shared): (usize, bool)| {
            let file = &self.files[at];
            (at, taken.hash(file.base(&self.arena), shared.then_some(file.inode)))
        };
        needed.into_iter().map(hash).collect()
    }
}

impl File {
    fn name<'a>(&self, arena: &'a [u8]) -> &'a [u8] {
        &arena[self.name_at..][..self.name_len.into()]
    }

    fn base<'a>(&self, arena: &'a [u8]) -> &'a [u8] {
        &arena[self.name_at..][..self.base_len.into()]
    }

    fn is_same_message(&self, other: &File, arena: &[u8]) -> bool {
        (self.inode, self.base(arena)) == (other.inode, other.base(arena))
    }

    fn is_same_file(&self, other: &File, arena: &[u8]) -> bool {
        (self.folder, self.name(arena)) == (other.folder, other.name(arena))
    }

    /// False where there is no such file any more.
    fn measure<C: Count>(&mut self, arena: &[u8], measure: &mut Measure<'_>) -> Result<bool, OpenError> {
        self.state = match measure.message::<C>(self.folder, self.name(arena))? {
            Measured::Octets(octets) => {
                self.octets = octets;
                State::Listed
            }
            Measured::Gone => State::Gone,
            Measured::NotRegular => State::Dropped,
        };
        Ok(self.state != State::Gone)
    }
}

fn too_many(root: &Root, error: crate::maildrop::TooMany) -> OpenError {
    OpenError::Permanent(FileError { action: "list", path: root.path().into(), source: std::io::Error::other(error) })
}

/// How often both directories are read at most where they change meanwhile: a Maildir may never rest.
const PASSES: usize = 3;

#[cfg(test)]
mod tests;
