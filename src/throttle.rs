//! How often an address may guess: wrong path tokens, Basic passwords and admin tokens are counted by client address, and after a
//! burst there is a wait before each further try. Whoever has shown a right one within a day is never made to wait: a genuine
//! caller that shares its address with somebody who guesses, or whose own token is replaced, loses nothing.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};

/// So many wrong tries are free at once.
const BURST: NonZeroU32 = NonZeroU32::new(20).expect("20 is not 0");
/// After them there is one in this time.
const ONE_IN: Duration = Duration::from_secs(3);
/// For how long a right token counts.
const PROVEN_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// How many addresses are remembered: at least this many of the latest, and at most twice as many.
const ADDRESSES: usize = 8_192;

/// Whom tries are counted for: an IPv4 address, or the first half of an IPv6 address, which one customer has to himself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Source(IpAddr);

impl Source {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.into()),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
        }
    }
}

/// The latest keys, at least `ADDRESSES` of them: the older half is dropped as a whole.
struct Latest<V> {
    young: HashMap<Source, V>,
    old: HashMap<Source, V>,
}

impl<V> Default for Latest<V> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<V: Copy> Latest<V> {
    fn get(&self, source: &Source) -> Option<V> {
        self.young.get(source).or_else(|| self.old.get(source)).copied()
    }

    fn set(&mut self, source: Source, value: V) {
        if self.young.len() >= ADDRESSES && !self.young.contains_key(&source) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(source, value);
    }
}

/// What the limiter keeps for each address; the crate's own map would grow without end.
#[derive(Default)]
struct Tries(Mutex<Latest<Nanos>>);

impl StateStore for Tries {
    type Key = Source;

    fn measure_and_replace<T, F, E>(&self, key: &Source, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut latest = lock(&self.0);
        let (result, next) = measure(latest.get(key))?;
        latest.set(*key, next);
        Ok(result)
    }
}

/// Counts wrong tries by address. The clock is a parameter, so that no test must wait.
pub(crate) struct Throttle<C: Clock = MonotonicClock> {
    clock: C,
    limiter: RateLimiter<Source, Tries, C, NoOpMiddleware<C::Instant>>,
    /// Until when an address that has used its tries up must wait.
    waiting: Mutex<Latest<C::Instant>>,
    /// When an address last showed a right token.
    proven: Mutex<Latest<C::Instant>>,
}

impl Default for Throttle {
    fn default() -> Self {
        Self::by(MonotonicClock)
    }
}

impl<C: Clock + Clone> Throttle<C> {
    fn by(clock: C) -> Self {
        // The period is not zero; were it, everybody might guess once a second.
        let quota = Quota::with_period(ONE_IN).unwrap_or(Quota::per_second(BURST)).allow_burst(BURST);
        let limiter = RateLimiter::new(quota, Tries::default(), clock.clone());
        Self { clock, limiter, waiting: Mutex::default(), proven: Mutex::default() }
    }

    /// Whether an address may try now.
    pub(crate) fn admits(&self, address: IpAddr) -> bool {
        let source = Source::of(address);
        let now = self.clock.now();
        let waits = lock(&self.waiting).get(&source).is_some_and(|until| until > now);
        !waits || self.has_proven(&source, now)
    }

    /// An address has shown a wrong token.
    pub(crate) fn failed(&self, address: IpAddr) {
        let source = Source::of(address);
        if self.has_proven(&source, self.clock.now()) {
            return;
        }
        if let Err(not_yet) = self.limiter.check_key(&source) {
            lock(&self.waiting).set(source, not_yet.earliest_possible());
        }
    }

    /// An address has shown a right one.
    pub(crate) fn proved(&self, address: IpAddr) {
        lock(&self.proven).set(Source::of(address), self.clock.now());
    }

    fn has_proven(&self, source: &Source, now: C::Instant) -> bool {
        let proven = lock(&self.proven).get(source);
        proven.is_some_and(|at| now.duration_since(at) < Nanos::from(PROVEN_FOR))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn exhausted(throttle: &Throttle<FakeRelativeClock>, text: &str) -> usize {
        let mut tries = 0;
        while throttle.admits(address(text)) {
            throttle.failed(address(text));
            tries += 1;
            assert!(tries < 1_000, "{text} is never throttled");
        }
        tries
    }

    fn throttle() -> (FakeRelativeClock, Throttle<FakeRelativeClock>) {
        let clock = FakeRelativeClock::default();
        (clock.clone(), Throttle::by(clock))
    }

    #[test]
    fn after_a_burst_each_further_try_must_wait() {
        let (clock, throttle) = throttle();
        assert_eq!(exhausted(&throttle, "192.0.2.1"), 21, "the burst, and the one that finds it used up");
        assert!(throttle.admits(address("192.0.2.2")), "another address");
        clock.advance(ONE_IN - Duration::from_nanos(1));
        assert!(!throttle.admits(address("192.0.2.1")));
        clock.advance(Duration::from_nanos(1));
        assert!(exhausted(&throttle, "192.0.2.1") <= 2);
        clock.advance(ONE_IN * 100);
        assert_eq!(exhausted(&throttle, "192.0.2.1"), 21, "the burst comes back, and no more than that");
    }

    #[test]
    fn ipv6_counts_by_network_and_mapped_addresses_as_ipv4() {
        let (_, throttle) = throttle();
        exhausted(&throttle, "2001:db8:0:1::1");
        assert!(!throttle.admits(address("2001:db8:0:1:ffff::2")));
        assert!(throttle.admits(address("2001:db8:0:2::1")));
        exhausted(&throttle, "::ffff:192.0.2.1");
        assert!(!throttle.admits(address("192.0.2.1")));
    }

    #[test]
    fn whoever_has_proved_itself_within_a_day_is_never_throttled() {
        let (clock, throttle) = throttle();
        let known = address("192.0.2.1");
        throttle.proved(known);
        for _ in 0..1_000 {
            throttle.failed(known);
            assert!(throttle.admits(known));
        }
        clock.advance(PROVEN_FOR);
        exhausted(&throttle, "192.0.2.1");
        throttle.proved(known);
        assert!(throttle.admits(known), "a right token ends the wait");
    }

    #[test]
    fn the_number_of_addresses_that_are_remembered_is_bounded() {
        let mut latest = Latest::default();
        for number in 0..100_000_u32 {
            latest.set(Source::of(IpAddr::from(number.to_be_bytes())), number);
            assert!(latest.young.len() + latest.old.len() <= 2 * ADDRESSES);
        }
        for number in 100_000 - ADDRESSES as u32..100_000 {
            assert_eq!(latest.get(&Source::of(IpAddr::from(number.to_be_bytes()))), Some(number));
        }
    }
}
