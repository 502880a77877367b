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
        if !std::mem::take(&mut self.rang) {
            self.hear_bell(patience);
        }
    }

    fn hear_bell(&mut self, patience: Duration) {
        let patience = patience.max(Duration::from_millis(1));
        // Whatever it returns, it is over.
        let _ = self.bell.set_read_timeout(Some(patience)).and_then(|()| self.bell.read(&mut [0; 64]));
    }

    /// Sleeps until `other` has something to read, or its end; false where SIGTERM or SIGINT came first, or `patience` was
    /// over.
    pub fn until_readable(&mut self, other: BorrowedFd<'_>, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        while !self.stop.load(Ordering::SeqCst) {
            let Some(left) = until.checked_duration_since(Instant::now()) else { break };
            let mut both = [PollFd::new(&other, PollFlags::IN), PollFd::new(&self.bell, PollFlags::IN)];
            let polled = poll(&mut both, Timespec::try_from(left).ok().as_ref());
            let [readable, rings] = both.map(|one| !one.revents().is_empty());
            if readable || polled == Ok(0) {
                return readable;
            }
            if rings {
                // Whoever waits next is to see what it rang for.
                self.hear_bell(left);
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;

    use super::*;

    /// Nobody's signals: the bell is rung by hand.
    fn signals() -> (Signals, UnixStream) {
        let (bell, rope) = UnixStream::pair().unwrap();
        let (stop, look) = Default::default();
        (Signals { stop, look, bell, rang: false }, rope)
    }

    #[test]
    fn a_wait_for_something_else_ends_in_time_however_often_the_bell_rings() {
        let ((mut signals, mut rope), (other, _its_end)) = (signals(), UnixStream::pair().unwrap());
        let ringer = std::thread::spawn(move || {
            for _ in 0..20 {
                rope.write_all(b"x").unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
            rope
        });
        assert!(!signals.until_readable(other.as_fd(), Duration::from_millis(50)));
        let mut rope = ringer.join().unwrap();
        assert!(signals.rang, "the next wait is over at once, for what it rang for");
        signals.wait(Duration::from_secs(3600));
        rope.write_all(b"x").unwrap();
        signals.wait(Duration::from_secs(3600));
        // Nothing is left in the bell, so it sleeps.
        let began = Instant::now();
        signals.wait(Duration::from_millis(20));
        assert!(began.elapsed() >= Duration::from_millis(20));
        rope.write_all(b"x").unwrap();
        signals.wait(Duration::from_secs(3600));
    }

    #[test]
    fn what_comes_and_a_stop_end_it_at_once() {
        let ((mut signals, _rope), (other, mut its_end)) = (signals(), UnixStream::pair().unwrap());
        its_end.write_all(b"x").unwrap();
        assert!(signals.until_readable(other.as_fd(), Duration::from_secs(3600)));
        signals.stop.store(true, Ordering::SeqCst);
        assert!(!signals.until_readable(other.as_fd(), Duration::from_secs(3600)));
        assert!(signals.stop(), "it is not forgotten");
    }
}
