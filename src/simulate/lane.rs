//! One vendor's callbacks on their way: so many workers, each with a connection, that take the next callback when it is due.
//! In the vendor's own behaviour they also do what it does after an answer; OpenIM's go through its queue.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::sync::{Mutex as Turn, mpsc};
use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::callback::Callback;
use super::dialect::{Answer, Dialect};
use super::ledger::Ledger;
use super::line::{Failure, Line, Lines};
use super::pace::{Pace, counted_from};
use super::source::Source;
use super::tally::Tally;
use super::vendor::{BanLedger, Fate, Next, Vendor};

/// Who cannot connect tries again at this pace and no faster.
const AFTER_NO_CONNECTION: Duration = Duration::from_millis(100);

/// OpenIM's queue for after-callbacks: `mq/memamq` of its tools, as its services make it.
const QUEUE_WORKERS: usize = 2;
const QUEUE_LENGTH: usize = 100;
/// How long its callers wait for a place before the event is dropped, since 3.8.1; before that it was 100 ms.
const QUEUE_PATIENCE: Duration = Duration::from_secs(3);

/// A vendor at work.
pub(super) struct Lane {
    pub(super) vendor: Vendor,
    /// What is in every user's id, and in no other run's.
    pub(super) mark: String,
    pub(super) dialect: &'static Dialect,
    pub(super) lines: Arc<Lines>,
    pub(super) timeout: Duration,
    pub(super) vendor_behaviour: bool,
    pub(super) source: Mutex<Source>,
    pub(super) pace: Mutex<Pace>,
    pub(super) tally: Mutex<Tally>,
    pub(super) ban: Mutex<BanLedger>,
    pub(super) ledger: Option<Arc<Ledger>>,
    /// No further callbacks.
    pub(super) stop: CancellationToken,
    /// No further waiting for answers either.
    pub(super) cut_off: CancellationToken,
    pub(super) done: Arc<AtomicU64>,
}

/// Nothing is left half-done by a panic here, and none is expected.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lane {
    /// Sends all there is to send, with so many workers, and waits for the last answer.
    pub(super) async fn run(self: Arc<Self>, workers: usize) {
        let tasks = TaskTracker::new();
        let queue = (self.vendor_behaviour && self.vendor == Vendor::OpenIm).then(|| {
            let (push, pull) = mpsc::channel(QUEUE_LENGTH);
            let pull = Arc::new(Turn::new(pull));
            for _ in 0..QUEUE_WORKERS {
                tasks.spawn(self.clone().serve_queue(pull.clone()));
            }
            push
        });
        for _ in 0..workers {
            match &queue {
                Some(queue) => tasks.spawn(self.clone().push_to_queue(queue.clone())),
                None => tasks.spawn(self.clone().send_all()),
            };
        }
        // The last of the workers closes it.
        drop(queue);
        tasks.close();
        tasks.wait().await;
        let reordered = locked(&self.source).reordered;
        locked(&self.tally).reordered = reordered;
    }

    /// What has come of it.
    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        locked(&self.tally)
    }

    /// Waits until the next callback is due; gives it and the moment from which its latency counts.
    async fn next(&self) -> Option<(Callback, Instant)> {
        if self.stop.is_cancelled() {
            return None;
        }
        let now = Instant::now();
        let due = locked(&self.pace).next(now)?;
        let waits = due > now;
        if waits {
            tokio::select! {
                () = sleep_until(due.into()) => {}
                () = self.stop.cancelled() => return None,
            }
        }
        let callback = locked(&self.source).next();
        let now = Instant::now();
        locked(&self.tally).begin(&callback, now);
        Some((callback, counted_from(due, now, waits)))
    }

    async fn send_all(self: Arc<Self>) {
        let mut line = Line::new(self.lines.clone());
        while let Some((callback, since)) = self.next().await {
            self.send(&mut line, &callback, since).await;
            self.done.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends a callback; as often as its vendor would, if that is wanted.
    async fn send(&self, line: &mut Line, callback: &Callback, mut since: Instant) {
        for tries in 1.. {
            let got = self.exchange(line, callback).await;
            let now = Instant::now();
            let as_promised = locked(&self.tally).answered(self.dialect, callback, &got, since, now);
            if let Some(ledger) = self.ledger.as_ref().filter(|_| as_promised && callback.kind.is_of_a_read())
            {
                ledger.note(self.vendor, callback);
            }
            if matches!(got, Err(Failure::Connect)) {
                sleep(AFTER_NO_CONNECTION).await;
            }
            if !self.vendor_behaviour {
                return;
            }
            let next = self.vendor.next(&got, tries);
            if next != Next::Delivered {
                self.failed(now);
            }
            let fate = match next {
                Next::Delivered => Fate::Delivered(tries),
                Next::Lost(why) => Fate::Lost(why),
                Next::Again if self.stop.is_cancelled() => Fate::Lost("abandoned"),
                Next::Again => {
                    since = Instant::now();
                    continue;
                }
            };
            locked(&self.tally).ended(callback, fate);
            return;
        }
    }

    /// A failure is one step towards Easemob's ban, and the last step ends the lane.
    fn failed(&self, now: Instant) {
        if self.vendor != Vendor::Easemob || !locked(&self.ban).failed(now) {
            return;
        }
        self.stop.cancel();
        let mut tally = locked(&self.tally);
        let after: u64 = tally.kinds.values().sum();
        if let Some(behaved) = &mut tally.vendor {
            behaved.banned_after.get_or_insert(after);
        }
    }

    async fn exchange(&self, line: &mut Line, callback: &Callback) -> Result<Answer, Failure> {
        tokio::select! {
            biased;
            got = timeout(self.timeout, line.exchange(callback)) => got.unwrap_or(Err(Failure::Timeout)),
            () = self.cut_off.cancelled() => Err(Failure::Abandoned),
        }
    }

    /// A caller of OpenIM's: it marks something as read, and waits for a place in the queue.
    async fn push_to_queue(self: Arc<Self>, queue: mpsc::Sender<Callback>) {
        while let Some((callback, _)) = self.next().await {
            let pushed = queue.send_timeout(callback, QUEUE_PATIENCE).await;
            if let Err(SendTimeoutError::Timeout(callback) | SendTimeoutError::Closed(callback)) = pushed {
                locked(&self.tally).ended(&callback, Fate::Lost("queue_full"));
                self.done.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// One of OpenIM's two workers behind the queue.
    async fn serve_queue(self: Arc<Self>, queue: Arc<Turn<mpsc::Receiver<Callback>>>) {
        let mut line = Line::new(self.lines.clone());
        loop {
            let taken = queue.lock().await.recv().await;
            let Some(callback) = taken else { return };
            if self.cut_off.is_cancelled() {
                locked(&self.tally).ended(&callback, Fate::Lost("abandoned"));
            } else {
                // The wait in the queue is its server's; latency is the receiver's.
                self.send(&mut line, &callback, Instant::now()).await;
            }
            self.done.fetch_add(1, Ordering::Relaxed);
        }
    }
}
