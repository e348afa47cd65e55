//! The quarantine's thread: takes what waits into one transaction, and syncs it when a vendor or an operator waits for
//! that. When the file fails it says so, turns everybody away at once, and tries again by itself.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::aside::set_aside;
#[cfg(target_os = "linux")]
use super::aside::with;
use super::queue::{Batch, Job, Next, Order, Queue};
use super::shares::Denied;
use super::store::{Store, Trouble};
use super::{Class, NotHidden, QuarantineError};
use crate::clock;
use crate::config::QuarantineConfig;
use crate::log_limit::LogLimit;
use crate::metrics::Metrics;

/// The outcome of which nothing is kept unless it was hidden.
const UNAVAILABLE: &str = "unavailable";

/// How long a file that failed is left alone.
const REST: Duration = Duration::from_secs(1);

/// What the thread shares with everybody else.
pub(super) struct Shared {
    pub(super) queue: Queue,
    /// Whether the last write succeeded.
    pub(super) takes_writes: AtomicBool,
    /// How many hidden callbacks wait for the journal.
    pub(super) waiting: watch::Sender<u64>,
    /// Held while somebody reads the file, and for writing while all handles of it must be closed.
    pub(super) gate: RwLock<()>,
}

pub(super) struct Writer {
    path: PathBuf,
    config: QuarantineConfig,
    metrics: Metrics,
    shared: Arc<Shared>,
    store: Option<Store>,
    /// When to try again what failed.
    retry_at: Option<Instant>,
    /// Whether the page cache may hold what the disk does not.
    doubtful: bool,
    /// Hidden callbacks whose caller was gone before the sync: the true status was answered.
    demote: Vec<i64>,
    /// What was logged last, so that a disk that stays full is reported once.
    reported: Option<String>,
    lost: LogLimit,
}

impl Writer {
    /// Opens the file. Nothing that is wrong with it prevents a start.
    pub(super) fn start(
        path: PathBuf,
        config: QuarantineConfig,
        metrics: Metrics,
        shared: Arc<Shared>,
    ) -> Self {
        let (demote, reported, lost) = (Vec::new(), None, LogLimit::default());
        let mut writer = Self {
            path,
            config,
            metrics,
            shared,
            store: None,
            retry_at: None,
            doubtful: false,
            demote,
            reported,
            lost,
        };
        writer.open();
        writer
    }

    /// Works until the queue is closed.
    pub(super) fn run(mut self) {
        loop {
            let at_most = self.retry_at.map(|at| at.saturating_duration_since(Instant::now()));
            let Next::Batch(batch) = self.shared.queue.next(at_most) else { break };
            self.try_again();
            if !batch.is_empty() || !self.demote.is_empty() {
                self.take(batch);
            }
        }
        if let Some(mut store) = self.store.take()
            && let Err(error) = store.empty_wal()
        {
            tracing::warn!(%error, "the quarantine keeps its -wal file; the next start reads it");
        }
    }

    fn take(&mut self, mut batch: Batch) {
        let Some(store) = self.store.as_mut().filter(|_| self.retry_at.is_none()) else {
            return self.turn_away(batch);
        };
        match write(store, &mut batch, &self.demote) {
            Ok(written) => {
                self.demote.clear();
                self.metrics.quarantine_lost.inc_by(written.too_large);
                // Counted before anybody is answered, so that who was answered finds it counted.
                let published = self.publish();
                self.keep_promises(batch, written);
                self.works(published);
            }
            Err(error) => {
                self.failed(error);
                self.turn_away(batch);
            }
        }
    }

    /// Answers those that wait; the transaction is on the disk.
    fn keep_promises(&mut self, batch: Batch, written: Written) {
        for (job, kept) in batch.jobs.into_iter().zip(written.kept) {
            let Some(done) = job.done else { continue };
            if done.send(kept.result).is_err() && kept.result.is_ok() {
                self.demote.extend(kept.id);
            }
        }
        for (_, done) in batch.orders {
            // Whoever asked may have gone.
            let _gone = done.send(Ok(()));
        }
    }

    /// Nothing of it is kept.
    fn turn_away(&mut self, batch: Batch) {
        let lost = batch.jobs.len() as u64;
        self.metrics.quarantine_lost.inc_by(lost);
        if lost > 0
            && let Some(suppressed) = self.lost.admit()
        {
            tracing::warn!(callbacks = lost, suppressed, "callbacks could not be kept in quarantine");
        }
        for done in batch.jobs.into_iter().filter_map(|job| job.done) {
            let _gone = done.send(Err(NotHidden::Failed));
        }
        let why = self.reported.clone().unwrap_or_else(|| "it cannot be written".to_owned());
        for (_, done) in batch.orders {
            let _gone = done.send(Err(QuarantineError::new(why.clone())));
        }
    }

    /// After a write or a checkpoint that failed.
    fn failed(&mut self, error: Trouble) {
        self.report(&error);
        let error = match error {
            // The file is as it was, if the transaction can be taken back.
            Trouble::Refused(why) => {
                let rolled_back = self.store.as_mut().map_or(Ok(()), Store::roll_back);
                match rolled_back {
                    Ok(()) => Trouble::Refused(why),
                    Err(Trouble::Refused(why) | Trouble::Doubtful(why)) => Trouble::Doubtful(why),
                    Err(Trouble::Broken(why)) => Trouble::Broken(why),
                }
            }
            Trouble::Doubtful(why) => Trouble::Doubtful(why),
            Trouble::Broken(why) => Trouble::Broken(why),
        };
        match error {
            Trouble::Refused(_) => {}
            Trouble::Doubtful(_) => {
                self.store = None;
                self.doubtful = true;
            }
            Trouble::Broken(why) => {
                self.store = None;
                self.aside(&why);
            }
        }
        self.rest();
    }

    /// Tries whether the file works again, once its rest is over.
    fn try_again(&mut self) {
        if self.retry_at.is_none_or(|at| at > Instant::now()) {
            return;
        }
        self.retry_at = None;
        match &mut self.store {
            None => self.open(),
            Some(store) => match store.try_write() {
                Ok(()) => self.works(self.publish()),
                Err(error) => self.failed(error),
            },
        }
    }

    fn open(&mut self) {
        let shared = self.shared.clone();
        // Nobody of this process has a handle now: the index of the WAL is made anew from what it holds.
        let _all = shared.gate.write().unwrap_or_else(PoisonError::into_inner);
        if self.doubtful && held_elsewhere(&self.path) {
            let why = "a sync failed, and another process still holds the file: end it";
            self.report(&Trouble::Doubtful(why.to_owned()));
            return self.rest();
        }
        let mut opened = Store::open(&self.path, &self.config);
        if let Err(Trouble::Broken(why)) = &opened
            && self.aside(&why.clone())
        {
            opened = Store::open(&self.path, &self.config);
        }
        match opened {
            Ok(store) => {
                self.doubtful = false;
                self.demote.clear();
                self.store = Some(store);
                self.works(self.publish());
            }
            Err(error) => {
                self.report(&error);
                self.rest();
            }
        }
    }

    /// Puts a file aside that is no quarantine. True when a new one can take its place.
    fn aside(&mut self, why: &str) -> bool {
        match set_aside(&self.path, clock::now()) {
            Ok(aside) => {
                tracing::error!(
                    why,
                    aside = %aside.display(),
                    "`{}` cannot be used as the quarantine: it was set aside, and a new one begins",
                    self.path.display()
                );
                self.doubtful = false;
                true
            }
            Err(error) => {
                self.report(&Trouble::Broken(format!("{why}; it cannot be set aside: {error}")));
                false
            }
        }
    }

    fn rest(&mut self) {
        self.retry_at = Some(Instant::now() + REST);
        self.shared.takes_writes.store(false, Ordering::Relaxed);
        self.metrics.quarantine_takes_writes.set(0);
    }

    /// Says how much is held.
    fn publish(&self) -> Result<(), Trouble> {
        let Some(store) = &self.store else { return Ok(()) };
        let waiting = store.waiting()?;
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let held = Class::ALL.map(|class| store.held(class));
        self.metrics.quarantine_entries.set(gauge(held.iter().sum()));
        for (class, held) in Class::ALL.into_iter().zip(held) {
            self.metrics.quarantine_class_entries.with_label_values(&[class.as_str()]).set(gauge(held));
        }
        self.shared.waiting.send_if_modified(|known| std::mem::replace(known, waiting) != waiting);
        Ok(())
    }

    /// After something that went well, and the look at what is held: keeps the WAL short.
    fn works(&mut self, published: Result<(), Trouble>) {
        let Some(store) = &mut self.store else { return };
        if let Err(error) = published.and_then(|()| store.checkpoint_when_due()) {
            return self.failed(error);
        }
        self.metrics.quarantine_takes_writes.set(1);
        self.shared.takes_writes.store(true, Ordering::Relaxed);
        if self.reported.take().is_some() {
            tracing::info!("the quarantine takes callbacks again");
        }
    }

    fn report(&mut self, error: &Trouble) {
        let why = error.to_string();
        if self.reported.as_ref() != Some(&why) {
            tracing::error!(
                error = %why,
                "the quarantine `{}` cannot be used now: callbacks that cannot be used are not kept, the ban guard hides \
                 none, and it is tried again every second",
                self.path.display()
            );
            self.reported = Some(why);
        }
    }
}

/// What became of a batch.
struct Written {
    /// One for each job.
    kept: Vec<Kept>,
    too_large: u64,
}

struct Kept {
    id: Option<i64>,
    result: Result<(), NotHidden>,
}

/// One transaction. It is synced when somebody waits for it; then everything before it is on the disk, too.
fn write(store: &mut Store, batch: &mut Batch, demote: &[i64]) -> Result<Written, Trouble> {
    let waited_for = |job: &Job| job.done.as_ref().is_some_and(|done| !done.is_closed());
    // What will not be hidden needs no sync: who has filled his share costs no more than other junk.
    let hides = |job: &Job| waited_for(job) && store.admits_hidden(&job.suspect).is_ok();
    let synced = !batch.orders.is_empty() || batch.jobs.iter().any(hides);
    store.begin(synced)?;
    for id in demote {
        store.demote(*id)?;
    }
    let mut written = Written { kept: Vec::with_capacity(batch.jobs.len()), too_large: 0 };
    for job in &batch.jobs {
        let hidden = match job.class {
            // Who has gone was told the true status.
            Class::Hidden if !waited_for(job) => Err(NotHidden::Slow),
            // Whoever has gone since then may have made room, but nothing is synced.
            Class::Hidden if !synced => Err(NotHidden::Full),
            Class::Hidden => store.admits_hidden(&job.suspect).map_err(|denied| match denied {
                Denied::Full => NotHidden::Full,
                Denied::Client => NotHidden::Client,
            }),
            Class::App | Class::Other => Ok(()),
        };
        if hidden.is_err() && job.suspect.outcome == UNAVAILABLE {
            // The vendor was told so, and comes again.
            written.kept.push(Kept { id: None, result: hidden });
            continue;
        }
        let class = if hidden.is_err() { Class::App } else { job.class };
        let id = store.insert(class, &job.suspect)?;
        written.too_large += u64::from(id.is_none());
        written.kept.push(Kept { id, result: if id.is_none() { Err(NotHidden::Full) } else { hidden } });
    }
    for (order, _) in &batch.orders {
        match order {
            Order::Release(entries) => store.remove(entries)?,
            Order::Settle { id, outcome, reason } => store.settle(*id, outcome, reason)?,
        }
    }
    store.commit()?;
    Ok(written)
}

/// Whether another process has the file open: its part of the WAL's index would outlive ours.
#[cfg(target_os = "linux")]
fn held_elsewhere(path: &Path) -> bool {
    use rustix::fs::{FlockOperation, fcntl_lock};
    let Ok(index) = std::fs::OpenOptions::new().read(true).write(true).open(with(path, "-shm")) else {
        return false;
    };
    fcntl_lock(&index, FlockOperation::NonBlockingLockExclusive).is_err()
}

/// Elsewhere nobody tells.
#[cfg(not(target_os = "linux"))]
fn held_elsewhere(_: &Path) -> bool {
    false
}
