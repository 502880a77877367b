//! `poppet check` where its user may not look: the refusals come from the kernel, so they need a process that is not
//! root.
//!
//! Does not know: what else `check` says; the tests beside it do.
//!
//! It is one test: while one thread copies the program, no other may start a process, which would hold the copy open.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn what_is_closed_to_the_server_is_told_to_it_and_to_root() {
    let house = House::new();
    if rustix::process::geteuid().is_root() {
        let told = said_by(house.command());
        assert!(told.contains("ok: ") && told.contains(" the server runs as nobody, uid 65534, groups "), "{told}");
        let mend =
            format!("can read the password hashes: chgrp 65534 {0} && chmod 640 {0}", house.path("users").display());
        assert!(told.contains(&mend), "{told}");
        chmod(&house.path("users"), 0o600);
        let told = said_by(house.command());
        assert!(told.contains("error: ") && told.contains(" the server, as nobody, may not read "), "{told}");
        chmod(&house.path("users"), 0o644);
    }

    let (ada, users) = (house.path("mail/ada"), house.path("users"));
    assert!(!house.check().contains("error: "), "{}", house.check());

    chmod(&ada, 0o000);
    let told = house.check();
    assert!(told.contains(&format!("may not read {} (Permission denied", ada.display())), "{told}");
    let is_mine = !rustix::process::geteuid().is_root();
    let mend = if is_mine { "; open it to its owner: chmod -R " } else { "; make it the owner: chown -R " };
    assert!(told.contains(mend), "{told}");

    chmod(&ada, 0o755);
    chmod(&house.path("mail"), 0o000);
    let told = house.check();
    assert!(told.contains(&format!("; let it through: chmod a+x {}\n", house.path("mail").display())), "{told}");

    chmod(&house.path("mail"), 0o755);
    chmod(&users, 0o000);
    let told = house.check();
    let place = format!("error: {}:6: [users] file: cannot read ", house.path("poppet.toml").display());
    assert!(told.contains(&place) && told.contains("; let the server's user, "), "{told}");
}

/// A folder with the program, a configuration, a users file and a Maildir, open to all.
struct House(tempfile::TempDir);

impl House {
    fn new() -> House {
        let house = House(tempfile::tempdir().unwrap());
        chmod(house.0.path(), 0o755);
        for folder in ["new", "cur", "tmp"] {
            fs::create_dir_all(house.path("mail/ada").join(folder)).unwrap();
        }
        for folder in ["mail", "mail/ada", "mail/ada/new", "mail/ada/cur", "mail/ada/tmp"] {
            chmod(&house.path(folder), 0o777);
        }
        let mail = house.path("mail/{user}");
        let config = format!(
            "[listen]\npop3 = [\"127.0.0.1:0\"]\n[mail]\nmaildir = {mail:?}\n[users]\nfile = \"users\"\n[process]\nuser = \"nobody\"\n"
        );
        fs::write(house.path("poppet.toml"), config).unwrap();
        fs::write(house.path("users"), "ada:{PLAIN}secret\n").unwrap();
        // A build below /root could not be started by anybody else.
        fs::copy(env!("CARGO_BIN_EXE_poppet"), house.path("poppet")).unwrap();
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What `poppet check` says, as `nobody` where the tests run as root.
    fn check(&self) -> String {
        let mut command = self.command();
        if rustix::process::geteuid().is_root() {
            command.uid(65534).gid(65534);
        }
        said_by(command)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.path("poppet"));
        command.arg("check").arg("--config").arg(self.path("poppet.toml")).current_dir("/");
        command
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // Else it could not be removed.
        chmod(&self.path("mail"), 0o755);
        chmod(&self.path("mail/ada"), 0o755);
    }
}

fn said_by(mut command: Command) -> String {
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}
