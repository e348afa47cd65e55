//! Takes in what the ban guard hid as `unavailable`, as soon as the journal takes writes again, also after a restart.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::ingest::Ingest;
use crate::requeue::take_in_hidden;
use crate::server::{Door, Served};

/// How soon a journal that works again is noticed.
const LOOKED_EVERY: Duration = Duration::from_millis(200);
/// The pause after a run that left something, doubled up to the longest one while nothing can be taken in.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Runs for as long as the service does. Cancel safe: what is stored and still in quarantine is known by its ids.
pub(super) async fn take_in(ingest: Arc<Ingest>, door: Door) {
    let Some(mut waiting) = ingest.quarantine().waiting() else { return };
    let mut pause = PAUSE;
    loop {
        let Ok(before) = waiting.wait_for(|waiting| *waiting > 0).await.map(|waiting| *waiting) else {
            return;
        };
        if !ingest.takes_writes() {
            sleep(LOOKED_EVERY).await;
            continue;
        }
        let served = door.served();
        let Served { vendors, passthroughs } = &*served;
        match Box::pin(take_in_hidden(&ingest, vendors, passthroughs)).await {
            Ok(taken) if taken > 0 => {
                tracing::info!(
                    callbacks = taken,
                    "what was hidden while the journal could not be written is taken in"
                );
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "what was hidden as unavailable waits on"),
        }
        drop(served);
        let left = *waiting.borrow();
        if left == 0 {
            pause = PAUSE;
            continue;
        }
        sleep(pause).await;
        pause = if left < before { PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
    }
}
