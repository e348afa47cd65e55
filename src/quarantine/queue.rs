//! What waits for the quarantine's thread: three lanes, one for each class, each bounded by entries and bytes, so that
//! junk never stands in front of what must be kept; and the orders of operators.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{Class, NotHidden, QuarantineError, Suspect};

/// How many callbacks of a class may wait to be written.
const ENTRIES: usize = 256;
/// How many bytes of a class may wait: bodies can be large.
const BYTES: [usize; 3] = [16 << 20, 16 << 20, 8 << 20];

/// A callback on its way to the file. Its capacity in the queue is given back when it is dropped.
pub(super) struct Job {
    pub(super) suspect: Suspect,
    pub(super) class: Class,
    /// Who waits for it, with the callbacks that are hidden.
    pub(super) done: Option<oneshot::Sender<Result<(), NotHidden>>>,
    _permits: Permits,
}

/// Capacity in a lane.
pub(super) struct Permits {
    _entry: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

/// What operators, and the service itself, ask for.
pub(super) enum Order {
    /// Take these out: they have been dealt with.
    Release(Vec<i64>),
    /// This one is no longer waiting for the journal; it stays for this reason.
    Settle { id: i64, outcome: &'static str, reason: String },
}

/// Where the end of an order is reported.
pub(super) type Done = oneshot::Sender<Result<(), QuarantineError>>;

/// Everything that waited.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) jobs: Vec<Job>,
    pub(super) orders: Vec<(Order, Done)>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.orders.is_empty()
    }
}

/// What there is to do.
pub(super) enum Next {
    /// This. It is empty when the time to wait is over.
    Batch(Batch),
    /// Nothing, ever again.
    Closed,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    orders: Vec<(Order, Done)>,
    closed: bool,
}

/// The queue. Everybody shares one.
pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    entries: [Arc<Semaphore>; 3],
    bytes: [Arc<Semaphore>; 3],
}

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            wake: Condvar::new(),
            entries: [ENTRIES; 3].map(|permits| Arc::new(Semaphore::new(permits))),
            bytes: BYTES.map(|permits| Arc::new(Semaphore::new(permits))),
        }
    }

    /// Capacity for a callback, if there is some right now.
    pub(super) fn try_reserve(&self, class: Class, bytes: usize) -> Option<Permits> {
        let at = class.index();
        let entry = self.entries[at].clone().try_acquire_owned().ok()?;
        let bytes = self.bytes[at].clone().try_acquire_many_owned(weight(class, bytes)).ok()?;
        Some(Permits { _entry: entry, _bytes: bytes })
    }

    /// Capacity for a callback, as soon as there is some. Cancel safe. `None` when the queue is closed.
    pub(super) async fn reserve(&self, class: Class, bytes: usize) -> Option<Permits> {
        let at = class.index();
        let entry = self.entries[at].clone().acquire_owned().await.ok()?;
        let bytes = self.bytes[at].clone().acquire_many_owned(weight(class, bytes)).await.ok()?;
        Some(Permits { _entry: entry, _bytes: bytes })
    }

    /// Puts a callback into its lane. Without `done` nobody waits for it.
    pub(super) fn push(
        &self,
        class: Class,
        suspect: Suspect,
        permits: Permits,
        done: Option<oneshot::Sender<Result<(), NotHidden>>>,
    ) {
        self.lock().jobs.push_back(Job { suspect, class, done, _permits: permits });
        self.wake.notify_one();
    }

    /// Gives an order. Orders come from operators and from one task, a few at a time.
    pub(super) fn order(&self, order: Order, done: Done) {
        self.lock().orders.push((order, done));
        self.wake.notify_one();
    }

    /// Ends the thread as soon as it has done what waits.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// Everything that waits; waits for it, no longer than `at_most`.
    pub(super) fn next(&self, at_most: Option<Duration>) -> Next {
        let until = at_most.map(|at_most| Instant::now() + at_most);
        let mut state = self.lock();
        loop {
            if !state.jobs.is_empty() || !state.orders.is_empty() {
                let jobs = state.jobs.drain(..).collect();
                return Next::Batch(Batch { jobs, orders: std::mem::take(&mut state.orders) });
            }
            if state.closed {
                return Next::Closed;
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            state = match left {
                None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return Next::Batch(Batch::default()),
                Some(left) => self.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A callback that is larger than its lane takes all of it.
fn weight(class: Class, bytes: usize) -> u32 {
    u32::try_from(bytes.min(BYTES[class.index()])).unwrap_or(u32::MAX)
}
