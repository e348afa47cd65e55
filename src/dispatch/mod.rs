//! From the journal to the sinks: one task each, with its own cursor, its own retries and its own dead letters, so
//! that no sink ever waits for another and no vendor for any.

mod attempt;
mod errand;
mod order;
mod rewind;
mod standing;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

pub(crate) use attempt::causes;
pub use order::{Command, Handle, LetterFilter, OrderError, Orders, Report, Selection};
pub use standing::{Failure, Lost, PauseCause, Standing};

use crate::backoff::Backoff;
use crate::clock;
use crate::config::{SinkConfig, StartAt};
use crate::journal::{Journal, JournalError, Seq};
use crate::metrics::Metrics;
use crate::sink::Sink;
use attempt::Remedy;
use order::Order;
use rewind::Trail;

/// A cursor is saved at most this often: each save is an fsync that commits would have to share. After a crash a sink
/// sees again what it got in that time.
const SAVE_EVERY: Duration = Duration::from_millis(200);

/// How long a batch that is not full waits for company. Without it a sink that syncs would take every second turn on the
/// disk, and commits, for which vendors wait, the other.
const GATHER: Duration = Duration::from_millis(10);

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
    /// Where it shows how it is doing.
    pub standing: Arc<Standing>,
}

/// How far a sink is, how far the journal knows, and when it may go on.
struct Progress {
    cursor: Seq,
    saved: Seq,
    save_at: Instant,
    /// After a failure, not before this.
    try_at: Instant,
    backoff: Backoff,
    /// What was delivered lately.
    trail: Trail,
}

impl Progress {
    fn is_unsaved(&self) -> bool {
        self.cursor != self.saved
    }
}

impl Dispatcher {
    /// A handle by which this sink can be looked at and told what to do, and where its task hears it.
    pub fn handle(&self) -> (Handle, Orders) {
        Handle::new(self.standing.clone())
    }

    /// Delivers until `stop`, and then on until the sink has everything or `give_up` comes. Between two batches it does what
    /// an operator orders. The cursor is saved before it returns.
    pub async fn run(self, mut orders: Orders, stop: CancellationToken, give_up: CancellationToken) {
        // Counted from the start, so that a rate has something to begin with.
        ["ok", "retry", "rejected"].into_iter().for_each(|result| self.count(result, 0));
        let Some(mut progress) = self.begin(&give_up).await else { return };
        let mut head = self.journal.head();
        loop {
            let paused = self.standing.is_paused();
            let behind = *head.borrow() > progress.cursor && !paused;
            let unsaved = progress.is_unsaved();
            tokio::select! {
                biased;
                () = give_up.cancelled() => break,
                Some(order) = orders.next() => self.follow(order, &mut progress, &give_up).await,
                () = sleep_until(progress.save_at), if unsaved => self.save(&mut progress).await,
                ready = self.ready(&mut head, &progress, &stop), if !paused => {
                    if !ready || !self.deliver_next(&mut progress, &give_up).await {
                        break;
                    }
                }
                // There is nothing left to deliver.
                () = stop.cancelled(), if !behind => break,
            }
        }
        if progress.is_unsaved() {
            self.save(&mut progress).await;
        }
    }

    /// Does what an operator orders. Whoever asked may have gone; it is done all the same.
    async fn follow(&self, order: Order, progress: &mut Progress, give_up: &CancellationToken) {
        let Order { what, done } = order;
        tracing::info!(sink = %self.name, order = %what, "an operator's order");
        let came_of_it = match what {
            Command::Pause => self.pause(Some(PauseCause::Operator)).await,
            Command::Resume => {
                self.try_now(progress);
                self.pause(None).await
            }
            Command::TryNow => {
                self.try_now(progress);
                Ok(Report::default())
            }
            Command::Redrive(which) => self.redrive(&which, give_up).await,
            Command::Discard(which) => self.discard(&which).await,
            Command::Replay(selection) => self.replay(selection, progress.cursor, give_up).await,
        };
        let _gone = done.send(came_of_it);
    }

    async fn pause(&self, cause: Option<PauseCause>) -> Result<Report, OrderError> {
        let written = self.journal.pause(&self.name, PauseCause::to_mark(cause)).await;
        written.map_err(|error| OrderError::Journal(error.to_string()))?;
        self.standing.pause(cause);
        Ok(Report::default())
    }

    /// Ends any wait for the next try, however long the destination has asked for.
    fn try_now(&self, progress: &mut Progress) {
        progress.try_at = Instant::now();
        progress.backoff = Backoff::patient();
        self.standing.tries_at(0);
    }

    async fn begin(&self, give_up: &CancellationToken) -> Option<Progress> {
        // Where "now" is, is known once the journal is open.
        tokio::select! {
            is_open = self.journal.opened() => if !is_open { return None },
            () = give_up.cancelled() => return None,
        }
        let start = match self.config.from {
            StartAt::Start => 0,
            StartAt::Now => *self.journal.head().borrow(),
        };
        let cursor = self.insist(give_up, || self.journal.cursor(&self.name, start)).await?;
        let paused = self.insist(give_up, || self.journal.paused(&self.name)).await?;
        let paused = PauseCause::from_mark(paused);
        let let_go = self.insist(give_up, || self.journal.let_go(&self.name)).await?;
        self.insist(give_up, || self.count_dead_letters()).await?;
        let forgotten = self.insist(give_up, || self.journal.forgotten()).await?;
        if cursor > 0 && cursor < forgotten {
            tracing::warn!(
                sink = %self.name,
                receipts = forgotten - cursor,
                "retention has forgotten receipts that this sink has not had: it was not configured for a while"
            );
        }
        if let Some(cause) = paused {
            let cause = cause.as_str();
            tracing::warn!(sink = %self.name, cause, "this sink is paused; resume it when its destination is fit");
        }
        if let Some((range, total)) = let_go {
            self.standing.set_let_go(Lost { from: range.from, to: range.to, total });
        }
        self.standing.at(cursor);
        self.standing.pause(paused);
        let now = Instant::now();
        let (backoff, trail) = (Backoff::patient(), Trail::default());
        Some(Progress { cursor, saved: cursor, save_at: now, try_at: now, backoff, trail })
    }

    /// Waits until there is something to deliver and it may be tried, and then a moment for the batch to fill up. False when
    /// the journal has ended.
    async fn ready(
        &self,
        head: &mut watch::Receiver<Seq>,
        progress: &Progress,
        stop: &CancellationToken,
    ) -> bool {
        sleep_until(progress.try_at).await;
        // The guard that `wait_for` gives must not live on: the writer would wait for it.
        if head.wait_for(|head| *head > progress.cursor).await.is_err() {
            return false;
        }
        let full = i64::try_from(self.config.batch.get()).unwrap_or(Seq::MAX);
        tokio::select! {
            _ = async { head.wait_for(|head| head - progress.cursor >= full).await.is_ok() } => {}
            () = sleep(GATHER) => {}
            () = stop.cancelled() => {}
        }
        true
    }

    /// Tries the next batch, once. False when told to give up.
    async fn deliver_next(&self, progress: &mut Progress, give_up: &CancellationToken) -> bool {
        let limit = self.config.batch.get();
        let batch = self.insist(give_up, || self.journal.read_after(progress.cursor, limit)).await;
        let Some(batch) = batch else { return false };
        self.standing.waits(&batch);
        let Some(tried) = self.try_once(&batch, give_up).await else { return false };
        if tried.settled() > 0 || tried.failure.is_none() {
            progress.backoff = Backoff::patient();
        }
        if tried.settled() > 0 {
            progress.trail.passed(progress.cursor);
        }
        let mut rewind = None;
        if let Some(failure) = &tried.failure {
            match failure.remedy {
                Remedy::TryAgain(leave_alone) => {
                    let wait = progress.backoff.wait().max(leave_alone);
                    progress.try_at = Instant::now() + wait;
                    let retry_in_ms = wait.as_millis();
                    let millis = i64::try_from(retry_in_ms).unwrap_or(i64::MAX);
                    self.standing.tries_at(clock::now().as_millis().saturating_add(millis));
                    tracing::warn!(sink = %self.name, error = %failure.why, retry_in_ms, "a delivery failed and will be tried again");
                }
                Remedy::Rewind(within) => {
                    rewind = progress.trail.before(within);
                    let again = rewind.map_or(0, |to| progress.cursor - to);
                    tracing::warn!(sink = %self.name, error = %failure.why, again, "the destination has lost what it had; what was delivered shortly before is delivered again");
                }
                Remedy::Resume => {}
            }
        }
        if let Some(to) = rewind {
            progress.cursor = to;
            progress.trail = Trail::default();
            self.standing.at(to);
            // At once: a restart must not go on where the destination was before it lost something.
            self.save(progress).await;
            return true;
        }
        progress.cursor = match batch.get(tried.settled()) {
            Some(next) => next.seq - 1,
            None => batch.last().map_or(progress.cursor, |last| last.seq),
        };
        self.standing.waits(batch.get(tried.settled()..).unwrap_or_default());
        self.standing.at(progress.cursor);
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
        let mut backoff = Backoff::patient();
        loop {
            match ask().await {
                Ok(answer) => return Some(answer),
                Err(error) => tracing::warn!(sink = %self.name, %error, "a sink waits for the journal"),
            }
            tokio::select! {
                () = sleep(backoff.wait()) => {}
                () = give_up.cancelled() => return None,
            }
        }
    }
}
