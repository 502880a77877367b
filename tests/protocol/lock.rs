//! One session a maildrop.

use std::fs;
use std::os::unix::fs::symlink;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::client::{Channel, Client};
use crate::common::{PASSWORD, Server, USER, eventually, ours};

/// Says PASS for `user` and gives the reply.
fn try_log_in(server: &Server, user: &str) -> (Client, String) {
    let mut client = server.connect();
    client.ok(&format!("USER {}", server.name_of(user)));
    let reply = client.cmd(&format!("PASS {PASSWORD}"));
    (client, reply)
}

fn one_message() -> Server {
    let server = Server::start();
    server.maildir(USER).deliver(b"Subject: x\n\n");
    server
}

#[test]
fn second_session_is_refused_as_in_use() {
    let server = one_message();
    let mut first = server.log_in(USER);
    for _ in 0..3 {
        first.ok("NOOP");
        let (_, reply) = try_log_in(&server, USER);
        assert!(reply.starts_with("-ERR [IN-USE]"), "{reply}");
    }
    first.ok("DELE 1");
    first.quit();
    assert!(server.maildir(USER).names().is_empty());
}

#[test]
fn second_session_by_auth_is_refused_as_in_use() {
    use base64ct::{Base64, Encoding};
    let server = one_message();
    let mut first = server.log_in(USER);
    first.ok("NOOP");
    let response = Base64::encode_string(format!("\0{}\0{PASSWORD}", server.name_of(USER)).as_bytes());
    let reply = server.connect().err(&format!("AUTH PLAIN {response}"));
    assert!(reply.starts_with("-ERR [IN-USE]"), "{reply}");
}

#[test]
fn wrong_password_learns_nothing_of_the_lock() {
    let server = one_message();
    let mut first = server.log_in(USER);
    let mut second = server.connect();
    second.ok(&format!("USER {}", server.name_of(USER)));
    let reply = second.err("PASS wrong");
    assert!(reply.starts_with("-ERR [AUTH]"), "{reply}");
    first.ok("NOOP");
}

#[test]
fn refused_second_session_leaves_the_first_alone() {
    let server = one_message();
    let mut first = server.log_in(USER);
    first.ok("DELE 1");
    try_log_in(&server, USER);
    assert_eq!(first.ok("STAT"), "+OK 0 0");
}

#[test]
fn lock_is_given_back_before_the_reply_to_quit() {
    let server = one_message();
    for round in 0..100 {
        let mut first = server.log_in(USER);
        let mut next = server.connect();
        next.ok(&format!("USER {}", server.name_of(USER)));
        first.ok("QUIT");
        let reply = next.cmd(&format!("PASS {PASSWORD}"));
        assert!(reply.starts_with("+OK"), "round {round}: {reply}");
        next.quit();
    }
}

#[test]
fn maildrop_of_a_client_that_hung_up_is_free() {
    let server = one_message();
    for &channel in server.channels() {
        for reset in [false, true] {
            let mut first = server.connect_over(channel);
            first.log_in(server.name_of(USER), PASSWORD);
            first.ok("DELE 1");
            if reset {
                first.reset()
            } else {
                drop(first)
            }
            eventually("the maildrop is free", || {
                let (mut second, reply) = try_log_in(&server, USER);
                assert!(reply.starts_with("+OK 1 ") || reply.starts_with("-ERR [IN-USE]"), "{reply}");
                reply.starts_with("+OK").then(|| second.quit()).is_some()
            });
        }
    }
}

#[test]
fn maildrop_of_a_client_that_says_nothing_is_taken_over_without_an_update() {
    if !ours() {
        return;
    }
    let server = Server::builder().config("limits.takeover-after", "\"1s\"").start();
    let maildir = server.maildir(USER);
    maildir.deliver(b"Subject: x\n\nx\n");
    let before = maildir.files();
    let mut first = server.log_in(USER);
    first.body("RETR 1");
    first.ok("DELE 1");
    let mut second = None;
    eventually("the maildrop is taken over", || {
        let (client, reply) = try_log_in(&server, USER);
        assert!(reply.starts_with("+OK 1 ") || reply.starts_with("-ERR [IN-USE]"), "{reply}");
        second = reply.starts_with("+OK").then_some(client);
        second.is_some()
    });
    first.try_send(b"QUIT\r\n").ok();
    let heard = first.rest();
    assert!(!heard.starts_with(b"+OK"), "the first was closed with {}", heard.escape_ascii());
    assert_eq!(maildir.files(), before);
    second.expect("the second session").quit();
    assert_eq!(maildir.files(), before);
}

#[test]
fn maildrop_of_a_client_that_is_being_sent_something_is_not_taken_over() {
    if !ours() {
        return;
    }
    let server = Server::builder().config("limits.takeover-after", "\"1s\"").start();
    let mut large = b"Subject: large\n\n".to_vec();
    large.resize(90_000_000, b'x');
    server.maildir(USER).deliver(&large);
    let mut first = server.log_in(USER);
    first.send(b"RETR 1\r\n");
    let mut read = 0;
    for round in 1..=70 {
        while read < round * 200_000 {
            read += first.one_read().len();
        }
        thread::sleep(Duration::from_millis(100));
        let (_, reply) = try_log_in(&server, USER);
        assert!(reply.starts_with("-ERR [IN-USE]"), "{reply}, after {read} octets");
    }
}

#[test]
fn maildrop_of_a_client_that_rests_in_the_middle_of_a_download_is_taken_over_without_an_update() {
    if !ours() {
        return;
    }
    let server = Server::builder().config("limits.takeover-after", "\"1s\"").start();
    let maildir = server.maildir(USER);
    maildir.deliver(b"Subject: small\n\n");
    let mut large = b"Subject: large\n\n".to_vec();
    large.resize(90_000_000, b'x');
    maildir.deliver(&large);
    let before = maildir.files();
    let mut first = server.log_in(USER);
    let large = first.list("LIST").iter().position(|line| line.ends_with(" 90000004")).expect("the large one") + 1;
    first.ok(&format!("DELE {}", 3 - large));
    first.send(format!("RETR {large}\r\nQUIT\r\n").as_bytes());
    let mut second = None;
    eventually("the maildrop is taken over", || {
        let (client, reply) = try_log_in(&server, USER);
        assert!(reply.starts_with("+OK 2 ") || reply.starts_with("-ERR [IN-USE]"), "{reply}");
        second = reply.starts_with("+OK").then_some(client);
        second.is_some()
    });
    let heard = first.rest();
    assert!(heard.len() < 90_000_000 && !heard.ends_with(b".\r\n"), "{} octets", heard.len());
    second.expect("the second session").quit();
    assert_eq!(maildir.files(), before);
}

#[test]
fn session_that_says_something_now_and_then_is_never_taken_over() {
    if !ours() {
        return;
    }
    let silence = Duration::from_secs(5);
    let server = Server::builder().config("limits.takeover-after", "\"5s\"").start();
    let (mut first, began) = (server.log_in(USER), Instant::now());
    while began.elapsed() < 2 * silence {
        let before = Instant::now();
        first.ok("NOOP");
        thread::sleep(Duration::from_millis(500));
        let (_, reply) = try_log_in(&server, USER);
        if before.elapsed() >= silence {
            // The machine stood still, which the server can't tell from a client's silence.
            return;
        }
        assert!(reply.starts_with("-ERR [IN-USE]"), "{reply}");
    }
    first.quit();
}

#[test]
fn two_names_of_one_maildir_are_one_maildrop() {
    if !ours() {
        return;
    }
    let server = Server::builder().user(USER, PASSWORD).user("bob", PASSWORD).start();
    let (maildir, other) = (server.maildir(USER), server.maildir("bob"));
    fs::remove_dir_all(&other.path).expect("remove bob's");
    symlink(&maildir.path, &other.path).expect("make bob's another name of ada's");
    let mut first = server.log_in(USER);
    first.ok("NOOP");
    let (_, reply) = try_log_in(&server, "bob");
    assert!(reply.starts_with("-ERR [IN-USE]"), "{reply}");
    first.quit();
    let (_, reply) = try_log_in(&server, "bob");
    assert!(reply.starts_with("+OK"), "{reply}");
}

#[test]
fn another_process_that_holds_the_maildir_keeps_everyone_out() {
    use rustix::fs::{FlockOperation, flock};
    if !ours() {
        return;
    }
    let server = one_message();
    let folder = fs::File::open(&server.maildir(USER).path).expect("open the Maildir");
    flock(&folder, FlockOperation::LockExclusive).expect("lock the Maildir");
    let (_, reply) = try_log_in(&server, USER);
    assert!(reply.starts_with("-ERR [IN-USE]"), "{reply}");
    flock(&folder, FlockOperation::Unlock).expect("unlock the Maildir");
    let mut session = server.log_in(USER);
    assert!(flock(&folder, FlockOperation::NonBlockingLockExclusive).is_err(), "the session holds no lock");
    session.quit();
    flock(&folder, FlockOperation::NonBlockingLockExclusive).expect("the lock is given back");
}

#[test]
fn lock_leaves_nothing_behind_that_can_go_stale() {
    if !ours() {
        return;
    }
    let mut server = one_message();
    let mut session = server.log_in(USER);
    session.ok("NOOP");
    server.restart();
    let (_, reply) = try_log_in(&server, USER);
    assert!(reply.starts_with("+OK"), "{reply}");
}

#[test]
fn sessions_on_different_maildrops_run_at_once() {
    let server = Server::builder().user(USER, PASSWORD).user("bob", PASSWORD).start();
    let mut first = server.log_in(USER);
    let mut second = server.connect_over(*server.channels().last().unwrap_or(&Channel::Plain));
    second.log_in(server.name_of("bob"), PASSWORD);
    first.ok("STAT");
    second.ok("STAT");
}
