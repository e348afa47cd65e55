//! From the journal to the sinks: one task each, with its own cursor, its own retries and its own dead letters, so
//! that no sink ever waits for another and no vendor for any.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::config::{SinkConfig, StartAt};
use crate::journal::{Journal, JournalError, Seq, Stored};
use crate::metrics::Metrics;
use crate::sink::{DeliverError, Sink};

/// A cursor is saved at most this often: each save is an fsync that commits would have to share. After a crash a sink
/// sees again what it got in that time.
const SAVE_EVERY: Duration = Duration::from_millis(200);

/// How long a batch that is not full waits for company. Without it a sink that syncs would take every second turn on the
/// disk, and commits, for which vendors wait, the other.
const GATHER: Duration = Duration::from_millis(10);

const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// How far a sink is, for whoever wants to look while it works, waits or hangs.
#[derive(Debug, Default)]
pub struct Standing {
    cursor: AtomicI64,
    /// When the first receipt of the batch under way came, in milliseconds; 0 when there is none.
    oldest_waiting: AtomicI64,
}

impl Standing {
    /// Brings a sink's gauges up to date.
    pub fn measure(&self, sink: &str, head: Seq, metrics: &Metrics) {
        let lag = (head - self.cursor.load(Ordering::Relaxed)).max(0);
        let oldest = self.oldest_waiting.load(Ordering::Relaxed);
        let age = if lag == 0 || oldest == 0 { 0 } else { (clock::now().as_millis() - oldest).max(0) / 1000 };
        metrics.sink_lag_receipts.with_label_values(&[sink]).set(lag);
        metrics.sink_oldest_seconds.with_label_values(&[sink]).set(age);
    }

    fn at(&self, cursor: Seq) {
        self.cursor.store(cursor, Ordering::Relaxed);
    }

    fn waits(&self, batch: &[Stored]) {
        self.oldest_waiting.store(batch.first().map_or(0, |first| first.received_at), Ordering::Relaxed);
    }
}

/// One sink's way through the journal.
pub struct Dispatcher {
    /// Its name in the configuration.
    pub name: String,
    /// How it is set.
    pub config: SinkConfig,
    /// Where it delivers.
    pub sink: Arc<dyn Sink>,
    /// Where it reads.
    pub journal: Journal,
    /// Where it counts.
    pub metrics: Metrics,
    /// Where it shows how far it is.
    pub standing: Arc<Standing>,
}

impl Dispatcher {
    /// Delivers until `stop`, and then on until the sink has everything or `give_up` comes. The cursor is saved
    /// before it returns.
    pub async fn run(self, stop: CancellationToken, give_up: CancellationToken) {
        // Counted from the start, so that a rate has something to begin with.
        ["ok", "retry", "rejected"].into_iter().for_each(|result| self.count(result, 0));
        let mut head = self.journal.head();
        let start = match self.config.from {
            StartAt::Start => 0,
            StartAt::Now => *head.borrow(),
        };
        let Some(begin) = self.insist(&give_up, || self.journal.cursor(&self.name, start)).await else {
            return;
        };
        let mut progress = Progress { cursor: begin, saved: begin, save_at: Instant::now() };
        self.standing.at(begin);
        loop {
            tokio::select! {
                biased;
                () = give_up.cancelled() => break,
                // The guard that `wait_for` gives must not live on: the writer would wait for it.
                grown = async { head.wait_for(|head| *head > progress.cursor).await.is_ok() } => {
                    if !grown {
                        break;
                    }
                    self.gather(&mut head, progress.cursor, &stop).await;
                    if !self.deliver_next(&mut progress, &give_up).await {
                        break;
                    }
                }
                () = sleep_until(progress.save_at), if progress.cursor > progress.saved => {}
                // The head is the cursor: there is nothing left to deliver.
                () = stop.cancelled() => break,
            }
            if progress.cursor > progress.saved && Instant::now() >= progress.save_at {
                self.save(&mut progress).await;
            }
        }
        self.save(&mut progress).await;
    }

    /// Waits a moment for the batch to fill up.
    async fn gather(&self, head: &mut watch::Receiver<Seq>, cursor: Seq, stop: &CancellationToken) {
        let full = i64::try_from(self.config.batch.get()).unwrap_or(Seq::MAX);
        tokio::select! {
            _ = async { head.wait_for(|head| head - cursor >= full).await.is_ok() } => {}
            () = sleep(GATHER) => {}
            () = stop.cancelled() => {}
        }
    }

    /// One batch, for as long as it takes. False when told to give up.
    async fn deliver_next(&self, progress: &mut Progress, give_up: &CancellationToken) -> bool {
        let limit = self.config.batch.get();
        let batch = self.insist(give_up, || self.journal.read_after(progress.cursor, limit)).await;
        let Some(batch) = batch else { return false };
        self.standing.waits(&batch);
        self.deliver(&batch, progress, give_up).await
    }

    async fn deliver(&self, batch: &[Stored], progress: &mut Progress, give_up: &CancellationToken) -> bool {
        let mut rest = batch;
        let mut backoff = Backoff::new();
        while !rest.is_empty() {
            let delivered = tokio::select! {
                delivered = self.sink.deliver(rest) => delivered,
                () = give_up.cancelled() => return false,
            };
            match delivered {
                Ok(()) => {
                    self.count("ok", rest.len());
                    rest = &[];
                }
                Err(DeliverError::Reject { at, why }) => {
                    let Some((refused, behind)) = rest.get(at..).and_then(<[Stored]>::split_first) else {
                        tracing::error!(sink = %self.name, at, "a sink refused a receipt that it was not given");
                        return false;
                    };
                    self.count("ok", at);
                    self.count("rejected", 1);
                    tracing::warn!(sink = %self.name, seq = refused.seq, reason = %why, "parked a receipt that the sink's destination refuses");
                    let (seq, reason) = (refused.seq, why.to_string());
                    let park = || self.journal.park(&self.name, seq, reason.clone(), clock::now());
                    if self.insist(give_up, park).await.is_none() {
                        return false;
                    }
                    self.metrics.dead_letters.with_label_values(&[&self.name]).inc();
                    rest = behind;
                }
                Err(DeliverError::Retry(error)) => {
                    self.count("retry", rest.len());
                    let wait = backoff.next();
                    tracing::warn!(sink = %self.name, %error, retry_in_ms = wait.as_millis(), "a delivery failed and will be tried again");
                    tokio::select! {
                        () = sleep(wait) => {}
                        () = give_up.cancelled() => return false,
                    }
                }
            }
            progress.cursor = match rest.first() {
                Some(next) => next.seq - 1,
                None => batch.last().map_or(progress.cursor, |last| last.seq),
            };
            self.standing.waits(rest);
            self.standing.at(progress.cursor);
        }
        true
    }

    async fn save(&self, progress: &mut Progress) {
        progress.save_at = Instant::now() + SAVE_EVERY;
        match self.journal.advance(&self.name, progress.cursor).await {
            Ok(()) => progress.saved = progress.cursor,
            Err(error) => tracing::warn!(sink = %self.name, %error, "a sink's cursor could not be saved"),
        }
    }

    /// Asks the journal until it answers; `None` when told to give up first.
    async fn insist<T, F>(&self, give_up: &CancellationToken, ask: impl Fn() -> F) -> Option<T>
    where
        F: Future<Output = Result<T, JournalError>>,
    {
        let mut backoff = Backoff::new();
        loop {
            match ask().await {
                Ok(answer) => return Some(answer),
                Err(error) => tracing::warn!(sink = %self.name, %error, "a sink waits for the journal"),
            }
            tokio::select! {
                () = sleep(backoff.next()) => {}
                () = give_up.cancelled() => return None,
            }
        }
    }

    fn count(&self, result: &str, receipts: usize) {
        self.metrics.sink_deliveries.with_label_values(&[&self.name, result]).inc_by(receipts as u64);
    }
}

/// How far a sink is, and how far the journal knows.
struct Progress {
    cursor: Seq,
    saved: Seq,
    save_at: Instant,
}

/// Waits that double up to an end, each shortened at random by up to a half, so that many do not come back at once.
struct Backoff(Duration);

impl Backoff {
    fn new() -> Self {
        Self(FIRST_BACKOFF)
    }

    fn next(&mut self) -> Duration {
        let wait = self.0;
        self.0 = (wait * 2).min(LONGEST_BACKOFF);
        let mut random = [0; 1];
        // Without randomness the full wait is as good.
        let shorter = getrandom::fill(&mut random).map_or(0, |()| u32::from(random[0]));
        wait - wait / 2 * shorter / 255
    }
}
