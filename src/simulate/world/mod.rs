//! Who there is and how far each has read: users, their one-to-one conversations and groups, all made from the seed. Reads
//! go on where the last one of the same reader ended, so positions grow, and no read is told twice unless a repeat is
//! wanted. It grows with the population, never with the number of callbacks.

mod groups;
mod ids;

use std::ops::Range;

use super::random::{Random, mix};
use crate::clock;
use groups::Group;
pub(super) use groups::GroupRead;

/// Fixed times go on by this much with each callback.
const STEP_MS: i64 = 1;

/// How many users and groups there are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Population {
    /// At least 3.
    pub(crate) users: u64,
    /// At least 1.
    pub(crate) groups: u64,
}

/// A vendor's users.
pub(super) struct World {
    pub(super) random: Random,
    seed: u64,
    tag: String,
    /// Whether some ids hold `+` and `=`, which a form must escape.
    signs: bool,
    users: u64,
    /// Each user talks to those this far behind it.
    friends: u64,
    /// Two readers each.
    pairs: Vec<[Side; 2]>,
    groups: Vec<Group>,
    cleared: Vec<i64>,
    /// When the first callback happens; without one, times are the clock's.
    start_ms: Option<i64>,
    now_ms: i64,
    callbacks: u64,
    /// How the groups were before this callback, as far as it has changed them.
    before: Vec<(usize, Group)>,
}

#[derive(Clone, Copy, Default)]
struct Side {
    seq: i64,
    until: i64,
}

/// One of the two in a one-to-one conversation, about to read.
pub(super) struct Direct {
    pub(super) reader: u64,
    pub(super) peer: u64,
    pair: usize,
    side: usize,
}

impl World {
    pub(super) fn new(seed: u64, population: Population, start_ms: Option<i64>, signs: bool) -> Self {
        let users = population.users.max(3);
        // Fewer than half the users, or two conversations would be the same one seen from either side.
        let friends = ((users - 1) / 2).clamp(1, 4);
        let mut random = Random::new(mix(seed));
        let now_ms = start_ms.unwrap_or_else(|| clock::now().as_millis());
        let begun = |random: &mut Random| 1 + random.below(900) as i64;
        let pairs =
            (0..users * friends).map(|_| [(); 2].map(|()| Side { seq: begun(&mut random), until: 0 }));
        let pairs = pairs.collect();
        let groups = (0..population.groups.max(1))
            .map(|_| Group { seq: begun(&mut random), read: 0, since_ms: now_ms })
            .collect();
        Self {
            random,
            seed,
            tag: ids::tag(seed),
            signs,
            users,
            friends,
            pairs,
            groups,
            cleared: vec![0; users as usize],
            start_ms,
            now_ms,
            callbacks: 0,
            before: Vec::new(),
        }
    }

    /// A new callback begins: time goes on.
    pub(super) fn begin(&mut self) {
        self.now_ms = match self.start_ms {
            Some(start) => start.saturating_add_unsigned(self.callbacks * STEP_MS.unsigned_abs()),
            None => clock::now().as_millis(),
        };
        self.callbacks += 1;
        self.before.clear();
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// The number of the callback that has begun, from 1 on.
    pub(super) fn number(&self) -> u64 {
        self.callbacks
    }

    /// Somebody who is about to read what a peer has written.
    pub(super) fn direct(&mut self) -> Direct {
        let pair = self.random.below(self.pairs.len() as u64);
        let (one, far) = (pair % self.users, pair / self.users + 1);
        debug_assert!(far <= self.friends);
        let other = (one + far) % self.users;
        let side = self.random.below(2) as usize;
        let (reader, peer) = if side == 0 { (one, other) } else { (other, one) };
        Direct { reader, peer, pair: pair as usize, side }
    }

    /// The next messages that the reader reads: at least one, at most `most`.
    pub(super) fn read_on(&mut self, direct: &Direct, most: u64) -> Range<i64> {
        let messages = 1 + self.random.below(most) as i64;
        let side = &mut self.pairs[direct.pair][direct.side];
        let from = side.seq;
        side.seq += messages;
        from..side.seq
    }

    /// The moment up to which the reader reads, later than any before. `unit_ms` is what the vendor counts in. Whoever
    /// reads more often than time goes on gets ahead of it.
    pub(super) fn read_until(&mut self, direct: &Direct, unit_ms: i64) -> i64 {
        let sent = self.now_ms - self.random.below(2_000) as i64;
        let side = &mut self.pairs[direct.pair][direct.side];
        side.until = (sent / unit_ms).max(side.until + 1);
        side.until
    }

    /// Somebody clears everything unread; at a moment later than any at which the same user did before.
    pub(super) fn clear(&mut self) -> (u64, i64) {
        let user = self.random.below(self.users);
        let cleared = &mut self.cleared[user as usize];
        *cleared = self.now_ms.max(*cleared + 1);
        (user, *cleared)
    }

    /// Somebody, and somebody else.
    pub(super) fn two(&mut self) -> (String, String) {
        let Direct { reader, peer, .. } = self.direct();
        (self.user(reader), self.user(peer))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn nobody_reads_the_same_twice_however_few_there_are() {
        for users in [3, 4, 9, 100] {
            let mut world = World::new(7, Population { users, groups: 2 }, Some(0), true);
            let mut seen = HashSet::new();
            for _ in 0..3_000 {
                world.begin();
                let direct = world.direct();
                assert_ne!(direct.reader, direct.peer);
                for seq in world.read_on(&direct, 3) {
                    assert!(seen.insert((direct.reader, direct.peer, seq)));
                }
                let until = world.read_until(&direct, 1);
                assert!(seen.insert((direct.reader, direct.peer, -until - 1_000_000)));
                let group = world.any_group();
                let read = world.group_read(group, 4);
                assert!(!read.new_readers().is_empty() && !read.readers.contains(&read.author));
                for reader in read.new_readers() {
                    assert!(seen.insert((u64::MAX - group as u64, *reader, read.seq)));
                }
            }
        }
    }
}
