//! A house with everything that it is given: Maildirs in a temporary folder, workers that take their time, a clock
//! that moves when the test says so.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    path::PathBuf,
    rc::Rc,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::pipe::{Clock, Pipe, Stream, pipe};
use crate::{
    auth::Authenticator,
    config::Networks,
    net::transport::Transport,
    proto::session::Terms,
    server::{
        Id,
        connection::Tools,
        house::{House, Rules},
        worker::{Authenticated, Job, Office, Outcome, Workers},
    },
};

/// Jobs that wait for their time, and what became of them.
pub(super) struct Bench {
    pub(super) office: Office,
    pub(super) jobs: Vec<(Instant, Id, Job)>,
    pub(super) clock: Clock,
    /// How long a job takes.
    pub(super) delay: Box<dyn FnMut() -> Duration>,
    /// Whether the queue is full.
    pub(super) full: Box<dyn FnMut(&Job) -> bool>,
    /// Whether a job panics.
    pub(super) panics: Box<dyn FnMut(&Job) -> bool>,
    /// The base names in the Maildir when the connection of that serial opened it.
    pub(super) seen: BTreeMap<u64, Vec<String>>,
}

/// The house's way to the bench.
pub(in crate::server) struct Hands(Rc<RefCell<Bench>>);

impl Workers for Hands {
    fn submit(&mut self, id: Id, job: Job) -> Result<(), Job> {
        let mut bench = self.0.borrow_mut();
        if (bench.full)(&job) {
            return Err(job);
        }
        let due = bench.clock.get() + (bench.delay)();
        bench.jobs.push((due, id, job));
        Ok(())
    }
}

pub(super) struct World {
    pub(super) folder: TempDir,
    pub(super) clock: Clock,
    pub(super) bench: Rc<RefCell<Bench>>,
    pub(super) house: House<Stream, Hands>,
    /// Place in the house, and the client's end.
    pub(super) pipes: Vec<(usize, Pipe)>,
}

impl World {
    /// Users u0, u1 and so on, whose password is `secret`; nobody has mail.
    pub(super) fn new(users: usize) -> World {
        let folder = tempfile::tempdir().unwrap();
        let mut file = String::new();
        for user in 0..users {
            file += &format!("u{user}:{{PLAIN}}secret\n");
            for name in ["new", "cur", "tmp"] {
                fs::create_dir_all(folder.path().join(format!("u{user}/{name}"))).unwrap();
            }
        }
        fs::write(folder.path().join("users"), file).unwrap();
        let office = Office {
            authenticator: Authenticator::open(&folder.path().join("users")).unwrap(),
            maildir: format!("{}/{{user}}", folder.path().display()).parse().unwrap(),
            mark_seen: true,
            hashing: Default::default(),
        };
        let clock = Rc::new(std::cell::Cell::new(Instant::now()));
        let bench = Rc::new(RefCell::new(Bench {
            office,
            jobs: vec![],
            clock: clock.clone(),
            delay: Box::new(|| Duration::ZERO),
            full: Box::new(|_| false),
            panics: Box::new(|_| false),
            seen: BTreeMap::new(),
        }));
        let tools = Tools {
            block: vec![0; 64 * 1024].into_boxed_slice(),
            spare: Vec::new(),
            proxy_from: ["198.51.100.0/24".parse().unwrap()].into_iter().collect(),
            plaintext_from: ["192.0.2.0/24".parse().unwrap()].into_iter().collect(),
            tls: None,
            mark_seen: true,
            login_time: Duration::from_secs(60),
            idle_time: Duration::from_secs(600),
            quota: Default::default(),
        };
        let rules = Rules {
            connections: 1000,
            connections_per_address: 500,
            takeover_after: Duration::from_secs(30),
            penalty_free: Networks::default(),
        };
        let house = House::new(rules, tools, Hands(bench.clone()));
        World { folder, clock, bench, house, pipes: vec![] }
    }

    pub(super) fn now(&self) -> Instant {
        self.clock.get()
    }

    pub(super) fn maildir(&self, user: usize) -> PathBuf {
        self.folder.path().join(format!("u{user}"))
    }

    /// Delivers message `n`, and returns its base name.
    pub(super) fn deliver(&self, user: usize, n: usize, text: &str) -> String {
        let base = format!("{}.M{n}P1.example", 1_700_000_000 + n);
        let name = if n % 2 == 0 { format!("new/{base}") } else { format!("cur/{base}:2,") };
        fs::write(self.maildir(user).join(name), text).unwrap();
        base
    }

    /// The base names of what is in a Maildir, sorted.
    pub(super) fn mail(&self, user: usize) -> Vec<String> {
        base_names(&self.maildir(user))
    }

    /// A client comes in, through a pipe with so much room. Its serial is [`House::serial`] before.
    pub(super) fn admit(&mut self, room: usize) -> Pipe {
        let terms = Terms { tls_offered: false, tls_active: false, plaintext_login: true };
        self.admit_over(room, Transport::Plain, terms)
    }

    /// The same from another address than 192.0.2.1.
    pub(super) fn admit_from(&mut self, address: &str) -> Pipe {
        let terms = Terms { tls_offered: false, tls_active: false, plaintext_login: true };
        self.enter(address, 1 << 20, Transport::Plain, terms)
    }

    pub(super) fn admit_over(&mut self, room: usize, transport: Transport, terms: Terms) -> Pipe {
        self.enter("192.0.2.1", room, transport, terms)
    }

    pub(super) fn enter(&mut self, address: &str, room: usize, transport: Transport, terms: Terms) -> Pipe {
        let (pipe, stream) = pipe(room, &self.clock);
        let peer = (address.parse::<std::net::IpAddr>().unwrap(), 1100).into();
        let admitted = self.house.admit(stream, peer, transport, terms, self.clock.get());
        let Ok(place) = admitted else { panic!("the house is full") };
        self.pipes.push((place, pipe.clone()));
        pipe
    }

    /// Jobs that are due, edges, deadlines, and one turn for each who wants one.
    pub(super) fn round(&mut self) {
        self.perform();
        self.pipes.retain(|(_, pipe)| pipe.closed().is_none());
        for (place, pipe) in &self.pipes {
            if let Some(edge) = pipe.edge() {
                self.house.ready(*place, edge.readable, edge.read_closed, edge.writable, self.clock.get());
            }
        }
        self.house.expire(self.clock.get());
        self.house.run(|| self.clock.get());
        self.check();
    }

    /// Rounds until nothing happens without the clock.
    pub(super) fn settle(&mut self) {
        for _ in 0..100_000 {
            self.round();
            let now = self.now();
            let edges = self.pipes.iter().any(|(_, pipe)| pipe.has_edge());
            if !edges && !self.house.has_work() && !self.bench.borrow().jobs.iter().any(|(due, ..)| *due <= now) {
                return;
            }
        }
        panic!("this never settles");
    }

    /// The clock moves on, from one moment at which something is due to the next.
    pub(super) fn wait(&mut self, time: Duration) {
        let until = self.now() + time;
        self.settle();
        while self.now() < until {
            let jobs = self.bench.borrow().jobs.iter().map(|(due, ..)| *due).min();
            let deadline = self.house.until_next(self.now()).map(|time| self.now() + time);
            let next = [jobs, deadline, Some(until)].into_iter().flatten().min().unwrap();
            self.clock.set(next.min(until));
            self.settle();
        }
    }

    /// Says lines and returns all that comes back by itself.
    pub(super) fn talk(&mut self, pipe: &Pipe, lines: &str) -> String {
        let (mut said, mut heard) = (0, vec![]);
        loop {
            said += if pipe.closed().is_none() { pipe.say(&lines.as_bytes()[said..]) } else { 0 };
            self.settle();
            let more = pipe.take(usize::MAX);
            let is_over = more.is_empty() && (said == lines.len() || pipe.closed().is_some());
            heard.extend(more);
            if is_over {
                return String::from_utf8(heard).unwrap();
            }
        }
    }

    /// What must hold at every moment.
    fn check(&self) {
        let mut held = std::collections::HashSet::new();
        for (_, resident) in &self.house.residents {
            let waiting = resident.connection.waiting();
            assert!(waiting <= 64 * 1024 + 2 * 64 * 1024, "{waiting} octets in an outbox");
            if let Some(maildrop) = resident.connection.maildrop_id() {
                assert!(held.insert(maildrop), "two sessions have a maildrop");
            }
        }
    }

    fn perform(&mut self) {
        let now = self.now();
        loop {
            let (id, outcome) = {
                let mut bench = self.bench.borrow_mut();
                let Some(at) = bench.jobs.iter().position(|(due, ..)| *due <= now) else { return };
                let (_, id, job) = bench.jobs.remove(at);
                (id, bench.perform(id, job))
            };
            if let Some(outcome) = outcome {
                self.house.outcome(id, outcome, now);
            }
        }
    }
}

impl Bench {
    fn perform(&mut self, id: Id, job: Job) -> Option<Outcome> {
        if (self.panics)(&job) {
            return Some(Outcome::Panicked);
        }
        let path = if let Job::Open { path, .. } = &job { Some(path.clone()) } else { None };
        let outcome = self.office.perform(job);
        let opened = match &outcome {
            Some(Outcome::Authenticated(Ok(Authenticated { path, store: Some(_) }))) => Some(path),
            Some(Outcome::Opened(Ok(_))) => path.as_ref(),
            _ => None,
        };
        if let Some(path) = opened {
            self.seen.insert(id.serial, base_names(path));
        }
        outcome
    }
}

fn base_names(maildir: &std::path::Path) -> Vec<String> {
    let files = ["new", "cur"].into_iter().flat_map(|folder| fs::read_dir(maildir.join(folder)).unwrap());
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.map(|name| name.split(':').next().unwrap().to_owned()).collect();
    names.sort();
    names
}
