//! The time that retention goes by. The system clock can jump; what retention has deleted does not come back. So this time
//! follows the clock at no more than twice the speed of the monotonic clock, and never goes back.

use std::time::{Duration, Instant};

/// How far the system clock may move away from the monotonic clock between two looks before it counts as a jump.
const JUMP_MS: u64 = 1_000;

/// The retention watermark, in milliseconds of Unix time.
#[derive(Debug)]
pub(super) struct Watermark {
    at: i64,
    /// The last look: the system clock and the monotonic one.
    clock: i64,
    seen: Instant,
    /// The system clock has not jumped since.
    steady_since: Instant,
}

impl Watermark {
    /// Goes on at what was stored. Where nothing was, it begins at the newest receipt, so that a clock which is ahead at the first
    /// start deletes nothing; and at the clock where there is no receipt.
    pub(super) fn begin(stored: Option<i64>, newest_receipt: Option<i64>, clock: i64, now: Instant) -> Self {
        let at = stored.unwrap_or_else(|| newest_receipt.unwrap_or(clock).min(clock));
        Self { at, clock, seen: now, steady_since: now }
    }

    /// Moves on to the clock, as far as it may. A clock that has run without a jump for as long as receipts are kept is believed:
    /// whatever arrived before its last jump is old enough by then.
    pub(super) fn advance(&mut self, clock: i64, now: Instant, retention: Duration) {
        let elapsed = now.saturating_duration_since(self.seen);
        let elapsed_ms = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
        if clock.saturating_sub(self.clock).abs_diff(elapsed_ms) > JUMP_MS {
            self.steady_since = now;
        }
        (self.clock, self.seen) = (clock, now);
        let is_steady = now.saturating_duration_since(self.steady_since) >= retention;
        let furthest = if is_steady { clock } else { self.at.saturating_add(elapsed_ms.saturating_mul(2)) };
        self.at = self.at.max(clock.min(furthest));
    }

    /// What is stored.
    pub(super) fn at(&self) -> i64 {
        self.at
    }

    /// What retention goes by: also not ahead of the clock.
    pub(super) fn now(&self) -> i64 {
        self.at.min(self.clock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000;
    const DAY: i64 = 86_400 * SECOND;
    const RETENTION: Duration = Duration::from_secs(2 * 86_400);

    /// Looks every five seconds for so long, with a clock that is off by so much.
    fn run(watermark: &mut Watermark, time: &mut (i64, Instant), milliseconds: i64, off: i64) {
        let end = time.0 + milliseconds;
        while time.0 < end {
            time.0 += 5 * SECOND;
            time.1 += Duration::from_secs(5);
            watermark.advance(time.0 + off, time.1, RETENTION);
        }
    }

    #[test]
    fn a_clock_that_jumps_ahead_moves_it_at_double_speed_and_no_further() {
        let mut time = (1_000 * DAY, Instant::now());
        let mut watermark = Watermark::begin(None, None, time.0, time.1);
        run(&mut watermark, &mut time, 60 * SECOND, 0);
        assert_eq!(watermark.now(), time.0);
        run(&mut watermark, &mut time, 10 * SECOND, 2 * DAY);
        assert_eq!(watermark.now(), time.0 + 10 * SECOND);
        run(&mut watermark, &mut time, 5 * SECOND, 0);
        assert_eq!(watermark.now(), time.0, "not ahead of the clock");
        run(&mut watermark, &mut time, 60 * SECOND, 0);
        assert_eq!(watermark.at(), time.0, "the clock has caught up");
    }

    #[test]
    fn a_clock_that_goes_back_takes_nothing_back() {
        let mut time = (1_000 * DAY, Instant::now());
        let mut watermark = Watermark::begin(None, None, time.0, time.1);
        run(&mut watermark, &mut time, 5 * SECOND, -1_000 * DAY);
        assert_eq!((watermark.at(), watermark.now()), (1_000 * DAY, 5 * SECOND));
        run(&mut watermark, &mut time, 60 * SECOND, 0);
        assert_eq!(watermark.now(), time.0);
    }

    #[test]
    fn after_a_gap_it_catches_up() {
        let time = (1_000 * DAY, Instant::now());
        // Down for an hour; and a journal that never had a watermark.
        for mut watermark in [
            Watermark::begin(Some(time.0 - DAY / 24), Some(1), time.0, time.1),
            Watermark::begin(None, Some(time.0 - DAY / 24), time.0, time.1),
        ] {
            let mut time = time;
            run(&mut watermark, &mut time, DAY / 48, 0);
            assert_eq!(watermark.now(), time.0 - DAY / 48);
            run(&mut watermark, &mut time, DAY / 48, 0);
            assert_eq!(watermark.now(), time.0);
        }
        let ahead = Watermark::begin(None, Some(time.0 + 5 * DAY), time.0, time.1);
        assert_eq!(ahead.at(), time.0, "receipts that came while the clock was ahead");
    }

    #[test]
    fn a_machine_that_began_in_1970_is_believed_once_its_clock_has_been_right_for_long_enough() {
        let mut time = (20_000 * DAY, Instant::now());
        let mut watermark = Watermark::begin(None, None, 0, time.1);
        run(&mut watermark, &mut time, DAY, 0);
        assert!(watermark.now() <= 2 * DAY + 10 * SECOND);
        run(&mut watermark, &mut time, DAY + 10 * SECOND, 0);
        assert_eq!(watermark.now(), time.0);
    }
}
