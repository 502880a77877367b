//! What was retrieved and kept moves to `cur/` with the flag `S`.

use crate::common::{Maildir, Server, USER, ours};

const BODY: &[u8] = b"Subject: x\n\nx\n";

fn three(maildir: &Maildir) {
    for number in 1..=3 {
        maildir.deliver_named("new", format!("170000000{number}.M{number}.example"), BODY);
    }
}

#[test]
fn message_that_was_retrieved_and_kept_is_seen_at_quit() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    three(&maildir);
    let before = maildir.files();
    let mut client = server.log_in(USER);
    client.body("RETR 2");
    assert_eq!(maildir.files(), before, "moved before QUIT");
    client.quit();
    let wanted = ["cur/1700000002.M2.example:2,S", "new/1700000001.M1.example", "new/1700000003.M3.example"];
    assert_eq!(maildir.names(), wanted);
}

#[test]
fn message_that_was_retrieved_and_deleted_is_gone() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    three(&maildir);
    let mut client = server.log_in(USER);
    client.body("RETR 1");
    client.body("RETR 2");
    client.ok("DELE 1");
    client.quit();
    assert_eq!(maildir.names(), ["cur/1700000002.M2.example:2,S", "new/1700000003.M3.example"]);
}

#[test]
fn top_marks_nothing_as_seen() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    three(&maildir);
    let before = maildir.files();
    let mut client = server.log_in(USER);
    client.body("TOP 1 0");
    client.body("TOP 2 99999999");
    client.quit();
    assert_eq!(maildir.files(), before);
}

#[test]
fn login_and_listings_move_nothing() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    three(&maildir);
    let before = maildir.files();
    let mut client = server.log_in(USER);
    client.list("LIST");
    client.list("UIDL");
    client.quit();
    assert_eq!(maildir.files(), before);
}

#[test]
fn flags_that_are_there_stay_and_are_in_order() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    let names = ["1.M1.e:2,F", "2.M2.e:2,T", "3.M3.e:2,FRT", "4.M4.e:2,S", "5.M5.e:2,", "6.M6.e", "7.M7.e:2,RSab"];
    for name in names {
        maildir.deliver_named("cur", name, BODY);
    }
    let mut client = server.log_in(USER);
    for number in 1..=names.len() {
        client.body(&format!("RETR {number}"));
    }
    client.quit();
    let wanted =
        ["1.M1.e:2,FS", "2.M2.e:2,ST", "3.M3.e:2,FRST", "4.M4.e:2,S", "5.M5.e:2,S", "6.M6.e:2,S", "7.M7.e:2,RSab"];
    assert_eq!(maildir.names(), wanted.map(|name| format!("cur/{name}")));
}

#[test]
fn message_that_another_program_flags_meanwhile_keeps_its_flag() {
    let server = Server::start();
    let maildir = server.maildir(USER);
    three(&maildir);
    let mut client = server.log_in(USER);
    client.body("RETR 1");
    let path = |name: &str| maildir.path.join(name);
    std::fs::rename(path("new/1700000001.M1.example"), path("cur/1700000001.M1.example:2,F")).expect("rename");
    client.quit();
    assert!(maildir.names().contains(&"cur/1700000001.M1.example:2,FS".to_owned()), "{:?}", maildir.names());
}

#[test]
fn mark_seen_can_be_turned_off() {
    if !ours() {
        return;
    }
    let server = Server::builder().config("mail.mark-seen", "false").start();
    let maildir = server.maildir(USER);
    three(&maildir);
    let before = maildir.files();
    let mut client = server.log_in(USER);
    client.body("RETR 1");
    client.quit();
    assert_eq!(maildir.files(), before);
    let mut client = server.log_in(USER);
    client.body("RETR 1");
    client.ok("DELE 2");
    client.quit();
    assert_eq!(maildir.names(), ["new/1700000001.M1.example", "new/1700000003.M3.example"]);
}

#[test]
fn message_that_was_seen_keeps_number_and_unique_id() {
    let server = Server::start();
    three(&server.maildir(USER));
    let mut client = server.log_in(USER);
    let before = client.list("UIDL");
    client.body("RETR 2");
    client.quit();
    assert_eq!(server.log_in(USER).list("UIDL"), before);
}
