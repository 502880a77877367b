//! The loop: one thread, one poll.
//!
//! Owns: mio. It turns events into calls of the house, and the house's wishes into the poll's timeout.
//! Does not know: what a connection does with its turn.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant, SystemTime},
};

use mio::{
    Events, Interest, Poll, Token, Waker,
    net::{TcpListener, TcpStream},
};

use super::{
    admission::Full,
    certificates::{self, Certificates, Knocker, News},
    connection::Tools,
    herald::{Herald, Standing},
    house::{House, Rules},
    listeners::{Kind, Listener},
    quota::Quota,
    signals::{Incoming, Wish},
    socket::Socket,
    status::{self, Desk, Mailbox, Snapshot},
    wait::Wait,
    worker::{Office, Threads},
};
use crate::{
    config::Networks,
    net::{tls::Facts, transport::Transport},
    proto::{
        reply::{Code, Reply},
        session::Terms,
    },
    systemd::Notifier,
};

/// All that a server needs to run.
#[derive(Debug)]
pub struct Settings {
    /// Where clients come to.
    pub listeners: Vec<Listener>,
    /// Where `poppet status` asks, if anywhere.
    pub desk: Option<Desk>,
    /// Certificates, and where new ones come from.
    pub certificates: Certificates,
    /// SIGHUP has the certificates looked at by this.
    pub knocker: Option<Knocker>,
    /// The way to systemd.
    pub notifier: Notifier,
    /// What jobs need to know.
    pub office: Office,
    /// Networks of proxies, which say first for whom they speak.
    pub proxy_from: Networks,
    /// Networks that may log in without TLS.
    pub plaintext_from: Networks,
    /// Who may come in, and when a maildrop changes hands.
    pub rules: Rules,
    /// From accept to login, absolute.
    pub login_time: Duration,
    /// Without an octet in either direction, after login.
    pub idle_time: Duration,
}

/// The loop can't begin, or can't go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A call that nothing works without.
    #[error("cannot {0}: {1}")]
    System(&'static str, io::Error),
}

const WAKER: Token = Token(usize::MAX);
const SIGNALS: Token = Token(usize::MAX - 1);
/// Listeners count down from here, connections up from 0.
const FIRST_LISTENER: usize = usize::MAX - 2;

/// Connections accepted at one listener before everybody else has a turn.
const ACCEPTS_A_ROUND: usize = 64;
/// Out of file descriptors no event says that there are some again: so long until the next try.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often the same trouble with accepting is logged.
const ACCEPT_LOG: Duration = Duration::from_secs(60);
/// UPDATEs that a stop waits for, at the longest.
const STOP: Duration = Duration::from_secs(60);
/// For sockets and for files: a block of a message.
const BLOCK: usize = 64 * 1024;

/// Serves until SIGTERM or SIGINT, and returns when the last UPDATE is done.
///
/// # Errors
/// [`ServeError`] where the poll can't be had.
pub fn serve(settings: Settings) -> Result<(), ServeError> {
    EventLoop::new(settings)?.run()
}

struct EventLoop {
    poll: Poll,
    wait: Wait,
    doors: Vec<Door>,
    signals: Incoming,
    outcomes: mpsc::Receiver<(super::Id, super::worker::Outcome)>,
    /// A worker has woken the loop, and the loop has not looked yet.
    woken: Arc<AtomicBool>,
    news: mpsc::Receiver<News>,
    knocker: Option<Knocker>,
    herald: Herald,
    /// Those who ask how the server stands.
    asked: Arc<Mailbox>,
    began: Instant,
    /// The certificates in force, and their files.
    certificates: Vec<(PathBuf, Facts)>,
    house: House<Socket, Threads>,
    accept_again: Option<Instant>,
    accept_logged: Option<Instant>,
    stop_by: Option<Instant>,
}

struct Door {
    socket: TcpListener,
    kind: Kind,
    /// Somebody may stand before it.
    knocked: bool,
}

impl EventLoop {
    fn new(settings: Settings) -> Result<EventLoop, ServeError> {
        let system = |what| move |error| ServeError::System(what, error);
        let poll = Poll::new().map_err(system("make an epoll"))?;
        let waker = Waker::new(poll.registry(), WAKER).map_err(system("make an eventfd"))?;
        let signals = Incoming::new(poll.registry(), SIGNALS).map_err(system("catch signals"))?;
        let mut doors = vec![];
        for (at, listener) in settings.listeners.into_iter().enumerate() {
            let mut socket = TcpListener::from_std(listener.socket);
            let token = Token(FIRST_LISTENER - at);
            poll.registry().register(&mut socket, token, Interest::READABLE).map_err(system("watch a port"))?;
            doors.push(Door { socket, kind: listener.kind, knocked: true });
        }
        let live = settings.certificates.live.as_ref();
        let files = settings.certificates.pairs.iter().map(|pair| pair.certificate.clone());
        let certificates = files.zip(live.map(|live| live.facts.clone()).unwrap_or_default()).collect();
        let tools = Tools {
            block: vec![0; BLOCK].into_boxed_slice(),
            spare: Vec::new(),
            proxy_from: settings.proxy_from,
            plaintext_from: settings.plaintext_from,
            tls: live.map(|loaded| Arc::clone(&loaded.config)),
            mark_seen: settings.office.mark_seen,
            login_time: settings.login_time,
            idle_time: settings.idle_time,
            quota: Quota::default(),
        };
        let waker = Arc::new(waker);
        let news = hear_of_certificates(settings.certificates, Arc::clone(&waker))
            .map_err(system("start a thread for certificates"))?;
        let asked = hear_who_asks(settings.desk, Arc::clone(&waker)).map_err(system("start a thread for status"))?;
        let (sender, outcomes) = mpsc::channel();
        let woken = Arc::new(AtomicBool::new(false));
        let is_woken = Arc::clone(&woken);
        let workers = Threads::new(Arc::new(settings.office), sender, move || {
            // Once is enough for all outcomes that come before the loop looks.
            if !is_woken.swap(true, Ordering::AcqRel) {
                wake(&waker);
            }
        });
        Ok(EventLoop {
            poll,
            wait: Wait::default(),
            doors,
            signals,
            outcomes,
            woken,
            news,
            knocker: settings.knocker,
            herald: Herald::new(settings.notifier),
            asked,
            began: Instant::now(),
            certificates,
            house: House::new(settings.rules, tools, workers),
            accept_again: None,
            accept_logged: None,
            stop_by: None,
        })
    }

    fn run(mut self) -> Result<(), ServeError> {
        let mut events = Events::with_capacity(1024);
        self.herald.ready(self.standing());
        loop {
            let timeout = self.timeout(Instant::now());
            match self.wait.wait(&mut self.poll, &mut events, timeout) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                polled => polled.map_err(|error| ServeError::System("poll", error))?,
            }
            let now = Instant::now();
            for event in &events {
                match event.token() {
                    WAKER => {}
                    SIGNALS => self.obey(now),
                    Token(at) if at > FIRST_LISTENER - self.doors.len() => {
                        self.doors[FIRST_LISTENER - at].knocked = true
                    }
                    Token(place) => {
                        let gone = event.is_error() || event.is_read_closed() && event.is_write_closed();
                        self.house.ready(
                            place,
                            event.is_readable(),
                            event.is_read_closed() || gone,
                            event.is_writable() || gone,
                            now,
                        );
                        if gone {
                            self.house.hung_up(place, now);
                        }
                    }
                }
            }
            self.woken.swap(false, Ordering::AcqRel);
            while let Ok((id, outcome)) = self.outcomes.try_recv() {
                self.house.outcome(id, outcome, now);
            }
            while let Ok(news) = self.news.try_recv() {
                self.hear(news, now);
            }
            if self.asked.is_asked() {
                self.asked.answer(self.snapshot(now));
            }
            self.accept(now);
            self.house.expire(now);
            self.house.run(Instant::now);
            if self.stop_by.is_some_and(|at| at <= now) {
                self.house.evict(now);
            }
            if self.stop_by.is_some() && self.house.is_empty() {
                return Ok(());
            }
            if self.herald.is_heard() {
                self.herald.tick(now, self.standing());
            }
        }
    }

    fn timeout(&self, now: Instant) -> Option<Duration> {
        if self.house.has_work() || self.accept_again.is_none() && self.doors.iter().any(|door| door.knocked) {
            return Some(Duration::ZERO);
        }
        let moments = [self.accept_again, self.stop_by, self.herald.due()].into_iter().flatten();
        let others = moments.map(|at| at.saturating_duration_since(now)).min();
        self.house.until_next(now).into_iter().chain(others).min()
    }

    fn obey(&mut self, now: Instant) {
        let wishes: Vec<Wish> = self.signals.wishes().collect();
        for wish in wishes {
            match wish {
                Wish::LookAgain => {
                    log::info!("SIGHUP: {}the users file is read whenever it changes", self.what_is_looked_at());
                    self.herald.reloading();
                    // Without a certificate of its own there is nothing to wait for.
                    if self.knocker.as_ref().is_none_or(|knocker| knocker.send(()).is_err()) {
                        self.herald.ready(self.standing());
                    }
                }
                Wish::Stop if self.stop_by.is_none() => self.stop(now),
                Wish::Stop => self.stop_by = Some(now),
            }
        }
    }

    fn what_is_looked_at(&self) -> &'static str {
        if self.knocker.is_some() { "looking at the certificates; " } else { "" }
    }

    fn stop(&mut self, now: Instant) {
        log::info!("stopping: sessions in UPDATE finish it, all others are closed without one");
        self.herald.stopping();
        self.doors.clear();
        self.stop_by = Some(now + STOP);
        self.house.stop(now);
    }

    fn hear(&mut self, news: News, now: Instant) {
        match news {
            News::Renewed(loaded) => {
                self.certificates.iter_mut().zip(loaded.facts).for_each(|(pair, facts)| pair.1 = facts);
                self.house.renew(loaded.config);
            }
            News::Same => {}
            // The keeper says it once, beside a signal perhaps, and means the same.
            News::End if self.stop_by.is_none() => self.stop(now),
            News::End => {}
        }
        self.herald.looked(self.standing());
    }

    fn standing(&self) -> Standing {
        let (connections, sessions) = self.house.count();
        let not_after = self.certificates.iter().map(|(_, facts)| facts.not_after).min();
        let left = not_after.map(|end| end.duration_since(SystemTime::now()).unwrap_or_default());
        Standing { connections, sessions, days: left.map(|left| left.as_secs() / (24 * 3600)) }
    }

    fn snapshot(&self, now: Instant) -> Snapshot {
        let address = |door: &Door| Some((door.kind, door.socket.local_addr().ok()?));
        Snapshot {
            taken: now,
            began: self.began,
            listeners: self.doors.iter().filter_map(address).collect(),
            certificates: self.certificates.clone(),
            census: self.house.census(now),
        }
    }

    /// Lets in who stands before the doors. An error of one never ends the loop.
    fn accept(&mut self, now: Instant) {
        if self.accept_again.is_some_and(|at| at > now) {
            return;
        }
        self.accept_again = None;
        for at in 0..self.doors.len() {
            for _ in 0..ACCEPTS_A_ROUND {
                if !self.doors[at].knocked {
                    break;
                }
                match self.doors[at].socket.accept() {
                    Ok((stream, peer)) => self.admit(stream, peer, self.doors[at].kind, now),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => self.doors[at].knocked = false,
                    Err(error) if is_exhaustion(&error) => {
                        self.accept_again = Some(now + ACCEPT_PAUSE);
                        if self.accept_logged.is_none_or(|at| now - at > ACCEPT_LOG) {
                            self.accept_logged = Some(now);
                            log::error!("cannot accept connections for now: {error}");
                        }
                        return;
                    }
                    // That client has gone already.
                    Err(error) => log::debug!("accept: {error}"),
                }
            }
        }
    }

    fn admit(&mut self, stream: TcpStream, peer: SocketAddr, kind: Kind, now: Instant) {
        let tools = self.house.tools();
        let tls = tools.tls.clone();
        let terms = Terms {
            tls_offered: tls.is_some(),
            tls_active: kind == Kind::Pop3s,
            plaintext_login: tools.plaintext_from.contains(peer.ip()),
        };
        let transport = match (kind, tls) {
            (Kind::Pop3s, Some(tls)) => Transport::tls(tls),
            (Kind::Pop3s, None) => return,
            (Kind::Pop3, _) => Ok(Transport::Plain),
        };
        let transport = match transport {
            Ok(transport) => transport,
            Err(error) => return log::error!("cannot begin TLS: {error}"),
        };
        match self.house.admit(Socket(stream), peer, transport, terms, now) {
            Ok(place) => {
                let Some(stream) = self.house.stream(place) else { return };
                let interest = Interest::READABLE | Interest::WRITABLE;
                if let Err(error) = self.poll.registry().register(&mut stream.0, Token(place), interest) {
                    log::error!("cannot watch a connection: {error}");
                    self.house.unwatched(place, now);
                }
            }
            Err((full, Socket(stream))) => turn_away(stream, peer, kind, full),
        }
    }
}

/// Where the certificates' thread, if there is one, leaves its news.
fn hear_of_certificates(certificates: Certificates, waker: Arc<Waker>) -> io::Result<mpsc::Receiver<News>> {
    let (sender, news) = mpsc::channel();
    if let Some(source) = certificates.source {
        let report = move |news| {
            // The receiver is gone when the server is.
            let _ = sender.send(news);
            wake(&waker);
        };
        certificates::start(certificates.pairs, certificates.live, source, report)?;
    }
    Ok(news)
}

/// Where those who ask at the desk, if there is one, leave word.
fn hear_who_asks(desk: Option<Desk>, waker: Arc<Waker>) -> io::Result<Arc<Mailbox>> {
    let mailbox = Arc::new(Mailbox::default());
    if let Some(desk) = desk {
        let theirs = Arc::clone(&mailbox);
        status::start(desk, move || theirs.ask(|| wake(&waker)))?;
    }
    Ok(mailbox)
}

fn wake(waker: &Waker) {
    if let Err(error) = waker.wake() {
        log::error!("cannot wake the event loop: {error}");
    }
}

/// Says why, if that needs no waiting, and closes.
fn turn_away(mut stream: TcpStream, peer: SocketAddr, kind: Kind, full: Full) {
    log::debug!("CLOSED, ip=[{}], reason=too many connections ({full:?})", peer.ip().to_canonical());
    if kind == Kind::Pop3 {
        let mut reply = vec![];
        Reply::coded(Code::SysTemp, "too many connections").encode(&mut reply);
        let _ = io::Write::write(&mut stream, &reply);
    }
}

/// Nothing is wrong with the client; the system has no more to give.
fn is_exhaustion(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS))
}
