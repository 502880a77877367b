//! QUIT is true: what could not be removed is said, and is there the next time.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::client::Channel;
use common::{Client, Maildir, PASSWORD, Server, USER, needs, needs_root};

const BODY: &[u8] = b"Subject: x\n\nx\n";

/// Marks all, says QUIT, and gives the reply; nothing but the end may follow it.
fn delete_all(client: &mut Client) -> String {
    let count = client.list("LIST").len();
    for number in 1..=count {
        client.ok(&format!("DELE {number}"));
    }
    let reply = client.cmd("QUIT");
    assert_eq!(client.rest(), b"", "octets behind the reply to QUIT");
    reply
}

fn assert_says(reply: &str, left: usize, of: usize) {
    assert!(reply.starts_with("-ERR [SYS/PERM] ") || reply.starts_with("-ERR [SYS/TEMP] "), "{reply}");
    let numbers: Vec<usize> = reply.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
    assert_eq!(numbers, [left, of], "{reply}");
}

fn uidl(server: &Server) -> Vec<String> {
    let mut client = server.log_in(USER);
    let listed = client.list("UIDL");
    client.quit();
    listed.iter().map(|line| line.split_once(' ').expect("a number").1.to_owned()).collect()
}

fn deliver(maildir: &Maildir, folder: &str, count: usize) {
    for at in 0..count {
        let (second, flags) = if folder == "new" { (1_700_000_000, "") } else { (1_800_000_000, ":2,S") };
        maildir.deliver_named(folder, format!("{}.M1.example{flags}", second + at), BODY);
    }
}

fn set_mode(folder: &Path, mode: u32) {
    fs::set_permissions(folder, fs::Permissions::from_mode(mode)).expect("set the mode");
}

#[test]
fn quit_says_how_many_a_read_only_folder_kept() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    let cur = maildir.path.join("cur");
    for (kept, removed) in [(1, 0), (1, 1), (4, 3), (2, 9), (7, 0)] {
        deliver(&maildir, "new", removed);
        deliver(&maildir, "cur", kept);
        let before = uidl(&server);
        set_mode(&cur, 0o555);
        assert_says(&delete_all(&mut server.log_in(USER)), kept, kept + removed);
        assert_eq!(maildir.names().len(), kept);
        assert!(maildir.names().iter().all(|name| name.starts_with("cur/")), "{:?}", maildir.names());
        assert_eq!(uidl(&server), before[removed..]);
        set_mode(&cur, 0o755);
        let reply = delete_all(&mut server.log_in(USER));
        assert!(reply.starts_with("+OK"), "once it can be written: {reply}");
        assert!(maildir.files().is_empty());
    }
}

#[test]
fn quit_says_so_over_tls_too() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    deliver(&maildir, "new", 2);
    deliver(&maildir, "cur", 3);
    set_mode(&maildir.path.join("cur"), 0o555);
    let mut client = server.connect_over(*server.channels().last().unwrap_or(&Channel::Plain));
    client.log_in(server.name_of(USER), PASSWORD);
    assert_says(&delete_all(&mut client), 3, 5);
    set_mode(&maildir.path.join("cur"), 0o755);
}

#[test]
fn quit_says_how_many_immutable_files_it_kept() {
    if !needs_root() || !needs("chattr") {
        return;
    }
    let server = Server::start();
    let maildir = server.maildir(USER);
    deliver(&maildir, "cur", 9);
    let before = uidl(&server);
    let doomed = |at: usize| maildir.path.join(format!("cur/{}.M1.example:2,S", 1_800_000_000 + at));
    // The first, the last, and two between: the rest must go all the same.
    let kept = [0, 3, 4, 8];
    let immutable = Immutable::set(kept.map(doomed).to_vec());
    if !immutable.took {
        eprintln!("skipped: needs a file system with an immutable flag");
        return;
    }
    let reply = delete_all(&mut server.log_in(USER));
    assert_says(&reply, 4, 9);
    assert_eq!(maildir.names(), kept.map(|at| format!("cur/{}.M1.example:2,S", 1_800_000_000 + at)));
    assert_eq!(uidl(&server), kept.map(|at| before[at].clone()));
    drop(immutable);
    let reply = delete_all(&mut server.log_in(USER));
    assert!(reply.starts_with("+OK"), "{reply}");
}

#[test]
fn session_that_removes_nothing_from_a_read_only_folder_is_granted() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    deliver(&maildir, "cur", 2);
    set_mode(&maildir.path.join("cur"), 0o555);
    let mut client = server.log_in(USER);
    client.ok("DELE 1");
    client.ok("RSET");
    client.quit();
    set_mode(&maildir.path.join("cur"), 0o755);
    assert_eq!(maildir.files().len(), 2);
}

/// Files that even their owner can't remove, until this is dropped.
struct Immutable {
    files: Vec<PathBuf>,
    took: bool,
}

impl Immutable {
    fn set(files: Vec<PathBuf>) -> Immutable {
        let took = Command::new("chattr").arg("+i").args(&files).status().is_ok_and(|status| status.success());
        Immutable { files, took }
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        let _ = Command::new("chattr").arg("-i").args(&self.files).status();
    }
}
