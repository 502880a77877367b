//! How the loop waits for events.
//!
//! Owns: whether it sleeps at once, or looks for a moment whether it will have to.
//! Does not know: what the events mean.
//!
//! A client on the same machine takes some 30 microseconds from one reply to its next command, and to be sent to sleep
//! and woken takes as long again: the processor sleeps, too. So where the last wait was that short, the next one begins
//! awake. It yields meanwhile, and where it was in vain the one after it sleeps at once. One client over a network takes a
//! hundred times longer for a command, so nothing is spent on it; by many that come within 100 microseconds of each other,
//! at most these 100 behind each.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use mio::{Events, Poll};

/// What a wait knows of those before it.
#[derive(Default, Debug)]
pub struct Wait {
    /// The last one was short.
    brisk: bool,
}

/// A wait is short up to this, and no other is awake for longer.
const SHORT: Duration = Duration::from_micros(100);

impl Wait {
    /// Waits until `poll` has events, `timeout` at the longest (and never less than [`SHORT`], if it is none).
    ///
    /// # Errors
    /// Those of the poll, with `Interrupted` among them.
    pub fn wait(&mut self, poll: &mut Poll, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        if timeout == Some(Duration::ZERO) {
            return poll.poll(events, timeout);
        }
        let began = Instant::now();
        let mut sleeps = true;
        while self.brisk && sleeps && began.elapsed() < SHORT {
            poll.poll(events, Some(Duration::ZERO))?;
            sleeps = events.is_empty();
            if sleeps {
                thread::yield_now();
            }
        }
        if sleeps {
            poll.poll(events, timeout)?;
        }
        self.brisk = began.elapsed() < SHORT;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mio::{Token, Waker};

    use super::*;

    fn waited(wait: &mut Wait, poll: &mut Poll, timeout: Duration) -> (usize, Duration) {
        let (mut events, began) = (Events::with_capacity(8), Instant::now());
        wait.wait(poll, &mut events, Some(timeout)).unwrap();
        (events.iter().count(), began.elapsed())
    }

    #[test]
    fn it_is_awake_behind_a_short_wait_and_asleep_behind_a_long_one_and_misses_nothing() {
        let (mut poll, mut wait) = (Poll::new().unwrap(), Wait::default());
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let long = Duration::from_millis(20);
        // What is there already makes a wait short. A busy machine may take longer all the same, so there are some tries.
        let brisk = (0..100).any(|_| {
            waker.wake().unwrap();
            assert_eq!(waited(&mut wait, &mut poll, long).0, 1);
            wait.brisk
        });
        assert!(brisk, "no wait of a hundred was short");
        assert!(waited(&mut wait, &mut poll, long).1 >= long, "it has nothing to tell before");
        assert!(!wait.brisk);
        for brisk in [false, true] {
            wait.brisk = brisk;
            let other = Arc::clone(&waker);
            let wakes = thread::spawn(move || {
                thread::sleep(Duration::from_millis(5));
                other.wake().unwrap();
            });
            assert_eq!(waited(&mut wait, &mut poll, Duration::from_secs(20)).0, 1);
            wakes.join().unwrap();
            wait.brisk = brisk;
            waker.wake().unwrap();
            assert_eq!(waited(&mut wait, &mut poll, Duration::from_secs(20)).0, 1);
        }
        wait.brisk = true;
        assert_eq!(waited(&mut wait, &mut poll, Duration::ZERO).0, 0);
        assert!(wait.brisk, "no wait at all says nothing");
    }
}
