//! The quarantine's file: one writer, which knows how much it holds.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::{Job, QUEUED, QuarantineError, Suspect};
use crate::config::QuarantineConfig;
use crate::files::ensure_private;
use crate::metrics::Metrics;

/// How long to wait for somebody who looks into the file with a tool.
pub(super) const BUSY: Duration = Duration::from_secs(5);

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

/// The file, as its one writer has it.
pub(super) struct Store {
    connection: Connection,
    config: QuarantineConfig,
    metrics: Metrics,
    entries: u64,
    bytes: u64,
    /// The number of the next entry: SQLite would give that of the newest again once it is taken out, and whoever goes on
    /// behind it would miss the next one.
    next: i64,
}

impl Store {
    pub(super) fn open(path: &Path, config: QuarantineConfig, metrics: Metrics) -> rusqlite::Result<Self> {
        // What fails here fails below, too, with SQLite's words.
        let _seen_below = ensure_private(path);
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.execute_batch(SCHEMA)?;
        let count = "SELECT count(*), coalesce(sum(bytes), 0), coalesce(max(id), 0) + 1 FROM callbacks";
        let (entries, bytes, next) = connection.query_row(count, [], |row| {
            Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, i64>(1)?.unsigned_abs(), row.get(2)?))
        })?;
        metrics.quarantine_entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
        Ok(Self { connection, config, metrics, entries, bytes, next })
    }

    /// Works until nobody can send any more. What it has done with is taken off `queued`.
    pub(super) fn run(mut self, jobs: &Receiver<Job>, queued: &AtomicUsize) {
        while let Ok(first) = jobs.recv() {
            let mut suspects = Vec::new();
            for job in std::iter::once(first).chain(jobs.try_iter().take(QUEUED)) {
                match job {
                    Job::Keep(suspect) => suspects.push(suspect),
                    Job::Release(entries, done) => {
                        let released = self.release(&entries).map_err(QuarantineError::from);
                        // Whoever asked may have gone.
                        let _gone = done.send(released);
                    }
                }
            }
            if suspects.is_empty() {
                continue;
            }
            let count = suspects.len() as u64;
            let bytes = suspects.iter().map(Suspect::bytes).sum();
            if let Err(error) = self.write(suspects) {
                tracing::warn!(%error, callbacks = count, "callbacks could not be kept in quarantine");
                self.metrics.quarantine_lost.inc_by(count);
            }
            queued.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    fn release(&mut self, entries: &[i64]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        let (mut count, mut bytes) = (0, 0);
        {
            let mut delete =
                transaction.prepare_cached("DELETE FROM callbacks WHERE id = ?1 RETURNING bytes")?;
            for entry in entries {
                let freed: Option<i64> = delete.query_row([entry], |row| row.get(0)).optional()?;
                count += u64::from(freed.is_some());
                bytes += freed.map_or(0, i64::unsigned_abs);
            }
        }
        transaction.commit()?;
        self.now_holds(self.entries.saturating_sub(count), self.bytes.saturating_sub(bytes));
        Ok(())
    }

    fn now_holds(&mut self, entries: u64, bytes: u64) {
        (self.entries, self.bytes) = (entries, bytes);
        self.metrics.quarantine_entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
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
                     (id, at, vendor, client, outcome, reason, path, query, headers, body, bytes) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                )?
                .execute(params![
                    self.next,
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
            self.next += 1;
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
        self.now_holds(entries, bytes);
        Ok(())
    }
}
