//! All connections: who is in, whose turn it is, whose time is up, who holds which maildrop.
//!
//! Owns: the connections, the run queue, deadlines, admission, take-over.
//! Does not know: mio, threads, the clock. Streams, workers and the time are given to it, so that a
//! test can drive thousands of clients through it without any of them.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    net::{IpAddr, SocketAddr},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::ServerConfig;
use slab::Slab;

use super::{
    Id,
    admission::{Admission, Full},
    connection::{Connection, Next, Tools},
    deadlines::Deadlines,
    record::{Reason, Totals},
    worker::{Job, Outcome, Workers},
};
use crate::{
    auth::{household::Household, throttle::Throttle},
    config::Networks,
    maildir::{MaildropId, OpenError},
    net::transport::{Stream, Transport},
    proto::session::Terms,
};

/// How many may be in, who pays for wrong passwords, and when a maildrop changes hands.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Connections in all.
    pub connections: usize,
    /// Connections of one address.
    pub connections_per_address: usize,
    /// Silence after which a session yields its maildrop to the same user's next one.
    pub takeover_after: Duration,
    /// Networks whose wrong passwords slow nobody down.
    pub penalty_free: Networks,
}

/// The connections of a server over streams `S`, with workers `W`.
#[derive(Debug)]
pub struct House<S, W> {
    residents: Slab<Resident<S>>,
    serial: u64,
    /// Whose turn it is. The poll is edge-triggered: what is left over is remembered here or nowhere.
    queue: VecDeque<Id>,
    deadlines: Deadlines,
    admission: Admission,
    /// Who has not logged in, the oldest first.
    strangers: BTreeSet<Id>,
    /// Strangers who had to go since the log last said so, and when that was.
    crowded_out: (u32, Option<Instant>),
    throttle: Throttle<Id>,
    penalty_free: Networks,
    holders: HashMap<MaildropId, Id>,
    takeover_after: Duration,
    long_turn_logged: Option<Instant>,
    /// Of those who have gone.
    totals: Totals,
    workers: W,
    tools: Tools,
}

#[derive(Debug)]
struct Resident<S> {
    id: Id,
    /// Whom a wrong password slows down.
    household: Household,
    /// Whom it counts for; nobody where it is a proxy's, until that has named its client.
    counted: Option<Household>,
    /// Wrong passwords from there cost something.
    pays: bool,
    /// The moment that `deadlines` has for it.
    due: Instant,
    queued: bool,
    holds: Option<MaildropId>,
    connection: Connection<S>,
}

/// A turn that takes longer than this makes others wait, and is logged.
const LONG_TURN: Duration = Duration::from_millis(20);
/// How often that is said.
const LOG_PAUSE: Duration = Duration::from_secs(60);

impl<S: Stream, W: Workers> House<S, W> {
    /// An empty house.
    pub fn new(rules: Rules, tools: Tools, workers: W) -> Self {
        House {
            residents: Slab::new(),
            serial: 0,
            queue: VecDeque::new(),
            deadlines: Deadlines::default(),
            admission: Admission::new(rules.connections, rules.connections_per_address),
            strangers: BTreeSet::new(),
            crowded_out: (0, None),
            throttle: Throttle::default(),
            penalty_free: rules.penalty_free,
            holders: HashMap::new(),
            takeover_after: rules.takeover_after,
            long_turn_logged: None,
            totals: Totals::default(),
            workers,
            tools,
        }
    }

    /// Lets a client in, and gives it its first turn with the next [`House::run`]. Its place names it to the poll.
    /// In a full house the oldest who has not logged in goes for it.
    ///
    /// # Errors
    /// The house is full of those who have logged in, or its address has all its connections; the stream comes back.
    pub fn admit(
        &mut self,
        stream: S,
        peer: SocketAddr,
        transport: Transport,
        terms: Terms,
        now: Instant,
    ) -> Result<usize, (Full, S)> {
        let by_proxy = self.tools.proxy_from.contains(peer.ip());
        let household = Household::of(peer.ip());
        let counted = (!by_proxy).then_some(household);
        let entered = self.admission.enter(counted).or_else(|full| match full {
            Full::House if self.make_room(now) => self.admission.enter(counted),
            full => Err(full),
        });
        if let Err(full) = entered {
            self.totals.turned_away(full);
            return Err((full, stream));
        }
        let entry = self.residents.vacant_entry();
        let id = Id { serial: self.serial, place: entry.key() };
        self.serial += 1;
        let mut connection = Connection::new(stream, peer, transport, terms, now);
        if by_proxy {
            connection.await_header(terms);
        }
        let due = connection.deadline(now, &self.tools);
        self.deadlines.insert(due, id);
        self.queue.push_back(id);
        self.strangers.insert(id);
        let pays = !self.penalty_free.contains(peer.ip());
        entry.insert(Resident { id, household, counted, pays, due, queued: true, holds: None, connection });
        Ok(id.place)
    }

    /// The stream of whoever is at `place`.
    pub fn stream(&mut self, place: usize) -> Option<&mut S> {
        self.residents.get_mut(place).map(|resident| resident.connection.stream())
    }

    /// The certificate, for those who come in over TLS.
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// Another certificate for all who begin TLS from here on. Who has begun keeps the old one.
    pub fn renew(&mut self, tls: Arc<ServerConfig>) {
        self.tools.tls = Some(tls);
    }

    /// The poll has news of whoever is at `place`.
    pub fn ready(&mut self, place: usize, readable: bool, read_closed: bool, writable: bool, now: Instant) {
        let Some(resident) = self.residents.get_mut(place) else { return };
        let id = resident.id;
        let has_news = resident.connection.ready(readable, read_closed, writable);
        if resident.connection.has_left() {
            self.close(id, Reason::Disconnected, now);
        } else if has_news {
            self.enqueue(id);
        }
    }

    /// The client at `place` has hung up in both directions.
    pub fn hung_up(&mut self, place: usize, now: Instant) {
        let resident = self.residents.get_mut(place).filter(|resident| resident.connection.hung_up());
        if let Some(id) = resident.map(|resident| resident.id) {
            self.close(id, Reason::Disconnected, now);
        }
    }

    /// The stream at `place` can't be watched: nobody would hear of it again.
    pub fn unwatched(&mut self, place: usize, now: Instant) {
        if let Some(id) = self.residents.get(place).map(|resident| resident.id) {
            self.close(id, Reason::Fault, now);
        }
    }

    /// A job is done. If its client has gone, so has whatever came of it: a lock is given back by dropping it.
    pub fn outcome(&mut self, id: Id, outcome: Outcome, now: Instant) {
        if self.resident(id).is_none() {
            return;
        }
        if let Outcome::Opened(Err(OpenError::Busy(maildrop))) = &outcome {
            if let Some(holder) = self.yielding_holder(maildrop, now) {
                self.close(holder, Reason::TakenOver, now);
                if let Some(job) = self.resident(id).and_then(|resident| resident.connection.open_again()) {
                    return self.submit(id, job, now);
                }
            }
        }
        let tell = self.judge(id, &outcome, now);
        let resident = self.residents.get_mut(id.place).filter(|resident| resident.id == id);
        let Some(resident) = resident else { return };
        let job = resident.connection.outcome(outcome, now, tell, &mut self.tools);
        if let Some(maildrop) = resident.connection.maildrop_id() {
            resident.holds = Some(maildrop);
            self.holders.insert(maildrop, id);
            self.strangers.remove(&id);
        }
        match job {
            Some(job) => self.submit(id, job, now),
            None if tell > now => self.hasten(id, now),
            None => self.enqueue(id),
        }
    }

    /// Closes those whose time is up, and gives those a turn whose pause is over.
    pub fn expire(&mut self, now: Instant) {
        self.tools.quota.expire(now);
        while let Some(id) = self.deadlines.pop_due(now) {
            let Some(resident) = self.residents.get_mut(id.place).filter(|resident| resident.id == id) else {
                continue;
            };
            resident.due = resident.connection.deadline(now, &self.tools);
            if resident.due > now {
                self.deadlines.insert(resident.due, id);
                if resident.connection.is_rested(now) {
                    self.enqueue(id);
                }
            } else {
                self.close(id, Reason::Timeout, now);
            }
        }
    }

    /// One turn for each who waits for one; true where some want another.
    pub fn run(&mut self, clock: impl Fn() -> Instant) -> bool {
        let mut now = clock();
        for _ in 0..self.queue.len() {
            let Some(id) = self.queue.pop_front() else { break };
            let Some(resident) = self.residents.get_mut(id.place).filter(|resident| resident.id == id) else {
                continue;
            };
            resident.queued = false;
            let turn = catch_unwind(AssertUnwindSafe(|| resident.connection.turn(now, &mut self.tools)));
            match turn.unwrap_or(Next::Closed(Reason::Fault)) {
                Next::Wait => {}
                Next::RunAgain => self.enqueue(id),
                Next::Submit(job) => self.submit(id, job, now),
                Next::Named(client) => self.named(id, client),
                Next::Closed(reason) => self.close(id, reason, now),
            }
            let after = clock();
            if after.saturating_duration_since(now) > LONG_TURN
                && self.long_turn_logged.is_none_or(|at| now - at > LOG_PAUSE)
            {
                self.long_turn_logged = Some(now);
                log::warn!("one turn took {} ms; said once a minute at most", (after - now).as_millis());
            }
            now = after;
        }
        !self.queue.is_empty()
    }

    /// Whether a turn is due.
    pub fn has_work(&self) -> bool {
        !self.queue.is_empty()
    }

    /// How long nobody's time is up.
    pub fn until_next(&self, now: Instant) -> Option<Duration> {
        self.deadlines.until_next(now).into_iter().chain(self.tools.quota.until_next(now)).min()
    }

    /// The server stops: who is in UPDATE finishes it, all others are closed without one.
    pub fn stop(&mut self, now: Instant) {
        self.close_all(now, |connection| !connection.is_finishing());
    }

    /// Nobody is waited for any longer.
    pub fn evict(&mut self, now: Instant) {
        self.close_all(now, |_| true);
    }

    /// Whether nobody is in.
    pub fn is_empty(&self) -> bool {
        self.residents.is_empty()
    }

    fn close_all(&mut self, now: Instant, which: impl Fn(&Connection<S>) -> bool) {
        let ids: Vec<Id> =
            self.residents.iter().filter(|(_, resident)| which(&resident.connection)).map(|(_, r)| r.id).collect();
        for id in ids {
            self.close(id, Reason::Shutdown, now);
        }
    }

    fn yielding_holder(&self, maildrop: &MaildropId, now: Instant) -> Option<Id> {
        let id = *self.holders.get(maildrop)?;
        let holder = self.residents.get(id.place).filter(|resident| resident.id == id)?;
        holder.connection.yields(now, self.takeover_after).then_some(id)
    }

    fn submit(&mut self, id: Id, job: Job, now: Instant) {
        let Some(job) = self.wait_for_turn(id, job, now) else { return };
        if let Err(job) = self.workers.submit(id, job) {
            self.not_checked(id, now);
            let resident = self.residents.get_mut(id.place).filter(|resident| resident.id == id);
            if let Some(resident) = resident {
                resident.connection.turned_away(job, now, &mut self.tools);
                self.enqueue(id);
            }
        }
    }

    /// A proxy has said whom it speaks for: from now on the connection is that client's.
    fn named(&mut self, id: Id, client: Option<IpAddr>) {
        let Some(resident) = self.residents.get_mut(id.place).filter(|resident| resident.id == id) else { return };
        let household = client.map(Household::of);
        let admitted = household.map_or(Ok(()), |household| self.admission.name(household));
        resident.counted = household.filter(|_| admitted.is_ok());
        if let Some(address) = client {
            (resident.household, resident.pays) = (Household::of(address), !self.penalty_free.contains(address));
        }
        resident.connection.introduce(client, admitted, &self.tools);
        self.enqueue(id);
    }

    /// Closes the oldest who has not logged in; false where everybody has.
    fn make_room(&mut self, now: Instant) -> bool {
        let Some(&oldest) = self.strangers.first() else { return false };
        self.close(oldest, Reason::CrowdedOut, now);
        let (count, told) = &mut self.crowded_out;
        *count += 1;
        if told.is_none_or(|at| now - at > LOG_PAUSE) {
            log::warn!(
                "full house: {count} connections that had not logged in have made room; said once a minute at most"
            );
            (*count, *told) = (0, Some(now));
        }
        true
    }

    fn enqueue(&mut self, id: Id) {
        if let Some(resident) = self.resident(id) {
            if !resident.queued {
                resident.queued = true;
                self.queue.push_back(id);
            }
        }
    }

    fn close(&mut self, id: Id, reason: Reason, now: Instant) {
        if self.resident(id).is_none() {
            return;
        }
        let mut resident = self.residents.remove(id.place);
        self.deadlines.remove(resident.due, id);
        self.strangers.remove(&id);
        self.admission.leave(resident.counted);
        self.throttle.leave(resident.household, id, now);
        self.call_next(resident.household, now);
        if let Some(maildrop) = resident.holds {
            if self.holders.get(&maildrop) == Some(&id) {
                self.holders.remove(&maildrop);
            }
        }
        resident.connection.close(reason, now, &mut self.totals);
    }

    fn resident(&mut self, id: Id) -> Option<&mut Resident<S>> {
        self.residents.get_mut(id.place).filter(|resident| resident.id == id)
    }
}

mod census;
mod turns;

pub use census::Census;

#[cfg(test)]
mod tests;
