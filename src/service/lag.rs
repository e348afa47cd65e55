//! For how much retention waits for a sink: for everything, unless `max_lag_days` or `max_lag_bytes` say otherwise. What a
//! sink was then not given is counted, logged at ERROR, and shown by the API and the console.

use std::num::NonZeroU64;
use std::sync::Arc;

use super::housekeeping::DAY;
use crate::config::SinkLimits;
use crate::dispatch::Standing;
use crate::journal::{Holder, Journal, JournalError, LetGo, Order, Seq};
use crate::metrics::Metrics;
use crate::receipt::Timestamp;

/// How many sizes are read at once.
const PAGE: u32 = 10_000;

/// A sink that retention waits for, with limits.
pub(super) struct Waiting {
    pub(super) name: String,
    limits: SinkLimits,
    standing: Arc<Standing>,
    metrics: Metrics,
    newest: Option<Newest>,
}

impl Waiting {
    pub(super) fn new(name: String, limits: SinkLimits, standing: Arc<Standing>, metrics: Metrics) -> Self {
        Self { name, limits, standing, metrics, newest: None }
    }

    /// How far retention may go past this sink in a step of `limit` receipts that came before `before`.
    pub(super) async fn holder(
        &mut self,
        journal: &Journal,
        now: Timestamp,
        before: Timestamp,
        limit: u32,
    ) -> Result<Holder, JournalError> {
        let mut may_pass = 0;
        if let Some(days) = self.limits.lag_days {
            let cutoff = now.as_millis().saturating_sub(i64::from(days.get()).saturating_mul(DAY));
            if let Some(cutoff) = Timestamp::from_millis(cutoff.min(before.as_millis())) {
                may_pass = journal.older_than(cutoff, limit).await?;
            }
        }
        if let Some(bytes) = self.limits.lag_bytes {
            let newest = match &mut self.newest {
                Some(newest) => {
                    newest.follow(journal).await?;
                    newest
                }
                None => self.newest.insert(Newest::of(journal, bytes).await?),
            };
            may_pass = may_pass.max(newest.before);
        }
        Ok(Holder { sink: self.name.clone(), may_pass })
    }

    /// Retention has passed it.
    pub(super) fn lose(&self, range: &LetGo) {
        self.standing.lose(range);
        let count = u64::try_from(range.to - range.from + 1).unwrap_or(0);
        self.metrics.sink_let_go.with_label_values(&[&self.name]).inc_by(count);
    }
}

/// The newest receipts that together hold no more than a limit.
struct Newest {
    limit: i64,
    /// They begin behind this position ...
    before: Seq,
    /// ... and end with this one.
    head: Seq,
    bytes: i64,
}

impl Newest {
    /// Reads their sizes, from the newest back.
    async fn of(journal: &Journal, limit: NonZeroU64) -> Result<Self, JournalError> {
        let limit = i64::try_from(limit.get()).unwrap_or(i64::MAX);
        let head = *journal.head().borrow();
        let (mut behind, mut bytes) = (head.saturating_add(1), 0_i64);
        loop {
            let sizes = journal.sizes(Order::Descending, behind, PAGE).await?;
            let Some((last, _)) = sizes.last() else { return Ok(Self { limit, before: 0, head, bytes }) };
            behind = *last;
            for (seq, size) in sizes {
                if bytes.saturating_add(size) > limit {
                    return Ok(Self { limit, before: seq, head, bytes });
                }
                bytes += size;
            }
        }
    }

    /// Takes in what has come since, and lets go of the oldest.
    async fn follow(&mut self, journal: &Journal) -> Result<(), JournalError> {
        let head = *journal.head().borrow();
        while self.head < head {
            let sizes = journal.sizes(Order::Ascending, self.head, PAGE).await?;
            let Some((last, _)) = sizes.last() else { break };
            self.bytes = sizes.iter().fold(self.bytes, |sum, (_, size)| sum.saturating_add(*size));
            self.head = *last;
        }
        while self.bytes > self.limit {
            let sizes = journal.sizes(Order::Ascending, self.before, PAGE).await?;
            if sizes.is_empty() {
                break;
            }
            for (seq, size) in sizes {
                if self.bytes <= self.limit {
                    break;
                }
                self.bytes -= size;
                self.before = seq;
            }
        }
        Ok(())
    }
}

/// One line for each sink that was passed, however many steps that took.
pub(super) fn report(let_go: &[LetGo]) {
    let mut sinks: Vec<&str> = let_go.iter().map(|range| range.sink.as_str()).collect();
    sinks.sort_unstable();
    sinks.dedup();
    for sink in sinks {
        let ranges = || let_go.iter().filter(|range| range.sink == sink);
        let (from, to) = (ranges().map(|range| range.from).min(), ranges().map(|range| range.to).max());
        let receipts: i64 = ranges().map(|range| range.to - range.from + 1).sum();
        tracing::error!(
            sink,
            from,
            to,
            receipts,
            "retention has pruned receipts that this sink did not get: it is further behind than its max_lag_bytes or max_lag_days allow"
        );
    }
}
