//! By what a directory is known to be as it was.
//!
//! Owns: the times of `new` and `cur`, and when equal times prove that no file came, went or was renamed.
//! Does not know: what is in the directories.
//!
//! The kernel stamps files by a clock that ticks every few milliseconds. So a change that comes right behind a
//! reading may leave the time as it was: a time proves something only if it was old when the reading began.

use std::os::fd::BorrowedFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Stat};
use rustix::io::Errno;
use rustix::time::ClockId;

use super::root::{FOLDERS, Root, modified, nanoseconds};
use crate::maildrop::Folder;

/// What `new` and `cur` were like when their names were read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Stamps([Seen; 2]);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Seen {
    /// `None` is a directory that does not exist.
    stamp: Option<Stamp>,
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

/// A directory as it is right before it is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    stamp: Stamp,
    /// From when on a change is bound to carry another time; zero where that is so already.
    pub(super) settles_in: Duration,
}

impl Stamps {
    /// Octets of their form in a file.
    pub(super) const ENCODED: usize = 2 * 24 + 8;

    /// Of directories that nobody has looked at.
    pub(super) fn unknown() -> Stamps {
        Stamps([Seen { stamp: None, settled: false }; 2])
    }

    /// What `folder` was like before it was read; `None` where there was none.
    pub(super) fn note(&mut self, folder: Folder, look: Option<Look>) {
        let settled = look.is_none_or(|look| look.settles_in.is_zero());
        self.0[folder as usize] = Seen { stamp: look.map(|look| look.stamp), settled };
    }

    /// What was read of `folder` may not be all that was in it.
    pub(super) fn distrust(&mut self, folder: Folder) {
        self.0[folder as usize].settled = false;
    }

    /// Whether there is neither of the two.
    pub(super) fn are_of_nothing(&self) -> bool {
        self.0.iter().all(|seen| seen.stamp.is_none())
    }

    /// Of `new` and of `cur`, whether it is proven to be what it was.
    pub(super) fn unchanged(&self, root: &Root) -> [bool; 2] {
        FOLDERS.map(|folder| {
            let Seen { stamp, settled } = self.0[folder as usize];
            settled
                && match rustix::fs::statat(root.directory(), folder.name(), AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => stamp == Some(Stamp::of(&stat)),
                    Err(errno) => errno == Errno::NOENT && stamp.is_none(),
                }
        })
    }

    /// Whether whoever has `other` learns nothing from these.
    pub(super) fn tell_no_more_than(&self, other: &Stamps) -> bool {
        self.0.iter().zip(&other.0).all(|(seen, other)| !seen.settled || seen == other)
    }

    pub(super) fn encode(&self) -> [u8; Stamps::ENCODED] {
        let mut out = [0; Stamps::ENCODED];
        for (at, Seen { stamp, settled }) in self.0.iter().enumerate() {
            let Stamp { inode, modified, changed } = stamp.unwrap_or(Stamp { inode: 0, modified: 0, changed: 0 });
            for (field, number) in [inode, modified, changed].into_iter().enumerate() {
                out[at * 24 + field * 8..][..8].copy_from_slice(&number.to_le_bytes());
            }
            out[48 + at] = u8::from(stamp.is_some());
            out[50 + at] = u8::from(*settled);
        }
        out
    }

    pub(super) fn decode(octets: &[u8]) -> Option<Stamps> {
        let number = |at: usize| Some(u64::from_le_bytes(octets.get(at..at + 8)?.try_into().ok()?));
        let seen = |at: usize| {
            let stamp =
                Stamp { inode: number(at * 24)?, modified: number(at * 24 + 8)?, changed: number(at * 24 + 16)? };
            let [exists, settled] = [*octets.get(48 + at)? == 1, *octets.get(50 + at)? == 1];
            Some(Seen { stamp: exists.then_some(stamp), settled })
        };
        Some(Stamps([seen(0)?, seen(1)?]))
    }
}

impl Look {
    /// Looks at a directory.
    pub(super) fn at(directory: BorrowedFd<'_>) -> Result<Look, Errno> {
        let stamp = Stamp::of(&rustix::fs::fstat(directory)?);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
        let age = now.saturating_sub(stamp.modified.max(stamp.changed));
        let settles_in = match Duration::from_nanos(age) {
            // Old whatever the clock's tick. A time that is still to come is of no age.
            age if age > FOREIGN_TICK => Duration::ZERO,
            age => tick(directory, &stamp).saturating_sub(age),
        };
        Ok(Look { stamp, settles_in })
    }
}

impl Stamp {
    fn of(stat: &Stat) -> Stamp {
        #[allow(clippy::useless_conversion)] // Half as wide on some machines.
        let changed = nanoseconds(stat.st_ctime.into(), stat.st_ctime_nsec.into());
        Stamp { inode: stat.st_ino, modified: modified(stat), changed }
    }
}

/// How far apart two changes of a directory may be and still carry the same time, generously.
fn tick(directory: BorrowedFd<'_>, stamp: &Stamp) -> Duration {
    let whole_seconds = [stamp.modified, stamp.changed].iter().all(|time| time % 1_000_000_000 == 0);
    let ours = rustix::fs::fstatfs(directory).is_ok_and(|system| OURS.contains(&(system.f_type as u32)));
    if whole_seconds || !ours {
        return FOREIGN_TICK;
    }
    let resolution = rustix::time::clock_getres(ClockId::RealtimeCoarse);
    Duration::from_nanos(resolution.tv_nsec as u64 * 3).min(CLOCK_TICK)
}

/// Longer than the kernel's own clock ticks, whatever its configuration: 1 to 10 ms.
pub(super) const CLOCK_TICK: Duration = Duration::from_millis(20);

/// Of a file system that knows whole seconds or pairs of them, or whose times another machine's clock makes.
const FOREIGN_TICK: Duration = Duration::from_secs(5);

/// The file systems that this machine's kernel stamps, by its clock and finer than a second: `f_type` of ext4, XFS,
/// Btrfs, tmpfs, F2FS, bcachefs, ZFS, and overlays of these.
const OURS: [u32; 8] =
    [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0xF2F5_2010, 0xCA45_1A4E, 0x2FC1_2FC1, 0x794C_7630];

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::maildir::fixture::Fixture;

    #[test]
    fn stamps_are_the_same_from_a_file() {
        let fixture = Fixture::new();
        let root = Root::open(fixture.path()).unwrap();
        let look = Look::at(root.directory().as_fd()).unwrap();
        for (new, cur) in [(None, None), (Some(look), None), (None, Some(look)), (Some(look), Some(look))] {
            let mut stamps = Stamps::unknown();
            stamps.note(Folder::New, new);
            stamps.note(Folder::Cur, cur);
            assert_eq!(Stamps::decode(&stamps.encode()), Some(stamps.clone()));
            stamps.distrust(Folder::Cur);
            assert_eq!(Stamps::decode(&stamps.encode()), Some(stamps));
        }
        assert_eq!(Stamps::decode(&[0; Stamps::ENCODED]), Some(Stamps::unknown()));
        assert_eq!(Stamps::decode(&[0; 40]), None);
    }

    #[test]
    fn a_directory_that_was_just_changed_settles_within_a_few_ticks_of_the_clock() {
        let fixture = Fixture::new();
        fixture.put("new/1.a", "x");
        let root = Root::open(fixture.path()).unwrap();
        let new = root.open_directory("new").unwrap().unwrap();
        // A loaded machine may be late.
        let fresh = (0..50).any(|n| {
            fixture.put(&format!("new/{n}.b"), "x");
            let settles_in = Look::at(new.as_fd()).unwrap().settles_in;
            assert!(settles_in <= CLOCK_TICK);
            !settles_in.is_zero()
        });
        assert!(fresh);
        fixture.settle();
        assert!(Look::at(new.as_fd()).unwrap().settles_in.is_zero());
    }

    #[test]
    fn times_in_whole_seconds_take_seconds_to_settle() {
        let stamp = Stamp { inode: 1, modified: 7_000_000_000, changed: 7_000_000_000 };
        let fixture = Fixture::new();
        let root = Root::open(fixture.path()).unwrap();
        assert_eq!(tick(root.directory(), &stamp), FOREIGN_TICK);
        assert!(tick(root.directory(), &Stamp { changed: 7_000_000_001, ..stamp }) <= CLOCK_TICK);
        // Not a file system of this machine's: its clock may be another one.
        let proc = std::fs::File::open("/proc").unwrap();
        assert_eq!(tick(proc.as_fd(), &Stamp { changed: 7_000_000_001, ..stamp }), FOREIGN_TICK);
    }
}
