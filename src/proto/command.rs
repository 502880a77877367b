//! A line to a command.
//!
//! Owns: verbs, and what their arguments look like.
//! Does not know: in which state a command is allowed, or which messages exist.

use crate::maildrop::MessageNumber;

/// A command that is well-formed (RFC 1939, 2449, 2595, 5034, 6856).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command<'a> {
    /// `USER name`
    User(&'a [u8]),
    /// `PASS string`: all behind the first space, spaces included.
    Pass(&'a [u8]),
    /// `AUTH`: which mechanisms are there?
    AuthList,
    /// `AUTH mechanism [initial-response]`
    Auth {
        /// The mechanism's name, in any case.
        mechanism: &'a [u8],
        /// In Base64, or `=` for an empty one.
        initial: Option<&'a [u8]>,
    },
    /// `STAT`
    Stat,
    /// `LIST [msg]`
    List(Option<MessageNumber>),
    /// `RETR msg`
    Retr(MessageNumber),
    /// `DELE msg`
    Dele(MessageNumber),
    /// `TOP msg n`
    Top(MessageNumber, u32),
    /// `UIDL [msg]`
    Uidl(Option<MessageNumber>),
    /// `NOOP`
    Noop,
    /// `RSET`
    Rset,
    /// `QUIT`
    Quit,
    /// `CAPA`
    Capa,
    /// `STLS`
    Stls,
    /// `UTF8`
    Utf8,
    /// `LANG [tag]`
    Lang(Option<&'a [u8]>),
}

/// Why a line is no command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// A NUL in the line. Others stop reading there, and delete message 1 for `DELE 1<NUL>2`.
    Nul,
    /// Nothing in the line.
    Empty,
    /// No such verb.
    Unknown,
    /// Too few arguments, or too many.
    Arguments,
    /// An argument that is no number of a message (or of lines).
    Number,
}

impl<'a> Command<'a> {
    /// Reads a line that has no line end any more.
    ///
    /// # Errors
    /// [`Malformed`] where it is none of the commands above.
    pub fn parse(line: &'a [u8]) -> Result<Command<'a>, Malformed> {
        if memchr::memchr(0, line).is_some() {
            return Err(Malformed::Nul);
        }
        let (verb, rest) = match memchr::memchr(b' ', line) {
            Some(at) => (&line[..at], Some(&line[at + 1..])),
            None => (line, None),
        };
        if verb.eq_ignore_ascii_case(b"PASS") {
            return rest.map(Command::Pass).ok_or(Malformed::Arguments);
        }
        let mut arguments = rest.unwrap_or_default().split(|&b| b == b' ').filter(|argument| !argument.is_empty());
        let mut next = || arguments.next();
        let mut upper = [0; 4];
        if verb.is_empty() && next().is_none() {
            return Err(Malformed::Empty);
        }
        if !(3..=4).contains(&verb.len()) {
            return Err(Malformed::Unknown);
        }
        upper[..verb.len()].copy_from_slice(verb);
        upper.make_ascii_uppercase();
        let command = match &upper[..verb.len()] {
            b"USER" => Command::User(next().ok_or(Malformed::Arguments)?),
            b"AUTH" => match next() {
                None => Command::AuthList,
                Some(mechanism) => Command::Auth { mechanism, initial: next() },
            },
            b"STAT" => Command::Stat,
            b"LIST" => Command::List(next().map(message_number).transpose()?),
            b"RETR" => Command::Retr(message_number(next().ok_or(Malformed::Arguments)?)?),
            b"DELE" => Command::Dele(message_number(next().ok_or(Malformed::Arguments)?)?),
            b"TOP" => {
                let message = message_number(next().ok_or(Malformed::Arguments)?)?;
                Command::Top(message, line_count(next().ok_or(Malformed::Arguments)?)?)
            }
            b"UIDL" => Command::Uidl(next().map(message_number).transpose()?),
            b"NOOP" => Command::Noop,
            b"RSET" => Command::Rset,
            b"QUIT" => Command::Quit,
            b"CAPA" => Command::Capa,
            b"STLS" => Command::Stls,
            b"UTF8" => Command::Utf8,
            b"LANG" => Command::Lang(next()),
            _ => return Err(Malformed::Unknown),
        };
        if next().is_some() { Err(Malformed::Arguments) } else { Ok(command) }
    }
}

/// Decimal digits and nothing else, 1 to 4,294,967,295. No sign, no wrap-around.
/// Whether a line gives itself away as the PROXY header of somebody who is no proxy of ours: version 1, or the
/// signature of version 2, which comes as two empty lines, bad commands both, a NUL alone, and QUIT.
pub fn is_proxy_header(line: &[u8], bad_before: u8) -> bool {
    line.starts_with(b"PROXY ") || bad_before == 2 && line == b"\0"
}

fn message_number(digits: &[u8]) -> Result<MessageNumber, Malformed> {
    let number = decimal(digits).and_then(|n| u32::try_from(n).ok()).ok_or(Malformed::Number)?;
    MessageNumber::new(number).ok_or(Malformed::Number)
}

/// As above from 0; more lines than can be counted are all lines.
fn line_count(digits: &[u8]) -> Result<u32, Malformed> {
    let number = decimal(digits).ok_or(Malformed::Number)?;
    Ok(u32::try_from(number).unwrap_or(u32::MAX))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |n, digit| {
        digit.is_ascii_digit().then(|| n.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(n: u32) -> MessageNumber {
        MessageNumber::new(n).unwrap()
    }

    #[test]
    fn verbs_come_in_any_case_and_with_trailing_spaces() {
        for line in [&b"stat"[..], b"STAT", b"StAt  ", b"STAT "] {
            assert_eq!(Command::parse(line), Ok(Command::Stat), "{line:?}");
        }
        assert_eq!(Command::parse(b"list  2 "), Ok(Command::List(Some(number(2)))));
        assert_eq!(Command::parse(b"LIST "), Ok(Command::List(None)));
        assert_eq!(Command::parse(b"AUTH "), Ok(Command::AuthList));
        assert_eq!(Command::parse(b"AUTH PLAIN ="), Ok(Command::Auth { mechanism: b"PLAIN", initial: Some(b"=") }));
        assert_eq!(Command::parse(b"top 1 0"), Ok(Command::Top(number(1), 0)));
    }

    #[test]
    fn a_password_is_everything_behind_the_first_space() {
        assert_eq!(Command::parse(b"PASS  a b "), Ok(Command::Pass(b" a b ")));
        assert_eq!(Command::parse(b"PASS "), Ok(Command::Pass(b"")));
        assert_eq!(Command::parse(b"PASS"), Err(Malformed::Arguments));
    }

    #[test]
    fn message_numbers_are_strict() {
        for bad in ["0", "-1", "+1", "01x", "1x", "0x1", "4294967297", "4294967296", "18446744073709551617", "\u{661}"]
        {
            for verb in ["RETR", "DELE", "LIST", "UIDL"] {
                let line = format!("{verb} {bad}");
                assert_eq!(Command::parse(line.as_bytes()), Err(Malformed::Number), "{line}");
            }
            let top = format!("TOP {bad} 1");
            assert_eq!(Command::parse(top.as_bytes()), Err(Malformed::Number), "{top}");
        }
        assert_eq!(Command::parse(b"DELE 01"), Ok(Command::Dele(number(1))));
        assert_eq!(Command::parse(b"RETR 4294967295"), Ok(Command::Retr(number(u32::MAX))));
    }

    #[test]
    fn top_wants_a_count_of_lines_and_takes_a_huge_one_for_all() {
        assert_eq!(Command::parse(b"TOP 1"), Err(Malformed::Arguments));
        assert_eq!(Command::parse(b"TOP 1 -1"), Err(Malformed::Number));
        assert_eq!(Command::parse(b"TOP 1 99999999999999999999999"), Ok(Command::Top(number(1), u32::MAX)));
    }

    #[test]
    fn too_few_and_too_many_arguments_are_refused() {
        for line in ["USER", "RETR", "DELE ", "NOOP 1", "QUIT now", "STAT x", "LIST 1 2", "TOP 1 2 3", "USER a b"] {
            assert_eq!(Command::parse(line.as_bytes()), Err(Malformed::Arguments), "{line}");
        }
        assert_eq!(Command::parse(b"AUTH PLAIN x y"), Err(Malformed::Arguments));
    }

    #[test]
    fn what_is_no_command_says_why() {
        assert_eq!(Command::parse(b""), Err(Malformed::Empty));
        assert_eq!(Command::parse(b"  "), Err(Malformed::Empty));
        for line in [&b" STAT"[..], b"APOP", b"XTND XMIT", b"LAST", b"LISTEN", b"ST", b"GET / HTTP/1.1", b"STAT\r"] {
            assert_eq!(Command::parse(line), Err(Malformed::Unknown), "{line:?}");
        }
        assert_eq!(Command::parse(b"DELE 1\x00 2"), Err(Malformed::Nul));
        assert_eq!(Command::parse(b"PASS a\x00b"), Err(Malformed::Nul));
    }

    proptest::proptest! {
        #[test]
        fn no_line_makes_the_parser_panic(line: Vec<u8>) {
            let _ = Command::parse(&line);
        }
    }
}
