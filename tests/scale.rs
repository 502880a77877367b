//! Many messages in one maildrop, many sessions in one process, many that come and go.
//!
//! Owns: what is kept at any size: octets of memory a message and a session, and that nobody waits for another.
//! Does not know: how fast a machine is. Nothing here is judged by time, but for turns where a quiet machine is promised.
//!
//! `contrib/scale.sh` runs the same with larger figures: `POPPET_SCALE_MESSAGES`, `POPPET_SCALE_SESSIONS`,
//! `POPPET_SCALE_CYCLES`, and `POPPET_SCALE_QUIET=1` where nothing else runs on the machine.

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use std::{env, fs, thread};

use common::process::{memory, open_files};
use common::{Channel, Client, Maildir, PASSWORD, Server, USER, eventually, ours};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Octets of memory that a message of an open maildrop may cost.
const A_MESSAGE: u64 = 100;
/// What may stay with the allocator when all have gone.
const SLACK: u64 = 2 << 20;
/// Octets that an idle session may cost, by how it came.
const A_SESSION: [(Channel, u64); 2] = [(Channel::Tls, 10 << 10), (Channel::Plain, 2 << 10)];
/// A million messages are read, or removed, in one reply: no hang.
const PATIENCE: Duration = Duration::from_secs(900);

fn size(variable: &str, in_ci: usize) -> usize {
    env::var(variable).map_or(in_ci, |text| text.parse().expect("a number"))
}

/// Lays `count` messages of a few octets, without what a delivery agent does for safety.
fn fill(maildir: &Maildir, count: usize) {
    let folder = maildir.path.join("cur");
    for at in 0..count {
        let file = folder.join(format!("{}.M{at:07}P1.example:2,S", 1_700_000_000 + at));
        fs::write(&file, b"x\n").expect("lay a message");
    }
    // As the harness hands over what it delivers.
    maildir.hand_over(&folder);
}

/// A client of somebody else who says NOOP again and again, and counts the answers.
struct Bystander<'a> {
    answered: &'a AtomicUsize,
}

impl Bystander<'_> {
    /// Does `work`, during which the bystander must be answered at least once.
    fn is_served_during<R>(&self, what: &str, work: impl FnOnce() -> R) -> R {
        let before = self.answered.load(Ordering::SeqCst);
        let done = work();
        // The answer that was under way when the work began does not count.
        let answers = self.answered.load(Ordering::SeqCst) - before;
        println!("{what}: {answers} NOOPs of a bystander were answered meanwhile");
        assert!(answers >= 2, "{what}: the bystander waited for it");
        done
    }
}

/// Runs `test` while a bystander, logged in as `user`, sends NOOPs, of which every one must be answered.
fn beside_a_bystander(server: &Server, user: &str, test: impl FnOnce(&Bystander)) {
    let (answered, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut client = server.log_in(user);
    thread::scope(|scope| {
        let noops = scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                client.ok("NOOP");
                answered.fetch_add(1, Ordering::SeqCst);
            }
            client.quit();
        });
        let guard = OnDrop(&over);
        test(&Bystander { answered: &answered });
        drop(guard);
        noops.join().expect("every NOOP is answered");
    });
}

/// A test that fails must not leave the bystander at it for ever.
struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn huge_maildrop_opens_lists_and_empties_while_others_are_served() {
    if !ours() {
        return;
    }
    let count = size("POPPET_SCALE_MESSAGES", 20_000);
    let server = Server::builder().tls(false).user(USER, PASSWORD).user("bob", PASSWORD).start();
    fill(&server.maildir(USER), count);
    // Whatever is allocated at a first login is no message's.
    server.log_in("bob").quit();
    let before = memory(server.pid());
    beside_a_bystander(&server, "bob", |bystander| {
        let mut client = server.connect();
        client.socket().set_read_timeout(Some(PATIENCE)).expect("patience");
        bystander.is_served_during("login", || client.log_in(USER, PASSWORD));
        report_memory("a message, behind the first login", server.pid(), before, count, A_MESSAGE);
        assert_eq!(client.list("LIST").len(), count);
        assert_eq!(client.list("UIDL").len(), count);
        report_memory("a message, behind LIST and UIDL", server.pid(), before, count, A_MESSAGE);
        delete_all(&mut client, count);
        report_memory("a message, behind DELE", server.pid(), before, count, A_MESSAGE);
        bystander.is_served_during("QUIT", || client.quit());
    });
    assert_eq!(fs::read_dir(server.maildir(USER).path.join("cur")).expect("cur").count(), 0);
    given_back(&server, before);
    let log = server.log();
    let long: Vec<&str> = log.lines().filter(|line| line.contains("one turn took")).collect();
    println!("turns of more than 20 ms: {}", long.len());
    assert!(long.is_empty() || env::var_os("POPPET_SCALE_QUIET").is_none(), "{}", long.join("\n"));
}

/// DELE of each message, a thousand in a burst.
fn delete_all(client: &mut Client, count: usize) {
    for first in (1..=count).step_by(1000) {
        let burst = first..=count.min(first + 999);
        let commands: String = burst.clone().map(|number| format!("DELE {number}\r\n")).collect();
        client.send(commands.as_bytes());
        for number in burst {
            let reply = client.line();
            assert!(reply.starts_with("+OK"), "DELE {number}: {reply}");
        }
    }
}

#[test]
fn idle_sessions_are_cheap_and_those_who_come_later_use_their_memory_again() {
    if !ours() {
        return;
    }
    let count = size("POPPET_SCALE_SESSIONS", 1000);
    // A session has its socket and its Maildir open; a client has less.
    let files = 2 * count as u32 + 500;
    raise_open_files(files.into());
    for (channel, limit) in A_SESSION {
        let mut builder = Server::builder().open_files(files);
        for (key, value) in [
            ("limits.connections", "100000"),
            ("limits.connections-per-address", "100000"),
            ("limits.login-time", "\"1h\""),
            ("limits.idle-time", "\"12h\""),
        ] {
            builder = builder.config(key, value);
        }
        for at in 0..=count {
            builder = builder.user(&user(at), PASSWORD);
        }
        let server = builder.start();
        let session = |at: usize| {
            let mut client = server.connect_over(channel);
            client.log_in(&user(at), PASSWORD);
            client
        };
        // A users file that was written seconds ago is read at each login, beside the one that is known.
        drop(session(count));
        thread::sleep(Duration::from_secs(4));
        drop(session(count));
        let before = memory(server.pid());
        let mut clients: Vec<Client> = (0..count).map(session).collect();
        let each = report_memory(&format!("a session over {channel:?}"), server.pid(), before, count, limit);
        assert!(each > 0, "nothing was measured");
        for client in clients.iter_mut().step_by(97) {
            client.ok("NOOP");
        }
        let full = memory(server.pid());
        drop(clients);
        eventually("all have gone", || open_files(server.pid()) < 50);
        println!("over {channel:?}: {} KiB before, {} KiB behind", before >> 10, memory(server.pid()) >> 10);
        // The allocator keeps pages that some small thing at their end holds down, and must use them again.
        drop((0..count).map(session).collect::<Vec<_>>());
        given_back(&server, full);
    }
}

fn user(at: usize) -> String {
    format!("user{at}")
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    if !ours() {
        return;
    }
    let count = size("POPPET_SCALE_CYCLES", 10_000);
    let server = Server::builder().config("limits.connections-per-address", "10000").start();
    let cycle = |at: usize| match at % 4 {
        0 => server.connect().quit(),
        1 => server.connect().reset(),
        2 => server.log_in(USER).quit(),
        // A handshake that is begun and not ended.
        _ => drop(server.socket()),
    };
    // Whatever the first thousand make the allocator ask for, the others use again.
    (0..1000).for_each(cycle);
    let before = memory(server.pid());
    (0..count).for_each(cycle);
    given_back(&server, before);
}

/// Prints what each of `count` costs, and sees that it is within `limit`, the server's one-time slack aside.
fn report_memory(what: &str, pid: u32, before: u64, count: usize, limit: u64) -> u64 {
    let each = memory(pid).saturating_sub(before) / count as u64;
    println!("{what}: {each} octets of memory, of at most {limit}");
    assert!(each <= limit, "{what}: {each} octets of memory, and not at most {limit}");
    each
}

/// Memory is as it was before, but for some slack.
fn given_back(server: &Server, before: u64) {
    println!("before {} KiB, now {} KiB", before >> 10, memory(server.pid()) >> 10);
    eventually("memory is given back", || memory(server.pid()) <= before + SLACK);
    println!("given back down to {} KiB", memory(server.pid()) >> 10);
}

/// For this process and the servers that it starts.
fn raise_open_files(wanted: u64) {
    let now = getrlimit(Resource::Nofile);
    if now.current.is_some_and(|current| current < wanted) {
        let maximum = now.maximum.map(|maximum| maximum.max(wanted));
        let raised = Rlimit { current: Some(wanted), maximum };
        setrlimit(Resource::Nofile, raised).unwrap_or_else(|error| panic!("{wanted} open files: {error}"));
    }
}
