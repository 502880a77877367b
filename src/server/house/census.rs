//! How many there are, and what they do.
//!
//! Owns: what is copied for whoever asks how the server stands.
//! Does not know: who asks, and what he is told of it.

use std::time::Instant;

use super::{House, Stream};
use crate::server::{
    record::{Row, Totals},
    worker::Workers,
};

/// Who is in, and what was counted.
#[derive(Clone, Debug)]
pub struct Census {
    /// Clients.
    pub connections: usize,
    /// Those who have logged in, in no order.
    pub sessions: Vec<Row>,
    /// Households that are held up for wrong passwords.
    pub slowed: usize,
    /// Since the start, those who are in included.
    pub totals: Totals,
}

impl<S: Stream, W: Workers> House<S, W> {
    /// Connections, and how many of them hold a maildrop.
    pub fn count(&self) -> (usize, usize) {
        (self.residents.len(), self.holders.len())
    }

    /// All that there is to tell. It only copies: everybody waits meanwhile.
    pub fn census(&self, now: Instant) -> Census {
        let mut totals = self.totals.clone();
        let mut sessions = Vec::with_capacity(self.holders.len());
        for (_, resident) in &self.residents {
            totals.add(resident.connection.record());
            sessions.extend(resident.connection.row());
        }
        Census { connections: self.residents.len(), sessions, slowed: self.throttle.slowed(now), totals }
    }
}
