//! How a sink is doing, for whoever wants to look while it works, waits or hangs.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::clock;
use crate::config::SinkLimits;
use crate::journal::{LetGo, Letters, Seq, Stored};
use crate::log_limit::LogLimit;
use crate::metrics::Metrics;
use crate::receipt::Timestamp;

/// Where a sink stands.
#[derive(Debug, Default)]
pub struct Standing {
    /// Everything up to this position is delivered or parked.
    cursor: AtomicI64,
    /// When the first receipt of the batch under way came, in milliseconds; 0 when there is none.
    oldest_waiting: AtomicI64,
    /// A [`PauseCause`], or 0.
    paused: AtomicU8,
    failing: AtomicBool,
    /// When the next try is, in milliseconds; 0 when nothing waits for a try.
    next_try: AtomicI64,
    dead_letters: AtomicI64,
    dead_letter_bytes: AtomicI64,
    last_error: Mutex<Option<Failure>>,
    let_go: Mutex<Option<Lost>>,
    pub(super) park_log: LogLimit,
}

/// Why a sink delivers nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseCause {
    /// An operator wants it so.
    Operator,
    /// Its destination refuses receipts, and there is no capacity for more dead letters.
    DeadLettersFull,
    /// Its destination says that it is gone for good.
    Gone,
}

impl PauseCause {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Operator, Self::DeadLettersFull, Self::Gone];

    /// The word in the API and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::DeadLettersFull => "dead_letters_full",
            Self::Gone => "gone",
        }
    }

    /// The number in the journal. It never changes.
    fn mark(self) -> u8 {
        match self {
            Self::Operator => 1,
            Self::DeadLettersFull => 2,
            Self::Gone => 3,
        }
    }

    pub(super) fn to_mark(cause: Option<Self>) -> i64 {
        cause.map_or(0, |cause| cause.mark().into())
    }

    /// Reads the number. One that a newer readhook has written means that the sink is to rest, too.
    pub(super) fn from_mark(mark: i64) -> Option<Self> {
        match mark {
            0 => None,
            2 => Some(Self::DeadLettersFull),
            3 => Some(Self::Gone),
            _ => Some(Self::Operator),
        }
    }
}

/// Receipts that retention has pruned though the sink did not have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// The first of the last range.
    pub from: Seq,
    /// The last of it.
    pub to: Seq,
    /// How many in all.
    pub total: i64,
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
        let paused = self.paused();
        for cause in PauseCause::ALL {
            let is_it = (paused == Some(cause)).into();
            metrics.sink_pause_cause.with_label_values(&[sink, cause.as_str()]).set(is_it);
        }
        let Letters { entries, bytes } = self.dead_letters();
        metrics.dead_letters.with_label_values(&[sink]).set(entries);
        metrics.dead_letter_bytes.with_label_values(&[sink]).set(bytes);
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

    /// Whether it delivers nothing until an operator resumes it.
    pub fn is_paused(&self) -> bool {
        self.paused().is_some()
    }

    /// Why it delivers nothing, if so.
    pub fn paused(&self) -> Option<PauseCause> {
        PauseCause::from_mark(self.paused.load(Ordering::Relaxed).into())
    }

    /// When the destination is tried again, in milliseconds since 1970, if the sink waits for that.
    pub fn next_try(&self) -> Option<i64> {
        Some(self.next_try.load(Ordering::Relaxed)).filter(|&at| at != 0 && !self.is_paused())
    }

    /// How many dead letters it has.
    pub fn dead_letters(&self) -> Letters {
        Letters {
            entries: self.dead_letters.load(Ordering::Relaxed),
            bytes: self.dead_letter_bytes.load(Ordering::Relaxed),
        }
    }

    /// What retention has pruned though this sink did not have it, also before the last restart.
    pub fn let_go(&self) -> Option<Lost> {
        *self.let_go.lock().unwrap_or_else(PoisonError::into_inner)
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

    pub(super) fn pause(&self, cause: Option<PauseCause>) {
        self.paused.store(cause.map_or(0, PauseCause::mark), Ordering::Relaxed);
    }

    /// How many more dead letters there may be.
    pub(super) fn capacity(&self, limits: SinkLimits) -> Letters {
        let most = |limit: u64| i64::try_from(limit).unwrap_or(i64::MAX);
        let Letters { entries, bytes } = self.dead_letters();
        Letters {
            entries: (most(limits.dead_letters) - entries).max(0),
            bytes: (most(limits.dead_letter_bytes) - bytes).max(0),
        }
    }

    /// The dead letters have become so many more.
    pub(super) fn add_dead_letters(&self, added: Letters) {
        self.dead_letters.fetch_add(added.entries, Ordering::Relaxed);
        self.dead_letter_bytes.fetch_add(added.bytes, Ordering::Relaxed);
    }

    /// The dead letters have become so many fewer.
    pub(super) fn remove_dead_letters(&self, gone: Letters) {
        self.add_dead_letters(Letters { entries: -gone.entries, bytes: -gone.bytes });
    }

    pub(super) fn set_dead_letters(&self, letters: Letters) {
        self.dead_letters.store(letters.entries, Ordering::Relaxed);
        self.dead_letter_bytes.store(letters.bytes, Ordering::Relaxed);
    }

    /// Retention has pruned what this sink did not have: since the start of the process, so it adds up.
    pub(crate) fn lose(&self, range: &LetGo) {
        let mut let_go = self.let_go.lock().unwrap_or_else(PoisonError::into_inner);
        let (from, total) = match *let_go {
            Some(before) if before.to + 1 == range.from => (before.from, before.total),
            Some(before) => (range.from, before.total),
            None => (range.from, 0),
        };
        *let_go = Some(Lost { from, to: range.to, total: total + (range.to - range.from + 1) });
    }

    pub(super) fn set_let_go(&self, lost: Lost) {
        *self.let_go.lock().unwrap_or_else(PoisonError::into_inner) = Some(lost);
    }

    /// When the next try is, in milliseconds since 1970; 0 when there is nothing to wait for.
    pub(crate) fn tries_at(&self, at: i64) {
        self.next_try.store(at, Ordering::Relaxed);
    }

    pub(crate) fn succeeded(&self) {
        self.tries_at(0);
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
