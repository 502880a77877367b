//! How many system calls each command costs, as a budget that no change exceeds unnoticed.
//!
//! Owns: the budget, with a reason for each line. Does not know: how calls are counted.
//!
//! Where a test fails, either the call that came in is needless, or the budget gets a line that says what it is for.

mod common;

#[path = "budget/strace.rs"]
mod strace;

use std::fs;
use std::thread;
use std::time::Duration;

use common::{Client, PASSWORD, Server, USER, eventually, needs, needs_root, ours};
use strace::{Calls, Watch};

/// A call, how often a step may make it, and what for. A call that isn't there may not be made at all.
type Budget<'a> = &'a [(&'a str, usize, &'a str)];

const CONNECT: Budget = &[
    ("epoll_wait", 2, "for somebody at the door; at once again, since a new socket is writable, which is an edge"),
    ("accept4", 2, "the client; that there is no other"),
    ("epoll_ctl", 1, "watch the socket"),
    ("recvfrom", 1, "has it said something already?"),
    ("sendto", 1, "the greeting"),
];

/// USER, PASS and STAT, 20 messages, index fresh, users file unchanged.
const LOG_IN: Budget = &[
    ("epoll_wait", 5, "three commands, two outcomes of jobs"),
    ("recvfrom", 3, "three commands"),
    ("sendto", 3, "three replies"),
    ("write", 3, "the loop is woken twice, by an eventfd; the line in the log"),
    ("statx", 1, "has the users file changed?"),
    ("openat", 2, "the Maildir; the index"),
    ("fstat", 2, "what the Maildir is known by; how long the index is"),
    ("flock", 1, "the maildrop is this session's"),
    ("read", 1, "the index, in one piece"),
    ("newfstatat", 2, "have new and cur changed since?"),
    ("close", 1, "the index"),
];

/// RETR of a message that fits into a block; TOP as well.
const RETR: Budget = &[
    ("epoll_wait", 1, "for the next command"),
    ("recvfrom", 1, "the command: a short read has emptied the socket, so it is not asked again"),
    ("openat2", 1, "the message, never through a link"),
    ("fstat", 1, "is it the file that was counted at login?"),
    ("pread64", 1, "all of it: the end is known by its length"),
    ("close", 1, "the message"),
    ("sendto", 1, "status line, message and dot"),
];

/// 20 RETRs in one segment.
const BURST: Budget = &[
    ("epoll_wait", 2, "others have a look in after 32 steps; for the next command"),
    ("recvfrom", 1, "all commands"),
    ("openat2", 20, "each message"),
    ("fstat", 20, "each message"),
    ("pread64", 20, "each message"),
    ("close", 20, "each message"),
    ("sendto", 2, "what a turn has made leaves together, and 32 steps are a turn: two a RETR"),
];

/// What is answered from memory: DELE, STAT, NOOP, RSET, and LIST and UIDL of 1,000, which fit into a block.
const FROM_MEMORY: Budget = &[
    ("epoll_wait", 1, "for the next command"),
    ("recvfrom", 1, "the command"),
    ("sendto", 1, "the reply, in one piece"),
];

/// QUIT with nothing to do: no job, no file is touched.
const QUIT: Budget = &[
    ("epoll_wait", 1, "for other clients"),
    ("recvfrom", 1, "the command"),
    ("flock", 1, "the maildrop is free, whoever has a copy of the descriptor"),
    ("close", 2, "the Maildir; the socket"),
    ("sendmsg", 1, "the reply, kept back for the end"),
    ("shutdown", 1, "both leave in one segment"),
    ("write", 1, "the line in the log"),
];

/// QUIT with one message marked as deleted.
const QUIT_OF_ONE: Budget = &[
    ("epoll_wait", 2, "for the outcome of the job; for other clients"),
    ("recvfrom", 1, "the command"),
    ("openat", 3, "new and cur; maildirsize, if there is one"),
    ("unlinkat", 1, "the message"),
    ("fsync", 1, "the directory that it was in: +OK is true after a power cut"),
    ("flock", 1, "the maildrop is free"),
    ("close", 4, "new, cur, the Maildir; the socket"),
    ("sendmsg", 1, "the reply, kept back for the end"),
    ("shutdown", 1, "both leave in one segment"),
    ("write", 2, "the loop is woken; the line in the log"),
];

/// How threads meet, come and go, and what the allocator does, is not the program's to say, and differs from run to run.
const NOT_COUNTED: [&str; 17] = [
    "brk",
    "clone",
    "clone3",
    "exit",
    "futex",
    "gettid",
    "madvise",
    "mmap",
    "mprotect",
    "munmap",
    "prctl",
    "rseq",
    "rt_sigprocmask",
    "sched_getaffinity",
    "sched_yield",
    "set_robust_list",
    "sigaltstack",
];

fn keeps(step: &str, budget: Budget, calls: &Calls) {
    println!("{step}: {calls:?}");
    assert!(
        ["sendto", "sendmsg"].iter().any(|name| calls.contains_key(*name)),
        "{step}: nothing was watched: {calls:?}"
    );
    let allowed = |name: &str| budget.iter().find(|line| line.0 == name).map_or(0, |line| line.1);
    let excess: Vec<String> = calls
        .iter()
        .filter(|(name, count)| !NOT_COUNTED.contains(&name.as_str()) && **count > allowed(name))
        .map(|(name, count)| format!("{count} {name}, and not {}", allowed(name)))
        .collect();
    assert!(excess.is_empty(), "{step}: {}", excess.join("; "));
}

/// A server whose user has `messages`, with an index that is fresh.
fn server(messages: usize) -> Option<Server> {
    if !ours() || !needs("strace") || !needs_root() {
        return None;
    }
    let server = Server::builder().tls(false).start();
    for _ in 0..messages {
        server.maildir(USER).deliver(b"Subject: x\n\n.hello\n");
    }
    settle();
    server.log_in(USER).quit();
    Some(server)
}

/// A directory that was changed a moment ago can't be known by its time.
fn settle() {
    thread::sleep(Duration::from_millis(300));
}

/// A session that is watched from its first command after the login on.
fn session(server: &Server) -> (Watch, Client) {
    let client = server.log_in(USER);
    (Watch::attach(server), client)
}

#[test]
fn connecting_and_logging_in_keep_their_budgets() {
    let Some(server) = server(20) else { return };
    // A users file that was written seconds ago is read at each login; ctime can't be set, so time must pass.
    thread::sleep(Duration::from_secs(4));
    server.log_in(USER).quit();
    let watch = Watch::attach(&server);
    let mut client = None;
    keeps("connect", CONNECT, &watch.calls(|| client = Some(server.connect())));
    let mut client = client.expect("a client");
    let log_in = watch.calls(|| {
        client.log_in(USER, PASSWORD);
        client.ok("STAT");
    });
    keeps("USER, PASS, STAT", LOG_IN, &log_in);
}

#[test]
fn retr_of_a_small_message_keeps_its_budget() {
    let Some(server) = server(20) else { return };
    let (watch, mut client) = session(&server);
    for command in ["RETR 1", "RETR 2", "TOP 3 0"] {
        let calls = watch.calls(|| assert!(!client.body(command).is_empty()));
        keeps(command, RETR, &calls);
    }
    let burst: String = (1..=20).map(|number| format!("RETR {number}\r\n")).collect();
    let calls = watch.calls(|| {
        client.send(burst.as_bytes());
        for _ in 0..20 {
            assert!(client.line().starts_with("+OK"));
            client.multiline();
        }
    });
    keeps("20 RETRs in a burst", BURST, &calls);
}

#[test]
fn what_is_known_is_answered_from_memory() {
    let Some(server) = server(1000) else { return };
    let (watch, mut client) = session(&server);
    for command in ["LIST", "UIDL"] {
        let calls = watch.calls(|| assert_eq!(client.list(command).len(), 1000));
        keeps(command, FROM_MEMORY, &calls);
    }
    for command in ["DELE 1", "STAT", "LIST 2", "UIDL 2", "NOOP", "RSET"] {
        let calls = watch.calls(|| {
            client.ok(command);
        });
        keeps(command, FROM_MEMORY, &calls);
    }
}

#[test]
fn quit_keeps_its_budget() {
    let Some(server) = server(20) else { return };
    let (watch, mut client) = session(&server);
    keeps("QUIT", QUIT, &watch.calls(|| client.quit()));
    let mut client = server.log_in(USER);
    client.ok("DELE 7");
    // What came before is not to be counted.
    watch.calls(|| ());
    keeps("QUIT of one message", QUIT_OF_ONE, &watch.calls(|| client.quit()));
    assert_eq!(fs::read_dir(server.maildir(USER).path.join("new")).expect("new").count(), 19);
}

#[test]
fn idle_server_makes_no_system_call() {
    let Some(server) = server(20) else { return };
    let (_stranger, _session) = (server.connect(), server.log_in(USER));
    eventually("threads without work have ended", || strace::threads(server.pid()).len() == 1);
    let watch = Watch::attach(&server);
    let calls = watch.calls(|| thread::sleep(Duration::from_secs(2)));
    assert_eq!(calls, Calls::new(), "a stranger and a session that say nothing");
    assert!(watch.calls(|| drop(server.connect())).contains_key("accept4"), "nothing was watched");
}
