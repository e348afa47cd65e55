//! How many log lines a flood of bad callbacks or a failing disk may write: so many a second, and the next one tells how many were
//! left out.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const LINES: u32 = 10;
const PER: Duration = Duration::from_secs(1);

/// A limit for one kind of line.
#[derive(Debug, Default)]
pub(crate) struct LogLimit(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    window: Option<Instant>,
    written: u32,
    left_out: u64,
}

impl LogLimit {
    /// Whether a line may be written now, and how many were left out before it.
    pub(crate) fn admit(&self) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if state.window.is_none_or(|began| now.duration_since(began) >= PER) {
            state.window = Some(now);
            state.written = 0;
        }
        if state.written >= LINES {
            state.left_out += 1;
            return None;
        }
        state.written += 1;
        Some(std::mem::take(&mut state.left_out))
    }
}
