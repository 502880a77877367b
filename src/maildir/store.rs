//! One session's hold on its maildrop.
//!
//! Owns: the way into the TRANSACTION state (lock, names, sizes), and opening one message.
//! Does not know: UPDATE beyond its entry, which is in `update`.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::index::{self, Index, Recall};
use super::lock::{Lock, MaildropId};
use super::measure::Count;
use super::places::Places;
use super::root::{Root, kind, modified};
use super::scan::Scanned;
use super::stamps::Stamps;
use super::update::{self, NotRemoved, Updated};
use super::{FileError, OpenError, scan, tmp};
use crate::maildrop::{Folder, Maildrop, Marks, MessageNumber, Octets};

/// A maildrop with its lock; dropping it gives the lock back and changes nothing.
///
/// Holds one descriptor (two where the file system can't lock a directory), so that thousands of sessions can
/// be open.
pub struct Store {
    lock: Lock,
    maildrop: Arc<Maildrop>,
    places: Places,
    learned: Vec<(MessageNumber, Octets)>,
    recall: Recall,
}

/// A message that is open for reading.
#[derive(Debug)]
pub struct OpenMessage {
    /// At its beginning.
    pub file: File,
    /// The length of the file, now.
    pub file_octets: u64,
    /// When it was last written to: nanoseconds since 1970.
    pub modified: u64,
    /// The octets on the wire, where they were counted at login and the file is the same; where `None`, they must
    /// be counted before they are announced.
    pub wire_octets: Option<u64>,
}

/// Why a message could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// It is not where it was: [`Store::locate`] in a job, then try again. In a Maildir that keeps changing this
    /// may be said again; a caller who has seen it twice for one command takes it for [`MessageError::Gone`].
    #[error("the message was moved or removed by another program")]
    Moved,
    /// Another program removed it.
    #[error("the message was removed by another program")]
    Gone,
    /// A link, a FIFO, a directory or the like has taken its name.
    #[error("the message is no regular file any more")]
    NotRegular,
    /// Ask [`FileError::is_temporary`].
    #[error(transparent)]
    Unreadable(FileError),
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({:?}, {} messages)", self.id(), self.maildrop.count())
    }
}

impl Store {
    /// Locks the maildrop, reads its names and finds out its sizes. A job: it reads every message whose name
    /// does not say its size.
    ///
    /// # Errors
    /// [`OpenError`]; the lock is not held then.
    pub fn open<C: Count>(path: &Path) -> Result<Store, OpenError> {
        let root = Root::open(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => OpenError::NoMaildir { path: path.into() },
            _ => FileError { action: "open", path: path.into(), source }.into(),
        })?;
        let lock = Lock::take(root)?;
        let Scanned { maildrop, places, unsaved, recall } = scan::scan::<C>(lock.root())?;
        if let Some(stamps) = unsaved {
            save(lock.root(), &maildrop, &stamps, &[]);
        }
        tmp::clean_now_and_then(lock.root());
        Ok(Store { lock, maildrop: Arc::new(maildrop), places, learned: Vec::new(), recall })
    }

    /// Opens a maildrop that has not changed since its index was written, if that is small: a dozen system calls. `None`
    /// where it takes [`Store::open`], which also tells of whatever is wrong.
    pub fn open_at_once(path: &Path) -> Option<Store> {
        if tmp::is_due() {
            return None;
        }
        let root = Root::open(path).ok()?;
        // Before the lock: where this finds nothing, nobody else must have met it.
        let index = Index::read(&root, AT_ONCE)?;
        let lock = Lock::take(root).ok()?;
        let maildrop = Some(index).filter(|index| index.is_current(lock.root()))?.into_maildrop();
        tmp::count_login();
        let (maildrop, places) = (Arc::new(maildrop), Places::default());
        Some(Store { lock, maildrop, places, learned: Vec::new(), recall: Recall::Whole })
    }

    /// A message turned out to have another size than at login: the index will say so after UPDATE.
    pub fn learn(&mut self, message: MessageNumber, octets: Octets) {
        self.learned.push((message, octets));
    }

    /// Whether something was learned that UPDATE writes down.
    pub fn has_learned(&self) -> bool {
        !self.learned.is_empty()
    }

    /// How much of it the index told at login.
    pub fn recall(&self) -> Recall {
        self.recall
    }

    /// The messages, as they were at login.
    pub fn maildrop(&self) -> &Arc<Maildrop> {
        &self.maildrop
    }

    /// What the maildrop is known by, as in [`OpenError::Busy`].
    pub fn id(&self) -> MaildropId {
        self.lock.id()
    }

    /// Opens a message. A few system calls, fit for the event loop.
    ///
    /// # Errors
    /// [`MessageError`].
    ///
    /// # Panics
    /// Where the maildrop has no message of that number.
    pub fn open_message(&self, message: MessageNumber) -> Result<OpenMessage, MessageError> {
        let at_login = (self.maildrop.folder(message), self.maildrop.name(message));
        let located = self.places.of(message).map(|found| (found.folder, found.name));
        for (folder, name) in std::iter::once(at_login).chain(located) {
            match self.lock.root().open_file(folder, name) {
                Ok((file, stat)) if kind(&stat) == FileType::RegularFile => {
                    return Ok(self.opened(message, file.into(), &stat));
                }
                Ok(_) | Err(Errno::LOOP | Errno::NXIO) => return Err(MessageError::NotRegular),
                Err(Errno::NOENT | Errno::STALE) => {}
                Err(errno) => return Err(self.unreadable(folder, name, errno)),
            }
        }
        Err(if self.places.are_all(self.lock.root()) { MessageError::Gone } else { MessageError::Moved })
    }

    fn opened(&self, message: MessageNumber, file: File, stat: &rustix::fs::Stat) -> OpenMessage {
        let file_octets = stat.st_size as u64;
        let size = self.maildrop.size(message);
        let modified = modified(stat);
        let same = (size.file, size.modified) == (file_octets, modified) && self.maildrop.inode(message) == stat.st_ino;
        OpenMessage { file, file_octets, modified, wire_octets: same.then_some(size.wire) }
    }

    fn unreadable(&self, folder: Folder, name: &[u8], errno: Errno) -> MessageError {
        MessageError::Unreadable(self.lock.root().error("open", folder, name, errno))
    }

    /// Finds messages again that another program renamed: one pass over both directories, however many they are.
    /// A job.
    ///
    /// # Errors
    /// Where a directory can't be read; what was known before stays known.
    pub fn locate(&mut self) -> Result<(), FileError> {
        self.places = Places::locate(self.lock.root(), &self.maildrop, |_, at_login| !at_login)?;
        Ok(())
    }

    /// The UPDATE state (RFC 1939 section 6): removes the messages that are marked as deleted and, with
    /// `mark_seen`, gives those that RETR sent the flag S. The lock is given back before this returns. A job.
    ///
    /// # Errors
    /// [`NotRemoved`] where not every removal is certain. All others are done nevertheless.
    pub fn update(self, marks: &Marks, mark_seen: bool) -> Result<Updated, NotRemoved> {
        let updated = update::update(self.lock.root(), &self.maildrop, self.places, marks, mark_seen);
        if !self.learned.is_empty() {
            save(self.lock.root(), &self.maildrop, &Stamps::unknown(), &self.learned);
        }
        updated
    }
}

/// Octets of an index that is read at once: some thousand messages.
const AT_ONCE: u64 = 64 * 1024;

/// Writes the index, with what was learned since login. That it can't be written hurts nobody.
fn save(root: &Root, maildrop: &Maildrop, stamps: &Stamps, learned: &[(MessageNumber, Octets)]) {
    if let Err(error) = index::write(root, maildrop, stamps, learned) {
        log::debug!("cannot write {:?}: {error}", root.path().join(index::FILE));
    }
}

#[cfg(test)]
mod tests;
