//! The units, by systemd's own tools: nothing in them is unknown, and how little they leave to whoever breaks in.
//!
//! Does not know: systemd as the first process; a machine's own is not to be touched.

use std::fs;
use std::process::Command;

use crate::common::{needs, needs_root};
use crate::{done, ours, poppet, said, text};

const UNITS: [&str; 4] = ["poppet.service", "poppet-unprivileged.service", "poppet-pop3.socket", "poppet-pop3s.socket"];

#[test]
fn units_are_understood_to_the_last_line() {
    if !needs("systemd-analyze") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let units = UNITS.map(|unit| folder.path().join(unit));
    for (unit, copy) in UNITS.iter().zip(&units) {
        let built = poppet().to_str().unwrap();
        fs::write(copy, text(&format!("contrib/systemd/{unit}")).replace("/usr/bin/poppet", built)).unwrap();
    }
    let told = done(Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&units));
    assert_eq!(told, "");
}

#[test]
fn exposure_is_at_most_1_5_without_root_and_2_5_with_it() {
    if !needs("systemd-analyze") {
        return;
    }
    for (unit, most) in [("poppet-unprivileged.service", 1.5), ("poppet.service", 2.5)] {
        let unit = ours("contrib/systemd").join(unit);
        let table = done(Command::new("systemd-analyze").args(["security", "--offline=yes", "--no-pager"]).arg(&unit));
        let last = table.lines().find(|line| line.contains("Overall exposure level")).expect("an overall level");
        println!("{last}");
        let exposure: f64 = last.split_ascii_whitespace().find_map(|word| word.parse().ok()).expect("a figure");
        assert!(exposure <= most, "{exposure} is more than {most}\n{table}");
    }
}

#[test]
fn sockets_have_the_names_that_the_server_looks_for_and_lead_to_its_service() {
    for (unit, name, port) in [("poppet-pop3.socket", "pop3", 110), ("poppet-pop3s.socket", "pop3s", 995)] {
        let socket = text(&format!("contrib/systemd/{unit}"));
        let has = |line: &str| assert!(socket.lines().any(|it| it == line), "{unit} has no {line}");
        has(&format!("FileDescriptorName={name}"));
        has(&format!("ListenStream={port}"));
        has("Service=poppet-unprivileged.service");
        assert!(text("contrib/systemd/poppet-unprivileged.service").contains(unit), "{unit} is not asked for");
    }
}

#[test]
fn user_and_folders_are_made_with_the_rights_that_they_need() {
    if !(needs("systemd-sysusers") && needs("systemd-tmpfiles") && needs_root()) {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let at = format!("--root={}", root.path().display());
    fs::create_dir_all(root.path().join("etc/poppet")).unwrap();
    fs::write(root.path().join("etc/poppet/users"), "").unwrap();
    done(Command::new("systemd-sysusers").arg(&at).arg(ours("contrib/systemd/sysusers.conf")));
    let told =
        Command::new("systemd-tmpfiles").args(["--create", &at]).arg(ours("contrib/systemd/tmpfiles.conf")).output();
    println!("{}", said(&told.unwrap()));

    let passwd = fs::read_to_string(root.path().join("etc/passwd")).unwrap();
    let user: Vec<&str> = passwd.lines().find(|line| line.starts_with("poppet:")).unwrap().split(':').collect();
    assert!(user[6].ends_with("/nologin"), "{passwd}");
    let seen = |path| done(Command::new("stat").args(["--format=%a %u %g"]).arg(root.path().join(path)));
    assert_eq!(seen("etc/poppet").trim(), format!("750 0 {}", user[3]));
    assert_eq!(seen("etc/poppet/users").trim(), format!("640 0 {}", user[3]));
}
