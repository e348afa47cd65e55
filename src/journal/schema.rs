//! The journal's tables, and the steps from each format to the next. A step, once released, never changes.

use rusqlite::Connection;

/// "RdHk": tells a journal from any other SQLite file.
pub(super) const APPLICATION_ID: i64 = 0x5264_486B;

/// Step n leads to format n + 1.
///
/// `receipts.key` is unique and nullable: SQLite holds no two NULLs for equal, which is what an event without
/// identity needs. The rows are appended by `seq`; the keys go into one index, most of them at its right edge.
const STEPS: [&str; 1] = ["
    CREATE TABLE receipts (
        seq         INTEGER PRIMARY KEY,
        received_at INTEGER NOT NULL,
        key         BLOB UNIQUE,
        json        TEXT NOT NULL
    ) STRICT;
    CREATE TABLE cursors (
        sink TEXT PRIMARY KEY,
        seq  INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE dead_letters (
        sink   TEXT NOT NULL,
        seq    INTEGER NOT NULL,
        at     INTEGER NOT NULL,
        reason TEXT NOT NULL,
        json   TEXT NOT NULL,
        PRIMARY KEY (sink, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE marks (
        name  TEXT PRIMARY KEY,
        value INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
"];

/// What is made where it is missing and makes no new format: a program that does not know it does no harm.
///
/// `traces` has a row only for a receipt whose callback was followed, so that nobody else pays for it.
const BESIDE: &str = "
    CREATE TABLE IF NOT EXISTS traces (
        seq     INTEGER PRIMARY KEY,
        context TEXT NOT NULL
    ) STRICT;
";

/// The format that this program writes.
pub(super) const FORMAT: i64 = STEPS.len() as i64;

/// Takes a file of format `from` to [`FORMAT`], in one transaction.
pub(super) fn migrate(connection: &Connection, from: i64) -> rusqlite::Result<()> {
    let steps: String = STEPS.iter().skip(usize::try_from(from).unwrap_or(usize::MAX)).copied().collect();
    if steps.is_empty() {
        return connection.execute_batch(BESIDE);
    }
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; {steps} {BESIDE} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}; COMMIT;"
    ))
}
