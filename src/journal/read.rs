//! Reading: connections of their own, so that a reader never waits for the writer nor the writer for a reader.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::recovery::leave_wal_alone;
use super::{DeadLetter, JournalError, Letters, Seq, Stored};
use crate::receipt::TraceContext;

/// How many idle connections are kept.
const KEPT: usize = 4;
/// How many receipts one scan looks at, at most: a filter that fits nothing must not hold a snapshot of the WAL for
/// as long as ten million rows take.
const LOOKED_AT: usize = 100_000;

/// Which way a scan goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    Ascending,
    /// Newest first.
    Descending,
}

/// What to look for.
pub struct Scan {
    /// Which way.
    pub order: Order,
    /// Begin behind this position, seen in the direction of the scan; `None` for the very beginning.
    pub behind: Option<Seq>,
    /// How many to find.
    pub limit: usize,
    /// What fits.
    pub fits: Box<dyn Fn(&Stored) -> bool + Send>,
}

/// What a scan found.
pub struct Page {
    /// The receipts, in the order asked for.
    pub receipts: Vec<Stored>,
    /// Where to go on. `None` when there was nothing more.
    pub resume: Option<Seq>,
}

/// Connections that only read.
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    /// Held by each read; so whoever closes it waits for the reads under way.
    gate: RwLock<Gate>,
}

/// Who may read.
#[derive(Clone, Copy)]
enum Gate {
    Open,
    /// What has the file open already: under its path there is another one, or none.
    OnlyOpen,
    Closed,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::default(), gate: RwLock::new(Gate::Closed) }
    }

    /// Lets everybody read.
    pub(super) fn open(&self) {
        self.set(Gate::Open);
    }

    /// Opens no more connections.
    pub(super) fn keep_only_open(&self) {
        self.set(Gate::OnlyOpen);
    }

    fn set(&self, gate: Gate) {
        *self.gate.write().unwrap_or_else(PoisonError::into_inner) = gate;
    }

    /// Waits for the reads under way, and closes every connection. Until [`Readers::open`] nobody reads.
    pub(super) fn close(&self) {
        self.set(Gate::Closed);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn read_after(&self, after: Seq, limit: usize) -> Result<Vec<Stored>, JournalError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT seq, received_at, json FROM receipts WHERE seq > ?1 ORDER BY seq LIMIT ?2",
            )?;
            let rows =
                statement.query_map(params![after, i64::try_from(limit).unwrap_or(i64::MAX)], stored)?;
            with_traces(connection, rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    pub(super) fn scan(&self, scan: Scan) -> Result<Page, JournalError> {
        let Scan { order, behind, limit, fits } = scan;
        let (query, behind) = match order {
            Order::Ascending => (
                "SELECT seq, received_at, json FROM receipts WHERE seq > ?1 ORDER BY seq",
                behind.unwrap_or(Seq::MIN),
            ),
            Order::Descending => (
                "SELECT seq, received_at, json FROM receipts WHERE seq < ?1 ORDER BY seq DESC",
                behind.unwrap_or(Seq::MAX),
            ),
        };
        self.with(|connection| {
            let mut statement = connection.prepare_cached(query)?;
            let mut rows = statement.query([behind])?;
            let mut page = Page { receipts: Vec::new(), resume: None };
            let (mut looked_at, mut last) = (0, None);
            while let Some(row) = rows.next()? {
                // One row further than asked for tells that there is more.
                if page.receipts.len() == limit || looked_at == LOOKED_AT {
                    page.resume = last;
                    break;
                }
                let receipt = stored(row)?;
                last = Some(receipt.seq);
                looked_at += 1;
                if fits(&receipt) {
                    page.receipts.push(receipt);
                }
            }
            page.receipts = with_traces(connection, page.receipts)?;
            Ok(page)
        })
    }

    /// The newest of the `limit` oldest receipts that, like all older ones, came before `before`.
    pub(super) fn due(&self, before: i64, limit: u32) -> Result<Option<Seq>, JournalError> {
        self.with(|connection| {
            let mut oldest =
                connection.prepare_cached("SELECT seq, received_at FROM receipts ORDER BY seq LIMIT ?1")?;
            let mut rows = oldest.query([limit])?;
            let mut due = None;
            while let Some(row) = rows.next()?
                && row.get::<_, i64>(1)? < before
            {
                due = Some(row.get(0)?);
            }
            Ok(due)
        })
    }

    pub(super) fn newest_arrival(&self) -> Result<Option<i64>, JournalError> {
        self.with(|connection| {
            let newest = "SELECT received_at FROM receipts ORDER BY seq DESC LIMIT 1";
            connection.query_row(newest, [], |row| row.get(0)).optional()
        })
    }

    pub(super) fn dead_letters(&self) -> Result<Vec<(String, i64)>, JournalError> {
        self.with(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT sink, count(*) FROM dead_letters GROUP BY sink")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        })
    }

    pub(super) fn count_dead_letters(&self, sink: &str) -> Result<Letters, JournalError> {
        self.with(|connection| {
            connection.query_row(
                "SELECT count(*), coalesce(sum(octet_length(json) + octet_length(reason)), 0) \
                 FROM dead_letters WHERE sink = ?1",
                [sink],
                |row| Ok(Letters { entries: row.get(0)?, bytes: row.get(1)? }),
            )
        })
    }

    pub(super) fn sizes(
        &self,
        order: Order,
        behind: Seq,
        limit: u32,
    ) -> Result<Vec<(Seq, i64)>, JournalError> {
        let query = match order {
            Order::Ascending => {
                "SELECT seq, octet_length(json) FROM receipts WHERE seq > ?1 ORDER BY seq LIMIT ?2"
            }
            Order::Descending => {
                "SELECT seq, octet_length(json) FROM receipts WHERE seq < ?1 ORDER BY seq DESC LIMIT ?2"
            }
        };
        self.with(|connection| {
            let mut statement = connection.prepare_cached(query)?;
            let rows = statement.query_map(params![behind, limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        })
    }

    pub(super) fn dead_letters_of(
        &self,
        sink: &str,
        behind: Seq,
        limit: usize,
    ) -> Result<Vec<Stored>, JournalError> {
        self.with(|connection| {
            // What it was received at matters to nobody any more; when it was parked is not that.
            let mut statement = connection.prepare_cached(
                "SELECT seq, at, json FROM dead_letters WHERE sink = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
            )?;
            let rows = statement
                .query_map(params![sink, behind, i64::try_from(limit).unwrap_or(i64::MAX)], stored)?;
            with_traces(connection, rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    pub(super) fn letters_of(
        &self,
        sink: &str,
        behind: Seq,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, JournalError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT seq, at, json, reason FROM dead_letters WHERE sink = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = statement.query_map(params![sink, behind, limit], |row| {
                Ok(DeadLetter { seq: row.get(0)?, at: row.get(1)?, json: row.get(2)?, reason: row.get(3)? })
            })?;
            rows.collect()
        })
    }

    pub(super) fn mark(&self, name: &str) -> Result<Option<i64>, JournalError> {
        self.with(|connection| {
            let value =
                connection.query_row("SELECT value FROM marks WHERE name = ?1", [name], |row| row.get(0));
            value.optional()
        })
    }

    fn with<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, JournalError> {
        let gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        if matches!(*gate, Gate::Closed) {
            return Err(JournalError::NotOpen);
        }
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let read = || {
            let connection = match kept {
                Some(connection) => connection,
                None if matches!(*gate, Gate::OnlyOpen) => return Ok(None),
                None => {
                    let connection =
                        Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
                    leave_wal_alone(&connection)?;
                    connection.busy_timeout(Duration::from_secs(5))?;
                    // What is read in order is seldom read again.
                    connection.pragma_update(None, "cache_size", -256)?;
                    connection
                }
            };
            let result = work(&connection)?;
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < KEPT {
                idle.push(connection);
            }
            Ok(Some(result))
        };
        let read = read().map_err(|error: rusqlite::Error| JournalError::Read(error.to_string()))?;
        read.ok_or(JournalError::NotOpen)
    }
}

pub(super) fn stored(row: &rusqlite::Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored { seq: row.get(0)?, received_at: row.get(1)?, json: row.get(2)?, trace: None })
}

/// Puts to receipts the traces that they belong to. Where nobody is followed that is one look at an empty table.
fn with_traces(connection: &Connection, mut receipts: Vec<Stored>) -> rusqlite::Result<Vec<Stored>> {
    let seqs = receipts.iter().map(|receipt| receipt.seq);
    let (Some(first), Some(last)) = (seqs.clone().min(), seqs.max()) else { return Ok(receipts) };
    let mut any =
        connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM traces WHERE seq BETWEEN ?1 AND ?2)")?;
    if !any.query_row([first, last], |row| row.get(0))? {
        return Ok(receipts);
    }
    let mut find = connection.prepare_cached("SELECT context FROM traces WHERE seq = ?1")?;
    for receipt in &mut receipts {
        let context: Option<String> = find.query_row([receipt.seq], |row| row.get(0)).optional()?;
        receipt.trace = context.as_deref().and_then(TraceContext::parse);
    }
    Ok(receipts)
}
