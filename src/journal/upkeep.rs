//! What the writer is asked for now and then: dead letters, marks, and what retention prunes.

use rusqlite::{Connection, OptionalExtension, params};

use super::{Holder, LetGo, Letters, PRUNED_MARK, Parked, Pruned, Seq, Stored};
use crate::receipt::Timestamp;

/// The marks that hold which receipts retention has pruned though a sink did not have them: the last range, and the total.
pub(super) fn let_go_marks(sink: &str) -> [String; 3] {
    ["let_go_from", "let_go_to", "let_go_count"].map(|mark| format!("{mark}/{sink}"))
}

/// Parks receipts in their order for as long as there is capacity for new dead letters. One that is parked already gets the
/// new time and reason, which needs no capacity.
///
/// The receipt is written as it was delivered, because retention may have pruned it meanwhile.
pub(super) fn park(
    connection: &Connection,
    sink: &str,
    receipts: &[Stored],
    reason: &str,
    at: Timestamp,
    capacity: Letters,
) -> rusqlite::Result<Parked> {
    let mut known = connection
        .prepare_cached("SELECT octet_length(reason) FROM dead_letters WHERE sink = ?1 AND seq = ?2")?;
    let mut again = connection
        .prepare_cached("UPDATE dead_letters SET at = ?3, reason = ?4 WHERE sink = ?1 AND seq = ?2")?;
    let mut first = connection.prepare_cached(
        "INSERT INTO dead_letters (sink, seq, at, reason, json) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let reason_bytes = length(reason);
    let mut parked = Parked::default();
    for receipt in receipts {
        let old: Option<i64> = known.query_row(params![sink, receipt.seq], |row| row.get(0)).optional()?;
        if let Some(old) = old {
            again.execute(params![sink, receipt.seq, at.as_millis(), reason])?;
            parked.added.bytes += reason_bytes - old;
        } else {
            let bytes = parked.added.bytes + reason_bytes + length(&receipt.json);
            if parked.added.entries >= capacity.entries || bytes > capacity.bytes {
                break;
            }
            first.execute(params![sink, receipt.seq, at.as_millis(), reason, receipt.json])?;
            parked.added.entries += 1;
            parked.added.bytes = bytes;
        }
        parked.settled += 1;
    }
    Ok(parked)
}

fn length(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}

/// Deletes dead letters, and says how many were there.
pub(super) fn unpark(connection: &Connection, sink: &str, seqs: &[Seq]) -> rusqlite::Result<Letters> {
    let mut delete = connection.prepare_cached(
        "DELETE FROM dead_letters WHERE sink = ?1 AND seq = ?2 \
         RETURNING octet_length(json) + octet_length(reason)",
    )?;
    let mut gone = Letters::default();
    for seq in seqs {
        let bytes: Option<i64> = delete.query_row(params![sink, seq], |row| row.get(0)).optional()?;
        if let Some(bytes) = bytes {
            gone.entries += 1;
            gone.bytes += bytes;
        }
    }
    Ok(gone)
}

/// Deletes from the old end, up to `through`, and no further than every sink has been or may be passed. The second is the
/// position that was reached.
pub(super) fn prune(
    connection: &Connection,
    through: Seq,
    holders: &[Holder],
) -> rusqlite::Result<Option<(Pruned, Seq)>> {
    let mut cursor = connection.prepare_cached("SELECT seq FROM cursors WHERE sink = ?1")?;
    let mut through = through;
    let mut reached = Vec::with_capacity(holders.len());
    for holder in holders {
        let cursor: Option<Seq> = cursor.query_row([&holder.sink], |row| row.get(0)).optional()?;
        let cursor = cursor.unwrap_or(0);
        reached.push(cursor);
        through = through.min(cursor.max(holder.may_pass));
    }
    let before = read_mark(connection, PRUNED_MARK)?.unwrap_or(0);
    let deleted = connection.prepare_cached("DELETE FROM receipts WHERE seq <= ?1")?.execute([through])?;
    if deleted == 0 {
        return Ok(None);
    }
    connection.execute(
        "DELETE FROM traces WHERE seq <= ?1 AND seq NOT IN (SELECT seq FROM dead_letters)",
        [through],
    )?;
    mark(connection, PRUNED_MARK, through)?;
    let mut let_go = Vec::new();
    for (holder, cursor) in holders.iter().zip(reached) {
        // Positions have no gaps, so all between are receipts that were there until now.
        let from = cursor.max(before) + 1;
        if from <= through {
            let sink = holder.sink.clone();
            remember(connection, &sink, from, through)?;
            let_go.push(LetGo { sink, from, to: through });
        }
    }
    let count = u32::try_from(deleted).unwrap_or(u32::MAX);
    Ok(Some((Pruned { count, let_go }, through)))
}

/// Adds to what a sink was not given: a range that follows the last one extends it.
fn remember(connection: &Connection, sink: &str, from: Seq, to: Seq) -> rusqlite::Result<()> {
    let [from_mark, to_mark, count_mark] = let_go_marks(sink);
    if read_mark(connection, &to_mark)? != Some(from - 1) {
        mark(connection, &from_mark, from)?;
    }
    mark(connection, &to_mark, to)?;
    let count = read_mark(connection, &count_mark)?.unwrap_or(0);
    mark(connection, &count_mark, count + (to - from + 1))
}

fn read_mark(connection: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    let mut find = connection.prepare_cached("SELECT value FROM marks WHERE name = ?1")?;
    find.query_row([name], |row| row.get(0)).optional()
}

pub(super) fn mark(connection: &Connection, name: &str, value: i64) -> rusqlite::Result<()> {
    let written = connection.execute(
        "INSERT INTO marks (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        params![name, value],
    );
    written.map(|_| ())
}
