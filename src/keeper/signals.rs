//! How the keeper sleeps, and what wakes it: signals, and the end of its server.
//!
//! Owns: the signals that the keeper catches.
//! Does not know: what is done about them.

use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level::pipe};

/// Signals that have come.
#[derive(Debug)]
pub struct Signals {
    stop: Arc<AtomicBool>,
    look: Arc<AtomicBool>,
    /// An octet for each signal.
    bell: UnixStream,
    /// It rang while something else was waited for.
    rang: bool,
}

impl Signals {
    /// Catches them from here on.
    ///
    /// # Errors
    /// The system refuses.
    pub fn catch() -> io::Result<Signals> {
        let (bell, rope) = UnixStream::pair()?;
        let (stop, look) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        for signal in [SIGTERM, SIGINT] {
            flag::register(signal, Arc::clone(&stop))?;
        }
        flag::register(SIGHUP, Arc::clone(&look))?;
        // Behind the flags: who wakes finds them set.
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGCHLD] {
            pipe::register(signal, rope.try_clone()?)?;
        }
        Ok(Signals { stop, look, bell, rang: false })
    }

    /// Sleeps until something comes, for at most `patience`.
    pub fn wait(&mut self, patience: Duration) {
        if std::mem::take(&mut self.rang) {
            return;
        }
        let patience = patience.max(Duration::from_millis(1));
        // Whatever it returns, it is over.
        let _ = self.bell.set_read_timeout(Some(patience)).and_then(|()| self.bell.read(&mut [0; 64]));
    }

    /// Sleeps until `other` has something to read, or its end; false where SIGTERM or SIGINT came first, or `patience` was
    /// over.
    pub fn until_readable(&mut self, other: BorrowedFd<'_>, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        while !self.stop.load(Ordering::SeqCst) {
            let left = until.saturating_duration_since(Instant::now());
            let mut both = [PollFd::new(&other, PollFlags::IN), PollFd::new(&self.bell, PollFlags::IN)];
            let polled = poll(&mut both, Timespec::try_from(left).ok().as_ref());
            let [readable, rings] = both.map(|one| !one.revents().is_empty());
            if readable || polled == Ok(0) {
                return readable;
            }
            if rings {
                self.wait(left);
                self.rang = true;
            }
        }
        false
    }

    /// Sleeps for `pause`, or until SIGTERM or SIGINT comes; whether it came.
    pub fn stops_within(&mut self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            if self.stop() {
                return true;
            }
            self.wait(left);
        }
        self.stop()
    }

    /// Whether SIGTERM or SIGINT has come since the last question.
    pub fn stop(&self) -> bool {
        self.stop.swap(false, Ordering::SeqCst)
    }

    /// Whether SIGHUP has come since the last question.
    pub fn look(&self) -> bool {
        self.look.swap(false, Ordering::SeqCst)
    }
}
