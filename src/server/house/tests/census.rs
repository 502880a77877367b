//! What is counted, while it happens and when it is over.

use super::*;

#[test]
fn what_a_session_does_is_counted_at_once_and_once() {
    let mut world = world();
    let stranger = world.admit(1 << 20);
    let client = log_in(&mut world);
    world.talk(&client, "RETR 1\r\nTOP 2 0\r\nDELE 1\r\n");
    let census = world.house.census(world.now() + SECOND);
    assert_eq!((census.connections, census.sessions.len(), census.totals.connections), (2, 1, 2));
    let row = &census.sessions[0];
    assert_eq!((row.user.as_str(), row.ip.to_string().as_str(), row.tls), ("u0", "192.0.2.1", "no"));
    assert_eq!((row.messages, row.marked, row.retr.messages, row.top.messages), (3, 1, 1, 1));
    assert!(row.retr.octets > row.top.octets && row.top.octets > 0);
    let before = census.totals;
    assert_eq!((before.logins, before.recalls, before.retr, before.top), (1, [0, 0, 1], row.retr, row.top));
    assert_eq!((before.removed, before.left), (0, 0));

    world.talk(&client, "QUIT\r\n");
    stranger.end();
    world.settle();
    let census = world.house.census(world.now());
    assert_eq!((census.connections, census.sessions.len()), (0, 0));
    let after = census.totals;
    assert_eq!((after.connections, after.retr, after.top), (before.connections, before.retr, before.top));
    assert_eq!((after.removed, after.left), (1, 2));
    assert_eq!((after.closed[0], after.closed[1], after.closed.iter().sum()), (1, 1, 2));
}

#[test]
fn wrong_passwords_and_refusals_are_counted_apart_and_forgiven_in_time() {
    let mut world = world();
    let holder = log_in(&mut world);
    let second = world.admit(1 << 20);
    assert!(world.talk(&second, LOGIN).contains("[IN-USE]"));
    let guesser = world.admit_from("192.0.2.9");
    world.talk(&guesser, "USER u0\r\nPASS wrong\r\n");
    let census = world.house.census(world.now());
    let totals = &census.totals;
    assert_eq!((totals.logins, totals.denied, totals.turned_down, census.slowed), (1, 1, 1, 1));
    world.wait(301 * SECOND);
    assert_eq!(world.house.census(world.now()).slowed, 0);
    drop(holder);
}

#[test]
fn whoever_is_turned_away_and_whoever_is_taken_over_is_counted_as_such() {
    let mut world = world();
    world.house.admission = crate::server::admission::Admission::new(1000, 2);
    let first = log_in(&mut world);
    world.wait(31 * SECOND);
    let second = log_in(&mut world);
    let third = world.admit(1 << 20);
    let terms = Terms { tls_offered: false, tls_active: false, plaintext_login: true };
    let (_, stream) = pipe::pipe(1, &world.clock);
    let peer = "192.0.2.1:1".parse().unwrap();
    assert!(world.house.admit(stream, peer, Transport::Plain, terms, world.now()).is_err());
    let totals = world.house.census(world.now()).totals;
    assert_eq!((totals.closed[5], totals.closed[9], totals.logins, totals.connections), (1, 1, 2, 4));
    drop((first, second, third));
}
