//! Opening a journal with care: who else has it, whose it is, which format, whether it is whole. Every check comes
//! before the first write.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::ids::Ids;
use super::schema::{APPLICATION_ID, FORMAT, migrate};
use super::{OpenError, Seq};
use crate::metrics::Metrics;

/// Up to this size the whole file is checked at start, which takes a fraction of a second.
const CHECKED_WHOLE_BYTES: u64 = 64 << 20;

/// The folder of the ids is called like the journal, with this behind it.
pub(super) const IDS: &str = ".ids";

/// Pages in the WAL after which a commit moves them into the main file: few enough that this is short, enough that
/// pages that many commits touch are moved once.
const CHECKPOINT_PAGES: u32 = 2_000;

pub(super) struct Opened {
    pub(super) connection: Connection,
    /// The journal's file, to be synced. Must be closed after every connection: the end of any handle of a file is the end
    /// of SQLite's own locks on it.
    pub(super) file: File,
    pub(super) head: Seq,
    pub(super) ids: Ids,
    pub(super) lock: File,
}

/// The path of a file that belongs to the journal.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The folder that a file lies in.
pub(super) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Opens for writing.
pub(super) fn open(path: &Path, metrics: &Metrics) -> Result<Opened, OpenError> {
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    let folder = folder(path);
    std::fs::create_dir_all(folder).map_err(io)?;
    let lock = lock(path)?;
    let is_new = !std::fs::metadata(path).is_ok_and(|file| file.len() > 0);

    let connection = Connection::open(path).map_err(|error| sqlite(path, &error))?;
    if !is_new {
        inspect(path, &connection)?;
    }
    prepare(&connection).map_err(|error| sqlite(path, &error))?;
    if is_new {
        // The name of a new file is safe only once its folder is.
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
    }
    let head = head(&connection).map_err(|error| sqlite(path, &error))?;
    let ids = Ids::open(path, &connection, metrics);
    // What the journal itself could not give is told of the journal.
    let ids = ids.map_err(|source| match source.get_ref().and_then(|cause| cause.downcast_ref()) {
        Some(error) => sqlite(path, error),
        None => OpenError::Io { path: beside(path, IDS), source },
    })?;
    let file = File::open(path).map_err(io)?;
    Ok(Opened { connection, file, head, ids, lock })
}

/// What `readhook check` finds out about a journal without changing it.
#[derive(Debug, PartialEq, Eq)]
pub enum Probe {
    /// There is none yet.
    Absent,
    /// It is whole, and its newest receipt is this one.
    Whole(Seq),
    /// A process has it open, most likely the service itself.
    Held,
}

/// Looks at the journal file, all of it, and changes nothing.
///
/// # Errors
/// As [`super::Journal::open`].
pub fn probe(path: &Path) -> Result<Probe, OpenError> {
    if !std::fs::metadata(path).is_ok_and(|file| file.len() > 0) {
        return Ok(Probe::Absent);
    }
    // Where there is no lock file, nobody has the journal open, and none is made.
    let held = beside(path, ".lock").exists().then(|| lock(path));
    match held {
        None | Some(Ok(_)) => {}
        Some(Err(OpenError::Held { .. })) => return Ok(Probe::Held),
        Some(Err(error)) => return Err(error),
    }
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .map_err(|error| sqlite(path, &error))?;
    inspect(path, &connection)?;
    check_whole(path, &connection)?;
    head(&connection).map(Probe::Whole).map_err(|error| sqlite(path, &error))
}

/// One process at a time: SQLite would let two write in turns, and each would count on its own.
fn lock(path: &Path) -> Result<File, OpenError> {
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(beside(path, ".lock"));
    let file = file.map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Held { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(io(source)),
    }
}

/// Checks a file that exists, before anything is written to it.
fn inspect(path: &Path, connection: &Connection) -> Result<(), OpenError> {
    recognise(path, connection)?;
    if std::fs::metadata(path).is_ok_and(|file| file.len() <= CHECKED_WHOLE_BYTES) {
        check_whole(path, connection)?;
    }
    Ok(())
}

/// Whether it is a journal, and one that this program can read.
pub(super) fn recognise(path: &Path, connection: &Connection) -> Result<(), OpenError> {
    let failed = |error: rusqlite::Error| sqlite(path, &error);
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, format) = (pragma("application_id"), pragma("user_version"));
    let (application, format) = (application.map_err(failed)?, format.map_err(failed)?);
    if application != APPLICATION_ID {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    if format > FORMAT {
        return Err(OpenError::Newer { path: path.to_owned(), found: format, known: FORMAT });
    }
    Ok(())
}

fn check_whole(path: &Path, connection: &Connection) -> Result<(), OpenError> {
    let result: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| sqlite(path, &error))?;
    if result == "ok" { Ok(()) } else { Err(OpenError::Damaged { path: path.to_owned(), problem: result }) }
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(5))?;
    // Of a new file only. Twice SQLite's default: a group commit then fills half as many pages, each two system calls.
    connection.pragma_update(None, "page_size", 8_192)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL: a commit returns after the fsync of the WAL. Nothing less keeps the promise.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    // Receipts are only appended: the pages that a large group commit fills, and the way to them.
    connection.pragma_update(None, "cache_size", -512)?;
    let format = connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))?;
    migrate(connection, format)
}

/// The newest position ever given out, which retention may have forgotten the receipt of.
pub(super) fn head(connection: &Connection) -> rusqlite::Result<Seq> {
    connection.query_row(
        "SELECT max(coalesce((SELECT max(seq) FROM receipts), 0), \
                    coalesce((SELECT value FROM marks WHERE name = 'pruned'), 0))",
        [],
        |row| row.get(0),
    )
}

/// Tells damage from everything else that SQLite can say.
pub(super) fn sqlite(path: &Path, error: &rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            OpenError::Damaged { path, problem: error.to_string() }
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::Held { path },
        _ => OpenError::Io { path, source: std::io::Error::other(error.to_string()) },
    }
}
