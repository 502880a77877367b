//! Sessions against programs that deliver, rename and flag all the while, with a ledger of every message.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::fixture::{CrLf, Fixture, number};
use super::{MessageError, OpenError, Store};
use crate::maildrop::Marks;

/// What is known of all messages: their text, by the unique-id they must have.
#[derive(Default)]
struct Ledger {
    delivered: HashMap<String, String>,
    removed: HashSet<String>,
}

impl Ledger {
    fn left(&self) -> usize {
        self.delivered.len() - self.removed.len()
    }
}

#[test]
fn nothing_is_lost_and_nothing_else_removed_while_others_deliver_and_rename() {
    let fixture = Fixture::new();
    let ledger = Mutex::new(Ledger::default());
    // So many sessions, or as many as a busy machine can do in a minute.
    let done = AtomicUsize::new(0);
    let end = Instant::now() + Duration::from_secs(60);
    let running = || done.load(Ordering::Relaxed) < 500 && Instant::now() < end;
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let (fixture, ledger) = (&fixture, &ledger);
            scope.spawn(move || {
                // A Maildir that grows without end would make a slow machine slower and slower.
                let is_full = || ledger.lock().unwrap().left() > 200;
                for n in (0..10_000_000).take_while(|_| running()) {
                    while running() && is_full() {
                        std::thread::sleep(Duration::from_millis(2));
                    }
                    deliver(fixture, ledger, writer, n);
                }
            });
            scope.spawn(move || (0..10_000_000).take_while(|_| running()).for_each(|n| rename_some(fixture.path(), n)));
        }
        for seed in 0..5 {
            let (fixture, ledger, done) = (&fixture, &ledger, &done);
            scope.spawn(move || {
                for n in (0..1_000_000).take_while(|_| running()) {
                    done.fetch_add(usize::from(session(fixture, ledger, seed + n)), Ordering::Relaxed);
                }
            });
        }
    });
    let sessions = done.into_inner();
    let ledger = ledger.into_inner().unwrap();
    let store = fixture.open();
    let left: HashSet<_> = store.maildrop().numbers().map(|n| text(store.maildrop().unique_id(n))).collect();
    let expected: HashSet<_> = ledger.delivered.keys().filter(|id| !ledger.removed.contains(*id)).cloned().collect();
    assert_eq!(left, expected);
    assert!(sessions >= 50 && ledger.removed.len() > 20, "{sessions} sessions removed {}", ledger.removed.len());
}

fn deliver(fixture: &Fixture, ledger: &Mutex<Ledger>, writer: u32, n: u32) {
    let id = format!("{n}.W{writer}.host");
    let body = format!("message {id}\n");
    fixture.put(&format!("tmp/{id}"), &body);
    ledger.lock().unwrap().delivered.insert(id.clone(), body);
    fixture.rename(&format!("tmp/{id}"), &format!("new/{id}"));
    std::thread::sleep(Duration::from_millis(2));
}

/// As a mail program: takes mail out of `new`, and changes flags.
fn rename_some(maildir: &Path, n: u32) {
    for (folder, flags) in [("new", "2,"), ("cur", ["2,F", "2,S", "2,FS"][n as usize % 3])] {
        for entry in fs::read_dir(maildir.join(folder)).unwrap().flatten().skip(n as usize % 7).step_by(5) {
            let name = entry.file_name().into_string().unwrap();
            let base = name.split(':').next().unwrap();
            // A session may have removed it.
            let _ = fs::rename(entry.path(), maildir.join("cur").join(format!("{base}:{flags}")));
        }
    }
    std::thread::sleep(Duration::from_millis(5));
}

/// Reads a few messages, removes some, and checks each. False where another session has the maildrop.
fn session(fixture: &Fixture, ledger: &Mutex<Ledger>, seed: u32) -> bool {
    let mut store = match Store::open::<CrLf>(fixture.path()) {
        Ok(store) => store,
        Err(OpenError::Busy(_)) => {
            std::thread::sleep(Duration::from_millis(1));
            return false;
        }
        Err(error) => panic!("{error}"),
    };
    let maildrop = store.maildrop().clone();
    let ids: Vec<_> = maildrop.numbers().map(|n| text(maildrop.unique_id(n))).collect();
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len(), "one unique-id for two messages");
    let mut marks = Marks::default();
    for n in (1..=maildrop.count()).filter(|n| (n + seed) % 3 == 0).take(30) {
        let id = &ids[n as usize - 1];
        let body = read(&mut store, n).unwrap_or_else(|| panic!("{id} is gone, and nobody else removes"));
        assert_eq!(ledger.lock().unwrap().delivered[id], body);
        if n % 2 == 0 { marks.delete(&maildrop, number(n)) } else { marks.retrieve(number(n)) }
    }
    // The ledger first: the message may be gone as soon as update has begun.
    let removed = maildrop.numbers().filter(|&n| marks.is_deleted(n)).map(|n| ids[n.get() as usize - 1].clone());
    ledger.lock().unwrap().removed.extend(removed);
    let updated = store.update(&marks, true).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(updated.removed, marks.deleted_count());
    true
}

fn read(store: &mut Store, n: u32) -> Option<String> {
    for _ in 0..50 {
        match store.open_message(number(n)) {
            Ok(mut message) => {
                let mut body = String::new();
                message.file.read_to_string(&mut body).unwrap();
                return Some(body);
            }
            Err(MessageError::Moved) => store.locate().unwrap(),
            Err(error) => panic!("{error}"),
        }
    }
    None
}

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).unwrap()
}
