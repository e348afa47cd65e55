//! When each callback is due: as soon as a connection is free (closed loop), or at its place in a steady row (open loop). The
//! row is reckoned from its beginning, so a receiver that stalls does not slow it down, and the wait shows in the latency.

use std::time::{Duration, Instant};

/// The system's timers are as fine as this. Being woken so much late is not the receiver's doing.
const GRAIN: Duration = Duration::from_millis(2);

/// How much to send, and how fast.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// So many callbacks at the most.
    pub(crate) count: Option<u64>,
    /// None after this time.
    pub(crate) time: Option<Duration>,
    /// Callbacks in a second; without it, as fast as the connections allow.
    pub(crate) rate: Option<f64>,
}

/// [`Limits`] with a beginning.
pub(super) struct Pace {
    limits: Limits,
    begin: Instant,
    given: u64,
}

impl Pace {
    pub(super) fn begin(limits: Limits) -> Self {
        Self { limits, begin: Instant::now(), given: 0 }
    }

    /// When the next callback is due; nothing when there is none any more. In the closed loop that is now.
    pub(super) fn next(&mut self, now: Instant) -> Option<Instant> {
        if self.limits.count.is_some_and(|count| self.given >= count) {
            return None;
        }
        let due = match self.limits.rate {
            Some(rate) => self.begin + Duration::from_secs_f64(self.given as f64 / rate),
            None => now,
        };
        if self.limits.time.is_some_and(|time| due >= self.begin + time || now >= self.begin + time) {
            return None;
        }
        self.given += 1;
        Some(due)
    }
}

/// From when on the latency of a callback counts that was due then and is sent now, by somebody who had waited for that
/// moment or not.
pub(super) fn counted_from(due: Instant, now: Instant, waited: bool) -> Instant {
    if waited && now.saturating_duration_since(due) < GRAIN { now } else { due }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_steady_and_ends() {
        let limits = Limits { count: Some(3), time: None, rate: Some(10.0) };
        let mut pace = Pace::begin(limits);
        let begin = pace.begin;
        let now = begin + Duration::from_secs(9);
        let due: Vec<_> = std::iter::from_fn(|| pace.next(now)).map(|due| due - begin).collect();
        assert_eq!(due, [0, 100, 200].map(Duration::from_millis), "however late it is asked for");
        let limits = Limits { count: None, time: Some(Duration::from_secs(1)), rate: Some(2.0) };
        let mut pace = Pace::begin(limits);
        let now = pace.begin;
        assert_eq!(std::iter::from_fn(|| pace.next(now)).count(), 2);
    }
}
