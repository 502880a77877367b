//! One queue and the threads that work at it.
//!
//! Owns: who is woken, who is started, who ends.
//! Does not know: what the work is.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// Threads that are started when there is work and end when there is none.
pub(super) struct Lane<J> {
    name: &'static str,
    workers: usize,
    /// As many more, one of which looks whether the others get on. To wake it for each job would cost more than most jobs.
    spare: usize,
    patience: Duration,
    work: Box<dyn Fn(J) + Send + Sync>,
    state: Mutex<State<J>>,
    bell: Condvar,
}

struct State<J> {
    queue: VecDeque<J>,
    /// Jobs that were taken from the queue so far.
    taken: u64,
    threads: usize,
    /// Threads that wait for the bell.
    idle: usize,
    /// Those of them that it was rung for, and that are not up yet.
    called: usize,
    /// A spare thread looks whether the others get on.
    watched: bool,
}

impl<J> Default for State<J> {
    fn default() -> State<J> {
        State { queue: VecDeque::new(), taken: 0, threads: 0, idle: 0, called: 0, watched: false }
    }
}

impl<J> State<J> {
    /// Threads that do a job, or will take one at once.
    fn busy(&self) -> usize {
        self.threads + self.called - self.idle - usize::from(self.watched)
    }
}

/// A thread without work ends after this.
const IDLE: Duration = Duration::from_secs(10);
/// Jobs keep what is large on the heap.
const STACK: usize = 256 * 1024;

impl<J: Send + 'static> Lane<J> {
    /// `workers` threads do `work`, and must not panic. `spare` ones stand in for those that are over one job for longer
    /// than `patience`.
    pub(super) fn new(
        name: &'static str,
        workers: usize,
        spare: usize,
        patience: Duration,
        work: impl Fn(J) + Send + Sync + 'static,
    ) -> Lane<J> {
        let (state, bell) = Default::default();
        Lane { name, workers, spare, patience, work: Box::new(work), state, bell }
    }

    /// Puts a job into the queue, if fewer than `bound` wait there.
    ///
    /// # Errors
    /// The queue is full, or there is no thread and none can be had: here is the job back.
    pub(super) fn submit(self: &Arc<Self>, job: J, bound: usize) -> Result<(), J> {
        let mut state = self.state();
        if state.queue.len() >= bound {
            return Err(job);
        }
        state.queue.push_back(job);
        if state.busy() < self.workers || self.is_unwatched(&state) {
            match self.call(&mut state) {
                Ok(Some(bell)) => {
                    // Whoever is woken wants the lock at once.
                    drop(state);
                    bell.notify_one();
                }
                Ok(None) => {}
                // Those that are there will get to it. Without any, it can't be done.
                Err(error) if state.threads == 0 => {
                    log::error!("cannot start a thread: {error}");
                    return state.queue.pop_back().map_or(Ok(()), Err);
                }
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Jobs wait, and nobody looks whether they have to wait for too long.
    fn is_unwatched(&self, state: &State<J>) -> bool {
        self.spare > 0 && !state.watched && !state.queue.is_empty()
    }

    /// Starts a thread, if there may be another, or gives the bell that wakes one.
    fn call(self: &Arc<Self>, state: &mut State<J>) -> io::Result<Option<&Condvar>> {
        if state.idle > state.called {
            state.called += 1;
            return Ok(Some(&self.bell));
        }
        if state.threads < self.workers + self.spare {
            let lane = Arc::clone(self);
            thread::Builder::new().name(self.name.into()).stack_size(STACK).spawn(move || lane.run())?;
            state.threads += 1;
        }
        Ok(None)
    }

    fn run(self: &Arc<Self>) {
        let mut state = self.state();
        loop {
            while !state.queue.is_empty() && state.busy() > self.workers && !state.watched {
                let taken = state.taken;
                state.watched = true;
                drop(state);
                thread::sleep(self.patience);
                state = self.state();
                state.watched = false;
                if state.taken == taken {
                    break;
                }
            }
            if !state.watched || state.busy() <= self.workers {
                state = self.work_off(state);
            }
            state.idle += 1;
            let (woken, waited) = self.bell.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            state.called = state.called.saturating_sub(1);
            if waited.timed_out() && state.queue.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }

    fn work_off<'a>(self: &'a Arc<Self>, mut state: MutexGuard<'a, State<J>>) -> MutexGuard<'a, State<J>> {
        while let Some(job) = state.queue.pop_front() {
            state.taken += 1;
            if self.is_unwatched(&state) {
                // Without another thread they wait for this one.
                if let Ok(Some(bell)) = self.call(&mut state) {
                    bell.notify_one();
                }
            }
            drop(state);
            (self.work)(job);
            state = self.state();
        }
        state
    }

    fn state(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl<J: Send + 'static> Lane<J> {
    /// Jobs that wait.
    pub(super) fn waiting(&self) -> usize {
        self.state().queue.len()
    }
}

#[cfg(test)]
mod tests;
