//! A carrier takes parcels to one sink, batch by batch: whatever came while the last batch was under way. It tries again
//! for as long as a vendor waits, and lets go of what nobody waits for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Destination;
use super::parcel::Parcel;
use crate::backoff::Backoff;
use crate::clock;
use crate::dispatch::causes;
use crate::journal::Stored;
use crate::log_limit::LogLimit;
use crate::metrics::Metrics;
use crate::sink::DeliverError;

/// A destination that asks to be left alone for longer is tried again after this time: no vendor waits for longer, and here
/// no operator can end the wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The way to one sink.
pub struct Carrier {
    name: String,
    destination: Destination,
    parcels: mpsc::Receiver<Arc<Parcel>>,
    metrics: Metrics,
    log: LogLimit,
}

/// What is to be delivered next: receipts, and beside each the parcel that it comes from.
#[derive(Default)]
struct Load {
    receipts: Vec<Stored>,
    parcels: Vec<Arc<Parcel>>,
}

impl Load {
    fn add(&mut self, parcel: &Arc<Parcel>) {
        self.receipts.extend_from_slice(&parcel.receipts);
        self.parcels.extend(parcel.receipts.iter().map(|_| parcel.clone()));
    }

    /// Lets go of what nobody waits for, and says how many receipts that were.
    fn sort_out(&mut self) -> usize {
        let before = self.receipts.len();
        let parcels = std::mem::take(&mut self.parcels);
        let receipts = std::mem::take(&mut self.receipts);
        let waited_for = receipts.into_iter().zip(parcels).filter(|(_, parcel)| !parcel.is_over());
        (self.receipts, self.parcels) = waited_for.unzip();
        before - self.receipts.len()
    }

    /// Takes away so many from its beginning.
    fn settle(&mut self, count: usize, settled: impl Fn(&Parcel)) {
        let count = count.min(self.receipts.len());
        self.receipts.drain(..count);
        self.parcels.drain(..count).for_each(|parcel| settled(&parcel));
    }
}

impl Carrier {
    pub(super) fn new(
        name: String,
        destination: Destination,
        parcels: mpsc::Receiver<Arc<Parcel>>,
        metrics: Metrics,
    ) -> Self {
        Self { name, destination, parcels, metrics, log: LogLimit::default() }
    }

    /// Delivers until nobody can send any more, or until `give_up`.
    pub async fn run(mut self, give_up: CancellationToken) {
        ["ok", "retry", "rejected"].into_iter().for_each(|result| self.count(result, 0));
        tokio::select! {
            () = self.carry() => {}
            () = give_up.cancelled() => {}
        }
    }

    async fn carry(&mut self) {
        let batch = self.destination.config.batch.get();
        let (mut load, mut backoff) = (Load::default(), Backoff::hasty());
        loop {
            if load.receipts.is_empty() {
                self.destination.standing.waits(&[]);
                let Some(parcel) = self.parcels.recv().await else { return };
                load.add(&parcel);
            }
            while load.receipts.len() < batch
                && let Ok(parcel) = self.parcels.try_recv()
            {
                load.add(&parcel);
            }
            self.destination.standing.pass(load.sort_out());
            if load.receipts.is_empty() {
                continue;
            }
            match self.deliver(&mut load, batch).await {
                None => backoff = Backoff::hasty(),
                Some(leave_alone) => {
                    let wait = backoff.wait().max(leave_alone.min(LONGEST_PAUSE));
                    let millis = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
                    self.destination.standing.tries_at(clock::now().as_millis().saturating_add(millis));
                    sleep(wait).await;
                }
            }
        }
    }

    /// One try with the first of the load. When it fails, how long the destination asks to be left alone.
    async fn deliver(&self, load: &mut Load, batch: usize) -> Option<Duration> {
        let standing = &self.destination.standing;
        standing.waits(&load.receipts);
        let first = load.receipts.get(..batch).unwrap_or(&load.receipts);
        let (tried, delivered) = (first.len(), self.destination.sink.deliver(first).await);
        let mut gone = false;
        let (done, refused, failure) = match delivered {
            Ok(()) => (tried, 0, None),
            Err(DeliverError::Reject { refused, why }) => {
                tracing::error!(
                    sink = %self.name, reason = %causes(&*why), receipts = refused.len(),
                    "the sink's destination refuses receipts for good; their callbacks are answered `unavailable` and kept in quarantine"
                );
                standing.note(causes(&*why));
                (refused.start, refused.len(), None)
            }
            Err(DeliverError::Retry { done, why, after }) => {
                self.failed(&causes(&*why));
                (done, 0, Some(after.unwrap_or_default()))
            }
            // There is nothing to go back to: what was answered before is not here any more.
            Err(DeliverError::Rewind { why, .. }) => {
                self.failed(&causes(&*why));
                (0, 0, Some(Duration::ZERO))
            }
            Err(DeliverError::Halt { done, why }) => {
                if let Some(suppressed) = self.log.admit() {
                    tracing::error!(
                        sink = %self.name, reason = %causes(&*why), suppressed,
                        "the sink's destination says that it is gone for good; callbacks are answered `unavailable` and kept in quarantine"
                    );
                }
                standing.failed(causes(&*why));
                gone = true;
                (done, 0, Some(Duration::ZERO))
            }
        };
        self.count("ok", done);
        self.count("rejected", refused);
        standing.pass(done + refused);
        load.settle(done, Parcel::delivered);
        load.settle(refused, Parcel::refused);
        match failure {
            None => standing.succeeded(),
            Some(_) => self.count("retry", tried - done.min(tried)),
        }
        if gone {
            // Nobody need wait for a destination that will not come back.
            let rest = load.receipts.len();
            standing.pass(rest);
            load.settle(rest, Parcel::refused);
        }
        failure
    }

    fn failed(&self, why: &str) {
        if let Some(suppressed) = self.log.admit() {
            tracing::warn!(sink = %self.name, error = why, suppressed, "a delivery failed");
        }
        self.destination.standing.failed(why.to_owned());
    }

    fn count(&self, result: &str, receipts: usize) {
        self.metrics.sink_deliveries.with_label_values(&[&self.name, result]).inc_by(receipts as u64);
    }
}
