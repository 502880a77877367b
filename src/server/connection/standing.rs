//! How a connection stands: what the house and the poll ask of it between its turns.
//!
//! Owns: what an event is a reason for, when time is up, who yields, who must not be cut off.
//! Does not know: what is done about any of it.

use std::time::{Duration, Instant};

use super::{Activity, Awaited, Connection, Stream, Tools};
use crate::{
    maildir,
    maildrop::Marks,
    server::record::{Record, Row},
};

impl<S: Stream> Connection<S> {
    /// The poll has news; whether they are a reason for a turn.
    pub fn ready(&mut self, readable: bool, read_closed: bool, writable: bool) -> bool {
        self.readable |= readable || read_closed;
        self.has_left |= read_closed && !self.read_closed && matches!(self.activity, Activity::PausedUntil(..));
        self.read_closed |= read_closed;
        let hears = matches!(self.activity, Activity::Commands | Activity::Header(_)) && (readable || read_closed);
        hears || writable && self.blocked
    }

    /// The client has gone altogether. A login that still waits is called off: it would keep others waiting.
    /// An UPDATE goes on, and whatever is being sent finds out by itself.
    pub fn hung_up(&self) -> bool {
        matches!(
            self.activity,
            Activity::AwaitingJob(Awaited::Password | Awaited::Maildrop(_)) | Activity::PausedUntil(..)
        )
    }

    /// The client has sent its FIN during a pause. Who sends all at once and then FIN wants to hear the replies,
    /// but this one had something to wait for, and left.
    pub fn has_left(&self) -> bool {
        self.has_left
    }

    /// Whether this session gives its maildrop to the same user's next one: its client has said nothing,
    /// and taken nothing, for so long. A phone that lost its network leaves such a session behind.
    pub fn yields(&self, now: Instant, takeover_after: Duration) -> bool {
        let silent = now.saturating_duration_since(self.heard);
        match self.activity {
            Activity::AwaitingJob(_) => false,
            Activity::Commands if self.outbox.is_empty() => silent >= takeover_after,
            // It is being sent something. The kernel tells of octets taken only now and then, so a slow
            // line is given some time more before it counts as dead.
            _ => silent >= takeover_after * 4,
        }
    }

    /// The maildrop that it holds.
    pub fn maildrop_id(&self) -> Option<maildir::MaildropId> {
        self.store.as_ref().map(|store| store.id())
    }

    /// Whether it is in UPDATE, which a stop of the server must not cut off, or its last reply is on its way.
    pub fn is_finishing(&self) -> bool {
        matches!(self.activity, Activity::AwaitingJob(Awaited::Update { .. }) | Activity::Draining(_))
    }

    /// When its time is up, unless something happens. Asked again when that moment has come.
    pub fn deadline(&self, now: Instant, tools: &Tools) -> Instant {
        match self.activity {
            // A job takes as long as it takes.
            Activity::AwaitingJob(_) => now + Duration::from_secs(1),
            Activity::PausedUntil(until, _) if until > now => until.min(self.time_to_log_in(tools)),
            _ if self.record.has_logged_in() => self.heard + tools.idle_time,
            _ => self.time_to_log_in(tools),
        }
    }

    /// Whether its pause is over, so that a turn is due.
    pub fn is_rested(&self, now: Instant) -> bool {
        matches!(self.activity, Activity::PausedUntil(until, _) if until <= now)
    }

    /// What it has done so far.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The session, where there is one, for whoever looks at them all.
    pub fn row(&self) -> Option<Row> {
        let marked = self.session.marks().map_or(0, Marks::deleted_count);
        self.record.row(self.transport.tls_version(), self.heard, marked)
    }

    fn time_to_log_in(&self, tools: &Tools) -> Instant {
        self.record.began() + tools.login_time
    }
}
