//! The keeper: the process that stays root, so that the server need not be.
//!
//! Owns: the server's life, the ports, the files of certificates and keys.
//! Does not know: mail, users, POP3, TLS. It never reads an octet from the network.
//!
//! All that runs as root, in this order:
//! 1. `cli`: the arguments, the configuration file (parsed), `/etc/passwd` and `/etc/group`;
//! 2. `server::bind`, or `systemd::sockets`: the ports, which are only ever held here, never read; in the same way
//!    `server::status::open`: the socket for `poppet status`, and its folder;
//! 3. `privileges::close`: the keeper's own core dumps and the like;
//! 4. `tls::read` at the start, `Watch` every minute and on SIGHUP: certificate and key files; octets, never parsed;
//! 5. `Server::start`: this program once more, with an environment of our choice, and the `Link` to it;
//! 6. signals, the server's end, one octet of answer from it, what systemd is told of SIGHUP;
//! 7. in the server's process, before it reads anything: its arguments, and `privileges::give_up`.

pub mod handover;
mod signals;

use std::io;
use std::os::unix::net::UnixListener;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use handover::{Answer, Link};
use signals::Signals;

use crate::net::tls::{CertificateFiles, PairOctets, Watch};
use crate::server::Listener;
use crate::systemd::Notifier;

/// What is to be kept.
#[derive(Debug)]
pub struct Keeper {
    /// The ports, open.
    pub listeners: Vec<Listener>,
    /// Where `poppet status` asks the server.
    pub status: Option<UnixListener>,
    /// The configuration, for the server.
    pub config: String,
    /// The server's arguments.
    pub arguments: Vec<String>,
    /// The server's environment, all of it.
    pub environment: Vec<(String, String)>,
    /// The files of certificates and keys.
    pub pairs: Vec<CertificateFiles>,
    /// What they hold.
    pub octets: Vec<PairOctets>,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// A call that nothing works without.
    #[error("cannot {0}: {1}")]
    System(&'static str, io::Error),
    /// The first server ended before it was ready. Its own words stand before this.
    #[error("the server does not start ({0})")]
    NotStarted(ExitStatus),
}

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(60);
/// A server that was told to stop has a minute for its UPDATEs, and then no more than this.
const STOP: Duration = Duration::from_secs(75);
/// Between the end of a server and the next one: first so long, and twice as long each time.
const PAUSE: Duration = Duration::from_millis(100);
/// At the most so long. Shorter than any watchdog should be.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A server that lived for so long was well.
const WELL: Duration = Duration::from_secs(60);

impl Keeper {
    /// Keeps a server until SIGTERM or SIGINT, whatever becomes of it.
    ///
    /// # Errors
    /// [`KeeperError`]: the first one does not start. Later ones are tried again and again.
    pub fn run(mut self) -> Result<(), KeeperError> {
        let system = |what| move |error| KeeperError::System(what, error);
        let mut signals = Signals::catch().map_err(system("catch signals"))?;
        let mut good = std::mem::take(&mut self.octets);
        let mut watch = Watch::new(self.pairs.clone(), good.clone());
        let notifier = Notifier::from_environment();
        let first = self.start(&good, &mut signals).map_err(system("start the server"))?;
        let mut server = match first.ready_or_gone() {
            Ok(server) => server,
            // It was not given the time.
            Err(_) if signals.stop() => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut pause = PAUSE;
        loop {
            let began = Instant::now();
            let Some(end) = self.mind(&mut server, &mut signals, &mut watch, &mut good, &notifier) else {
                return Ok(());
            };
            let mut what = format!("the server ended ({end})");
            pause = if began.elapsed() > WELL { PAUSE } else { pause };
            server = loop {
                log::error!("{what}; the next one starts in {pause:?}, and its ports stay open");
                if signals.stops_within(pause) {
                    return Ok(());
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
                match self.start(&good, &mut signals) {
                    Ok(server) => break server,
                    Err(error) => what = format!("cannot start the server: {error}"),
                }
            };
        }
    }

    fn start(&self, pairs: &[PairOctets], signals: &mut Signals) -> io::Result<Server> {
        let (mut link, theirs) = Link::pair()?;
        // The program that runs now, even where its file has been replaced by a newer one.
        let mut command = Command::new("/proc/self/exe");
        command.arg0("poppet").args(&self.arguments).env_clear().envs(self.environment.iter().cloned()).stdin(theirs);
        let child = command.spawn()?;
        drop(command);
        // A server that ends before it has taken all shows by giving no answer.
        let answer = match link.send(&self.listeners, self.status.as_ref(), &self.config, pairs) {
            Ok(()) => link.hear_answer(|link, patience| signals.until_readable(link, patience)),
            Err(error) => {
                log::debug!("cannot hand over to the server: {error}");
                Answer::None
            }
        };
        let mut server = Server { child, link, answer };
        if server.answer == Answer::None {
            server.see_end()?;
        }
        Ok(server)
    }

    /// Until the server ends: `None` where it was to, else how it did.
    fn mind(
        &mut self,
        server: &mut Server,
        signals: &mut Signals,
        watch: &mut Watch,
        good: &mut Vec<PairOctets>,
        notifier: &Notifier,
    ) -> Option<ExitStatus> {
        let mut look_at = Instant::now() + LOOK;
        let mut stop_by: Option<Instant> = None;
        loop {
            let now = Instant::now();
            // Before the look at the server: a signal to both may have ended it already.
            if signals.stop() {
                // The second one means: at once.
                if stop_by.is_some() {
                    server.signal(rustix::process::Signal::TERM);
                }
                self.listeners.clear();
                server.link.close();
                stop_by = Some(stop_by.unwrap_or(now + STOP));
            }
            if let Ok(Some(status)) = server.child.try_wait() {
                return stop_by.is_none().then_some(status);
            }
            if stop_by.is_some_and(|at| at <= now) {
                server.signal(rustix::process::Signal::KILL);
                stop_by = Some(now + STOP);
            }
            let asked = stop_by.is_none() && signals.look();
            if asked {
                log::info!("SIGHUP: looking at the certificates; the users file is read whenever it changes");
                notifier.reloading();
            }
            if stop_by.is_none() && (asked || look_at <= now) {
                look_at = now + LOOK;
                server.look(watch, good, signals);
            }
            if asked {
                notifier.say("READY=1");
            }
            signals.wait(stop_by.unwrap_or(look_at).saturating_duration_since(now).min(LOOK));
        }
    }
}

/// A server that has been started.
struct Server {
    child: Child,
    link: Link,
    answer: Answer,
}

impl Server {
    /// Itself, if it answered; else it has ended.
    fn ready_or_gone(mut self) -> Result<Server, KeeperError> {
        if self.answer != Answer::None {
            return Ok(self);
        }
        let status = self.child.wait().map_err(|error| KeeperError::System("wait for the server", error))?;
        Err(KeeperError::NotStarted(status))
    }

    /// It gave no answer: it ends, or it hangs, and then it is ended. A server that says nothing would hold the ports and
    /// serve nobody.
    fn see_end(&mut self) -> io::Result<()> {
        self.link.close();
        for _ in 0..100 {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(PAUSE / 10);
        }
        log::error!("the server gives no answer: it is ended");
        self.child.kill()?;
        self.child.wait().map(|_| ())
    }

    /// Hands down what has changed; what the server takes is what its successor gets.
    fn look(&mut self, watch: &mut Watch, good: &mut Vec<PairOctets>, signals: &mut Signals) {
        match watch.look() {
            None => {}
            Some(Ok(pairs)) => {
                if let Err(error) = self.link.send_pairs(&pairs) {
                    log::error!("the new certificates can't be handed to the server, those before stay: {error}");
                    return;
                }
                let answer = self.link.hear_answer(|link, patience| signals.until_readable(link, patience));
                if answer == Answer::InForce {
                    *good = pairs;
                }
            }
            Some(Err(error)) => log::error!(
                "the certificate files have changed and can't be used, the certificates before stay: {error}"
            ),
        }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        if let Err(error) = rustix::process::kill_process(pid, signal) {
            log::warn!("cannot end the server: {error}");
        }
    }
}

impl KeeperError {
    /// What the program ends with: what the server ended with, if that says something.
    pub fn code(&self) -> u8 {
        match self {
            KeeperError::NotStarted(status) if status.signal().is_none() => {
                status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
            }
            _ => 1,
        }
    }
}
