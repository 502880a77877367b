//! The UPDATE state (RFC 1939 section 6): what a session marked becomes true on disk.
//!
//! Owns: the order unlink, fsync, `maildirsize`, flag S; the truth about what could not be removed.
//! Does not know: who is told of it.
//!
//! Killed at any point, each message is whole or gone: unlink and rename are all that touches one.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, RenameFlags};
use rustix::io::{Errno, retry_on_intr};

use super::maildirsize::MaildirSize;
use super::places::Places;
use super::root::{FOLDERS, Root};
use super::stamps::CLOCK_TICK;
use super::{FileError, name};
use crate::maildrop::{Folder, Maildrop, Marks, MessageNumber};

/// What UPDATE did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Updated {
    /// Messages removed, those included that another program removed first.
    pub removed: u32,
    /// Messages that got the flag S.
    pub seen: u32,
}

/// Not every message that was marked as deleted is certainly gone.
#[derive(Debug, thiserror::Error)]
#[error("of {of} messages to remove, {failed} remain and {uncertain} may come back after a crash; first: {first}")]
pub struct NotRemoved {
    /// How many are still there.
    pub failed: u32,
    /// How many are removed, but were perhaps not removed on the disk itself: fsync failed.
    pub uncertain: u32,
    /// How many were marked as deleted.
    pub of: u32,
    /// Whether another session may have more luck, as far as any of the failures goes.
    pub temporary: bool,
    /// The first failure.
    pub first: FileError,
}

/// Makes `marks` true. Goes on through failures.
pub(super) fn update(
    root: &Root,
    maildrop: &Maildrop,
    places: Places,
    marks: &Marks,
    mark_seen: bool,
) -> Result<Updated, NotRemoved> {
    if marks.is_empty() {
        return Ok(Updated { removed: 0, seen: 0 });
    }
    let folders = FOLDERS.map(|folder| root.open_directory(folder.name()));
    let mut update =
        Update { root, maildrop, places, folders, lost: [0; 2], size: None, failures: Failures::default() };
    let of = marks.deleted_count();
    if of > 0 {
        update.size = MaildirSize::open(root);
        update.remove_all(marks);
        update.make_durable();
        if let Some(size) = update.size.take() {
            size.append(root);
        }
    }
    let seen = if mark_seen { update.mark_seen(marks) } else { 0 };
    update.failures.outcome(Updated { removed: of, seen }, of)
}

struct Update<'a> {
    root: &'a Root,
    maildrop: &'a Maildrop,
    places: Places,
    /// `new` and `cur`, not through links; `None` does not exist.
    folders: [Result<Option<OwnedFd>, Errno>; 2],
    /// How many files `new` and `cur` lost.
    lost: [u32; 2],
    size: Option<MaildirSize>,
    failures: Failures,
}

#[derive(Default)]
struct Failures {
    failed: u32,
    uncertain: u32,
    temporary: bool,
    first: Option<FileError>,
}

impl Update<'_> {
    fn remove_all(&mut self, marks: &Marks) {
        let deleted = self.maildrop.numbers().filter(|&message| marks.is_deleted(message));
        let mut missing: Vec<_> = deleted.filter(|&message| !self.is_settled(message)).collect();
        // What is not where it was may have been renamed.
        for round in 0..ROUNDS {
            if missing.is_empty() {
                return;
            }
            if round > 0 {
                // A worker's time, not the loop's: names that were just changed prove nothing for some ms.
                std::thread::sleep(CLOCK_TICK);
            }
            let wanted = |message, _at_login| missing.binary_search(&message).is_ok();
            match Places::locate(self.root, self.maildrop, wanted) {
                Ok(places) => self.places = places,
                Err(error) => return self.failures.add(missing.len() as u32, error),
            }
            // A message that a quiet pass did not see is gone, as was wanted.
            let gone = |update: &Self, message| update.places.saw_all() && update.places.of(message).next().is_none();
            missing.retain(|&message| !gone(self, message) && !self.is_settled(message));
        }
        // Seen in the last pass, and yet never where it was seen: it is still there, somewhere.
        missing.retain(|&message| self.places.of(message).next().is_some());
        for message in missing {
            let (folder, name) = (self.maildrop.folder(message), self.maildrop.name(message));
            self.failures.add(1, self.root.error("keep up with renames of", folder, name, Errno::BUSY));
        }
    }

    /// Removes one message under all its names; false where it has none that is known.
    fn is_settled(&mut self, message: MessageNumber) -> bool {
        let (folder, name) = (self.maildrop.folder(message), self.maildrop.name(message));
        let mut octets = self.size.is_some().then(|| self.file_octets(message)).flatten();
        let mut removed = match unlink(&self.folders, &mut self.lost, folder, name) {
            Ok(removed) => removed,
            Err(errno) => {
                self.failures.add(1, self.root.error("remove", folder, name, errno));
                return true;
            }
        };
        for found in self.places.of(message) {
            // Where the message itself is removed, a namesake is another one.
            if removed && !found.same_inode {
                continue;
            }
            octets = octets.or_else(|| self.octets_at(found.folder, found.name));
            match unlink(&self.folders, &mut self.lost, found.folder, found.name) {
                Ok(unlinked) => removed |= unlinked,
                Err(errno) => {
                    self.failures.add(1, self.root.error("remove", found.folder, found.name, errno));
                    return true;
                }
            }
        }
        if let (true, Some(size)) = (removed, &mut self.size) {
            size.removed(octets.unwrap_or(0));
        }
        removed
    }

    /// The octets that `maildirsize` counts a message with.
    fn file_octets(&self, message: MessageNumber) -> Option<u64> {
        let size = self.maildrop.size(message).file;
        name::octets(self.maildrop.base(message), b'S')
            .or((size != crate::maildrop::Octets::UNKNOWN).then_some(size))
            .or_else(|| self.octets_at(self.maildrop.folder(message), self.maildrop.name(message)))
    }

    fn octets_at(&self, folder: Folder, name: &[u8]) -> Option<u64> {
        let directory = self.folders[folder as usize].as_ref().ok()?.as_ref()?;
        let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some(stat.st_size as u64)
    }

    /// What a directory has lost is lost for certain once the directory is written.
    fn make_durable(&mut self) {
        for folder in FOLDERS {
            let (Ok(Some(directory)), lost @ 1..) = (&self.folders[folder as usize], self.lost[folder as usize]) else {
                continue;
            };
            match retry_on_intr(|| rustix::fs::fsync(directory)) {
                // A file system that knows no fsync of directories does it at once, or never.
                Ok(()) | Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => {}
                Err(errno) => {
                    self.failures.uncertain += lost;
                    self.failures.add(0, self.root.error("fsync", folder, b"", errno));
                    self.failures.temporary = true;
                }
            }
        }
    }

    /// Moves what was retrieved and kept to `cur`, with the flag S. How many were moved.
    ///
    /// A failure is no one's business but the log's: the mail is there, and unread.
    fn mark_seen(&mut self, marks: &Marks) -> u32 {
        let retrieved = |message: &MessageNumber| marks.is_retrieved(*message) && !marks.is_deleted(*message);
        let mut kept: Vec<_> = self.maildrop.numbers().filter(retrieved).collect();
        let mut seen = 0;
        kept.retain(|&message| !self.is_seen(message, &mut seen));
        if !kept.is_empty() {
            // Another program has renamed them since: one pass finds them all, or they are gone.
            match Places::locate(self.root, self.maildrop, |message, _| kept.binary_search(&message).is_ok()) {
                Ok(places) => self.places = places,
                Err(error) => log::debug!("{error}"),
            }
            kept.retain(|&message| !self.is_seen(message, &mut seen));
        }
        seen
    }

    /// Gives a message the flag S; false where it was not found.
    fn is_seen(&self, message: MessageNumber, seen: &mut u32) -> bool {
        let at_login = (self.maildrop.folder(message), self.maildrop.name(message));
        let located = self.places.of(message).filter(|found| found.same_inode);
        for (folder, name) in std::iter::once(at_login).chain(located.map(|found| (found.folder, found.name))) {
            match self.move_to_seen(folder, name) {
                Ok(moved) => *seen += u32::from(moved),
                Err(Errno::NOENT) => continue,
                Err(errno) => log::debug!("{}", self.root.error("mark as seen", folder, name, errno)),
            }
            return true;
        }
        false
    }

    /// False where the name needs no change.
    fn move_to_seen(&self, folder: Folder, name: &[u8]) -> Result<bool, Errno> {
        let Some(seen) = name::with_seen(name) else { return Ok(false) };
        let from = self.folders[folder as usize].as_ref().map_err(|&errno| errno)?.as_ref().ok_or(Errno::NOENT)?;
        let cur = self.folders[Folder::Cur as usize].as_ref().map_err(|&errno| errno)?.as_ref().ok_or(Errno::NOENT)?;
        let renamed = retry_on_intr(|| rustix::fs::renameat_with(from, name, cur, &seen[..], RenameFlags::NOREPLACE));
        match renamed {
            // The file system or the kernel can't promise to replace nothing; looking first has to do.
            Err(Errno::INVAL | Errno::NOSYS) => rename_where_free(from, name, cur, &seen)?,
            renamed => renamed?,
        }
        Ok(true)
    }
}

impl Failures {
    fn add(&mut self, failed: u32, error: FileError) {
        self.failed += failed;
        self.temporary |= error.is_temporary();
        self.first.get_or_insert(error);
    }

    fn outcome(self, updated: Updated, of: u32) -> Result<Updated, NotRemoved> {
        match self.first {
            None => Ok(updated),
            Some(first) => {
                Err(NotRemoved { failed: self.failed, uncertain: self.uncertain, of, temporary: self.temporary, first })
            }
        }
    }
}

/// False where there is no such file.
fn unlink(
    folders: &[Result<Option<OwnedFd>, Errno>; 2],
    lost: &mut [u32; 2],
    folder: Folder,
    name: &[u8],
) -> Result<bool, Errno> {
    let Some(directory) = folders[folder as usize].as_ref().map_err(|&errno| errno)? else { return Ok(false) };
    // There may be a hundred thousand of them, and the loop shares the processor.
    std::thread::yield_now();
    match retry_on_intr(|| rustix::fs::unlinkat(directory, name, AtFlags::empty())) {
        Ok(()) => {
            lost[folder as usize] += 1;
            Ok(true)
        }
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn rename_where_free(from: &OwnedFd, name: &[u8], cur: &OwnedFd, seen: &[u8]) -> Result<(), Errno> {
    match rustix::fs::statat(cur, seen, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => retry_on_intr(|| rustix::fs::renameat(from, name, cur, seen)),
        Err(errno) => Err(errno),
        Ok(_) => Err(Errno::EXIST),
    }
}

/// How often a message is looked for that is not where it was seen a moment ago.
const ROUNDS: u32 = 4;

#[cfg(test)]
mod tests;
