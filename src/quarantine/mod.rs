//! Quarantine: callbacks that could not be used, kept raw, so that nothing is lost once a wrong secret is corrected, or
//! the journal takes writes again.
//!
//! A file and a thread of its own, bounded by entries and bytes: a flood of bad callbacks costs the journal nothing. There
//! are three classes. What the ban guard answered 200 is synced before that answer and never evicted. What names a
//! configured app waits for its turn, and is written without a sync of its own. The rest is written when there is time.

mod aside;
mod look;
mod queue;
mod shares;
mod store;
mod verify;
mod writer;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout_at};

use crate::config::QuarantineConfig;
use crate::metrics::Metrics;
use crate::receipt::{Timestamp, VendorName};
use queue::{Order, Queue};
pub(crate) use verify::{file_of, verify};
use writer::{Shared, Writer};

/// A callback is hidden within this time, or its true status is answered.
const HIDDEN_WITHIN: Duration = Duration::from_millis(500);
/// How long a callback that names an app waits for the file to catch up.
const KEPT_WITHIN: Duration = Duration::from_millis(500);
/// Capacity that an entry takes beyond its texts.
const OVERHEAD: usize = 128;

/// Why a callback is kept, which says how well. A better class comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// It was answered 200 in place of an error. Only an operator, or the journal, may take it out.
    Hidden,
    /// It names an app that is configured.
    App,
    /// Anything else.
    Other,
}

impl Class {
    pub(crate) const ALL: [Self; 3] = [Self::Hidden, Self::App, Self::Other];

    /// The word in API and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Hidden => "hidden",
            Self::App => "app",
            Self::Other => "other",
        }
    }

    /// The class of a word.
    pub(crate) fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == word)
    }

    fn index(self) -> usize {
        match self {
            Self::Hidden => 0,
            Self::App => 1,
            Self::Other => 2,
        }
    }

    /// As the file has it.
    fn number(self) -> i64 {
        match self {
            Self::Hidden => 1,
            Self::App => 2,
            Self::Other => 3,
        }
    }

    fn of(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.number() == number)
    }
}

/// Why a callback was not hidden. It may be kept all the same, in the second class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotHidden {
    /// There is no quarantine.
    Off,
    /// The class is full.
    Full,
    /// Its client holds its share of the class.
    Client,
    /// It was not on the disk in time.
    Slow,
    /// The file cannot be written.
    Failed,
}

impl NotHidden {
    /// Each of them.
    pub(crate) const ALL: [Self; 5] = [Self::Off, Self::Full, Self::Client, Self::Slow, Self::Failed];

    /// The word in log and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Full => "full",
            Self::Client => "client",
            Self::Slow => "slow",
            Self::Failed => "failed",
        }
    }
}

/// The quarantine's file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the quarantine: {0}")]
pub(crate) struct QuarantineError(String);

impl QuarantineError {
    fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl From<rusqlite::Error> for QuarantineError {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.to_string())
    }
}

/// Which callbacks are wanted; what is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) vendor: Option<VendorName>,
    /// The reason code.
    pub(crate) reason: Option<String>,
    /// Those that came at this moment or later.
    pub(crate) since: Option<Timestamp>,
    pub(crate) class: Option<Class>,
    /// Only those that were hidden as `unavailable` and wait for the journal.
    pub(crate) waiting: bool,
}

/// A callback that could not be used, as it arrived.
pub(crate) struct Suspect {
    /// When, in milliseconds.
    pub(crate) at: i64,
    /// Whose route it came to.
    pub(crate) vendor: Cow<'static, str>,
    /// From where.
    pub(crate) client: String,
    /// How it ended.
    pub(crate) outcome: Cow<'static, str>,
    /// And why.
    pub(crate) reason: Cow<'static, str>,
    /// The path.
    pub(crate) path: String,
    /// The raw query.
    pub(crate) query: String,
    /// The header fields as a JSON list of pairs, without those that carry credentials.
    pub(crate) headers: String,
    /// The body.
    pub(crate) body: bytes::Bytes,
    /// The receipts that it gave when it was authentic and could not be stored; empty otherwise.
    pub(crate) receipts: String,
}

/// A callback that is kept.
pub(crate) struct Kept {
    pub(crate) id: i64,
    pub(crate) class: Class,
    pub(crate) suspect: Suspect,
}

/// What a list tells of a callback that is kept.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) id: i64,
    /// When it came, in milliseconds.
    pub(crate) at: i64,
    pub(crate) vendor: String,
    pub(crate) client: String,
    pub(crate) outcome: String,
    pub(crate) reason: String,
    /// As it came; it may hold a token.
    pub(crate) path: String,
    pub(crate) body_bytes: i64,
    pub(crate) class: Class,
}

impl Suspect {
    fn bytes(&self) -> usize {
        OVERHEAD
            + self.path.len()
            + self.query.len()
            + self.headers.len()
            + self.body.len()
            + self.receipts.len()
    }
}

/// A handle on the quarantine.
pub(crate) struct Quarantine {
    /// `None` where nothing is kept.
    shared: Option<Arc<Shared>>,
    path: PathBuf,
    thread: Mutex<Option<JoinHandle<()>>>,
    metrics: Metrics,
}

impl Quarantine {
    /// Opens the store beside the journal, or makes it. What is wrong with its file prevents no start: a file that is no
    /// quarantine is set aside, and one that cannot be written now is tried again every second.
    pub(crate) fn open(journal: &Path, config: &QuarantineConfig, metrics: &Metrics) -> Self {
        if config.max_entries == 0 || config.max_bytes == 0 {
            return Self::none(metrics);
        }
        let path = path_beside(journal);
        let shared = Arc::new(Shared {
            queue: Queue::new(),
            takes_writes: AtomicBool::new(false),
            waiting: watch::Sender::new(0),
            gate: RwLock::new(()),
        });
        let writer = Writer::start(path.clone(), config.clone(), metrics.clone(), shared.clone());
        let thread = std::thread::Builder::new().name("quarantine".to_owned()).spawn(|| writer.run());
        match thread {
            Ok(thread) => {
                let (thread, metrics) = (Mutex::new(Some(thread)), metrics.clone());
                Self { shared: Some(shared), path, thread, metrics }
            }
            Err(error) => {
                tracing::error!(%error, "the quarantine has no thread: callbacks that cannot be used are not kept");
                Self::none(metrics)
            }
        }
    }

    /// One that keeps nothing.
    pub(crate) fn none(metrics: &Metrics) -> Self {
        Self { shared: None, path: PathBuf::new(), thread: Mutex::default(), metrics: metrics.clone() }
    }

    /// Keeps a callback that was answered with its true status. One that names an app waits for capacity, half a second at
    /// most; the rest does not wait. What is not kept is counted. Cancel safe: dropped, it may be kept or not.
    pub(crate) async fn keep(&self, class: Class, suspect: Suspect) {
        let Some(shared) = &self.shared else { return };
        let bytes = suspect.bytes();
        let permits = match class {
            // A file that fails is not waited for.
            Class::Hidden | Class::App if shared.takes_writes.load(Ordering::Relaxed) => {
                let until = Instant::now() + KEPT_WITHIN;
                timeout_at(until, shared.queue.reserve(Class::App, bytes)).await.ok().flatten()
            }
            Class::Hidden | Class::App => shared.queue.try_reserve(Class::App, bytes),
            Class::Other => shared.queue.try_reserve(class, bytes),
        };
        match permits {
            Some(permits) => {
                let class = if class == Class::Other { Class::Other } else { Class::App };
                shared.queue.push(class, suspect, permits, None);
            }
            None => self.metrics.quarantine_lost.inc(),
        }
    }

    /// Keeps a callback that is to be answered 200 in place of an error. `Ok` means that it is on the disk, and that nothing
    /// but an operator or the journal will take it out. Otherwise its true status must be answered; then it may be kept in
    /// the second class, or not at all. Dropped, it ends as if it had been slow.
    pub(crate) async fn hide(&self, suspect: Suspect) -> Result<(), NotHidden> {
        let Some(shared) = &self.shared else { return Err(NotHidden::Off) };
        if !shared.takes_writes.load(Ordering::Relaxed) {
            self.metrics.quarantine_lost.inc();
            return Err(NotHidden::Failed);
        }
        let until = Instant::now() + HIDDEN_WITHIN;
        let reserved = timeout_at(until, shared.queue.reserve(Class::Hidden, suspect.bytes())).await;
        let Some(permits) = reserved.ok().flatten() else {
            self.metrics.quarantine_lost.inc();
            return Err(NotHidden::Slow);
        };
        let (done, hidden) = oneshot::channel();
        shared.queue.push(Class::Hidden, suspect, permits, Some(done));
        match timeout_at(until, hidden).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(NotHidden::Failed),
            Err(_) => Err(NotHidden::Slow),
        }
    }

    /// Callbacks that are kept, oldest first, behind an entry, at most `limit`. What is waiting to be written is not among
    /// them.
    pub(crate) async fn read(
        &self,
        wanted: Wanted,
        behind: i64,
        limit: usize,
    ) -> Result<Vec<Kept>, QuarantineError> {
        self.look(Vec::new(), move |path| look::read(path, &wanted, behind, limit)).await
    }

    /// What is kept, behind an entry in the direction of the order, at most `limit`. Bodies stay where they are.
    pub(crate) async fn list(
        &self,
        wanted: Wanted,
        newest_first: bool,
        behind: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Listed>, QuarantineError> {
        self.look(Vec::new(), move |path| look::list(path, &wanted, newest_first, behind, limit)).await
    }

    /// One callback, if it is still kept.
    pub(crate) async fn find(&self, id: i64) -> Result<Option<Kept>, QuarantineError> {
        self.look(None, move |path| look::find(path, id)).await
    }

    /// Takes out callbacks that have been dealt with. That is on the disk when it returns.
    pub(crate) async fn release(&self, entries: Vec<i64>) -> Result<(), QuarantineError> {
        if entries.is_empty() {
            return Ok(());
        }
        self.order(Order::Release(entries)).await
    }

    /// Says how a callback ended that was waiting for the journal. It stays, in the second class.
    pub(crate) async fn settle(
        &self,
        id: i64,
        outcome: &'static str,
        reason: &str,
    ) -> Result<(), QuarantineError> {
        self.order(Order::Settle { id, outcome, reason: reason.to_owned() }).await
    }

    /// How many hidden callbacks wait for the journal; `None` where nothing is kept.
    pub(crate) fn waiting(&self) -> Option<watch::Receiver<u64>> {
        self.shared.as_ref().map(|shared| shared.waiting.subscribe())
    }

    /// Writes what is waiting. Blocks for as long as that takes.
    pub(crate) fn close(self) {
        if let Some(shared) = &self.shared {
            shared.queue.close();
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the quarantine's writer ended in a panic");
        }
    }

    async fn order(&self, order: Order) -> Result<(), QuarantineError> {
        let Some(shared) = &self.shared else { return Ok(()) };
        let (done, ended) = oneshot::channel();
        shared.queue.order(order, done);
        ended.await.map_err(|_| QuarantineError::new("its writer has ended"))?
    }

    async fn look<T: Send + 'static>(
        &self,
        nothing: T,
        look: impl FnOnce(&Path) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, QuarantineError> {
        let Some(shared) = self.shared.clone() else { return Ok(nothing) };
        let path = self.path.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let _open = shared.gate.read().unwrap_or_else(PoisonError::into_inner);
            look(&path)
        });
        Ok(looked.await.map_err(|panicked| QuarantineError(panicked.to_string()))??)
    }
}

/// Where the quarantine of a journal lies.
fn path_beside(journal: &Path) -> PathBuf {
    aside::with(journal, ".quarantine")
}
