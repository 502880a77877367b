//! Many clients of all manners at one house, from a seed; `POPPET_SEED=7` runs that one alone.
//!
//! Each knows beforehand every octet that it must be told. What is left in the Maildirs at the end is what
//! nobody removed who was told `+OK` for it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Instant,
};

use super::{MILLISECOND, SECOND, pipe::Pipe, random::Random, world::World};
use crate::server::worker::Job;

const SEEDS: u64 = 7;
const CLIENTS: usize = 150;
const _: () = assert!(SEEDS as usize * CLIENTS >= 1_000);
const USERS: usize = 12;
/// Far more than a street takes.
const ROUNDS: usize = 200_000;

#[test]
fn every_client_that_plays_by_the_rules_gets_what_it_asked_for_and_nobody_starves() {
    let seeds = match std::env::var("POPPET_SEED") {
        Ok(seed) => vec![seed.parse().expect("a number")],
        Err(_) => (0..SEEDS).collect(),
    };
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    for &seed in &seeds {
        let mut street = Street::new(seed);
        street.live();
        street.at_the_end();
        for client in &street.clients {
            *ends.entry(client.end).or_default() += 1;
        }
        street.seed = None;
    }
    for end in ["updated", "not updated", "refused", "vanished", "silent", "timeout", "taken over"] {
        assert!(seeds.len() == 1 || ends.contains_key(end), "nobody ended as {end}: {ends:?}");
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Manner {
    /// Waits for each reply, or sends many commands ahead.
    Polite,
    /// An octet at a time.
    Typist,
    /// More than a thousand NOOPs without a pause.
    Flood,
    /// Leaves in the middle, by RST.
    Breaks,
    /// Leaves in the middle, by FIN.
    Ends,
    /// Stops reading.
    Deaf,
    /// Says nothing at all.
    Silent,
    /// Says nothing after login.
    Idle,
}

/// A reply: how its first line begins, and all that stands behind that line.
struct Expect(String, Vec<u8>);

struct Client {
    manner: Manner,
    user: usize,
    pipe: Pipe,
    serial: u64,
    began: Instant,
    /// When it last said or took something.
    acted: Instant,
    wake: Instant,
    /// Octets on their way out, and the replies to them that are not there yet.
    saying: VecDeque<u8>,
    expected: VecDeque<Expect>,
    script: VecDeque<(String, Expect)>,
    heard: Vec<u8>,
    /// Commands that it sends ahead.
    ahead: usize,
    logged_in: bool,
    deleted: Vec<String>,
    /// How it came out; empty as long as it lives.
    end: &'static str,
}

impl Client {
    /// Whether there is something for it that it wants to read.
    fn has_news(&self) -> bool {
        let is_deaf = self.manner == Manner::Deaf && self.logged_in;
        !is_deaf && self.pipe.has_octets()
    }
}

struct Street {
    seed: Option<u64>,
    random: Random,
    world: World,
    texts: BTreeMap<(usize, String), String>,
    removed: BTreeSet<(usize, String)>,
    births: Vec<(Instant, Manner)>,
    clients: Vec<Client>,
    neglected: BTreeMap<u64, u32>,
}

impl Drop for Street {
    fn drop(&mut self) {
        if let Some(seed) = self.seed {
            eprintln!("POPPET_SEED={seed} replays this");
        }
    }
}

impl Street {
    fn new(seed: u64) -> Street {
        let random = Random::from_seed(seed);
        let world = World::new(USERS);
        let mut texts = BTreeMap::new();
        for user in 0..USERS {
            for n in 0..random.below(14) as usize {
                let lines = if random.one_in(8) { 3_000 } else { random.below(9) };
                let line = |n| if n % 5 == 0 { ".dots\n".to_owned() } else { format!("line {n} of {lines}\n") };
                let text = format!("Subject: {n}\n\n{}", (0..lines).map(line).collect::<String>());
                texts.insert((user, world.deliver(user, n, &text)), text);
            }
        }
        let (chance, delay) = (random.clone(), random.clone());
        world.bench.borrow_mut().delay = Box::new(move || MILLISECOND * delay.below(400) as u32);
        world.bench.borrow_mut().panics = Box::new(move |_| chance.one_in(60));
        let chance = random.clone();
        world.bench.borrow_mut().full = Box::new(move |job| !matches!(job, Job::Update(..)) && chance.one_in(60));
        let manners = [Manner::Typist, Manner::Flood, Manner::Breaks, Manner::Ends, Manner::Deaf, Manner::Silent];
        let mut births: Vec<(Instant, Manner)> = (0..CLIENTS)
            .map(|n| {
                let manner = match random.below(16) {
                    0 => Manner::Idle,
                    1..=8 => Manner::Polite,
                    _ => manners[n % manners.len()],
                };
                (world.now() + MILLISECOND * random.below(600_000) as u32, manner)
            })
            .collect();
        births.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let (removed, neglected) = (BTreeSet::new(), BTreeMap::new());
        Street { seed: Some(seed), random, world, texts, removed, births, clients: vec![], neglected }
    }

    fn live(&mut self) {
        for _ in 0..ROUNDS {
            let now = self.world.now();
            while self.births.last().is_some_and(|(at, _)| *at <= now) {
                let (_, manner) = self.births.pop().unwrap();
                self.enter(manner);
            }
            let mut active = false;
            for at in 0..self.clients.len() {
                active |= self.act(at);
            }
            self.world.round();
            self.nobody_starves();
            active |= self.clients.iter().any(|client| client.end.is_empty() && client.has_news());
            if active || self.world.house.has_work() {
                self.world.clock.set(now + MILLISECOND);
                continue;
            }
            let jobs = self.world.bench.borrow().jobs.iter().map(|(due, ..)| *due).min();
            let wakes = self.clients.iter().filter(|client| client.end.is_empty() && client.wake > now);
            let wake = wakes.map(|client| client.wake).min();
            let deadline = self.world.house.until_next(now).map(|time| now + time);
            let birth = self.births.last().map(|(at, _)| *at);
            match [jobs, wake, deadline, birth].into_iter().flatten().min() {
                Some(next) => self.world.clock.set(next.max(now + MILLISECOND)),
                None if self.clients.iter().all(|client| !client.end.is_empty()) => return,
                None => self.world.clock.set(now + MILLISECOND),
            }
        }
        let left = self.clients.iter().filter(|client| client.end.is_empty());
        let left: Vec<_> = left.map(|client| (client.manner, client.expected.len(), client.script.len())).collect();
        panic!("these never came to an end: {left:?}");
    }

    fn at_the_end(&mut self) {
        assert!(self.world.house.is_empty() && self.world.house.holders.is_empty());
        assert_eq!(self.world.house.until_next(self.world.now()), None);
        for user in 0..USERS {
            let left = self.texts.keys().filter(|key| key.0 == user && !self.removed.contains(key));
            let left: Vec<String> = left.map(|(_, base)| base.clone()).collect();
            assert_eq!(self.world.mail(user), left, "user {user}");
        }
    }

    fn enter(&mut self, manner: Manner) {
        let room = match (manner, self.random.below(3)) {
            (Manner::Deaf, _) => 500,
            (_, 0) => 300,
            (_, 1) => 4096,
            _ => 65_536,
        };
        let now = self.world.now();
        let user = self.random.below(USERS as u64) as usize;
        let serial = self.world.house.serial;
        let pipe = self.world.admit(room);
        let reply = |start: &str| Expect(start.into(), vec![]);
        let mut script = VecDeque::new();
        if manner != Manner::Silent {
            script.push_back((format!("USER u{user}\r\n"), reply("+OK")));
            script.push_back(("PASS secret\r\n".into(), reply("")));
        }
        let ahead = if self.random.one_in(2) { 1 } else { 40 };
        self.clients.push(Client {
            manner,
            user,
            pipe,
            serial,
            began: now,
            acted: now,
            wake: now,
            saying: VecDeque::new(),
            expected: [reply("+OK poppet")].into(),
            script,
            heard: vec![],
            ahead: if manner == Manner::Flood { usize::MAX } else { ahead },
            logged_in: false,
            deleted: vec![],
            end: "",
        });
    }

    /// What a client does now; whether that was anything.
    fn act(&mut self, at: usize) -> bool {
        let now = self.world.now();
        if !self.clients[at].end.is_empty() {
            return false;
        }
        let heard = self.listen(at);
        if self.clients[at].end.is_empty() {
            let client = &self.clients[at];
            if let Some(closed) = client.pipe.closed().filter(|_| !client.has_news()) {
                self.was_closed(at, closed);
                return true;
            }
        }
        let client = &mut self.clients[at];
        let leaves = client.logged_in && client.script.len() < 9 && client.end.is_empty();
        match client.manner {
            Manner::Breaks if leaves => {
                client.pipe.reset();
                client.end = "vanished";
            }
            Manner::Ends if leaves => {
                client.pipe.end();
                client.end = "vanished";
            }
            _ => {}
        }
        if !client.end.is_empty() || client.wake > now {
            return heard;
        }
        heard | self.speak(at)
    }

    fn listen(&mut self, at: usize) -> bool {
        let now = self.world.now();
        let client = &mut self.clients[at];
        if !client.has_news() {
            return false;
        }
        let octets = client.pipe.take(usize::MAX);
        client.acted = now;
        client.heard.extend(octets);
        while let Some(line) = self.clients[at].heard.iter().position(|&octet| octet == b'\n') {
            let client = &mut self.clients[at];
            let Some(Expect(first, rest)) = client.expected.front() else {
                panic!("{:?}: a reply too many: {:?}", client.manner, String::from_utf8_lossy(&client.heard));
            };
            let said = String::from_utf8_lossy(&client.heard[..=line]).into_owned();
            assert!(said.starts_with(first), "{:?}: {said} is not {first}", client.manner);
            if client.heard.len() < line + 1 + rest.len() {
                return true;
            }
            assert!(client.heard[line + 1..].starts_with(rest), "{:?}: not what stands behind {said}", client.manner);
            client.heard.drain(..line + 1 + rest.len());
            let Expect(first, _) = client.expected.pop_front().unwrap();
            if first.is_empty() {
                self.answered(at, &said);
            }
        }
        true
    }

    /// PASS or QUIT were answered, whose replies can't be foretold.
    fn answered(&mut self, at: usize, said: &str) {
        let now = self.world.now();
        let client = &mut self.clients[at];
        if client.logged_in {
            client.end = match said.starts_with("+OK") {
                true => "updated",
                false => "not updated",
            };
            assert!(said.starts_with("+OK") || said.starts_with("-ERR [SYS/TEMP]"), "{said}");
            if client.end == "updated" {
                let deleted = std::mem::take(&mut client.deleted);
                self.removed.extend(deleted.into_iter().map(|base| (client.user, base)));
            }
        } else if said.starts_with("+OK") {
            client.logged_in = true;
            client.wake = now + MILLISECOND * self.random.below(3_000) as u32;
            self.plan(at, said);
        } else {
            assert!(said.starts_with("-ERR [IN-USE]") || said.starts_with("-ERR [SYS/TEMP]"), "{said}");
            client.end = "refused";
            client.pipe.reset();
        }
    }

    /// All that a client will say after its login, and what it must be told.
    fn plan(&mut self, at: usize, said: &str) {
        let client = &mut self.clients[at];
        let names = self.world.bench.borrow().seen[&client.serial].clone();
        assert_eq!(said, format!("+OK {} messages\r\n", names.len()));
        let texts = &self.texts;
        let text = |name: &String| texts[&(client.user, name.clone())].replace('\n', "\r\n");
        let sizes: Vec<usize> = names.iter().map(|name| text(name).len()).collect();
        let mut deleted = vec![false; names.len()];
        let steps = match client.manner {
            Manner::Idle => 0,
            Manner::Flood => 1_500,
            _ => 10 + self.random.below(15),
        };
        for step in 0..steps {
            let n = self.random.below(names.len() as u64 + 1) as usize;
            let there = n < names.len() && !deleted[n];
            let left = || (0..names.len()).filter(|&n| !deleted[n]);
            let listing = |line: &dyn Fn(usize) -> String| {
                let lines: String = left().map(|n| format!("{} {}\r\n", n + 1, line(n))).collect();
                Expect(format!("+OK {}", left().count()), (lines + ".\r\n").into_bytes())
            };
            let choice = match (client.manner, step) {
                (Manner::Flood, 3..) => 9,
                (Manner::Deaf, _) => 3,
                _ => self.random.below(10),
            };
            let none = Expect("-ERR no such".into(), vec![]);
            let (command, expect) = match choice {
                0 => ("UIDL".into(), listing(&|n| names[n].clone())),
                1 => ("LIST".into(), listing(&|n| sizes[n].to_string())),
                2 => {
                    let octets: usize = left().map(|n| sizes[n]).sum();
                    ("STAT".into(), Expect(format!("+OK {} {octets}\r\n", left().count()), vec![]))
                }
                3..=5 if !there => (format!("RETR {}", n + 1), none),
                3..=5 => {
                    let stuffed = text(&names[n]).replace("\r\n.", "\r\n..");
                    let first = format!("+OK {} octets\r\n", sizes[n]);
                    (format!("RETR {}", n + 1), Expect(first, (stuffed + ".\r\n").into_bytes()))
                }
                6 if there => {
                    let header = text(&names[n]).split_inclusive("\r\n\r\n").next().unwrap().to_owned();
                    (format!("TOP {} 0", n + 1), Expect("+OK".into(), (header + ".\r\n").into_bytes()))
                }
                7 if !there => (format!("DELE {}", n + 1), none),
                7 => {
                    deleted[n] = true;
                    (format!("DELE {}", n + 1), Expect("+OK".into(), vec![]))
                }
                8 => ("XYZZY".into(), Expect("-ERR".into(), vec![])),
                _ => ("NOOP".into(), Expect("+OK".into(), vec![])),
            };
            client.script.push_back((command + "\r\n", expect));
        }
        if matches!(client.manner, Manner::Polite | Manner::Typist | Manner::Flood) {
            client.script.push_back(("QUIT\r\n".into(), Expect(String::new(), vec![])));
        }
        client.deleted = names.into_iter().zip(deleted).filter(|(_, deleted)| *deleted).map(|(name, _)| name).collect();
    }

    fn speak(&mut self, at: usize) -> bool {
        let now = self.world.now();
        let client = &mut self.clients[at];
        // What follows PASS depends on its reply.
        while client.expected.len() < client.ahead && client.expected.iter().all(|expect| !expect.0.is_empty()) {
            let Some((command, expect)) = client.script.pop_front() else { break };
            client.saying.extend(command.into_bytes());
            client.expected.push_back(expect);
        }
        let count = if client.manner == Manner::Typist { client.saying.len().min(1) } else { client.saying.len() };
        let said = client.pipe.say(&client.saying.make_contiguous()[..count]);
        client.saying.drain(..said);
        if said == 0 {
            return false;
        }
        client.acted = now;
        if client.manner == Manner::Typist {
            client.wake = now + MILLISECOND * (1 + self.random.below(100) as u32);
        }
        true
    }

    /// The server closed a connection whose client still wanted something.
    fn was_closed(&mut self, at: usize, closed: Instant) {
        let client = &self.clients[at];
        // It takes what it is told a moment after the server wrote it.
        let silent = closed - client.acted + MILLISECOND;
        let is_successor = |other: &Client| other.user == client.user && other.serial > client.serial;
        let taken_over = self.clients.iter().any(is_successor);
        let full = client.pipe.take(usize::MAX).len() >= 500;
        let yields = if client.manner == Manner::Deaf && full { 120 * SECOND } else { 30 * SECOND };
        self.clients[at].end = match client.manner {
            Manner::Silent => {
                assert_eq!(closed - client.began, 60 * SECOND);
                "silent"
            }
            Manner::Idle | Manner::Deaf if silent >= 600 * SECOND => {
                assert!(silent <= 602 * SECOND, "closed after {silent:?}");
                "timeout"
            }
            Manner::Idle | Manner::Deaf if silent >= yields && taken_over => "taken over",
            manner => panic!("{manner:?} was closed after {silent:?}: {:?}", String::from_utf8_lossy(&client.heard)),
        };
    }

    fn nobody_starves(&mut self) {
        let bench = self.world.bench.borrow();
        for client in self.clients.iter().filter(|client| client.pipe.closed().is_none()) {
            let waits = self.neglected.entry(client.serial).or_default();
            let neglected =
                client.pipe.is_neglected() && !bench.jobs.iter().any(|(_, id, _)| id.serial == client.serial);
            *waits = if neglected { *waits + 1 } else { 0 };
            assert!(*waits <= 2, "{:?} waits for {waits} rounds", client.manner);
        }
    }
}
