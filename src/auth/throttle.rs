//! How fast a household may guess passwords.
//!
//! Owns: whose password is checked next, how long a wrong one holds up its household, when that is forgiven, and how
//! many households are remembered.
//! Does not know: sockets, passwords, who exists, the clock. It is told the time; attempts are tickets to it.
//!
//! **One password of a household is checked at a time, and a wrong one is followed by a pause.** So it makes no
//! difference how many connections somebody has: fifty guesses at once are fifty pauses, one after the other, and an
//! attempt counts from the moment that its check begins. The pause is 1, 2, 4, 8 and then always [`LONGEST_PAUSE`]
//! seconds; the `-ERR` leaves when it ends. Right passwords cause no pause, however many come at once.
//!
//! At its fastest that is [`GUESSES_AN_HOUR`]. An attempt that has not had its turn after [`PATIENCE`] is given up
//! unchecked, since mail programs do not wait for ever. Time forgives, one failure each [`FORGIVEN_AFTER`]; a right
//! password does not, or whoever owns one account could guess at all others between two logins of his own.
//! No account is ever closed: what a stranger does slows nobody but his own household. There, whoever has logged in
//! before goes before those who never did, so that a rival with fifty sockets does not keep him out.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::household::Household;
use crate::user::UserName;

/// The longest pause after a wrong password.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long an attempt waits for its turn. It is longer than [`LONGEST_PAUSE`], so whoever has no rival has his turn.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// One failure less.
pub const FORGIVEN_AFTER: Duration = Duration::from_secs(5 * 60);
/// More failures than this are not counted: after an hour everything is forgiven.
pub const MOST_FAILURES: u32 = 12;
/// Passwords of one household that are checked in any hour and turn out wrong: a bound, kept by a test.
pub const GUESSES_AN_HOUR: u32 = 370;
/// Households that are remembered when none of their attempts is under way; some 1 MB.
pub const REMEMBERED: usize = 10_000;
/// Households of each user in which he goes before strangers: the last ones from which he has logged in.
pub const HOMES: usize = 8;

/// What is known of households in which passwords turn out wrong. `T` is a ticket, one for each connection.
#[derive(Debug)]
pub struct Throttle<T> {
    lanes: HashMap<Household, Lane<T>>,
    /// Of those who logged in; so it is as long as the users file at most, and nobody gets into another's row.
    homes: HashMap<UserName, VecDeque<Household>>,
}

/// What an attempt has to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// The password may be checked. [`Throttle::finish`] or [`Throttle::leave`] must follow.
    Check,
    /// Ask again at that moment, or earlier if [`Throttle::next`] says so.
    Pause(Instant),
    /// It has waited too long; it is not in the queue any more.
    TooLong,
}

/// What became of a check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The password is right.
    Right,
    /// It is wrong, or nobody stayed to hear what it is.
    Wrong,
    /// It could not be checked.
    Unknown,
}

/// One household.
#[derive(Debug)]
struct Lane<T> {
    /// When the last failure will be forgiven.
    forgiven: Instant,
    /// No check begins before.
    free: Instant,
    checking: Option<Attempt<T>>,
    /// Those of people who are at home first, else in the order in which they came.
    waiting: VecDeque<Attempt<T>>,
}

#[derive(Debug)]
struct Attempt<T> {
    ticket: T,
    user: UserName,
    at_home: bool,
    gives_up: Instant,
}

impl<T> Default for Throttle<T> {
    /// Nobody has failed yet.
    fn default() -> Throttle<T> {
        Throttle { lanes: HashMap::new(), homes: HashMap::new() }
    }
}

impl<T: Copy + PartialEq> Throttle<T> {
    /// `ticket` has a password of `user` to be checked; it may ask as often as it likes.
    pub fn ask(&mut self, household: Household, user: &UserName, ticket: T, now: Instant) -> Turn {
        let lane = self.lanes.entry(household).or_insert_with(|| Lane::new(now));
        let place = lane.waiting.iter().position(|attempt| attempt.ticket == ticket).unwrap_or_else(|| {
            let at_home = self.homes.get(user).is_some_and(|homes| homes.contains(&household));
            let behind = lane.waiting.iter().take_while(|other| other.at_home || !at_home).count();
            lane.waiting.insert(behind, Attempt { ticket, user: user.clone(), at_home, gives_up: now + PATIENCE });
            behind
        });
        if place == 0 && lane.checking.is_none() && lane.free <= now {
            lane.checking = lane.waiting.pop_front();
            return Turn::Check;
        }
        let attempt = &mut lane.waiting[place];
        if attempt.gives_up <= now {
            if lane.forgiven > now {
                lane.waiting.remove(place);
                return Turn::TooLong;
            }
            // Nobody there has failed: it is the checks themselves that take so long.
            attempt.gives_up = now + PATIENCE;
        }
        Turn::Pause(attempt.gives_up)
    }

    /// Who is to ask, and when: whoever is first, if nothing but the clock keeps it from its turn.
    pub fn next(&self, household: Household) -> Option<(T, Instant)> {
        let lane = self.lanes.get(&household).filter(|lane| lane.checking.is_none())?;
        lane.waiting.front().map(|first| (first.ticket, lane.free.min(first.gives_up)))
    }

    /// The check that [`Turn::Check`] allowed is done. When its reply may leave.
    pub fn finish(&mut self, household: Household, ticket: T, verdict: Verdict, now: Instant) -> Instant {
        let Some(lane) = self.lanes.get_mut(&household) else { return now };
        let Some(Attempt { user, .. }) = lane.checking.take_if(|attempt| attempt.ticket == ticket) else { return now };
        match verdict {
            Verdict::Wrong => {
                lane.free = now + pause(lane.failures(now));
                lane.forgiven = (lane.forgiven.max(now) + FORGIVEN_AFTER).min(now + FORGIVEN_AFTER * MOST_FAILURES);
            }
            Verdict::Right => {
                let homes = self.homes.entry(user).or_default();
                homes.retain(|home| *home != household);
                homes.push_front(household);
                homes.truncate(HOMES);
            }
            Verdict::Unknown => {}
        }
        let free = lane.free.max(now);
        self.forget(household, now);
        free
    }

    /// The client has gone. If its password was being checked, that was a guess: else who hangs up in time would have
    /// as many as he likes.
    pub fn leave(&mut self, household: Household, ticket: T, now: Instant) {
        if let Some(lane) = self.lanes.get_mut(&household) {
            lane.waiting.retain(|attempt| attempt.ticket != ticket);
            self.finish(household, ticket, Verdict::Wrong, now);
            self.forget(household, now);
        }
    }

    /// Households with failures that are not forgiven yet.
    pub fn slowed(&self, now: Instant) -> usize {
        self.lanes.values().filter(|lane| lane.forgiven > now).count()
    }

    /// Drops what is of no use, and if there is still too much, whoever would be forgiven first: so filling the table
    /// takes more failures in each of its households than the one has that is to be forgotten.
    fn forget(&mut self, household: Household, now: Instant) {
        if self.lanes.get(&household).is_some_and(|lane| lane.is_blank(now)) {
            self.lanes.remove(&household);
        }
        if self.lanes.len() <= REMEMBERED {
            return;
        }
        self.lanes.retain(|_, lane| !lane.is_blank(now));
        if self.lanes.len() > REMEMBERED {
            let idle = self.lanes.iter().filter(|(other, lane)| **other != household && lane.is_idle());
            if let Some(least) = idle.min_by_key(|(_, lane)| lane.forgiven).map(|(least, _)| *least) {
                self.lanes.remove(&least);
            }
        }
    }
}

impl<T> Lane<T> {
    fn new(now: Instant) -> Lane<T> {
        Lane { forgiven: now, free: now, checking: None, waiting: VecDeque::new() }
    }

    /// Failures that are not forgiven yet.
    fn failures(&self, now: Instant) -> u32 {
        let debt = self.forgiven.saturating_duration_since(now).as_nanos();
        u32::try_from(debt.div_ceil(FORGIVEN_AFTER.as_nanos())).unwrap_or(MOST_FAILURES)
    }

    /// None of its attempts is under way.
    fn is_idle(&self) -> bool {
        self.checking.is_none() && self.waiting.is_empty()
    }

    /// It is as good as new.
    fn is_blank(&self, now: Instant) -> bool {
        self.is_idle() && self.forgiven <= now && self.free <= now
    }
}

/// What a wrong password costs that comes after so many.
fn pause(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.min(4)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests;
