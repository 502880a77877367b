//! What the server tells of itself to whoever asks at its socket.
//!
//! Owns: what is told, its form on the wire, who may hear it, the thread that tells.
//! Does not know: how it is shown. No octet is read of whoever asks.
//!
//! The loop copies ([`Snapshot`]), and is done. A thread puts that into words, writes it, and waits for the reader,
//! one after the other.
//!
//! Each line begins with a word, and then has fields with a space before each: `name=NUMBER`, or `name:text` without
//! spaces and control characters, which are written as in the log. [`FIRST`] is the first line, [`LAST`] the last one.

use std::{
    fmt::{self, Write as _},
    fs::File,
    io::{self, Write as _},
    net::SocketAddr,
    os::unix::{
        fs::FileExt as _,
        net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{
    house::Census,
    listeners::Kind,
    record::{Count, Row, Totals, WORDS},
};
use crate::net::tls::Facts;

mod socket;

pub use socket::{Access, NoSocket, open};

/// The line that comes first, with the version of the form.
pub const FIRST: &str = "poppet-status 1";
/// The line that comes last: all has been told.
pub const LAST: &str = "end";

/// Who asks may take so long to read it all. Others wait meanwhile.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// Before the next try, where nobody can be let in.
const PAUSE: Duration = Duration::from_secs(1);

/// The place where the server is asked.
#[derive(Debug)]
pub struct Desk {
    listener: UnixListener,
    /// What the kernel says of this process.
    process: Option<File>,
    patience: Duration,
}

impl Desk {
    /// With a socket of [`open`]. It opens a file in `/proc` that Landlock would close.
    pub fn new(listener: UnixListener) -> Desk {
        Desk { listener, process: File::open("/proc/self/status").ok(), patience: PATIENCE }
    }

    /// Resident memory in octets: all, and what is the process's alone (no files).
    fn memory(&self) -> Option<[u64; 2]> {
        let mut text = [0; 8 * 1024];
        let length = self.process.as_ref()?.read_at(&mut text, 0).ok()?;
        let text = String::from_utf8_lossy(&text[..length]);
        let field = |name| -> Option<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
        };
        Some([field("VmRSS:")?, field("RssAnon:")?])
    }
}

/// How the server stands at a moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The moment.
    pub taken: Instant,
    /// When the server began.
    pub began: Instant,
    /// Where clients come to.
    pub listeners: Vec<(Kind, SocketAddr)>,
    /// The certificates in force, and their files.
    pub certificates: Vec<(PathBuf, Facts)>,
    /// Who is in, and what was counted.
    pub census: Census,
}

/// Where the thread leaves a question, and the loop its answer.
#[derive(Default, Debug)]
pub struct Mailbox {
    asked: AtomicBool,
    answer: Mutex<Option<Snapshot>>,
    answered: Condvar,
}

impl Mailbox {
    /// The loop's answer; `wake` wakes it.
    pub fn ask(&self, wake: impl Fn()) -> Snapshot {
        self.asked.store(true, Ordering::Release);
        wake();
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(snapshot) = answer.take() {
                return snapshot;
            }
            answer = self.answered.wait(answer).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether an answer is due.
    pub fn is_asked(&self) -> bool {
        self.asked.swap(false, Ordering::Acquire)
    }

    /// Here it is.
    pub fn answer(&self, snapshot: Snapshot) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(snapshot);
        self.answered.notify_one();
    }
}

/// Starts the thread. `ask` gets a snapshot from the loop.
///
/// # Errors
/// No thread can be had.
pub(super) fn start(desk: Desk, ask: impl Fn() -> Snapshot + Send + 'static) -> io::Result<()> {
    let work = move || loop {
        match desk.listener.accept() {
            Ok((stream, _)) if may_hear(&stream) => {
                let mut text = String::new();
                // Writing to a string does not fail.
                let _ = tell(&ask(), desk.memory(), SystemTime::now(), &mut text);
                if let Err(error) = send(stream, text.as_bytes(), Instant::now() + desk.patience) {
                    log::debug!("poppet status has not heard all: {error}");
                }
            }
            Ok(_) => {}
            Err(error) => {
                log::debug!("poppet status can't come in: {error}");
                thread::sleep(PAUSE);
            }
        }
    };
    thread::Builder::new().name("status".into()).stack_size(256 * 1024).spawn(work).map(drop)
}

/// Root, and the user that the server runs as.
fn may_hear(stream: &UnixStream) -> bool {
    let peer = rustix::net::sockopt::socket_peercred(stream);
    peer.is_ok_and(|peer| peer.uid.is_root() || peer.uid == rustix::process::geteuid())
}

/// Writes until that moment, and not for longer.
fn send(mut stream: UnixStream, mut octets: &[u8], until: Instant) -> io::Result<()> {
    while !octets.is_empty() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_write_timeout(Some(left))?;
        octets = &octets[stream.write(octets)?..];
    }
    Ok(())
}

/// Puts it all into words. `clock` is the time of day when the snapshot was taken.
fn tell(snapshot: &Snapshot, memory: Option<[u64; 2]>, clock: SystemTime, out: &mut String) -> fmt::Result {
    let Snapshot { taken, began, listeners, certificates, census } = snapshot;
    let uptime = taken.saturating_duration_since(*began);
    writeln!(out, "{FIRST}")?;
    let (version, pid, started) = (env!("CARGO_PKG_VERSION"), std::process::id(), unix(clock - uptime));
    writeln!(out, "server version:{version} pid={pid} started={started} uptime={}", uptime.as_secs())?;
    if let Some([resident, anonymous]) = memory {
        writeln!(out, "memory resident={resident} anonymous={anonymous}")?;
    }
    for (kind, address) in listeners {
        let kind = if *kind == Kind::Pop3 { "pop3" } else { "pop3s" };
        writeln!(out, "listeners kind:{kind} address:{address}")?;
    }
    let Census { connections, sessions, slowed, totals } = census;
    writeln!(out, "now connections={connections} sessions={} slowed={slowed}", sessions.len())?;
    tell_totals(totals, out)?;
    for (path, facts) in certificates {
        let (path, names) = (path.to_string_lossy(), facts.names.join(","));
        let (ends, days) = (unix(facts.not_after), facts.days_left(clock).unwrap_or_default());
        writeln!(out, "certificates path:{} names:{} ends={ends} days={days}", Text(&path), Text(&names))?;
    }
    for row in sessions {
        let idle = taken.saturating_duration_since(row.heard).as_secs();
        let age = taken.saturating_duration_since(row.since);
        let (since, seconds) = (unix(clock - age), age.as_secs());
        let Row { user, ip, tls, messages, retr, top, marked, .. } = row;
        write!(
            out,
            "sessions user:{user} address:{ip} tls:{tls} since={since} seconds={seconds} idle={idle} messages={messages}"
        )?;
        writeln!(out, "{} marked={marked}", sent(*retr, *top))?;
    }
    writeln!(out, "{LAST}")
}

fn tell_totals(totals: &Totals, out: &mut String) -> fmt::Result {
    let Totals { connections, closed, logins, recalls, denied, turned_down, retr, top, removed, left } = totals;
    write!(out, "totals connections={connections} logins={logins} failed={denied} refused={turned_down}")?;
    writeln!(out, "{} deleted={removed} left={left}", sent(*retr, *top))?;
    write!(out, "closed")?;
    for (word, count) in WORDS.iter().zip(closed) {
        write!(out, " {word}={count}")?;
    }
    let [whole, part, nothing] = recalls;
    writeln!(out, "\nindex whole={whole} part={part} nothing={nothing}")
}

fn sent(retr: Count, top: Count) -> String {
    format!(
        " retr-messages={} retr-octets={} top-messages={} top-octets={}",
        retr.messages, retr.octets, top.messages, top.octets
    )
}

/// Seconds since 1970.
fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// What may have spaces in it, so that it has none.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' => write!(f, "\\x5c"),
            c if c.is_whitespace() || c.is_control() => write!(f, "\\u{{{:x}}}", c as u32),
            c => write!(f, "{c}"),
        })
    }
}

#[cfg(test)]
mod tests;
