//! The unique-ids of a maildrop (RFC 1939 section 7, UIDL).
//!
//! Owns: which base name is a unique-id as it stands, and what stands in for one that is not.
//! Does not know: files, flags, sizes.
//!
//! A unique-id depends on nothing but the base name (and the inode, where two messages share one), so it is
//! the same after a change of flags, a restart, or a move of the whole Maildir.

use std::collections::HashSet;
use std::io::Write;

use sha2::{Digest, Sha256};

/// A unique-id that stands in for a base name: 32 lower-case hexadecimal digits.
pub(super) type Hashed = [u8; 32];

/// Whether a base name can be shown to a client: 1 to 70 octets of 0x21 to 0x7E.
pub(super) fn is_valid(base: &[u8]) -> bool {
    (1..=70).contains(&base.len()) && is_printable(base)
}

/// Whether all octets are of 0x21 to 0x7E. Eight at a time, for a login has megabytes of names.
pub(super) fn is_printable(octets: &[u8]) -> bool {
    const ONES: u64 = u64::MAX / 255;
    let eights = octets.chunks_exact(8);
    let rest = eights.remainder();
    let outside = eights.fold(0, |outside, eight| {
        let eight = u64::from_le_bytes(eight.try_into().expect("8 octets"));
        // The highest bit of an octet is set: where it is below 0x21, where it is above 0x7E, where it was before.
        outside | (eight.wrapping_sub(ONES * 0x21) & !eight) | eight.wrapping_add(ONES) | eight
    });
    outside & (ONES << 7) == 0 && rest.iter().all(u8::is_ascii_graphic)
}

/// The unique-ids given out so far, so that no message gets that of another.
#[derive(Default)]
pub(super) struct Taken(HashSet<Hashed>);

impl Taken {
    /// Notes a base name that is itself a unique-id. Only one that looks like a hash could ever clash.
    pub(super) fn note(&mut self, base: &[u8]) {
        if let Ok(looks_hashed) = Hashed::try_from(base) {
            self.0.insert(looks_hashed);
        }
    }

    /// A unique-id for a base name that can't be one; with the inode where several messages share the base name.
    pub(super) fn hash(&mut self, base: &[u8], inode: Option<u64>) -> Hashed {
        let mut round = 0;
        loop {
            let id = hashed(base, inode, round);
            if self.0.insert(id) {
                return id;
            }
            round += 1;
        }
    }
}

/// The first 128 bits of SHA-256. No base name has a `:`, so what follows one can't be part of it.
fn hashed(base: &[u8], inode: Option<u64>, round: u32) -> Hashed {
    let mut sha = Sha256::new_with_prefix(base);
    if let Some(inode) = inode {
        sha.update(format!(":{inode}"));
    }
    if round > 0 {
        sha.update(format!(":again:{round}"));
    }
    let mut id = [0; 32];
    let mut digits = &mut id[..];
    for octet in &sha.finalize()[..16] {
        write!(digits, "{octet:02x}").expect("32 digits for 16 octets");
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_70_printable_octets_are_a_unique_id_as_they_stand() {
        for good in [&b"1.M2P3.host,S=4,W=5"[..], b"!", b"~", &[b'a'; 70]] {
            assert!(is_valid(good));
        }
        for bad in [&b""[..], b"a b", b"a\x7f", b"a\n", "\u{e4}".as_bytes(), b"\xff", &[b'a'; 71]] {
            assert!(!is_valid(bad));
        }
    }

    #[test]
    fn an_octet_that_does_not_print_is_seen_wherever_it_stands() {
        for octet in 0..=255u8 {
            for at in 0..19 {
                let mut octets = *b"1700000000.M2P3.abc";
                octets[at] = octet;
                assert_eq!(is_printable(&octets), (0x21..=0x7e).contains(&octet), "{octet:#x} at {at}");
            }
        }
    }

    #[test]
    fn a_hash_is_the_same_for_ever() {
        // sha256sum of "a b", so that a later version can't change what clients have remembered.
        assert_eq!(&Taken::default().hash(b"a b", None), b"c8687a08aa5d6ed2044328fa6a697ab8");
        assert_eq!(&Taken::default().hash(b"a b", Some(7)), &hashed(b"a b:7", None, 0));
    }

    #[test]
    fn a_base_name_that_looks_like_the_hash_of_another_takes_nothing_away() {
        let mut taken = Taken::default();
        let clash = hashed(b"a b", None, 0);
        taken.note(&clash);
        let first = taken.hash(b"a b", None);
        assert!(first != clash && taken.hash(b"a b", None) != first);
    }
}
