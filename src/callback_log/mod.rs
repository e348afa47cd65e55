//! The callback log: what arrived lately and what came of it, in memory, for those who look at a running service. It is
//! bounded by entries and by bytes, oldest out first, and gone with the process. Beside it the history: who called how
//! often and how long it took, second by second.
//!
//! It is on the way of every callback. So an entry is one copy of the bytes as they came (what was read from a
//! connection would keep its whole buffer alive), the lock is held for a few instructions, and everything that has to do
//! with showing is left to whoever looks. (This file is long because one lock holds all of it together.)

mod entry;
mod history;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

pub(crate) use entry::{Ended, Entry, Positions};
pub(crate) use history::{OUTCOMES, Point, Tally};

use crate::config::CallbackLogConfig;
use crate::journal::Order;
use crate::receipt::{Timestamp, VendorName};
use history::{Counts, History};

/// How many entries are taken out under one lock.
const AT_ONCE: usize = 256;
/// How many entries one page looks at, at most: a filter that fits nothing must come to an end.
const LOOKED_AT: usize = 100_000;

/// A handle on the log; clones share it.
#[derive(Clone)]
pub(crate) struct CallbackLog(Arc<Shared>);

struct Shared {
    config: CallbackLogConfig,
    /// Tells the numbers of this run from those of every other.
    run: String,
    state: Mutex<State>,
    /// The newest number, kept up while somebody listens.
    head: watch::Sender<u64>,
}

struct State {
    entries: VecDeque<Arc<Entry>>,
    /// The number of the oldest entry, or of the next one if there is none.
    first: u64,
    bytes: usize,
    history: History,
    listeners: usize,
}

/// An entry and its number: from 1, without gaps, in the order in which callbacks ended in this run.
#[derive(Clone)]
pub(crate) struct Numbered {
    pub(crate) number: u64,
    pub(crate) entry: Arc<Entry>,
}

/// Which callbacks are wanted; what is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) vendor: Option<VendorName>,
    /// One of [`OUTCOMES`].
    pub(crate) outcome: Option<&'static str>,
    /// The app that they proved to be of.
    pub(crate) app: Option<String>,
    /// Those that came at this moment or later.
    pub(crate) since: Option<Timestamp>,
}

/// Some of the log.
pub(crate) struct Page {
    pub(crate) callbacks: Vec<Numbered>,
    /// Where to go on; `None` when there was nothing more.
    pub(crate) resume: Option<u64>,
}

impl CallbackLog {
    /// An empty log. With a bound of 0 it stays empty; the history is kept all the same.
    pub(crate) fn new(config: CallbackLogConfig) -> Self {
        let mut id = [0; 8];
        // The operating system's randomness does not fail once it has begun; the runtime hashes with it.
        getrandom::fill(&mut id).expect("the operating system has randomness");
        let run = hex::encode(id);
        let state =
            State { entries: VecDeque::new(), first: 1, bytes: 0, history: History::default(), listeners: 0 };
        let (head, _) = watch::channel(0);
        Self(Arc::new(Shared { config, run, state: Mutex::new(state), head }))
    }

    /// One for a process that takes no callbacks.
    pub(crate) fn none() -> Self {
        Self::new(CallbackLogConfig { max_entries: 0, max_bytes: 0 })
    }

    /// Takes down how a callback ended.
    pub(crate) fn take(&self, ended: &Ended<'_>) {
        let CallbackLogConfig { max_entries, max_bytes } = self.0.config;
        let entry = (max_entries > 0 && max_bytes > 0).then(|| Arc::new(Entry::of(ended)));
        let mut state = self.state();
        state.history.count(ended.vendor, &ended.outcome, ended.request.received_at, ended.took);
        let Some(entry) = entry else { return };
        state.bytes += entry.weight();
        state.entries.push_back(entry);
        let mut oldest = None;
        while state.entries.len() > max_entries || state.bytes > max_bytes {
            // The last of them, mostly the only one, is freed when the lock is.
            oldest = state.entries.pop_front();
            state.bytes -= oldest.as_ref().map_or(0, |entry| entry.weight());
            state.first += 1;
        }
        let heard = (state.listeners > 0).then(|| state.head());
        drop(state);
        drop(oldest);
        if let Some(head) = heard {
            self.publish(head);
        }
    }

    /// Tells this run from every other, before and after.
    pub(crate) fn run(&self) -> &str {
        &self.0.run
    }

    /// The number of the newest callback; 0 before the first.
    pub(crate) fn head(&self) -> u64 {
        self.state().head()
    }

    /// The number of the oldest callback that is still there, or else of the next to come.
    pub(crate) fn oldest(&self) -> u64 {
        self.state().first
    }

    /// The callback of a number, if it is still there.
    pub(crate) fn find(&self, number: u64) -> Option<Arc<Entry>> {
        let state = self.state();
        let at = usize::try_from(number.checked_sub(state.first)?).ok()?;
        state.entries.get(at).cloned()
    }

    /// Callbacks that fit, behind a number, seen in the direction of the order.
    ///
    /// Callbacks that arrive meanwhile are neither skipped nor shown twice; those that leave the log are gone.
    pub(crate) fn page(&self, wanted: &Wanted, order: Order, behind: Option<u64>, limit: usize) -> Page {
        let mut page = Page { callbacks: Vec::new(), resume: None };
        let (mut behind, mut looked_at) = (behind, 0);
        loop {
            let some = match order {
                Order::Ascending => self.after(behind.unwrap_or(0), AT_ONCE),
                Order::Descending => self.before(behind.unwrap_or(u64::MAX), AT_ONCE),
            };
            if some.is_empty() {
                return page;
            }
            for found in some {
                // One further than asked for tells that there is more.
                if page.callbacks.len() == limit || looked_at == LOOKED_AT {
                    page.resume = behind;
                    return page;
                }
                behind = Some(found.number);
                looked_at += 1;
                if wanted.fits(&found.entry) {
                    page.callbacks.push(found);
                }
            }
        }
    }

    /// The callbacks behind a number that are still there, oldest first.
    pub(crate) fn after(&self, number: u64, limit: usize) -> Vec<Numbered> {
        let state = self.state();
        let from = number.saturating_add(1).max(state.first);
        let skip = usize::try_from(from - state.first).unwrap_or(usize::MAX);
        let found = (from..).zip(state.entries.iter().skip(skip)).take(limit);
        found.map(|(number, entry)| Numbered { number, entry: entry.clone() }).collect()
    }

    /// The callbacks before a number, newest first.
    fn before(&self, number: u64, limit: usize) -> Vec<Numbered> {
        let state = self.state();
        let count = usize::try_from(number.saturating_sub(state.first)).unwrap_or(usize::MAX);
        let found = (state.first..).zip(state.entries.iter()).take(count);
        let skip = count.min(state.entries.len()).saturating_sub(limit);
        let found = found.skip(skip).map(|(number, entry)| Numbered { number, entry: entry.clone() });
        let mut found: Vec<Numbered> = found.collect();
        found.reverse();
        found
    }

    /// How many callbacks of each vendor ended in each of [`OUTCOMES`], since the start.
    pub(crate) fn counts(&self) -> Counts {
        self.state().history.counts()
    }

    /// The last 15 minutes in steps of so many seconds, oldest first, ending with the step of `now`. The steps begin at
    /// multiples of their length, so that a chart does not tremble.
    pub(crate) fn history(&self, now: Timestamp, step: u32) -> Vec<Point> {
        self.state().history.read(now, step)
    }

    /// Listens for callbacks to come.
    pub(crate) fn listen(&self) -> Listener {
        let head = {
            let mut state = self.state();
            state.listeners += 1;
            state.head()
        };
        self.publish(head);
        Listener { log: self.clone(), head: self.0.head.subscribe() }
    }

    /// Two callbacks may come here in the other order than they got their numbers.
    fn publish(&self, head: u64) {
        self.0.head.send_if_modified(|known| {
            let newer = head > *known;
            *known = head.max(*known);
            newer
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn head(&self) -> u64 {
        self.first + self.entries.len() as u64 - 1
    }
}

impl Wanted {
    /// Whether a callback is one of them.
    pub(crate) fn fits(&self, entry: &Entry) -> bool {
        self.vendor.is_none_or(|vendor| entry.vendor == vendor)
            && self.outcome.is_none_or(|outcome| entry.outcome.as_str() == outcome)
            && self.app.as_deref().is_none_or(|app| entry.app() == Some(app))
            && self.since.is_none_or(|since| entry.at >= since)
    }
}

/// Somebody who waits for callbacks. Only while there is one, a callback tells that it came.
pub(crate) struct Listener {
    log: CallbackLog,
    head: watch::Receiver<u64>,
}

impl Listener {
    /// Returns as soon as there is a callback behind this number.
    pub(crate) async fn beyond(&mut self, number: u64) {
        // The log lives at least as long as this does.
        let _newer = self.head.wait_for(|head| *head > number).await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.log.state().listeners -= 1;
    }
}
