//! What comes before anything may be appended to a journal: everything that its WAL holds is moved into the main file and
//! synced. A frame can be readable, from the page cache, and yet not be on disk, after a sync that failed in this process or in
//! the one before it; whatever is appended behind such a frame is lost with it in a power cut.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::OpenError;
use super::open::{beside, sqlite};

/// Where SQLite's lock "somebody has this WAL index open" lies in the `-shm` file (`UNIX_SHM_DMS` in its `os_unix.c`).
#[cfg(any(target_os = "linux", target_os = "macos"))]
const OPEN_LOCK: u64 = 128;
/// How much of a WAL is written again at once.
const PIECE: usize = 1 << 20;

/// Makes sure, before any connection of this process opens the journal, that its WAL can be moved: nobody else has the WAL index
/// open, so that SQLite builds it anew and counts no frame as moved; and the WAL itself is on disk.
///
/// # Errors
/// [`OpenError::Shared`] when another process has it open; otherwise the disk's.
pub(super) fn before_open(journal: &Path) -> Result<(), OpenError> {
    let wal = beside(journal, "-wal");
    if is_empty(&wal)? {
        return Ok(());
    }
    let shm = beside(journal, "-shm");
    match user_of(&shm) {
        Ok(None) => {}
        Ok(Some(process)) => return Err(OpenError::Shared { path: journal.to_owned(), process }),
        Err(source) => return Err(OpenError::Io { path: shm, source }),
    }
    write_again(&wal).map_err(|source| OpenError::Io { path: wal, source })
}

/// Moves everything into the main file and empties the WAL. Call it before the first write to a journal that was opened.
///
/// # Errors
/// When not all of it could be moved.
pub(super) fn move_all(journal: &Path, connection: &Connection) -> Result<(), OpenError> {
    if is_empty(&beside(journal, "-wal"))? {
        return Ok(());
    }
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let (busy, log, moved): (i64, i64, i64) = connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], row)
        .map_err(|error| sqlite(journal, &error))?;
    if (busy, log, moved) == (0, 0, 0) {
        return Ok(());
    }
    let problem = format!(
        "its log could not be moved into the file: wal_checkpoint(TRUNCATE) returned busy = {busy}, log = {log}, moved = {moved}"
    );
    Err(OpenError::Io { path: journal.to_owned(), source: io::Error::other(problem) })
}

fn is_empty(wal: &Path) -> Result<bool, OpenError> {
    match std::fs::metadata(wal) {
        Ok(wal) => Ok(wal.len() == 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(source) => Err(OpenError::Io { path: wal.to_owned(), source }),
    }
}

/// Makes the end of a connection do nothing to the files: SQLite would move the WAL and delete it without telling what came of
/// it. And no commit moves anything by itself.
///
/// # Errors
/// SQLite's.
pub(super) fn leave_wal_alone(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)
}

/// Lets the end of a connection that only looked remove the files that SQLite made for it. Where the WAL holds something they
/// stay: that is for a start to move.
pub(super) fn leave_nothing_behind(journal: &Path, connection: &Connection) {
    if is_empty(&beside(journal, "-wal")).unwrap_or(false)
        && let Err(error) = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)
    {
        tracing::debug!(%error, "an empty log stays beside the journal");
    }
}

/// The process that has the WAL index open. To be asked while this process has no connection to the journal: the end of the
/// descriptor that is opened here would be the end of SQLite's locks.
#[cfg(any(target_os = "linux", target_os = "macos"))]
fn user_of(shm: &Path) -> io::Result<Option<i32>> {
    use rustix::process::{Flock, FlockOffsetType, FlockType, fcntl_getlk};
    let file = match File::open(shm) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let lock = Flock {
        start: OPEN_LOCK,
        length: 1,
        pid: None,
        typ: FlockType::WriteLock,
        offset_type: FlockOffsetType::Set,
    };
    let held = fcntl_getlk(&file, &lock)?;
    // A process of another PID namespace has no number here.
    Ok(held.map(|lock| lock.pid.map_or(0, |pid| pid.as_raw_nonzero().get())))
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn user_of(_shm: &Path) -> io::Result<Option<i32>> {
    Ok(None)
}

/// Writes a WAL over itself and syncs it. Bytes that are only in the page cache after a failed sync look clean there, so that a
/// sync alone would do nothing for them.
fn write_again(wal: &Path) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(wal)?;
    let (mut at, mut piece) = (0, vec![0; PIECE]);
    loop {
        let read = file.read_at(&mut piece, at)?;
        if read == 0 {
            return file.sync_all();
        }
        file.write_all_at(piece.get(..read).unwrap_or_default(), at)?;
        at += read as u64;
    }
}
