//! The ban guard: Easemob disables an app's callback rules for minutes after 90 failures within 30 seconds, and what
//! it would have sent in that time is lost. So we count our own failures in a sliding window, and from a limit on
//! answer 200 instead, until the window has drained.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The vendor's window. <https://doc.easemob.com/document/server-side/callback_postsending.html>
const WINDOW: Duration = Duration::from_secs(30);

/// Counts failures of one route. From `limit` of them within 30 seconds on, further ones should be hidden.
pub(crate) struct BanGuard {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When we last failed, oldest first; never longer than the limit.
    failures: VecDeque<Instant>,
    active: bool,
}

/// What to do with an answer that is not 200.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// Say it.
    Fail,
    /// Answer 200 instead.
    Hide {
        /// Whether this is the first since the window was last empty: the moment for a warning.
        tripped: bool,
    },
}

impl BanGuard {
    /// A limit of 0 switches it off.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default() }
    }

    /// Asks before a failure is told to the vendor, and counts it if it will be.
    pub(crate) fn before_failing(&self, now: Instant) -> Advice {
        if self.limit == 0 {
            return Advice::Fail;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.forget(now);
        if state.active || state.failures.len() >= self.limit {
            return Advice::Hide { tripped: !std::mem::replace(&mut state.active, true) };
        }
        state.failures.push_back(now);
        Advice::Fail
    }

    /// Counts a failure that should have been hidden and was told all the same.
    pub(crate) fn failed(&self, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Whether so many lie within the window is known by the newest of them.
        if state.failures.len() >= self.limit {
            state.failures.pop_front();
        }
        state.failures.push_back(now);
    }

    /// Whether failures are being hidden.
    pub(crate) fn is_active(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.forget(now);
        state.active
    }
}

impl State {
    fn forget(&mut self, now: Instant) {
        while self.failures.front().is_some_and(|&at| now.duration_since(at) >= WINDOW) {
            self.failures.pop_front();
        }
        if self.failures.is_empty() {
            self.active = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_window_of_thirty_seconds_holds_more_than_the_limit() {
        let guard = BanGuard::new(60);
        let start = Instant::now();
        // Four failures a second for five minutes: 120 in every window if they were all told.
        let told: Vec<Instant> = (0..1200_u32)
            .map(|n| start + Duration::from_millis(250) * n)
            .filter(|&at| guard.before_failing(at) == Advice::Fail)
            .collect();
        for (first, at) in told.iter().enumerate() {
            let within = told.iter().skip(first).take_while(|later| **later - *at < WINDOW).count();
            assert!(within <= 60, "{within} failures within 30 s");
        }
        assert!(told.len() > 60, "it recovers");
    }

    #[test]
    fn it_trips_once_and_recovers_when_the_window_has_drained() {
        let guard = BanGuard::new(2);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(guard.before_failing(at(0)), Advice::Fail);
        assert_eq!(guard.before_failing(at(20)), Advice::Fail);
        assert_eq!(guard.before_failing(at(21)), Advice::Hide { tripped: true });
        assert_eq!(guard.before_failing(at(31)), Advice::Hide { tripped: false });
        assert!(guard.is_active(at(49)));
        assert!(!guard.is_active(at(50)));
        assert_eq!(guard.before_failing(at(51)), Advice::Fail);
        assert_eq!(BanGuard::new(0).before_failing(start), Advice::Fail);
    }

    #[test]
    fn what_could_not_be_hidden_counts() {
        let guard = BanGuard::new(2);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!([at(0), at(1)].map(|now| guard.before_failing(now)), [Advice::Fail, Advice::Fail]);
        for second in 2..40 {
            assert_eq!(guard.before_failing(at(second)), Advice::Hide { tripped: second == 2 });
            guard.failed(at(second));
        }
        assert!(guard.is_active(at(68)));
        assert!(!guard.is_active(at(69)));
    }
}
