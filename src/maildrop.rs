//! The shared noun: the messages of one maildrop, as they were when its user logged in.
//!
//! Owns: message-numbers, sizes, names (in one arena), unique-ids, marks.
//! Does not know: files, sockets, the protocol's words.
//!
//! A maildrop is built once, at login, and never changes: RFC 1939 fixes message-numbers for the
//! whole session. What the session adds are [`Marks`].

use std::num::NonZeroU32;

/// A message-number as the client writes it: 1 is the first message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MessageNumber(NonZeroU32);

impl MessageNumber {
    /// `None` for 0, which no message has.
    pub fn new(number: u32) -> Option<MessageNumber> {
        NonZeroU32::new(number).map(MessageNumber)
    }

    /// The number as the client writes it.
    pub fn get(self) -> u32 {
        self.0.get()
    }

    #[inline(always)]
    fn at(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// The sub-directory of the Maildir that a message was seen in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Folder {
    /// Delivered, and seen by no one.
    New,
    /// Seen by a mail program; the name may carry flags.
    Cur,
}

impl Folder {
    /// The directory's name.
    pub fn name(self) -> &'static str {
        match self {
            Folder::New => "new",
            Folder::Cur => "cur",
        }
    }
}

/// How long a message is when RETR sends it, in octets with CRLF line ends and without dot-stuffing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Octets {
    /// On the wire.
    pub wire: u64,
    /// In the file; [`Octets::UNKNOWN`] where `wire` is hearsay (a `,W=` in the name) and was not counted.
    pub file: u64,
    /// When the file was last written to, before it was counted: nanoseconds since 1970. 0 where nobody counted.
    pub modified: u64,
}

impl Octets {
    /// Stands in `file` where nobody has counted yet.
    pub const UNKNOWN: u64 = u64::MAX;

    /// Writes it into a message's record.
    pub fn put(&self, record: &mut Record) {
        for (field, number) in [self.wire, self.file, self.modified].into_iter().enumerate() {
            record[WIRE_AT + field * 8..][..8].copy_from_slice(&number.to_le_bytes());
        }
    }

    /// A size that somebody told, and that was not counted.
    pub fn hearsay(wire: u64) -> Octets {
        Octets { wire, file: Octets::UNKNOWN, modified: 0 }
    }
}

/// One message, as it lies in memory and in a file alike: numbers are little-endian.
///
/// | octets | what |
/// |---|---|
/// | 8 | inode |
/// | 8, 8, 8 | [`Octets`]: `wire`, `file`, `modified` |
/// | 4 | where its name begins in the names |
/// | 1, 1 | octets of the name, and of the base name |
/// | 1 | 0 in `new`, 1 in `cur` |
/// | 1 | octets of the unique-id behind the name; 0: the base name is the unique-id |
pub type Record = [u8; 40];

/// The messages of one maildrop, in the order of their numbers.
#[derive(Default, Debug)]
pub struct Maildrop {
    records: Vec<Record>,
    /// Each name, with its unique-id behind it, in the order of the records and with nothing between them.
    names: Vec<u8>,
    octets: u64,
}

/// What is known of a message when it is put into a maildrop.
#[derive(Clone, Copy, Debug)]
pub struct NewMessage<'a> {
    /// The file's name without its directory, 1 to 255 octets.
    pub name: &'a [u8],
    /// How much of `name` is the base name: what stands before the first `:`.
    pub base_len: u8,
    /// Where it was seen.
    pub folder: Folder,
    /// Its inode.
    pub inode: u64,
    /// Its size.
    pub octets: Octets,
    /// Its unique-id, where that is not the base name; 1 to 70 octets.
    pub unique_id: Option<&'a [u8]>,
}

/// The arena of names is full: 4 GiB of names.
#[derive(Debug, thiserror::Error)]
#[error("more than 4 GiB of file names, or 4,294,967,295 messages, in one maildrop")]
pub struct TooMany;

impl Maildrop {
    /// An empty maildrop with room for `messages` whose names have `octets` octets together.
    pub fn with_capacity(messages: usize, octets: usize) -> Maildrop {
        Maildrop { records: Vec::with_capacity(messages), names: Vec::with_capacity(octets), octets: 0 }
    }

    /// The maildrop that gave [`Maildrop::records`] and [`Maildrop::names`]; `None` where the two can't be a
    /// maildrop's. It is for the caller to see that names are names.
    pub fn from_parts(records: Vec<Record>, names: Vec<u8>) -> Option<Maildrop> {
        u32::try_from(records.len()).ok()?;
        let (mut octets, mut end) = (0u64, 0);
        for record in &records {
            let [.., name_len, base_len, folder, unique_id_len] = *record;
            let fits = number_at(record, NAME_AT) as usize == end && base_len <= name_len;
            let wire = long_at(record, WIRE_AT);
            if !fits || name_len == 0 || folder > 1 || usize::from(unique_id_len) > UNIQUE_ID || wire > LARGEST {
                return None;
            }
            octets = octets.checked_add(wire)?;
            end += usize::from(name_len) + usize::from(unique_id_len);
        }
        (end == names.len()).then_some(Maildrop { records, names, octets })
    }

    /// The messages as they lie in memory.
    #[inline(always)]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// All names and unique-ids, as the records speak of them.
    #[inline(always)]
    pub fn names(&self) -> &[u8] {
        &self.names
    }

    /// Adds a message; it gets the next number.
    ///
    /// # Errors
    /// [`TooMany`] where the names or the numbers are used up.
    ///
    /// # Panics
    /// Where a name or unique-id is longer than its limit.
    pub fn push(&mut self, new: NewMessage<'_>) -> Result<(), TooMany> {
        let name_at = u32::try_from(self.names.len()).map_err(|_| TooMany)?;
        u32::try_from(self.records.len() + 1).map_err(|_| TooMany)?;
        let unique_id = new.unique_id.unwrap_or_default();
        assert!(unique_id.len() <= UNIQUE_ID, "a unique-id of {} octets", unique_id.len());
        self.names.extend_from_slice(new.name);
        self.names.extend_from_slice(unique_id);
        self.octets += new.octets.wire;
        let mut record = [0; 40];
        record[..8].copy_from_slice(&new.inode.to_le_bytes());
        record[NAME_AT..NAME_AT + 4].copy_from_slice(&name_at.to_le_bytes());
        let name_len = u8::try_from(new.name.len()).expect("a file name has at most 255 octets");
        record[NAME_AT + 4..].copy_from_slice(&[name_len, new.base_len, new.folder as u8, unique_id.len() as u8]);
        new.octets.put(&mut record);
        self.records.push(record);
        Ok(())
    }

    /// How many messages there are, those marked as deleted included.
    pub fn count(&self) -> u32 {
        self.records.len() as u32
    }

    /// The octets of all messages together.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// All message-numbers, rising.
    pub fn numbers(&self) -> impl Iterator<Item = MessageNumber> + use<> {
        (1..=self.count()).filter_map(MessageNumber::new)
    }

    /// Whether there is a message of that number.
    pub fn has(&self, message: MessageNumber) -> bool {
        message.get() <= self.count()
    }

    /// The size of a message. Panics where [`Maildrop::has`] is false, as do all below.
    pub fn size(&self, message: MessageNumber) -> Octets {
        let record = self.record(message);
        let [wire, file, modified] = [WIRE_AT, WIRE_AT + 8, WIRE_AT + 16].map(|at| long_at(record, at));
        Octets { wire, file, modified }
    }

    /// The octets of a message on the wire.
    #[inline(always)]
    pub fn wire_octets(&self, message: MessageNumber) -> u64 {
        long_at(self.record(message), WIRE_AT)
    }

    /// The file's name at login, without its directory.
    #[inline(always)]
    pub fn name(&self, message: MessageNumber) -> &[u8] {
        self.behind_name_at(message, 0, self.record(message)[NAME_AT + 4])
    }

    /// The base name: what stands before the first `:` of the name.
    #[inline(always)]
    pub fn base(&self, message: MessageNumber) -> &[u8] {
        self.behind_name_at(message, 0, self.record(message)[NAME_AT + 5])
    }

    /// Where it was at login.
    #[inline(always)]
    pub fn folder(&self, message: MessageNumber) -> Folder {
        if self.record(message)[NAME_AT + 6] == 0 { Folder::New } else { Folder::Cur }
    }

    /// Its inode at login.
    #[inline(always)]
    pub fn inode(&self, message: MessageNumber) -> u64 {
        long_at(self.record(message), 0)
    }

    /// The unique-id: 1 to 70 octets of 0x21 to 0x7E (RFC 1939 section 7).
    #[inline(always)]
    pub fn unique_id(&self, message: MessageNumber) -> &[u8] {
        match self.given_unique_id(message) {
            Some(given) => given,
            None => self.base(message),
        }
    }

    /// The unique-id, where it is not the base name.
    #[inline(always)]
    pub fn given_unique_id(&self, message: MessageNumber) -> Option<&[u8]> {
        let [.., name_len, _, _, len] = *self.record(message);
        if len > 0 { Some(self.behind_name_at(message, name_len, len)) } else { None }
    }

    #[inline(always)]
    fn record(&self, message: MessageNumber) -> &Record {
        &self.records()[message.at()]
    }

    #[inline(always)]
    fn behind_name_at(&self, message: MessageNumber, skip: u8, len: u8) -> &[u8] {
        let at = number_at(self.record(message), NAME_AT) as usize + usize::from(skip);
        &self.names()[at..at + usize::from(len)]
    }
}

const WIRE_AT: usize = 8;
const NAME_AT: usize = 32;
/// Octets of a unique-id (RFC 1939 section 7).
const UNIQUE_ID: usize = 70;
/// More octets no message has, whatever a file claims.
const LARGEST: u64 = 1 << 38;

#[inline(always)]
fn long_at(record: &Record, at: usize) -> u64 {
    u64::from_le_bytes(record[at..at + 8].try_into().expect("8 octets"))
}

#[inline(always)]
fn number_at(record: &Record, at: usize) -> u32 {
    u32::from_le_bytes(record[at..at + 4].try_into().expect("4 octets"))
}

/// What a session did to the messages of its maildrop, to be made true in the UPDATE state.
#[derive(Clone, Default, Debug)]
pub struct Marks {
    deleted: Bits,
    retrieved: Bits,
    deleted_count: u32,
    deleted_octets: u64,
}

impl Marks {
    /// Whether DELE marked the message.
    pub fn is_deleted(&self, message: MessageNumber) -> bool {
        self.deleted.has(message.at())
    }

    /// Whether RETR sent the message whole.
    pub fn is_retrieved(&self, message: MessageNumber) -> bool {
        self.retrieved.has(message.at())
    }

    /// Marks a message as deleted; once more changes nothing.
    pub fn delete(&mut self, maildrop: &Maildrop, message: MessageNumber) {
        if !self.is_deleted(message) {
            self.deleted.set(message.at());
            self.deleted_count += 1;
            self.deleted_octets += maildrop.wire_octets(message);
        }
    }

    /// Remembers that RETR sent the message whole.
    pub fn retrieve(&mut self, message: MessageNumber) {
        self.retrieved.set(message.at());
    }

    /// RSET: no message is marked as deleted. What was retrieved stays so.
    pub fn reset(&mut self) {
        self.deleted = Bits::default();
        (self.deleted_count, self.deleted_octets) = (0, 0);
    }

    /// How many messages are marked as deleted.
    pub fn deleted_count(&self) -> u32 {
        self.deleted_count
    }

    /// The octets of the messages that are marked as deleted.
    pub fn deleted_octets(&self) -> u64 {
        self.deleted_octets
    }

    /// Whether UPDATE has nothing to do.
    pub fn is_empty(&self) -> bool {
        self.deleted_count == 0 && self.retrieved.0.is_empty()
    }
}

/// A set of small numbers that takes no memory while it is empty.
#[derive(Clone, Default, Debug)]
struct Bits(Vec<u64>);

impl Bits {
    #[inline(always)]
    fn has(&self, at: usize) -> bool {
        self.0.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    fn set(&mut self, at: usize) {
        if self.0.len() <= at / 64 {
            self.0.resize(at / 64 + 1, 0);
        }
        self.0[at / 64] |= 1 << (at % 64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(n: u32) -> MessageNumber {
        MessageNumber::new(n).unwrap()
    }

    fn maildrop() -> Maildrop {
        let mut drop = Maildrop::default();
        for (name, base_len, unique_id, wire) in
            [(&b"1.a:2,S"[..], 3, None, 10), (b"2.b", 3, Some(&b"hash"[..]), 20), (b"3.c:2,", 3, None, 30)]
        {
            let octets = Octets { wire, file: wire, modified: 1 };
            let folder = Folder::Cur;
            drop.push(NewMessage { name, base_len, folder, inode: 7, octets, unique_id }).unwrap();
        }
        drop
    }

    #[test]
    fn names_and_unique_ids_come_back_from_the_arena() {
        let drop = maildrop();
        assert_eq!((drop.name(number(1)), drop.unique_id(number(1))), (&b"1.a:2,S"[..], &b"1.a"[..]));
        assert_eq!((drop.name(number(2)), drop.unique_id(number(2))), (&b"2.b"[..], &b"hash"[..]));
        assert_eq!((drop.base(number(3)), drop.unique_id(number(3))), (&b"3.c"[..], &b"3.c"[..]));
        assert_eq!((drop.count(), drop.octets(), drop.has(number(3)), drop.has(number(4))), (3, 60, true, false));
    }

    #[test]
    fn marks_count_a_message_once_and_reset_keeps_what_was_retrieved() {
        let (drop, mut marks) = (maildrop(), Marks::default());
        assert!(marks.is_empty());
        marks.delete(&drop, number(2));
        marks.delete(&drop, number(2));
        marks.retrieve(number(3));
        assert_eq!((marks.deleted_count(), marks.deleted_octets()), (1, 20));
        marks.reset();
        assert_eq!((marks.deleted_count(), marks.deleted_octets()), (0, 0));
        assert!(!marks.is_deleted(number(2)) && marks.is_retrieved(number(3)) && !marks.is_empty());
    }

    #[test]
    fn a_maildrop_is_the_same_from_its_parts_and_what_can_be_no_parts_is_none() {
        let drop = maildrop();
        let (records, names) = (drop.records().to_vec(), drop.names().to_vec());
        let again = Maildrop::from_parts(records.clone(), names.clone()).unwrap();
        assert_eq!((again.records(), again.names(), again.octets()), (drop.records(), drop.names(), drop.octets()));
        assert!(Maildrop::from_parts(records.clone(), names[1..].to_vec()).is_none());
        assert!(Maildrop::from_parts(records[1..].to_vec(), names.clone()).is_none());
        for (at, octet) in [(13, 1), (NAME_AT, 1), (36, 0), (36, 200), (37, 9), (38, 2), (39, 71)] {
            let mut wrong = records.clone();
            wrong[0][at] = octet;
            assert!(Maildrop::from_parts(wrong, names.clone()).is_none(), "{octet} at {at}");
        }
    }
}
