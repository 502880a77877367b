//! Headers as proxies send them, at every split; and what is none.

use proptest::prelude::*;

use super::*;

/// One of each version and family.
pub(crate) const HEADERS_OF_SOMEBODY: [&[u8]; 3] = [
    b"PROXY TCP4 192.0.2.7 203.0.113.1 1100 110\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10\xc0\0\x02\x07\xcb\0\x71\x01\x04\x4c\0\x6e\x04\0\x01\0",
    b"PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 1100 110\r\n",
];

/// What a proxy says that looks whether somebody is there.
pub(crate) const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// Version 2 with this command, family and body.
fn binary_header(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [BINARY, &[command, family], &length, body].concat()
}

/// Source 192.0.2.7, destination 203.0.113.1, ports 1100 and 110, then `behind`.
fn over_ipv4(behind: &[u8]) -> Vec<u8> {
    binary_header(0x21, 0x11, &[&[192, 0, 2, 7, 203, 0, 113, 1, 4, 76, 0, 110], behind].concat())
}

fn over_ipv6(source: &str) -> Vec<u8> {
    let [source, destination] = [source, "2001:db8::1"].map(|text| text.parse::<Ipv6Addr>().unwrap().octets());
    binary_header(0x21, 0x21, &[&source[..], &destination, &[4, 76, 0, 110]].concat())
}

fn client(text: &str) -> Header {
    Header::Client(text.parse().unwrap())
}

/// Reads from `stream` what the parser asks for, at most `piece` octets at once. What it says, and what it left.
fn read(stream: &[u8], piece: usize) -> (Result<Header, NotAHeader>, &[u8]) {
    let mut seen = 0;
    loop {
        let rest = &stream[seen..];
        match parse(&stream[..seen]) {
            Ok(Header::More(count)) if !rest.is_empty() => {
                assert!(count > 0, "it asks for nothing after {seen} octets");
                seen += count.min(piece).min(rest.len());
            }
            done => return (done, rest),
        }
    }
}

fn headers() -> Vec<(Vec<u8>, Header)> {
    let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(107 - 16));
    assert_eq!(longest.len(), 107);
    vec![
        (b"PROXY TCP4 192.0.2.7 203.0.113.1 1100 110\r\n".to_vec(), client("192.0.2.7")),
        (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n".to_vec(), client("255.255.255.255")),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 0 0\r\n".to_vec(), client("1.2.3.4")),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 1100 110\r\n".to_vec(), client("2001:db8::7")),
        (b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:203.0.113.1 1100 110\r\n".to_vec(), client("192.0.2.7")),
        (b"PROXY UNKNOWN\r\n".to_vec(), Header::Nobody),
        (b"PROXY UNKNOWN 192.0.2.7 \xff\r \r\n".to_vec(), Header::Nobody),
        (longest.into_bytes(), Header::Nobody),
        (over_ipv4(b""), client("192.0.2.7")),
        (over_ipv4(b"\x04\0\x03\0\0\0"), client("192.0.2.7")),
        (over_ipv4(&vec![b'\n'; BINARY_LIMIT - BINARY_HEAD - 12]), client("192.0.2.7")),
        (over_ipv6("2001:db8::7"), client("2001:db8::7")),
        (over_ipv6("::ffff:192.0.2.7"), client("192.0.2.7")),
        (binary_header(0x20, 0x00, b""), Header::Nobody),
        (binary_header(0x20, 0x11, &[0; 12]), Header::Nobody),
        (binary_header(0x20, 0xff, b"x"), Header::Nobody),
        (binary_header(0x21, 0x00, b"whatever"), Header::Nobody),
        (binary_header(0x21, 0x31, &[0; 216]), Header::Nobody),
        (binary_header(0x21, 0x12, &[0; 12]), Header::Nobody),
    ]
}

#[test]
fn a_header_is_read_in_pieces_of_any_size_and_not_an_octet_behind_it() {
    for (header, says) in headers() {
        for rest in [&b""[..], b"\n", b"CAPA\r\n", b"\x16\x03\x01\x02\x00\r\n"] {
            let stream = [&header, rest].concat();
            for piece in 1..=header.len() {
                let read = read(&stream, piece);
                assert_eq!(read, (Ok(says), rest), "{} in pieces of {piece}", header.escape_ascii());
            }
        }
    }
}

#[test]
fn what_stops_in_the_middle_of_a_header_is_none_yet() {
    for (header, _) in headers() {
        for cut in 0..header.len() {
            let Ok(Header::More(count)) = parse(&header[..cut]) else {
                panic!("{} cut at {cut}", header.escape_ascii());
            };
            assert!((1..=header.len() - cut).contains(&count), "{} cut at {cut}: {count}", header.escape_ascii());
        }
    }
}

#[test]
fn what_is_no_header_is_known_by_its_first_wrong_octet() {
    for text in ["C", "p", "\n", "\x16", "PROXX", "PROXY\t", "\r\nC", "\r\n\r\n\0\r\nQUIT\r"] {
        assert_eq!(parse(text.as_bytes()), Err(NotAHeader::Missing), "{text:?}");
        assert_eq!(parse(format!("{text} and more\r\n").as_bytes()), Err(NotAHeader::Missing), "{text:?}");
        assert!(matches!(parse(&text.as_bytes()[..text.len() - 1]), Ok(Header::More(_))), "{text:?}");
    }
}

#[test]
fn a_malformed_line_is_refused() {
    for line in [
        "TCP4 192.0.2.7 203.0.113.1 1100",
        "TCP4 192.0.2.7 203.0.113.1 1100 110 ",
        "TCP4 192.0.2.7 203.0.113.1 1100 110 7",
        "TCP4  192.0.2.7 203.0.113.1 1100 110",
        "TCP4 192.0.2.07 203.0.113.1 1100 110",
        "TCP4 192.0.2.256 203.0.113.1 1100 110",
        "TCP4 192.0.2.7 203.0.113 1100 110",
        "TCP4 192.0.2.7 203.0.113.1 65536 110",
        "TCP4 192.0.2.7 203.0.113.1 1100 0110",
        "TCP4 192.0.2.7 203.0.113.1 +1100 110",
        "TCP4 192.0.2.7 203.0.113.1  110",
        "TCP4 2001:db8::7 2001:db8::1 1100 110",
        "TCP4 192.0.2.7 2001:db8::1 1100 110",
        "TCP6 192.0.2.7 203.0.113.1 1100 110",
        "TCP6 fe80::1%eth0 2001:db8::1 1100 110",
        "tcp4 192.0.2.7 203.0.113.1 1100 110",
        "UDP4 192.0.2.7 203.0.113.1 1100 110",
        "TCP4 192.0.2.7 203.0.113.1 1100 110\r",
        "UNKNOWNS",
        "unknown",
        "",
    ] {
        assert_eq!(parse(format!("PROXY {line}\r\n").as_bytes()), Err(NotAHeader::Malformed), "{line:?}");
    }
    assert_eq!(parse(b"PROXY TCP4 192.0.2.7 203.0.113.1 1100 110\n"), Err(NotAHeader::Malformed), "LF alone");
    assert_eq!(parse(b"PROXY \xff\r\n"), Err(NotAHeader::Malformed));
}

#[test]
fn malformed_binary_is_refused() {
    for (command, family, length) in [
        (0x22, 0x11, 12), // a command that there isn't
        (0x11, 0x11, 12), // version 1, which is a line
        (0x31, 0x11, 12), // version 3, which there isn't
        (0x21, 0x11, 11),
        (0x21, 0x21, 35),
        (0x21, 0x10, 12),
        (0x21, 0x13, 12),
        (0x21, 0x41, 36),
    ] {
        let header = binary_header(command, family, &vec![0; length]);
        assert_eq!(parse(&header), Err(NotAHeader::Malformed), "{command:#x} {family:#x} {length}");
    }
}

#[test]
fn a_header_is_refused_when_it_gets_too_long_and_not_read_to_its_end() {
    let line = format!("PROXY UNKNOWN {}\r\n", "f".repeat(107 - 15));
    assert_eq!(read(line.as_bytes(), 1), (Err(NotAHeader::TooLong), &line.as_bytes()[107..]));
    assert_eq!(read(line.as_bytes(), 99), (Err(NotAHeader::TooLong), &line.as_bytes()[107..]));
    let header = over_ipv4(&vec![0; BINARY_LIMIT - BINARY_HEAD - 11]);
    assert_eq!(read(&header, 99), (Err(NotAHeader::TooLong), &header[BINARY_HEAD..]));
}

proptest! {
    #[test]
    fn no_octets_make_it_panic_or_ask_for_nothing(
        which in 0..3_usize, behind in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let octets = [[&b""[..], TEXT, BINARY][which], &behind[..]].concat();
        for cut in 0..=octets.len() {
            if let Ok(Header::More(count)) = parse(&octets[..cut]) {
                prop_assert!((1..=BINARY_LIMIT).contains(&count));
            }
        }
    }

    #[test]
    fn every_address_comes_through(source in any::<u128>(), destination in any::<u128>(), ports in any::<[u16; 2]>()) {
        let v6 = [source, destination].map(Ipv6Addr::from_bits);
        let line = format!("PROXY TCP6 {} {} {} {}\r\n", v6[0], v6[1], ports[0], ports[1]);
        prop_assert_eq!(parse(line.as_bytes()), Ok(Header::Client(v6[0].to_canonical())));
        let v4 = [source, destination].map(|bits| Ipv4Addr::from_bits(bits as u32));
        let line = format!("PROXY TCP4 {} {} {} {}\r\n", v4[0], v4[1], ports[0], ports[1]);
        prop_assert_eq!(parse(line.as_bytes()), Ok(Header::Client(v4[0].into())));
        prop_assert_eq!(parse(&over_ipv6(&v6[0].to_string())), Ok(Header::Client(v6[0].to_canonical())));
    }
}
