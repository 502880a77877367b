//! The house without mio, threads and time: the traps by name here, thousands of clients in `clients`.

use std::{
    io::{Read as _, Write as _},
    sync::Arc,
};

use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};

use super::*;

mod census;
mod clients;
mod pipe;
mod proxied;
mod random;
mod strangers;
mod world;

use pipe::Pipe;
use world::World;

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const LOGIN: &str = "USER u0\r\nPASS secret\r\n";

/// A world with one user, who has three messages.
fn world() -> World {
    let world = World::new(1);
    for n in 0..3 {
        world.deliver(0, n, "Subject: x\n\nhello\n");
    }
    world
}

fn log_in(world: &mut World) -> Pipe {
    let client = world.admit(1 << 20);
    let said = world.talk(&client, LOGIN);
    assert!(said.contains(" messages\r\n"), "{said}");
    client
}

fn is_free(world: &World) -> bool {
    let client = Arc::new(());
    let job = Job::Open { path: world.maildir(0), client: Arc::downgrade(&client) };
    matches!(world.bench.borrow().office.perform(job), Some(Outcome::Opened(Ok(_))))
}

#[test]
fn what_is_said_while_a_readable_event_is_handled_leaves_at_once() {
    let mut world = world();
    let client = world.admit(1 << 20);
    world.settle();
    client.take(usize::MAX);
    client.say(b"CAPA\r\n");
    world.round();
    assert!(client.take(usize::MAX).ends_with(b"\r\n.\r\n"));
}

#[test]
fn a_reply_leaves_whole_through_a_socket_that_takes_an_octet_at_a_time() {
    let mut world = world();
    let client = world.admit(1);
    let all = world.talk(&client, &format!("{LOGIN}UIDL\r\nRETR 1\r\nNOOP\r\nQUIT\r\n"));
    assert!(all.ends_with("\r\n.\r\n+OK still here\r\n+OK bye\r\n"), "{all}");
    assert!(client.closed().is_some());
}

#[test]
fn what_was_sent_behind_a_login_is_answered_when_the_job_ends() {
    let mut world = world();
    world.bench.borrow_mut().delay = Box::new(|| Duration::from_secs(2));
    let client = world.admit(1 << 20);
    client.say(format!("{LOGIN}{}QUIT\r\n", "NOOP\r\n".repeat(5_000)).as_bytes());
    world.wait(10 * SECOND);
    let heard = String::from_utf8(client.take(usize::MAX)).unwrap();
    assert_eq!(heard.matches("+OK still here\r\n").count(), 5_000);
    assert!(heard.ends_with("+OK bye\r\n") && client.closed().is_some());
}

#[test]
fn plaintext_that_tls_held_while_a_job_ran_is_answered_when_it_ends() {
    let mut world = world();
    let (server, mut client) = tls();
    let terms = Terms { tls_offered: true, tls_active: true, plaintext_login: false };
    let pipe = world.admit_over(1 << 20, Transport::tls(server).unwrap(), terms);
    let all = format!("{LOGIN}{}QUIT\r\n", "NOOP\r\n".repeat(5_000));
    let mut heard = vec![];
    for round in 0..8 {
        if round == 4 {
            // Records that fill no read, so that some stay in the socket behind a short one.
            all.as_bytes().chunks(1_000).for_each(|chunk| client.writer().write_all(chunk).unwrap());
        }
        let mut octets = vec![];
        while client.wants_write() {
            client.write_tls(&mut octets).unwrap();
        }
        assert_eq!(pipe.say(&octets), octets.len());
        world.settle();
        let mut octets = &pipe.take(usize::MAX)[..];
        while !octets.is_empty() {
            client.read_tls(&mut octets).unwrap();
            client.process_new_packets().unwrap();
            let _ = client.reader().read_to_end(&mut heard);
        }
    }
    let heard = String::from_utf8(heard).unwrap();
    assert_eq!(heard.matches("+OK still here\r\n").count(), 5_000);
    assert!(heard.ends_with("+OK bye\r\n") && pipe.closed().is_some());
}

/// A server's settings, and a client that trusts it.
fn tls() -> (Arc<ServerConfig>, ClientConnection) {
    let made = rcgen::generate_simple_self_signed(["mail.example.org".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let server = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let server = server.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let client = client.with_root_certificates(roots).with_no_client_auth();
    let name = "mail.example.org".try_into().unwrap();
    (Arc::new(server), ClientConnection::new(Arc::new(client), name).unwrap())
}

#[test]
fn a_job_for_a_connection_that_has_gone_gives_its_lock_back() {
    let mut world = world();
    let client = world.admit(1 << 20);
    client.say(LOGIN.as_bytes());
    world.bench.borrow_mut().delay = Box::new(|| SECOND);
    world.settle();
    world.wait(SECOND);
    let (_, id, job) = world.bench.borrow_mut().jobs.pop().expect("the maildrop is to be opened");
    let outcome = world.bench.borrow().office.perform(job).unwrap();
    assert!(!is_free(&world));
    world.house.evict(world.now());
    assert!(client.closed().is_some());
    // Somebody else is in its place now.
    let next = world.admit(1 << 20);
    world.house.outcome(id, outcome, world.now());
    assert!(is_free(&world));
    assert_eq!(world.talk(&next, "STAT\r\n"), "+OK poppet ready\r\n-ERR log in first\r\n");
}

#[test]
fn a_login_whose_client_hung_up_is_called_off_and_an_update_is_not() {
    let mut world = world();
    let (gone, leaving) = (world.admit(1 << 20), log_in(&mut world));
    gone.say(b"USER nobody\r\nPASS wrong\r\n");
    leaving.say(b"DELE 1\r\nQUIT\r\n");
    world.bench.borrow_mut().delay = Box::new(|| SECOND);
    world.settle();
    for place in 0..2 {
        world.house.hung_up(place, world.now());
    }
    assert!(gone.closed().is_some() && leaving.closed().is_none());
    let jobs = std::mem::take(&mut world.bench.borrow_mut().jobs);
    let done: Vec<bool> =
        jobs.into_iter().map(|(_, _, job)| world.bench.borrow().office.perform(job).is_some()).collect();
    assert_eq!(done, [false, true], "no password is hashed for nobody");
}

#[test]
fn a_client_that_has_gone_takes_no_maildrop_over() {
    let mut world = world();
    let (first, second) = (log_in(&mut world), world.admit(1 << 20));
    world.wait(31 * SECOND);
    second.say(LOGIN.as_bytes());
    world.bench.borrow_mut().delay = Box::new(|| SECOND);
    world.settle();
    world.wait(SECOND);
    let (_, id, job) = world.bench.borrow_mut().jobs.pop().unwrap();
    let outcome = world.bench.borrow().office.perform(job).unwrap();
    world.house.close(id, Reason::Disconnected, world.now());
    world.house.outcome(id, outcome, world.now());
    assert!(first.closed().is_none() && second.closed().is_some());
}

#[test]
fn a_job_whose_client_has_gone_is_not_begun() {
    let mut world = world();
    let client = world.admit(1 << 20);
    client.say(LOGIN.as_bytes());
    world.bench.borrow_mut().delay = Box::new(|| SECOND);
    world.settle();
    world.house.evict(world.now());
    let (_, _, job) = world.bench.borrow_mut().jobs.pop().unwrap();
    assert!(world.bench.borrow().office.perform(job).is_none());
}

#[test]
fn a_job_that_panics_is_a_temporary_error_and_the_session_goes_on() {
    let mut world = world();
    let client = world.admit(1 << 20);
    world.bench.borrow_mut().panics = Box::new(|job| matches!(job, Job::Authenticate { .. }));
    assert!(world.talk(&client, LOGIN).contains("-ERR [SYS/TEMP]"));
    world.bench.borrow_mut().panics = Box::new(|job| matches!(job, Job::Open { .. }));
    assert!(world.talk(&client, LOGIN).contains("-ERR [SYS/TEMP]"));
    world.bench.borrow_mut().panics = Box::new(|job| matches!(job, Job::Update(..)));
    assert!(world.talk(&client, LOGIN).ends_with("+OK 3 messages\r\n"));
    let end = world.talk(&client, "DELE 1\r\nQUIT\r\n");
    assert!(end.ends_with("-ERR [SYS/TEMP] 1 of 1 deleted messages not removed\r\n"), "{end}");
    assert!(client.closed().is_some() && world.mail(0).len() == 3 && is_free(&world));
}

#[test]
fn a_full_queue_is_a_temporary_error_and_the_session_goes_on() {
    let mut world = world();
    let client = world.admit(1 << 20);
    world.bench.borrow_mut().full = Box::new(|_| true);
    assert!(world.talk(&client, LOGIN).contains("-ERR [SYS/TEMP]"));
    world.bench.borrow_mut().full = Box::new(|job| matches!(job, Job::Open { .. }));
    assert!(world.talk(&client, LOGIN).contains("-ERR [SYS/TEMP]"));
    world.bench.borrow_mut().full = Box::new(|job| matches!(job, Job::Locate(_)));
    assert!(world.talk(&client, LOGIN).ends_with("+OK 3 messages\r\n"));
    let name = world.maildir(0).join("new").join(&world.mail(0)[0]);
    std::fs::rename(&name, world.maildir(0).join("cur").join(format!("{}:2,F", world.mail(0)[0]))).unwrap();
    assert!(world.talk(&client, "RETR 1\r\n").starts_with("-ERR [SYS/TEMP]"));
    world.bench.borrow_mut().full = Box::new(|_| false);
    assert!(world.talk(&client, "RETR 1\r\n").starts_with("+OK 21 octets\r\n"));
    assert!(world.talk(&client, "QUIT\r\n").starts_with("+OK"));
}

#[test]
fn an_over_long_line_is_one_error_and_what_follows_is_in_step() {
    let mut world = world();
    let client = log_in(&mut world);
    let said = world.talk(&client, &format!("DELE 1{}\r\nDELE 2\r\nSTAT\r\n", " ".repeat(9_000)));
    assert_eq!(said, "-ERR line too long\r\n+OK marked as deleted\r\n+OK 2 42\r\n");
}

#[test]
fn the_reply_to_quit_leaves_before_the_socket_closes() {
    let mut world = world();
    let client = world.admit(20);
    assert!(world.talk(&client, LOGIN).ends_with("+OK 3 messages\r\n"));
    // The pipe is full when QUIT comes.
    client.say(b"NOOP\r\nDELE 1\r\nQUIT\r\n");
    world.wait(SECOND);
    assert!(client.closed().is_none());
    let mut heard = vec![];
    while heard.len() < "+OK still here\r\n+OK marked as deleted\r\n+OK bye\r\n".len() {
        assert!(client.closed().is_none() || client.has_octets());
        heard.extend(client.take(1));
        world.settle();
    }
    assert!(heard.ends_with(b"+OK bye\r\n") && client.closed().is_some() && world.mail(0).len() == 2);
}

#[test]
fn a_panic_in_one_turn_closes_that_connection_alone() {
    let mut world = world();
    let (bad, good) = (log_in(&mut world), world.admit(1 << 20));
    bad.say(b"NOOP\r\n");
    bad.panic();
    let said = world.talk(&good, "STAT\r\n");
    assert!(said.ends_with("-ERR log in first\r\n"), "{said}");
    assert!(bad.closed().is_some() && good.closed().is_none() && is_free(&world));
}

#[test]
fn a_connection_that_goes_gives_its_maildrop_back_and_removes_nothing() {
    for how in [Pipe::end, Pipe::reset] {
        let mut world = world();
        let client = log_in(&mut world);
        assert!(world.talk(&client, "DELE 1\r\n").starts_with("+OK"));
        how(&client);
        world.settle();
        assert!(client.closed().is_some() && is_free(&world) && world.mail(0).len() == 3);
        log_in(&mut world);
    }
}

#[test]
fn who_does_not_log_in_is_closed_after_a_minute_whatever_it_says() {
    for line in ["", "CAPA\r\n"] {
        let mut world = world();
        let (client, began) = (world.admit(1 << 20), world.now());
        for _ in 0..7 {
            world.wait(9 * SECOND);
            if client.closed().is_none() {
                world.talk(&client, line);
            }
        }
        assert_eq!(client.closed().unwrap() - began, 60 * SECOND);
    }
}

#[test]
fn who_says_nothing_after_login_is_closed_after_ten_minutes_and_not_before() {
    let mut world = world();
    let client = log_in(&mut world);
    world.wait(599 * SECOND);
    assert!(world.talk(&client, "NOOP\r\n").starts_with("+OK"));
    let heard = world.now();
    world.talk(&client, "DELE 1\r\n");
    world.wait(700 * SECOND);
    assert_eq!(client.closed().unwrap() - heard, 600 * SECOND);
    assert!(world.mail(0).len() == 3 && is_free(&world));
}

#[test]
fn a_reader_that_takes_nothing_is_closed_after_ten_minutes_and_a_slow_one_is_not() {
    for slow in [false, true] {
        let mut world = world();
        world.deliver(0, 9, &"x".repeat(300_000));
        let client = world.admit(1000);
        world.talk(&client, LOGIN);
        client.say(b"RETR 4\r\n");
        let began = world.now();
        for _ in 0..20 {
            world.wait(100 * SECOND);
            client.take(if slow { 500 } else { 0 });
        }
        assert_eq!(client.closed().map(|at| at - began), (!slow).then_some(600 * SECOND));
    }
}

#[test]
fn a_job_takes_as_long_as_it_takes() {
    let mut world = world();
    world.bench.borrow_mut().delay = Box::new(|| Duration::from_millis(2_000_300));
    let client = world.admit(1 << 20);
    client.say(LOGIN.as_bytes());
    world.wait(4_002 * SECOND);
    assert!(client.take(usize::MAX).ends_with(b"+OK 3 messages\r\n"));
    client.say(b"DELE 1\r\nQUIT\r\n");
    world.wait(2_001 * SECOND);
    assert!(client.take(usize::MAX).ends_with(b"+OK bye\r\n"));
}

#[test]
fn a_session_yields_after_thirty_seconds_of_silence_and_not_before() {
    let mut world = world();
    let (first, second) = (log_in(&mut world), world.admit(1 << 20));
    world.talk(&first, "DELE 1\r\n");
    world.wait(30 * SECOND - MILLISECOND);
    assert!(world.talk(&second, LOGIN).contains("-ERR [IN-USE]"));
    assert!(first.closed().is_none());
    world.wait(MILLISECOND);
    assert!(world.talk(&second, LOGIN).ends_with("+OK 3 messages\r\n"), "nothing was removed");
    assert!(first.closed().is_some());
}

#[test]
fn a_session_that_is_being_sent_something_yields_later() {
    let mut world = world();
    world.deliver(0, 9, &"x".repeat(300_000));
    let first = world.admit(1000);
    world.talk(&first, LOGIN);
    first.say(b"RETR 4\r\n");
    world.settle();
    let second = world.admit(1 << 20);
    for (seconds, yields) in [(31, false), (88, false), (1, true)] {
        world.wait(seconds * SECOND);
        let second = if second.closed().is_none() { second.clone() } else { world.admit(1 << 20) };
        let said = world.talk(&second, LOGIN);
        assert_eq!(said.contains("-ERR [IN-USE]"), !yields, "{said}");
        assert_eq!(first.closed().is_some(), yields);
    }
}

#[test]
fn a_stop_lets_update_finish_and_removes_nothing_for_others() {
    let mut world = World::new(2);
    for user in [0, 1] {
        world.deliver(user, 1, "x\n");
    }
    let (first, second, third) = (log_in(&mut world), world.admit(1 << 20), world.admit(1 << 20));
    world.talk(&second, "USER u1\r\nPASS secret\r\nDELE 1\r\n");
    world.bench.borrow_mut().delay = Box::new(|| SECOND);
    first.say(b"DELE 1\r\nQUIT\r\n");
    world.settle();
    world.house.stop(world.now());
    assert!(first.closed().is_none() && second.closed().is_some() && third.closed().is_some());
    world.wait(SECOND);
    assert!(first.take(usize::MAX).ends_with(b"+OK bye\r\n"));
    assert!(world.house.is_empty() && world.mail(0).is_empty() && world.mail(1).len() == 1);
}
