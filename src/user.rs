//! The name that a client logs in with.
//!
//! Owns: which names are names at all, how they compare, how they look in a log.
//! Does not know: which users exist.

use std::fmt;

/// A user name: not empty, at most 255 octets, without control characters, lower case.
///
/// `user` and `user@domain` alike. What is no UTF-8 is taken for Latin-1, which some mail programs send.
/// `Display` is for logs: cut to 64 characters, with whatever could forge a log line escaped.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserName(Box<str>);

impl UserName {
    /// `None` where `octets` can't be a user name.
    pub fn parse(octets: &[u8]) -> Option<UserName> {
        let text = match std::str::from_utf8(octets) {
            Ok(text) => text.to_lowercase(),
            Err(_) => octets.iter().map(|&b| char::from(b)).collect::<String>().to_lowercase(),
        };
        let fits = !text.is_empty() && text.len() <= 255 && !text.chars().any(char::is_control);
        fits.then(|| UserName(text.into()))
    }

    /// The name as it is compared.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the last `@`, or all of it.
    pub fn local(&self) -> &str {
        self.0.rsplit_once('@').map_or(&self.0, |(local, _)| local)
    }

    /// What stands behind the last `@`, or nothing.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars().take(64) {
            match c {
                // `x, ip=[8.8.8.8]` as a user name must not make fail2ban ban a stranger.
                ',' | '[' | ']' | '<' | '>' | '\\' => write!(f, "\\x{:02x}", c as u32)?,
                c if c.is_whitespace() || c.is_control() => write!(f, "\\u{{{:x}}}", c as u32)?,
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserName({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_compare_without_case() {
        assert_eq!(UserName::parse(b"Ada@Example.ORG"), UserName::parse(b"ada@example.org"));
        assert_eq!(UserName::parse("J\u{d6}RG".as_bytes()), UserName::parse(b"j\xf6rg"));
    }

    #[test]
    fn control_characters_and_emptiness_are_no_name() {
        for bad in [&b""[..], b"a\0b", b"a\tb", b"\x7f", "\u{85}".as_bytes(), &[b'a'; 256]] {
            assert_eq!(UserName::parse(bad), None, "{bad:?}");
        }
        assert!(UserName::parse(&[b'a'; 255]).is_some());
    }

    #[test]
    fn a_hostile_name_forges_nothing_in_a_log() {
        let name = UserName::parse(b"x, ip=[8.8.8.8] <y>").unwrap();
        let shown = name.to_string();
        assert!(!shown.contains([',', '[', ']', '<', '>', ' ']), "{shown}");
        assert_eq!(UserName::parse(&[b'a'; 200]).unwrap().to_string().len(), 64);
    }

    #[test]
    fn local_and_domain_part_at_the_last_at() {
        let name = UserName::parse(b"a@b@c").unwrap();
        assert_eq!((name.local(), name.domain()), ("a@b", "c"));
        let name = UserName::parse(b"ada").unwrap();
        assert_eq!((name.local(), name.domain()), ("ada", ""));
    }
}
