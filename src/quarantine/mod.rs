//! Quarantine: callbacks that could not be used, kept raw, so that after a wrong secret is mended nothing is lost.
//!
//! A file and a thread of its own, behind a short queue that is never waited for: a flood of bad callbacks costs the
//! journal nothing. Bounded by entries and bytes, oldest out first; written without fsync, for it is no promise.

mod look;
mod store;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::config::QuarantineConfig;
use crate::metrics::Metrics;
use crate::receipt::{Timestamp, VendorName};
use store::Store;

/// How many callbacks may wait to be written; further ones are counted and let go.
const QUEUED: usize = 256;
/// How many bytes of them may wait: bodies can be large.
const QUEUED_BYTES: usize = 16 << 20;
/// Room that an entry takes beyond its texts.
const OVERHEAD: usize = 128;

/// What the store's thread is asked to do.
enum Job {
    Keep(Suspect),
    /// Takes out what has been dealt with.
    Release(Vec<i64>, oneshot::Sender<Result<(), QuarantineError>>),
}

/// The quarantine's file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the quarantine: {0}")]
pub(crate) struct QuarantineError(String);

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
}

impl Suspect {
    fn bytes(&self) -> usize {
        OVERHEAD + self.path.len() + self.query.len() + self.headers.len() + self.body.len()
    }
}

/// A handle on the quarantine.
pub(crate) struct Quarantine {
    queue: Option<SyncSender<Job>>,
    /// Bytes that wait.
    queued: Arc<AtomicUsize>,
    path: PathBuf,
    thread: Mutex<Option<JoinHandle<()>>>,
    metrics: Metrics,
}

impl Quarantine {
    /// Opens the store beside the journal, or makes it.
    ///
    /// # Errors
    /// When its file cannot be opened or is no quarantine.
    pub(crate) fn open(
        journal: &Path,
        config: &QuarantineConfig,
        metrics: &Metrics,
    ) -> std::io::Result<Self> {
        if config.max_entries == 0 || config.max_bytes == 0 {
            return Ok(Self::none(metrics));
        }
        let path = path_beside(journal);
        if let Some(folder) = path.parent() {
            // Without a journal nobody else has made it; if it cannot be made, opening the file says so.
            let _seen_below = std::fs::create_dir_all(folder);
        }
        let store = Store::open(&path, config.clone(), metrics.clone()).map_err(|error| {
            std::io::Error::other(format!("cannot open the quarantine `{}`: {error}", path.display()))
        })?;
        let (queue, jobs) = sync_channel(QUEUED);
        let queued = Arc::new(AtomicUsize::new(0));
        let waiting = queued.clone();
        let thread = std::thread::Builder::new()
            .name("quarantine".to_owned())
            .spawn(move || store.run(&jobs, &waiting))?;
        let (thread, metrics) = (Mutex::new(Some(thread)), metrics.clone());
        Ok(Self { queue: Some(queue), queued, path, thread, metrics })
    }

    /// One that keeps nothing.
    pub(crate) fn none(metrics: &Metrics) -> Self {
        Self {
            queue: None,
            queued: Arc::default(),
            path: PathBuf::new(),
            thread: Mutex::default(),
            metrics: metrics.clone(),
        }
    }

    /// Keeps a callback, if there is room in the queue right now.
    pub(crate) fn keep(&self, suspect: Suspect) {
        let Some(queue) = &self.queue else { return };
        let bytes = suspect.bytes();
        if self.queued.fetch_add(bytes, Ordering::Relaxed) <= QUEUED_BYTES {
            match queue.try_send(Job::Keep(suspect)) {
                Ok(()) => return,
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
            }
        }
        self.queued.fetch_sub(bytes, Ordering::Relaxed);
        self.metrics.quarantine_lost.inc();
    }

    /// Callbacks that are kept, oldest first, behind an entry, at most `limit`. What is waiting to be written is not among
    /// them.
    pub(crate) async fn read(
        &self,
        wanted: Wanted,
        behind: i64,
        limit: usize,
    ) -> Result<Vec<(i64, Suspect)>, QuarantineError> {
        if self.queue.is_none() {
            return Ok(Vec::new());
        }
        let path = self.path.clone();
        blocking(move || look::read(&path, &wanted, behind, limit)).await
    }

    /// What is kept, behind an entry in the direction of the order, at most `limit`. Bodies stay where they are.
    pub(crate) async fn list(
        &self,
        wanted: Wanted,
        newest_first: bool,
        behind: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Listed>, QuarantineError> {
        if self.queue.is_none() {
            return Ok(Vec::new());
        }
        let path = self.path.clone();
        blocking(move || look::list(&path, &wanted, newest_first, behind, limit)).await
    }

    /// One callback, if it is still kept.
    pub(crate) async fn find(&self, id: i64) -> Result<Option<Suspect>, QuarantineError> {
        if self.queue.is_none() {
            return Ok(None);
        }
        let path = self.path.clone();
        blocking(move || look::find(&path, id)).await
    }

    /// Takes out callbacks that have been dealt with. They are gone from the file when it returns.
    pub(crate) async fn release(&self, entries: Vec<i64>) -> Result<(), QuarantineError> {
        let Some(queue) = self.queue.clone() else { return Ok(()) };
        let (done, released) = oneshot::channel();
        let ended = |_| QuarantineError("its writer has ended".to_owned());
        // The queue is short and may be full; this one can wait.
        let sent = tokio::task::spawn_blocking(move || queue.send(Job::Release(entries, done)).is_ok()).await;
        if !sent.unwrap_or(false) {
            return Err(QuarantineError("its writer has ended".to_owned()));
        }
        released.await.map_err(ended)?
    }

    /// Writes what is waiting. Blocks for as long as that takes.
    pub(crate) fn close(mut self) {
        self.queue = None;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the quarantine's writer ended in a panic");
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> rusqlite::Result<T> + Send + 'static,
) -> Result<T, QuarantineError> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|panicked| QuarantineError(panicked.to_string()))??)
}

/// Where the quarantine of a journal lies.
fn path_beside(journal: &Path) -> PathBuf {
    let mut name = journal.as_os_str().to_owned();
    name.push(".quarantine");
    name.into()
}
