//! Wrong passwords, and the house when it is full.

use super::*;
use crate::server::worker::Job;

const WRONG: &str = "USER u0\r\nPASS wrong\r\n";

/// Says `lines` to which one reply is due, and the time that this took, in tenths of a second.
fn reply(world: &mut World, client: &Pipe, lines: &str) -> (String, u128) {
    world.settle();
    client.take(usize::MAX);
    let began = world.now();
    client.say(lines.as_bytes());
    world.settle();
    let mut heard = client.take(usize::MAX);
    for _ in 0..600 {
        if client.closed().is_some() || heard.iter().filter(|&&octet| octet == b'\n').count() >= 2 {
            break;
        }
        world.wait(100 * MILLISECOND);
        heard.extend(client.take(usize::MAX));
    }
    let heard = String::from_utf8(heard).unwrap();
    (heard.lines().last().unwrap_or_default().to_owned(), (world.now() - began).as_millis() / 100)
}

/// Its household has failed so often that each further time costs as much as it can.
fn notorious(world: &mut World, address: &str) {
    for _ in 0..2 {
        let client = world.admit_from(address);
        for _ in 0..3 {
            assert!(reply(world, &client, WRONG).0.starts_with("-ERR [AUTH]"));
        }
    }
}

#[test]
fn each_wrong_password_is_answered_later_whoever_it_is_for_and_over_which_connection() {
    let mut world = world();
    let mut times = vec![];
    for names in [["u0", "u0", "nobody"], ["nobody", "u0", "u0"]] {
        let client = world.admit_from("192.0.2.9");
        for name in names {
            let (said, time) = reply(&mut world, &client, &format!("USER {name}\r\nPASS wrong\r\n"));
            assert_eq!(said, "-ERR [AUTH] user name or password is wrong");
            times.push(time);
        }
        assert!(client.closed().is_some(), "the third one closes");
    }
    assert_eq!(times, [10, 20, 40, 80, 100, 100]);
    let other = world.admit_from("192.0.2.10");
    assert_eq!(reply(&mut world, &other, LOGIN), ("+OK 3 messages".to_owned(), 0), "another address knows nothing");
}

#[test]
fn a_64_of_ipv6_shares_its_pauses() {
    let mut world = world();
    let clients = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"].map(|address| world.admit_from(address));
    let times = clients.map(|client| reply(&mut world, &client, WRONG).1);
    assert_eq!(times, [10, 20, 10]);
}

#[test]
fn fifty_guesses_at_once_are_checked_one_after_the_other() {
    let mut world = world();
    let clients: Vec<Pipe> = (0..50).map(|_| world.admit_from("192.0.2.9")).collect();
    for client in &clients {
        client.say(WRONG.as_bytes());
    }
    world.settle();
    world.wait(20 * SECOND);
    let heard: String = clients.iter().map(|client| String::from_utf8(client.take(usize::MAX)).unwrap()).collect();
    // At 0, 1, 3, 7 seconds and, as the first in line is served before anybody is given up, at 15.
    let checked = heard.matches("-ERR [AUTH]").count();
    assert_eq!((checked, heard.matches("-ERR [SYS/TEMP] too many wrong passwords").count()), (4, 45), "{heard}");
    assert!(clients.iter().all(|client| client.closed().is_none()));
}

#[test]
fn fifty_right_passwords_at_once_do_not_pause() {
    let mut world = World::new(50);
    world.bench.borrow_mut().delay = Box::new(|| 10 * MILLISECOND);
    let clients: Vec<Pipe> = (0..50).map(|_| world.admit_from("192.0.2.9")).collect();
    for (user, client) in clients.iter().enumerate() {
        client.say(format!("USER u{user}\r\nPASS secret\r\n").as_bytes());
    }
    world.wait(SECOND);
    for client in clients {
        assert!(client.take(usize::MAX).ends_with(b"+OK 0 messages\r\n"));
    }
}

#[test]
fn a_right_password_from_a_notorious_address_is_checked_within_ten_seconds() {
    let mut world = world();
    notorious(&mut world, "192.0.2.9");
    let guesser = world.admit_from("192.0.2.9");
    guesser.say(WRONG.as_bytes());
    world.settle();
    let client = world.admit_from("192.0.2.9");
    assert_eq!(reply(&mut world, &client, LOGIN), ("+OK 3 messages".to_owned(), 100));
}

#[test]
fn a_success_does_not_set_the_pauses_back() {
    let mut world = world();
    notorious(&mut world, "192.0.2.9");
    let client = world.admit_from("192.0.2.9");
    assert!(reply(&mut world, &client, LOGIN).0.starts_with("+OK"));
    assert!(world.talk(&client, "QUIT\r\n").starts_with("+OK"));
    let client = world.admit_from("192.0.2.9");
    assert_eq!(reply(&mut world, &client, WRONG).1, 100);
}

#[test]
fn what_is_sent_during_a_pause_is_answered_after_it() {
    let mut world = world();
    let client = world.admit_from("192.0.2.9");
    client.say(format!("{WRONG}{}QUIT\r\n", "CAPA\r\n".repeat(3_000)).as_bytes());
    world.settle();
    world.wait(900 * MILLISECOND);
    assert_eq!(client.take(usize::MAX), b"+OK poppet ready\r\n+OK and the password\r\n");
    world.wait(100 * MILLISECOND);
    let heard = String::from_utf8(client.take(usize::MAX)).unwrap();
    assert!(heard.starts_with("-ERR [AUTH]") && heard.ends_with("+OK bye\r\n"));
    assert_eq!(heard.matches("+OK capabilities").count(), 3_000);
}

#[test]
fn a_client_that_hangs_up_during_a_pause_is_gone_at_once_and_its_guess_counts() {
    for (how, is_checked) in [(Pipe::end as fn(&Pipe), true), (Pipe::reset, true), (Pipe::end, false)] {
        let mut world = world();
        let (client, rival) = (world.admit_from("192.0.2.9"), world.admit_from("192.0.2.9"));
        let (gone, stays) = if is_checked { (&client, &rival) } else { (&rival, &client) };
        client.say(WRONG.as_bytes());
        world.settle();
        rival.say(WRONG.as_bytes());
        world.settle();
        how(gone);
        world.settle();
        if gone.closed().is_none() {
            let place = world.pipes.iter().find(|(_, pipe)| std::ptr::eq(pipe, gone)).map(|(place, _)| *place);
            world.house.hung_up(place.unwrap_or(0), world.now());
        }
        assert!(gone.closed().is_some() && stays.closed().is_none());
        world.wait(if is_checked { 3 * SECOND } else { SECOND });
        assert!(String::from_utf8(stays.take(usize::MAX)).unwrap().ends_with("is wrong\r\n"));
    }
}

#[test]
fn who_sends_all_at_once_and_ends_hears_its_replies() {
    let mut world = world();
    let client = world.admit_from("192.0.2.9");
    client.say(format!("{WRONG}QUIT\r\n").as_bytes());
    client.end();
    world.settle();
    // Each later event says again that the FIN is there.
    world.house.ready(0, false, true, true, world.now());
    world.wait(SECOND);
    assert!(client.take(usize::MAX).ends_with(b"-ERR [AUTH] user name or password is wrong\r\n+OK bye\r\n"));
}

#[test]
fn the_time_to_log_in_ends_during_a_pause_too() {
    let mut world = world();
    notorious(&mut world, "192.0.2.9");
    let (client, began) = (world.admit_from("192.0.2.9"), world.now());
    world.wait(55 * SECOND);
    client.say(WRONG.as_bytes());
    world.wait(20 * SECOND);
    assert_eq!(client.closed().map(|at| at - began), Some(60 * SECOND));
    assert!(client.take(usize::MAX).ends_with(b"+OK and the password\r\n"), "closed without a word");
}

#[test]
fn a_check_that_was_called_off_by_hanging_up_has_its_pause() {
    let mut world = world();
    world.bench.borrow_mut().delay = Box::new(|| SECOND / 2);
    let (gone, next) = (world.admit_from("192.0.2.9"), world.admit_from("192.0.2.9"));
    gone.say(WRONG.as_bytes());
    world.settle();
    next.say(LOGIN.as_bytes());
    world.settle();
    world.house.hung_up(0, world.now());
    assert!(gone.closed().is_some());
    world.wait(SECOND);
    let jobs = |world: &World| world.bench.borrow().jobs.iter().filter(|(.., job)| is_check(job)).count();
    assert_eq!(jobs(&world), 1, "the check begins after the pause");
    world.wait(SECOND);
    assert!(next.take(usize::MAX).ends_with(b"+OK 3 messages\r\n"));
}

fn is_check(job: &Job) -> bool {
    matches!(job, Job::Authenticate { .. })
}

#[test]
fn a_full_queue_of_hashes_holds_nobody_up() {
    let mut world = world();
    world.bench.borrow_mut().full = Box::new(is_check);
    let client = world.admit_from("192.0.2.9");
    assert!(reply(&mut world, &client, WRONG).0.starts_with("-ERR [SYS/TEMP]"));
    world.bench.borrow_mut().full = Box::new(|_| false);
    assert_eq!(reply(&mut world, &client, LOGIN), ("+OK 3 messages".to_owned(), 0));
}

#[test]
fn a_network_without_penalty_is_slowed_by_nothing_and_others_are() {
    let mut world = world();
    world.house.penalty_free = ["192.0.2.0/24"].into_iter().map(|text| text.parse().unwrap()).collect();
    for (address, times) in [("::ffff:192.0.2.9", [0, 0]), ("203.0.113.1", [10, 20])] {
        let client = world.admit_from(address);
        assert_eq!(times.map(|_| reply(&mut world, &client, WRONG).1), times);
    }
}

/// Whether a client from 192.0.2.2 is let in, and if so its end.
fn knocks(world: &mut World) -> Option<Pipe> {
    let (pipe, stream) = pipe::pipe(1 << 20, &world.clock);
    let terms = Terms { tls_offered: false, tls_active: false, plaintext_login: true };
    let peer = "192.0.2.2:1".parse().unwrap();
    match world.house.admit(stream, peer, Transport::Plain, terms, world.now()) {
        Ok(place) => world.pipes.push((place, pipe.clone())),
        Err((full, _)) => {
            assert_eq!(full, Full::House);
            return None;
        }
    }
    Some(pipe)
}

#[test]
fn in_a_full_house_the_oldest_stranger_goes_for_the_newcomer_and_nobody_who_has_logged_in() {
    let mut world = World::new(3);
    world.house.admission = Admission::new(3, 3);
    let resident = log_in_as(&mut world, 0);
    let (older, younger) = (world.admit(99), world.admit(99));
    world.settle();
    older.take(99);
    let newcomer = knocks(&mut world).unwrap();
    assert!(older.closed().is_some() && !older.has_octets(), "closed without a word");
    assert!(younger.closed().is_none() && resident.closed().is_none());
    for (user, client) in [(1, &younger), (2, &newcomer)] {
        assert!(world.talk(client, &format!("USER u{user}\r\nPASS secret\r\n")).ends_with(" messages\r\n"));
    }
    assert!(knocks(&mut world).is_none(), "all have logged in");
    assert!(world.talk(&resident, "NOOP\r\n").starts_with("+OK"));
    resident.reset();
    world.settle();
    assert!(knocks(&mut world).is_some());
}

#[test]
fn who_has_all_connections_of_its_address_makes_nobody_go() {
    let mut world = World::new(1);
    world.house.admission = Admission::new(3, 1);
    let (first, _) = (world.admit_from("192.0.2.9"), world.admit_from("192.0.2.10"));
    world.admit_from("192.0.2.2");
    let (_, stream) = pipe::pipe(99, &world.clock);
    let terms = Terms { tls_offered: false, tls_active: false, plaintext_login: true };
    let full = world.house.admit(stream, "192.0.2.2:1".parse().unwrap(), Transport::Plain, terms, world.now());
    assert!(matches!(full, Err((Full::Address, _))) && first.closed().is_none());
}

#[test]
fn a_login_whose_connection_made_room_is_called_off() {
    let mut world = world();
    world.house.admission = Admission::new(1, 1);
    world.bench.borrow_mut().delay = Box::new(|| SECOND);
    let client = world.admit(1 << 20);
    client.say(LOGIN.as_bytes());
    world.settle();
    let newcomer = knocks(&mut world).unwrap();
    world.wait(3 * SECOND);
    assert!(client.closed().is_some() && is_free(&world));
    assert_eq!(world.talk(&newcomer, "STAT\r\n"), "+OK poppet ready\r\n-ERR log in first\r\n");
}

fn log_in_as(world: &mut World, user: usize) -> Pipe {
    let client = world.admit(1 << 20);
    assert!(world.talk(&client, &format!("USER u{user}\r\nPASS secret\r\n")).ends_with(" messages\r\n"));
    client
}

#[test]
fn behind_a_proxy_the_client_whom_it_names_pays_and_nobody_else_there() {
    let mut world = world();
    let terms = Terms { tls_offered: false, tls_active: false, plaintext_login: true };
    let mut guess = |client: &str| {
        let pipe = world.enter("198.51.100.1", 1 << 20, Transport::Plain, terms);
        pipe.say(format!("PROXY TCP4 {client} 203.0.113.1 1100 110\r\n").as_bytes());
        reply(&mut world, &pipe, WRONG).1
    };
    assert_eq!([guess("192.0.2.9"), guess("192.0.2.9"), guess("192.0.2.10")], [10, 20, 10]);
}
