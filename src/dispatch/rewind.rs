//! What a sink has been given lately: where it goes on when its destination has lost the end of what it had.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::journal::Seq;

/// Deliveries within this time share an entry.
const COARSE: Duration = Duration::from_millis(100);
/// Entries that are so much older than the newest are not kept. No sink asks for more.
const KEPT: Duration = Duration::from_secs(30);

/// Where the cursor stood when something was delivered, oldest first. At most [`KEPT`] / [`COARSE`] entries.
#[derive(Debug, Default)]
pub(super) struct Trail(VecDeque<(Instant, Seq)>);

impl Trail {
    /// Something behind this position has just been delivered.
    pub(super) fn passed(&mut self, cursor: Seq) {
        self.passed_at(Instant::now(), cursor);
    }

    fn passed_at(&mut self, now: Instant, cursor: Seq) {
        if self.0.back().is_some_and(|(at, _)| now.duration_since(*at) < COARSE) {
            return;
        }
        while self.0.front().is_some_and(|(at, _)| now.duration_since(*at) > KEPT) {
            self.0.pop_front();
        }
        self.0.push_back((now, cursor));
    }

    /// Where the cursor stood before anything was delivered that is at most this old; `None` if nothing is.
    pub(super) fn before(&self, within: Duration) -> Option<Seq> {
        self.before_at(Instant::now(), within)
    }

    fn before_at(&self, now: Instant, within: Duration) -> Option<Seq> {
        // An entry stands for what came after it, too.
        let within = within.saturating_add(COARSE);
        self.0.iter().find(|(at, _)| now.duration_since(*at) <= within).map(|(_, cursor)| *cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trail_leads_back_as_far_as_asked_and_stays_short() {
        let begun = Instant::now();
        let at = |millis| begun + Duration::from_millis(millis);
        let mut trail = Trail::default();
        assert_eq!(trail.before_at(begun, Duration::MAX), None);
        for millis in 0..100_000 {
            trail.passed_at(at(millis), i64::try_from(millis).unwrap());
        }
        assert!(trail.0.len() <= 302, "{}", trail.0.len());
        let now = at(100_000);
        assert_eq!(trail.before_at(now, Duration::from_secs(5)), Some(94_900));
        assert!(trail.before_at(now, Duration::MAX).unwrap() <= 70_000, "all that is kept");
        assert_eq!(trail.before_at(at(200_000), Duration::from_secs(5)), None);
    }
}
