//! The jobs of a connection: what is asked of workers, and what becomes of the answers.
//!
//! Owns: the way into TRANSACTION, renamed messages, UPDATE; the one place where the cause that the
//! operator sees is turned into the reply that the client sees.
//! Does not know: who does the jobs, or when.

use std::{sync::Arc, time::Instant};

use super::{Activity, Awaited, Connection, Held, Step, Stream, Tools};
use crate::{
    maildir::{self, FileError, MessageError, OpenError, Store},
    maildrop::{Marks, MessageNumber},
    proto::session::{self, Effect, Refusal, Unsent},
    server::{
        pump::MessagePump,
        record::Reason,
        worker::{Authenticated, Job, NotAuthenticated, Outcome},
    },
};

impl<S: Stream> Connection<S> {
    /// The outcome of the job that was submitted; then a turn is due. That a password is wrong is told at `tell`.
    pub fn outcome(&mut self, outcome: Outcome, now: Instant, tell: Instant, tools: &mut Tools) -> Option<Job> {
        // A job took as long as it took: that was no silence of the client's.
        self.heard = now;
        let awaited = match std::mem::replace(&mut self.activity, Activity::Commands) {
            Activity::AwaitingJob(awaited) => awaited,
            other => {
                self.activity = other;
                return None;
            }
        };
        match (awaited, outcome) {
            (Awaited::Password, Outcome::Authenticated(Ok(Authenticated { path, store: None }))) => {
                self.activity = Activity::AwaitingJob(Awaited::Maildrop(path));
                return self.open_again();
            }
            (Awaited::Password, Outcome::Authenticated(Ok(Authenticated { store: Some(store), .. }))) => {
                self.opened(Ok(store), now, tools);
            }
            (Awaited::Password, Outcome::Authenticated(Err(NotAuthenticated::Denied))) => {
                self.record.denied(self.transport.tls_version(), &mut tools.quota, now);
                self.activity = Activity::PausedUntil(tell, Held::Denial);
            }
            (Awaited::Password, Outcome::Authenticated(Err(NotAuthenticated::NoMaildir(why)))) => {
                self.record.refused(why, &mut tools.quota, now);
                self.refuse(Refusal::Permanent);
            }
            (Awaited::Maildrop(_), Outcome::Opened(opened)) => self.opened(opened, now, tools),
            (Awaited::Location { message, body_lines }, Outcome::Located(store, located)) => {
                self.store = Some(store);
                return match located {
                    Ok(()) => self.send(message, body_lines, true),
                    Err(error) => {
                        self.unreadable(message, &error);
                        None
                    }
                };
            }
            (Awaited::Update { marked }, Outcome::Updated(updated)) => self.updated(marked, updated),
            (awaited, _) => self.failed(awaited, None),
        }
        None
    }

    /// This password, which was to be checked, has to wait for its turn.
    pub fn pause(&mut self, check: Job, until: Instant) {
        self.activity = Activity::PausedUntil(until, Held::Check(Box::new(check)));
    }

    /// It is its turn at `until` already.
    pub fn pause_until(&mut self, until: Instant) {
        if let Activity::PausedUntil(moment, Held::Check(_)) = &mut self.activity {
            *moment = until;
        }
    }

    /// It has waited for its turn as long as a mail program may be left without a word.
    pub fn given_up(&mut self, now: Instant, tools: &mut Tools) {
        self.activity = Activity::Commands;
        let why = "too many passwords from its network are wrong, this one was not looked at";
        self.record.refused(why, &mut tools.quota, now);
        self.refuse(Refusal::Throttled);
    }

    /// A pause is over.
    pub(super) fn rested(&mut self) -> Step {
        match std::mem::replace(&mut self.activity, Activity::Commands) {
            Activity::PausedUntil(_, Held::Check(check)) => {
                self.activity = Activity::AwaitingJob(Awaited::Password);
                return Step::Submits(*check);
            }
            Activity::PausedUntil(_, Held::Denial) => self.refuse(Refusal::Credentials),
            other => self.activity = other,
        }
        Step::Done
    }

    /// The job could not even be queued.
    pub fn turned_away(&mut self, job: Job, now: Instant, tools: &mut Tools) {
        if let Activity::AwaitingJob(awaited) = std::mem::replace(&mut self.activity, Activity::Commands) {
            self.record.failed("too much to do, a job was turned away", &mut tools.quota, now);
            self.failed(awaited, if let Job::Locate(store) = job { Some(store) } else { None });
        }
    }

    /// The job that opens the maildrop, once more: its last holder has just been closed.
    pub fn open_again(&self) -> Option<Job> {
        match &self.activity {
            Activity::AwaitingJob(Awaited::Maildrop(path)) => {
                Some(Job::Open { path: path.clone(), client: Arc::downgrade(&self.alive) })
            }
            _ => None,
        }
    }

    /// RETR or TOP. A message that was renamed is looked for once.
    pub(super) fn send(&mut self, message: MessageNumber, body_lines: Option<u32>, looked: bool) -> Option<Job> {
        let store = self.store.take()?;
        let unsent = match store.open_message(message) {
            Ok(opened) => {
                self.activity = Activity::Message(Box::new(MessagePump::new(message, opened, body_lines)));
                self.store = Some(store);
                return None;
            }
            Err(MessageError::Moved) if !looked => {
                self.activity = Activity::AwaitingJob(Awaited::Location { message, body_lines });
                return Some(Job::Locate(store));
            }
            // Renamed so often that it could not be caught.
            Err(MessageError::Moved) => Unsent::Temporary,
            Err(MessageError::Gone) => Unsent::Gone,
            Err(MessageError::NotRegular) => Unsent::Permanent,
            Err(MessageError::Unreadable(error)) => {
                self.store = Some(store);
                self.unreadable(message, &error);
                return None;
            }
        };
        self.store = Some(store);
        self.session.not_sent(unsent).encode(self.outbox.end());
        None
    }

    fn unreadable(&mut self, message: MessageNumber, error: &FileError) {
        self.record.trouble(format_args!("message {}: {error}", message.get()));
        let unsent = if error.is_temporary() { Unsent::Temporary } else { Unsent::Permanent };
        self.session.not_sent(unsent).encode(self.outbox.end());
    }

    fn opened(&mut self, opened: Result<Box<Store>, OpenError>, now: Instant, tools: &mut Tools) {
        let refusal = match opened {
            Ok(store) => {
                self.record.logged_in(&store, self.transport.tls_version(), now);
                let effect = self.session.logged_in(Ok(Arc::clone(store.maildrop())));
                self.store = Some(store);
                return self.say(effect);
            }
            Err(error) => {
                self.record.refused(&error, &mut tools.quota, now);
                match error {
                    OpenError::Busy(_) => Refusal::InUse,
                    OpenError::Temporary(_) => Refusal::Temporary,
                    OpenError::Permanent(_) | OpenError::NoMaildir { .. } => Refusal::Permanent,
                }
            }
        };
        self.refuse(refusal);
    }

    fn refuse(&mut self, refusal: Refusal) {
        // A wrong password is counted when it is known to be wrong.
        if refusal != Refusal::Credentials {
            self.record.turned_down();
        }
        let effect = self.session.logged_in(Err(refusal));
        self.say(effect);
    }

    /// What a login or its refusal says; it never needs a worker.
    fn say(&mut self, effect: Effect) {
        match effect {
            Effect::Reply(reply) => reply.encode(self.outbox.end()),
            Effect::Close(reply) => {
                reply.encode(self.outbox.end());
                self.activity = Activity::Draining(Reason::Refused);
            }
            _ => self.activity = Activity::Draining(Reason::Fault),
        }
    }

    /// QUIT: the maildrop is given back before the reply leaves.
    pub(super) fn update(&mut self, marks: Marks, tools: &Tools) -> Step {
        let marked = marks.deleted_count();
        let idle = if tools.mark_seen { marks.is_empty() } else { marked == 0 };
        match self.store.take() {
            Some(store) if !idle || store.has_learned() => {
                self.activity = Activity::AwaitingJob(Awaited::Update { marked });
                Step::Submits(Job::Update(store, marks))
            }
            store => {
                drop(store);
                self.updated(0, Ok(()));
                Step::Done
            }
        }
    }

    fn updated(&mut self, marked: u32, updated: Result<(), maildir::NotRemoved>) {
        let updated = updated.map_err(|error| {
            self.record.trouble(&error);
            let maildir::NotRemoved { failed, uncertain, of, temporary, .. } = error;
            session::NotRemoved { failed, uncertain, of, temporary }
        });
        self.record.removed(marked - updated.err().map_or(0, |error| error.failed));
        self.session.updated(updated).encode(self.outbox.end());
        self.activity = Activity::Draining(Reason::Quit);
    }

    /// A job was turned away, or panicked.
    fn failed(&mut self, awaited: Awaited, store: Option<Box<Store>>) {
        match (awaited, store) {
            (Awaited::Password | Awaited::Maildrop(_), _) => self.refuse(Refusal::Temporary),
            (Awaited::Location { .. }, Some(store)) => {
                self.store = Some(store);
                self.session.not_sent(Unsent::Temporary).encode(self.outbox.end());
            }
            (Awaited::Location { .. }, None) => self.activity = Activity::Draining(Reason::Fault),
            (Awaited::Update { marked }, _) => {
                let reply = self.session.updated(Err(session::NotRemoved {
                    failed: marked,
                    uncertain: 0,
                    of: marked,
                    temporary: true,
                }));
                reply.encode(self.outbox.end());
                self.activity = Activity::Draining(Reason::Quit);
            }
        }
    }
}
