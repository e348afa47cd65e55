//! How long the disk keeps those waiting who come now, so that they can be turned away at once rather than
//! queued into a time-out. The writer notes when a turn begins and how long turns take; from that and the
//! length of the queue follows the wait, without a lock and without asking the writer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::job::JOBS_A_TURN;

/// Longer nobody should wait in a queue: with more in front than the disk takes in so long, it is being asked
/// for more than it can do, and the queue would only grow. So short that with the odd turn that moves pages into
/// the main file and syncs three times more, 99 in 100 have their answer within a second (`bench/overload`).
const LONGEST_QUEUE: Duration = Duration::from_millis(400);

/// For so many microseconds a crowd counts as one.
const CROWD_LASTS: u64 = 100_000;

/// What the writer tells of its turns; times are microseconds since the beginning.
pub(super) struct Pressure {
    born: Instant,
    /// When the turn under way began; 0 when none is.
    turn_began: AtomicU64,
    /// What the last turn took.
    last_took: AtomicU64,
    /// What a turn takes nowadays: the shorter of the last two, so that a single bad one turns nobody away.
    turn_takes: AtomicU64,
    /// When callers last crowded; 0 for never.
    crowded_at: AtomicU64,
}

impl Pressure {
    pub(super) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            born: Instant::now(),
            turn_began: zero(),
            last_took: zero(),
            turn_takes: zero(),
            crowded_at: zero(),
        }
    }

    /// Many callers are in the turn that begins. Only the writer calls this.
    pub(super) fn crowds(&self) {
        self.crowded_at.store(self.now().max(1), Ordering::Relaxed);
    }

    /// Whether many callers came at once lately.
    pub(super) fn is_crowded(&self) -> bool {
        let at = self.crowded_at.load(Ordering::Relaxed);
        at > 0 && self.now().saturating_sub(at) < CROWD_LASTS
    }

    /// A turn begins.
    pub(super) fn begins(&self) {
        self.turn_began.store(self.now().max(1), Ordering::Relaxed);
    }

    /// The turn has ended. Only the writer calls these two.
    pub(super) fn ended(&self) {
        let took = self.now().saturating_sub(self.turn_began.load(Ordering::Relaxed));
        let before = self.last_took.swap(took, Ordering::Relaxed);
        self.turn_takes.store(before.min(took), Ordering::Relaxed);
        self.turn_began.store(0, Ordering::Relaxed);
    }

    /// What a turn takes nowadays.
    pub(super) fn a_turn_takes(&self) -> Duration {
        Duration::from_micros(self.turn_takes.load(Ordering::Relaxed))
    }

    /// Whether somebody who comes now, behind so many, should wait. Who waits for nobody but the turn under
    /// way may: late is better than never, and were everybody turned away, nobody would find out that the
    /// disk is well again.
    pub(super) fn bears(&self, queued: usize, patience: Duration) -> bool {
        let began = self.turn_began.load(Ordering::Relaxed);
        if began == 0 && queued < JOBS_A_TURN {
            return true;
        }
        let since = Duration::from_micros(self.now().saturating_sub(began));
        let wait = expected(self.a_turn_takes(), (began > 0).then_some(since), queued);
        wait <= patience && (queued < JOBS_A_TURN || wait <= LONGEST_QUEUE)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// The rest of the turn that has been under way for `since`, the turns of those in front, and the own one.
fn expected(takes: Duration, since: Option<Duration>, queued: usize) -> Duration {
    let (rest, takes) = match since {
        None => (Duration::ZERO, takes),
        Some(since) if since < takes => (takes - since, takes),
        // It takes longer than turns did; what has lasted for so long may well last as long again, and so may
        // the next.
        Some(since) => (since, since),
    };
    let turns = u32::try_from(queued / JOBS_A_TURN).unwrap_or(u32::MAX).saturating_add(1);
    rest.saturating_add(takes.saturating_mul(turns))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_wait_is_the_rest_of_this_turn_and_whole_ones_behind_it() {
        assert_eq!(expected(millis(100), None, 0), millis(100));
        assert_eq!(expected(millis(100), Some(millis(30)), 0), millis(170));
        assert_eq!(expected(millis(100), Some(millis(30)), 3 * JOBS_A_TURN), millis(470));
        assert_eq!(expected(millis(1), Some(millis(900)), 0), millis(1_800), "stuck");
    }

    #[test]
    fn a_queue_that_takes_too_long_is_shed_and_a_slow_disk_alone_is_not() {
        let pressure = Pressure::new();
        let forever = Duration::MAX;
        assert!(pressure.bears(0, millis(1)), "nobody is in front");
        pressure.turn_takes.store(200_000, Ordering::Relaxed);
        pressure.begins();
        assert!(pressure.bears(JOBS_A_TURN - 1, forever));
        assert!(!pressure.bears(2 * JOBS_A_TURN, forever), "0.8 s");
        assert!(!pressure.bears(0, millis(300)), "less patience than the disk needs");
        pressure.turn_takes.store(1_500_000, Ordering::Relaxed);
        assert!(pressure.bears(0, millis(5_000)), "slow, and still in time");
    }

    #[test]
    fn one_bad_turn_turns_nobody_away_and_two_do() {
        let born = Instant::now() - Duration::from_secs(60);
        let pressure = Pressure { born, ..Pressure::new() };
        let turn = |took: u64| {
            pressure.turn_began.store(pressure.now().saturating_sub(took).max(1), Ordering::Relaxed);
            pressure.ended();
        };
        turn(20_000);
        pressure.begins();
        assert!(pressure.bears(0, millis(15)), "who knows");
        turn(20_000);
        pressure.begins();
        assert!(!pressure.bears(0, millis(15)), "it is slow");
        turn(0);
        pressure.begins();
        assert!(pressure.bears(0, millis(15)), "it is well again");
    }
}
