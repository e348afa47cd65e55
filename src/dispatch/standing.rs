//! How a sink is doing, for whoever wants to look while it works, waits or hangs.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::clock;
use crate::journal::{Seq, Stored};
use crate::metrics::Metrics;
use crate::receipt::Timestamp;

/// Where a sink stands.
#[derive(Debug, Default)]
pub struct Standing {
    /// Everything up to this position is delivered or parked.
    cursor: AtomicI64,
    /// When the first receipt of the batch under way came, in milliseconds; 0 when there is none.
    oldest_waiting: AtomicI64,
    paused: AtomicBool,
    failing: AtomicBool,
    last_error: Mutex<Option<Failure>>,
}

/// A delivery that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// When.
    pub at: Timestamp,
    /// What the destination or its client said, with causes.
    pub why: String,
}

impl Standing {
    /// Brings a sink's gauges up to date.
    pub fn measure(&self, sink: &str, head: Seq, metrics: &Metrics) {
        let lag = self.lag(head);
        let age = match self.oldest_waiting() {
            Some(oldest) if lag > 0 => (clock::now().as_millis() - oldest).max(0) / 1000,
            Some(_) | None => 0,
        };
        metrics.sink_lag_receipts.with_label_values(&[sink]).set(lag);
        metrics.sink_oldest_seconds.with_label_values(&[sink]).set(age);
        metrics.sink_paused.with_label_values(&[sink]).set(self.is_paused().into());
    }

    /// Everything up to this position of the journal is delivered or parked.
    pub fn cursor(&self) -> Seq {
        self.cursor.load(Ordering::Relaxed)
    }

    /// How many receipts it has still to get.
    pub fn lag(&self, head: Seq) -> i64 {
        (head - self.cursor()).max(0)
    }

    /// When the oldest receipt of the batch under way came, in milliseconds since 1970.
    pub fn oldest_waiting(&self) -> Option<i64> {
        Some(self.oldest_waiting.load(Ordering::Relaxed)).filter(|&oldest| oldest != 0)
    }

    /// Whether an operator has paused it.
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Whether its last try failed.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// The last failure, also when it has been overcome.
    pub fn last_error(&self) -> Option<Failure> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn at(&self, cursor: Seq) {
        self.cursor.store(cursor, Ordering::Relaxed);
    }

    /// So many more are settled.
    pub(crate) fn pass(&self, count: usize) {
        self.cursor.fetch_add(i64::try_from(count).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn waits(&self, batch: &[Stored]) {
        self.oldest_waiting.store(batch.first().map_or(0, |first| first.received_at), Ordering::Relaxed);
    }

    pub(crate) fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    pub(crate) fn succeeded(&self) {
        self.failing.store(false, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self, why: String) {
        self.failing.store(true, Ordering::Relaxed);
        self.note(why);
    }

    pub(crate) fn note(&self, why: String) {
        let failure = Failure { at: clock::now(), why };
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
    }
}
