//! When somebody's time is up.
//!
//! Owns: one ordered set of moments, from which the poll's timeout comes.
//! Does not know: what happens then.
//!
//! A moment may only be moved later without telling: whoever is called too early asks again. So a
//! command costs nothing here, although each of them resets its client's deadline.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::Id;

/// Moments, each with the connection that it belongs to. Monotonic time only.
#[derive(Default, Debug)]
pub struct Deadlines(BTreeSet<(Instant, Id)>);

impl Deadlines {
    /// Calls for `id` at `at`; a connection has one such call at a time.
    pub fn insert(&mut self, at: Instant, id: Id) {
        self.0.insert((at, id));
    }

    /// Calls off what [`Deadlines::insert`] asked for.
    pub fn remove(&mut self, at: Instant, id: Id) {
        self.0.remove(&(at, id));
    }

    /// The next one whose moment has come; it is taken out.
    pub fn pop_due(&mut self, now: Instant) -> Option<Id> {
        if self.0.first()?.0 > now {
            return None;
        }
        self.0.pop_first().map(|(_, id)| id)
    }

    /// How long nothing is due; `None` where nothing ever is.
    pub fn until_next(&self, now: Instant) -> Option<Duration> {
        self.0.first().map(|(at, _)| at.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_in_order_and_once() {
        let (start, mut deadlines) = (Instant::now(), Deadlines::default());
        let (a, b, c) = (Id::for_test(1), Id::for_test(2), Id::for_test(3));
        let at = |seconds| start + Duration::from_secs(seconds);
        deadlines.insert(at(5), a);
        deadlines.insert(at(3), b);
        deadlines.insert(at(9), c);
        assert_eq!(deadlines.until_next(start), Some(Duration::from_secs(3)));
        assert_eq!(deadlines.pop_due(at(2)), None);
        assert_eq!(
            (deadlines.pop_due(at(6)), deadlines.pop_due(at(6)), deadlines.pop_due(at(6))),
            (Some(b), Some(a), None)
        );
        deadlines.remove(at(9), c);
        assert_eq!(deadlines.until_next(start), None);
    }
}
