//! A stored message to what RETR and TOP send: CRLF line ends, dots doubled.
//!
//! Owns: every octet between the status line and the final `.`, and their count.
//! Does not know: where the octets come from, or who is told the count.
//!
//! One walk does both, sending and counting, so that LIST, STAT and RETR can't differ.

/// Takes what a [`Stuffer`] makes of a message.
pub trait Sink {
    /// Octets of the message as the client will have them.
    fn octets(&mut self, octets: &[u8]);
    /// The CR that a line end lacks: as much one of the client's octets as the others.
    fn cr(&mut self);
    /// The dot that RFC 1939 section 3 adds to a line that begins with one; the client takes it away again.
    fn dot(&mut self);
}

impl Sink for Vec<u8> {
    fn octets(&mut self, octets: &[u8]) {
        self.extend_from_slice(octets);
    }
    fn cr(&mut self) {
        self.push(b'\r');
    }
    fn dot(&mut self) {
        self.push(b'.');
    }
}

/// Counts the octets that a client will have.
#[derive(Default, Debug)]
pub struct Count(pub u64);

impl Sink for Count {
    fn octets(&mut self, octets: &[u8]) {
        self.0 += octets.len() as u64;
    }
    fn cr(&mut self) {
        self.0 += 1;
    }
    fn dot(&mut self) {}
}

/// Turns one message, fed in blocks of any size, into its form on the wire. Needs no memory for it.
#[derive(Debug)]
pub struct Stuffer {
    last: Last,
    top: Option<Top>,
}

/// The last octet that was fed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Last {
    Nothing,
    Cr,
    Lf,
    Other,
}

/// Whether a block belonged to the message up to its last octet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Fed {
    /// More may follow.
    All,
    /// TOP has what it asked for: nothing more is wanted.
    Enough,
}

impl Stuffer {
    /// For RETR: the message as a whole.
    pub fn whole() -> Stuffer {
        Stuffer { last: Last::Nothing, top: None }
    }

    /// For TOP: the header, the empty line, and `body_lines` lines of the body.
    pub fn top(body_lines: u32) -> Stuffer {
        Stuffer { last: Last::Nothing, top: Some(Top { line: Line::Empty, in_header: true, left: body_lines }) }
    }

    /// Feeds a block of the stored message.
    pub fn feed(&mut self, block: &[u8], sink: &mut impl Sink) -> Fed {
        let (block, fed) = match &mut self.top {
            None => (block, Fed::All),
            Some(top) => top.limit(block),
        };
        self.walk(block, sink);
        fed
    }

    /// The stored message is at its end: a missing last line end is added, behind a lone CR too.
    pub fn finish(&mut self, sink: &mut impl Sink) {
        if matches!(self.last, Last::Cr | Last::Other) {
            sink.octets(b"\r\n");
            self.last = Last::Lf;
        }
    }

    fn walk(&mut self, block: &[u8], sink: &mut impl Sink) {
        let Some(&last) = block.last() else { return };
        if block[0] == b'.' && matches!(self.last, Last::Nothing | Last::Lf) {
            sink.dot();
        }
        let mut from = 0;
        for lf in memchr::memchr_iter(b'\n', block) {
            let after_cr = if lf == 0 { self.last == Last::Cr } else { block[lf - 1] == b'\r' };
            if !after_cr {
                // The LF leaves with the next line: one copy a line.
                sink.octets(&block[from..lf]);
                sink.cr();
                from = lf;
            }
            if block.get(lf + 1) == Some(&b'.') {
                sink.octets(&block[from..=lf]);
                sink.dot();
                from = lf + 1;
            }
        }
        sink.octets(&block[from..]);
        self.last = match last {
            b'\r' => Last::Cr,
            b'\n' => Last::Lf,
            _ => Last::Other,
        };
    }
}

/// Where TOP ends.
#[derive(Debug)]
struct Top {
    line: Line,
    in_header: bool,
    left: u32,
}

/// What was seen of the present line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Line {
    Empty,
    Cr,
    Text,
}

impl Top {
    /// As much of `block` as TOP sends.
    fn limit<'b>(&mut self, block: &'b [u8]) -> (&'b [u8], Fed) {
        if self.is_done() {
            return (&[], Fed::Enough);
        }
        let mut from = 0;
        for lf in memchr::memchr_iter(b'\n', block) {
            self.see(&block[from..lf]);
            if self.in_header {
                self.in_header = self.line == Line::Text;
            } else {
                self.left -= 1;
            }
            self.line = Line::Empty;
            from = lf + 1;
            if self.is_done() {
                return (&block[..from], Fed::Enough);
            }
        }
        self.see(&block[from..]);
        (block, Fed::All)
    }

    fn is_done(&self) -> bool {
        !self.in_header && self.left == 0
    }

    fn see(&mut self, octets: &[u8]) {
        self.line = match (self.line, octets) {
            (line, []) => line,
            (Line::Empty, [b'\r']) => Line::Cr,
            _ => Line::Text,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What RETR sends of a message that arrives in the given blocks, and its count.
    fn sent<'a>(mut stuffer: Stuffer, blocks: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut out = vec![];
        for block in blocks {
            if stuffer.feed(block, &mut out) == Fed::Enough {
                break;
            }
        }
        stuffer.finish(&mut out);
        out
    }

    fn counted(message: &[u8]) -> u64 {
        let (mut stuffer, mut count) = (Stuffer::whole(), Count::default());
        let _ = stuffer.feed(message, &mut count);
        stuffer.finish(&mut count);
        count.0
    }

    /// As a client undoes it, written octet by octet so that it shares no thought with the code above.
    fn decoded(wire: &[u8]) -> Vec<u8> {
        let mut lines: Vec<&[u8]> = vec![];
        let mut rest = wire;
        while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
            let (line, tail) = rest.split_at(end + 2);
            assert_ne!(line, b".\r\n", "the message would end here");
            lines.push(line.strip_prefix(b".").unwrap_or(line));
            rest = tail;
        }
        assert!(rest.is_empty(), "the last line has no end: {rest:?}");
        lines.concat()
    }

    /// The stored message with CRLF line ends, octet by octet.
    fn canonical(message: &[u8]) -> Vec<u8> {
        let mut out: Vec<u8> = vec![];
        for &octet in message {
            if octet == b'\n' && out.last() != Some(&b'\r') {
                out.push(b'\r');
            }
            out.push(octet);
        }
        if !out.is_empty() && out.last() != Some(&b'\n') {
            out.extend(b"\r\n");
        }
        out
    }

    /// TOP by splitting the whole into lines.
    fn canonical_top(message: &[u8], body_lines: usize) -> Vec<u8> {
        let whole = canonical(message);
        let lines: Vec<&[u8]> = whole.split_inclusive(|&b| b == b'\n').collect();
        let header = lines.iter().position(|line| *line == b"\r\n").map_or(lines.len(), |at| at + 1);
        lines[..(header + body_lines).min(lines.len())].concat()
    }

    fn odd_message() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => Just(b"\n".to_vec()),
            4 => Just(b"\r\n".to_vec()),
            2 => Just(b"\r".to_vec()),
            4 => Just(b".".to_vec()),
            1 => Just(b"\0\xff".to_vec()),
            3 => Just(b"text".to_vec()),
            1 => proptest::collection::vec(any::<u8>(), 0..90),
        ];
        proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn what_retr_sends_decodes_to_the_file_and_list_is_its_length(message in odd_message(), block in 1..20usize) {
            let wire = sent(Stuffer::whole(), [&message[..]]);
            prop_assert_eq!(&sent(Stuffer::whole(), message.chunks(block)), &wire);
            prop_assert_eq!(decoded(&wire), canonical(&message));
            prop_assert_eq!(counted(&message), canonical(&message).len() as u64);
        }

        #[test]
        fn top_is_a_prefix_in_whole_lines(message in odd_message(), lines in 0..12u32, block in 1..20usize) {
            let wire = sent(Stuffer::top(lines), [&message[..]]);
            prop_assert_eq!(&sent(Stuffer::top(lines), message.chunks(block)), &wire);
            prop_assert!(sent(Stuffer::whole(), [&message[..]]).starts_with(&wire));
            prop_assert_eq!(decoded(&wire), canonical_top(&message, lines as usize));
        }
    }

    #[test]
    fn the_known_odd_messages() {
        let cases: [(&[u8], &[u8]); 10] = [
            (b"", b""),
            (b".", b"..\r\n"),
            (b".\n", b"..\r\n"),
            (b"\n.\n..\n", b"\r\n..\r\n...\r\n"),
            (b"a\r", b"a\r\r\n"),
            (b"a\rb\n", b"a\rb\r\n"),
            (b"a\r\n.b", b"a\r\n..b\r\n"),
            (b"\r\r\n\n", b"\r\r\n\r\n"),
            (b"a\r.\n", b"a\r.\r\n"),
            (b"\0\xff\n", b"\0\xff\r\n"),
        ];
        for (message, wire) in cases {
            assert_eq!(sent(Stuffer::whole(), [message]), wire, "{message:?}");
            assert_eq!(sent(Stuffer::whole(), message.chunks(1)), wire, "{message:?} octet by octet");
        }
    }

    #[test]
    fn top_counts_lines_of_the_body_alone() {
        let message = b"A: 1\nB: 2\r\n\r\none\n\ntwo\nthree";
        assert_eq!(sent(Stuffer::top(0), [&message[..]]), b"A: 1\r\nB: 2\r\n\r\n");
        assert_eq!(sent(Stuffer::top(1), [&message[..]]), b"A: 1\r\nB: 2\r\n\r\none\r\n");
        assert_eq!(sent(Stuffer::top(3), [&message[..]]), b"A: 1\r\nB: 2\r\n\r\none\r\n\r\ntwo\r\n");
        assert_eq!(sent(Stuffer::top(99), [&message[..]]), sent(Stuffer::whole(), [&message[..]]));
        assert_eq!(sent(Stuffer::top(0), [&b"A: 1\nB: 2"[..]]), b"A: 1\r\nB: 2\r\n");
    }
}
