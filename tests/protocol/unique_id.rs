//! The unique-id.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use crate::common::{Maildir, PASSWORD, Server, USER, ours};

const BODY: &[u8] = b"Subject: x\n\nx\n";

fn uidl(server: &Server, user: &str) -> Vec<String> {
    let mut client = server.log_in(user);
    let listed = client.list("UIDL");
    client.quit();
    listed.iter().map(|line| line.split_once(' ').expect("a number").1.to_owned()).collect()
}

fn assert_well_formed(ids: &[String]) {
    for id in ids {
        assert!((1..=70).contains(&id.len()), "{id:?}");
        assert!(id.bytes().all(|octet| (0x21..=0x7E).contains(&octet)), "{id:?}");
    }
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "a unique-id twice: {ids:?}");
}

/// Names that are no unique-ids as they stand.
fn deliver_odd_names(maildir: &Maildir) {
    let names: [&[u8]; 7] = [
        b"1700000001.with space.example",
        b"1700000002.\xff\xfe.example",
        b"1700000002.\xff\xfd.example",
        "1700000003.\u{e9}.example".as_bytes(),
        b"1700000004.\x07.example",
        &[b'1'; 71],
        &[b'1'; 255],
    ];
    for name in names {
        maildir.deliver_named("new", OsStr::from_bytes(name), BODY);
    }
}

#[test]
fn base_name_is_the_unique_id() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    let seventy = format!("1700000009.{}", "x".repeat(59));
    maildir.deliver_named("new", "1700000001.M1.example", BODY);
    maildir.deliver_named("cur", "1700000002.M2.example:2,FS", BODY);
    maildir.deliver_named("cur", "1700000003.M3.example,S=14,W=17:2,", BODY);
    maildir.deliver_named("new", &seventy, BODY);
    let wanted = ["1700000001.M1.example", "1700000002.M2.example", "1700000003.M3.example,S=14,W=17", &seventy];
    assert_eq!(uidl(&server, USER), wanted);
}

#[test]
fn names_that_are_no_unique_id_get_another() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    deliver_odd_names(&maildir);
    let ids = uidl(&server, USER);
    assert_eq!(ids.len(), 7);
    assert_well_formed(&ids);
}

#[test]
fn messages_of_odd_names_can_be_retrieved_kept_and_removed() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    deliver_odd_names(&maildir);
    let mut client = server.log_in(USER);
    for number in 1..=7 {
        assert_eq!(client.body(&format!("RETR {number}")), b"Subject: x\r\n\r\nx\r\n");
    }
    // The name of 255 octets has no room for a flag: that is no reason to lose it, or to refuse QUIT.
    client.quit();
    assert_eq!(maildir.files().len(), 7);
    let mut client = server.log_in(USER);
    (1..=7).for_each(|number| drop(client.ok(&format!("DELE {number}"))));
    client.quit();
    assert_eq!(maildir.names(), Vec::<String>::new());
}

#[test]
fn one_base_name_twice_gives_two_unique_ids() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    maildir.deliver_named("new", "1700000001.M1.example", b"Subject: new\n\n");
    maildir.deliver_named("cur", "1700000001.M1.example:2,S", b"Subject: cur\n\n1\n");
    maildir.deliver_named("cur", "1700000001.M1.example:2,FS", b"Subject: flagged\n\n22\n");
    let ids = uidl(&server, USER);
    assert_eq!(ids.len(), 3);
    assert_well_formed(&ids);
    assert_eq!(uidl(&server, USER), ids);
}

#[test]
fn of_two_messages_of_one_base_name_the_marked_one_goes() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    maildir.deliver_named("new", "1700000001.M1.example", b"Subject: new\n\n");
    maildir.deliver_named("cur", "1700000001.M1.example:2,F", b"Subject: cur\n\n1\n");
    let mut client = server.log_in(USER);
    let doomed = client.body("RETR 1");
    client.ok("DELE 1");
    client.quit();
    let left = maildir.files();
    assert_eq!(left.len(), 1);
    let kept =
        if doomed.starts_with(b"Subject: new") { "cur/1700000001.M1.example:2,F" } else { "new/1700000001.M1.example" };
    assert!(left.contains_key(kept), "{:?}", maildir.names());
}

#[test]
fn unique_ids_are_stable_over_flags_folders_and_sessions() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    deliver_odd_names(&maildir);
    for _ in 0..5 {
        maildir.deliver(BODY);
    }
    let ids = uidl(&server, USER);
    for entry in fs::read_dir(maildir.path.join("new")).expect("read new").flatten() {
        let mut name = entry.file_name();
        if name.len() > 250 {
            continue;
        }
        name.push(":2,F");
        fs::rename(entry.path(), maildir.path.join("cur").join(name)).expect("rename");
    }
    assert_eq!(uidl(&server, USER), ids);
    maildir.deliver(BODY);
    let more = uidl(&server, USER);
    assert_eq!(more.len(), ids.len() + 1);
    assert!(ids.iter().all(|id| more.contains(id)), "{more:?}");
}

#[test]
fn unique_ids_survive_a_restart_and_the_loss_of_the_index() {
    if !ours() {
        return;
    }
    let mut server = Server::start();
    let maildir = server.maildir(USER);
    deliver_odd_names(&maildir);
    let ids = uidl(&server, USER);
    server.restart();
    assert_eq!(uidl(&server, USER), ids, "after a restart");
    for garbage in [None, Some(&b""[..]), Some(b"garbage\n\0\xff"), Some(&[0; 4096])] {
        let index = maildir.path.join("poppet-index");
        match garbage {
            None => drop(fs::remove_file(&index)),
            Some(octets) => {
                fs::write(&index, octets).expect("spoil the index");
                maildir.hand_over(&index);
            }
        }
        assert_eq!(uidl(&server, USER), ids, "with the index {garbage:?}");
    }
}

#[test]
fn unique_ids_survive_a_restore_and_a_new_name_of_the_maildir() {
    let server = Server::builder().user(USER, PASSWORD).user("bob", PASSWORD).start();
    let (maildir, other) = (server.maildir(USER), server.maildir("bob"));
    deliver_odd_names(&maildir);
    maildir.deliver(BODY);
    let ids = uidl(&server, USER);
    for entry in fs::read_dir(maildir.path.join("new")).expect("read new").flatten() {
        other.deliver_named("new", entry.file_name(), &fs::read(entry.path()).expect("read"));
    }
    assert_eq!(uidl(&server, "bob"), ids, "restored elsewhere");
    if ours() {
        fs::remove_dir_all(&other.path).expect("remove bob's");
        fs::rename(&maildir.path, &other.path).expect("rename the Maildir");
        assert_eq!(uidl(&server, "bob"), ids, "renamed");
    }
}

#[test]
fn unique_id_of_a_removed_message_is_not_given_to_another() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    deliver_odd_names(&maildir);
    let mut seen: BTreeSet<String> = uidl(&server, USER).into_iter().collect();
    for round in 0..5 {
        let mut client = server.log_in(USER);
        let count = client.list("LIST").len();
        (1..=count).for_each(|number| drop(client.ok(&format!("DELE {number}"))));
        client.quit();
        maildir.deliver_named("new", format!("17000001{round:02}.with space"), BODY);
        maildir.deliver(BODY);
        for id in uidl(&server, USER) {
            assert!(seen.insert(id.clone()), "{id} again");
        }
    }
}

#[test]
fn uidl_of_one_message_is_its_line_of_the_listing() {
    let server = Server::start();
    deliver_odd_names(&server.maildir(USER));
    let mut client = server.log_in(USER);
    for line in client.list("UIDL") {
        let number = line.split(' ').next().expect("a number").to_owned();
        assert_eq!(client.ok(&format!("UIDL {number}")), format!("+OK {line}"));
    }
}
