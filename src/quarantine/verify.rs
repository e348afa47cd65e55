//! Verifies the quarantine's file, for `readhook check --deep`: that each callback in it can be taken out again. Reads in short
//! steps, also beside the service; changes nothing.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, Row};

use super::path_beside;
use super::store::BUSY;
use crate::receipt::{Timestamp, VendorName};

/// So many callbacks are read in one go.
const AT_ONCE: i64 = 200;

/// The quarantine of a journal.
pub(crate) fn file_of(journal: &Path) -> PathBuf {
    path_beside(journal)
}

/// Looks at every callback that is kept. How many there are, and the numbers of those that `requeue` could not take.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn verify(journal: &Path, mut step: impl FnMut(u64)) -> rusqlite::Result<(u64, Vec<i64>)> {
    let path = file_of(journal);
    // Without a WAL nobody has it open, and opening it for writing (nothing is written) leaves no files behind.
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    let in_use = Path::new(&wal).exists();
    let flags = if in_use { OpenFlags::SQLITE_OPEN_READ_ONLY } else { OpenFlags::SQLITE_OPEN_READ_WRITE };
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.busy_timeout(BUSY)?;
    let mut some = connection.prepare(
        "SELECT id, at, vendor, client, headers FROM callbacks WHERE id > ?1 ORDER BY id LIMIT ?2",
    )?;
    let (mut count, mut behind, mut unusable) = (0, i64::MIN, Vec::new());
    loop {
        step(count);
        let read = some.query_map([behind, AT_ONCE], |row| Ok((row.get(0)?, is_usable(row)?)))?;
        let read = read.collect::<rusqlite::Result<Vec<(i64, bool)>>>()?;
        let Some((last, _)) = read.last() else { return Ok((count, unusable)) };
        behind = *last;
        count += read.len() as u64;
        unusable.extend(read.iter().filter(|(_, usable)| !usable).map(|(id, _)| *id));
    }
}

fn is_usable(row: &Row<'_>) -> rusqlite::Result<bool> {
    let (at, vendor, client, headers): (i64, String, String, String) =
        (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
    Ok(Timestamp::from_millis(at).is_some()
        && VendorName::ALL.iter().any(|known| known.as_str() == vendor)
        && client.parse::<IpAddr>().is_ok()
        && serde_json::from_str::<Vec<(String, String)>>(&headers).is_ok())
}
