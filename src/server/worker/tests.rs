//! The threads themselves: bounds of their queues, UPDATE, panics, clients that have gone.
//!
//! A lane is held by the call that wakes the loop, which a worker makes after each job.

use std::{
    fs,
    sync::{
        Condvar,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, channel},
    },
    thread,
};

use tempfile::TempDir;

use super::*;
use crate::maildrop::MessageNumber;

const HASHERS: usize = 1 + SPARE_HASHERS;
const LONG: Duration = Duration::from_secs(20);

/// Threads over one Maildir, user `ada` with the password `secret`.
struct Crew {
    folder: TempDir,
    office: Arc<Office>,
    threads: Threads,
    outcomes: Receiver<(Id, Outcome)>,
    gate: Arc<Gate>,
    client: Arc<()>,
}

/// Workers stop here after a job while it is shut.
#[derive(Default)]
struct Gate {
    shut: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn pass(&self) {
        let shut = self.shut.lock().unwrap();
        drop(self.opened.wait_while(shut, |shut| *shut).unwrap());
    }

    fn set(&self, shut: bool) {
        *self.shut.lock().unwrap() = shut;
        self.opened.notify_all();
    }
}

impl Crew {
    fn new() -> Crew {
        let folder = tempfile::tempdir().unwrap();
        for name in ["new", "cur", "tmp"] {
            fs::create_dir_all(folder.path().join("ada").join(name)).unwrap();
        }
        fs::write(folder.path().join("ada/new/1.a"), "x\n").unwrap();
        fs::write(folder.path().join("users"), "ada:{PLAIN}secret\n").unwrap();
        let office = Office {
            authenticator: Authenticator::open(&folder.path().join("users")).unwrap(),
            maildir: format!("{}/{{user}}", folder.path().display()).parse().unwrap(),
            mark_seen: true,
            hashing: Mutex::default(),
        };
        let (sender, outcomes) = channel();
        let gate = Arc::new(Gate::default());
        let held = gate.clone();
        let office = Arc::new(office);
        let threads = Threads::new(Arc::clone(&office), sender, move || held.pass());
        Crew { folder, office, threads, outcomes, gate, client: Arc::new(()) }
    }

    fn authenticate(&self, password: &str) -> Job {
        let (user, password) = (UserName::parse(b"ada").unwrap(), Secret::new(password.as_bytes()));
        Job::Authenticate { user, password, client: Arc::downgrade(&self.client) }
    }

    fn open(&self, name: &str) -> Job {
        Job::Open { path: self.folder.path().join(name), client: Arc::downgrade(&self.client) }
    }

    fn submit(&mut self, serial: u64, job: Job) -> Result<(), Job> {
        self.threads.submit(Id::for_test(serial), job)
    }

    fn outcome(&self) -> (u64, Outcome) {
        let (id, outcome) = self.outcomes.recv_timeout(LONG).expect("an outcome");
        (id.serial, outcome)
    }
}

#[test]
fn outcomes_come_back_with_the_id_of_their_job() {
    let mut crew = Crew::new();
    crew.submit(7, crew.authenticate("secret")).unwrap();
    let (7, Outcome::Authenticated(Ok(Authenticated { path, .. }))) = crew.outcome() else { panic!() };
    assert_eq!(path, crew.folder.path().join("ada"));
    crew.submit(8, crew.authenticate("wrong")).unwrap();
    assert!(matches!(crew.outcome(), (8, Outcome::Authenticated(Err(NotAuthenticated::Denied)))));
    crew.submit(9, crew.open("nobody")).unwrap();
    assert!(matches!(crew.outcome(), (9, Outcome::Opened(Err(OpenError::NoMaildir { .. })))));
    crew.submit(10, crew.open("ada")).unwrap();
    let (10, Outcome::Opened(Ok(store))) = crew.outcome() else { panic!() };
    crew.submit(11, Job::Locate(store)).unwrap();
    let (11, Outcome::Located(store, Ok(()))) = crew.outcome() else { panic!() };
    assert_eq!(store.maildrop().octets(), 3, "counted with CRLF");
}

#[test]
fn a_full_queue_of_hashes_gives_the_job_back_and_delays_no_maildrop() {
    let mut crew = Crew::new();
    crew.gate.set(true);
    for _ in 0..HASHERS {
        crew.submit(0, crew.authenticate("secret")).unwrap();
        assert_eq!(crew.outcome().0, 0);
    }
    for serial in 1..=HASHES_WAITING as u64 {
        crew.submit(serial, crew.authenticate("secret")).unwrap();
    }
    let Err(Job::Authenticate { user, .. }) = crew.submit(0, crew.authenticate("secret")) else { panic!() };
    assert_eq!((user.as_str(), crew.threads.hashing.waiting()), ("ada", HASHES_WAITING));
    crew.submit(5_000, crew.open("nobody")).unwrap();
    assert_eq!(crew.outcome().0, 5_000);
    crew.gate.set(false);
    let mut done: Vec<u64> = (0..HASHES_WAITING).map(|_| crew.outcome().0).collect();
    done.sort_unstable();
    assert!(done.iter().copied().eq(1..=HASHES_WAITING as u64), "each once");
    crew.submit(6_000, crew.authenticate("secret")).unwrap();
    assert_eq!(crew.outcome().0, 6_000);
}

#[test]
fn an_update_is_never_turned_away() {
    let mut crew = Crew::new();
    crew.submit(0, crew.open("ada")).unwrap();
    let (0, Outcome::Opened(Ok(store))) = crew.outcome() else { panic!() };
    let mut marks = Marks::default();
    marks.delete(store.maildrop(), MessageNumber::new(1).unwrap());
    crew.gate.set(true);
    let refused = (1..10_000).find_map(|serial| crew.submit(serial, crew.open("nobody")).err());
    assert!(matches!(refused, Some(Job::Open { .. })));
    assert!(crew.threads.logins.waiting() <= MAILDIRS_WAITING);
    // The lane of those who are logged in has as much to do as it takes.
    for serial in 0..MAILDIRS_WAITING + 2 {
        let job = (Id::for_test(serial as u64), crew.open("nobody"));
        assert!(crew.threads.sessions.submit(job, usize::MAX).is_ok());
    }
    assert!(crew.threads.sessions.waiting() >= MAILDIRS_WAITING);
    crew.submit(77_777, Job::Update(store, marks)).unwrap();
    crew.gate.set(false);
    let updated = std::iter::repeat_with(|| crew.outcome()).find(|(serial, _)| *serial == 77_777).unwrap();
    assert!(matches!(updated.1, Outcome::Updated(Ok(()))));
    assert!(!crew.folder.path().join("ada/new/1.a").exists());
}

#[test]
fn a_job_whose_client_has_gone_is_not_done() {
    let mut crew = Crew::new();
    crew.gate.set(true);
    crew.submit(0, crew.authenticate("secret")).unwrap();
    crew.outcome();
    crew.submit(1, crew.authenticate("secret")).unwrap();
    crew.client = Arc::new(());
    crew.submit(2, crew.authenticate("secret")).unwrap();
    crew.gate.set(false);
    assert_eq!(crew.outcome().0, 2);
}

#[test]
fn a_job_that_panics_has_an_outcome_and_its_lane_goes_on() {
    let mut crew = Crew::new();
    PANICS.store(true, Ordering::SeqCst);
    log::set_logger(&Fuse).expect("no other unit test sets a logger");
    log::set_max_level(log::LevelFilter::Error);
    // A users file that has become a folder is complained of in the middle of a job.
    fs::remove_file(crew.folder.path().join("users")).unwrap();
    fs::create_dir(crew.folder.path().join("users")).unwrap();
    crew.submit(1, crew.authenticate("secret")).unwrap();
    assert!(matches!(crew.outcome(), (1, Outcome::Panicked)));
    PANICS.store(false, Ordering::SeqCst);
    crew.submit(2, crew.authenticate("secret")).unwrap();
    assert!(matches!(crew.outcome(), (2, Outcome::Authenticated(Ok(_)))));
}

/// Whether [`Fuse`] blows.
static PANICS: AtomicBool = AtomicBool::new(false);

/// A logger that panics when the hashing lane complains of a users file.
struct Fuse;

impl log::Log for Fuse {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let in_lane = thread::current().name() == Some("hash");
        if in_lane && record.level() == log::Level::Error && PANICS.load(Ordering::SeqCst) {
            // Without the message of a panic, which would look like a failure.
            std::panic::resume_unwind(Box::new("the logger panics"));
        }
    }

    fn flush(&self) {}
}

#[test]
fn a_small_maildrop_that_has_not_changed_is_opened_with_the_password() {
    let mut crew = Crew::new();
    let opened = |crew: &mut Crew| {
        let job = crew.authenticate("secret");
        crew.submit(1, job).unwrap();
        let (1, Outcome::Authenticated(Ok(outcome))) = crew.outcome() else { panic!() };
        outcome.store.map(|store| store.maildrop().count())
    };
    assert_eq!(opened(&mut crew), None, "there is no index");
    thread::sleep(Duration::from_millis(50));
    let open = crew.open("ada");
    crew.submit(2, open).unwrap();
    assert!(matches!(crew.outcome(), (2, Outcome::Opened(Ok(_)))));
    // One login in sixty-four cleans up, and that one is another job.
    let at_once = |crew: &mut Crew| {
        opened(crew).or_else(|| {
            let open = crew.open("ada");
            crew.submit(3, open).unwrap();
            assert!(matches!(crew.outcome(), (3, Outcome::Opened(Ok(_)))));
            None
        })
    };
    assert!((0..5).any(|_| at_once(&mut crew) == Some(1)));
    fs::write(crew.folder.path().join("ada/new/2.b"), "x\n").unwrap();
    assert_eq!(opened(&mut crew), None, "it has changed");
}

#[test]
fn one_hash_is_made_at_a_time_and_a_thread_that_hangs_in_a_maildir_stops_no_other_password() {
    let mut crew = Crew::new();
    let office = Arc::clone(&crew.office);
    let hashing = office.hashing.lock().unwrap();
    crew.submit(1, crew.authenticate("secret")).unwrap();
    assert!(crew.outcomes.recv_timeout(Duration::from_millis(100)).is_err(), "another one is being made");
    drop(hashing);
    assert_eq!(crew.outcome().0, 1);
    // A thread that does not come back: it is held behind its first outcome.
    crew.gate.set(true);
    for serial in 2..=HASHERS as u64 {
        crew.submit(serial, crew.authenticate("secret")).unwrap();
        assert_eq!(crew.outcome().0, serial);
    }
    crew.gate.set(false);
}
