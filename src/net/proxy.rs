//! The PROXY header, by which a proxy in front says whom it speaks for: version 1 (a line) and 2 (binary).
//!
//! Owns: the form of the header, how long it may be, and how much of it may be read at once.
//! Does not know: sockets, who may send one, what an address is good for.
//!
//! The source of all rules is HAProxy's `proxy-protocol.txt`. Nothing behind the header is ever asked for, so
//! that TLS or the first command stays where it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the octets so far amount to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Header {
    /// It goes on. As many octets, at least one, can be read without reading past its end.
    More(usize),
    /// It is whole, and names the client. An IPv4 address inside IPv6 is that IPv4 address.
    Client(IpAddr),
    /// It is whole, and names nobody: the proxy speaks for itself (LOCAL), or for somebody without an
    /// address (UNKNOWN, or a family that is no TCP).
    Nobody,
}

/// Why it will never be a header.
#[derive(thiserror::Error, Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotAHeader {
    /// Something else stands in its place.
    #[error("no PROXY header, and [listen] proxy-from has this address")]
    Missing,
    /// It begins as one.
    #[error("the PROXY header is malformed")]
    Malformed,
    /// It is longer than one may be.
    #[error("the PROXY header is too long")]
    TooLong,
}

const TEXT: &[u8] = b"PROXY ";
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Octets of version 1, CRLF included; given by the specification.
const TEXT_LIMIT: usize = 107;
/// `PROXY UNKNOWN` and CRLF. No header of either version is shorter.
const SHORTEST: usize = 15;
/// Signature, command, family, length: what each header of version 2 begins with.
const BINARY_HEAD: usize = 16;
/// Octets of version 2 in all. Addresses take 232 at most; the rest leaves room for what a proxy tells beside them.
const BINARY_LIMIT: usize = 4096;

/// Reads as much of a header as there is; `octets` begins with its first one.
///
/// # Errors
/// [`NotAHeader`] as soon as that is certain.
pub fn parse(octets: &[u8]) -> Result<Header, NotAHeader> {
    if begins(TEXT, octets) {
        return if octets.is_empty() { Ok(Header::More(SHORTEST)) } else { text(octets) };
    }
    if begins(BINARY, octets) { binary(octets) } else { Err(NotAHeader::Missing) }
}

/// Whether `octets` begins with `signature`, as far as it goes.
fn begins(signature: &[u8], octets: &[u8]) -> bool {
    octets.iter().zip(signature).all(|(one, other)| one == other)
}

fn text(octets: &[u8]) -> Result<Header, NotAHeader> {
    let Some(end) = memchr::memchr(b'\n', octets) else {
        // CRLF is still to come, or half of it.
        let at_least = if octets.last() == Some(&b'\r') { 1 } else { 2 };
        return match TEXT_LIMIT.saturating_sub(octets.len()) {
            0 => Err(NotAHeader::TooLong),
            room => Ok(Header::More(at_least.max(SHORTEST.saturating_sub(octets.len())).min(room))),
        };
    };
    let line = octets[..end].strip_suffix(b"\r").and_then(|line| line.strip_prefix(TEXT));
    let line = line.ok_or(NotAHeader::Malformed)?;
    // What stands behind UNKNOWN means nothing, whatever it is.
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Ok(Header::Nobody);
    }
    let client = std::str::from_utf8(line).ok().and_then(text_client).ok_or(NotAHeader::Malformed)?;
    Ok(Header::Client(client))
}

/// Family, two addresses, two ports; one space between each.
fn text_client(line: &str) -> Option<IpAddr> {
    let mut words = line.split(' ');
    let (family, source, destination) = (words.next()?, words.next()?, words.next()?);
    let ports = [words.next()?, words.next()?];
    if words.next().is_some() || !ports.into_iter().all(is_port) {
        return None;
    }
    match family {
        "TCP4" => destination.parse::<Ipv4Addr>().and_then(|_| source.parse::<Ipv4Addr>()).ok().map(IpAddr::V4),
        "TCP6" => destination
            .parse::<Ipv6Addr>()
            .and_then(|_| source.parse::<Ipv6Addr>())
            .ok()
            .map(|source| source.to_canonical()),
        _ => None,
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|octet| octet.is_ascii_digit())
        && text.parse::<u16>().is_ok()
        && (text == "0" || !text.starts_with('0'))
}

fn binary(octets: &[u8]) -> Result<Header, NotAHeader> {
    let Some((head, body)) = octets.split_first_chunk::<BINARY_HEAD>() else {
        return Ok(Header::More(BINARY_HEAD - octets.len()));
    };
    let &[.., command, family, high, low] = head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(NotAHeader::Malformed),
    };
    if BINARY_HEAD + length > BINARY_LIMIT {
        return Err(NotAHeader::TooLong);
    }
    let Some(body) = body.get(..length) else { return Ok(Header::More(length - body.len())) };
    if is_local {
        return Ok(Header::Nobody);
    }
    // Source, destination, two ports; what follows them is passed over.
    let client = match family {
        0x11 if length >= 12 => body.first_chunk::<4>().map(|&source| IpAddr::from(source)),
        0x21 if length >= 36 => body.first_chunk::<16>().map(|&source| IpAddr::from(source).to_canonical()),
        // Unspecified, UDP, Unix sockets: valid, and nobody of the Internet.
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => return Ok(Header::Nobody),
        _ => None,
    };
    client.map(Header::Client).ok_or(NotAHeader::Malformed)
}

#[cfg(test)]
pub(crate) mod tests;
