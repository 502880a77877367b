//! One client: the place where protocol, files and octets meet.
//!
//! Owns: the turn. What a connection does until it has to wait, and for how long it may go on.
//! Does not know: mio, threads, other connections. It is told the time.

use std::{
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::ServerConfig;

use super::{
    admission::Full,
    pump::{MessagePump, Pumped},
    quota::Quota,
    record::{Reason, Record, Totals},
    worker::Job,
};
use crate::{
    config::Networks,
    maildir::Store,
    maildrop::MessageNumber,
    net::{
        outbox::Outbox,
        transport::{Stream, Transport},
    },
    proto::{
        line::LineBuffer,
        listing::Listing,
        session::{self, Effect, Session},
    },
};

/// What all connections share while it is their turn.
#[derive(Debug)]
pub struct Tools {
    /// Read into, from sockets and files.
    pub block: Box<[u8]>,
    /// Memory for the outbox of whose turn it is: an idle connection has none.
    pub spare: Vec<u8>,
    /// Networks of proxies: whoever comes from there says first for whom it speaks.
    pub proxy_from: Networks,
    /// Networks that may log in without TLS.
    pub plaintext_from: Networks,
    /// For STLS; `None` where there is no certificate.
    pub tls: Option<Arc<ServerConfig>>,
    /// Whether UPDATE has work where a message was retrieved and none deleted.
    pub mark_seen: bool,
    /// From accept to login, absolute.
    pub login_time: Duration,
    /// Without an octet in either direction, after login.
    pub idle_time: Duration,
    /// How much strangers have made the log say.
    pub quota: Quota,
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
    /// The proxy's header is read. See whether this client of its may come in, then [`Connection::introduce`].
    Named(Option<IpAddr>),
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
    /// The socket took no more: octets wait, in the outbox or inside TLS, for it to become writable.
    blocked: bool,
    /// The client has sent its last octet; the socket may still hold some.
    read_closed: bool,
    /// That happened during a pause.
    has_left: bool,
}

/// A connection does one of these at a time.
#[derive(Debug)]
enum Activity {
    /// Reading the header of a proxy.
    Header(Box<Introduction>),
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
    /// Waiting for that moment, since passwords of its household were wrong. Nothing is read meanwhile.
    PausedUntil(Instant, Held),
    /// The last reply leaves, then the socket closes.
    Draining(Reason),
}

/// What a pause keeps back.
#[derive(Debug)]
enum Held {
    /// A password that is to be checked.
    Check(Box<Job>),
    /// The reply to a wrong one.
    Denial,
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

impl<S: Stream> Connection<S> {
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
            blocked: false,
            read_closed: false,
            has_left: false,
        }
    }

    /// The stream, for the poll.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Does what can be done without waiting, but not more than a fair share.
    pub fn turn(&mut self, now: Instant, tools: &mut Tools) -> Next {
        self.outbox.borrow_memory(&mut tools.spare);
        let next = self.work(now, tools);
        self.outbox.return_memory(&mut tools.spare);
        next
    }

    /// The end. What TLS and the log have to say of it is said, and what was counted is added up.
    pub fn close(&mut self, reason: Reason, now: Instant, totals: &mut Totals) {
        // Where a turn has done so already nothing is left to say.
        if self.transport.finish(&mut self.stream, &mut Outbox::default()).is_ok() {
            self.stream.end();
        }
        self.record.end(reason, self.transport.tls_version(), now);
        totals.end(&self.record, reason);
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
                Step::Names(client) => return Next::Named(client),
            }
        }
        match self.flush(now) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Next::Wait,
            Err(_) => return Next::Closed(self.reason()),
            Ok(()) => {}
        }
        match self.activity {
            Activity::StartingTls => self.start_tls(tools),
            Activity::Draining(reason) => Next::Closed(reason),
            _ if again => Next::RunAgain,
            _ => Next::Wait,
        }
    }

    /// One command, or one block.
    fn step(&mut self, now: Instant, tools: &mut Tools) -> Step {
        match &mut self.activity {
            Activity::AwaitingJob(_) | Activity::StartingTls | Activity::Draining(_) => Step::Waits,
            Activity::PausedUntil(until, _) if *until > now => Step::Waits,
            Activity::PausedUntil(..) => self.rested(),
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
            Activity::Header(_) => self.hear_header(tools),
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
            // TLS ended without close_notify: an end as any other, since nothing happens without QUIT.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                self.activity = Activity::Draining(Reason::Disconnected);
            }
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
                    self.record.failed(format_args!("TLS: {error}"), &mut tools.quota, now);
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

    fn sent(&mut self) {
        let Activity::Message(pump) = std::mem::replace(&mut self.activity, Activity::Commands) else { return };
        let (message, octets) = (pump.message(), pump.octets());
        self.session.sent(message, pump.by_retr());
        self.record.sent(pump.by_retr(), message.get(), octets.wire);
        let Some(store) = self.store.as_mut().filter(|_| pump.by_retr()) else { return };
        let listed = store.maildrop().wire_octets(message);
        if listed != octets.wire {
            let name = store.maildrop().name(message).escape_ascii().to_string();
            store.learn(message, octets);
            self.record.trouble(format_args!(
                "message {} has {} octets, and not {listed} as its name says or as it had when it was counted: {name}",
                message.get(),
                octets.wire,
            ));
        }
    }

    fn flush(&mut self, now: Instant) -> io::Result<()> {
        let before = self.outbox.len();
        let flushed = match self.activity {
            Activity::Draining(_) => self.transport.finish(&mut self.stream, &mut self.outbox),
            _ => self.transport.flush(&mut self.stream, &mut self.outbox),
        };
        self.blocked = flushed.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        if self.outbox.len() < before && self.record.has_logged_in() {
            self.heard = now;
        }
        flushed
    }

    fn reason(&self) -> Reason {
        if let Activity::Draining(reason) = self.activity { reason } else { Reason::Disconnected }
    }
}

mod introduction;
mod outcomes;
mod standing;

use introduction::Introduction;

/// What a step led to.
enum Step {
    Done,
    Waits,
    Submits(Job),
    Names(Option<IpAddr>),
}

#[cfg(test)]
mod tests;
