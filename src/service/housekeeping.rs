//! Housekeeping of the journal: retention, and finding out when a disk that failed takes writes again.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep};

use super::lag::{Waiting, report};
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
    loop {
        tick.tick().await;
        if !journal.takes_writes() && journal.try_write().await.is_ok() {
            tracing::info!("the journal takes writes again");
        }
        if retention_days == 0 {
            continue;
        }
        let now = clock::now();
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
