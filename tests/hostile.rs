//! Strangers that flood, stall and starve, and files that change while they are sent.

mod common;

use std::fs;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::client::{Channel, Client};
use common::process::{busy, memory, open_files};
use common::{Maildir, PASSWORD, Server, USER, can_trace, eventually, needs, ours};

const MIB: usize = 1 << 20;
/// What a session may cost beyond an idle one, in octets.
const SESSION_MEMORY: u64 = 256 * 1024;

/// A client with a small window, logged in, behind its first RETR: what comes now is no first time for the server.
fn warm_client(server: &Server, channel: Channel) -> Client {
    let mut client = server.connect_over(channel);
    rustix::net::sockopt::set_socket_recv_buffer_size(client.socket(), 16 * 1024).expect("SO_RCVBUF");
    client.log_in(server.name_of(USER), PASSWORD);
    client.body("RETR 1");
    client.list("LIST");
    client
}

/// A message and a large one: `octets` of NUL whose name says what RETR makes of them.
fn deliver_large(maildir: &Maildir, octets: usize) {
    maildir.deliver(&b"Subject: small\n\n".repeat(4));
    let file = maildir.deliver_named("new", format!("1800000000.M1.example,W={}", octets + 2), b"");
    fs::File::options().write(true).open(file).and_then(|file| file.set_len(octets as u64)).expect("stretch the file");
}

/// Waits until the server has stopped working, then sees that it goes on doing nothing.
fn assert_at_rest(pid: u32) {
    eventually("the server rests", || {
        let before = busy(pid);
        thread::sleep(Duration::from_millis(300));
        busy(pid) - before <= Duration::from_millis(10)
    });
    let before = busy(pid);
    thread::sleep(Duration::from_secs(1));
    let spent = busy(pid) - before;
    assert!(spent <= Duration::from_millis(200), "{spent:?} on the processor in a second of nothing to do");
}

#[test]
fn flood_without_a_line_end_gets_one_err_and_is_closed() {
    let server = Server::start();
    server.maildir(USER).deliver(b"Subject: x\n\n");
    let name = server.name_of(USER).to_owned();
    let states: [(&str, Vec<String>); 4] = [
        ("AUTHORIZATION", vec![]),
        ("behind USER", vec![format!("USER {name}")]),
        ("in a SASL exchange", vec!["AUTH PLAIN".into()]),
        ("TRANSACTION", vec![format!("USER {name}"), format!("PASS {PASSWORD}")]),
    ];
    for &channel in server.channels() {
        for (state, commands) in &states {
            let mut client = server.connect_over(channel);
            commands.iter().for_each(|command| drop(client.cmd(command)));
            let before = ours().then(|| memory(server.pid()));
            let chunk = vec![b'x'; MIB];
            for _ in 0..64 {
                if client.try_send(&chunk).is_err() {
                    break;
                }
            }
            let heard = client.rest();
            let lines: Vec<&[u8]> = heard.split_inclusive(|&octet| octet == b'\n').collect();
            let what = format!("{channel:?}, {state}: {}", heard.escape_ascii());
            assert_eq!(lines.len(), 1, "{what}");
            assert!(lines[0].starts_with(b"-ERR") && lines[0].ends_with(b"\r\n"), "{what}");
            if let Some(before) = before {
                let grown = memory(server.pid()).saturating_sub(before);
                assert!(grown <= MIB as u64, "{channel:?}, {state}: {grown} octets more");
            }
        }
    }
}

#[test]
fn reader_that_stops_in_the_middle_of_retr_costs_little() {
    if !ours() {
        return;
    }
    let server = Server::start();
    deliver_large(&server.maildir(USER), 200 * MIB);
    for channel in [Channel::Plain, Channel::Tls] {
        let mut client = warm_client(&server, channel);
        let before = memory(server.pid());
        client.ok("RETR 2");
        assert_at_rest(server.pid());
        let grown = memory(server.pid()).saturating_sub(before);
        assert!(grown <= SESSION_MEMORY, "{channel:?}: {grown} octets more");
        client.reset();
    }
}

#[test]
fn commands_whose_replies_nobody_reads_cost_little() {
    if !ours() {
        return;
    }
    let server = Server::start();
    deliver_large(&server.maildir(USER), MIB);
    let mut client = warm_client(&server, Channel::Plain);
    let before = memory(server.pid());
    let writer = client.socket().try_clone().expect("the socket again");
    // CAPA's reply is long enough to fill the kernel's buffers, NOOP's takes 200,000 of them and may not.
    let commands = [b"NOOP\r\n".repeat(200_000), b"CAPA\r\n".repeat(50_000)].concat();
    let sending = thread::spawn(move || (&writer).write_all(&commands));
    assert_at_rest(server.pid());
    let grown = memory(server.pid()).saturating_sub(before);
    assert!(grown <= SESSION_MEMORY, "{grown} octets more");
    for at in 0..200_000 {
        assert!(client.line().starts_with("+OK"), "NOOP {at}");
    }
    for _ in 0..50_000 {
        assert!(client.line().starts_with("+OK"), "CAPA");
        client.multiline();
    }
    sending.join().expect("the writer").expect("all commands sent");
    client.quit();
}

#[test]
fn listing_that_nobody_reads_costs_little() {
    if !ours() {
        return;
    }
    let server = Server::start();
    let maildir = server.maildir(USER);
    (0..3_000).for_each(|_| drop(maildir.deliver(b"Subject: x\n\n")));
    let mut client = warm_client(&server, Channel::Plain);
    let before = memory(server.pid());
    let writer = client.socket().try_clone().expect("the socket again");
    let sending = thread::spawn(move || (&writer).write_all(&b"UIDL\r\n".repeat(200)));
    assert_at_rest(server.pid());
    let grown = memory(server.pid()).saturating_sub(before);
    assert!(grown <= SESSION_MEMORY, "{grown} octets more");
    for _ in 0..200 {
        client.line();
        assert_eq!(client.multiline().iter().filter(|&&octet| octet == b'\n').count(), 3_000);
    }
    sending.join().expect("the writer").expect("all commands sent");
}

#[test]
fn memory_comes_back_after_many_connections() {
    if !ours() {
        return;
    }
    let server = Server::start();
    server.maildir(USER).deliver(b"Subject: x\n\n");
    let crowd = || {
        let clients: Vec<Client> =
            (0..200).map(|at| server.connect_over([Channel::Plain, Channel::Tls][at % 2])).collect();
        drop(clients);
        eventually("all are gone", || open_files(server.pid()) < 40);
    };
    crowd();
    let before = memory(server.pid());
    (0..5).for_each(|_| crowd());
    let grown = memory(server.pid()).saturating_sub(before);
    assert!(grown <= MIB as u64, "{grown} octets more behind 1,000 further connections");
}

/// Starts a RETR of a large message, lets `change` change its file in the middle, and gives the announced length and all
/// that came behind the status line.
fn retr_while(channel: Channel, server: &Server, change: impl FnOnce(&std::path::Path)) -> (usize, Vec<u8>) {
    let maildir = server.maildir(USER);
    for old in maildir.names() {
        fs::remove_file(maildir.path.join(old)).expect("remove");
    }
    maildir.deliver(b"Subject: small\n\n");
    let file = maildir.deliver_named("cur", "1800000000.M1.example:2,S", &b"0123456789\n".repeat(1_200_000));
    let mut client = warm_client(server, channel);
    let status = client.ok("RETR 2");
    let announced = status.split(' ').nth(1).and_then(|number| number.parse().ok()).expect("a number of octets");
    let mut heard = client.one_read();
    change(&file);
    // What is left need not come through the small window.
    rustix::net::sockopt::set_socket_recv_buffer_size(client.socket(), 4 * MIB).expect("SO_RCVBUF");
    client.try_send(b"NOOP\r\nQUIT\r\n").ok();
    heard.extend(client.rest());
    (announced, heard)
}

/// Where the final dot begins, if there is one.
fn final_dot(heard: &[u8]) -> Option<usize> {
    memchr::memmem::rfind(heard, b"\r\n.\r\n").map(|at| at + 2)
}

#[test]
fn message_that_shrinks_while_it_is_sent_gets_no_final_dot() {
    let server = Server::start();
    for &channel in server.channels() {
        let (announced, heard) = retr_while(channel, &server, |file| {
            fs::File::options().write(true).open(file).and_then(|file| file.set_len(1_000)).expect("cut the file");
        });
        assert!(heard.len() < announced, "nothing was cut");
        assert_eq!(final_dot(&heard), None, "{channel:?}: a dot behind {} of {announced} octets", heard.len());
        assert!(!heard.ends_with(b"+OK\r\n"), "{channel:?}: the session went on");
    }
}

#[test]
fn message_that_grows_while_it_is_sent_is_sent_as_announced_or_gets_no_final_dot() {
    let server = Server::start();
    for &channel in server.channels() {
        let (announced, heard) = retr_while(channel, &server, |file| {
            let grown = fs::File::options().append(true).open(file);
            grown.and_then(|mut file| file.write_all(&b"more\n".repeat(200_000))).expect("write behind the end");
        });
        if let Some(at) = final_dot(&heard) {
            assert_eq!(at, announced, "{channel:?}");
        }
    }
}

#[test]
fn message_that_is_overwritten_while_it_is_sent_is_as_long_as_announced_or_gets_no_final_dot() {
    let server = Server::start();
    for &channel in server.channels() {
        let (announced, heard) = retr_while(channel, &server, |file| {
            // As long as it was in the file, twice as long on the wire.
            let octets = fs::metadata(file).expect("its size").len();
            let opened = fs::File::options().write(true).open(file);
            opened.and_then(|mut file| file.write_all(&vec![b'\n'; octets as usize])).expect("write over it");
        });
        if let Some(at) = final_dot(&heard) {
            assert_eq!(at, announced, "{channel:?}");
        }
    }
}

#[test]
fn message_that_is_replaced_while_it_is_sent_is_the_old_one_to_its_end() {
    let server = Server::start();
    for &channel in server.channels() {
        let (announced, heard) = retr_while(channel, &server, |file| {
            let other = file.with_file_name(".other");
            fs::write(&other, b"other\n".repeat(3_000_000)).expect("write another");
            fs::rename(&other, file).expect("put it in its place");
        });
        if let Some(at) = final_dot(&heard) {
            assert_eq!(at, announced, "{channel:?}");
            assert!(heard[..at].chunks(12).all(|line| line == b"0123456789\r\n"), "{channel:?}: of two files");
        }
    }
}

#[test]
fn message_that_is_removed_while_it_is_sent_arrives_whole() {
    let server = Server::start();
    let (announced, heard) = retr_while(Channel::Plain, &server, |file| fs::remove_file(file).expect("remove"));
    assert_eq!(final_dot(&heard), Some(announced));
}

#[test]
fn crowd_beyond_the_descriptors_throws_itself_out_and_harms_nobody() {
    if !ours() || !needs("prlimit") {
        return;
    }
    let server = Server::builder().open_files(64).start();
    server.maildir(USER).deliver(b"Subject: x\n\n");
    let mut running = server.log_in(USER);
    let mut crowd: Vec<_> = (0..60).map(|_| Client::over(server.socket())).collect();
    assert!(crowd.last_mut().expect("a crowd").line().starts_with("+OK"));
    // The first ones, which may not have been greeted yet.
    for client in &mut crowd[..30] {
        let heard = client.rest();
        assert!(heard.is_empty() || heard.starts_with(b"+OK"), "{}", heard.escape_ascii());
    }
    assert_at_rest(server.pid());
    assert!(open_files(server.pid()) < 60);
    running.body("RETR 1");
    drop(crowd);
    eventually("there is room again", || Client::over(server.socket()).line().starts_with("+OK"));
    running.quit();
    assert_eq!(server.log().matches("64 file descriptors are allowed").count(), 1);
    assert!(!server.log().contains("cannot accept"), "{}", server.log());
}

#[test]
fn server_without_a_free_descriptor_serves_again_when_one_comes_back() {
    if !ours() || !can_trace() {
        return;
    }
    // The first two find nobody, one at each port. Then the machine has none left, five times.
    let fail = "inject=accept4:error=EMFILE:when=3..7";
    let server = Server::builder().strace(&["-e", "trace=accept4", "-e", fail]).start();
    let mut client = server.log_in(USER);
    assert_eq!(server.log().matches("cannot accept connections for now").count(), 1, "{}", server.log());
    assert_at_rest(server.pid());
    client.ok("NOOP");
    client.quit();
    server.log_in(USER).quit();
}

#[test]
fn client_that_is_gone_before_it_is_accepted_ends_nothing() {
    if !ours() || !can_trace() {
        return;
    }
    // The first two find nobody, one at each port.
    let fail = "inject=accept4:error=ECONNABORTED:when=3..5";
    let server = Server::builder().strace(&["-e", "trace=accept4", "-e", fail]).start();
    let mut client = server.log_in(USER);
    client.quit();
    eventually("strace has written three failures", || server.trace().matches("(INJECTED)").count() == 3);
    server.log_in(USER).quit();
}

#[test]
fn bystander_is_answered_while_others_flood() {
    let mut builder = Server::builder().user(USER, PASSWORD);
    let flooders = ["noop", "retr", "capa", "bad", "half"];
    for name in flooders {
        builder = builder.user(name, PASSWORD);
    }
    let server = &builder.start();
    let over = &AtomicBool::new(false);
    let turns = &[const { AtomicU32::new(0) }; 5];
    server.maildir("retr").deliver(&b"0123456789\n".repeat(200_000));
    thread::scope(|scope| {
        for (at, name) in flooders.into_iter().enumerate() {
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) && turns[at].load(Ordering::Relaxed) < 100_000 {
                    flood(server, name, over, &turns[at]);
                }
            });
        }
        eventually("all flood", || turns.iter().all(|count| count.load(Ordering::Relaxed) > 0));
        let stop = StopAtEnd(over);
        let mut bystander = server.log_in(USER);
        let began = Instant::now();
        for _ in 0..200 {
            bystander.ok("NOOP");
        }
        let spent = began.elapsed();
        assert!(spent <= Duration::from_secs(10), "200 NOOPs took {spent:?}");
        bystander.quit();
        drop(stop);
    });
}

/// One connection's worth of flood, counted in `turns`.
fn flood(server: &Server, name: &str, over: &AtomicBool, turns: &AtomicU32) {
    let mut client = server.connect();
    let (command, replies) = match name {
        "noop" => ("NOOP\r\n", 500),
        "capa" => ("CAPA\r\n", 500),
        "retr" => ("RETR 1\r\n", 4),
        "bad" => {
            client.try_send(&b"HELO\r\n".repeat(100)).ok();
            client.rest();
            turns.fetch_add(1, Ordering::Relaxed);
            return;
        }
        _ => {
            client.try_send(&vec![b'x'; 200_000]).ok();
            client.rest();
            turns.fetch_add(1, Ordering::Relaxed);
            return;
        }
    };
    if name != "capa" {
        client.log_in(server.name_of(name), PASSWORD);
    }
    while !over.load(Ordering::Relaxed) && turns.load(Ordering::Relaxed) < 100_000 {
        client.send(command.repeat(replies).as_bytes());
        for _ in 0..replies {
            assert!(client.line().starts_with("+OK"), "{name}");
            if name != "noop" {
                client.multiline();
            }
        }
        turns.fetch_add(1, Ordering::Relaxed);
    }
}

/// Ends the flood also where the bystander fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
