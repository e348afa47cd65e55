//! Walks behind the journal's head and brings the keeper what has come: a task of ordinary priority, because the
//! journal's memory is shared with the writer, who must never wait for somebody of lower priority that holds its lock.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::answer::StateError;
use super::keeper::{Done, Job, Progress, Spot};
use super::schema::Unfit;
use crate::backoff::Backoff;
use crate::journal::{Journal, Seq};

/// The most receipts of one transaction.
const BATCH: usize = 512;
/// Receipts that come within this time share a transaction, unless somebody asks for them.
const GATHER: Duration = Duration::from_millis(50);
/// While callers crowd at the journal, a step is followed by so many times as long a rest, unless somebody asks: cores share their
/// caches and the disk, and no priority changes that.
const CROWD_RESTS: u32 = 19;
/// How often what retention has forgotten is swept out, and the pause after each step of that.
const SWEEP_EVERY: Duration = Duration::from_secs(60 * 60);
const SWEEP_PAUSE: Duration = Duration::from_millis(20);

/// What an operator, or a question, can ask for.
pub(super) enum Order {
    /// Make the state again, and say of how many receipts.
    Rebuild(oneshot::Sender<Result<u64, StateError>>),
    /// A question has found the file damaged.
    Damaged,
}

/// The task that feeds the state.
pub struct Walker {
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) way: Way,
}

/// What the walker walks along.
pub(super) struct Way {
    pub(super) journal: Journal,
    pub(super) jobs: mpsc::Sender<Job>,
    /// The furthest position that a question waits for.
    pub(super) wanted: watch::Receiver<Seq>,
    pub(super) progress: watch::Receiver<Progress>,
}

/// A rebuild under way.
struct Rebuild {
    done: oneshot::Sender<Result<u64, StateError>>,
    /// Where it ends.
    target: Seq,
    receipts: u64,
}

/// A sweep through what rests on forgotten receipts.
#[derive(Default)]
struct Sweep {
    /// Up to where receipts are forgotten, and how far the sweep has come.
    under_way: Option<(Seq, Option<Spot>)>,
    /// The same of the last one that ended.
    swept: Seq,
}

impl Walker {
    /// Keeps the state up to date until `stop`. It ends at once: what is missing then is merged after the next start.
    pub async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.walk() => {}
        }
    }

    async fn walk(self) {
        let Self { mut orders, way } = self;
        way.open().await;
        let head = way.journal.head();
        let (mut rebuild, mut sweep) = (None, Sweep::default());
        let (mut sweep_at, mut next_at) = (Instant::now(), Instant::now());
        loop {
            tokio::select! {
                biased;
                Some(order) = orders.recv() => {
                    let target = *head.borrow();
                    way.follow(order, &mut rebuild, target).await;
                    way.account(&mut rebuild, 0);
                }
                newest = way.ready(head.clone(), next_at) => {
                    let Some(newest) = newest else { return };
                    let begun = Instant::now();
                    let taken = way.step(newest).await;
                    way.account(&mut rebuild, taken);
                    next_at = Instant::now() + way.rest(taken, begun.elapsed());
                }
                () = sleep_until(sweep_at) => {
                    let more = way.sweep(&mut sweep).await;
                    sweep_at = Instant::now() + if more { SWEEP_PAUSE } else { SWEEP_EVERY };
                }
            }
        }
    }
}

impl Way {
    fn cursor(&self) -> Seq {
        self.progress.borrow().cursor
    }

    /// Opens the file, and makes sure that it is this journal's.
    async fn open(&self) {
        // A journal that will never be open ends the process.
        let _is_open = self.journal.opened().await;
        let journal = self.insist(|| self.journal.identity()).await;
        let head = *self.journal.head().borrow();
        self.insist(|| self.ask(move |done| Job::Open { journal, head, done })).await;
        let Progress { cursor, last, open, .. } = self.progress.borrow().clone();
        if open {
            return;
        }
        let found = self.insist(|| self.journal.read_after(cursor - 1, 1)).await;
        let other = found.first().is_some_and(|found| found.seq == cursor && found.id() != Some(&last));
        if cursor > 0 && other {
            let why = "the journal has another receipt where it ended";
            self.insist(|| self.ask(move |done| Job::Clear { why, done })).await;
            return;
        }
        self.insist(|| self.ask(|done| Job::Trust { done })).await;
        let forgotten = self.insist(|| self.journal.forgotten()).await;
        if cursor > 0 && cursor < forgotten {
            let receipts = forgotten - cursor;
            tracing::warn!(receipts, "retention has forgotten receipts that never came into the read state");
        }
    }

    /// Waits until there is something new and its time has come. Gives the newest position; `None` when the journal has
    /// ended.
    async fn ready(&self, mut head: watch::Receiver<Seq>, next_at: Instant) -> Option<Seq> {
        let cursor = self.cursor();
        // The guard that `wait_for` gives must not live on: the writer would wait for it.
        head.wait_for(|head| *head > cursor).await.ok()?;
        let mut wanted = self.wanted.clone();
        tokio::select! {
            () = sleep_until(next_at) => {}
            _ = async { wanted.wait_for(|wanted| *wanted > cursor).await.is_ok() } => {}
        }
        let newest = *head.borrow();
        Some(newest)
    }

    /// How long to leave the machine to others, after a step that took so many receipts and so long.
    fn rest(&self, taken: usize, took: Duration) -> Duration {
        if self.journal.is_crowded() {
            (took * CROWD_RESTS).max(GATHER)
        } else if taken < BATCH {
            GATHER
        } else {
            Duration::ZERO
        }
    }

    /// Merges the next receipts, up to the newest at most. Gives how many.
    async fn step(&self, newest: Seq) -> usize {
        let cursor = self.cursor();
        let read = self.insist(|| self.journal.read_after(cursor, BATCH)).await;
        // Where retention has been faster there is nothing to read, and the state is as far as it can be.
        let through = read.last().map_or(newest, |receipt| receipt.seq);
        self.insist(|| {
            let batch = read.clone();
            self.ask(move |done| Job::Apply { from: cursor, batch, through, done })
        })
        .await;
        read.len()
    }

    async fn follow(&self, order: Order, rebuild: &mut Option<Rebuild>, target: Seq) {
        match order {
            Order::Rebuild(done) if rebuild.is_some() => {
                let _gone = done.send(Err(StateError::Busy));
            }
            Order::Rebuild(done) => {
                let why = "an operator's order";
                match self.ask(move |done| Job::Clear { why, done }).await {
                    Ok(()) => *rebuild = Some(Rebuild { done, target, receipts: 0 }),
                    Err(error) => {
                        let _gone = done.send(Err(StateError::Read(error.to_string())));
                    }
                }
            }
            Order::Damaged => self.insist(|| self.ask(|done| Job::Remake { done })).await,
        }
    }

    /// Counts what a rebuild has merged, and ends it when it is where the head was.
    fn account(&self, rebuild: &mut Option<Rebuild>, taken: usize) {
        let Some(under_way) = rebuild else { return };
        under_way.receipts += taken as u64;
        if self.cursor() >= under_way.target
            && let Some(Rebuild { done, receipts, .. }) = rebuild.take()
        {
            tracing::info!(receipts, "the read state is rebuilt");
            let _gone = done.send(Ok(receipts));
        }
    }

    /// One step. Whether there is another.
    async fn sweep(&self, sweep: &mut Sweep) -> bool {
        let (forgotten, behind) = match sweep.under_way.take() {
            Some(under_way) => under_way,
            None => match self.journal.forgotten().await {
                Ok(forgotten) if forgotten > sweep.swept => (forgotten, None),
                // An error comes again with the next sweep, or somewhere that matters more.
                Ok(_) | Err(_) => return false,
            },
        };
        match self.ask(move |done| Job::Sweep { forgotten, behind, done }).await {
            Ok(None) => sweep.swept = forgotten,
            Ok(Some(spot)) => sweep.under_way = Some((forgotten, Some(spot))),
            Err(error) => tracing::warn!(%error, "the read state could not be swept"),
        }
        sweep.under_way.is_some()
    }

    async fn ask<T>(&self, job: impl FnOnce(Done<T>) -> Job) -> Result<T, Unfit> {
        let (done, answer) = oneshot::channel();
        let ended = || Unfit::Failed("its thread has ended".to_owned());
        self.jobs.send(job(done)).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    /// Tries until it succeeds: a disk that is full now may have room later, and the journal keeps what is missing.
    async fn insist<T, E, F>(&self, work: impl Fn() -> F) -> T
    where
        F: Future<Output = Result<T, E>>,
        E: std::fmt::Display,
    {
        let mut backoff = Backoff::patient();
        loop {
            match work().await {
                Ok(value) => return value,
                Err(error) => tracing::warn!(%error, "the read state stands still"),
            }
            sleep(backoff.wait()).await;
        }
    }
}
