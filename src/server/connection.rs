//! One client: the place where protocol, files and octets meet.
//!
//! Owns: the turn. What a connection does until it has to wait, and for how long it may go on.
//! Does not know: mio, threads, other connections. It is told the time.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::ServerConfig;

use super::{
    pump::{MessagePump, Pumped},
    record::{Reason, Record},
    worker::{Job, NotAuthenticated, Outcome},
};
use crate::{
    maildir::{self, FileError, MessageError, OpenError, Store},
    maildrop::{Marks, MessageNumber},
    net::{outbox::Outbox, transport::Transport},
    proto::{
        line::LineBuffer,
        listing::Listing,
        session::{self, Effect, Refusal, Session, Unsent},
    },
};

/// What all connections share while it is their turn.
#[derive(Debug)]
pub struct Tools {
    /// Read into, from sockets and files.
    pub block: Box<[u8]>,
    /// Memory for the outbox of whose turn it is: an idle connection has none.
    pub spare: Vec<u8>,
    /// For STLS; `None` where there is no certificate.
    pub tls: Option<Arc<ServerConfig>>,
    /// Whether UPDATE has work where a message was retrieved and none deleted.
    pub mark_seen: bool,
    /// From accept to login, absolute.
    pub login_time: Duration,
    /// Without an octet in either direction, after login.
    pub idle_time: Duration,
}

/// What the house must do when a turn is over.
#[derive(Debug)]
#[must_use]
pub enum Next {
    /// Nothing until the socket, a job or the clock has news.
    Wait,
    /// Another turn when all others had theirs. No event will come for what is left over.
    RunAgain,
    /// Have this done, and bring the outcome.
    Submit(Job),
    /// Drop the connection.
    Closed(Reason),
}

/// One client's connection over a stream that does not block.
#[derive(Debug)]
pub struct Connection<S> {
    stream: S,
    transport: Transport,
    session: Session,
    lines: LineBuffer,
    outbox: Outbox,
    activity: Activity,
    store: Option<Box<Store>>,
    record: Record,
    /// Jobs hold it weakly: they see when nobody wants their outcome any more.
    alive: Arc<()>,
    /// The last octet of the client's, and the last one that it took.
    heard: Instant,
    /// Whether the socket may have something to read.
    readable: bool,
    /// The client has sent its last octet; the socket may still hold some.
    read_closed: bool,
}

/// A connection does one of these at a time.
#[derive(Debug)]
enum Activity {
    /// Reading commands.
    Commands,
    /// Sending a listing.
    Listing(Listing),
    /// Sending a message.
    Message(Box<MessagePump>),
    /// The reply to STLS leaves in clear text, then TLS begins.
    StartingTls,
    /// Waiting for a worker.
    AwaitingJob(Awaited),
    /// The last reply leaves, then the socket closes.
    Draining(Reason),
}

#[derive(Debug)]
enum Awaited {
    Password,
    Maildrop(PathBuf),
    Location { message: MessageNumber, body_lines: Option<u32> },
    Update { marked: u32 },
}

/// The outbox takes no more than this and one block: then commands stay in the socket, and pumps rest.
const HIGH_WATER: usize = 64 * 1024;
/// Commands, or blocks of a message, in one turn.
const STEPS_A_TURN: usize = 32;
/// Octets of commands read at once.
const READ: usize = 4 * 1024;

impl<S: Read + Write> Connection<S> {
    /// A client that came in now. Its first turn says the greeting.
    pub fn new(stream: S, peer: SocketAddr, transport: Transport, terms: session::Terms, now: Instant) -> Self {
        let session = Session::new(terms);
        let mut outbox = Outbox::default();
        session.greeting().encode(outbox.end());
        Connection {
            stream,
            transport,
            session,
            lines: LineBuffer::default(),
            outbox,
            activity: Activity::Commands,
            store: None,
            record: Record::new(peer.ip().to_canonical(), now),
            alive: Arc::new(()),
            heard: now,
            readable: true,
            read_closed: false,
        }
    }

    /// The stream, for the poll.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The poll has news; whether they are a reason for a turn.
    pub fn ready(&mut self, readable: bool, read_closed: bool, writable: bool) -> bool {
        self.readable |= readable || read_closed;
        self.read_closed |= read_closed;
        match self.activity {
            Activity::AwaitingJob(_) => writable && !self.outbox.is_empty(),
            Activity::Commands => readable || read_closed || writable && !self.outbox.is_empty(),
            _ => writable,
        }
    }

    /// Does what can be done without waiting, but not more than a fair share.
    pub fn turn(&mut self, now: Instant, tools: &mut Tools) -> Next {
        self.outbox.borrow_memory(&mut tools.spare);
        let next = self.work(now, tools);
        self.outbox.return_memory(&mut tools.spare);
        next
    }

    /// The outcome of the job that was submitted; then a turn is due.
    pub fn outcome(&mut self, outcome: Outcome) -> Option<Job> {
        let awaited = match std::mem::replace(&mut self.activity, Activity::Commands) {
            Activity::AwaitingJob(awaited) => awaited,
            other => {
                self.activity = other;
                return None;
            }
        };
        match (awaited, outcome) {
            (Awaited::Password, Outcome::Authenticated(Ok(path))) => {
                self.activity = Activity::AwaitingJob(Awaited::Maildrop(path));
                return self.open_again();
            }
            (Awaited::Password, Outcome::Authenticated(Err(NotAuthenticated::Denied))) => {
                self.record.denied(self.transport.tls_version());
                self.refuse(Refusal::Credentials);
            }
            (Awaited::Password, Outcome::Authenticated(Err(NotAuthenticated::NoMaildir(why)))) => {
                self.record.refused(why);
                self.refuse(Refusal::Permanent);
            }
            (Awaited::Maildrop(_), Outcome::Opened(opened)) => self.opened(opened),
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

    /// The job could not even be queued.
    pub fn turned_away(&mut self, job: Job) {
        if let Activity::AwaitingJob(awaited) = std::mem::replace(&mut self.activity, Activity::Commands) {
            self.record.trouble("too much to do, a job was turned away");
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
            _ if self.record.has_logged_in() => self.heard + tools.idle_time,
            _ => self.record.began() + tools.login_time,
        }
    }

    /// The end. What TLS and the log have to say of it is said.
    pub fn close(&mut self, reason: Reason, now: Instant) {
        self.transport.say_goodbye();
        let _ = self.transport.flush(&mut self.stream, &mut Outbox::default());
        self.record.end(reason, self.transport.tls_version(), now);
    }

    fn work(&mut self, now: Instant, tools: &mut Tools) -> Next {
        let mut again = true;
        for _ in 0..STEPS_A_TURN {
            if self.outbox.len() >= HIGH_WATER {
                break;
            }
            match self.step(now, tools) {
                Step::Done => {}
                Step::Waits => {
                    again = false;
                    break;
                }
                Step::Submits(job) => {
                    // Replies that came before are not kept waiting for it. A failure shows at the next turn.
                    let _ = self.flush(now);
                    return Next::Submit(job);
                }
            }
        }
        match self.flush(now) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Next::Wait,
            Err(_) => return Next::Closed(self.reason()),
            Ok(()) => {}
        }
        match self.activity {
            Activity::StartingTls => self.start_tls(tools),
            Activity::Draining(reason) => {
                self.transport.say_goodbye();
                match self.flush(now) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => Next::Wait,
                    _ => Next::Closed(reason),
                }
            }
            _ if again => Next::RunAgain,
            _ => Next::Wait,
        }
    }

    /// One command, or one block.
    fn step(&mut self, now: Instant, tools: &mut Tools) -> Step {
        match &mut self.activity {
            Activity::AwaitingJob(_) | Activity::StartingTls | Activity::Draining(_) => Step::Waits,
            Activity::Listing(listing) => {
                if self.session.list(listing, self.outbox.end(), HIGH_WATER) {
                    self.activity = Activity::Commands;
                }
                Step::Done
            }
            Activity::Message(pump) => {
                match pump.fill(&mut tools.block, self.outbox.end()) {
                    Ok(Pumped::More) => {}
                    Ok(Pumped::Done) => self.sent(),
                    Err(broken) => {
                        let number = pump.message().get();
                        self.record.trouble(format_args!("message {number} is not sent to its end: {broken}"));
                        self.activity = Activity::Draining(Reason::Broken);
                    }
                }
                Step::Done
            }
            Activity::Commands => match self.lines.next_line(self.session.line_limit()) {
                Some(line) => {
                    let effect = self.session.line(line);
                    self.effect(effect, tools)
                }
                None => self.hear(now, tools),
            },
        }
    }

    /// Reads what the client has sent.
    fn hear(&mut self, now: Instant, tools: &mut Tools) -> Step {
        if !self.readable {
            return Step::Waits;
        }
        let into = &mut tools.block[..READ];
        match self.transport.fill(&mut self.stream, into) {
            Ok(0) => self.activity = Activity::Draining(Reason::Disconnected),
            Ok(count) => {
                self.heard = now;
                self.lines.push(&into[..count]);
                zeroize::Zeroize::zeroize(&mut into[..count]);
                // A short read has emptied the socket: whatever comes later raises an event.
                if count < READ && !self.read_closed && matches!(self.transport, Transport::Plain) {
                    self.readable = false;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                return Step::Waits;
            }
            Err(error) => {
                if error.kind() == ErrorKind::InvalidData {
                    self.record.trouble(format_args!("TLS: {error}"));
                }
                // One flush is left, for the alert.
                self.outbox = Outbox::default();
                self.activity = Activity::Draining(Reason::Disconnected);
            }
        }
        Step::Done
    }

    fn effect(&mut self, effect: Effect, tools: &Tools) -> Step {
        match effect {
            Effect::Reply(reply) => reply.encode(self.outbox.end()),
            Effect::List(listing) => self.activity = Activity::Listing(listing),
            Effect::Send { message, body_lines } => {
                return self.send(message, body_lines, false).map_or(Step::Done, Step::Submits);
            }
            Effect::LogIn { user, password, method } => {
                self.record.tries(user.clone(), method);
                self.activity = Activity::AwaitingJob(Awaited::Password);
                return Step::Submits(Job::Authenticate { user, password, client: Arc::downgrade(&self.alive) });
            }
            Effect::Update { marks } => return self.update(marks, tools),
            Effect::StartTls(reply) => {
                reply.encode(self.outbox.end());
                // Whatever stands behind STLS came from somebody in the middle, or may have.
                let injected = !self.lines.is_empty();
                self.lines.clear();
                self.activity = if injected { Activity::Draining(Reason::Refused) } else { Activity::StartingTls };
            }
            Effect::Close(reply) => {
                let reason = if reply.is_err() { Reason::Refused } else { Reason::Quit };
                reply.encode(self.outbox.end());
                self.activity = Activity::Draining(reason);
            }
            Effect::Hangup => self.activity = Activity::Draining(Reason::Refused),
        }
        Step::Done
    }

    fn start_tls(&mut self, tools: &Tools) -> Next {
        match tools.tls.clone().map(Transport::tls) {
            Some(Ok(transport)) => {
                self.transport = transport;
                self.session.tls_began();
                self.activity = Activity::Commands;
                self.readable = true;
                Next::RunAgain
            }
            _ => Next::Closed(Reason::Fault),
        }
    }

    /// RETR or TOP. A message that was renamed is looked for once.
    fn send(&mut self, message: MessageNumber, body_lines: Option<u32>, looked: bool) -> Option<Job> {
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
            Err(MessageError::Moved | MessageError::Gone) => Unsent::Gone,
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

    fn sent(&mut self) {
        let Activity::Message(pump) = std::mem::replace(&mut self.activity, Activity::Commands) else { return };
        let (message, octets) = (pump.message(), pump.octets());
        self.session.sent(message, pump.by_retr());
        self.record.sent(pump.by_retr(), message.get(), octets);
        let listed = self.store.as_ref().map(|store| store.maildrop().size(message).wire);
        if pump.by_retr() && listed.is_some_and(|listed| listed != octets) {
            let name = self.store.as_ref().map(|store| store.maildrop().name(message).escape_ascii().to_string());
            self.record.trouble(format_args!(
                "message {} has {octets} octets, and not {} as its file name says or as it had at login: {}",
                message.get(),
                listed.unwrap_or_default(),
                name.unwrap_or_default()
            ));
        }
    }

    fn opened(&mut self, opened: Result<Box<Store>, OpenError>) {
        let refusal = match opened {
            Ok(store) => {
                self.record.logged_in(store.maildrop(), self.transport.tls_version());
                let effect = self.session.logged_in(Ok(Arc::clone(store.maildrop())));
                self.store = Some(store);
                return self.say(effect);
            }
            Err(error) => {
                self.record.refused(&error);
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
    fn update(&mut self, marks: Marks, tools: &Tools) -> Step {
        let marked = marks.deleted_count();
        let idle = if tools.mark_seen { marks.is_empty() } else { marked == 0 };
        match self.store.take() {
            Some(store) if !idle => {
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

    fn flush(&mut self, now: Instant) -> io::Result<()> {
        let before = self.outbox.len();
        let flushed = self.transport.flush(&mut self.stream, &mut self.outbox);
        if self.outbox.len() < before && self.record.has_logged_in() {
            self.heard = now;
        }
        flushed
    }

    fn reason(&self) -> Reason {
        if let Activity::Draining(reason) = self.activity { reason } else { Reason::Disconnected }
    }
}

/// What a step led to.
enum Step {
    Done,
    Waits,
    Submits(Job),
}

#[cfg(test)]
mod tests;
