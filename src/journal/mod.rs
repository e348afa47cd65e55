//! The journal: every accepted receipt on disk, once, in the order of arrival; how far each sink has read; and the
//! receipts that a destination refused. An embedded SQLite file with one writer thread, and nothing of HTTP,
//! vendors or sinks. (This file is long because it is the journal's whole door: a method for each thing that can be
//! asked of it, most of them their promises.)

mod archive;
mod awake;
mod backup;
mod checkpoint;
mod condition;
mod entry;
mod error;
mod gather;
mod held;
mod ids;
mod job;
mod location;
mod lock;
mod open;
mod pressure;
mod read;
mod recovery;
mod reopen;
mod repeat;
mod reserve;
mod restore;
mod schema;
mod side_files;
mod statements;
mod tail;
mod trouble;
mod upkeep;
mod verify;
mod writable;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

pub use archive::Archive;
pub use backup::{Backup, BackupError, Copied};
pub use entry::{Committed, DeadLetter, Entries, Entry, Holder, LetGo, Letters, Parked, Pruned, Stored};
pub use error::{Hazard, JournalError, OpenError};
pub use open::{Probe, probe, resolved};
pub use read::{Order, Page, Scan};
pub use restore::{RestoreError, Restored, restore};
pub use verify::{Problems, Verification, Verified, tables};
pub use writable::writable;

use crate::config::JournalConfig;
use crate::log_limit::LogLimit;
use crate::metrics::Metrics;
use crate::receipt::Timestamp;
use awake::Awake;
use condition::{Condition, Phase};
use gather::Gather;
use job::Job;
use lock::Lock;
use open::Opened;
use pressure::Pressure;
use reopen::Place;
use reserve::Reserve;
use tail::Tail;
use upkeep::let_go_marks;
use writer::Writer;

/// The position of a receipt in the journal: from 1, without gaps, never used twice.
pub type Seq = i64;

/// The mark that holds how far retention has come.
const PRUNED_MARK: &str = "pruned";
/// The mark that holds the time that retention goes by.
const WATERMARK_MARK: &str = "retention_watermark";
/// The mark that tells this journal from every other one.
const IDENTITY_MARK: &str = "identity";

fn paused_mark(sink: &str) -> String {
    format!("paused/{sink}")
}

/// How many requests may wait for the writer. More are turned away at once: the vendor hears `unavailable`.
const QUEUED_JOBS: usize = 8_192;
/// How many bytes of receipts may wait for the writer.
const QUEUED_BYTES: usize = 64 << 20;

/// Where the writer's answer comes.
type Answer<T> = oneshot::Receiver<Result<T, JournalError>>;

/// A handle on the journal; clones share it.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
}

struct Shared {
    jobs: mpsc::Sender<Job>,
    queued_bytes: Arc<AtomicUsize>,
    pressure: Arc<Pressure>,
    awake: Awake,
    head: watch::Receiver<Seq>,
    condition: Arc<Condition>,
    readers: Arc<read::Readers>,
    tail: Arc<Tail>,
    path: PathBuf,
    // Behind `jobs`: that is dropped first, and then the writer ends.
    thread: WriterThread,
    // Last: the lock on the file goes when the last handle and the writer have gone, after every connection.
    _lock: Slot<Arc<Lock>>,
}

/// The writer's thread. Dropped, it is waited for: when the last handle has gone, the files are closed and the lock is released.
struct WriterThread(Mutex<Option<JoinHandle<()>>>);

impl WriterThread {
    fn take(&self) -> Option<JoinHandle<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for WriterThread {
    fn drop(&mut self) {
        if self.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the journal's writer ended in a panic");
        }
    }
}

/// Something that is there once the journal has been opened.
type Slot<T> = Arc<OnceLock<T>>;

impl Journal {
    /// Opens the journal, makes it if there is none, and brings an older one up to date. What its log holds is moved into the
    /// file before anything is appended.
    ///
    /// # Errors
    /// When another process holds it, when it is newer than this program, damaged, or no journal at all. Nothing is
    /// overwritten then. Also when the disk would not take a write.
    pub fn open(config: &JournalConfig, metrics: &Metrics) -> Result<Self, OpenError> {
        let (lock, opened) = open::open(&config.path, metrics)?;
        Self::with(config, metrics, None, Ok((lock, opened)))
    }

    /// The same for a service, which goes on when the disk is full or read-only, or while another process has the log's index
    /// open: everything that is asked of the journal then fails at once, until it could be opened. It has a reserve for
    /// a full disk, if one is configured.
    ///
    /// # Errors
    /// All others.
    pub fn start(config: &JournalConfig, metrics: &Metrics) -> Result<Self, OpenError> {
        let reserve = Reserve::start(&open::resolved(&config.path), config.reserve_bytes, metrics);
        match open::open(&config.path, metrics) {
            Ok(opened) => Self::with(config, metrics, reserve, Ok(opened)),
            Err(error) if reopen::can_wait(&config.path, &error) => {
                let why = causes(&error);
                tracing::error!(error = %why, "the journal cannot be opened yet: callbacks are answered `unavailable` until it can");
                Self::with(config, metrics, reserve, Err(why))
            }
            Err(error) => Err(error),
        }
    }

    fn with(
        config: &JournalConfig,
        metrics: &Metrics,
        reserve: Option<Reserve>,
        opened: Result<(Arc<Lock>, Opened), String>,
    ) -> Result<Self, OpenError> {
        let path = match &opened {
            Ok((lock, _)) => lock.location().path.clone(),
            Err(_) => open::resolved(&config.path),
        };
        let slot = Slot::<Arc<Lock>>::default();
        let (opened, why) = match opened {
            Ok((lock, opened)) => {
                // It was empty.
                let _first = slot.set(lock);
                (Some(opened), None)
            }
            Err(why) => (None, Some(why)),
        };
        let (jobs, queue) = mpsc::channel(QUEUED_JOBS);
        let (head_sender, head) = watch::channel(opened.as_ref().map_or(0, |opened| opened.head));
        let condition = Arc::new(Condition::new());
        let readers = Arc::new(read::Readers::new(path.clone()));
        if let Some(opened) = &opened {
            condition.enter(Phase::Open);
            condition.wrote(opened.ids.is_whole());
            readers.open();
        }
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let (tail, pressure) = (Arc::new(Tail::default()), Arc::new(Pressure::new()));
        let writer = Writer {
            queue: Gather::new(queue),
            jobs: jobs.downgrade(),
            queued_bytes: queued_bytes.clone(),
            pressure: pressure.clone(),
            head: head_sender,
            tail: tail.clone(),
            condition: condition.clone(),
            readers: readers.clone(),
            metrics: metrics.clone(),
            log: LogLimit::default(),
            reserve,
            place: Place { path: config.path.clone(), lock: slot.clone() },
        };
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run(opened, why))
            .map_err(|source| OpenError::Io { path: path.clone(), source })?;
        Ok(Self {
            shared: Arc::new(Shared {
                jobs,
                queued_bytes,
                pressure,
                awake: Awake::default(),
                head,
                condition,
                readers,
                tail,
                path,
                thread: WriterThread(Mutex::new(Some(thread))),
                _lock: slot,
            }),
        })
    }

    /// Stores what is new of the entries, all or none. Returns when they are on disk.
    ///
    /// Idempotent by id. Cancel safe: the writer owns the write, so a caller who goes away changes nothing.
    ///
    /// # Errors
    /// When the disk would not take them (the same entries may be tried again), or too much is waiting already.
    pub async fn commit(&self, entries: Entries) -> Result<Committed, JournalError> {
        self.commit_within(Duration::MAX, entries).await
    }

    /// The same for a caller who will not wait for longer than `patience`. The entries are handed over at once, not when the
    /// future is first polled.
    ///
    /// # Errors
    /// Also, and at once, when it is to be expected that it would take longer: [`JournalError::Overloaded`].
    pub fn commit_within(
        &self,
        patience: Duration,
        entries: Entries,
    ) -> impl Future<Output = Result<Committed, JournalError>> + Send + use<> {
        let queued = self.queue(patience, entries);
        let Shared { pressure, awake, .. } = &*self.shared;
        let place = if pressure.is_crowded() { None } else { awake.place(pressure.a_turn_takes()) };
        awake::answer(queued.unwrap_or_else(refused), place)
    }

    /// Puts entries into the writer's queue; what comes back tells what became of them.
    fn queue(&self, patience: Duration, entries: Entries) -> Result<Answer<Committed>, JournalError> {
        if !self.shared.condition.is_open() {
            return Err(self.not_open());
        }
        let queued = self.shared.jobs.max_capacity() - self.shared.jobs.capacity();
        if !self.shared.pressure.bears(queued, patience) {
            return Err(JournalError::Overloaded);
        }
        let bytes = entries.iter().map(Entry::weight).sum();
        if self.shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed) > QUEUED_BYTES {
            self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(JournalError::Overloaded);
        }
        let (done, committed) = oneshot::channel();
        if let Err(refused) = self.shared.jobs.try_send(Job::Commit { entries, bytes, done }) {
            self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(match refused {
                mpsc::error::TrySendError::Full(_) => JournalError::Overloaded,
                mpsc::error::TrySendError::Closed(_) => JournalError::Closed,
            });
        }
        Ok(committed)
    }

    /// Where a sink goes on: behind this receipt. A sink that the journal has not met begins at `otherwise`.
    ///
    /// # Errors
    /// When the disk would not take the new cursor.
    pub async fn cursor(&self, sink: &str, otherwise: Seq) -> Result<Seq, JournalError> {
        let sink = sink.to_owned();
        self.ask(|done| Job::Cursor { sink, otherwise, done }).await
    }

    /// Remembers that a sink has everything up to and including this receipt. On disk when it returns.
    ///
    /// # Errors
    /// When the disk would not take it; the sink will then see some receipts again.
    pub async fn advance(&self, sink: &str, to: Seq) -> Result<(), JournalError> {
        let sink = sink.to_owned();
        self.ask(|done| Job::Advance { sink, to, done }).await
    }

    /// Puts receipts that a destination refused for good among that sink's dead letters, in their order and for as long as
    /// there is `capacity` for new ones; those that are there already get the new time and reason.
    ///
    /// # Errors
    /// When the disk would not take it. None of them is then parked.
    pub async fn park(
        &self,
        sink: &str,
        receipts: Vec<Stored>,
        reason: String,
        at: Timestamp,
        capacity: Letters,
    ) -> Result<Parked, JournalError> {
        let sink = sink.to_owned();
        self.ask(|done| Job::Park { sink, receipts, reason, at, capacity, done }).await
    }

    /// Removes receipts from a sink's dead letters: they have been delivered after all, or an operator discards them. How
    /// many of them were there.
    ///
    /// # Errors
    /// When the disk would not take it; they will then be delivered again.
    pub async fn unpark(&self, sink: &str, seqs: Vec<Seq>) -> Result<Letters, JournalError> {
        let sink = sink.to_owned();
        self.ask(|done| Job::Unpark { sink, seqs, done }).await
    }

    /// Remembers why a sink is to rest, also through a restart; 0 when it is not.
    ///
    /// # Errors
    /// When the disk would not take it.
    pub async fn pause(&self, sink: &str, cause: i64) -> Result<(), JournalError> {
        let name = paused_mark(sink);
        self.ask(|done| Job::Mark { name, value: cause, done }).await
    }

    /// Why a sink is to rest; 0 when it is not.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn paused(&self, sink: &str) -> Result<i64, JournalError> {
        let (shared, name) = (self.shared.clone(), paused_mark(sink));
        Ok(blocking(move || shared.readers.mark(&name)).await?.unwrap_or(0))
    }

    /// Which receipts retention has pruned though a sink did not have them: the last range of them, and how many they were
    /// in all.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn let_go(&self, sink: &str) -> Result<Option<(LetGo, i64)>, JournalError> {
        let (shared, sink) = (self.shared.clone(), sink.to_owned());
        blocking(move || {
            let [from, to, count] = let_go_marks(&sink).map(|mark| shared.readers.mark(&mark));
            let (from, to, count) = (from?, to?, count?);
            let range = from.zip(to).zip(count);
            Ok(range.map(|((from, to), count)| (LetGo { sink, from, to }, count)))
        })
        .await
    }

    /// The position up to which retention has forgotten receipts.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn forgotten(&self) -> Result<Seq, JournalError> {
        let shared = self.shared.clone();
        Ok(blocking(move || shared.readers.mark(PRUNED_MARK)).await?.unwrap_or(0))
    }

    /// The time that retention goes by, in milliseconds, as it was last stored.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) async fn retention_watermark(&self) -> Result<Option<i64>, JournalError> {
        let shared = self.shared.clone();
        blocking(move || shared.readers.mark(WATERMARK_MARK)).await
    }

    /// Stores the time that retention goes by. On disk when it returns.
    ///
    /// # Errors
    /// When the disk would not take it.
    pub(crate) async fn set_retention_watermark(&self, value: i64) -> Result<(), JournalError> {
        self.ask(|done| Job::Mark { name: WATERMARK_MARK.to_owned(), value, done }).await
    }

    /// When the newest receipt arrived, in milliseconds.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) async fn newest_arrival(&self) -> Result<Option<i64>, JournalError> {
        let shared = self.shared.clone();
        blocking(move || shared.readers.newest_arrival()).await
    }

    /// A number that tells this journal from every other one, drawn when it is first asked for. Copies have the same.
    ///
    /// # Errors
    /// When the file cannot be read, or the disk would not take a new number.
    pub async fn identity(&self) -> Result<i64, JournalError> {
        let shared = self.shared.clone();
        if let Some(known) = blocking(move || shared.readers.mark(IDENTITY_MARK)).await? {
            return Ok(known);
        }
        let mut bits = [0; 8];
        getrandom::fill(&mut bits).map_err(|error| JournalError::Read(error.to_string()))?;
        let value = i64::from_ne_bytes(bits);
        self.ask(|done| Job::Mark { name: IDENTITY_MARK.to_owned(), value, done }).await?;
        Ok(value)
    }

    /// Forgets some of the oldest receipts, if they came before `before`, every sink named has them, and they are at
    /// `no_further` or before it. Returns how many; fewer than `limit` means that no more are due. One step is short, so
    /// that commits do not wait for it.
    ///
    /// # Errors
    /// When the disk would not take it.
    pub async fn prune(
        &self,
        before: Timestamp,
        sinks: Vec<String>,
        no_further: Seq,
        limit: u32,
    ) -> Result<u32, JournalError> {
        let holders = sinks.into_iter().map(|sink| Holder { sink, may_pass: 0 }).collect();
        Ok(self.prune_past(before, holders, no_further, limit).await?.count)
    }

    /// The same, but a sink may be passed as far as its holder says. What it did not get is recorded in the same transaction.
    ///
    /// # Errors
    /// When the disk would not take it.
    pub async fn prune_past(
        &self,
        before: Timestamp,
        holders: Vec<Holder>,
        no_further: Seq,
        limit: u32,
    ) -> Result<Pruned, JournalError> {
        let shared = self.shared.clone();
        // What is old comes from the disk, mostly. So it is looked at here, and the writer, for which commits wait, finds it
        // in memory.
        let due = blocking(move || shared.readers.due(before.as_millis(), limit)).await?;
        let Some(due) = due else { return Ok(Pruned::default()) };
        let through = due.min(no_further);
        self.ask(|done| Job::Prune { through, holders, done }).await
    }

    /// The newest of the `limit` oldest receipts that, like all older ones, came before `before`; 0 when there is none.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn older_than(&self, before: Timestamp, limit: u32) -> Result<Seq, JournalError> {
        let shared = self.shared.clone();
        Ok(blocking(move || shared.readers.due(before.as_millis(), limit)).await?.unwrap_or(0))
    }

    /// The sizes of some receipts with their positions, in bytes of JSON: those behind a position, oldest first, or those before it,
    /// newest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn sizes(
        &self,
        order: Order,
        behind: Seq,
        limit: u32,
    ) -> Result<Vec<(Seq, i64)>, JournalError> {
        let shared = self.shared.clone();
        blocking(move || shared.readers.sizes(order, behind, limit)).await
    }

    /// Writes something that changes nothing, to find out whether the disk takes writes again.
    ///
    /// # Errors
    /// When it does not.
    pub async fn try_write(&self) -> Result<(), JournalError> {
        self.ask(|done| Job::TryWrite { done }).await
    }

    /// The position of the newest receipt; changes with every commit.
    pub fn head(&self) -> watch::Receiver<Seq> {
        self.shared.head.clone()
    }

    /// Whether many callers have come at once lately: what can be done later should then be.
    pub fn is_crowded(&self) -> bool {
        self.shared.pressure.is_crowded()
    }

    /// Whether the journal is open, the last write succeeded, and the writer is there for the next one.
    pub fn takes_writes(&self) -> bool {
        self.shared.condition.takes_writes()
    }

    /// Waits until the journal is open; head and identity are not known before. False when it never will be.
    pub async fn opened(&self) -> bool {
        let mut phases = self.shared.condition.phases();
        let decided = phases.wait_for(|phase| *phase != Phase::Opening).await;
        decided.is_ok_and(|phase| *phase == Phase::Open)
    }

    /// Waits until the journal could not be opened for so long that the process should end, and says why. Otherwise it waits for
    /// ever.
    pub async fn lost(&self) -> String {
        let mut phases = self.shared.condition.phases();
        let lost = phases.wait_for(|phase| matches!(phase, Phase::Lost(_))).await;
        // The guard must not live on: the writer would wait for it.
        let lost = lost.map_or(Phase::Ended, |phase| phase.clone());
        match lost {
            Phase::Lost(why) => why,
            Phase::Opening | Phase::Open | Phase::Ended => std::future::pending().await,
        }
    }

    fn not_open(&self) -> JournalError {
        match *self.shared.condition.phases().borrow() {
            Phase::Opening | Phase::Open | Phase::Lost(_) => JournalError::NotOpen,
            Phase::Ended => JournalError::Closed,
        }
    }

    /// The receipts behind a position, oldest first, at most `limit`. The newest come from memory.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn read_after(&self, after: Seq, limit: usize) -> Result<Vec<Stored>, JournalError> {
        if let Some(newest) = self.shared.tail.read_after(after, limit) {
            return Ok(newest);
        }
        let shared = self.shared.clone();
        blocking(move || shared.readers.read_after(after, limit)).await
    }

    /// Looks through the receipts in either direction for those that fit.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn scan(&self, scan: Scan) -> Result<Page, JournalError> {
        let shared = self.shared.clone();
        blocking(move || shared.readers.scan(scan)).await
    }

    /// How many dead letters each sink has.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn dead_letters(&self) -> Result<Vec<(String, i64)>, JournalError> {
        let shared = self.shared.clone();
        blocking(move || shared.readers.dead_letters()).await
    }

    /// How many dead letters a sink has. It looks at each of them: to be asked once, and counted from then on.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn count_dead_letters(&self, sink: &str) -> Result<Letters, JournalError> {
        let (shared, sink) = (self.shared.clone(), sink.to_owned());
        blocking(move || shared.readers.count_dead_letters(&sink)).await
    }

    /// A sink's dead letters behind a position, oldest first, at most `limit`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn dead_letters_of(
        &self,
        sink: &str,
        behind: Seq,
        limit: usize,
    ) -> Result<Vec<Stored>, JournalError> {
        let (shared, sink) = (self.shared.clone(), sink.to_owned());
        blocking(move || shared.readers.dead_letters_of(&sink, behind, limit)).await
    }

    /// The same, with when and why each was parked.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn letters_of(
        &self,
        sink: &str,
        behind: Seq,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, JournalError> {
        let (shared, sink) = (self.shared.clone(), sink.to_owned());
        blocking(move || shared.readers.letters_of(&sink, behind, limit)).await
    }

    /// Its file, behind every symbolic link: what belongs to it lies beside this.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// The size of the journal's files in bytes.
    pub fn bytes(&self) -> u64 {
        let size = |path: PathBuf| std::fs::metadata(path).map_or(0, |file| file.len());
        size(self.shared.path.clone()) + size(open::beside(&self.shared.path, "-wal"))
    }

    /// How many bytes the file system of the journal has left for this process; `None` where that cannot be told.
    pub fn disk_available(&self) -> Option<u64> {
        #[cfg(target_os = "linux")]
        {
            let disk = rustix::fs::statvfs(open::folder(&self.shared.path)).ok()?;
            disk.f_bavail.checked_mul(disk.f_frsize)
        }
        #[cfg(not(target_os = "linux"))]
        None
    }

    /// Writes what is waiting and ends the writer; later commits are refused. Returns when the file is closed.
    pub async fn close(&self) {
        // A writer that has ended already needs no telling.
        let _ended = self.shared.jobs.send(Job::Close).await;
        if let Some(thread) = self.shared.thread.take() {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("the journal's writer ended in a panic");
            }
        }
    }

    async fn ask<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, JournalError>>) -> Job,
    ) -> Result<T, JournalError> {
        if !self.shared.condition.is_open() {
            return Err(self.not_open());
        }
        let (done, answer) = oneshot::channel();
        self.shared.jobs.send(job(done)).await.map_err(|_| JournalError::Closed)?;
        answer.await.map_err(|_| JournalError::Closed)?
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
) -> Result<T, JournalError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| JournalError::Closed)?
}

/// An error with its causes, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        next = cause.source();
    }
    line
}

/// The answer of who was not let into the queue.
fn refused<T>(why: JournalError) -> Answer<T> {
    let (done, answer) = oneshot::channel();
    // Its other end is here.
    let _sent = done.send(Err(why));
    answer
}
