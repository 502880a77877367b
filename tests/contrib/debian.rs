//! The Debian package: built, looked over by lintian, and led through its life on a copy of this machine.
//!
//! Does not know: systemd, which that copy does not run.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{needs, needs_root};
use crate::{done, on_a_copy, ours, poppet};

#[test]
fn package_is_without_errors_and_lives_through_install_upgrade_and_purge() {
    if !["dpkg-deb", "dpkg-shlibdeps", "readelf"].into_iter().all(needs) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let [old, new] = ["1", "2"].map(|revision| build(folder.path(), revision));
    if needs("lintian") {
        println!("{}", done(Command::new("lintian").args(["--allow-root", "--fail-on=error"]).arg(&old)));
    }
    if needs_root() && needs("unshare") && needs("curl") {
        println!("{}", on_a_copy("debian.sh", &[&old, &new]));
    }
}

fn build(folder: &Path, revision: &str) -> PathBuf {
    let mut script = Command::new(ours("contrib/debian/build.sh"));
    script
        .env("DEBFULLNAME", "The builder")
        .env("DEBEMAIL", "builder@example.org")
        .env("SOURCE_DATE_EPOCH", "1800000000");
    let told = done(script.arg(poppet()).arg(folder).arg(revision));
    told.lines().last().expect("the package's path").into()
}
