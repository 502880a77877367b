//! Clients that come through a proxy, at 198.51.100.1 in these tests.

use super::*;
use crate::net::proxy::tests::{HEADERS_OF_SOMEBODY, LOCAL};

const PROXY: &str = "198.51.100.1";
const TERMS: Terms = Terms { tls_offered: false, tls_active: false, plaintext_login: false };
const GREETING: &str = "+OK poppet ready\r\n";

fn line(address: &str) -> String {
    format!("PROXY TCP4 {address} 203.0.113.1 1100 110\r\n")
}

fn proxied(world: &mut World) -> Pipe {
    world.enter(PROXY, 1 << 20, Transport::Plain, TERMS)
}

fn heard(pipe: &Pipe) -> String {
    String::from_utf8(pipe.take(usize::MAX)).unwrap()
}

#[test]
fn nothing_is_said_before_the_header_and_nothing_behind_it_is_lost_wherever_it_is_cut() {
    let mut world = world();
    for header in HEADERS_OF_SOMEBODY {
        let all = [header, LOGIN.as_bytes(), b"NOOP\r\nQUIT\r\n"].concat();
        for cut in 0..all.len() {
            let client = proxied(&mut world);
            client.say(&all[..cut]);
            world.settle();
            let mut said = heard(&client);
            assert_eq!(said.is_empty(), cut < header.len(), "cut at {cut}: {said}");
            client.say(&all[cut..]);
            world.settle();
            said += &heard(&client);
            assert_eq!(said.matches("+OK").count(), 5, "cut at {cut}: {said}");
            assert!(said.starts_with(GREETING) && said.ends_with("+OK still here\r\n+OK bye\r\n"), "{said}");
            assert!(client.closed().is_some());
        }
    }
}

#[test]
fn tls_begins_right_behind_the_header_wherever_it_is_cut() {
    let mut world = world();
    for header in HEADERS_OF_SOMEBODY {
        for cut in 0..=header.len() + 1 {
            let (server, mut client) = tls();
            let terms = Terms { tls_offered: true, tls_active: true, ..TERMS };
            let pipe = world.enter(PROXY, 1 << 20, Transport::tls(server).unwrap(), terms);
            let mut octets = header.to_vec();
            client.write_tls(&mut octets).unwrap();
            pipe.say(&octets[..cut]);
            world.settle();
            assert!(!pipe.has_octets(), "cut at {cut}");
            pipe.say(&octets[cut..]);
            let mut said = vec![];
            for _ in 0..4 {
                world.settle();
                let mut octets = &pipe.take(usize::MAX)[..];
                while !octets.is_empty() {
                    client.read_tls(&mut octets).unwrap();
                    client.process_new_packets().unwrap();
                }
                let _ = client.reader().read_to_end(&mut said);
                let mut octets = vec![];
                while client.wants_write() {
                    client.write_tls(&mut octets).unwrap();
                }
                pipe.say(&octets);
            }
            assert_eq!(said, GREETING.as_bytes(), "cut at {cut}");
        }
    }
}

#[test]
fn no_header_or_a_bad_one_is_closed_without_a_word_at_both_ports() {
    let long = format!("PROXY UNKNOWN {}", "f".repeat(200));
    for said in [
        "CAPA\r\n",
        "\r\nCAPA\r\n",
        "PROXY TCP4 192.0.2.7\r\n",
        &long,
        "\x16\x03\x01\x02\x00\x01",
        "\r\n\r\n\0\r\nQUIT\nxxxx",
    ] {
        for at_tls in [false, true] {
            let mut world = world();
            let transport = if at_tls { Transport::tls(tls().0).unwrap() } else { Transport::Plain };
            let client = world.enter(PROXY, 1 << 20, transport, Terms { tls_active: at_tls, ..TERMS });
            client.say(said.as_bytes());
            world.settle();
            assert_eq!((heard(&client), client.closed().is_some()), (String::new(), true), "{said:?} {at_tls}");
        }
    }
}

#[test]
fn a_header_that_does_not_come_to_its_end_is_closed_without_a_word_after_a_minute() {
    for at_tls in [false, true] {
        let mut world = world();
        let transport = if at_tls { Transport::tls(tls().0).unwrap() } else { Transport::Plain };
        let client = world.enter(PROXY, 1 << 20, transport, Terms { tls_active: at_tls, ..TERMS });
        let began = world.now();
        for octet in line("192.0.2.7").as_bytes().chunks(1).take(7) {
            client.say(octet);
            world.wait(10 * SECOND);
        }
        assert_eq!(client.closed().map(|at| at - began), Some(60 * SECOND));
        assert!(!client.has_octets());
    }
}

#[test]
fn the_minute_before_login_begins_before_the_header() {
    let mut world = world();
    let (client, began) = (proxied(&mut world), world.now());
    world.wait(50 * SECOND);
    assert_eq!(world.talk(&client, &line("192.0.2.7")), GREETING);
    world.wait(50 * SECOND);
    assert_eq!(client.closed().map(|at| at - began), Some(60 * SECOND));
}

#[test]
fn a_proxy_that_leaves_in_the_middle_of_a_header_is_gone() {
    for how in [Pipe::end, Pipe::reset] {
        let mut world = world();
        let client = proxied(&mut world);
        client.say(b"PROXY TCP4");
        world.settle();
        how(&client);
        world.settle();
        assert!(client.closed().is_some() && world.house.is_empty() && !client.has_octets());
    }
}

#[test]
fn connections_are_counted_for_the_client_and_not_for_the_proxy() {
    let mut world = world();
    world.house.admission = Admission::new(9, 2);
    let clients = [(); 5].map(|()| proxied(&mut world));
    for client in &clients[..2] {
        assert_eq!(world.talk(client, &line("192.0.2.7")), GREETING);
    }
    assert_eq!(world.talk(&clients[2], &line("192.0.2.7")), "-ERR [SYS/TEMP] too many connections\r\n");
    assert!(clients[2].closed().is_some());
    assert_eq!(world.talk(&clients[3], &line("192.0.2.8")), GREETING);
    world.talk(&clients[0], "QUIT\r\n");
    assert_eq!(world.talk(&clients[4], &line("192.0.2.7")), GREETING, "there is room again");
    let (server, _) = tls();
    let at_tls = world.enter(PROXY, 1 << 20, Transport::tls(server).unwrap(), TERMS);
    assert_eq!(world.talk(&at_tls, &line("192.0.2.7")), "");
    assert!(at_tls.closed().is_some());
}

#[test]
fn a_proxy_that_speaks_for_itself_is_held_to_no_limit_of_an_address() {
    let mut world = world();
    world.house.admission = Admission::new(9, 1);
    for _ in 0..9 {
        let client = proxied(&mut world);
        client.say(LOCAL);
        world.settle();
        assert_eq!(heard(&client), GREETING);
    }
}

#[test]
fn the_address_in_the_header_decides_who_may_log_in_without_tls() {
    let mut world = world();
    for (header, may) in [(line("192.0.2.7"), true), (line("203.0.113.7"), false), ("PROXY UNKNOWN\r\n".into(), false)]
    {
        let client = proxied(&mut world);
        let said = world.talk(&client, &(header + "USER u0\r\n"));
        assert_eq!(said.contains("-ERR "), !may, "{said}");
    }
}

#[test]
fn a_header_from_elsewhere_is_not_believed_and_closes() {
    for header in HEADERS_OF_SOMEBODY {
        let mut world = world();
        let client = world.admit(1 << 20);
        client.say(&[header, LOGIN.as_bytes()].concat());
        world.settle();
        let said = heard(&client);
        assert!(client.closed().is_some() && !said[GREETING.len()..].contains("+OK"), "{said}");
    }
}
