//! The Maildir's own directory, held open, and whatever is reached through it.
//!
//! Owns: how a directory or a file in a Maildir is opened, so that no link leads out of it; reading
//! directories; telling whether they changed meanwhile.
//! Does not know: what a message is, beyond being a regular file whose name does not begin with a dot.

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, Stat};
use rustix::io::{Errno, retry_on_intr};

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
    /// As they were before.
    pub(super) stamps: Stamps,
    /// Nothing was changed in either while they were read, so every file was seen where it is.
    pub(super) quiet: bool,
}

/// By what `new` and `cur` are known to be as they were.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Stamps {
    /// `None` is a directory that does not exist.
    directories: [Option<Stamp>; 2],
    /// Whether a change that came later can't carry the same times.
    settled: bool,
}

/// A directory and the times of its last change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    inode: u64,
    /// Of its entries; nanoseconds since 1970, as all here.
    modified: u64,
    /// Of its entries or of itself; no program can set it.
    changed: u64,
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
    ///
    /// `Ok(None)` where neither exists.
    pub(super) fn read_folders(&self, mut each: impl FnMut(Folder, &[u8], u64)) -> Result<Option<Pass>, FileError> {
        let mut stamps = [None, None];
        let now = nanoseconds_now();
        let mut buffer = Vec::with_capacity(DIRECTORY_BUFFER);
        for (folder, stamp) in FOLDERS.into_iter().zip(&mut stamps) {
            let opened = self.open_directory(folder.name());
            let Some(directory) = opened.map_err(|errno| self.error("open", folder, b"", errno))? else { continue };
            let stat = rustix::fs::fstat(&directory).map_err(|errno| self.error("look at", folder, b"", errno))?;
            *stamp = Some(Stamp::of(&stat));
            read_files(directory.as_fd(), &mut buffer, |name, inode| each(folder, name, inode))
                .map_err(|errno| self.error("read", folder, b"", errno))?;
        }
        if stamps == [None, None] {
            return Ok(None);
        }
        let settled = stamps.iter().flatten().all(|stamp| stamp.is_settled(now));
        let stamps = Stamps { directories: stamps, settled };
        let quiet = settled && stamps.are_still(self);
        Ok(Some(Pass { stamps, quiet }))
    }

    /// Whether no file came, went or was renamed in either directory since `pass` began.
    pub(super) fn is_unchanged_since(&self, pass: &Pass) -> bool {
        pass.stamps.are_still(self)
    }
}

impl Stamps {
    /// Octets of their form in a file.
    pub(super) const ENCODED: usize = 2 * 24 + 8;

    /// Stands for directories of which nothing is known.
    pub(super) fn unsettled() -> Stamps {
        Stamps { directories: [None, None], settled: false }
    }

    /// Whether equal times prove that nothing has changed.
    pub(super) fn are_settled(&self) -> bool {
        self.settled
    }

    /// Whether the directories are the same and carry the same times now.
    pub(super) fn are_still(&self, root: &Root) -> bool {
        FOLDERS.iter().zip(&self.directories).all(|(folder, then)| {
            match rustix::fs::statat(&root.directory, folder.name(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => *then == Some(Stamp::of(&stat)),
                Err(errno) => errno == Errno::NOENT && then.is_none(),
            }
        })
    }

    pub(super) fn encode(&self) -> [u8; Stamps::ENCODED] {
        let mut out = [0; Stamps::ENCODED];
        for (at, stamp) in self.directories.iter().enumerate() {
            let Stamp { inode, modified, changed } = stamp.unwrap_or(Stamp { inode: 0, modified: 0, changed: 0 });
            for (field, number) in [inode, modified, changed].into_iter().enumerate() {
                out[at * 24 + field * 8..][..8].copy_from_slice(&number.to_le_bytes());
            }
            out[48 + at] = u8::from(stamp.is_some());
        }
        out[50] = u8::from(self.settled);
        out
    }

    pub(super) fn decode(octets: &[u8]) -> Option<Stamps> {
        let number = |at: usize| Some(u64::from_le_bytes(octets.get(at..at + 8)?.try_into().ok()?));
        let stamp = |at: usize| {
            let stamp =
                Stamp { inode: number(at * 24)?, modified: number(at * 24 + 8)?, changed: number(at * 24 + 16)? };
            Some((*octets.get(48 + at)? == 1).then_some(stamp))
        };
        Some(Stamps { directories: [stamp(0)?, stamp(1)?], settled: *octets.get(50)? == 1 })
    }
}

impl Stamp {
    fn of(stat: &Stat) -> Stamp {
        #[allow(clippy::useless_conversion)] // Half as wide on some machines.
        let changed = nanoseconds(stat.st_ctime.into(), stat.st_ctime_nsec.into());
        Stamp { inode: stat.st_ino, modified: modified(stat), changed }
    }

    /// Whether a change after `now` is bound to carry another time.
    fn is_settled(&self, now: u64) -> bool {
        let coarse = |time: u64| time % 1_000_000_000 == 0;
        let tick = if coarse(self.modified) && coarse(self.changed) { COARSE_TICK } else { CLOCK_TICK };
        [self.modified, self.changed].into_iter().all(|time| time.abs_diff(now) > tick.as_nanos() as u64)
    }
}

/// When a file was last written to, in nanoseconds since 1970.
pub(super) fn modified(stat: &Stat) -> u64 {
    #[allow(clippy::useless_conversion)] // Half as wide on some machines.
    nanoseconds(stat.st_mtime.into(), stat.st_mtime_nsec.into())
}

fn nanoseconds(seconds: i64, nanoseconds: u64) -> u64 {
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

fn nanoseconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64
}

/// The order matters: mail moves from `new` to `cur`, so read this way it is seen twice rather than never.
pub(super) const FOLDERS: [Folder; 2] = [Folder::New, Folder::Cur];

/// How far apart two changes of a directory may be and still carry the same time.
///
/// The kernel stamps files by a clock that ticks every 1 to 10 ms; only newer ones are finer.
pub(super) const CLOCK_TICK: Duration = Duration::from_millis(20);

/// The same on a file system that knows whole seconds alone, or pairs of them.
const COARSE_TICK: Duration = Duration::from_millis(2_500);

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
        let quiet = root.read_folders(|_, _, _| ()).unwrap().unwrap();
        assert!(quiet.quiet && root.is_unchanged_since(&quiet));
        fixture.put("new/1.a", "x");
        assert!(!root.is_unchanged_since(&quiet));
        // The next change could carry the same time, so a pass now proves nothing. A loaded machine may be late.
        let is_quiet = |n: u32| {
            fixture.put(&format!("new/{n}.b"), "x");
            root.read_folders(|_, _, _| ()).unwrap().unwrap().quiet
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
        assert!(!pass.unwrap().unwrap().quiet);
        assert_eq!(seen, FOLDERS, "twice rather than never");
        fixture.settle();
        // It had settled when the pass began; only a look at the end can tell.
        let pass = root.read_folders(|_, _, _| {
            if fixture.at("cur/1.a:2,S").exists() {
                fixture.rename("cur/1.a:2,S", "cur/1.a:2,FS");
            }
        });
        assert!(!pass.unwrap().unwrap().quiet);
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
