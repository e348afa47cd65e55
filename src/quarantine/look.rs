//! Looking into the quarantine's file, on connections of their own, so that the writer does not wait.

use std::borrow::Cow;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use super::store::BUSY;
use super::{Listed, Suspect, Wanted};
use crate::receipt::{Timestamp, VendorName};

const WHOLE: &str =
    "SELECT id, at, vendor, client, outcome, reason, path, query, headers, body FROM callbacks";
const FITS: &str = "(?2 IS NULL OR vendor = ?2) AND (?3 IS NULL OR reason = ?3) AND (?4 IS NULL OR at >= ?4)";

/// Callbacks behind an entry, oldest first.
pub(super) fn read(
    path: &Path,
    wanted: &Wanted,
    behind: i64,
    limit: usize,
) -> rusqlite::Result<Vec<(i64, Suspect)>> {
    let connection = open(path)?;
    let mut statement =
        connection.prepare(&format!("{WHOLE} WHERE id > ?1 AND {FITS} ORDER BY id LIMIT ?5"))?;
    let (vendor, reason, since, limit) = values(wanted, limit);
    statement.query_map(params![behind, vendor, reason, since, limit], whole)?.collect()
}

/// One callback.
pub(super) fn find(path: &Path, id: i64) -> rusqlite::Result<Option<Suspect>> {
    let found = open(path)?.query_row(&format!("{WHOLE} WHERE id = ?1"), [id], whole).optional()?;
    Ok(found.map(|(_, suspect)| suspect))
}

/// What a list tells of callbacks behind an entry.
pub(super) fn list(
    path: &Path,
    wanted: &Wanted,
    newest_first: bool,
    behind: Option<i64>,
    limit: usize,
) -> rusqlite::Result<Vec<Listed>> {
    let (than, order, beginning) =
        if newest_first { ("<", "DESC", i64::MAX) } else { (">", "ASC", i64::MIN) };
    let connection = open(path)?;
    let mut statement = connection.prepare(&format!(
        "SELECT id, at, vendor, client, outcome, reason, path, length(body) FROM callbacks \
         WHERE id {than} ?1 AND {FITS} ORDER BY id {order} LIMIT ?5"
    ))?;
    let (vendor, reason, since, limit) = values(wanted, limit);
    let behind = behind.unwrap_or(beginning);
    let found = statement.query_map(params![behind, vendor, reason, since, limit], |row| {
        Ok(Listed {
            id: row.get(0)?,
            at: row.get(1)?,
            vendor: row.get(2)?,
            client: row.get(3)?,
            outcome: row.get(4)?,
            reason: row.get(5)?,
            path: row.get(6)?,
            body_bytes: row.get(7)?,
        })
    })?;
    found.collect()
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(BUSY)?;
    Ok(connection)
}

/// What [`FITS`] compares with, and the limit.
fn values(wanted: &Wanted, limit: usize) -> (Option<&'static str>, Option<&str>, Option<i64>, i64) {
    let Wanted { vendor, reason, since } = wanted;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    (vendor.map(VendorName::as_str), reason.as_deref(), since.map(Timestamp::as_millis), limit)
}

fn whole(row: &Row<'_>) -> rusqlite::Result<(i64, Suspect)> {
    let text = |at| row.get::<_, String>(at).map(Cow::Owned);
    let suspect = Suspect {
        at: row.get(1)?,
        vendor: text(2)?,
        client: row.get(3)?,
        outcome: text(4)?,
        reason: text(5)?,
        path: row.get(6)?,
        query: row.get(7)?,
        headers: row.get(8)?,
        body: row.get::<_, Vec<u8>>(9)?.into(),
    };
    Ok((row.get(0)?, suspect))
}
