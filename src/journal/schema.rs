//! The journal's tables, and the steps from each format to the next. A step, once released, never changes.

use rusqlite::Connection;

/// "RdHk": tells a journal from any other SQLite file.
pub(super) const APPLICATION_ID: i64 = 0x5264_486B;

/// The tables that a journal of every format has.
pub(super) const TABLES: [&str; 4] = ["receipts", "cursors", "dead_letters", "marks"];

/// Step n leads to format n + 1.
///
/// In format 1 `receipts.key` was unique. An index of keys costs a page for every receipt when they come in no order, so
/// since format 2 the rows are appended and nothing else; that each is there once is the business of `ids`, which knows it
/// by the id that its JSON begins with. All receipts are copied once, in one transaction.
const STEPS: [&str; 2] = [
    "
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
",
    "
    CREATE TABLE receipts_2 (
        seq         INTEGER PRIMARY KEY,
        received_at INTEGER NOT NULL,
        json        TEXT NOT NULL
    ) STRICT;
    INSERT INTO receipts_2 SELECT seq, received_at, json FROM receipts ORDER BY seq;
    DROP TABLE receipts;
    ALTER TABLE receipts_2 RENAME TO receipts;
",
];

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
    if from > 0 {
        tracing::info!(
            from,
            to = FORMAT,
            "bringing the journal to a new format, which takes some seconds for each GiB"
        );
    }
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; {steps} {BESIDE} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}; COMMIT;"
    ))?;
    Ok(())
}
