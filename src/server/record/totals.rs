//! What was counted since the start.
//!
//! Owns: the sums over all connections. A connection counts for itself and is added when it ends, so nothing is shared
//! and nothing is locked.
//! Does not know: who asks for them.

use super::{Count, Reason, Record, WORDS};
use crate::{maildir::Recall, server::admission::Full};

/// Sums over connections.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Totals {
    /// Connections, those that were turned away at once among them.
    pub connections: u64,
    /// Those that ended, by their reasons, in the order of [`WORDS`].
    pub closed: [u64; WORDS.len()],
    /// Maildrops that were opened.
    pub logins: u64,
    /// Logins by how much the maildrop's index told: all, a part, nothing.
    pub recalls: [u64; 3],
    /// Wrong names or passwords.
    pub denied: u64,
    /// Logins that came to nothing for other reasons.
    pub turned_down: u64,
    /// By RETR.
    pub retr: Count,
    /// By TOP.
    pub top: Count,
    /// Messages that UPDATE removed.
    pub removed: u64,
    /// Messages that were in a maildrop when its session ended.
    pub left: u64,
}

impl Totals {
    /// Adds what a connection has done so far.
    pub fn add(&mut self, record: &Record) {
        self.connections += 1;
        if let Some((_, recall)) = record.login {
            self.logins += 1;
            self.recalls[match recall {
                Recall::Whole => 0,
                Recall::Part => 1,
                Recall::Nothing => 2,
            }] += 1;
        }
        self.denied += u64::from(record.denied);
        self.turned_down += u64::from(record.turned_down);
        self.retr += record.retr;
        self.top += record.top;
        self.removed += u64::from(record.removed);
    }

    /// A connection has come to its end.
    pub fn end(&mut self, record: &Record, reason: Reason) {
        self.add(record);
        self.closed[reason.place()] += 1;
        // Without a login there are none.
        self.left += u64::from(record.messages.saturating_sub(record.removed));
    }

    /// Somebody was not even let in.
    pub fn turned_away(&mut self, full: Full) {
        self.connections += 1;
        self.closed[Reason::Full(full).place()] += 1;
    }
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Count) {
        self.messages += other.messages;
        self.octets += other.octets;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn ends_are_counted_by_their_words_and_each_word_has_a_place_of_its_own() {
        let all = [
            Reason::Quit,
            Reason::Disconnected,
            Reason::Timeout,
            Reason::Refused,
            Reason::CrowdedOut,
            Reason::TakenOver,
            Reason::Broken,
            Reason::Shutdown,
            Reason::Fault,
        ];
        let record = Record::new([192, 0, 2, 1].into(), Instant::now());
        let mut totals = Totals::default();
        for (at, reason) in all.into_iter().enumerate() {
            totals.end(&record, reason);
            assert_eq!((totals.closed[at], WORDS[at]), (1, reason.to_string().as_str()));
        }
        totals.turned_away(Full::House);
        totals.turned_away(Full::Address);
        assert_eq!((totals.closed[9], WORDS[9], totals.connections), (2, "turned-away", 11));
    }

    #[test]
    fn a_connection_adds_what_it_did_and_what_it_left() {
        let record = Record {
            login: Some((Instant::now(), Recall::Part)),
            denied: 2,
            turned_down: 1,
            retr: Count { messages: 3, octets: 300 },
            top: Count { messages: 4, octets: 40 },
            removed: 5,
            messages: 9,
            ..Record::new([192, 0, 2, 1].into(), Instant::now())
        };
        let mut totals = Totals::default();
        totals.end(&record, Reason::Quit);
        totals.add(&record);
        let due = Totals {
            connections: 2,
            closed: [1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            logins: 2,
            recalls: [0, 2, 0],
            denied: 4,
            turned_down: 2,
            retr: Count { messages: 6, octets: 600 },
            top: Count { messages: 8, octets: 80 },
            removed: 10,
            left: 4,
        };
        assert_eq!(totals, due);
    }
}
