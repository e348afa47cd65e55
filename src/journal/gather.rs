//! How the writer waits for its next turn: so that callers who come at the same time share one sync.
//!
//! A vendor's worker sends its next callback when it has the answer to the last, so those who were answered together come
//! again almost together. A crowd of them is given a moment, in which the thread sleeps: one sync for eighty costs hardly
//! more than one for forty. Few have come again before the thread would have slept and been woken; so it stays awake, for
//! no longer than the last turn took and never for long. It waits for the first of some; but of two, such as OpenIM's
//! workers, for both, for each of them would else wait for the other's sync and then for its own.

use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use super::job::{JOBS_A_TURN, Job};

/// From this many callers in one turn on they are a crowd.
pub(super) const CROWD: usize = 32;
const CROWD_GATHERS: Duration = Duration::from_micros(300);
/// Up to so many are waited for until all of them have come again.
const FEW: usize = 2;
/// The longest that the thread stays awake.
const STAYS_AWAKE: Duration = Duration::from_micros(120);

/// The queue's end, and what the last turn was like.
pub(super) struct Gather {
    queue: mpsc::Receiver<Job>,
    answered: usize,
    took: Duration,
}

/// Whether more may come.
pub(super) enum Waiting {
    Open,
    Closing,
}

impl Gather {
    pub(super) fn new(queue: mpsc::Receiver<Job>) -> Self {
        Self { queue, answered: 0, took: Duration::ZERO }
    }

    /// Waits for work. `false` when there is none and will be none.
    pub(super) fn next(&mut self, jobs: &mut Vec<Job>) -> bool {
        match self.answered {
            0 => {}
            CROWD.. => thread::sleep(CROWD_GATHERS),
            _ => self.stay_awake(jobs),
        }
        if jobs.is_empty() {
            return self.queue.blocking_recv_many(jobs, JOBS_A_TURN) > 0;
        }
        self.take_waiting(jobs);
        true
    }

    /// Tells how many callers the turn has answered, and what it took.
    pub(super) fn ended(&mut self, answered: usize, took: Duration) {
        (self.answered, self.took) = (answered, took);
    }

    /// Hands over everything that waits, to be refused, without waiting itself.
    pub(super) fn refuse(&mut self, mut refuse: impl FnMut(Job)) -> Waiting {
        self.answered = 0;
        loop {
            match self.queue.try_recv() {
                Ok(Job::Close) => self.queue.close(),
                Ok(job) => refuse(job),
                Err(TryRecvError::Empty) => return Waiting::Open,
                Err(TryRecvError::Disconnected) => return Waiting::Closing,
            }
        }
    }

    /// Takes no more; what is in the queue still comes.
    pub(super) fn close(&mut self) {
        self.queue.close();
        self.answered = 0;
    }

    /// Waits for those who were answered last. Nobody else's work begins a turn meanwhile: it can share theirs.
    fn stay_awake(&mut self, jobs: &mut Vec<Job>) {
        let begun = Instant::now();
        self.take_waiting(jobs);
        let mut callers = jobs.iter().filter(|job| job.is_commit()).count();
        let all = callers + self.answered;
        let awaited = if all <= FEW { all } else { 1 };
        while callers < awaited && jobs.len() < JOBS_A_TURN && begun.elapsed() < self.took.min(STAYS_AWAKE) {
            match self.queue.try_recv() {
                Ok(job) => {
                    callers += usize::from(job.is_commit());
                    jobs.push(job);
                }
                // Whoever is to come may need this very core.
                Err(TryRecvError::Empty) => thread::yield_now(),
                Err(TryRecvError::Disconnected) => return,
            }
        }
    }

    fn take_waiting(&mut self, jobs: &mut Vec<Job>) {
        while jobs.len() < JOBS_A_TURN
            && let Ok(job) = self.queue.try_recv()
        {
            jobs.push(job);
        }
    }
}
