//! Who may have a password checked, and when he is told that it was wrong.
//!
//! Owns: what the throttle says, carried out: connections that pause, and are woken by their deadlines.
//! Does not know: how long anybody has to wait, and why.

use std::time::Instant;

use super::{House, Stream};
use crate::{
    auth::{
        household::Household,
        throttle::{Turn, Verdict},
    },
    server::{
        Id,
        worker::{Job, NotAuthenticated, Outcome, Workers},
    },
};

impl<S: Stream, W: Workers> House<S, W> {
    /// Gives the job back if it may be done now. A password for which it is too early stays with its connection.
    pub(super) fn wait_for_turn(&mut self, id: Id, job: Job, now: Instant) -> Option<Job> {
        let Job::Authenticate { user, .. } = &job else { return Some(job) };
        let resident = self.residents.get_mut(id.place).filter(|resident| resident.id == id)?;
        if !resident.pays {
            return Some(job);
        }
        let household = resident.household;
        let turn = self.throttle.ask(household, user, id, now);
        let job = match turn {
            Turn::Check => Some(job),
            Turn::Pause(until) => {
                resident.connection.pause(job, until);
                self.hasten(id, now);
                None
            }
            Turn::TooLong => {
                resident.connection.given_up(now, &mut self.tools);
                self.enqueue(id);
                None
            }
        };
        self.call_next(household, now);
        job
    }

    /// The throttle hears what came of a password. When the client may hear that it was wrong.
    pub(super) fn judge(&mut self, id: Id, outcome: &Outcome, now: Instant) -> Instant {
        let verdict = match outcome {
            Outcome::Authenticated(Err(NotAuthenticated::Denied)) => Verdict::Wrong,
            Outcome::Authenticated(_) => Verdict::Right,
            // Of whatever job: the throttle knows whether a password of that client's was being checked.
            Outcome::Panicked => Verdict::Unknown,
            _ => return now,
        };
        self.checked(id, verdict, now)
    }

    /// The queue of hashes was full.
    pub(super) fn not_checked(&mut self, id: Id, now: Instant) {
        self.checked(id, Verdict::Unknown, now);
    }

    fn checked(&mut self, id: Id, verdict: Verdict, now: Instant) -> Instant {
        let Some(household) = self.resident(id).map(|resident| resident.household) else { return now };
        let tell = self.throttle.finish(household, id, verdict, now);
        self.call_next(household, now);
        tell
    }

    /// Whoever is first in the queue of that household is woken when it is his turn.
    pub(super) fn call_next(&mut self, household: Household, now: Instant) {
        let Some((id, at)) = self.throttle.next(household) else { return };
        if let Some(resident) = self.resident(id) {
            resident.connection.pause_until(at);
            self.hasten(id, now);
        }
    }

    /// A pause has begun or become shorter: its end comes before what `deadlines` has.
    pub(super) fn hasten(&mut self, id: Id, now: Instant) {
        let Some(resident) = self.residents.get_mut(id.place).filter(|resident| resident.id == id) else { return };
        if resident.connection.is_rested(now) {
            return self.enqueue(id);
        }
        let due = resident.connection.deadline(now, &self.tools);
        if due < resident.due {
            self.deadlines.remove(resident.due, id);
            self.deadlines.insert(due, id);
            resident.due = due;
        }
    }
}
