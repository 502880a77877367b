//! A message from its file to the outbox, a block at a time, while there is room.
//!
//! Owns: RETR and TOP once the file is open: status line, message, final dot, and the proof that it is whole.
//! Does not know: the socket, or how the file was found.

use std::{
    fs::File,
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
};

use crate::{
    maildir::OpenMessage,
    maildrop::{MessageNumber, Octets},
    proto::{
        reply::Reply,
        stuffing::{Count, Fed, Sink, Stuffer},
    },
};

/// A message on its way to the client.
#[derive(Debug)]
pub struct MessagePump {
    message: MessageNumber,
    by_retr: bool,
    file: File,
    file_octets: u64,
    modified: u64,
    at: u64,
    stage: Stage,
    stuffer: Stuffer,
    wire: u64,
}

#[derive(Debug)]
enum Stage {
    /// The name told a size, or the file has changed: it is counted before a size is announced.
    Measuring(Count),
    /// The status line is next; RETR's has the size in it.
    Announcing(u64),
    /// The message itself, announced as so many octets.
    Sending(u64),
}

/// How far a pump came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pumped {
    /// There is more.
    More,
    /// The final dot is in the outbox.
    Done,
}

/// The file can't be read on, or is no longer what was announced: the connection must end without the final dot.
///
/// A client that sees the dot deletes its mail from the server.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The file shrank, grew, or has other line ends than when it was counted.
    #[error("the file changed while it was sent")]
    Changed,
    /// Reading failed.
    #[error("reading failed: {0}")]
    Read(io::Error),
}

impl MessagePump {
    /// `body_lines` is TOP's count of lines, `None` for RETR.
    pub fn new(message: MessageNumber, opened: OpenMessage, body_lines: Option<u32>) -> MessagePump {
        let stage = match (body_lines, opened.wire_octets) {
            (Some(_), _) => Stage::Announcing(0),
            (None, Some(wire)) => Stage::Announcing(wire),
            (None, None) => Stage::Measuring(Count::default()),
        };
        MessagePump {
            message,
            by_retr: body_lines.is_none(),
            file: opened.file,
            file_octets: opened.file_octets,
            modified: opened.modified,
            at: 0,
            stage,
            stuffer: body_lines.map_or_else(Stuffer::whole, Stuffer::top),
            wire: 0,
        }
    }

    /// Which message it is.
    pub fn message(&self) -> MessageNumber {
        self.message
    }

    /// Whether RETR sends it: that counts as seen, TOP does not.
    pub fn by_retr(&self) -> bool {
        self.by_retr
    }

    /// What was sent of the message itself, as the client has it, and of which file.
    pub fn octets(&self) -> Octets {
        Octets { wire: self.wire, file: self.file_octets, modified: self.modified }
    }

    /// Reads one block and appends what it becomes.
    ///
    /// # Errors
    /// [`Broken`]: close without a final dot.
    pub fn fill(&mut self, block: &mut [u8], out: &mut Vec<u8>) -> Result<Pumped, Broken> {
        if let Stage::Announcing(wire) = self.stage {
            let text = if self.by_retr { format!("{wire} octets") } else { "top of the message follows".into() };
            Reply::ok(text).encode(out);
            self.stage = Stage::Sending(wire);
        }
        let (block, at_end) = self.read(block)?;
        match &mut self.stage {
            Stage::Measuring(count) => {
                let _ = self.stuffer.feed(block, count);
                if at_end {
                    self.stuffer.finish(count);
                    self.stage = Stage::Announcing(count.0);
                    self.stuffer = Stuffer::whole();
                    self.at = 0;
                }
                Ok(Pumped::More)
            }
            Stage::Announcing(announced) | Stage::Sending(announced) => {
                let mut wire = Wire { out, octets: 0 };
                let fed = self.stuffer.feed(block, &mut wire);
                if fed == Fed::All && !at_end {
                    self.wire += wire.octets;
                    return Ok(Pumped::More);
                }
                self.stuffer.finish(&mut wire);
                self.wire += wire.octets;
                if self.by_retr && self.wire != *announced {
                    return Err(Broken::Changed);
                }
                // In the same write as the last line end: Thunderbird hung when they came apart.
                out.extend_from_slice(b".\r\n");
                Ok(Pumped::Done)
            }
        }
    }

    /// The next block, and whether it is the last one.
    fn read<'b>(&mut self, block: &'b mut [u8]) -> Result<(&'b [u8], bool), Broken> {
        let count = read_at(&self.file, block, self.at)?;
        self.at += count as u64;
        // A short read of a regular file is its end. Behind a full block that should be the last one, one more
        // call proves it: the final dot must not be left for another turn.
        let at_end = count < block.len() || self.at == self.file_octets && read_at(&self.file, &mut [0], self.at)? == 0;
        if self.at > self.file_octets || at_end && self.at != self.file_octets {
            return Err(Broken::Changed);
        }
        Ok((&block[..count], at_end))
    }
}

fn read_at(file: &File, into: &mut [u8], at: u64) -> Result<usize, Broken> {
    loop {
        match file.read_at(into, at) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => return read.map_err(Broken::Read),
        }
    }
}

/// Counts what the client will have on its way to the outbox.
struct Wire<'a> {
    out: &'a mut Vec<u8>,
    octets: u64,
}

impl Sink for Wire<'_> {
    fn octets(&mut self, octets: &[u8]) {
        self.octets += octets.len() as u64;
        self.out.extend_from_slice(octets);
    }
    fn cr(&mut self) {
        self.octets += 1;
        self.out.push(b'\r');
    }
    fn dot(&mut self) {
        self.out.push(b'.');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn opened(content: &[u8], wire_octets: Option<u64>) -> (File, OpenMessage) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        let writer = file.try_clone().unwrap();
        (writer, OpenMessage { file, file_octets: content.len() as u64, modified: 1, wire_octets })
    }

    fn pump(opened: OpenMessage, body_lines: Option<u32>) -> MessagePump {
        MessagePump::new(MessageNumber::new(1).unwrap(), opened, body_lines)
    }

    fn run(mut pump: MessagePump, block: usize) -> Result<Vec<u8>, Broken> {
        let (mut block, mut out) = (vec![0; block], vec![]);
        while pump.fill(&mut block, &mut out)? == Pumped::More {}
        Ok(out)
    }

    #[test]
    fn a_message_is_the_same_in_blocks_of_any_size_measured_or_known() {
        let content = b"A: 1\n\n.dot\nlast";
        let wire = b"+OK 20 octets\r\nA: 1\r\n\r\n..dot\r\nlast\r\n.\r\n";
        for block in 1..20 {
            for known in [None, Some(20)] {
                let (_, opened) = opened(content, known);
                assert_eq!(run(pump(opened, None), block).unwrap(), wire, "blocks of {block}, {known:?}");
            }
        }
    }

    #[test]
    fn the_dot_comes_with_a_last_block_that_is_full() {
        let mut pump = pump(opened(b"12345\r\n\n", Some(9)).1, None);
        let mut out = vec![];
        assert_eq!(pump.fill(&mut [0; 8], &mut out).unwrap(), Pumped::Done);
        assert!(out.ends_with(b"5\r\n\r\n.\r\n"), "{out:?}");
    }

    #[test]
    fn an_empty_message_is_a_status_line_and_a_dot() {
        assert_eq!(run(pump(opened(b"", Some(0)).1, None), 9).unwrap(), b"+OK 0 octets\r\n.\r\n");
    }

    #[test]
    fn top_ends_early_and_promises_no_size() {
        let (_, opened) = opened(b"A: 1\n\none\ntwo\n", None);
        let out = run(pump(opened, Some(1)), 4).unwrap();
        assert!(out.ends_with(b"\r\nA: 1\r\n\r\none\r\n.\r\n"), "{out:?}");
    }

    #[test]
    fn a_file_that_shrinks_or_grows_gets_no_final_dot() {
        for (len, body_lines) in [(10, None), (40, None), (10, Some(9)), (40, Some(9))] {
            let (writer, opened) = opened(&[b'x'; 30], Some(32));
            let mut pump = pump(opened, body_lines);
            let (mut block, mut out) = ([0; 8], vec![]);
            assert_eq!(pump.fill(&mut block, &mut out).unwrap(), Pumped::More);
            writer.set_len(len).unwrap();
            let broken = loop {
                match pump.fill(&mut block, &mut out) {
                    Ok(pumped) => assert_eq!(pumped, Pumped::More),
                    Err(broken) => break broken,
                }
            };
            assert!(matches!(broken, Broken::Changed) && !out.ends_with(b"\r\n.\r\n"));
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_gets_no_final_dot() {
        for (body_lines, wire_octets) in [(None, None), (None, Some(1)), (Some(1), None)] {
            // A directory opens, and can't be read.
            let file = File::open("/").unwrap();
            let opened = OpenMessage { file, file_octets: 1, modified: 1, wire_octets };
            let broken = run(pump(opened, body_lines), 9).unwrap_err();
            assert!(matches!(&broken, Broken::Read(error) if error.kind() == ErrorKind::IsADirectory), "{broken}");
        }
    }

    #[test]
    fn a_size_that_was_announced_wrongly_gets_no_final_dot() {
        let (_, opened) = opened(b"a\nb\n", Some(5));
        assert!(matches!(run(pump(opened, None), 99), Err(Broken::Changed)));
    }
}
