//! How long a message is, in the file and on the wire.
//!
//! Owns: when a size that a name claims is believed, and reading a file in order to count.
//! Does not know: what changes between the file and the wire; a [`Count`] does.

use std::thread;

use rustix::fs::FileType;
use rustix::io::{Errno, retry_on_intr};

use super::root::{Root, kind, modified};
use super::{FileError, OpenError, name};
use crate::maildrop::{Folder, Octets};
use crate::processors::processors;

/// Counts the octets that a message has on the wire, of its file's octets.
pub trait Count {
    /// Before the first octet.
    fn new() -> Self;
    /// The next octets of the file.
    fn push(&mut self, octets: &[u8]);
    /// How many octets they are on the wire, after the last of them.
    fn finish(self) -> u64;
}

/// What became of measuring one message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Measured {
    Octets(Octets),
    /// No file of that name is there any more.
    Gone,
    /// The name is that of a link, a FIFO, a directory or the like.
    NotRegular,
}

/// Measures messages one after the other, with one buffer, and remembers what could not be read.
pub(super) struct Measure<'a> {
    root: &'a Root,
    buffer: Vec<u8>,
    unreadable: u32,
    first_error: Option<FileError>,
}

impl<'a> Measure<'a> {
    pub(super) fn new(root: &'a Root) -> Measure<'a> {
        Measure { root, buffer: Vec::new(), unreadable: 0, first_error: None }
    }

    /// The size of a message: what its name says, or what is counted.
    ///
    /// One that can't be read is listed all the same, with the size of its file: an error of the disk must not
    /// make a client believe that its mail is gone.
    ///
    /// # Errors
    /// Where descriptors or memory are used up; that is not the message's fault.
    pub(super) fn message<C: Count>(&mut self, folder: Folder, name: &[u8]) -> Result<Measured, OpenError> {
        if let Some(wire) = name::octets(name::base(name), b'W').filter(|&wire| wire <= BELIEVED) {
            return Ok(Measured::Octets(Octets::hearsay(wire)));
        }
        // There may be a hundred thousand of them, and the loop shares the processor.
        thread::yield_now();
        match self.count::<C>(folder, name) {
            Ok(measured) => Ok(measured),
            Err((_, Errno::NOENT | Errno::STALE)) => Ok(Measured::Gone),
            Err((_, Errno::LOOP | Errno::NXIO)) => Ok(Measured::NotRegular),
            Err((action, errno @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM))) => {
                Err(OpenError::Temporary(self.root.error(action, folder, name, errno)))
            }
            Err((action, errno)) => Ok(self.unreadable(folder, name, action, errno)),
        }
    }

    fn count<C: Count>(&mut self, folder: Folder, name: &[u8]) -> Result<Measured, (&'static str, Errno)> {
        let (file, stat) = self.root.open_file(folder, name).map_err(|errno| ("open", errno))?;
        if kind(&stat) != FileType::RegularFile {
            return Ok(Measured::NotRegular);
        }
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        if size > BELIEVED {
            // Made of holes, most likely, and reading those would keep a worker busy for hours.
            return Ok(Measured::Octets(Octets::hearsay(BELIEVED)));
        }
        self.buffer.resize(READ_BUFFER, 0);
        let (mut count, mut octets) = (C::new(), 0);
        // A file that grows meanwhile is measured anew when it is opened: its length is another one then.
        while octets < size {
            let read = retry_on_intr(|| rustix::io::read(&file, &mut self.buffer[..]));
            match read.map_err(|errno| ("read", errno))? {
                0 => break,
                read => {
                    count.push(&self.buffer[..read]);
                    octets += read as u64;
                }
            }
        }
        Ok(Measured::Octets(Octets { wire: count.finish(), file: octets, modified: modified(&stat) }))
    }

    fn unreadable(&mut self, folder: Folder, name: &[u8], action: &'static str, errno: Errno) -> Measured {
        self.unreadable += 1;
        self.first_error.get_or_insert_with(|| self.root.error(action, folder, name, errno));
        match self.root.look_at(folder, name) {
            Err(Errno::NOENT) => Measured::Gone,
            Ok(stat) if kind(&stat) != FileType::RegularFile => Measured::NotRegular,
            stat => {
                let wire = stat.map_or(0, |stat| stat.st_size as u64).min(BELIEVED);
                Measured::Octets(Octets::hearsay(wire))
            }
        }
    }

    /// Adds what another one could not read.
    fn absorb(&mut self, other: Measure<'_>) {
        self.unreadable += other.unreadable;
        self.first_error = self.first_error.take().or(other.first_error);
    }

    /// Says aloud, once, what could not be read.
    pub(super) fn report(self) {
        if let Some(error) = self.first_error {
            let path = self.root.path();
            log::warn!(
                "{} unreadable messages in {path:?}, listed by their file's size; first: {error}",
                self.unreadable
            );
        }
    }
}

/// Does `each` with all `files`: by several threads where `work` is enough to pay for them. The sum of what it says.
///
/// A login is a job of one thread. Those that help with a large one come and go with it, so nobody else waits.
pub(super) fn in_parallel<'a, F: Send>(
    work: usize,
    files: &mut [F],
    measure: &mut Measure<'a>,
    each: impl Fn(&mut [F], &mut Measure<'a>) -> Result<usize, OpenError> + Sync,
) -> Result<usize, OpenError> {
    if work < PAYS {
        return each(files, measure);
    }
    let threads = processors().min(THREADS);
    let root = measure.root;
    let mut sum = 0;
    thread::scope(|scope| {
        let helpers: Vec<_> = files
            .chunks_mut(files.len().div_ceil(threads))
            .map(|files| {
                scope.spawn(|| {
                    let mut measure = Measure::new(root);
                    each(files, &mut measure).map(|sum| (sum, measure))
                })
            })
            .collect();
        for helper in helpers {
            let (part, helped) = helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            sum += part;
            measure.absorb(helped);
        }
        Ok(sum)
    })
}

/// Messages to count from which on threads pay.
const PAYS: usize = 200;
/// Threads for one login at the most.
const THREADS: usize = 4;

/// The largest size that is believed without reading, and that is read at a login, 2 GiB: four thousand million such still add up in 64 bits.
const BELIEVED: u64 = 1 << 31;

const READ_BUFFER: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maildir::fixture::{CrLf, Fixture, wire_octets};

    fn measure(fixture: &Fixture, name: &str) -> Measured {
        let root = Root::open(fixture.path()).unwrap();
        Measure::new(&root).message::<CrLf>(Folder::Cur, name.as_bytes()).unwrap()
    }

    fn counted(fixture: &Fixture, name: &str, wire: u64, file: u64) -> Measured {
        let root = Root::open(fixture.path()).unwrap();
        let modified = modified(&root.look_at(Folder::Cur, name.as_bytes()).unwrap());
        Measured::Octets(Octets { wire, file, modified })
    }

    #[test]
    fn a_file_is_counted_as_it_will_be_sent() {
        let fixture = Fixture::new();
        let long = "line\n".repeat(40_000) + "\r\n.\nno end";
        for text in ["", "a\nb\r\nc\n", "x", "\n", &long] {
            fixture.put("cur/1.a", text);
            let (wire, file) = (wire_octets(text.as_bytes()), text.len() as u64);
            assert_eq!(measure(&fixture, "1.a"), counted(&fixture, "1.a", wire, file));
        }
    }

    #[test]
    fn what_the_name_says_is_hearsay_and_an_absurd_claim_is_not_believed() {
        let fixture = Fixture::new();
        let absurd = format!("1.a,W={}", u64::MAX);
        for name in ["1.a,W=77", "1.a,W=x", &absurd] {
            fixture.put(&format!("cur/{name}"), "a\n");
        }
        assert_eq!(measure(&fixture, "1.a,W=77"), Measured::Octets(Octets::hearsay(77)));
        assert_eq!(measure(&fixture, "1.a,W=x"), counted(&fixture, "1.a,W=x", 3, 2));
        assert_eq!(measure(&fixture, &absurd), counted(&fixture, &absurd, 3, 2));
    }

    #[test]
    fn a_sparse_file_of_300_megabytes_is_counted_through_one_buffer() {
        let fixture = Fixture::new();
        fixture.sparse("cur/1.big", 300_000_000);
        assert_eq!(measure(&fixture, "1.big"), counted(&fixture, "1.big", 300_000_002, 300_000_000));
    }

    #[test]
    fn a_file_that_no_message_can_be_as_long_as_is_not_read() {
        let fixture = Fixture::new();
        fixture.sparse("cur/1.holes", BELIEVED + 1);
        assert_eq!(measure(&fixture, "1.holes"), Measured::Octets(Octets::hearsay(BELIEVED)));
    }

    #[test]
    fn what_became_a_link_or_a_fifo_or_a_directory_is_no_message() {
        let fixture = Fixture::new();
        fixture.link("/etc/passwd", "cur/1.link");
        fixture.fifo("cur/2.fifo");
        fixture.directory("cur/3.directory");
        for name in ["1.link", "2.fifo", "3.directory"] {
            assert_eq!(measure(&fixture, name), Measured::NotRegular, "{name}");
        }
        assert_eq!(measure(&fixture, "4.nothing"), Measured::Gone);
    }

    #[test]
    fn an_unreadable_message_is_listed_with_the_size_of_its_file() {
        let fixture = Fixture::new();
        fixture.put("cur/1.a", "a\nb\n");
        let root = Root::open(fixture.path()).unwrap();
        let mut measure = Measure::new(&root);
        let measured = measure.unreadable(Folder::Cur, b"1.a", "read", Errno::IO);
        assert_eq!(measured, Measured::Octets(Octets::hearsay(4)));
        assert_eq!(measure.unreadable, 1);
        assert!(measure.first_error.unwrap().to_string().starts_with("cannot read"));
    }
}
