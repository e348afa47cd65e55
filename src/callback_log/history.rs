//! The last 15 minutes, second by second: how many callbacks of each vendor ended how, and how long they took. A ring of
//! counters that never grows; a callback counts into two of them.

use std::time::Duration;

use crate::receipt::{Timestamp, VendorName};
use crate::vendor::Outcome;

/// How far back it goes.
const SECONDS: usize = 15 * 60;

/// How callbacks can end, in the words of the metrics; all counts are in this order.
pub(crate) const OUTCOMES: [&str; 6] =
    ["accepted", "duplicate", "ignored", "malformed", "rejected", "unavailable"];

/// Counts by vendor, in the order of [`VendorName::ALL`], and outcome, in that of [`OUTCOMES`].
pub(crate) type Counts = [[u64; OUTCOMES.len()]; VendorName::ALL.len()];

/// Times below this many microseconds are one bucket; from there on two buckets make the time twice as long.
const SHORTEST: u64 = 32;
/// Up to 16 seconds.
const BUCKETS: usize = 40;

/// The callbacks of one vendor in some time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tally {
    /// In the order of [`OUTCOMES`].
    pub(crate) outcomes: [u32; OUTCOMES.len()],
    took: [u32; BUCKETS],
}

/// One step of the history.
pub(crate) struct Point {
    /// When it began.
    pub(crate) at: Timestamp,
    /// In the order of [`VendorName::ALL`].
    pub(crate) vendors: [Tally; VendorName::ALL.len()],
}

/// The ring. A second has its place by its number, so one that is old is known by its number.
pub(super) struct History {
    seconds: Box<[Second]>,
    counts: Counts,
}

#[derive(Clone)]
struct Second {
    number: i64,
    /// Those who called in it, or in another second that had its place before: few services have all four vendors.
    vendors: [Option<Box<Tally>>; VendorName::ALL.len()],
}

impl Default for History {
    fn default() -> Self {
        let none = Second { number: i64::MIN, vendors: [const { None }; VendorName::ALL.len()] };
        Self { seconds: vec![none; SECONDS].into_boxed_slice(), counts: Counts::default() }
    }
}

impl History {
    pub(super) fn count(&mut self, vendor: VendorName, outcome: &Outcome, at: Timestamp, took: Duration) {
        let (vendor, outcome) = (vendor_at(vendor), outcome_at(outcome));
        if let Some(count) = self.counts.get_mut(vendor).and_then(|counts| counts.get_mut(outcome)) {
            *count += 1;
        }
        let number = at.as_seconds();
        let Some(second) = self.seconds.get_mut(place(number)) else { return };
        if second.number != number {
            second.number = number;
            second.vendors.iter_mut().flatten().for_each(|tally| **tally = Tally::NONE);
        }
        if let Some(tally) = second.vendors.get_mut(vendor) {
            tally.get_or_insert_with(|| Box::new(Tally::NONE)).count(outcome, took);
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) fn read(&self, now: Timestamp, step: u32) -> Vec<Point> {
        let (now, step) = (now.as_seconds(), i64::from(step.max(1)));
        let first = (now - SECONDS as i64 + 1).max(0);
        let mut points = Vec::new();
        let mut begin = first - first.rem_euclid(step);
        while begin <= now {
            let mut vendors = [Tally::NONE; VendorName::ALL.len()];
            for number in begin.max(first)..=(begin + step - 1).min(now) {
                let second = self.seconds.get(place(number)).filter(|second| second.number == number);
                for (sum, tally) in vendors.iter_mut().zip(second.iter().flat_map(|second| &second.vendors)) {
                    if let Some(tally) = tally {
                        sum.add(tally);
                    }
                }
            }
            points.extend(Timestamp::from_seconds(begin).map(|at| Point { at, vendors }));
            begin += step;
        }
        points
    }
}

impl Tally {
    /// Nobody called.
    pub(crate) const NONE: Self = Self { outcomes: [0; OUTCOMES.len()], took: [0; BUCKETS] };

    /// How many callbacks.
    pub(crate) fn total(&self) -> u64 {
        self.outcomes.iter().map(|count| u64::from(*count)).sum()
    }

    /// Adds those of another vendor or another time.
    pub(crate) fn add(&mut self, other: &Self) {
        let sums = self.outcomes.iter_mut().chain(&mut self.took);
        sums.zip(other.outcomes.iter().chain(&other.took)).for_each(|(sum, count)| *sum += count);
    }

    /// In which time this share of them was answered, from 0 to 1; right to some tenths. `None` if there was none.
    pub(crate) fn quantile(&self, share: f64) -> Option<Duration> {
        let total = self.total();
        let rank = (share * total as f64).clamp(1.0, total.max(1) as f64);
        let mut below = 0.0;
        for (at, count) in self.took.iter().enumerate().filter(|(_, count)| **count > 0) {
            let count = f64::from(*count);
            if below + count >= rank {
                let (begin, width) = bounds(at);
                let micros = begin as f64 + width as f64 * (rank - below) / count;
                return Some(Duration::from_secs_f64(micros / 1e6));
            }
            below += count;
        }
        None
    }

    fn count(&mut self, outcome: usize, took: Duration) {
        if let Some(count) = self.outcomes.get_mut(outcome) {
            *count += 1;
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(count) = self.took.get_mut(bucket(micros)) {
            *count += 1;
        }
    }
}

fn place(second: i64) -> usize {
    usize::try_from(second.rem_euclid(SECONDS as i64)).unwrap_or(0)
}

fn vendor_at(vendor: VendorName) -> usize {
    match vendor {
        VendorName::Easemob => 0,
        VendorName::Tencent => 1,
        VendorName::OpenIm => 2,
        VendorName::RongCloud => 3,
    }
}

fn outcome_at(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Accepted => 0,
        Outcome::Duplicate | Outcome::Conflict | Outcome::Differing => 1,
        Outcome::Ignored => 2,
        Outcome::Malformed(_) | Outcome::Unreadable(_) => 3,
        Outcome::Rejected(_) => 4,
        Outcome::Unavailable => 5,
    }
}

fn bucket(micros: u64) -> usize {
    if micros < SHORTEST {
        return 0;
    }
    let doublings = micros.ilog2();
    let half = micros >> (doublings - 1) & 1;
    let at = u64::from(doublings - SHORTEST.ilog2()) * 2 + half + 1;
    usize::try_from(at).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

/// Where a bucket begins, and how wide it is.
fn bounds(at: usize) -> (u64, u64) {
    match at.checked_sub(1) {
        None => (0, SHORTEST),
        Some(at) => {
            let width = (SHORTEST / 2) << (at / 2);
            (width * 2 + width * (at as u64 % 2), width)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_within_its_bucket() {
        for micros in [0, 1, 31, 32, 47, 48, 63, 64, 95, 96, 1_000, 1_700_000, 5_000_000, 16_000_000] {
            let (begin, width) = bounds(bucket(micros));
            assert!((begin..begin + width).contains(&micros), "{micros}: {begin} and {width} more");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        let (mut end, widths) = (0, (0..BUCKETS).map(bounds));
        for (begin, width) in widths {
            assert_eq!(begin, end, "no gap and no overlap");
            end = begin + width;
        }
    }

    #[test]
    fn seconds_add_up_and_old_ones_are_forgotten() {
        let mut history = History::default();
        let at = |second| Timestamp::from_seconds(second).unwrap();
        for second in 0..2_000 {
            for _ in 0..10 {
                let took = Duration::from_millis(1 + u64::from(second % 100 == 0) * 99);
                history.count(VendorName::OpenIm, &Outcome::Accepted, at(second), took);
            }
        }
        history.count(VendorName::Easemob, &Outcome::Conflict, at(1_999), Duration::ZERO);
        let points = history.read(at(1_999), 60);
        let sum: u64 = points.iter().map(|point| point.vendors[2].total()).sum();
        assert_eq!(sum, 9_000, "15 minutes of ten a second");
        assert!(points.iter().all(|point| point.at.as_seconds() % 60 == 0));
        assert_eq!(points.last().unwrap().vendors[0].outcomes, [0, 1, 0, 0, 0, 0]);
        assert_eq!(history.counts()[2][0], 20_000);
        let whole = &history.read(at(1_999), 4_000)[0].vendors[2];
        let millis = |share| whole.quantile(share).unwrap().as_secs_f64() * 1e3;
        assert!((0.7..1.4).contains(&millis(0.5)), "{}", millis(0.5));
        assert!((70.0..140.0).contains(&millis(0.999)), "{}", millis(0.999));
        assert!(Tally::NONE.quantile(0.5).is_none());
        assert_eq!(history.read(at(4_000), 60).iter().map(|point| point.vendors[2].total()).sum::<u64>(), 0);
    }
}
