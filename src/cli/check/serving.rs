//! Whom the server runs as, and what the file system lets that user do.
//!
//! Owns: permission bits.
//! Does not know: what the paths are for. Access control lists are seen for the own user only.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::Finding;
use crate::config::Config;
use crate::privileges::Identity;

/// The user that would open the Maildirs.
pub(super) struct Serving {
    /// As in /etc/passwd, or the number.
    pub(super) name: String,
    pub(super) uid: u32,
    gids: Vec<u32>,
    /// Nobody else: the kernel can be asked.
    is_me: bool,
}

/// Whom the server would run as: whoever runs this, and if that is root, the user of `[process] user`.
pub(super) fn of(config: &Config) -> Result<Serving, Finding> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Serving::me());
    }
    let refused = |error| Finding::error(format!("{}: {error}", config.place("process", "user")));
    Identity::find(&config.process.user).map(Serving::named).map_err(refused)
}

/// What the server would be refused.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Refused {
    /// The Maildir's directory, or one above it.
    pub(super) path: PathBuf,
    pub(super) why: String,
}

impl Serving {
    /// Whoever runs this.
    pub(super) fn me() -> Serving {
        let uid = rustix::process::geteuid().as_raw();
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        Serving { name: name_of(uid, &passwd), uid, gids: Vec::new(), is_me: true }
    }

    /// Whom the keeper would start the server as.
    pub(super) fn named(identity: Identity) -> Serving {
        let mut gids = identity.groups;
        gids.push(identity.gid);
        Serving { name: identity.name, uid: identity.uid, gids, is_me: false }
    }

    /// Nobody yet: what is there is seen with the own eyes, and what is missing would be made for `name`.
    pub(super) fn unknown(name: &str) -> Serving {
        Serving { name: name.to_owned(), ..Serving::me() }
    }

    /// Says who that is, where it is not whoever asks.
    pub(super) fn introduce(&self, config: &Config) -> Option<Finding> {
        let groups: Vec<String> = self.gids.iter().map(u32::to_string).collect();
        let (place, name, uid, groups) = (config.place("process", "user"), &self.name, self.uid, groups.join(", "));
        let told = || Finding::ok(format!("{place}: the server runs as {name}, uid {uid}, groups {groups}"));
        (!self.is_me).then(told)
    }

    /// How to let it read `path`, and nobody else but the owner.
    pub(super) fn alone_with_root(&self, path: &Path) -> String {
        let (path, group) = (path.display(), self.gids.last().unwrap_or(&self.uid));
        if self.is_me { format!("chmod 640 {path}") } else { format!("chgrp {group} {path} && chmod 640 {path}") }
    }

    /// Somebody else, of no group.
    #[cfg(test)]
    pub(super) fn for_test(name: &str, uid: u32) -> Serving {
        Serving { name: name.to_owned(), uid, gids: Vec::new(), is_me: false }
    }

    /// Whether the server may read, write or enter `path`.
    pub(super) fn may(&self, path: &Path, need: Access) -> Result<(), Refused> {
        let mut above: Vec<&Path> = path.ancestors().skip(1).filter(|it| !it.as_os_str().is_empty()).collect();
        // From the root on: what is behind a closed folder tells nothing.
        above.reverse();
        for (at, need) in above.into_iter().map(|folder| (folder, Access::EXEC_OK)).chain([(path, need)]) {
            let refused = |why| Refused { path: at.to_owned(), why };
            if self.is_me {
                rustix::fs::access(at, need).map_err(|error| refused(io::Error::from(error).to_string()))?;
                continue;
            }
            let metadata = std::fs::metadata(at).map_err(|error| refused(error.to_string()))?;
            let (owner, group, mode) = (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777);
            if !self.fits(owner, group, mode, need) {
                return Err(refused(format!("owner {owner}, group {group}, mode {mode:04o}")));
            }
        }
        Ok(())
    }

    /// The first class that fits decides, even where it grants less than the next.
    fn fits(&self, owner: u32, group: u32, mode: u32, need: Access) -> bool {
        let class = match () {
            () if self.uid == 0 => return true,
            () if owner == self.uid => mode >> 6,
            () if self.gids.contains(&group) => mode >> 3,
            () => mode,
        };
        // Access has the values of one digit of a mode: 4 read, 2 write, 1 enter.
        class & need.bits() == need.bits()
    }
}

/// The name of `uid`, or its number.
pub(super) fn name_of(uid: u32, passwd: &str) -> String {
    let digits = uid.to_string();
    let named =
        passwd.lines().find(|line| line.split(':').nth(2) == Some(&digits)).and_then(|line| line.split(':').next());
    named.map_or(digits.clone(), str::to_owned)
}

/// A temporary folder that another user could get at; `None`, said aloud, where temporary files are private.
#[cfg(test)]
pub(super) fn reachable_folder() -> Option<tempfile::TempDir> {
    let folder = tempfile::tempdir().unwrap();
    let parent = folder.path().parent().unwrap();
    if Serving::for_test("x", u32::MAX).may(parent, Access::EXEC_OK).is_ok() {
        return Some(folder);
    }
    assert!(std::env::var_os("POPPET_TEST_ALL").is_none(), "{} is closed to others", parent.display());
    println!("skipped: needs a folder for temporary files that others can enter");
    None
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nmail:x:8:12::/var/mail:/bin/false\nbroken\n";

    fn mail() -> Serving {
        Serving::named(Identity { name: "mail".into(), uid: 8, gid: 12, groups: vec![500] })
    }

    #[test]
    fn a_number_has_its_name_or_stays_a_number() {
        assert_eq!((name_of(8, PASSWD), name_of(9, PASSWD)), ("mail".to_owned(), "9".to_owned()));
    }

    #[test]
    fn the_first_class_that_fits_decides() {
        let mail = mail();
        let (read, write) = (Access::READ_OK, Access::READ_OK | Access::WRITE_OK);
        let may = |owner, group, mode, need| mail.fits(owner, group, mode, need);
        assert!(may(8, 0, 0o600, write) && !may(8, 0, 0o400, write) && !may(8, 12, 0o077, read));
        assert!(may(0, 12, 0o040, read) && may(0, 500, 0o060, write));
        assert!(!may(0, 12, 0o040, write) && !may(0, 12, 0o707, read));
        assert!(may(0, 0, 0o006, write) && !may(0, 0, 0o770, read));
        let root = Serving::for_test("root", 0);
        assert!(root.fits(8, 12, 0, write));
    }

    #[test]
    fn a_closed_folder_above_is_named() {
        let Some(folder) = reachable_folder() else { return };
        let below = folder.path().join("a");
        std::fs::create_dir(&below).unwrap();
        let chmod = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        chmod(&below, 0o777);
        chmod(folder.path(), 0o700);
        let stranger = Serving::for_test("x", std::fs::metadata(&below).unwrap().uid() + 1000);
        let refused = stranger.may(&below, Access::READ_OK).unwrap_err();
        assert_eq!(refused.path, folder.path());
        assert!(refused.why.ends_with("mode 0700"), "{refused:?}");
        chmod(folder.path(), 0o711);
        assert_eq!(stranger.may(&below, Access::READ_OK | Access::WRITE_OK), Ok(()));
    }
}
