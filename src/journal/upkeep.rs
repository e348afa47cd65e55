//! What the writer is asked for now and then: dead letters, marks, and what retention forgets.

use rusqlite::{Connection, OptionalExtension, params};

use super::{PRUNED_MARK, Seq};
use crate::receipt::Timestamp;

/// Retention may have forgotten the receipt of a letter that is parked anew, so what is there is looked at first.
pub(super) fn park(
    connection: &Connection,
    sink: &str,
    seqs: &[Seq],
    reason: &str,
    at: Timestamp,
) -> rusqlite::Result<()> {
    let mut again = connection
        .prepare_cached("UPDATE dead_letters SET at = ?3, reason = ?4 WHERE sink = ?1 AND seq = ?2")?;
    let mut first = connection.prepare_cached(
        "INSERT INTO dead_letters (sink, seq, at, reason, json) \
         SELECT ?1, seq, ?3, ?4, json FROM receipts WHERE seq = ?2",
    )?;
    for seq in seqs {
        let letter = params![sink, seq, at.as_millis(), reason];
        if again.execute(letter)? == 0 {
            first.execute(letter)?;
        }
    }
    Ok(())
}

pub(super) fn unpark(connection: &Connection, sink: &str, seqs: &[Seq]) -> rusqlite::Result<()> {
    let mut delete = connection.prepare_cached("DELETE FROM dead_letters WHERE sink = ?1 AND seq = ?2")?;
    seqs.iter().try_for_each(|seq| delete.execute(params![sink, seq]).map(|_| ()))
}

/// Deletes from the old end, up to `through`, and no further than every sink has been. How many, and up to where.
pub(super) fn prune(
    connection: &Connection,
    through: Seq,
    sinks: &[String],
) -> rusqlite::Result<Option<(u32, Seq)>> {
    let mut cursor = connection.prepare_cached("SELECT seq FROM cursors WHERE sink = ?1")?;
    let mut through = through;
    for sink in sinks {
        let reached: Option<Seq> = cursor.query_row([sink], |row| row.get(0)).optional()?;
        through = through.min(reached.unwrap_or(0));
    }
    let deleted = connection.prepare_cached("DELETE FROM receipts WHERE seq <= ?1")?.execute([through])?;
    if deleted == 0 {
        return Ok(None);
    }
    connection.execute(
        "DELETE FROM traces WHERE seq <= ?1 AND seq NOT IN (SELECT seq FROM dead_letters)",
        [through],
    )?;
    mark(connection, PRUNED_MARK, through)?;
    Ok(Some((u32::try_from(deleted).unwrap_or(u32::MAX), through)))
}

pub(super) fn mark(connection: &Connection, name: &str, value: i64) -> rusqlite::Result<()> {
    let written = connection.execute(
        "INSERT INTO marks (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        params![name, value],
    );
    written.map(|_| ())
}
