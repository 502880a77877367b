//! From the files of a Maildir to a maildrop: which are messages, in what order, under which unique-id.
//!
//! Owns: reading the names until they hold still, the order of delivery, two names for one message and one
//! base name for two.
//! Does not know: locks, removals, what a unique-id is made of, how octets are counted.
//!
//! A login does this, for a hundred thousand messages at times: nothing is allocated per message.

use std::collections::HashSet;

use super::index::Index;
use super::measure::{self, Count, Measure, Measured};
use super::places::Places;
use super::root::{Root, Stamps};
use super::unique_id::{self, Hashed, Taken};
use super::{FileError, OpenError, name};
use crate::maildrop::{Folder, Maildrop, NewMessage, Octets};

/// What a login found.
pub(super) struct Scanned {
    pub(super) maildrop: Maildrop,
    /// Of messages that were seen under two names.
    pub(super) places: Places,
    /// The index is to be written, as of these stamps; `None` where nothing has changed.
    pub(super) unsaved: Option<Stamps>,
}

/// Reads the names, measures the messages and numbers them; takes from the index whatever it still tells truly.
///
/// # Errors
/// Where a directory can't be read: that must never look like an empty maildrop.
pub(super) fn scan<C: Count>(root: &Root) -> Result<Scanned, OpenError> {
    let index = Index::read(root);
    if let Some(index) = index.as_ref().filter(|index| index.is_current(root)) {
        let maildrop = index.to_maildrop().map_err(|error| too_many(root, error))?;
        return Ok(Scanned { maildrop, places: Places::default(), unsaved: None });
    }
    let mut listing = Listing::read(root)?;
    let unchanged = index.as_ref().is_some_and(|index| listing.recognise(index));
    listing.measure::<C>(root)?;
    let stamps = listing.stamps.clone();
    let (maildrop, places) = listing.into_maildrop(root, index.as_ref())?;
    // A message with two names is there twice: the index knows but one of them.
    let stamps = if places.is_empty() { stamps } else { Stamps::unsettled() };
    let known = index.as_ref().is_some_and(|index| unchanged && (!stamps.are_settled() || stamps == *index.stamps()));
    let worthless = known || maildrop.count() == 0 && index.is_none();
    Ok(Scanned { maildrop, places, unsaved: (!worthless).then_some(stamps) })
}

/// The files that are messages, with their names in one arena.
struct Listing {
    files: Vec<File>,
    arena: Vec<u8>,
    /// Of the pass that saw everything, if one did.
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
    /// Its place in the index, and 1; 0 where it is not in there. Its unique-id was promised then.
    promised: u32,
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
        let mut listing = Listing { files: Vec::new(), arena: Vec::new(), stamps: Stamps::unsettled() };
        for _ in 0..PASSES {
            let before = listing.files.len();
            let pass = root.read_folders(|folder, name, inode| listing.push(folder, name, inode))?;
            let Some(pass) = pass else { return Err(OpenError::NoMaildir { path: root.path().into() }) };
            // A rename while a directory is read can hide the file from that pass: flags are file names. So what
            // any pass saw is listed, unless one saw everything.
            if pass.quiet {
                listing.files.drain(..before);
                listing.stamps = pass.stamps;
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
            octets: Octets::hearsay(0),
            name_at: self.arena.len(),
            name_len: u8::try_from(name.len()).expect("names are at most 255 octets long"),
            base_len: base.len() as u8,
            folder,
            state: State::Listed,
            measured: false,
            promised: 0,
        });
        self.arena.extend_from_slice(name);
    }

    /// Sorts by delivery, and finds the messages that were seen twice: one base name, one inode.
    ///
    /// Such a message was moved between the two sightings, or whoever moved it left the old name behind.
    fn sort(&mut self) {
        let (files, arena) = (&self.files, &self.arena);
        // Times are short to compare and to move; names are looked at only where times are the same.
        let mut order: Vec<_> = files.iter().zip(0u32..).map(|(file, at)| (file.delivered, at)).collect();
        order.sort_unstable_by(|(a_time, a), (b_time, b)| {
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
    fn recognise(&mut self, index: &Index) -> bool {
        let (mut at, mut same) = (0, 0);
        let arena = &self.arena;
        let base_at = |at: usize| {
            let entry = index.entry(at);
            &entry.name[..entry.base_len.into()]
        };
        for namesakes in self.files.chunk_by_mut(|a, b| a.base(arena) == b.base(arena)) {
            let (delivered, base) = (namesakes[0].delivered, namesakes[0].base(arena));
            let is_earlier = |other| other != base && (name::delivered(other), other) < (delivered, base);
            at = (at..index.count()).find(|&at| !is_earlier(base_at(at))).unwrap_or(index.count());
            let entries = at..(at..index.count()).find(|&at| base_at(at) != base).unwrap_or(index.count());
            let alone = namesakes.len() == 1 && entries.len() == 1;
            for file in namesakes {
                if let Some(known) = entries.clone().find(|&at| index.entry(at).inode == file.inode) {
                    let entry = index.entry(known);
                    (file.octets, file.measured, file.promised) = (entry.octets, true, known as u32 + 1);
                    same += usize::from((entry.folder, entry.name) == (file.folder, file.name(arena)));
                } else if alone {
                    file.promised = entries.start as u32 + 1;
                }
            }
        }
        same == self.files.len() && same == index.count()
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
            let now = Listing::read(root)?;
            self.stamps = Stamps::unsettled();
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

    fn into_maildrop(mut self, root: &Root, index: Option<&Index>) -> Result<(Maildrop, Places), OpenError> {
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
    fn unique_ids<'i>(&self, index: Option<&'i Index>) -> Vec<(usize, Given<'i>)> {
        let promise = |file: &File| index.zip(file.promised.checked_sub(1)).map(|(index, at)| index.entry(at as usize));
        let listed = |file: &File| file.state == State::Listed;
        let promised = |(at, file): (usize, &File)| {
            let unique_id = promise(file).filter(|_| listed(file))?.unique_id?;
            Some((at, Given::Kept(unique_id)))
        };
        let mut kept: Vec<_> = self.files.iter().enumerate().filter_map(promised).collect();
        let promised_ids: HashSet<&[u8]> = kept.iter().map(|(_, given)| given.octets()).collect();
        let mut needed = Vec::new();
        let mut at = 0;
        for namesakes in self.files.chunk_by(|a, b| a.base(&self.arena) == b.base(&self.arena)) {
            let base = namesakes[0].base(&self.arena);
            let shared = namesakes.iter().filter(|file| listed(file)).count() > 1;
            if shared || !unique_id::is_valid(base) || promised_ids.contains(base) {
                let unpromised = (at..).zip(namesakes).filter(|(_, file)| listed(file) && promise(file).is_none());
                needed.extend(unpromised.map(|(at, _)| (at, shared)));
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
const PASSES: usize = 3;

#[cfg(test)]
mod tests;
