//! What deliveries that never ended left in `tmp`.
//!
//! Owns: when and what is removed there, as the Maildir convention asks of readers.
//! Does not know: anything else; a failure here concerns no one.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::root::{DIRECTORY_BUFFER, Root, read_files};

/// Logins so far.
static LOGINS: AtomicU32 = AtomicU32::new(0);

/// Cleans up at the first login and at about each sixty-fourth from there on.
pub(super) fn clean_now_and_then(root: &Root) {
    if is_turn(count_login()) {
        if let Err(errno) = clean(root, SystemTime::now()) {
            log::debug!("cannot clean {:?}: {errno}", root.path().join("tmp"));
        }
    }
}

/// Whether the next login is one that cleans up.
pub(super) fn is_due() -> bool {
    is_turn(LOGINS.load(Ordering::Relaxed))
}

/// A login; one that leaves `tmp` alone says so too. How many there were before.
pub(super) fn count_login() -> u32 {
    LOGINS.fetch_add(1, Ordering::Relaxed)
}

/// One in sixty-four, spread so that no rhythm of logins leaves a Maildir out for ever.
fn is_turn(login: u32) -> bool {
    login.wrapping_mul(0x9E37_79B1) >> 26 == 0
}

/// Removes regular files that nobody has read or written for [`ABANDONED`].
fn clean(root: &Root, now: SystemTime) -> Result<(), Errno> {
    let Some(directory) = root.open_directory("tmp")? else { return Ok(()) };
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
    let mut buffer = Vec::with_capacity(DIRECTORY_BUFFER);
    read_files(directory.as_fd(), &mut buffer, |name, _inode| {
        let Ok(stat) = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) else { return };
        let touched = stat.st_atime.max(stat.st_mtime);
        if now.saturating_sub(touched) > ABANDONED.as_secs() as i64 {
            if let Err(errno) = rustix::fs::unlinkat(&directory, name, AtFlags::empty()) {
                log::debug!("cannot remove \"{}\" from tmp: {errno}", name.escape_ascii());
            }
        }
    })
}

/// 36 hours, from the description of Maildir.
const ABANDONED: Duration = Duration::from_secs(36 * 3600);

#[cfg(test)]
mod tests {
    use std::fs::{File, FileTimes};

    use super::*;
    use crate::maildir::fixture::Fixture;

    fn age(fixture: &Fixture, name: &str, read: u64, written: u64) {
        let ago = |hours: u64| SystemTime::now() - Duration::from_secs(hours * 3600);
        let times = FileTimes::new().set_accessed(ago(read)).set_modified(ago(written));
        File::open(fixture.at(name)).unwrap().set_times(times).unwrap();
    }

    #[test]
    fn only_regular_files_that_nobody_touched_for_36_hours_are_removed() {
        let fixture = Fixture::new();
        for (name, read, written) in [("old", 37, 40), ("read", 35, 40), ("written", 40, 35), (".nfs1", 40, 40)] {
            fixture.put(&format!("tmp/{name}"), "x");
            age(&fixture, &format!("tmp/{name}"), read, written);
        }
        fixture.directory("tmp/directory");
        age(&fixture, "tmp/directory", 40, 40);
        fixture.put("new/1.old", "x");
        age(&fixture, "new/1.old", 40, 40);
        fixture.link("../new/1.old", "tmp/link");
        clean(&Root::open(fixture.path()).unwrap(), SystemTime::now()).unwrap();
        assert_eq!(fixture.names("tmp"), [".nfs1", "directory", "link", "read", "written"]);
        assert_eq!(fixture.names("new"), ["1.old"]);
    }

    #[test]
    fn a_tmp_that_is_a_link_is_not_followed() {
        let fixture = Fixture::new();
        fixture.directory("precious");
        fixture.put("precious/old", "x");
        age(&fixture, "precious/old", 40, 40);
        std::fs::remove_dir(fixture.at("tmp")).unwrap();
        fixture.link("precious", "tmp");
        assert_eq!(clean(&Root::open(fixture.path()).unwrap(), SystemTime::now()), Err(Errno::NOTDIR));
        assert_eq!(fixture.names("precious"), ["old"]);
    }

    #[test]
    fn the_first_login_cleans_and_so_does_about_one_in_sixty_four() {
        assert!(is_turn(0));
        let due = (0..64_000).filter(|&login| is_turn(login)).count();
        assert!((900..1100).contains(&due), "{due}");
    }
}
