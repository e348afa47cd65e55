//! Quarantine: callbacks that could not be used, kept raw, so that after a wrong secret is mended nothing is lost.
//!
//! A file and a thread of its own, behind a short queue that is never waited for: a flood of bad callbacks costs the
//! journal nothing. Bounded by entries and bytes, oldest out first; written without fsync, for it is no promise.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use crate::config::QuarantineConfig;
use crate::metrics::Metrics;

/// How many callbacks may wait to be written; further ones are counted and let go.
const QUEUED: usize = 256;
/// Room that an entry takes beyond its texts.
const OVERHEAD: usize = 128;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS callbacks (
        id      INTEGER PRIMARY KEY,
        at      INTEGER NOT NULL,
        vendor  TEXT NOT NULL,
        client  TEXT NOT NULL,
        outcome TEXT NOT NULL,
        reason  TEXT NOT NULL,
        path    TEXT NOT NULL,
        query   TEXT NOT NULL,
        headers TEXT NOT NULL,
        body    BLOB NOT NULL,
        bytes   INTEGER NOT NULL
    ) STRICT;
";

/// A callback that could not be used, as it arrived.
pub(crate) struct Suspect {
    /// When, in milliseconds.
    pub(crate) at: i64,
    /// Whose route it came to.
    pub(crate) vendor: &'static str,
    /// From where.
    pub(crate) client: String,
    /// How it ended.
    pub(crate) outcome: &'static str,
    /// And why.
    pub(crate) reason: &'static str,
    /// The path.
    pub(crate) path: String,
    /// The raw query.
    pub(crate) query: String,
    /// The header fields as a JSON list of pairs, without those that carry credentials.
    pub(crate) headers: String,
    /// The body.
    pub(crate) body: bytes::Bytes,
}

impl Suspect {
    fn bytes(&self) -> usize {
        OVERHEAD + self.path.len() + self.query.len() + self.headers.len() + self.body.len()
    }
}

/// A handle on the quarantine.
pub(crate) struct Quarantine {
    queue: Option<SyncSender<Suspect>>,
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
        let (queue, suspects) = sync_channel(QUEUED);
        let thread =
            std::thread::Builder::new().name("quarantine".to_owned()).spawn(move || store.run(&suspects))?;
        Ok(Self { queue: Some(queue), thread: Mutex::new(Some(thread)), metrics: metrics.clone() })
    }

    /// One that keeps nothing.
    pub(crate) fn none(metrics: &Metrics) -> Self {
        Self { queue: None, thread: Mutex::default(), metrics: metrics.clone() }
    }

    /// Keeps a callback, if there is room in the queue right now.
    pub(crate) fn keep(&self, suspect: Suspect) {
        let Some(queue) = &self.queue else { return };
        match queue.try_send(suspect) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.metrics.quarantine_lost.inc(),
        }
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

/// Where the quarantine of a journal lies.
fn path_beside(journal: &Path) -> PathBuf {
    let mut name = journal.as_os_str().to_owned();
    name.push(".quarantine");
    name.into()
}

struct Store {
    connection: Connection,
    config: QuarantineConfig,
    metrics: Metrics,
    entries: u64,
    bytes: u64,
}

impl Store {
    fn open(path: &Path, config: QuarantineConfig, metrics: Metrics) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.execute_batch(SCHEMA)?;
        let (entries, bytes) =
            connection.query_row("SELECT count(*), coalesce(sum(bytes), 0) FROM callbacks", [], |row| {
                Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, i64>(1)?.unsigned_abs()))
            })?;
        metrics.quarantine_entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
        Ok(Self { connection, config, metrics, entries, bytes })
    }

    /// Works until nobody can send any more.
    fn run(mut self, suspects: &Receiver<Suspect>) {
        while let Ok(first) = suspects.recv() {
            let batch: Vec<Suspect> =
                std::iter::once(first).chain(suspects.try_iter().take(QUEUED)).collect();
            let count = batch.len() as u64;
            if let Err(error) = self.write(batch) {
                tracing::warn!(%error, callbacks = count, "callbacks could not be kept in quarantine");
                self.metrics.quarantine_lost.inc_by(count);
            }
        }
    }

    fn write(&mut self, batch: Vec<Suspect>) -> rusqlite::Result<()> {
        let (mut entries, mut bytes) = (self.entries, self.bytes);
        let transaction = self.connection.transaction()?;
        for suspect in batch {
            let size = suspect.bytes() as u64;
            if size > self.config.max_bytes {
                self.metrics.quarantine_lost.inc();
                continue;
            }
            transaction
                .prepare_cached(
                    "INSERT INTO callbacks \
                     (at, vendor, client, outcome, reason, path, query, headers, body, bytes) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                )?
                .execute(params![
                    suspect.at,
                    suspect.vendor,
                    suspect.client,
                    suspect.outcome,
                    suspect.reason,
                    suspect.path,
                    suspect.query,
                    suspect.headers,
                    &*suspect.body,
                    i64::try_from(size).unwrap_or(i64::MAX),
                ])?;
            entries += 1;
            bytes += size;
            while entries > self.config.max_entries || bytes > self.config.max_bytes {
                let freed: Option<i64> = transaction
                    .prepare_cached(
                        "DELETE FROM callbacks WHERE id = (SELECT min(id) FROM callbacks) RETURNING bytes",
                    )?
                    .query_row([], |row| row.get(0))
                    .optional()?;
                let Some(freed) = freed else { break };
                entries -= 1;
                bytes = bytes.saturating_sub(freed.unsigned_abs());
            }
        }
        transaction.commit()?;
        (self.entries, self.bytes) = (entries, bytes);
        self.metrics.quarantine_entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
        Ok(())
    }
}
