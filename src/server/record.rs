//! What the log tells of a session.
//!
//! Owns: the lines for logins, failed logins, and ends of sessions; what is counted for them, and its sums (`totals`).
//! Does not know: how it came to what it tells.
//!
//! The forms are fixed, as programs read them. fail2ban's stock filter `courier-auth` takes the line of
//! a failed login; a user name is escaped so that it can't forge one.

use std::{fmt, net::IpAddr, time::Instant};

use super::{
    admission::Full,
    quota::{Kind, Quota},
};
use crate::{
    auth::household::Household,
    maildir::{Recall, Store},
    user::UserName,
};

mod totals;

pub use totals::Totals;

/// Why a connection came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// QUIT.
    Quit,
    /// The client left without QUIT.
    Disconnected,
    /// It said nothing, or took nothing, for too long.
    Timeout,
    /// It broke the rules of POP3, TLS or the PROXY header once too often.
    Refused,
    /// Its client, whom the proxy named, has too many.
    Full(Full),
    /// It had not logged in, and somebody else needed its place.
    CrowdedOut,
    /// Its maildrop went to another session of the same user.
    TakenOver,
    /// A message could not be sent as a whole.
    Broken,
    /// The server stops.
    Shutdown,
    /// A fault in this program.
    Fault,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Full(full) => write!(f, "too many connections ({full:?})"),
            reason => f.write_str(WORDS[reason.place()]),
        }
    }
}

/// Each [`Reason`] in a word.
pub const WORDS: [&str; 10] = [
    "quit",
    "disconnected",
    "timeout",
    "refused",
    "crowded-out",
    "taken-over",
    "message-changed",
    "shutdown",
    "fault",
    "turned-away",
];

impl Reason {
    /// Its place among [`WORDS`].
    fn place(self) -> usize {
        match self {
            Reason::Quit => 0,
            Reason::Disconnected => 1,
            Reason::Timeout => 2,
            Reason::Refused => 3,
            Reason::CrowdedOut => 4,
            Reason::TakenOver => 5,
            Reason::Broken => 6,
            Reason::Shutdown => 7,
            Reason::Fault => 8,
            Reason::Full(_) => 9,
        }
    }
}

/// What `poppet demo` shows of a session, and `serve` at the level debug.
const SESSION: &str = "poppet::session";

/// What a session did so far.
#[derive(Debug)]
pub struct Record {
    ip: IpAddr,
    user: Option<UserName>,
    method: &'static str,
    began: Instant,
    /// When somebody logged in, and how much of the maildrop its index told then.
    login: Option<(Instant, Recall)>,
    denied: u32,
    turned_down: u32,
    retr: Count,
    top: Count,
    removed: u32,
    messages: u32,
}

/// Messages that were sent.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Count {
    /// How many, whole or as much of them as was asked for.
    pub messages: u64,
    /// On the wire.
    pub octets: u64,
}

/// A session that runs, for whoever looks at them all.
#[derive(Clone, Debug)]
pub struct Row {
    /// Whose.
    pub user: UserName,
    /// Where the client is.
    pub ip: IpAddr,
    /// `1.3`, `1.2` or `no`.
    pub tls: &'static str,
    /// When it logged in.
    pub since: Instant,
    /// The last octet in either direction.
    pub heard: Instant,
    /// In the maildrop, at login.
    pub messages: u32,
    /// By RETR.
    pub retr: Count,
    /// By TOP.
    pub top: Count,
    /// Marked as deleted so far.
    pub marked: u32,
}

impl Record {
    /// Of a connection that begins now.
    pub fn new(ip: IpAddr, now: Instant) -> Record {
        Record {
            ip,
            user: None,
            method: "",
            began: now,
            login: None,
            denied: 0,
            turned_down: 0,
            retr: Count::default(),
            top: Count::default(),
            removed: 0,
            messages: 0,
        }
    }

    /// Who the client is, once its proxy has said so.
    pub fn is_of(&mut self, ip: IpAddr) {
        self.ip = ip;
    }

    /// Where the client is.
    pub fn ip(&self) -> IpAddr {
        self.ip
    }

    /// When the connection began.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Whether somebody has logged in.
    pub fn has_logged_in(&self) -> bool {
        self.login.is_some()
    }

    /// Somebody tries to log in.
    pub fn tries(&mut self, user: UserName, method: &'static str) {
        (self.user, self.method) = (Some(user), method);
    }

    /// The password is wrong.
    pub fn denied(&mut self, tls: &str, quota: &mut Quota, now: Instant) {
        self.denied += 1;
        if !quota.allows(Kind::Denial, Household::of(self.ip), now) {
            return;
        }
        log::warn!("LOGIN FAILED, user={self}, method={}, tls={tls}, ip=[{}]", self.method, self.ip);
    }

    /// The password is right, but the maildrop can't be had.
    pub fn refused(&self, why: impl fmt::Display, quota: &mut Quota, now: Instant) {
        if self.may_tell(quota, now) {
            log::warn!("LOGIN REFUSED, user={self}, ip=[{}]: {why}", self.ip);
        }
    }

    /// A login came to nothing, and not for a wrong password.
    pub fn turned_down(&mut self) {
        self.turned_down += 1;
    }

    /// A stranger's connection, or his job, came to nothing.
    pub fn failed(&self, what: impl fmt::Display, quota: &mut Quota, now: Instant) {
        if self.has_logged_in() || self.may_tell(quota, now) {
            self.trouble(what);
        }
    }

    /// Lines that anybody can cause at will are counted.
    fn may_tell(&self, quota: &mut Quota, now: Instant) -> bool {
        quota.allows(Kind::Other, Household::of(self.ip), now)
    }

    /// The session is in its TRANSACTION state.
    pub fn logged_in(&mut self, store: &Store, tls: &str, now: Instant) {
        self.login = Some((now, store.recall()));
        self.messages = store.maildrop().count();
        let (messages, octets) = (self.messages, store.maildrop().octets());
        log::info!("LOGIN, user={self}, ip=[{}], tls={tls}, messages={messages}, octets={octets}", self.ip);
    }

    /// A message was sent whole, or as much of it as TOP asked for.
    pub fn sent(&mut self, by_retr: bool, number: u32, octets: u64) {
        let (count, verb) = if by_retr { (&mut self.retr, "RETR") } else { (&mut self.top, "TOP") };
        count.messages += 1;
        count.octets += octets;
        log::debug!(target: SESSION, "{verb}, user={self}, message={number}, octets={octets}");
    }

    /// UPDATE removed messages.
    pub fn removed(&mut self, count: u32) {
        self.removed = count;
        if count > 0 {
            log::debug!(target: SESSION, "REMOVED, user={self}, messages={count}");
        }
    }

    /// Something is wrong with a message or a maildrop, which the client is told in other words.
    pub fn trouble(&self, what: impl fmt::Display) {
        log::warn!("user={self}, ip=[{}]: {what}", self.ip);
    }

    /// The connection is over.
    pub fn end(&self, reason: Reason, tls: &str, now: Instant) {
        let seconds = now.saturating_duration_since(self.began).as_secs();
        if !self.has_logged_in() {
            log::debug!("CLOSED, ip=[{}], tls={tls}, reason={reason}, seconds={seconds}", self.ip);
            return;
        }
        let Record { retr, top, removed, .. } = self;
        log::info!(
            "LOGOUT, user={self}, ip=[{}], tls={tls}, retr={}/{}, top={}/{}, dele={removed}, left={}, reason={reason}, seconds={seconds}",
            self.ip,
            retr.messages,
            retr.octets,
            top.messages,
            top.octets,
            self.messages.saturating_sub(*removed),
        );
    }

    /// The session, where there is one.
    pub fn row(&self, tls: &'static str, heard: Instant, marked: u32) -> Option<Row> {
        let Record { ip, messages, retr, top, .. } = *self;
        let (since, _) = self.login?;
        Some(Row { user: self.user.clone()?, ip, tls, since, heard, messages, retr, top, marked })
    }
}

/// The user, as a log may show it.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.user {
            Some(user) => user.fmt(f),
            None => f.write_str("-"),
        }
    }
}
