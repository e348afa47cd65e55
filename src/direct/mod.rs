//! Straight to the sinks, without a journal (`ack_after = "sinks"`): a vendor is answered when every sink has
//! acknowledged its receipts. What arrives while a batch is under way makes up the next one, for each sink by itself.
//!
//! Nothing is remembered here. A repeat goes out again, and the destination knows it by its id, where it can; so any
//! number of replicas may stand side by side.

mod carrier;
mod parcel;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::{Semaphore, mpsc};

pub use carrier::Carrier;

use crate::config::SinkConfig;
use crate::dispatch::Standing;
use crate::journal::{Committed, Entries, Entry, Stored};
use crate::metrics::Metrics;
use crate::sink::Sink;
use parcel::{News, Parcel};

/// How many bytes of receipts may wait for the sinks. More are turned away at once: the vendor hears `unavailable`.
const WAITING_BYTES: usize = 64 << 20;
/// What a callback weighs at least, so that no more than 8,192 can wait.
const LEAST_WEIGHT: usize = 8 << 10;
const WAITING: usize = WAITING_BYTES / LEAST_WEIGHT;

/// The way straight to the sinks; clones share it.
#[derive(Clone)]
pub struct Direct {
    carriers: Arc<[mpsc::Sender<Arc<Parcel>>]>,
    room: Arc<Semaphore>,
    count: Arc<AtomicI64>,
}

/// Receipts that could not be delivered.
#[derive(Debug, thiserror::Error)]
pub enum DirectError {
    /// Too much is waiting already.
    #[error("too much is waiting for the sinks")]
    Overloaded,
    /// A destination refuses one of them for good.
    #[error("a sink's destination refuses the receipt")]
    Refused,
    /// The service is ending.
    #[error("the sinks have ended")]
    Closed,
}

/// One sink, and what goes with it.
pub struct Destination {
    /// How it is set.
    pub config: SinkConfig,
    /// Where it delivers.
    pub sink: Arc<dyn Sink>,
    /// Where it shows how it is doing.
    pub standing: Arc<Standing>,
}

impl Direct {
    /// The way to some sinks, and the carriers that must run for it.
    pub fn to(destinations: BTreeMap<String, Destination>, metrics: &Metrics) -> (Self, Vec<Carrier>) {
        let (senders, carriers): (Vec<_>, Vec<_>) = destinations
            .into_iter()
            .map(|(name, destination)| {
                let (sender, parcels) = mpsc::channel(WAITING);
                (sender, Carrier::new(name, destination, parcels, metrics.clone()))
            })
            .unzip();
        let room = Arc::new(Semaphore::new(WAITING_BYTES));
        (Self { carriers: senders.into(), room, count: Arc::default() }, carriers)
    }

    /// How many receipts have come.
    pub fn head(&self) -> i64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Delivers the receipts to every sink, and returns when all have acknowledged all of them. They are handed over at once, not
    /// when the future is first polled.
    ///
    /// All count as new, for nothing here remembers. Cancel safe: dropped, the receipts may still be delivered, or in part; a
    /// repeat mends that.
    ///
    /// # Errors
    /// When a destination refuses one of them for good, or too much is waiting. A destination that is down is no error: it
    /// is tried again for as long as this is waited for.
    pub fn commit(
        &self,
        entries: Entries,
    ) -> impl Future<Output = Result<Committed, DirectError>> + Send + use<> {
        let sent = self.send(entries);
        async move {
            let (committed, delivered) = sent?;
            delivered.await.map_err(|_| DirectError::Closed)??;
            Ok(committed)
        }
    }

    /// Hands the receipts to every carrier; what comes back tells that all have delivered them.
    fn send(&self, entries: Entries) -> Result<(Committed, News), DirectError> {
        let weight = entries.iter().map(Entry::weight).sum::<usize>().max(LEAST_WEIGHT);
        let weight = u32::try_from(weight).map_err(|_| DirectError::Overloaded)?;
        let room = self.room.clone().try_acquire_many_owned(weight).map_err(|_| DirectError::Overloaded)?;
        let mut committed = Committed::default();
        let receipts = entries.into_iter().map(|entry| {
            committed.count_new(entry.scope);
            let seq = self.count.fetch_add(1, Ordering::Relaxed) + 1;
            Stored { seq, received_at: entry.received_at, json: entry.json, trace: entry.trace }
        });
        let (parcel, delivered) = Parcel::new(receipts.collect(), self.carriers.len(), room);
        for carrier in self.carriers.iter() {
            // A queue has room for as many parcels as the semaphore lets in, so it can only be closed.
            carrier.try_send(parcel.clone()).map_err(|_| DirectError::Closed)?;
        }
        Ok((committed, delivered))
    }
}
