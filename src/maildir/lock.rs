//! The lock of a maildrop: one session at a time, in this process and in all others.
//!
//! Owns: the identity of a maildrop, the lock on its directory, what stands in where a file system has none.
//! Does not know: who holds it, or what to do about that.
//!
//! flock(2) belongs to an open file description, so it keeps out a second session of the same process as
//! well; it writes nothing, leaves nothing behind, and is gone with the descriptor.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::root::{Root, kind};
use super::{FileError, OpenError};

/// What a maildrop is known by: two paths of one Maildir are one maildrop.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MaildropId {
    device: u64,
    inode: u64,
}

/// The lock on a maildrop, held until this is dropped.
pub(super) struct Lock {
    root: Arc<Root>,
    id: MaildropId,
    /// The file that is locked where the directory can't be.
    file: Option<OwnedFd>,
}

impl Lock {
    /// Takes the lock, or says at once that another has it.
    ///
    /// # Errors
    /// [`OpenError::Busy`], and whatever keeps the directory or the file from being locked.
    pub(super) fn take(root: Arc<Root>) -> Result<Lock, OpenError> {
        let stat = rustix::fs::fstat(root.directory()).map_err(|errno| error(root.path(), "look at", errno))?;
        let id = MaildropId { device: stat.st_dev, inode: stat.st_ino };
        let locked = retry_on_intr(|| rustix::fs::flock(root.directory(), FlockOperation::NonBlockingLockExclusive));
        let file = match locked {
            Ok(()) => None,
            Err(Errno::WOULDBLOCK) => return Err(OpenError::Busy(id)),
            // NFS locks only what is open for writing, which a directory never is; others know no flock.
            Err(Errno::BADF | Errno::INVAL | Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS | Errno::ISDIR) => {
                lock_file(&root, id)?
            }
            Err(errno) => return Err(error(root.path(), "lock", errno).into()),
        };
        Ok(Lock { root, id, file })
    }

    /// The Maildir that is locked.
    pub(super) fn root(&self) -> &Arc<Root> {
        &self.root
    }

    pub(super) fn id(&self) -> MaildropId {
        self.id
    }
}

impl Drop for Lock {
    /// Closing alone would do, but for a child process that was forked this instant: until it runs its program
    /// it has a copy of the descriptor.
    fn drop(&mut self) {
        let _ = rustix::fs::flock(self.root.directory(), FlockOperation::Unlock);
        if let Some(file) = &self.file {
            let _ = rustix::fs::flock(file, FlockOperation::Unlock);
        }
    }
}

/// Locks a file in the Maildir. It stays there, empty: removing it would let two sessions lock two files.
///
/// On a file system that is read-only nothing can be deleted, so two sessions do each other no harm: there,
/// and only there, a maildrop is opened without a lock.
fn lock_file(root: &Root, id: MaildropId) -> Result<Option<OwnedFd>, OpenError> {
    let path = root.path().join(LOCK_FILE);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let file = match retry_on_intr(|| rustix::fs::openat(root.directory(), LOCK_FILE, flags, mode)) {
        Err(Errno::ROFS) => {
            warn_of_read_only(root.path());
            return Ok(None);
        }
        opened => opened.map_err(|errno| error(&path, "open", errno))?,
    };
    let stat = rustix::fs::fstat(&file).map_err(|errno| error(&path, "look at", errno))?;
    if !kind(&stat).is_file() {
        // Locking a FIFO or a device of somebody's making would be no lock on this maildrop.
        return Err(error(&path, "lock", Errno::ISDIR).into());
    }
    match retry_on_intr(|| rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Err(OpenError::Busy(id)),
        Err(errno) => Err(error(&path, "lock", errno).into()),
    }
}

fn error(path: &Path, action: &'static str, errno: Errno) -> FileError {
    FileError { action, path: path.into(), source: errno.into() }
}

fn warn_of_read_only(path: &Path) {
    static SAID: AtomicBool = AtomicBool::new(false);
    if !SAID.swap(true, Ordering::Relaxed) {
        log::warn!("{path:?} is read-only and can't be locked: sessions may share a maildrop there");
    }
}

const LOCK_FILE: &str = "poppet-lock";

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;
    use crate::maildir::fixture::Fixture;

    fn take(path: &Path) -> Result<Lock, OpenError> {
        Lock::take(Root::open(path).unwrap().into())
    }

    fn id_of(root: &Root) -> MaildropId {
        let stat = rustix::fs::fstat(root.directory()).unwrap();
        MaildropId { device: stat.st_dev, inode: stat.st_ino }
    }

    #[test]
    fn a_second_session_is_told_whose_maildrop_it_is_whatever_path_it_takes() {
        let (fixture, other) = (Fixture::new(), Fixture::new());
        fixture.link("cur/..", "same");
        let lock = take(fixture.path()).unwrap();
        for path in [fixture.path().to_owned(), fixture.path().join("same"), fixture.path().join("new/..")] {
            let Err(OpenError::Busy(id)) = take(&path) else { panic!("{path:?} is free") };
            assert_eq!(id, lock.id());
        }
        assert_ne!(take(other.path()).unwrap().id(), lock.id());
        drop(lock);
        assert!(take(fixture.path()).is_ok());
        assert_eq!(fixture.names(""), ["cur", "new", "same", "tmp"], "nothing is written");
    }

    #[test]
    fn a_lock_of_another_process_keeps_us_out_until_that_process_ends() {
        let fixture = Fixture::new();
        let mut other = Command::new("flock")
            .arg(fixture.path())
            .args(["sh", "-c", "echo locked; read end"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(other.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let id = id_of(&Root::open(fixture.path()).unwrap());
        assert!(matches!(take(fixture.path()), Err(OpenError::Busy(busy)) if busy == id));
        drop(other.stdin.take());
        other.wait().unwrap();
        assert!(take(fixture.path()).is_ok());
    }

    #[test]
    fn a_copy_of_the_descriptor_in_a_forked_process_does_not_keep_the_lock() {
        let fixture = Fixture::new();
        let lock = take(fixture.path()).unwrap();
        let _copy = lock.root().directory().try_clone_to_owned().unwrap();
        drop(lock);
        assert!(take(fixture.path()).is_ok());
    }

    #[test]
    fn a_file_is_locked_where_the_directory_can_not_be() {
        let fixture = Fixture::new();
        let root = Root::open(fixture.path()).unwrap();
        let id = id_of(&root);
        let held = lock_file(&root, id).unwrap().expect("a file to hold");
        assert!(matches!(lock_file(&root, id), Err(OpenError::Busy(busy)) if busy == id));
        drop(held);
        assert!(lock_file(&root, id).is_ok());
        assert_eq!(fixture.names(""), ["cur", "new", "poppet-lock", "tmp"]);
    }

    #[test]
    fn a_lock_file_that_is_a_link_or_a_fifo_is_refused() {
        let fixture = Fixture::new();
        let root = Root::open(fixture.path()).unwrap();
        let id = id_of(&root);
        fixture.link("cur/stolen", "poppet-lock");
        assert!(matches!(lock_file(&root, id), Err(OpenError::Permanent(_))));
        assert!(fixture.names("cur").is_empty());
        fixture.remove("poppet-lock");
        fixture.fifo("poppet-lock");
        assert!(matches!(lock_file(&root, id), Err(OpenError::Permanent(_))));
    }
}
