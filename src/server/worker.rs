//! The work that no socket paces: hashing, opening a maildrop, UPDATE.
//!
//! Owns: jobs, who does which, the bounds of their queues.
//! Does not know: sockets, sessions. An outcome goes back with the id that the job came with.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak, mpsc::Sender},
    time::Duration,
};

use super::Id;
use crate::{
    auth::Authenticator,
    config::MaildirTemplate,
    maildir::{self, FileError, NotRemoved, OpenError, Store},
    maildrop::Marks,
    processors::processors,
    proto::stuffing,
    secret::Secret,
    user::UserName,
};

/// Something that takes as long as it takes.
#[derive(Debug)]
pub enum Job {
    /// Is that the user's password, and where is the mail?
    Authenticate {
        /// Who the client says it is.
        user: UserName,
        /// Its proof.
        password: Secret,
        /// Gone when the client is: then nobody wants to know.
        client: Weak<()>,
    },
    /// Lock the maildrop and read what is in it.
    Open {
        /// The Maildir.
        path: PathBuf,
        /// As above.
        client: Weak<()>,
    },
    /// Look for messages that another program has renamed.
    Locate(Box<Store>),
    /// Make the marks true, and give the maildrop back.
    Update(Box<Store>, Marks),
}

/// What became of a job.
#[derive(Debug)]
pub enum Outcome {
    /// The password is right, or it is wrong.
    Authenticated(Result<Authenticated, NotAuthenticated>),
    /// The maildrop, or why not.
    Opened(Result<Box<Store>, OpenError>),
    /// The store that was looked through, as far as that was possible.
    Located(Box<Store>, Result<(), FileError>),
    /// What UPDATE did.
    Updated(Result<(), NotRemoved>),
    /// The job panicked, which is a fault in this program.
    Panicked,
}

/// Whose password is right.
#[derive(Debug)]
pub struct Authenticated {
    /// The Maildir.
    pub path: PathBuf,
    /// The maildrop, where its index told all of it at once; else it takes a [`Job::Open`].
    pub store: Option<Box<Store>>,
}

/// Why a user may not go on.
#[derive(Debug)]
pub enum NotAuthenticated {
    /// Wrong name or password.
    Denied,
    /// The configuration names no Maildir for this user; the text is for the log.
    NoMaildir(String),
}

/// Those who do jobs.
pub trait Workers {
    /// Puts a job into its queue; its outcome comes later, with `id`.
    ///
    /// # Errors
    /// The queue is full: here is the job back.
    fn submit(&mut self, id: Id, job: Job) -> Result<(), Job>;
}

/// What jobs need to know.
#[derive(Debug)]
pub struct Office {
    /// The users file.
    pub authenticator: Authenticator,
    /// Where Maildirs are.
    pub maildir: MaildirTemplate,
    /// Whether UPDATE moves what was retrieved to `cur/` with the flag `S`.
    pub mark_seen: bool,
    /// One hash at a time: it bounds the memory of Argon2, and the processor's time for strangers.
    pub hashing: Mutex<()>,
}

impl Office {
    /// Does a job, however long it takes. `None` where its client has gone.
    pub fn perform(&self, job: Job) -> Option<Outcome> {
        Some(match job {
            Job::Authenticate { client, .. } | Job::Open { client, .. } if client.strong_count() == 0 => return None,
            Job::Authenticate { user, password, client } => {
                let path = self.authenticate(&user, &password);
                Outcome::Authenticated(
                    path.map(|path| Authenticated { store: Self::open_at_once(&path, &client), path }),
                )
            }
            Job::Open { path, .. } => Outcome::Opened(Store::open::<Counter>(&path).map(Box::new)),
            Job::Locate(mut store) => {
                let located = store.locate();
                Outcome::Located(store, located)
            }
            Job::Update(store, marks) => Outcome::Updated(store.update(&marks, self.mark_seen).map(|_| ())),
        })
    }

    /// Most maildrops are small and have not changed: another thread's turn would take longer than this.
    fn open_at_once(path: &Path, client: &Weak<()>) -> Option<Box<Store>> {
        if client.strong_count() == 0 { None } else { Store::open_at_once(path).map(Box::new) }
    }

    fn authenticate(&self, user: &UserName, password: &Secret) -> Result<PathBuf, NotAuthenticated> {
        let account = {
            let _one_at_a_time = self.hashing.lock().unwrap_or_else(PoisonError::into_inner);
            self.authenticator.authenticate(user, password).map_err(|_| NotAuthenticated::Denied)?
        };
        match account.mail {
            Some(path) => Ok(path),
            None => self
                .maildir
                .path(&account.name, account.home.as_deref())
                .map_err(|error| NotAuthenticated::NoMaildir(error.to_string())),
        }
    }
}

/// The stuffer, as the Maildir layer wants it: LIST counts with what RETR sends with.
struct Counter(stuffing::Stuffer, stuffing::Count);

impl maildir::Count for Counter {
    fn new() -> Counter {
        Counter(stuffing::Stuffer::whole(), stuffing::Count::default())
    }
    fn push(&mut self, octets: &[u8]) {
        let _ = self.0.feed(octets, &mut self.1);
    }
    fn finish(mut self) -> u64 {
        self.0.finish(&mut self.1);
        self.1.0
    }
}

/// The threads, in three lanes.
pub struct Threads {
    /// One hash at a time; with a thread or two to spare, since whoever may come in is let in by the same thread, and a
    /// file system may hang.
    hashing: Arc<Lane<(Id, Job)>>,
    /// A few, so that the first scan of a huge Maildir delays nobody.
    logins: Arc<Lane<(Id, Job)>>,
    /// A few more, so that whoever is logged in waits for no scan at all.
    sessions: Arc<Lane<(Id, Job)>>,
}

/// Threads for passwords beside the one that hashes: they may hang in somebody's Maildir, too.
const SPARE_HASHERS: usize = 2;
/// So long one may be over a password, and the maildrop behind it, before the next one is taken by another.
const PATIENCE: Duration = Duration::from_millis(20);
/// Hashes that may wait. At some 50 ms each the last one is done before its client's minute is over.
const HASHES_WAITING: usize = 1_000;
/// Maildir jobs that may wait.
const MAILDIRS_WAITING: usize = 4_000;

impl Threads {
    /// Outcomes go to `outcomes`, and `wake` is called after each.
    pub fn new(
        office: Arc<Office>,
        outcomes: Sender<(Id, Outcome)>,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Threads {
        let wake: Arc<dyn Fn() + Send + Sync> = Arc::new(wake);
        let lane = |name, workers, spare| {
            let (office, outcomes, wake) = (Arc::clone(&office), outcomes.clone(), Arc::clone(&wake));
            let work = move |(id, job)| {
                let perform = AssertUnwindSafe(|| office.perform(job));
                if let Some(outcome) = catch_unwind(perform).unwrap_or(Some(Outcome::Panicked)) {
                    // The receiver is gone when the server is: then nobody wants to know.
                    let _ = outcomes.send((id, outcome));
                    wake();
                }
            };
            Arc::new(Lane::new(name, workers, spare, PATIENCE, work))
        };

        Threads {
            hashing: lane("hash", 1, SPARE_HASHERS),
            logins: lane("login", processors().clamp(2, 4), 0),
            sessions: lane("session", 2, 0),
        }
    }
}

impl Workers for Threads {
    fn submit(&mut self, id: Id, job: Job) -> Result<(), Job> {
        let (lane, bound) = match job {
            Job::Authenticate { .. } => (&self.hashing, HASHES_WAITING),
            Job::Open { .. } => (&self.logins, MAILDIRS_WAITING),
            Job::Locate(_) => (&self.sessions, MAILDIRS_WAITING),
            // Never turned away: the client has been told that its marks count.
            Job::Update(..) => (&self.sessions, usize::MAX),
        };
        lane.submit((id, job), bound).map_err(|(_, job)| job)
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Threads")
    }
}

mod lane;

use lane::Lane;

#[cfg(test)]
mod tests;
