//! Opening a journal with care: who else has it, whose it is, which format, whether it is whole. Every check comes
//! before the first write.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::held::HeldFiles;
use super::ids::Ids;
use super::location::Location;
use super::lock::{self, Lock};
use super::schema::{APPLICATION_ID, FORMAT, TABLES, migrate};
use super::side_files;
use super::{Hazard, OpenError, Seq, recovery};
pub(super) use crate::files::{beside, folder};
use crate::metrics::Metrics;

/// Up to this size the whole file is checked at start, which takes a fraction of a second.
const CHECKED_WHOLE_BYTES: u64 = 64 << 20;

/// The folder of the ids is called like the journal, with this behind it.
pub(super) const IDS: &str = ".ids";

pub(super) struct Opened {
    pub(super) connection: Connection,
    /// Must be closed after every connection.
    pub(super) held: Arc<HeldFiles>,
    pub(super) head: Seq,
    pub(super) ids: Ids,
}

/// Takes the lock and opens for writing.
pub(super) fn open(configured: &Path, metrics: &Metrics) -> Result<(Arc<Lock>, Opened), OpenError> {
    let lock = Lock::take(configured)?;
    for warning in &lock.location().warnings {
        tracing::warn!("{warning}");
    }
    let opened = open_locked(&lock, metrics)?;
    Ok((Arc::new(lock), opened))
}

/// Opens for writing what this process has locked; also again, once every connection and descriptor of the time before is
/// closed. What the WAL held is in the main file then, and on disk. Fails when the journal was replaced meanwhile.
pub(super) fn open_locked(lock: &Lock, metrics: &Metrics) -> Result<Opened, OpenError> {
    lock.verify()?;
    let location = lock.location();
    // SQLite would delete the log of an empty file.
    side_files::examine(location)?;
    let (path, file) = (&*location.configured, &*location.path);
    recovery::before_open(file)?;
    let connection = Connection::open(file).map_err(|error| sqlite(path, &error))?;
    recovery::leave_wal_alone(&connection).map_err(|error| sqlite(path, &error))?;
    let examined = match is_blank(&connection) {
        Ok(true) => side_files::examine_beside_blank(location),
        Ok(false) => inspect(path, &connection),
        Err(error) => Err(sqlite(path, &error)),
    };
    if let Err(refused) = examined {
        recovery::leave_nothing_behind(file, &connection);
        return Err(refused);
    }
    let held = prepare(path, file, &connection)?;
    let head = head(&connection).map_err(|error| sqlite(path, &error))?;
    let ids = Ids::open(file, &connection, metrics);
    // What the journal itself could not give is told of the journal.
    let ids = ids.map_err(|source| match source.get_ref().and_then(|cause| cause.downcast_ref()) {
        Some(error) => sqlite(path, error),
        None => OpenError::Io { path: beside(path, IDS), source },
    })?;
    Ok(Opened { connection, held, head, ids })
}

/// Whether it is a database in which there has never been anything: a new file, or what a first start leaves that was
/// killed before its first commit.
fn is_blank(connection: &Connection) -> rusqlite::Result<bool> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    Ok(tables == 0 && number("application_id")? == 0 && number("user_version")? == 0)
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

/// Looks at the journal file, all of it, and changes nothing. Logs what a start would warn of.
///
/// # Errors
/// As [`super::Journal::open`].
pub fn probe(path: &Path) -> Result<Probe, OpenError> {
    let location = Location::find(path)?;
    for warning in &location.warnings {
        tracing::warn!("{warning}");
    }
    if lock::is_held(&location)? {
        return Ok(Probe::Held);
    }
    side_files::examine(&location)?;
    if !std::fs::metadata(&location.path).is_ok_and(|file| file.len() > 0) {
        return Ok(Probe::Absent);
    }
    let connection = Connection::open_with_flags(&location.path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .map_err(|error| sqlite(path, &error))?;
    recovery::leave_wal_alone(&connection).map_err(|error| sqlite(path, &error))?;
    let examine = || {
        if is_blank(&connection).map_err(|error| sqlite(path, &error))? {
            side_files::examine_beside_blank(&location)?;
            return Ok(Probe::Absent);
        }
        inspect(path, &connection)?;
        check_whole(path, &connection)?;
        head(&connection).map(Probe::Whole).map_err(|error| sqlite(path, &error))
    };
    let found = examine();
    recovery::leave_nothing_behind(&location.path, &connection);
    found
}

/// The path of a journal's file behind symbolic links: what belongs to it lies beside that. The path itself where it cannot be
/// found out.
pub fn resolved(path: &Path) -> PathBuf {
    super::location::resolve(path).unwrap_or_else(|_| path.to_owned())
}

/// Opens a journal for reading, beside whoever has it.
///
/// # Errors
/// When it is missing or empty, no journal, or cannot be read.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, OpenError> {
    let file = match Location::find(path) {
        Ok(location) => {
            // Before SQLite opens it, which would delete the log of an empty file.
            side_files::examine(&location)?;
            location.path
        }
        // Receipts can be read and saved where no journal can be kept.
        Err(OpenError::Unsafe { why: Hazard::Network(_) | Hazard::MountPoint, .. }) => resolved(path),
        Err(error) => return Err(error),
    };
    let failed = |error: rusqlite::Error| sqlite(path, &error);
    let connection = Connection::open_with_flags(&file, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
    recovery::leave_wal_alone(&connection).map_err(failed)?;
    connection.busy_timeout(Duration::from_secs(5)).map_err(failed)?;
    recognise(path, &connection)?;
    Ok(connection)
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
    if format < 1 {
        return Err(OpenError::Unknown { path: path.to_owned(), found: format });
    }
    for table in TABLES {
        let there = connection.query_row(
            "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1)",
            [table],
            |row| row.get(0),
        );
        if !there.map_err(failed)? {
            let problem = format!("it has no table `{table}`");
            return Err(OpenError::Damaged { path: path.to_owned(), problem });
        }
    }
    Ok(())
}

fn check_whole(path: &Path, connection: &Connection) -> Result<(), OpenError> {
    let result: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| sqlite(path, &error))?;
    if result == "ok" { Ok(()) } else { Err(OpenError::Damaged { path: path.to_owned(), problem: result }) }
}

/// Makes it fit to be appended to: settings, everything in the main file, the newest format, and all of that on disk.
fn prepare(path: &Path, file: &Path, connection: &Connection) -> Result<Arc<HeldFiles>, OpenError> {
    let set = || {
        connection.busy_timeout(Duration::from_secs(5))?;
        // Of a new file only. Twice SQLite's default: a group commit then fills half as many pages, each two system calls.
        connection.pragma_update(None, "page_size", 8_192)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // FULL: a commit returns after the fsync of the WAL. Nothing less keeps the promise.
        connection.pragma_update(None, "synchronous", "FULL")?;
        // Receipts are only appended: the pages that a large group commit fills, and the way to them.
        connection.pragma_update(None, "cache_size", -512)
    };
    let failed = |error: rusqlite::Error| sqlite(path, &error);
    set().map_err(failed)?;
    recovery::move_all(file, connection)?;
    let format = connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
    migrate(connection, format.map_err(failed)?).map_err(failed)?;
    // After a new format the log is as large as what was copied; otherwise it is empty.
    recovery::move_all(file, connection)?;
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    let held = Arc::new(HeldFiles::open(file).map_err(io)?);
    match held.sync_all() {
        Ok(()) => Ok(held),
        Err((path, source)) => Err(OpenError::Io { path, source }),
    }
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
        Some(ErrorCode::DiskFull) => OpenError::Io {
            path,
            source: std::io::Error::new(std::io::ErrorKind::StorageFull, error.to_string()),
        },
        _ => OpenError::Io { path, source: std::io::Error::other(error.to_string()) },
    }
}
