//! What systemd hears of the server: that it is ready, how it stands, that its loop still turns.
//!
//! Owns: when something is said.
//! Does not know: how it gets there.

use std::time::{Duration, Instant};

use crate::systemd::{self, Notifier};

/// How the server stands, for one line of `systemctl status`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Clients.
    pub connections: usize,
    /// Maildrops that are open.
    pub sessions: usize,
    /// Until the first certificate ends; `None` without one.
    pub days: Option<u64>,
}

/// Speaks when there is something to say.
#[derive(Debug)]
pub struct Herald {
    notifier: Notifier,
    watchdog: Option<(Duration, Instant)>,
    reloading: bool,
    told: Option<(Standing, Instant)>,
    /// The standing is another than what was told: there is something to say at this moment.
    changed: Option<Instant>,
}

/// The standing is told at most this often.
const PAUSE: Duration = Duration::from_secs(2);

impl Herald {
    /// One that knows from the environment whether anybody listens, and how closely.
    pub fn new(notifier: Notifier) -> Herald {
        let watchdog = systemd::watchdog().filter(|_| notifier.is_there()).map(|every| (every, Instant::now()));
        Herald { notifier, watchdog, reloading: false, told: None, changed: None }
    }

    /// Clients can come, or come again.
    pub fn ready(&mut self, standing: Standing) {
        self.reloading = false;
        self.notifier.say(&format!("READY=1\n{}", line(standing)));
        self.told = Some((standing, Instant::now()));
    }

    /// Files are being read anew.
    pub fn reloading(&mut self) {
        self.reloading = true;
        self.notifier.reloading();
    }

    /// The files have been read, whether or not somebody asked for it.
    pub fn looked(&mut self, standing: Standing) {
        if self.reloading {
            self.ready(standing);
        }
    }

    /// The end has begun.
    pub fn stopping(&self) {
        self.notifier.say("STOPPING=1\nSTATUS=Stopping");
    }

    /// Whether anybody hears it; else the loop need not find out how it stands.
    pub fn is_heard(&self) -> bool {
        self.notifier.is_there()
    }

    /// The loop has turned. It must come by at [`Herald::due`], and a loop that is stuck does not.
    pub fn tick(&mut self, now: Instant, standing: Standing) {
        if let Some((every, due)) = &mut self.watchdog {
            if *due <= now {
                self.notifier.say("WATCHDOG=1");
                *due = now + *every;
            }
        }
        let Some((_, at)) = self.told.filter(|(told, _)| *told != standing) else {
            self.changed = None;
            return;
        };
        if now.saturating_duration_since(at) >= PAUSE {
            self.notifier.say(&line(standing));
            self.told = Some((standing, now));
            self.changed = None;
        } else {
            self.changed = Some(at + PAUSE);
        }
    }

    /// When there will be something to say.
    pub fn due(&self) -> Option<Instant> {
        self.watchdog.map(|(_, due)| due).into_iter().chain(self.changed).min()
    }
}

fn line(standing: Standing) -> String {
    let Standing { connections, sessions, days } = standing;
    let certificate = match days {
        None => "none".to_owned(),
        Some(days) => format!("{days} days left"),
    };
    format!("STATUS=connections: {connections}, sessions: {sessions}, certificate: {certificate}")
}
