//! From the files of a Maildir to a maildrop: which are messages, in what order, under which unique-id.
//!
//! Owns: reading the names until they hold still, the order of delivery, two names for one message and one
//! base name for two.
//! Does not know: locks, removals, what a unique-id is made of, how octets are counted.
//!
//! A login does this, for a hundred thousand messages at times: nothing is allocated per message.

use std::collections::HashSet;
use std::time::Duration;

use super::index::{self, Index, Recall};
use super::measure::{self, Count, Measure, Measured};
use super::places::Places;
use super::root::{FOLDERS, Root};
use super::stamps::Stamps;
use super::unique_id::{self, Hashed, Taken};
use super::{FileError, OpenError, name};
use crate::maildrop::{Folder, Maildrop, MessageNumber, NewMessage, Octets};

/// What a login found.
pub(super) struct Scanned {
    pub(super) maildrop: Maildrop,
    /// Of messages that were seen under two names.
    pub(super) places: Places,
    /// The index is to be written, as of these stamps; `None` where nothing has changed.
    pub(super) unsaved: Option<Stamps>,
    pub(super) recall: Recall,
}

/// Reads the names, measures the messages and numbers them; takes from the index whatever it still tells truly.
///
/// # Errors
/// Where a directory can't be read: that must never look like an empty maildrop.
pub(super) fn scan<C: Count>(root: &Root) -> Result<Scanned, OpenError> {
    let index = match Index::read(root, index::LARGEST) {
        Some(index) if index.is_current(root) => {
            let (maildrop, places) = (index.into_maildrop(), Places::default());
            return Ok(Scanned { maildrop, places, unsaved: None, recall: Recall::Whole });
        }
        index => index,
    };
    let mut listing = Listing::read(root, index.as_ref())?;
    let unchanged = index.as_ref().is_some_and(|index| listing.recognise(index.maildrop()));
    listing.measure::<C>(root)?;
    let stamps = listing.stamps.clone();
    let (maildrop, places) = listing.into_maildrop(root, index.as_ref().map(Index::maildrop))?;
    // A message with two names is there twice: the index knows but one of them.
    let stamps = if places.is_empty() { stamps } else { Stamps::unknown() };
    let known = index.as_ref().is_some_and(|index| unchanged && stamps.tell_no_more_than(index.stamps()));
    let worthless = known || maildrop.count() == 0 && index.is_none();
    let recall = if index.is_some() { Recall::Part } else { Recall::Nothing };
    Ok(Scanned { maildrop, places, unsaved: (!worthless).then_some(stamps), recall })
}

/// The files that are messages, with their names in one arena.
struct Listing {
    files: Vec<File>,
    arena: Vec<u8>,
    /// Of the passes that saw everything.
    stamps: Stamps,
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
    /// Its size is known from the index.
    measured: bool,
    /// Its message-number in the index, where it is in there. Its unique-id was promised then.
    promised: Option<MessageNumber>,
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
    /// The names of both directories, in the order of delivery. What the index still knows to be true is not read.
    ///
    /// A rename while a directory is read can hide the file from that pass: flags are file names. So what any pass
    /// saw is listed, unless one saw everything. And a directory that was proven unchanged must be so still when the
    /// other one has been read: mail moves from one to the other.
    fn read(root: &Root, index: Option<&Index>) -> Result<Listing, OpenError> {
        let mut listing = Listing { files: Vec::new(), arena: Vec::new(), stamps: Stamps::unknown() };
        let (mut seen, mut expected) = ([Vec::new(), Vec::new()], [0; 2]);
        let mut certain = index.map_or([false; 2], |index| index.stamps().unchanged(root));
        if let Some(index) = index {
            listing.stamps = index.stamps().clone();
            expected = listing.take_known(index.maildrop(), certain, &mut seen);
        }
        for _ in 0..PASSES {
            let before = [0, 1].map(|at| if certain[at] { 0 } else { seen[at].len() });
            for folder in FOLDERS.into_iter().filter(|&folder| !certain[folder as usize]) {
                let files = &mut seen[folder as usize];
                let patience = A_NAME.saturating_mul(expected[folder as usize].max(files.len() as u32));
                let each = |name: &[u8], inode| files.push(listing.file(folder, name, inode));
                let look = root.read_folder(folder, patience, each)?;
                listing.stamps.note(folder, look);
            }
            if listing.stamps.are_of_nothing() {
                return Err(OpenError::NoMaildir { path: root.path().into() });
            }
            certain = listing.stamps.unchanged(root);
            for at in [0, 1] {
                if certain[at] {
                    seen[at].drain(..before[at]);
                }
            }
            if certain == [true; 2] {
                break;
            }
        }
        for folder in FOLDERS.into_iter().filter(|&folder| !certain[folder as usize]) {
            listing.stamps.distrust(folder);
        }
        let [new, cur] = seen;
        listing.files = new;
        listing.files.extend(cur);
        listing.sort();
        Ok(listing)
    }
    /// Puts the messages that are in folders `certain` to be as they were into `seen`. How many there are in each.
    fn take_known(&mut self, index: &Maildrop, certain: [bool; 2], seen: &mut [Vec<File>; 2]) -> [u32; 2] {
        let mut counts = [0; 2];
        self.arena.reserve(index.names().len());
        for message in index.numbers() {
            let folder = index.folder(message);
            counts[folder as usize] += 1;
            if certain[folder as usize] {
                let file = self.file(folder, index.name(message), index.inode(message));
                let octets = index.size(message);
                seen[folder as usize].push(File { octets, measured: true, promised: Some(message), ..file });
            }
        }
        counts
    }

    /// A file that was seen; its name goes to the arena.
    fn file(&mut self, folder: Folder, name: &[u8], inode: u64) -> File {
        let (base, name_at) = (name::base(name), self.arena.len());
        self.arena.extend_from_slice(name);
        File {
            delivered: name::delivered(base),
            inode,
            octets: Octets::hearsay(0),
            name_at,
            name_len: u8::try_from(name.len()).expect("names are at most 255 octets long"),
            base_len: base.len() as u8,
            folder,
            state: State::Listed,
            measured: false,
            promised: None,
        }
    }

    /// Sorts by delivery, and finds the messages that were seen twice: one base name, one inode.
    ///
    /// Such a message was moved between the two sightings, or whoever moved it left the old name behind.
    fn sort(&mut self) {
        let (files, arena) = (&self.files, &self.arena);
        // Times are short to compare and to move; names are looked at only where times are the same. What comes from
        // the index is in order, which a stable sort finds out at once.
        let mut order: Vec<_> = files.iter().zip(0u32..).map(|(file, at)| (file.delivered, at)).collect();
        order.sort_by(|(a_time, a), (b_time, b)| {
            let rest = |at: u32| {
                let file = &files[at as usize];
                (file.base(arena), file.inode, file.name_at)
            };
            a_time.cmp(b_time).then_with(|| rest(*a).cmp(&rest(*b)))
        });
        self.files = order.iter().map(|&(_, at)| files[at as usize]).collect();
        let arena = &self.arena;
        for at in 1..self.files.len() {
            let [earlier, later] = &mut self.files[at - 1..=at] else { unreachable!("two files") };
            if earlier.is_same_message(later, arena) {
                earlier.state = State::SeenAgain;
            }
        }
    }

    /// Takes sizes and unique-ids from the index; true where it tells of the same files under the same names.
    ///
    /// Both are in the order of delivery. A message is known by its base name and its inode. One that has another
    /// inode, as after a restore, is measured anew and keeps its unique-id.
    fn recognise(&mut self, index: &Maildrop) -> bool {
        let (mut at, mut same) = (0, 0);
        let (arena, count) = (&self.arena, index.count());
        let message = |at: u32| MessageNumber::new(at + 1).expect("not 0");
        let base_at = |at: u32| index.base(message(at));
        for namesakes in self.files.chunk_by_mut(|a, b| a.base(arena) == b.base(arena)) {
            if let [File { promised: Some(known), .. }] = namesakes {
                (at, same) = (known.get(), same + 1);
                continue;
            }
            let (delivered, base) = (namesakes[0].delivered, namesakes[0].base(arena));
            let is_earlier = |other| other != base && (name::delivered(other), other) < (delivered, base);
            at = (at..count).find(|&at| !is_earlier(base_at(at))).unwrap_or(count);
            let entries = at..(at..count).find(|&at| base_at(at) != base).unwrap_or(count);
            let alone = namesakes.len() == 1 && entries.len() == 1;
            for file in namesakes {
                let found = entries.clone().map(message).find(|&message| index.inode(message) == file.inode);
                if let Some(known) = found {
                    (file.octets, file.measured, file.promised) = (index.size(known), true, Some(known));
                    same += u32::from((index.folder(known), index.name(known)) == (file.folder, file.name(arena)));
                } else if alone {
                    file.promised = Some(message(entries.start));
                }
            }
        }
        same as usize == self.files.len() && same == count
    }

    /// Finds out the size of each message that is not known.
    fn measure<C: Count>(&mut self, root: &Root) -> Result<(), OpenError> {
        let mut measure = Measure::new(root);
        let arena = &self.arena;
        let unknown = self.files.iter().filter(|file| file.is_unknown()).count();
        let mut gone = measure::in_parallel(unknown, &mut self.files, &mut measure, |files, measure| {
            let mut gone = 0;
            for file in files.iter_mut().filter(|file| file.is_unknown()) {
                gone += usize::from(!file.measure::<C>(arena, measure)?);
            }
            Ok(gone)
        })?;
        // Flags may have changed since the names were read. All such files are looked for in one pass.
        for _ in 0..PASSES {
            if gone == 0 {
                break;
            }
            let now = Listing::read(root, None)?;
            self.stamps = Stamps::unknown();
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

    fn into_maildrop(mut self, root: &Root, index: Option<&Maildrop>) -> Result<(Maildrop, Places), OpenError> {
        self.files.retain(|file| matches!(file.state, State::Listed | State::SeenAgain));
        let given = self.unique_ids(index);
        let mut given = given.iter().peekable();
        let octets = self.files.iter().map(|file| usize::from(file.name_len)).sum::<usize>() + given.len() * 32;
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
                    unique_id: given.next_if(|given| given.0 == at).map(|given| given.1.octets()),
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

    /// The unique-ids of those messages that have another one than their base name, by their place in `files`.
    ///
    /// What was promised is kept. Of those without a promise, the base name is for one that shares it with nobody.
    fn unique_ids<'i>(&self, index: Option<&'i Maildrop>) -> Vec<(usize, Given<'i>)> {
        let listed = |file: &File| file.state == State::Listed;
        let promised = |(at, file): (usize, &File)| {
            let (index, message) = index.zip(file.promised)?;
            let unique_id = index.given_unique_id(message).filter(|_| listed(file))?;
            Some((at, Given::Kept(unique_id)))
        };
        let mut kept: Vec<_> = self.files.iter().enumerate().filter_map(promised).collect();
        let promised_ids: HashSet<&[u8]> = kept.iter().map(|(_, given)| given.octets()).collect();
        let mut needed = Vec::new();
        let mut at = 0;
        for namesakes in self.files.chunk_by(|a, b| a.base(&self.arena) == b.base(&self.arena)) {
            let unpromised = |file: &File| listed(file) && file.promised.is_none();
            let shared = || namesakes.iter().filter(|file| listed(file)).count() > 1;
            let base = namesakes[0].base(&self.arena);
            let clashes = || shared() || !unique_id::is_valid(base) || promised_ids.contains(base);
            if namesakes.iter().any(unpromised) && clashes() {
                let without = (at..).zip(namesakes).filter(|(_, file)| unpromised(file));
                needed.extend(without.map(|(at, _)| (at, shared())));
            }
            at += namesakes.len();
        }
        if !needed.is_empty() {
            let mut taken = Taken::default();
            self.files.iter().for_each(|file| taken.note(file.base(&self.arena)));
            kept.iter().for_each(|(_, given)| taken.note(given.octets()));
            for (at, shared) in needed {
                let file = &self.files[at];
                let hash = taken.hash(file.base(&self.arena), shared.then_some(file.inode));
                kept.push((at, Given::Hashed(hash)));
            }
            kept.sort_unstable_by_key(|&(at, _)| at);
        }
        kept
    }
}

/// A unique-id that is not the base name.
enum Given<'i> {
    /// From the index.
    Kept(&'i [u8]),
    Hashed(Hashed),
}

impl Given<'_> {
    fn octets(&self) -> &[u8] {
        match self {
            Given::Kept(id) => id,
            Given::Hashed(hash) => hash,
        }
    }
}

impl File {
    fn name<'a>(&self, arena: &'a [u8]) -> &'a [u8] {
        &arena[self.name_at..][..self.name_len.into()]
    }

    fn base<'a>(&self, arena: &'a [u8]) -> &'a [u8] {
        &arena[self.name_at..][..self.base_len.into()]
    }

    fn is_unknown(&self) -> bool {
        self.state == State::Listed && !self.measured
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
const PASSES: usize = 4;

/// What reading a name once more takes, about.
const A_NAME: Duration = Duration::from_nanos(400);

#[cfg(test)]
mod tests;
