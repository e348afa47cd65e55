//! Housekeeping of the journal: retention, and finding out when a disk that failed takes writes again.

use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval, sleep};

use super::lag::{Waiting, report};
use super::watermark::Watermark;
use crate::clock;
use crate::journal::{Journal, JournalError, LetGo, Seq};
use crate::receipt::Timestamp;
use crate::state::State;

/// How many receipts retention forgets in one step, and the pause after it: short enough that a commit which comes
/// just then hardly waits.
const PRUNE_STEP: u32 = 500;
const PRUNE_PAUSE: Duration = Duration::from_millis(20);
/// The pause while callbacks crowd: what is old can wait for a quieter hour, and who calls cannot.
const CROWDED_PAUSE: Duration = Duration::from_millis(100);
/// How often retention and a failed disk are looked at.
const HOUSEKEEPING: Duration = Duration::from_secs(5);

/// How often the retention watermark is stored. What a crash takes of it delays retention by as much.
const STORED_EVERY: Duration = Duration::from_secs(60);

pub(super) const DAY: i64 = 24 * 60 * 60 * 1000;

/// Forgets what is old enough, once every sink and the read state have it, and finds out when a disk that failed takes
/// writes again.
pub(super) async fn housekeeping(
    journal: Journal,
    retention_days: u32,
    mut sinks: Vec<Waiting>,
    state: Option<State>,
) {
    let mut tick = interval(HOUSEKEEPING);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let retention = Duration::from_millis(u64::from(retention_days) * DAY.unsigned_abs());
    let mut watermark: Option<Stored> = None;
    loop {
        tick.tick().await;
        if !journal.takes_writes() && journal.try_write().await.is_ok() {
            tracing::info!("the journal takes writes again");
        }
        if retention_days == 0 {
            continue;
        }
        let clock = clock::now().as_millis();
        let stored = match &mut watermark {
            Some(stored) => stored,
            None => match Stored::begin(&journal, clock).await {
                Ok(stored) => watermark.insert(stored),
                Err(error) => {
                    tracing::warn!(%error, "retention waits: its watermark cannot be read");
                    continue;
                }
            },
        };
        stored.watermark.advance(clock, Instant::now(), retention);
        if let Err(error) = stored.store(&journal).await {
            tracing::warn!(%error, "retention waits: its watermark cannot be stored");
            continue;
        }
        // What sinks may lag behind is counted by the same time.
        let Some(now) = Timestamp::from_millis(stored.watermark.now()) else {
            continue;
        };
        let before = now.as_millis() - i64::from(retention_days) * DAY;
        let Some(before) = Timestamp::from_millis(before) else {
            continue;
        };
        let mut let_go = Vec::new();
        if let Err(error) = prune(&journal, now, before, &mut sinks, state.as_ref(), &mut let_go).await {
            tracing::warn!(%error, "retention could not forget old receipts");
        }
        report(&let_go);
    }
}

/// The watermark, and when it was last stored.
struct Stored {
    watermark: Watermark,
    last: Option<Instant>,
}

impl Stored {
    async fn begin(journal: &Journal, clock: i64) -> Result<Self, JournalError> {
        let (stored, newest) = (journal.retention_watermark().await?, journal.newest_arrival().await?);
        let now = Instant::now();
        Ok(Self { watermark: Watermark::begin(stored, newest, clock, now), last: stored.map(|_| now) })
    }

    /// Stores it, at the first call and from time to time.
    async fn store(&mut self, journal: &Journal) -> Result<(), JournalError> {
        if self.last.is_some_and(|last| last.elapsed() < STORED_EVERY) {
            return Ok(());
        }
        journal.set_retention_watermark(self.watermark.at()).await?;
        self.last = Some(Instant::now());
        Ok(())
    }
}

async fn prune(
    journal: &Journal,
    now: Timestamp,
    before: Timestamp,
    sinks: &mut [Waiting],
    state: Option<&State>,
    let_go: &mut Vec<LetGo>,
) -> Result<(), JournalError> {
    loop {
        // Looked at before each step: a rebuild begins at the oldest.
        let no_further = state.map_or(Seq::MAX, State::cursor);
        let mut holders = Vec::with_capacity(sinks.len());
        for sink in &mut *sinks {
            holders.push(sink.holder(journal, now, before, PRUNE_STEP).await?);
        }
        let pruned = journal.prune_past(before, holders, no_further, PRUNE_STEP).await?;
        for range in pruned.let_go {
            if let Some(sink) = sinks.iter().find(|sink| sink.name == range.sink) {
                sink.lose(&range);
            }
            let_go.push(range);
        }
        if pruned.count < PRUNE_STEP {
            return Ok(());
        }
        sleep(if journal.is_crowded() { CROWDED_PAUSE } else { PRUNE_PAUSE }).await;
    }
}
