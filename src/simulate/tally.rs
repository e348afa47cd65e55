//! What came of it, counted: answers, verdicts, latencies, and in the vendor's own behaviour what it gave up.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::callback::{Callback, Kind};
use super::dialect::{Answer, Dialect, Verdict};
use super::line::Failure;
use super::vendor::Fate;

/// How many answers that should have been others are shown.
const SAMPLES: usize = 5;
/// How much of each.
const SAMPLE_LENGTH: usize = 200;
/// Waits are told apart up to an hour, in microseconds, to three digits.
const LONGEST_US: u64 = 3_600_000_000;

/// Counts of one vendor's callbacks, or of all.
#[derive(Debug)]
pub(super) struct Tally {
    /// Requests, repeats of a vendor included.
    pub(super) sent: u64,
    pub(super) kinds: BTreeMap<Kind, u64>,
    pub(super) reordered: u64,
    pub(super) by_status: BTreeMap<u16, u64>,
    pub(super) failures: BTreeMap<Failure, u64>,
    pub(super) expected: u64,
    pub(super) hidden: u64,
    pub(super) other: u64,
    /// Bad ones that were taken for good.
    pub(super) let_through: u64,
    /// Receipts in reads that were answered as they should be.
    pub(super) receipts: u64,
    pub(super) samples: Vec<Sample>,
    pub(super) vendor: Option<Behaved>,
    latencies: Option<Histogram<u64>>,
    first: Option<Instant>,
    last: Option<Instant>,
}

/// An answer that should have been another.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Sample {
    callback: u64,
    kind: &'static str,
    pub(super) expected: String,
    pub(super) got: String,
}

/// What a vendor made of the answers.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Behaved {
    /// Delivered after so many tries.
    pub(super) delivered: BTreeMap<u32, u64>,
    /// Given up, by the reason.
    pub(super) lost: BTreeMap<&'static str, u64>,
    /// Wrong on purpose, and refused.
    pub(super) refused: u64,
    /// After so many callbacks the app's rules were disabled.
    pub(super) banned_after: Option<u64>,
    /// Of the callbacks that were wanted, those that a ban kept from being sent.
    pub(super) withheld: u64,
}

impl Behaved {
    pub(super) fn lost(&self) -> u64 {
        self.lost.values().sum()
    }

    fn merge(&mut self, other: &Self) {
        add(&mut self.delivered, &other.delivered);
        add(&mut self.lost, &other.lost);
        self.refused += other.refused;
        self.banned_after = self.banned_after.or(other.banned_after);
        self.withheld += other.withheld;
    }
}

impl Tally {
    pub(super) fn new(vendor_behaviour: bool) -> Self {
        Self {
            sent: 0,
            kinds: BTreeMap::new(),
            reordered: 0,
            by_status: BTreeMap::new(),
            failures: BTreeMap::new(),
            expected: 0,
            hidden: 0,
            other: 0,
            let_through: 0,
            receipts: 0,
            samples: Vec::new(),
            vendor: vendor_behaviour.then(Behaved::default),
            // The bounds are sound, so it is always there.
            latencies: Histogram::new_with_bounds(1, LONGEST_US, 3).ok(),
            first: None,
            last: None,
        }
    }

    /// Counts a callback that begins to be sent.
    pub(super) fn begin(&mut self, callback: &Callback, now: Instant) {
        *self.kinds.entry(callback.kind).or_default() += 1;
        self.first = self.first.or(Some(now));
    }

    /// Counts a request and its answer, and says whether that was the promised one. `since` is when it was due.
    pub(super) fn answered(
        &mut self,
        dialect: &Dialect,
        callback: &Callback,
        got: &Result<Answer, Failure>,
        since: Instant,
        now: Instant,
    ) -> bool {
        self.sent += 1;
        self.last = Some(now);
        let answer = match got {
            Ok(answer) => answer,
            Err(failure) => {
                *self.failures.entry(*failure).or_default() += 1;
                return false;
            }
        };
        if let Some(latencies) = &mut self.latencies {
            let us = u64::try_from(now.saturating_duration_since(since).as_micros()).unwrap_or(LONGEST_US);
            latencies.saturating_record(us.max(1));
        }
        *self.by_status.entry(answer.status).or_default() += 1;
        let verdict = if dialect.is_plain_welcome(callback, answer) {
            Verdict::Expected
        } else {
            dialect.judge(callback, answer)
        };
        let as_promised = verdict == Verdict::Expected;
        match verdict {
            Verdict::Expected => {
                self.expected += 1;
                if callback.kind == Kind::Read {
                    self.receipts += u64::from(callback.receipts);
                }
            }
            Verdict::Hidden => self.hidden += 1,
            Verdict::Other { expected } => {
                self.other += 1;
                self.let_through += u64::from(callback.kind.is_bad() && answer.status == 200);
                if self.samples.len() < SAMPLES {
                    self.samples.push(Sample {
                        callback: callback.number,
                        kind: callback.kind.as_str(),
                        expected,
                        got: shown(answer),
                    });
                }
            }
        }
        as_promised
    }

    /// Counts what a vendor makes of a callback in the end.
    pub(super) fn ended(&mut self, callback: &Callback, fate: Fate) {
        let Some(behaved) = &mut self.vendor else { return };
        match fate {
            // It was meant to be refused; whether it was is in the verdicts.
            _ if callback.kind.is_bad() => behaved.refused += u64::from(!matches!(fate, Fate::Delivered(_))),
            Fate::Delivered(tries) => *behaved.delivered.entry(tries).or_default() += 1,
            Fate::Lost(why) => *behaved.lost.entry(why).or_default() += 1,
        }
    }

    /// Whether all went as it should.
    pub(super) fn is_fine(&self) -> bool {
        match &self.vendor {
            // What failed was repeated by the vendor, or is lost.
            Some(behaved) => behaved.lost() == 0 && behaved.banned_after.is_none() && self.let_through == 0,
            None => self.other == 0 && self.failures.is_empty(),
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.sent += other.sent;
        add(&mut self.kinds, &other.kinds);
        self.reordered += other.reordered;
        add(&mut self.by_status, &other.by_status);
        add(&mut self.failures, &other.failures);
        self.expected += other.expected;
        self.hidden += other.hidden;
        self.other += other.other;
        self.let_through += other.let_through;
        self.receipts += other.receipts;
        let room = SAMPLES.saturating_sub(self.samples.len());
        self.samples.extend(other.samples.iter().take(room).cloned());
        if let (Some(mine), Some(others)) = (&mut self.vendor, &other.vendor) {
            mine.merge(others);
        }
        if let (Some(mine), Some(others)) = (&mut self.latencies, &other.latencies) {
            // Their bounds are the same, so it does not fail.
            let _added = mine.add(others);
        }
        self.first = [self.first, other.first].into_iter().flatten().min();
        self.last = self.last.max(other.last);
    }

    /// From the first callback to the last answer.
    pub(super) fn elapsed(&self) -> Duration {
        match (self.first, self.last) {
            (Some(first), Some(last)) => last.saturating_duration_since(first),
            (_, _) => Duration::ZERO,
        }
    }

    /// Milliseconds below which this share of the latencies lies; 100 is the longest.
    pub(super) fn latency_ms(&self, percent: f64) -> f64 {
        let us = self.latencies.as_ref().map_or(0, |latencies| latencies.value_at_percentile(percent));
        us as f64 / 1_000.0
    }

    /// Notes what a ban has kept from being sent, of so many that were wanted.
    pub(super) fn account_for(&mut self, wanted: Option<u64>) {
        let begun: u64 = self.kinds.values().sum();
        if let Some(behaved) = &mut self.vendor
            && behaved.banned_after.is_some()
        {
            behaved.withheld = wanted.map_or(0, |wanted| wanted.saturating_sub(begun));
        }
    }

    pub(super) fn answers(&self) -> u64 {
        self.by_status.values().sum()
    }
}

fn add<K: Ord + Copy>(to: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, count) in from {
        *to.entry(*key).or_default() += count;
    }
}

fn shown(answer: &Answer) -> String {
    let body: String = String::from_utf8_lossy(&answer.body).chars().take(SAMPLE_LENGTH).collect();
    // It comes from elsewhere, and a terminal would obey it.
    let body = body.replace(char::is_control, "?");
    format!("{} {body}", answer.status)
}
