//! Octets to lines.
//!
//! Owns: where a line ends, how long it may be, what is thrown away.
//! Does not know: what a line means.

use zeroize::Zeroize;

/// Octets of a command line, its end included (RFC 2449 section 4 asks for 255).
pub const COMMAND_LIMIT: usize = 512;

/// Octets of a line in a SASL exchange, its end included.
pub const SASL_LIMIT: usize = 8 * 1024;

/// Past this without a line end, nobody speaks POP3 at the other side.
pub const ENDLESS: usize = 64 * 1024;

/// Why there is no line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LineError {
    /// Longer than the limit. Said once a line; the rest up to its end is thrown away.
    TooLong,
    /// Longer than [`ENDLESS`]: nothing is worth being read from this client.
    Endless,
}

/// Octets that arrived and are no whole line yet. Takes no memory while it is empty.
///
/// Lines carry passwords: what is taken out or thrown away is wiped.
#[derive(Default, Debug)]
pub struct LineBuffer {
    octets: Vec<u8>,
    /// Where the octets begin that were not taken yet.
    start: usize,
    /// How far behind `start` no line end was found.
    searched: usize,
    /// Octets of an over-long line that are gone already; 0 outside of one.
    discarded: usize,
}

impl LineBuffer {
    /// Adds what arrived.
    pub fn push(&mut self, octets: &[u8]) {
        if self.start > 0 {
            self.forget_taken();
        }
        self.octets.extend_from_slice(octets);
    }

    /// The next line without its end (CRLF, or LF alone); `None` until there is a whole one.
    pub fn next_line(&mut self, limit: usize) -> Option<Result<&[u8], LineError>> {
        loop {
            let rest = &self.octets[self.start..];
            let end = memchr::memchr(b'\n', &rest[self.searched..]).map(|at| self.searched + at + 1);
            let len = end.unwrap_or(rest.len());
            if self.discarded > 0 {
                let endless = self.discarded + len > ENDLESS;
                self.discarded = if end.is_some() { 0 } else { self.discarded + len };
                self.take(len);
                match (endless, end) {
                    (true, _) => return Some(Err(LineError::Endless)),
                    (false, Some(_)) => continue,
                    (false, None) => return None,
                }
            }
            if len > limit {
                self.discarded = if end.is_some() { 0 } else { len };
                self.take(len);
                return Some(Err(if len > ENDLESS { LineError::Endless } else { LineError::TooLong }));
            }
            if end.is_none() {
                self.searched = len;
                if len == 0 {
                    self.forget_taken();
                }
                return None;
            }
            let from = self.start;
            self.start += len;
            self.searched = 0;
            let line = &self.octets[from..from + len - 1];
            return Some(Ok(line.strip_suffix(b"\r").unwrap_or(line)));
        }
    }

    /// Whether nothing has arrived that was not taken.
    pub fn is_empty(&self) -> bool {
        self.start == self.octets.len()
    }

    /// Forgets all that arrived, as STLS demands (RFC 2595 section 4).
    pub fn clear(&mut self) {
        self.octets.zeroize();
        self.octets = Vec::new();
        (self.start, self.searched, self.discarded) = (0, 0, 0);
    }

    fn take(&mut self, len: usize) {
        self.start += len;
        self.searched = 0;
        self.forget_taken();
    }

    fn forget_taken(&mut self) {
        let len = self.octets.len() - self.start;
        self.octets.copy_within(self.start.., 0);
        self.octets[len..].zeroize();
        self.octets.truncate(len);
        self.start = 0;
        if len == 0 {
            self.octets = Vec::new();
        }
    }
}

impl Drop for LineBuffer {
    fn drop(&mut self) {
        self.octets.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All lines of `input` when it arrives in the given pieces.
    fn lines<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limit: usize) -> Vec<Result<Vec<u8>, LineError>> {
        let (mut buffer, mut out) = (LineBuffer::default(), vec![]);
        for piece in pieces {
            buffer.push(piece);
            while let Some(line) = buffer.next_line(limit) {
                out.push(line.map(<[u8]>::to_vec));
                if out.last() == Some(&Err(LineError::Endless)) {
                    return out;
                }
            }
        }
        out
    }

    #[test]
    fn lines_are_the_same_at_every_split() {
        let input = b"USER ada\r\nPASS a b \nx\r\r\n\r\n\n12345678901234567890\r\nNOOP\r\nrest";
        let whole = lines([&input[..]], 16);
        let expected: [Result<&[u8], _>; 7] =
            [Ok(b"USER ada"), Ok(b"PASS a b "), Ok(b"x\r"), Ok(b""), Ok(b""), Err(LineError::TooLong), Ok(b"NOOP")];
        assert_eq!(whole, expected.map(|line| line.map(<[u8]>::to_vec)));
        for at in 0..=input.len() {
            let (a, b) = input.split_at(at);
            assert_eq!(lines([a, b], 16), whole, "split at {at}");
        }
        assert_eq!(lines(input.chunks(1), 16), whole);
    }

    #[test]
    fn the_limit_counts_the_line_end() {
        let mut line = vec![b'a'; COMMAND_LIMIT - 2];
        line.extend(b"\r\n");
        assert!(lines([&line[..]], COMMAND_LIMIT)[0].is_ok());
        line.insert(0, b'a');
        for piece in [1, 7, 511, 512, 513, 600] {
            assert_eq!(lines(line.chunks(piece), COMMAND_LIMIT), [Err(LineError::TooLong)], "pieces of {piece}");
        }
    }

    #[test]
    fn an_endless_line_is_said_to_be_one_whether_it_ends_or_not() {
        for (len, endless) in [(ENDLESS, false), (ENDLESS + 1, true)] {
            let mut line = vec![b'a'; len - 1];
            line.push(b'\n');
            for piece in [1, 1000, 4096, len] {
                let got = lines(line.chunks(piece), COMMAND_LIMIT);
                assert_eq!(got.contains(&Err(LineError::Endless)), endless, "{len} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn an_endless_line_takes_no_memory() {
        let mut buffer = LineBuffer::default();
        for _ in 0..15 {
            buffer.push(&[b'a'; 4096]);
            while buffer.next_line(COMMAND_LIMIT).is_some() {}
            assert_eq!(buffer.octets.capacity(), 0);
        }
    }

    #[test]
    fn an_empty_buffer_takes_no_memory() {
        let mut buffer = LineBuffer::default();
        buffer.push(b"NOOP\r\nNOOP\r\n");
        assert_eq!(buffer.next_line(COMMAND_LIMIT), Some(Ok(&b"NOOP"[..])));
        assert!(!buffer.is_empty());
        assert_eq!(buffer.next_line(COMMAND_LIMIT), Some(Ok(&b"NOOP"[..])));
        assert!(buffer.is_empty());
        assert_eq!(buffer.next_line(COMMAND_LIMIT), None);
        assert_eq!(buffer.octets.capacity(), 0);
    }
}
