//! Looking into the quarantine's file, on connections of their own, so that the writer does not wait.

use std::borrow::Cow;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use super::store::BUSY;
use super::{Class, Kept, Listed, Suspect, Wanted};
use crate::receipt::{Timestamp, VendorName};

const WHOLE: &str = "SELECT id, class, at, vendor, client, outcome, reason, path, query, headers, body, receipts \
     FROM callbacks";
const FITS: &str = "(?2 IS NULL OR vendor = ?2) AND (?3 IS NULL OR reason = ?3) AND (?4 IS NULL OR at >= ?4) \
     AND (?6 IS NULL OR class = ?6)";
/// The very words of the index on those that wait for the journal.
const WAITING: &str = "class = 1 AND outcome = 'unavailable'";

/// Callbacks behind an entry, oldest first.
pub(super) fn read(path: &Path, wanted: &Wanted, behind: i64, limit: usize) -> rusqlite::Result<Vec<Kept>> {
    let connection = open(path)?;
    let more = if wanted.waiting { WAITING } else { "true" };
    let mut statement =
        connection.prepare(&format!("{WHOLE} WHERE id > ?1 AND {FITS} AND {more} ORDER BY id LIMIT ?5"))?;
    let (vendor, reason, since, limit, class) = values(wanted, limit);
    statement.query_map(params![behind, vendor, reason, since, limit, class], whole)?.collect()
}

/// One callback.
pub(super) fn find(path: &Path, id: i64) -> rusqlite::Result<Option<Kept>> {
    open(path)?.query_row(&format!("{WHOLE} WHERE id = ?1"), [id], whole).optional()
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
        "SELECT id, at, vendor, client, outcome, reason, path, length(body), class FROM callbacks \
         WHERE id {than} ?1 AND {FITS} ORDER BY id {order} LIMIT ?5"
    ))?;
    let (vendor, reason, since, limit, class) = values(wanted, limit);
    let behind = behind.unwrap_or(beginning);
    let found = statement.query_map(params![behind, vendor, reason, since, limit, class], |row| {
        Ok(Listed {
            id: row.get(0)?,
            at: row.get(1)?,
            vendor: row.get(2)?,
            client: row.get(3)?,
            outcome: row.get(4)?,
            reason: row.get(5)?,
            path: row.get(6)?,
            body_bytes: row.get(7)?,
            class: class_in(row, 8)?,
        })
    })?;
    found.collect()
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(BUSY)?;
    Ok(connection)
}

/// Vendor, reason, earliest time, limit, class.
type Values<'w> = (Option<&'static str>, Option<&'w str>, Option<i64>, i64, Option<i64>);

/// What [`FITS`] compares with, and the limit.
fn values(wanted: &Wanted, limit: usize) -> Values<'_> {
    let Wanted { vendor, reason, since, class, waiting: _ } = wanted;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let (vendor, class) = (vendor.map(VendorName::as_str), class.map(Class::number));
    (vendor, reason.as_deref(), since.map(Timestamp::as_millis), limit, class)
}

fn class_in(row: &Row<'_>, at: usize) -> rusqlite::Result<Class> {
    let number = row.get(at)?;
    Class::of(number).ok_or(rusqlite::Error::IntegralValueOutOfRange(at, number))
}

fn whole(row: &Row<'_>) -> rusqlite::Result<Kept> {
    let text = |at| row.get::<_, String>(at).map(Cow::Owned);
    let suspect = Suspect {
        at: row.get(2)?,
        vendor: text(3)?,
        client: row.get(4)?,
        outcome: text(5)?,
        reason: text(6)?,
        path: row.get(7)?,
        query: row.get(8)?,
        headers: row.get(9)?,
        body: row.get::<_, Vec<u8>>(10)?.into(),
        receipts: row.get(11)?,
    };
    Ok(Kept { id: row.get(0)?, class: class_in(row, 1)?, suspect })
}
