//! The file name of a message: `base[,S=<octets>][,W=<octets>][:2,<flags>]`.
//!
//! Owns: the base name, what the name says of time and size, how the flag S (seen) is added.
//! Does not know: files.

/// The longest name of a file on Linux, in octets.
pub(super) const LONGEST: usize = 255;

/// What stands before the first `:`; it stays when a message changes its flags or its directory.
pub(super) fn base(name: &[u8]) -> &[u8] {
    &name[..memchr::memchr(b':', name).unwrap_or(name.len())]
}

/// When the message was delivered, as its base name says it: seconds, then microseconds of the field `M`.
///
/// What says nothing is from the beginning of time.
pub(super) fn delivered(base: &[u8]) -> (u64, u32) {
    let seconds = leading_number(base).unwrap_or(0);
    let middle = base.split(|&octet| octet == b'.').nth(1).unwrap_or_default();
    let microseconds = memchr::memchr_iter(b'M', middle).find_map(|at| leading_number(&middle[at + 1..]));
    (seconds, microseconds.unwrap_or(0).min(u32::MAX.into()) as u32)
}

/// What the first `,S=` (file size) or `,W=` (octets on the wire) of a base name says.
///
/// Only digits up to a `,` or the end count.
pub(super) fn octets(base: &[u8], field: u8) -> Option<u64> {
    let at = memchr::memmem::find(base, &[b',', field, b'='])? + 3;
    let text = base[at..].split(|&octet| octet == b',').next()?;
    let digits = text.iter().take_while(|octet| octet.is_ascii_digit()).count();
    if digits == text.len() { exact_number(text) } else { None }
}

/// The name with the flag S, for `cur`.
///
/// `None` where it has the flag, where it carries information that is not of the kind `2,` (it is another
/// program's, which may not know ours), or where no room is left.
pub(super) fn with_seen(name: &[u8]) -> Option<Vec<u8>> {
    let base = base(name);
    let mut seen = name.to_vec();
    if base.len() == name.len() {
        seen.extend_from_slice(b":2,S");
    } else {
        let flags = name[base.len()..].strip_prefix(b":2,")?.split(|&octet| octet == b',').next()?;
        if flags.contains(&b'S') {
            return None;
        }
        let at = flags.iter().position(|&flag| flag > b'S').unwrap_or(flags.len());
        seen.insert(base.len() + 3 + at, b'S');
    }
    (seen.len() <= LONGEST).then_some(seen)
}

/// The number that `text` begins with; one that is too large counts as the largest.
fn leading_number(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|octet| octet.is_ascii_digit()).count();
    (digits > 0).then(|| exact_number(&text[..digits]).unwrap_or(u64::MAX))
}

fn exact_number(digits: &[u8]) -> Option<u64> {
    let add = |number: u64, digit: &u8| number.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    if digits.is_empty() { None } else { digits.iter().try_fold(0, add) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_name_ends_at_the_first_colon() {
        assert_eq!(base(b"1.a:2,S"), b"1.a");
        assert_eq!(base(b"1.a:1:2,"), b"1.a");
        assert_eq!(base(b"1.a"), b"1.a");
        assert_eq!(base(b":2,S"), b"");
    }

    #[test]
    fn the_time_of_delivery_is_read_as_a_number() {
        assert_eq!(delivered(b"1276533073.M242911P3632.kurkku"), (1_276_533_073, 242_911));
        assert_eq!(delivered(b"9.P5M7Q1.host"), (9, 7));
        assert_eq!(delivered(b"10.300_2.M5.host"), (10, 0));
        assert_eq!(delivered(b"5"), (5, 0));
        assert_eq!(delivered(b"mail.M5"), (0, 5));
        assert_eq!(delivered(b""), (0, 0));
        assert_eq!(delivered(b"99999999999999999999999.M99999999999999999999999"), (u64::MAX, u32::MAX));
    }

    #[test]
    fn a_size_counts_only_where_it_is_a_number_and_the_first() {
        assert_eq!(octets(b"1.a,S=12,W=34", b'S'), Some(12));
        assert_eq!(octets(b"1.a,S=12,W=34", b'W'), Some(34));
        assert_eq!(octets(b"1.a,W=34,W=35", b'W'), Some(34));
        for bad in [&b"1.a,W=3x"[..], b"1.a,W=", b"1.a,W=-3", b"1.a,W=+3", b"1.aW=3", b"1.a,W=99999999999999999999"] {
            assert_eq!(octets(bad, b'W'), None, "{}", bad.escape_ascii());
        }
        assert_eq!(octets(b"1.a,W=x,W=3", b'W'), None);
    }

    #[test]
    fn the_seen_flag_goes_to_its_place() {
        let seen = |name: &str| with_seen(name.as_bytes()).map(|name| String::from_utf8(name).unwrap());
        assert_eq!(seen("X").as_deref(), Some("X:2,S"));
        assert_eq!(seen("X:2,").as_deref(), Some("X:2,S"));
        assert_eq!(seen("X:2,F").as_deref(), Some("X:2,FS"));
        assert_eq!(seen("X:2,DT").as_deref(), Some("X:2,DST"));
        assert_eq!(seen("X:2,Ta,S=1").as_deref(), Some("X:2,STa,S=1"));
        for left_alone in ["X:2,S", "X:2,FST", "X:1,", "X:", "X;2,:3"] {
            assert_eq!(seen(left_alone), None, "{left_alone}");
        }
    }

    #[test]
    fn a_name_without_room_for_the_flag_is_left_alone() {
        assert_eq!(with_seen(&[b'a'; 251]).unwrap().len(), LONGEST);
        assert_eq!(with_seen(&[b'a'; 252]), None);
    }
}
