//! How fast a row of things is done, from what was seen of it. A first tenth warms up and does not count.
//!
//! It does not look by itself: whoever does the work, or watches it, says how far it is.

use std::time::Instant;

/// What was seen, as far as it counts.
pub struct Rate {
    total: u64,
    done: u64,
    begin: Option<(u64, Instant)>,
    end: Option<(u64, Instant)>,
}

impl Rate {
    /// Of so many things.
    pub fn of(total: u64) -> Self {
        Self { total, done: 0, begin: None, end: None }
    }

    /// So many more are done now.
    pub fn add(&mut self, more: usize) {
        self.seen(self.done + more as u64, Instant::now());
    }

    /// So many were done at this time, which is not before the last one given.
    pub fn seen(&mut self, done: u64, at: Instant) {
        // Only growth is news: what is over would otherwise seem slower the longer one looks at it.
        if done > self.done {
            self.done = done;
            if self.begin.is_some() {
                self.end = Some((done, at));
            } else if done >= self.total.div_ceil(10) {
                self.begin = Some((done, at));
            }
        }
    }

    /// Things per second; `None` while too little was seen.
    pub fn per_second(&self) -> Option<f64> {
        let ((before, begin), (after, end)) = self.begin.zip(self.end)?;
        let seconds = (end - begin).as_secs_f64();
        (seconds > 0.0).then(|| (after - before) as f64 / seconds)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn after(seen: &[(u64, u64)]) -> Option<f64> {
        let begin = Instant::now();
        let mut rate = Rate::of(100);
        for (done, seconds) in seen {
            rate.seen(*done, begin + Duration::from_secs(*seconds));
        }
        rate.per_second()
    }

    #[test]
    fn the_first_tenth_does_not_count() {
        assert_eq!(after(&[(9, 1), (10, 2), (60, 7), (100, 12)]), Some(9.0));
    }

    #[test]
    fn the_rest_after_the_end_does_not_count() {
        assert_eq!(after(&[(10, 0), (100, 9), (100, 90)]), Some(10.0));
    }

    #[test]
    fn one_look_makes_no_rate() {
        assert_eq!(after(&[]), None);
        assert_eq!(after(&[(9, 1), (100, 12)]), None);
        assert_eq!(after(&[(10, 1), (100, 1)]), None);
    }
}
