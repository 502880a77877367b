//! Recipes whose own tools are not to be had everywhere, as far as a shell can follow them: the APKBUILD for Alpine, the
//! script for acme.sh, and that all scripts are sound.
//!
//! Does not know: abuild, acme.sh, a container engine. Each was or was not tried by hand, as docs/INSTALL.md says.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use crate::common::needs;
use crate::{done, ours, poppet};

#[test]
fn apkbuild_packs_all_that_its_subpackages_want_under_the_version_of_the_program() {
    let source = tempfile::tempdir().unwrap();
    for name in ["contrib", "docs", "README.md", "CHANGELOG.md", "LICENSE-MIT"] {
        symlink(ours(name), source.path().join(name)).unwrap();
    }
    fs::create_dir_all(source.path().join("target/release")).unwrap();
    symlink(poppet(), source.path().join("target/release/poppet")).unwrap();
    // abuild has made the user; here there may be none, so the group of files is left out.
    let script = r#"
        set -eu
        . contrib/alpine/APKBUILD
        pkgdir=$PWD/packed
        install() {
            for word; do
                shift
                case $word in -g) skip=1 ;; *) [ "${skip:-}" ] || set -- "$@" "$word"; skip= ;; esac
            done
            command install "$@"
        }
        package
        for name in prepare build check; do command -v "$name" >/dev/null; done
        for word in $install; do test -x "contrib/alpine/$word"; done
        echo "$pkgver $source"
    "#;
    let told = done(Command::new("sh").args(["-c", script]).current_dir(source.path()));
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(told.trim(), format!("{version} poppet-{version}.tar.gz"));

    let packed = |path: &str| source.path().join("packed").join(path);
    // What abuild cuts the subpackages -doc, -openrc and those of the shells from.
    for path in [
        "usr/bin/poppet",
        "etc/init.d/poppet",
        "etc/conf.d/poppet",
        "etc/poppet/poppet.toml",
        "usr/share/man/man1/poppet.1",
        "usr/share/man/man5/poppet.toml.5",
        "usr/share/man/man5/poppet-users.5",
        "usr/share/bash-completion/completions/poppet",
        "usr/share/zsh/site-functions/_poppet",
        "usr/share/fish/vendor_completions.d/poppet.fish",
    ] {
        assert!(packed(path).is_file(), "{path} is not packed");
    }
    assert_eq!(mode(&packed("etc/poppet")), 0o750);
    assert_eq!(mode(&packed("etc/poppet/poppet.toml")), 0o640);
}

#[test]
fn key_from_acme_sh_is_nobody_elses_to_read_the_first_time_and_after_a_renewal() {
    let folder = tempfile::tempdir().unwrap();
    // As acme.sh does it, its wiki says: into files that are there, whatever their rights.
    let acme = folder.path().join("acme.sh");
    fs::write(&acme, "#!/bin/sh\nwhile [ $# -gt 0 ]; do case $1 in --*-file) date +%N >\"$2\" ;; esac; shift; done\n")
        .unwrap();
    fs::set_permissions(&acme, fs::Permissions::from_mode(0o755)).unwrap();
    let goal = folder.path().join("poppet");
    fs::create_dir(&goal).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    for _ in 0..2 {
        let mut script = Command::new(ours("contrib/acme.sh/install-cert.sh"));
        done(script.arg("mail.example.org").arg(&goal).env("PATH", &path));
        assert_eq!(mode(&goal.join("privkey.pem")), 0o600);
        assert!(fs::metadata(goal.join("privkey.pem")).unwrap().len() > 1);
        assert!(goal.join("fullchain.pem").is_file());
    }
}

#[test]
fn scripts_are_sound() {
    if !needs("shellcheck") {
        return;
    }
    let mut found = 0;
    for folder in ["", "/acme.sh", "/alpine", "/debian", "/delivery", "/systemd", "/../tests/contrib"] {
        let entries = fs::read_dir(ours(&format!("contrib{folder}"))).unwrap().map(|entry| entry.unwrap().path());
        for script in entries.filter(|path| path.is_file() && begins_as_script(path)) {
            done(Command::new("shellcheck").args(["--external-sources", "--source-path=SCRIPTDIR"]).arg(script));
            found += 1;
        }
    }
    assert!(found >= 10, "{found} scripts are fewer than there must be");
}

fn begins_as_script(path: &Path) -> bool {
    fs::read(path).is_ok_and(|octets| octets.starts_with(b"#!/bin/sh") || octets.starts_with(b"#!/bin/bash"))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}
