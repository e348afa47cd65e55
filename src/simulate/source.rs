//! The row of callbacks: new reads, with repeats, neighbours and bad ones mixed in by chance, some of them out of order.
//! The seed decides all of it but the times. It remembers a bounded number of callbacks, however many it makes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::callback::{Callback, Kind, Promise};
use super::caller::{Caller, Proof};
use super::random::Random;
use super::spoil::spoil;
use super::world::World;

/// A repeat is of one of the last so many callbacks ...
const REMEMBERED: usize = 1_024;
/// ... and not older than this, for Tencent's signature is good for a minute.
const REPEATED_WITHIN: Duration = Duration::from_secs(30);
/// How many callbacks wait to be overtaken, at most.
const HELD: usize = 32;
/// How many others overtake one, at most; and for how long it waits for them.
const OVERTAKEN_BY: u64 = 16;
const HELD_FOR: Duration = Duration::from_secs(5);

/// Which part of all callbacks is of which kind, from 0 to 1 each. What is left are new reads.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shares {
    /// Sent before, to the byte.
    pub(crate) duplicates: f64,
    /// Of the new reads: those that others overtake.
    pub(crate) reorder: f64,
    /// Of no use.
    pub(crate) malformed: f64,
    /// With a wrong proof.
    pub(crate) bad_signature: f64,
    /// No read events.
    pub(crate) neighbours: f64,
}

/// Makes one vendor's callbacks, one after the other.
pub(super) struct Source {
    caller: Box<dyn Caller>,
    world: World,
    random: Random,
    shares: Shares,
    /// How many there will be, if that is known.
    total: Option<u64>,
    made: u64,
    sent: VecDeque<(Instant, Callback)>,
    held: Vec<(u64, Instant, Callback)>,
    pub(super) reordered: u64,
}

impl Source {
    pub(super) fn new(
        caller: Box<dyn Caller>,
        world: World,
        random: Random,
        shares: Shares,
        total: Option<u64>,
    ) -> Self {
        Self {
            caller,
            world,
            random,
            shares,
            total,
            made: 0,
            sent: VecDeque::with_capacity(REMEMBERED),
            held: Vec::new(),
            reordered: 0,
        }
    }

    /// The next one. There is always one; how many are wanted is the caller's business.
    pub(super) fn next(&mut self) -> Callback {
        self.made += 1;
        if let Some(callback) = self.held_that_is_due() {
            return self.remember(callback);
        }
        let Shares { duplicates, reorder, malformed, bad_signature, neighbours } = self.shares;
        let mut place = self.random.unit();
        let mut falls_into = |share: f64| {
            let falls = (0.0..share).contains(&place);
            place -= share;
            falls
        };
        if falls_into(malformed) {
            return self.malformed();
        }
        if falls_into(bad_signature) && !self.caller.bad_proofs().is_empty() {
            return self.badly_proven();
        }
        if falls_into(neighbours) {
            self.world.begin();
            let (event, promise) = self.caller.neighbour(&mut self.world);
            return Callback::new(self.world.number(), Kind::Neighbour, promise, event);
        }
        if falls_into(duplicates)
            && let Some(callback) = self.one_of_before()
        {
            return callback;
        }
        let mut callback = self.read();
        let room = self.held.len() < HELD && self.left().is_none_or(|left| left > self.held.len() as u64 + 1);
        if room && self.random.chance(reorder) {
            self.reordered += 1;
            let until = self.made + 1 + self.random.below(OVERTAKEN_BY);
            self.held.push((until, Instant::now(), callback));
            callback = self.read();
        }
        self.remember(callback)
    }

    /// How many more are wanted, this one included.
    fn left(&self) -> Option<u64> {
        self.total.map(|total| (total + 1).saturating_sub(self.made))
    }

    /// One that has been overtaken by enough others, or that must go out before the end.
    fn held_that_is_due(&mut self) -> Option<Callback> {
        let ends = self.left().is_some_and(|left| left <= self.held.len() as u64);
        let due = |(until, since, _): &(u64, Instant, Callback)| {
            ends || *until <= self.made || since.elapsed() > HELD_FOR
        };
        let at = self.held.iter().position(due)?;
        Some(self.held.swap_remove(at).2)
    }

    fn remember(&mut self, callback: Callback) -> Callback {
        if self.shares.duplicates > 0.0 {
            if self.sent.len() == REMEMBERED {
                self.sent.pop_front();
            }
            self.sent.push_back((Instant::now(), callback.clone()));
        }
        callback
    }

    fn one_of_before(&mut self) -> Option<Callback> {
        while self.sent.front().is_some_and(|(at, _)| at.elapsed() > REPEATED_WITHIN) {
            self.sent.pop_front();
        }
        let at = self.random.below(self.sent.len().max(1) as u64);
        self.sent.get(at as usize).map(|(_, callback)| callback.again())
    }

    fn read(&mut self) -> Callback {
        self.world.begin();
        let event = self.caller.read(&mut self.world, Proof::Good);
        Callback::new(self.world.number(), Kind::Read, Promise::Welcome, event)
    }

    fn malformed(&mut self) -> Callback {
        self.world.begin();
        let mut event = self.caller.read(&mut self.world, Proof::Good);
        self.world.take_back();
        let promise = spoil(&mut event, self.caller.dialect(), &mut self.random);
        Callback::new(self.world.number(), Kind::Malformed, promise, event)
    }

    fn badly_proven(&mut self) -> Callback {
        self.world.begin();
        let ways = self.caller.bad_proofs();
        let way = self.random.below(ways.len().max(1) as u64) as usize;
        let (proof, status, reason) = ways.get(way).copied().unwrap_or((Proof::Missing, 401, ""));
        let event = self.caller.read(&mut self.world, proof);
        self.world.take_back();
        Callback::new(self.world.number(), Kind::BadSignature, Promise::Refusal(status, reason), event)
    }
}
