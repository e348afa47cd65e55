//! A copy of a journal while somebody writes to it. Receipts are only ever added at the one end and forgotten at the
//! other, so they are copied a thousand at a time, each time in a read of its own: the writer waits for nothing, and its
//! WAL can begin anew meanwhile. SQLite's own backup would begin again with every commit, or hold one snapshot for as
//! long as it takes. One last read then brings what has come since, with cursors, dead letters and marks.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Row, params};

use super::open::{beside, folder, open_to_read, sqlite};
use super::schema::{FORMAT, migrate};
use super::{IDENTITY_MARK, OpenError, Seq};

/// How many receipts are copied in one go.
const AT_ONCE: i64 = 1_000;
/// So many bytes may wait for the disk: were it all of a copy, the journal's own syncs would wait for it.
const SYNC_EVERY_BYTES: u64 = 8 << 20;

/// A journal cannot be copied, or not to there.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// It is the journal's.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// An older readhook wrote it, and nothing has opened it since.
    #[error(
        "the journal has format {found}, and this readhook writes format {FORMAT}; `readhook serve` brings it up to date"
    )]
    Older {
        /// Its format.
        found: i64,
    },
    /// Something is there.
    #[error("`{}` is there already; a backup is written over nothing", path.display())]
    Exists {
        /// The backup.
        path: PathBuf,
    },
    /// Somebody else writes a backup of that name.
    #[error("`{}` is being written by another process", path.display())]
    Held {
        /// The backup, as far as it is.
        path: PathBuf,
    },
    /// The disk or its permissions.
    #[error("cannot write the backup `{}`", path.display())]
    Io {
        /// The backup.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is not what it should be, and was not kept.
    #[error("the backup `{}` is not what the journal is ({problem}); it was not kept", path.display())]
    Differs {
        /// The backup.
        path: PathBuf,
        /// How.
        problem: String,
    },
}

/// A copy that is being made, in a file beside its place. Dropped before its end, nothing is left of it.
pub struct Backup {
    source: Connection,
    from: PathBuf,
    target: Connection,
    to: PathBuf,
    part: PathBuf,
    // Closed last: the end of any handle of a file is the end of SQLite's own locks on it.
    file: File,
    behind: Seq,
    unsynced: u64,
}

/// What a copy holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// How many receipts.
    pub receipts: u64,
    /// The newest position that was ever given out.
    pub head: Seq,
    /// The size of the file.
    pub bytes: u64,
}

impl Backup {
    /// Begins a copy of the journal at `from`. Nothing in that is changed, and nobody is kept from it.
    ///
    /// # Errors
    /// When it is no journal that this program can read, when there is something at `to`, or the disk would not take it.
    pub fn begin(from: &Path, to: &Path) -> Result<Self, BackupError> {
        let of_journal = |error: rusqlite::Error| sqlite(from, &error);
        let source = open_to_read(from)?;
        let found = source.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(of_journal)?;
        if found != FORMAT {
            return Err(BackupError::Older { found });
        }
        if to.symlink_metadata().is_ok() {
            return Err(BackupError::Exists { path: to.to_owned() });
        }
        let io = |source| BackupError::Io { path: to.to_owned(), source };
        let part = beside(to, ".part");
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&part);
        let file = file.map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(BackupError::Held { path: part }),
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        // It will say who has read what.
        file.set_permissions(Permissions::from_mode(0o600)).map_err(io)?;
        // What a copy left that was killed.
        file.set_len(0).map_err(io)?;
        let target = prepare(&part).map_err(|error| io(io::Error::other(error.to_string())))?;
        let (from, to) = (from.to_owned(), to.to_owned());
        Ok(Self { source, from, target, to, part, file, behind: 0, unsynced: 0 })
    }

    /// The oldest and the newest position that there is to copy at present; `None` when there is none.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn bounds(&self) -> Result<Option<(Seq, Seq)>, BackupError> {
        let bounds = self.source.query_row("SELECT min(seq), max(seq) FROM receipts", [], |row| {
            Ok(row.get::<_, Option<Seq>>(0)?.zip(row.get(1)?))
        });
        Ok(bounds.map_err(|error| sqlite(&self.from, &error))?)
    }

    /// Copies some more receipts; gives the position of the last one, and how many bytes they were. `None` when there are
    /// no more.
    ///
    /// # Errors
    /// When the journal cannot be read or the copy not be written.
    pub fn step(&mut self) -> Result<Option<(Seq, u64)>, BackupError> {
        let copied = self.copy_receipts(AT_ONCE)?;
        if self.unsynced >= SYNC_EVERY_BYTES {
            self.file.sync_data().map_err(|error| self.unwritten(&error))?;
            self.unsynced = 0;
        }
        Ok((copied > 0).then_some((self.behind, copied)))
    }

    /// Copies the rest in one read, checks the whole copy, and puts it in its place, on disk. Every receipt that was
    /// committed before this was called is in it.
    ///
    /// # Errors
    /// When the journal cannot be read, the copy cannot be written, or is not what it should be.
    pub fn finish(mut self) -> Result<Copied, BackupError> {
        let read = |error| sqlite(&self.from, &error);
        self.source.execute_batch("BEGIN").map_err(read)?;
        self.copy_receipts(i64::MAX)?;
        self.copy_rows("cursors", "sink, seq")?;
        self.copy_rows("dead_letters", "sink, seq, at, reason, json")?;
        self.copy_rows("marks", "name, value")?;
        let count = "SELECT count(*), coalesce(min(seq), 0), coalesce(max(seq), 0) FROM receipts";
        let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let read = |error| sqlite(&self.from, &error);
        let there: (i64, Seq, Seq) = self.source.query_row(count, [], row).map_err(read)?;
        self.source.execute_batch("ROLLBACK").map_err(read)?;
        let check = || {
            // What retention has forgotten meanwhile.
            self.target
                .execute("DELETE FROM receipts WHERE seq < ?1 OR ?2 = 0", params![there.1, there.0])?;
            // Once it is restored it is another journal, whose positions will hold other receipts than this one's.
            self.target.execute("DELETE FROM marks WHERE name = ?1", [IDENTITY_MARK])?;
            let problem: String = self.target.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
            let here: (i64, Seq, Seq) = self.target.query_row(count, [], row)?;
            let head = super::open::head(&self.target)?;
            rusqlite::Result::Ok((problem, here, head))
        };
        let (problem, here, head) = check().map_err(|error| self.unwritable(&error))?;
        let differs = |problem| BackupError::Differs { path: self.to.clone(), problem };
        if problem != "ok" {
            return Err(differs(problem));
        }
        if here != there {
            return Err(differs(format!("{here:?} in place of {there:?} receipts, from and to")));
        }
        let bytes = self.publish().map_err(|error| self.unwritten(&error))?;
        Ok(Copied { receipts: here.0.unsigned_abs(), head, bytes })
    }

    /// Copies at most so many receipts, in one read of the journal.
    fn copy_receipts(&mut self, limit: i64) -> Result<u64, BackupError> {
        let (mut bytes, mut behind) = (0, self.behind);
        self.target.execute_batch("BEGIN").map_err(|error| self.unwritable(&error))?;
        let read = |error| BackupError::from(sqlite(&self.from, &error));
        let mut rows = self
            .source
            .prepare_cached(
                "SELECT seq, received_at, json FROM receipts WHERE seq > ?1 ORDER BY seq LIMIT ?2",
            )
            .map_err(read)?;
        let mut rows = rows.query(params![behind, limit]).map_err(read)?;
        let insert = "INSERT INTO receipts (seq, received_at, json) VALUES (?1, ?2, ?3)";
        let mut insert = self.target.prepare_cached(insert).map_err(|error| self.unwritable(&error))?;
        while let Some(row) = rows.next().map_err(read)? {
            let row = receipt(row).map_err(read)?;
            insert
                .execute(params![row.seq, row.received_at, row.json])
                .map_err(|error| self.unwritable(&error))?;
            behind = row.seq;
            bytes += row.bytes;
        }
        drop((rows, insert));
        self.target.execute_batch("COMMIT").map_err(|error| self.unwritable(&error))?;
        self.behind = behind;
        self.unsynced += bytes;
        Ok(bytes)
    }

    /// Copies a small table.
    fn copy_rows(&self, table: &str, columns: &str) -> Result<(), BackupError> {
        let read = |error| BackupError::from(sqlite(&self.from, &error));
        let places = vec!["?"; columns.split(',').count()].join(", ");
        let mut rows = self.source.prepare(&format!("SELECT {columns} FROM {table}")).map_err(read)?;
        let count = rows.column_count();
        let mut rows = rows.query([]).map_err(read)?;
        let insert = format!("INSERT INTO {table} ({columns}) VALUES ({places})");
        self.target.execute_batch("BEGIN").map_err(|error| self.unwritable(&error))?;
        let mut insert = self.target.prepare(&insert).map_err(|error| self.unwritable(&error))?;
        while let Some(row) = rows.next().map_err(read)? {
            let cells: rusqlite::Result<Vec<_>> = (0..count).map(|at| cell(row, at)).collect();
            let cells = cells.map_err(read)?;
            insert.execute(rusqlite::params_from_iter(cells)).map_err(|error| self.unwritable(&error))?;
        }
        drop(insert);
        self.target.execute_batch("COMMIT").map_err(|error| self.unwritable(&error))
    }

    /// The file first, then its name, then the folder that has the name.
    fn publish(&self) -> io::Result<u64> {
        self.file.sync_all()?;
        let bytes = self.file.metadata()?.len();
        if let Err(error) = std::fs::hard_link(&self.part, &self.to) {
            // Some file systems have no links. What has come to be there since the beginning is left alone all the same.
            if error.kind() == io::ErrorKind::AlreadyExists || self.to.symlink_metadata().is_ok() {
                return Err(error);
            }
            std::fs::rename(&self.part, &self.to)?;
        }
        File::open(folder(&self.to))?.sync_all()?;
        Ok(bytes)
    }

    fn unwritable(&self, error: &rusqlite::Error) -> BackupError {
        self.unwritten(&io::Error::other(error.to_string()))
    }

    fn unwritten(&self, error: &io::Error) -> BackupError {
        let source = io::Error::new(error.kind(), error.to_string());
        BackupError::Io { path: self.to.clone(), source }
    }
}

impl Drop for Backup {
    fn drop(&mut self) {
        // It may have become the backup itself.
        let _gone = std::fs::remove_file(&self.part);
    }
}

/// A receipt on its way, as it lies in the page that it was read from.
struct Receipt<'r> {
    seq: Seq,
    received_at: i64,
    json: ToSqlOutput<'r>,
    bytes: u64,
}

fn receipt<'r>(row: &'r Row<'_>) -> rusqlite::Result<Receipt<'r>> {
    let length = |value: ValueRef<'_>| match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len() as u64,
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => 8,
    };
    let bytes = length(row.get_ref(2)?);
    Ok(Receipt { seq: row.get(0)?, received_at: row.get(1)?, json: cell(row, 2)?, bytes })
}

fn cell<'r>(row: &'r Row<'_>, at: usize) -> rusqlite::Result<ToSqlOutput<'r>> {
    row.get_ref(at).map(ToSqlOutput::Borrowed)
}

/// An empty journal that nobody else opens, so nothing need be safe before the end.
fn prepare(part: &Path) -> rusqlite::Result<Connection> {
    let target = Connection::open(part)?;
    target.pragma_update(None, "page_size", 8_192)?;
    target.pragma_update(None, "journal_mode", "OFF")?;
    target.pragma_update(None, "synchronous", "OFF")?;
    target.pragma_update(None, "cache_size", -32_768)?;
    migrate(&target, 0)?;
    Ok(target)
}
