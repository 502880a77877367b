//! The cases: what is fed to which function.
//!
//! Owns: inputs, and what one unit of a case is. Does not know: how instructions are counted.

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use poppet::maildir::{self, Store};
use poppet::maildrop::{Folder, Maildrop, Marks, NewMessage, Octets};
use poppet::proto::command::Command;
use poppet::proto::line::{COMMAND_LIMIT, LineBuffer};
use poppet::proto::listing::{Column, Listing};
use poppet::proto::stuffing::{Count, Stuffer};

/// One figure.
pub struct Case {
    pub name: &'static str,
    /// What the instructions are divided by: the name of a unit.
    pub unit: &'static str,
    /// Lays out on disk what the case needs; not counted.
    pub prepare: fn(&Input),
    /// Runs it once; how many units it did.
    pub run: fn(&Input) -> usize,
}

/// What a case is run on.
pub struct Input {
    /// Messages, lines or blocks.
    pub size: usize,
    /// A folder of its own.
    pub maildir: PathBuf,
}

pub const CASES: [Case; 10] = [
    Case { name: "stuffing-send-lf", unit: "octet", prepare: nothing, run: |input| send(LF, input) },
    Case { name: "stuffing-send-crlf", unit: "octet", prepare: nothing, run: |input| send(CRLF, input) },
    Case { name: "stuffing-send-dots", unit: "octet", prepare: nothing, run: |input| send(DOTS, input) },
    Case { name: "stuffing-count-lf", unit: "octet", prepare: nothing, run: |input| count(LF, input) },
    Case { name: "stuffing-count-crlf", unit: "octet", prepare: nothing, run: |input| count(CRLF, input) },
    Case { name: "stuffing-count-dots", unit: "octet", prepare: nothing, run: |input| count(DOTS, input) },
    Case { name: "lines", unit: "command", prepare: nothing, run: lines },
    Case { name: "listing-list", unit: "message", prepare: nothing, run: |input| list(Column::Size, input) },
    Case { name: "listing-uidl", unit: "message", prepare: nothing, run: |input| list(Column::UniqueId, input) },
    Case { name: "index-open", unit: "message", prepare: lay_maildir, run: open },
];

/// What callgrind counts: its name is how the counter finds it.
#[inline(never)]
fn measured<R>(work: impl FnOnce() -> R) -> R {
    black_box(work())
}

const LF: &str = "The quick brown fox jumps over the lazy dog, and then over 12 others of its kind.\n\n";
const CRLF: &str = "The quick brown fox jumps over the lazy dog, and then over 12 others of its kind.\r\n\r\n";
const DOTS: &str = ".\n..\n.x\ntext\n";
/// As much as the server reads of a file at once.
const BLOCK: usize = 64 * 1024;

fn nothing(_: &Input) {}

fn mail(line: &str, input: &Input) -> Vec<u8> {
    line.repeat(input.size / 2).into_bytes()
}

fn send(line: &str, input: &Input) -> usize {
    let mail = mail(line, input);
    let mut out = Vec::with_capacity(2 * BLOCK);
    measured(|| {
        let mut stuffer = Stuffer::whole();
        for block in mail.chunks(BLOCK) {
            out.clear();
            let _ = stuffer.feed(black_box(block), &mut out);
            black_box(&out);
        }
        stuffer.finish(&mut out);
    });
    mail.len()
}

fn count(line: &str, input: &Input) -> usize {
    let mail = mail(line, input);
    measured(|| count_of(mail.chunks(BLOCK)));
    mail.len()
}

fn count_of<'a>(blocks: impl Iterator<Item = &'a [u8]>) -> u64 {
    let (mut stuffer, mut count) = (Stuffer::whole(), Count::default());
    for block in blocks {
        let _ = stuffer.feed(black_box(block), &mut count);
    }
    stuffer.finish(&mut count);
    count.0
}

/// A pipelined burst, in the pieces that the server reads.
fn lines(input: &Input) -> usize {
    let commands = ["RETR 17", "DELE 17", "NOOP", "TOP 17 20", "UIDL 99999", "STAT"];
    let burst: String = commands.iter().cycle().take(input.size).flat_map(|command| [command, "\r\n"]).collect();
    measured(|| {
        let mut buffer = LineBuffer::default();
        let mut parsed = 0;
        for piece in burst.as_bytes().chunks(4096) {
            buffer.push(piece);
            while let Some(line) = buffer.next_line(COMMAND_LIMIT) {
                parsed += usize::from(Command::parse(black_box(line.expect("a line"))).is_ok());
            }
        }
        assert_eq!(parsed, input.size);
        parsed
    })
}

fn list(column: Column, input: &Input) -> usize {
    let mut maildrop = Maildrop::default();
    for at in 0..input.size {
        let name = name(at);
        let octets = Octets::hearsay(1000 + at as u64);
        let base_len = name.len() as u8;
        let message =
            NewMessage { name: name.as_bytes(), base_len, folder: Folder::New, inode: 1, octets, unique_id: None };
        maildrop.push(message).expect("room");
    }
    let marks = Marks::default();
    let mut out = Vec::with_capacity(2 * BLOCK);
    measured(|| {
        let mut listing = Listing::new(column);
        while !listing.fill(&maildrop, &marks, &mut out, BLOCK) {
            out.clear();
        }
        black_box(&out);
    });
    input.size
}

fn name(at: usize) -> String {
    format!("{}.M{at:06}P4711.mail.example.org", 1_700_000_000 + at)
}

/// A Maildir whose index is written and fresh.
fn lay_maildir(input: &Input) {
    for folder in ["new", "cur", "tmp"] {
        fs::create_dir(input.maildir.join(folder)).expect("make a folder");
    }
    for at in 0..input.size {
        fs::write(input.maildir.join("cur").join(name(at) + ":2,S"), b"x\n").expect("deliver");
    }
    // A directory that was changed a moment ago can't be known by its time.
    thread::sleep(Duration::from_millis(300));
    assert_eq!(opened(&input.maildir), input.size);
}

/// What a login does with an index that is fresh: read, check, decode, make a maildrop.
fn open(input: &Input) -> usize {
    measured(|| opened(&input.maildir))
}

fn opened(path: &Path) -> usize {
    Store::open::<Counter>(path).expect("open the Maildir").maildrop().count() as usize
}

struct Counter(Stuffer, Count);

impl maildir::Count for Counter {
    fn new() -> Counter {
        Counter(Stuffer::whole(), Count::default())
    }
    fn push(&mut self, octets: &[u8]) {
        let _ = self.0.feed(octets, &mut self.1);
    }
    fn finish(mut self) -> u64 {
        self.0.finish(&mut self.1);
        self.1.0
    }
}
