//! The callback log: what arrived lately and what came of it, in memory, for those who look at a running service. It is
//! bounded by entries and by bytes, oldest out first, and gone with the process. Beside it the history: who called how
//! often and how long it took, second by second.
//!
//! It is on the way of every callback. So an entry is one copy of the bytes as they came (what was read from a
//! connection would keep its whole buffer alive), the lock is held for as long as that takes, and everything that has to
//! do with showing is left to whoever looks. (This file is long because one lock holds all of it together.)

mod blocks;
mod entry;
mod history;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

pub(crate) use entry::{Ended, Entry, Positions};
pub(crate) use history::{OUTCOMES, Point, Tally};

use crate::config::CallbackLogConfig;
use crate::journal::Order;
use crate::receipt::{Timestamp, VendorName};
use blocks::Blocks;
use history::{Counts, History};

/// How many entries are taken out under one lock, and about how many bytes.
const AT_ONCE: usize = 256;
const BYTES_AT_ONCE: usize = 256 << 10;
/// How many entries one page looks at, at most: a filter that fits nothing must come to an end.
const LOOKED_AT: usize = 100_000;

/// A handle on the log; clones share it.
#[derive(Clone)]
pub(crate) struct CallbackLog(Arc<Shared>);

struct Shared {
    /// Tells the numbers of this run from those of every other.
    run: String,
    state: Mutex<State>,
    /// The newest number, kept up while somebody listens.
    head: watch::Sender<u64>,
}

struct State {
    entries: Blocks,
    history: History,
    listeners: usize,
}

/// An entry and its number: from 1, without gaps, in the order in which callbacks ended in this run.
pub(crate) struct Numbered {
    pub(crate) number: u64,
    pub(crate) entry: Entry,
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
        let state = State { entries: Blocks::new(config), history: History::default(), listeners: 0 };
        let (head, _) = watch::channel(0);
        Self(Arc::new(Shared { run, state: Mutex::new(state), head }))
    }

    /// One for a process that takes no callbacks.
    pub(crate) fn none() -> Self {
        Self::new(CallbackLogConfig { max_entries: 0, max_bytes: 0 })
    }

    /// Takes down how a callback ended.
    pub(crate) fn take(&self, ended: &Ended<'_>) {
        let text_bytes = ended.text_bytes();
        let mut state = self.state();
        state.history.count(ended.vendor, &ended.outcome, ended.request.received_at, ended.took);
        if state.entries.keep_nothing() {
            return;
        }
        state.entries.push(ended, text_bytes);
        let heard = (state.listeners > 0).then(|| state.entries.head());
        drop(state);
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
        self.state().entries.head()
    }

    /// The number of the oldest callback that is still there, or else of the next to come.
    pub(crate) fn oldest(&self) -> u64 {
        self.state().entries.first()
    }

    /// The callback of a number, if it is still there.
    pub(crate) fn find(&self, number: u64) -> Option<Entry> {
        self.state().entries.get(number).map(|entry| entry.to_owned())
    }

    /// Callbacks that fit, behind a number, seen in the direction of the order.
    ///
    /// Callbacks that arrive meanwhile are neither skipped nor shown twice; those that leave the log are gone.
    pub(crate) fn page(&self, wanted: &Wanted, order: Order, behind: Option<u64>, limit: usize) -> Page {
        let mut page = Page { callbacks: Vec::new(), resume: None };
        let (mut behind, mut looked_at) = (behind, 0);
        loop {
            let some = match order {
                Order::Ascending => self.after(behind.unwrap_or(0)),
                Order::Descending => self.before(behind.unwrap_or(u64::MAX)),
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

    /// The next callbacks behind a number that are still there, oldest first; none only if there is none.
    pub(crate) fn after(&self, number: u64) -> Vec<Numbered> {
        let entries = &self.state().entries;
        copies(entries, number.saturating_add(1).max(entries.first())..=entries.head())
    }

    /// The next callbacks before a number, newest first; none only if there is none.
    fn before(&self, number: u64) -> Vec<Numbered> {
        let entries = &self.state().entries;
        copies(entries, (entries.first()..number.min(entries.head().saturating_add(1))).rev())
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
            state.entries.head()
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

/// Copies of these entries, as far as one lock allows; of the first at least.
fn copies(entries: &Blocks, numbers: impl Iterator<Item = u64>) -> Vec<Numbered> {
    let (mut found, mut bytes) = (Vec::new(), 0);
    for number in numbers.take(AT_ONCE) {
        let Some(entry) = entries.get(number).filter(|_| bytes < BYTES_AT_ONCE) else { break };
        bytes += entry.text_bytes();
        found.push(Numbered { number, entry: entry.to_owned() });
    }
    found
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
