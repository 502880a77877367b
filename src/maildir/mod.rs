//! Maildirs on disk.
//!
//! Owns: which files are messages, their order, sizes and unique-ids; the lock of a maildrop; how a
//! message is opened; what the index remembers; the removals of the UPDATE state (RFC 1939 sections 5 to 7).
//! Does not know: the protocol, sockets, users.
//!
//! ```text
//! login   Root -> Lock -> index, or scan (measure, unique_id) -> Store { Lock, Maildrop, Places }   a job
//! RETR    Store::open_message, and where that says Moved: Store::locate                        the latter a job
//! QUIT    Store::update: unlink, fsync, maildirsize, the flag S                                a job
//! ```
//!
//! Names in a Maildir belong to whoever can write to it: nothing is ever reached through a link, and
//! nothing but a regular file is read.

mod index;
mod lock;
mod maildirsize;
mod measure;
mod name;
mod places;
mod root;
mod scan;
mod stamps;
mod store;
mod tmp;
mod unique_id;
mod update;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod race_tests;

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

pub use index::Recall;
pub use lock::MaildropId;
pub use measure::Count;
pub use store::{MessageError, OpenMessage, Store};
pub use update::{NotRemoved, Updated};

/// What the file system refused, in words for the operator.
///
/// The path is quoted and escaped: whoever can deliver mail chooses file names.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path:?}: {source}")]
pub struct FileError {
    /// What was tried, as `open` or `read`.
    pub action: &'static str,
    /// On what.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl FileError {
    /// Whether trying again later may help: everything but a question of permission or of a wrong kind of file.
    pub fn is_temporary(&self) -> bool {
        let permanent = [
            Errno::NOENT,
            Errno::ACCESS,
            Errno::PERM,
            Errno::ROFS,
            Errno::NOTDIR,
            Errno::ISDIR,
            Errno::LOOP,
            Errno::NAMETOOLONG,
        ];
        !Errno::from_io_error(&self.source).is_some_and(|errno| permanent.contains(&errno))
    }
}

/// Why a maildrop could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another session, of this process or of another one, has it.
    #[error("the maildrop is in use")]
    Busy(MaildropId),
    /// Nothing is there, or something without `new` and `cur`.
    #[error(
        "no Maildir at {path:?}: make one by `mkdir -p {path:?}/new {path:?}/cur {path:?}/tmp`, \
         as the user that the server runs as"
    )]
    NoMaildir {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Somebody has to mend something first.
    #[error("{0}; `poppet check` says how to mend it")]
    Permanent(FileError),
    /// It may work later.
    #[error(transparent)]
    Temporary(FileError),
}

impl From<FileError> for OpenError {
    fn from(error: FileError) -> OpenError {
        if error.is_temporary() { OpenError::Temporary(error) } else { OpenError::Permanent(error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permission_and_kind_are_permanent_and_the_rest_is_temporary() {
        let temporary =
            |errno: Errno| FileError { action: "open", path: "x".into(), source: errno.into() }.is_temporary();
        for errno in [Errno::NOENT, Errno::ACCESS, Errno::PERM, Errno::NOTDIR, Errno::ROFS, Errno::ISDIR, Errno::LOOP] {
            assert!(!temporary(errno), "{errno}");
        }
        for errno in [Errno::IO, Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOSPC, Errno::BUSY, Errno::INTR] {
            assert!(temporary(errno), "{errno}");
        }
    }

    #[test]
    fn a_hostile_name_forges_nothing_in_a_log() {
        let path = PathBuf::from("/mail/cur/1.a\nlogin: root");
        let error = FileError { action: "open", path, source: io::ErrorKind::NotFound.into() };
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}
