//! Waits between tries: they double up to an end, and each is shortened at random by up to a half, so that many who
//! failed together do not come back together.

use std::time::Duration;

/// The waits of one failure; made anew after a success.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// For background work: from a tenth of a second to half a minute.
    pub(crate) fn patient() -> Self {
        Self { next: Duration::from_millis(100), longest: Duration::from_secs(30) }
    }

    /// For work that a vendor waits for: from a fiftieth of a second to half a second.
    pub(crate) fn hasty() -> Self {
        Self { next: Duration::from_millis(20), longest: Duration::from_millis(500) }
    }

    /// How long to wait this time.
    pub(crate) fn wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.longest);
        let mut random = [0; 1];
        // Without randomness the full wait is as good.
        let shorter = getrandom::fill(&mut random).map_or(0, |()| u32::from(random[0]));
        wait - wait / 2 * shorter / 255
    }
}
