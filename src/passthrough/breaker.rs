//! A circuit breaker: an upstream that has failed several times in a row is left alone for a while, so that it costs its
//! callers nothing. After that one request tries it; the others still do not wait.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many failures in a row open the circuit.
const FAILURES: u32 = 5;
/// How long it then stays open.
const REST: Duration = Duration::from_secs(5);

/// Decides who may try.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// Until when nobody may try.
    open_until: Option<Instant>,
}

impl Breaker {
    /// Whether a request may be sent now. While the circuit is open, one may each time that its rest is over.
    pub(super) fn admits(&self, now: Instant) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match state.open_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                state.open_until = Some(now + REST);
                true
            }
        }
    }

    /// The upstream has answered. True when that closes the circuit.
    pub(super) fn succeeded(&self) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.failures = 0;
        state.open_until.take().is_some()
    }

    /// It has not. True when that opens the circuit.
    pub(super) fn failed(&self, now: Instant) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.failures = state.failures.saturating_add(1);
        let opens = state.failures >= FAILURES && state.open_until.is_none();
        if state.failures >= FAILURES {
            state.open_until = Some(now + REST);
        }
        opens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_lets_one_try_and_closes() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        for _ in 1..FAILURES {
            assert!(breaker.admits(start) && !breaker.failed(start));
        }
        assert!(breaker.admits(start) && breaker.failed(start), "the last of them opens it");
        assert!(!breaker.admits(start + REST - Duration::from_millis(1)));
        assert!(breaker.admits(start + REST), "one may try");
        assert!(!breaker.admits(start + REST), "the others not");
        assert!(!breaker.failed(start + REST), "it was open");
        assert!(!breaker.admits(start + REST + REST - Duration::from_millis(1)));
        assert!(breaker.admits(start + REST + REST));
        assert!(breaker.succeeded() && breaker.admits(start + REST + REST));
        assert!(!breaker.succeeded());
    }
}
