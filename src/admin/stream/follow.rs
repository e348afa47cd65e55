//! One stream's way along the journal and the callback log.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};

use super::super::callbacks::Shown;
use super::Begin;
use super::place::Place;
use crate::callback_log::{CallbackLog, Listener, Numbered, Wanted};
use crate::journal::{Journal, JournalError, Seq, Stored};
use crate::receipt::VendorName;

/// After so long without an event, a comment shows that there is still somebody here.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Who has heard everything waits for so long, once something comes, for what comes with it.
const GATHER: Duration = Duration::from_millis(20);
/// How many milliseconds a browser should wait before it comes again.
const COME_AGAIN: u32 = 1_000;
/// How many of each are read in one go, and how many bytes of events make one piece.
const AT_ONCE: usize = 100;
const ENOUGH: usize = 64 << 10;

/// Reads on from where its client is.
pub(super) struct Follower {
    /// The journal, if receipts are wanted.
    journal: Option<(Journal, watch::Receiver<Seq>)>,
    /// The news of callbacks, if they are wanted.
    callbacks: Option<Listener>,
    log: CallbackLog,
    wanted: Wanted,
    place: Place,
    /// What is to be said before anything else.
    first: String,
    last_words: Instant,
}

/// What a filter looks at.
#[derive(Deserialize)]
struct Whose<'a> {
    vendor: VendorName,
    #[serde(borrow)]
    app: Cow<'a, str>,
}

impl Follower {
    pub(super) fn new(
        journal: Option<&Journal>,
        callbacks: bool,
        log: &CallbackLog,
        wanted: Wanted,
        begin: &Begin,
    ) -> Self {
        let place = begin.place();
        Self {
            journal: journal.map(|journal| (journal.clone(), journal.head())),
            callbacks: callbacks.then(|| log.listen()),
            log: log.clone(),
            wanted,
            place,
            first: String::new(),
            last_words: Instant::now(),
        }
    }

    /// What is said before anything else: where the stream begins, and what is lost of what the client has not seen.
    pub(super) async fn greet(&mut self, begin: Begin) -> Result<(), JournalError> {
        // Who loses the connection before the first event thus loses no event.
        self.first = format!("retry: {COME_AGAIN}\nid: {}\n\n", self.id());
        match begin {
            Begin::Now(_) | Begin::Again(_) => {}
            Begin::AnotherRun(_) if self.callbacks.is_some() => self.skipped(&json!({ "callbacks": null })),
            Begin::AnotherRun(_) => {}
        }
        let Some((journal, _)) = &self.journal else { return Ok(()) };
        let forgotten = journal.forgotten().await?;
        let lost = forgotten - self.place.seq;
        if lost > 0 {
            self.place.seq = forgotten;
            match begin {
                Begin::Now(_) => {}
                Begin::Again(_) | Begin::AnotherRun(_) => self.skipped(&json!({ "receipts": lost })),
            }
        }
        Ok(())
    }

    fn skipped(&mut self, what: &Value) {
        let id = self.id();
        event(&mut self.first, "skipped", &id, &what.to_string());
    }

    fn id(&self) -> String {
        self.place.write(self.log.run())
    }

    /// The next events, or a sign of life. Waits until there is one.
    pub(super) async fn next(&mut self) -> Result<String, JournalError> {
        let mut events = std::mem::take(&mut self.first);
        loop {
            let before = self.place;
            self.receipts(&mut events).await?;
            self.callbacks(&mut events);
            if events.is_empty() && self.last_words.elapsed() >= KEEP_ALIVE {
                // With the place, for a filter may have passed by much that did not fit.
                events = format!(": here\nid: {}\n\n", self.id());
            }
            if !events.is_empty() {
                self.last_words = Instant::now();
                return Ok(events);
            }
            if self.place == before {
                self.wait().await;
            } else {
                // Much may come by that does not fit.
                yield_now().await;
            }
        }
    }

    /// Waits for something to come, or for the time of a sign of life.
    async fn wait(&mut self) {
        let Place { seq, number } = self.place;
        let receipt = async {
            match &mut self.journal {
                // The journal that it belongs to is at hand.
                Some((_, head)) => drop(head.wait_for(|head| *head > seq).await.map(|_| ())),
                None => std::future::pending().await,
            }
        };
        let callback = async {
            match &mut self.callbacks {
                Some(listener) => listener.beyond(number).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = receipt => sleep(GATHER).await,
            () = callback => sleep(GATHER).await,
            () = sleep_until(self.last_words + KEEP_ALIVE) => {}
        }
    }

    async fn receipts(&mut self, events: &mut String) -> Result<(), JournalError> {
        let Some((journal, _)) = &self.journal else { return Ok(()) };
        for receipt in journal.read_after(self.place.seq, AT_ONCE).await? {
            if events.len() >= ENOUGH {
                break;
            }
            self.place.seq = receipt.seq;
            if fits(&self.wanted, &receipt) {
                event(events, "receipt", &self.id(), &receipt.json);
            }
        }
        Ok(())
    }

    fn callbacks(&mut self, events: &mut String) {
        if self.callbacks.is_none() {
            return;
        }
        for Numbered { number, entry } in self.log.after(self.place.number) {
            if events.len() >= ENOUGH {
                break;
            }
            let lost = number - self.place.number - 1;
            if lost > 0 {
                // The log has moved on faster than the client reads.
                self.place.number += lost;
                let skipped = json!({ "callbacks": lost }).to_string();
                event(events, "skipped", &self.id(), &skipped);
            }
            self.place.number = number;
            if self.wanted.fits(&entry) {
                let shown = json!(Shown::new(&self.log, number, &entry)).to_string();
                event(events, "callback", &self.id(), &shown);
            }
        }
    }
}

fn fits(wanted: &Wanted, receipt: &Stored) -> bool {
    if wanted.vendor.is_none() && wanted.app.is_none() {
        return true;
    }
    let Ok(Whose { vendor, app }) = serde_json::from_str(&receipt.json) else {
        return false;
    };
    wanted.vendor.is_none_or(|wanted| wanted == vendor)
        && wanted.app.as_deref().is_none_or(|wanted| wanted == app)
}

/// JSON on one line has no end of a line in it, so one `data` field is enough.
fn event(events: &mut String, name: &str, id: &str, json: &str) {
    for part in ["event: ", name, "\nid: ", id, "\ndata: ", json, "\n\n"] {
        events.push_str(part);
    }
}
