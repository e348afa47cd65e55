//! When the next request is due: at once (closed loop) or at its place in a steady row (open loop).
//!
//! In the open loop a request's time is reckoned from the start of the run, never from the request before:
//! a server that stalls cannot slow the row down, and the wait shows in the latency.

use std::time::{Duration, Instant};

/// How long and how fast to send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// No request is sent after this time.
    pub time: Duration,
    /// No more requests than this are sent.
    pub requests: Option<u64>,
    /// Requests per second in the open loop; `None` is the closed loop.
    pub rate: Option<f64>,
}

/// [`Limits`] with a beginning.
pub(crate) struct Pace {
    limits: Limits,
    begin: Instant,
}

impl Pace {
    pub(crate) fn begin(limits: Limits) -> Self {
        Self { limits, begin: Instant::now() }
    }

    /// When the request after `sent` others was to be sent, if that is now or past; `None` if not yet or
    /// never.
    pub(crate) fn due(&self, sent: u64, now: Instant) -> Option<Instant> {
        if self.is_over(sent, now) {
            return None;
        }
        let intended = self.intended(sent, now);
        (intended <= now).then_some(intended)
    }

    /// Whether nothing more is to be sent.
    pub(crate) fn is_over(&self, sent: u64, now: Instant) -> bool {
        now >= self.end() || self.limits.requests.is_some_and(|most| sent >= most)
    }

    /// When to look again, if no answer comes before. In the closed loop only the end is worth waking for.
    pub(crate) fn next(&self, sent: u64, now: Instant) -> Instant {
        match self.limits.rate {
            Some(_) => self.intended(sent, now).min(self.end()),
            None => self.end(),
        }
    }

    /// When sending ends.
    pub(crate) fn end(&self) -> Instant {
        self.begin + self.limits.time
    }

    pub(crate) fn elapsed(&self, now: Instant) -> Duration {
        now - self.begin
    }

    /// How many requests should have been sent by the end; `None` in the closed loop.
    pub(crate) fn planned(&self) -> Option<u64> {
        let planned = (self.limits.rate? * self.limits.time.as_secs_f64()).ceil() as u64;
        Some(planned.min(self.limits.requests.unwrap_or(u64::MAX)))
    }

    fn intended(&self, sent: u64, now: Instant) -> Instant {
        match self.limits.rate {
            Some(rate) => self.begin + Duration::from_secs_f64(sent as f64 / rate),
            None => now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(requests: Option<u64>, rate: Option<f64>) -> Pace {
        Pace::begin(Limits { time: Duration::from_secs(10), requests, rate })
    }

    #[test]
    fn the_closed_loop_is_always_due_until_its_end() {
        let pace = pace(Some(3), None);
        let now = pace.begin + Duration::from_secs(1);
        assert_eq!(pace.due(2, now), Some(now));
        assert_eq!(pace.due(3, now), None);
        assert_eq!(pace.due(0, pace.end()), None);
    }

    #[test]
    fn the_open_loop_keeps_its_row_after_a_stall() {
        let pace = pace(None, Some(100.0));
        let stalled = pace.begin + Duration::from_secs(1);
        assert_eq!(pace.due(50, stalled), Some(pace.begin + Duration::from_millis(500)));
        assert_eq!(pace.due(101, stalled), None);
        assert_eq!(pace.next(101, stalled), pace.begin + Duration::from_millis(1010));
        assert_eq!(pace.planned(), Some(1000));
    }
}
