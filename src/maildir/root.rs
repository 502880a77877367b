//! The Maildir's own directory, held open, and whatever is reached through it.
//!
//! Owns: how a directory or a file in a Maildir is opened, so that no link leads out of it; reading
//! directories.
//! Does not know: whether a directory has changed (`stamps` does); what a message is, beyond being a regular file whose name does not begin with a dot.

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, Stat};
use rustix::io::{Errno, retry_on_intr};

use super::stamps::{Look, Stamps};
use super::{FileError, name};
use crate::maildrop::Folder;

/// A Maildir that is held open: one descriptor, whatever becomes of its path.
pub(super) struct Root {
    directory: OwnedFd,
    path: Box<Path>,
}

/// What one pass over `new` and `cur` saw of these two directories themselves.
#[derive(Debug)]
pub(super) struct Pass {
    stamps: Stamps,
    /// Nothing was changed in either while they were read, so every file was seen where it is.
    pub(super) quiet: bool,
}

impl Root {
    /// Opens the Maildir. The path itself comes from the configuration and may lead through links.
    pub(super) fn open(path: &Path) -> io::Result<Root> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?;
        Ok(Root { directory, path: path.into() })
    }

    pub(super) fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// An error about a file of the Maildir.
    pub(super) fn error(&self, action: &'static str, folder: Folder, name: &[u8], errno: Errno) -> FileError {
        FileError { action, path: self.path_of(folder, name), source: errno.into() }
    }

    fn path_of(&self, folder: Folder, name: &[u8]) -> PathBuf {
        use std::os::unix::ffi::OsStrExt;
        let mut path = self.path.join(folder.name());
        if !name.is_empty() {
            path.push(std::ffi::OsStr::from_bytes(name));
        }
        path
    }

    /// Opens `new`, `cur` or `tmp`, not through a link; `None` where there is none.
    pub(super) fn open_directory(&self, name: &str) -> Result<Option<OwnedFd>, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match retry_on_intr(|| rustix::fs::openat(&self.directory, name, flags, Mode::empty())) {
            Ok(directory) => Ok(Some(directory)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Opens what may be a message, and says what it is. A FIFO does not block, a link is an error.
    pub(super) fn open_file(&self, folder: Folder, name: &[u8]) -> Result<(OwnedFd, Stat), Errno> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
        let mut buffer = PathBuffer::default();
        let path = buffer.join(folder, name);
        let opened = retry_on_intr(|| rustix::fs::openat2(&self.directory, path, flags, Mode::empty(), resolve));
        let file = match opened {
            // A kernel before 5.6, or a filter of system calls that does not know this one.
            Err(Errno::NOSYS | Errno::PERM) => self.open_file_in_two_steps(folder, name, flags)?,
            opened => opened?,
        };
        let stat = rustix::fs::fstat(&file)?;
        Ok((file, stat))
    }

    /// What a name stands for, without opening it and without following a link.
    pub(super) fn look_at(&self, folder: Folder, name: &[u8]) -> Result<Stat, Errno> {
        let directory = self.open_directory(folder.name())?.ok_or(Errno::NOENT)?;
        rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)
    }

    fn open_file_in_two_steps(&self, folder: Folder, name: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let directory = self.open_directory(folder.name())?.ok_or(Errno::NOENT)?;
        retry_on_intr(|| rustix::fs::openat(&directory, name, flags, Mode::empty()))
    }

    /// Tells `each` of every file in `new`, then in `cur`: folder, name, inode.
    pub(super) fn read_folders(&self, mut each: impl FnMut(Folder, &[u8], u64)) -> Result<Pass, FileError> {
        let mut stamps = Stamps::unknown();
        for folder in FOLDERS {
            let look = self.read_folder(folder, Duration::ZERO, |name, inode| each(folder, name, inode))?;
            stamps.note(folder, look);
        }
        let quiet = stamps.unchanged(self) == [true; 2];
        Ok(Pass { stamps, quiet })
    }

    /// Tells `each` of every file in `folder`: name, inode. Says what the folder was like before; `None` where there
    /// is none.
    ///
    /// Where a change could go unseen because the last one is so fresh, it waits until that is over, but no longer than
    /// `patience`: reading once more may take longer.
    pub(super) fn read_folder(
        &self,
        folder: Folder,
        patience: Duration,
        each: impl FnMut(&[u8], u64),
    ) -> Result<Option<Look>, FileError> {
        let error = |action| move |errno| self.error(action, folder, b"", errno);
        let Some(directory) = self.open_directory(folder.name()).map_err(error("open"))? else { return Ok(None) };
        let mut look = Look::at(directory.as_fd()).map_err(error("look at"))?;
        if !look.settles_in.is_zero() && look.settles_in <= patience {
            std::thread::sleep(look.settles_in);
            look = Look::at(directory.as_fd()).map_err(error("look at"))?;
        }
        let mut buffer = Vec::with_capacity(DIRECTORY_BUFFER);
        read_files(directory.as_fd(), &mut buffer, each).map_err(error("read"))?;
        Ok(Some(look))
    }

    /// Whether no file came, went or was renamed in either directory since `pass` began.
    pub(super) fn is_unchanged_since(&self, pass: &Pass) -> bool {
        pass.stamps.unchanged(self) == [true; 2]
    }
}

/// When a file was last written to, in nanoseconds since 1970.
pub(super) fn modified(stat: &Stat) -> u64 {
    #[allow(clippy::useless_conversion)] // Half as wide on some machines.
    nanoseconds(stat.st_mtime.into(), stat.st_mtime_nsec.into())
}

pub(super) fn nanoseconds(seconds: i64, nanoseconds: u64) -> u64 {
    u64::try_from(seconds).unwrap_or_default().saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}

/// Room for `new/NAME`: a login opens each message, and need not allocate for it.
struct PathBuffer([u8; 4 + name::LONGEST + 1]);

impl Default for PathBuffer {
    fn default() -> PathBuffer {
        PathBuffer([0; 4 + name::LONGEST + 1])
    }
}

impl PathBuffer {
    fn join(&mut self, folder: Folder, name: &[u8]) -> &CStr {
        self.0[..3].copy_from_slice(folder.name().as_bytes());
        self.0[3] = b'/';
        self.0[4..][..name.len()].copy_from_slice(name);
        CStr::from_bytes_until_nul(&self.0).expect("the last octet is never written")
    }
}

/// Tells `each` of every regular file in `directory` whose name does not begin with a dot: name and inode.
pub(super) fn read_files(
    directory: BorrowedFd<'_>,
    buffer: &mut Vec<u8>,
    mut each: impl FnMut(&[u8], u64),
) -> Result<(), Errno> {
    let buffer: &mut [MaybeUninit<u8>] = buffer.spare_capacity_mut();
    let mut entries = RawDir::new(directory, buffer);
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Err(Errno::INTR) => continue,
            entry => entry?,
        };
        let file_name = entry.file_name().to_bytes();
        // Some file systems allow longer names than Linux does; a maildrop has no room for them.
        if file_name.first() == Some(&b'.') || file_name.len() > name::LONGEST {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => match rustix::fs::statat(directory, file_name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => kind(&stat),
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(errno),
            },
            kind => kind,
        };
        if kind == FileType::RegularFile {
            each(file_name, entry.ino());
        }
    }
    Ok(())
}

/// What kind of file it is.
pub(super) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// The order matters: mail moves from `new` to `cur`, so read this way it is seen twice rather than never.
pub(super) const FOLDERS: [Folder; 2] = [Folder::New, Folder::Cur];

/// Room for some 400 directory entries a system call.
pub(super) const DIRECTORY_BUFFER: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maildir::fixture::Fixture;

    #[test]
    fn a_pass_beside_a_fresh_change_is_not_quiet() {
        let fixture = Fixture::new();
        let root = Root::open(fixture.path()).unwrap();
        fixture.settle();
        let quiet = root.read_folders(|_, _, _| ()).unwrap();
        assert!(quiet.quiet && root.is_unchanged_since(&quiet));
        fixture.put("new/1.a", "x");
        assert!(!root.is_unchanged_since(&quiet));
        // The next change could carry the same time, so a pass now proves nothing. A loaded machine may be late.
        let is_quiet = |n: u32| {
            fixture.put(&format!("new/{n}.b"), "x");
            root.read_folders(|_, _, _| ()).unwrap().quiet
        };
        assert!((0..50).any(|n| !is_quiet(n)));
    }

    #[test]
    fn a_change_during_a_pass_is_noticed() {
        let fixture = Fixture::new();
        fixture.put("new/1.a", "x");
        fixture.settle();
        let root = Root::open(fixture.path()).unwrap();
        let mut seen = Vec::new();
        let pass = root.read_folders(|folder, _, _| {
            if seen.is_empty() {
                fixture.rename("new/1.a", "cur/1.a:2,S");
            }
            seen.push(folder);
        });
        assert!(!pass.unwrap().quiet);
        assert_eq!(seen, FOLDERS, "twice rather than never");
        fixture.settle();
        // It had settled when the pass began; only a look at the end can tell.
        let pass = root.read_folders(|_, _, _| {
            if fixture.at("cur/1.a:2,S").exists() {
                fixture.rename("cur/1.a:2,S", "cur/1.a:2,FS");
            }
        });
        assert!(!pass.unwrap().quiet);
    }

    #[test]
    fn a_file_opens_in_two_steps_where_openat2_is_missing() {
        let fixture = Fixture::new();
        fixture.put("cur/1.a:2,", "hello");
        fixture.link("cur/1.a:2,", "new/2.link");
        let root = Root::open(fixture.path()).unwrap();
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW;
        assert!(root.open_file_in_two_steps(Folder::Cur, b"1.a:2,", flags).is_ok());
        assert_eq!(root.open_file_in_two_steps(Folder::New, b"2.link", flags).unwrap_err(), Errno::LOOP);
        fixture.rename("cur", "elsewhere");
        fixture.link("elsewhere", "cur");
        assert_eq!(root.open_file_in_two_steps(Folder::Cur, b"1.a:2,", flags).unwrap_err(), Errno::NOTDIR);
        assert_eq!(root.open_file(Folder::Cur, b"1.a:2,").unwrap_err(), Errno::LOOP);
    }
}
