//! The Maildir: what is mail, in which order, and what others do to it meanwhile.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::common::{Maildir, PASSWORD, Server, USER, eventually, needs, needs_root, ours};

/// A message whose subject is `subject`.
fn message(subject: &str) -> Vec<u8> {
    format!("Subject: {subject}\n\n").into_bytes()
}

/// The subjects that RETR finds, in the order of the message-numbers.
fn subjects(server: &Server) -> Vec<String> {
    let mut client = server.log_in(USER);
    let count: usize = client.list("LIST").len();
    let mut found = Vec::new();
    for number in 1..=count {
        let header = client.body(&format!("TOP {number} 0"));
        found.push(String::from_utf8_lossy(&header).trim_start_matches("Subject: ").trim().to_owned());
    }
    client.quit();
    found
}

fn set_mode(folder: &Path, mode: u32) {
    fs::set_permissions(folder, fs::Permissions::from_mode(mode)).expect("set the mode");
}

#[test]
fn messages_are_in_the_order_of_their_delivery() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    let in_order = [
        ("cur", "999999999.M5.example:2,S", "seconds are numbers"),
        ("new", "1700000000.M999999P3.example", "second"),
        ("cur", "1700000001.M3P99.example:2,", "microseconds are numbers"),
        ("new", "1700000001.M20P4.example", "fourth"),
        ("cur", "1700000001.M20P5.example:2,FS", "then octets"),
        ("new", "1700000002.M1.example", "last"),
    ];
    for (folder, name, subject) in in_order.iter().rev() {
        maildir.deliver_named(folder, name, &message(subject));
    }
    assert_eq!(subjects(&server), in_order.map(|(_, _, subject)| subject));
}

#[test]
fn only_regular_files_in_new_and_cur_are_mail() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    maildir.deliver(&message("mail"));
    maildir.deliver_named("cur", "1800000000.M1.example", &message("no flags"));
    maildir.deliver_named("cur", ".hidden", &message("hidden"));
    maildir.deliver_named("new", ".1700000000.M1.example", &message("hidden"));
    maildir.deliver_named("tmp", "1700000000.M9.example", &message("half delivered"));
    fs::write(maildir.path.join("1700000000.M8.example"), message("outside")).expect("write");
    fs::create_dir(maildir.path.join("new/1700000000.M7.example")).expect("a folder");
    let secret = maildir.path.join("secret");
    fs::write(&secret, message("through a link")).expect("write");
    symlink(&secret, maildir.path.join("new/1700000000.M6.example")).expect("a link");
    symlink("/nowhere", maildir.path.join("cur/1700000000.M5.example:2,")).expect("a link to nothing");
    symlink("/dev/zero", maildir.path.join("cur/1700000000.M4.example:2,")).expect("a link to a device");
    let _socket =
        std::os::unix::net::UnixListener::bind(maildir.path.join("new/1700000000.M3.example")).expect("a socket");
    if needs("mkfifo") {
        let made = Command::new("mkfifo").arg(maildir.path.join("new/1700000000.M2.example")).status();
        assert!(made.expect("mkfifo").success());
    }
    if needs_root() {
        let device = maildir.path.join("cur/1700000000.M1.example:2,");
        assert!(Command::new("mknod").arg(device).args(["c", "1", "5"]).status().expect("mknod").success());
    }
    assert_eq!(subjects(&server), ["mail", "no flags"]);
    assert_eq!(subjects(&server), ["mail", "no flags"], "in the second session");
}

#[test]
fn message_replaced_by_a_link_or_a_fifo_is_not_opened() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    let names = [maildir.deliver(&message("one")), maildir.deliver(&message("two"))];
    let mut client = server.log_in(USER);
    let files = names.map(|name| maildir.path.join("new").join(name));
    files.iter().for_each(|file| fs::remove_file(file).expect("remove"));
    symlink("/etc/passwd", &files[0]).expect("a link");
    if needs("mkfifo") {
        assert!(Command::new("mkfifo").arg(&files[1]).status().expect("mkfifo").success());
    }
    for command in ["RETR 1", "TOP 1 0", "RETR 2", "TOP 2 9"] {
        client.err(command);
    }
    client.ok("NOOP");
}

#[test]
fn message_delivered_meanwhile_is_in_the_next_session() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    maildir.deliver(&message("first"));
    let mut client = server.log_in(USER);
    maildir.deliver(&message("second"));
    assert_eq!(client.ok("STAT"), "+OK 1 18");
    client.err("RETR 2");
    client.ok("DELE 1");
    client.quit();
    assert_eq!(subjects(&server), ["second"]);
}

#[test]
fn message_delivered_in_the_instant_of_a_scan_is_not_overlooked() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    for round in 1..=60 {
        maildir.deliver(&message("next"));
        let mut client = server.log_in(USER);
        assert_eq!(client.list("LIST").len(), round, "after a delivery");
        client.quit();
    }
    for round in 0..60 {
        // Behind the scan, in front of the next: the folder's time may be the same.
        let mut client = server.log_in(USER);
        maildir.deliver(&message("next"));
        client.quit();
        let mut client = server.log_in(USER);
        assert_eq!(client.list("LIST").len(), 61 + round, "after a delivery meanwhile");
        client.quit();
    }
}

#[test]
fn message_that_another_program_renames_is_found_again() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    let names = ["one", "two", "three"].map(|subject| maildir.deliver(&message(subject)));
    let path = |rest: &str| maildir.path.join(rest);
    let mut client = server.log_in(USER);
    for name in &names {
        fs::rename(path(&format!("new/{name}")), path(&format!("cur/{name}:2,S"))).expect("rename");
    }
    assert_eq!(client.body("RETR 1"), b"Subject: one\r\n\r\n");
    assert_eq!(client.body("TOP 2 0"), b"Subject: two\r\n\r\n");
    for name in &names {
        fs::rename(path(&format!("cur/{name}:2,S")), path(&format!("cur/{name}:2,FS"))).expect("rename");
    }
    assert_eq!(client.body("RETR 3"), b"Subject: three\r\n\r\n");
    client.ok("DELE 1");
    client.ok("DELE 2");
    fs::rename(path(&format!("cur/{}:2,FS", names[0])), path(&format!("cur/{}:2,RS", names[0]))).expect("rename");
    client.quit();
    assert_eq!(maildir.names(), [format!("cur/{}:2,FS", names[2])]);
}

#[test]
fn message_that_is_gone_is_refused_and_the_session_lives() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    let gone = maildir.deliver(&message("gone"));
    maildir.deliver(&message("there"));
    let mut client = server.log_in(USER);
    fs::remove_file(maildir.path.join("new").join(gone)).expect("remove");
    client.err("RETR 1");
    client.err("TOP 1 0");
    assert_eq!(client.body("RETR 2"), b"Subject: there\r\n\r\n");
    client.ok("DELE 1");
    client.ok("DELE 2");
    client.quit();
    assert_eq!(maildir.names(), Vec::<String>::new());
}

#[test]
fn read_only_maildir_can_be_read() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    maildir.deliver(&message("new"));
    maildir.deliver_named("cur", "1800000000.M1.example:2,", &message("cur"));
    let before = maildir.files();
    let folders = ["new", "cur", "tmp", ""].map(|folder| maildir.path.join(folder));
    folders.iter().for_each(|folder| set_mode(folder, 0o555));
    let mut client = server.log_in(USER);
    assert_eq!(client.ok("STAT"), "+OK 2 32");
    assert_eq!(client.list("LIST"), ["1 16", "2 16"]);
    assert_eq!(client.body("RETR 1"), b"Subject: new\r\n\r\n");
    assert_eq!(client.list("UIDL").len(), 2);
    client.quit();
    folders.iter().for_each(|folder| set_mode(folder, 0o755));
    assert_eq!(maildir.files(), before);
}

#[test]
fn mail_on_a_full_disk_can_be_read_and_removed() {
    if !needs_root() || !needs("mount") {
        return;
    }
    let server = Server::start();
    let maildir = server.maildir(USER);
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=256k,mode=755", "tmpfs"]).arg(&maildir.path);
    let mounted = mount.status().expect("mount").success();
    if !mounted {
        eprintln!("skipped: needs the right to mount");
        return;
    }
    let _unmount = Unmount(&maildir.path);
    maildir.hand_over(&maildir.path);
    let maildir = Maildir::lay(&maildir.path);
    maildir.deliver(&message("one"));
    maildir.deliver(&message("two"));
    while fs::File::options()
        .create(true)
        .append(true)
        .open(maildir.path.join("filling"))
        .is_ok_and(|mut file| std::io::Write::write_all(&mut file, &[0; 4096]).is_ok())
    {}
    let mut client = server.log_in(USER);
    assert_eq!(client.ok("STAT"), "+OK 2 32");
    assert_eq!(client.body("RETR 2"), b"Subject: two\r\n\r\n");
    client.ok("DELE 1");
    client.quit();
    assert_eq!(maildir.files().len(), 1);
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn folder_that_cannot_be_read_is_not_an_empty_one() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    maildir.deliver(&message("new"));
    maildir.deliver_named("cur", "1800000000.M1.example:2,", &message("cur"));
    set_mode(&maildir.path.join("cur"), 0);
    let mut client = server.connect();
    client.ok(&format!("USER {}", server.name_of(USER)));
    let reply = client.cmd(&format!("PASS {PASSWORD}"));
    set_mode(&maildir.path.join("cur"), 0o755);
    assert!(reply.starts_with("-ERR [SYS/"), "{reply}");
    assert_eq!(subjects(&server).len(), 2);
}

#[test]
fn maildirsize_is_told_of_what_was_removed() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    let quota = maildir.path.join("maildirsize");
    fs::write(&quota, "1000000S,1000C\n60 3\n").expect("write maildirsize");
    maildir.hand_over(&quota);
    for subject in ["one", "two", "six"] {
        maildir.deliver(&message(subject));
    }
    let mut client = server.log_in(USER);
    client.ok("DELE 1");
    client.ok("DELE 3");
    client.quit();
    let told = fs::read_to_string(&quota).expect("read maildirsize");
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 3, "{told:?}");
    assert_eq!(lines[2].split_ascii_whitespace().collect::<Vec<_>>(), ["-28", "-2"], "{told:?}");
    assert!(told.ends_with('\n'), "{told:?}");
}

#[test]
fn maildirsize_is_not_made_where_there_is_none() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    maildir.deliver(&message("one"));
    let mut client = server.log_in(USER);
    client.ok("DELE 1");
    client.quit();
    assert!(!maildir.path.join("maildirsize").exists());
}

#[test]
fn old_files_in_tmp_are_removed_and_young_ones_are_not() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    maildir.deliver(&message("one"));
    let aged = |name: &str, hours: u64| {
        let file = maildir.deliver_named("tmp", name, b"half");
        let time = SystemTime::now() - Duration::from_secs(hours * 3_600);
        let times = fs::FileTimes::new().set_modified(time).set_accessed(time);
        fs::File::options().write(true).open(&file).and_then(|open| open.set_times(times)).expect("set the times");
        file
    };
    let (old, young) = (aged("1600000000.M1.example", 37), aged("1600000000.M2.example", 35));
    eventually("the old file is gone", || {
        server.log_in(USER).quit();
        !old.exists()
    });
    assert!(young.exists());
}

#[test]
fn folders_of_a_maildir_are_not_mail() {
    if !ours() {
        return;
    }
    let server = Server::start();
    let maildir = server.maildir(USER);
    let folder = Maildir::lay(&maildir.path.join(".Archive"));
    folder.deliver(&message("archived"));
    maildir.deliver(&message("inbox"));
    assert_eq!(subjects(&server), ["inbox"]);
}
