//! LIST and UIDL of a whole maildrop, a piece at a time.
//!
//! Owns: the lines of a listing.
//! Does not know: how much room there is, or why it is asked to stop.

use crate::maildrop::{Maildrop, Marks, MessageNumber};

/// What a listing tells of each message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Column {
    /// LIST: its octets.
    Size,
    /// UIDL: its unique-id.
    UniqueId,
}

/// A listing that is under way. Begins with its status line and ends with its dot.
#[derive(Debug)]
pub struct Listing {
    column: Column,
    next: u32,
    begun: bool,
}

impl Listing {
    /// A listing from the first message on.
    pub fn new(column: Column) -> Listing {
        Listing { column, next: 1, begun: false }
    }

    /// Appends lines until `out` is longer than `mark`; true when the final dot is in it.
    pub fn fill(&mut self, maildrop: &Maildrop, marks: &Marks, out: &mut Vec<u8>, mark: usize) -> bool {
        if !self.begun {
            self.begun = true;
            out.extend_from_slice(b"+OK ");
            decimal(u64::from(maildrop.count() - marks.deleted_count()), out);
            out.extend_from_slice(b" messages\r\n");
        }
        while self.next <= maildrop.count() {
            if out.len() > mark {
                return false;
            }
            let message = MessageNumber::new(self.next).expect("numbers begin at 1");
            if !marks.is_deleted(message) {
                line(self.column, maildrop, message, out);
                out.extend_from_slice(b"\r\n");
            }
            self.next += 1;
        }
        out.extend_from_slice(b".\r\n");
        true
    }
}

/// `number octets` or `number unique-id`, without a line end.
pub fn line(column: Column, maildrop: &Maildrop, message: MessageNumber, out: &mut Vec<u8>) {
    decimal(u64::from(message.get()), out);
    out.push(b' ');
    match column {
        Column::Size => decimal(maildrop.wire_octets(message), out),
        Column::UniqueId => out.extend_from_slice(maildrop.unique_id(message)),
    }
}

/// A number, without the machinery of `write!`: a listing has two a line.
fn decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maildrop::{Folder, NewMessage, Octets};

    fn maildrop(messages: u64) -> Maildrop {
        let mut drop = Maildrop::default();
        for n in 1..=messages {
            let name = format!("{n}.x");
            let octets = Octets::hearsay(n * 100);
            let base_len = name.len() as u8;
            let name = name.as_bytes();
            drop.push(NewMessage { name, base_len, folder: Folder::New, inode: n, octets, unique_id: None }).unwrap();
        }
        drop
    }

    fn whole(column: Column, drop: &Maildrop, marks: &Marks, mark: usize) -> String {
        let (mut listing, mut all) = (Listing::new(column), vec![]);
        loop {
            let mut out = vec![];
            let done = listing.fill(drop, marks, &mut out, mark);
            assert!(!out.is_empty() || done, "a fill with room makes progress");
            all.extend(out);
            if done {
                return String::from_utf8(all).unwrap();
            }
        }
    }

    #[test]
    fn a_listing_is_the_same_however_little_room_there_is() {
        let (drop, mut marks) = (maildrop(12), Marks::default());
        marks.delete(&drop, MessageNumber::new(2).unwrap());
        let list = whole(Column::Size, &drop, &marks, usize::MAX);
        assert!(list.starts_with("+OK 11 messages\r\n1 100\r\n3 300\r\n"), "{list}");
        assert!(list.ends_with("12 1200\r\n.\r\n"), "{list}");
        let uidl = whole(Column::UniqueId, &drop, &marks, usize::MAX);
        assert!(uidl.contains("\r\n3 3.x\r\n4 4.x\r\n"), "{uidl}");
        for mark in 0..40 {
            assert_eq!(whole(Column::Size, &drop, &marks, mark), list);
            assert_eq!(whole(Column::UniqueId, &drop, &marks, mark), uidl);
        }
    }

    #[test]
    fn numbers_are_written_as_they_are() {
        for number in [0, 1, 9, 10, 99, 100, u64::MAX] {
            let mut out = vec![];
            decimal(number, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }
}
