//! Who does the jobs. A job is a number; number 0 waits for the gate.

use std::{
    sync::mpsc::{Receiver, Sender, channel},
    thread::ThreadId,
};

use super::*;

const LONG: Duration = Duration::from_secs(20);

struct Works {
    lane: Arc<Lane<u32>>,
    done: Receiver<(u32, ThreadId)>,
    gate: Sender<()>,
}

fn works(workers: usize, spare: usize, patience: Duration) -> Works {
    let ((gate, opened), (tell, done)) = (channel(), channel());
    let opened = Mutex::new(opened);
    let work = move |job| {
        if job == 0 {
            opened.lock().unwrap().recv_timeout(LONG).unwrap();
        }
        tell.send((job, thread::current().id())).unwrap();
    };
    Works { lane: Arc::new(Lane::new("test", workers, spare, patience, work)), done, gate }
}

impl Works {
    fn submit(&self, job: u32) {
        self.lane.submit(job, usize::MAX).unwrap();
    }

    fn next(&self) -> (u32, ThreadId) {
        self.done.recv_timeout(LONG).expect("a job that is done")
    }
}

#[test]
fn one_worker_does_all_jobs_while_it_gets_on() {
    let works = works(1, 2, LONG * 3);
    for round in 0..3 {
        works.submit(0);
        (1..=100).for_each(|job| works.submit(job));
        works.gate.send(()).unwrap();
        let (first, worker) = works.next();
        assert_eq!(first, 0);
        for job in 1..=100 {
            assert_eq!(works.next(), (job, worker), "round {round}");
        }
    }
    assert!(works.lane.state().threads <= 3);
}

#[test]
fn a_spare_thread_takes_over_where_a_worker_hangs() {
    let works = works(1, 2, Duration::from_millis(1));
    works.submit(0);
    (1..=50).for_each(|job| works.submit(job));
    for job in 1..=50 {
        assert_eq!(works.next().0, job);
    }
    // A second one hangs, and the third is left.
    works.submit(0);
    (51..=100).for_each(|job| works.submit(job));
    for job in 51..=100 {
        assert_eq!(works.next().0, job);
    }
    works.submit(0);
    works.submit(101);
    thread::sleep(Duration::from_millis(20));
    assert_eq!((works.lane.waiting(), works.lane.state().threads), (1, 3), "nobody is left, and no more are started");
    (0..3).for_each(|_| works.gate.send(()).unwrap());
    let mut rest: Vec<u32> = (0..4).map(|_| works.next().0).collect();
    rest.sort_unstable();
    assert_eq!(rest, [0, 0, 0, 101]);
}

#[test]
fn as_many_workers_as_there_may_be_are_woken_at_once() {
    let works = works(2, 0, LONG * 3);
    works.submit(0);
    works.submit(1);
    assert_eq!(works.next().0, 1, "though the first one is busy");
    works.submit(0);
    works.submit(2);
    (0..2).for_each(|_| works.gate.send(()).unwrap());
    let mut rest: Vec<u32> = (0..3).map(|_| works.next().0).collect();
    rest.sort_unstable();
    assert_eq!(rest, [0, 0, 2]);
}
