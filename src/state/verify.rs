//! Verifies a read state against the journal, for `readhook check --deep`: every receipt that it should cover is folded into
//! empty tables in memory, and the state must be at least as far. Reads in short steps, also beside the service; changes
//! nothing.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use super::fold::{Names, fold};
use super::path_beside;
use super::schema::{APPLICATION_ID, FORMAT, TABLES};
use crate::journal::{Archive, Seq, Stored, Verification, Verified};

/// What to do about whatever is wrong.
const MADE_AGAIN: &str = "`readhook rebuild-state` makes the read state again from the journal";

const READS: &str = "
    SELECT count(*) FROM main.reads r
    JOIN main.conversations c ON c.number = r.conversation
    LEFT JOIN state.conversations k
        ON k.vendor = c.vendor AND k.app = c.app AND k.id IS c.id AND k.kind = c.kind
    LEFT JOIN state.reads s ON s.conversation = k.number AND s.message = r.message AND s.reader = r.reader
    WHERE s.seq IS NULL OR s.seq < r.seq OR s.via > r.via
        OR (s.via = r.via AND r.read_at IS NOT NULL AND (s.read_at IS NULL OR s.read_at > r.read_at))";

const POSITIONS: &str = "
    SELECT count(*) FROM main.positions p
    JOIN main.conversations c ON c.number = p.conversation
    LEFT JOIN state.conversations k
        ON k.vendor = c.vendor AND k.app = c.app AND k.id IS c.id AND k.kind = c.kind
    LEFT JOIN state.positions s ON s.conversation = k.number AND s.reader = p.reader
    WHERE s.conversation IS NULL
        OR (p.message_seq IS NOT NULL AND (s.message_seq IS NULL OR s.message_seq < p.message_seq))
        OR (p.up_to_seq IS NOT NULL AND (s.up_to_seq IS NULL OR s.up_to_seq < p.up_to_seq))
        OR (p.up_to_time IS NOT NULL AND (s.up_to_time IS NULL OR s.up_to_time < p.up_to_time))
        OR (p.whole_at IS NOT NULL AND (s.whole_at IS NULL OR s.whole_at < p.whole_at))
        OR (p.read_at IS NOT NULL AND (s.read_at IS NULL OR s.read_at < p.read_at))";

const TOTALS: &str = "
    SELECT count(*) FROM main.totals t
    JOIN main.conversations c ON c.number = t.conversation
    LEFT JOIN state.conversations k
        ON k.vendor = c.vendor AND k.app = c.app AND k.id IS c.id AND k.kind = c.kind
    LEFT JOIN state.totals s ON s.conversation = k.number AND s.message = t.message
    WHERE s.seq IS NULL OR s.seq < t.seq
        OR (t.read IS NOT NULL AND (s.read IS NULL OR s.read < t.read))
        OR (t.unread IS NOT NULL AND (s.unread IS NULL OR s.unread > t.unread))";

/// Compares the read state with the receipts that it covers. `None` when there is no state yet.
///
/// # Errors
/// When one of the files cannot be read.
pub fn verify(
    journal: &Path,
    verification: &Verification,
    mut step: impl FnMut(u64, u64),
) -> Result<Option<Verified>, Box<dyn std::error::Error + Send + Sync>> {
    let path = path_beside(journal);
    if !std::fs::metadata(&path).is_ok_and(|file| file.len() > 0) {
        return Ok(None);
    }
    let mut verified = Verified::default();
    let memory = Connection::open_in_memory()?;
    memory.execute_batch(TABLES)?;
    memory.execute("ATTACH DATABASE ?1 AS state", [path.to_string_lossy()])?;
    memory.busy_timeout(Duration::from_secs(5))?;
    let pragma = |name| memory.pragma_query_value(Some("state"), name, |row| row.get::<_, i64>(0));
    if (pragma("application_id")?, pragma("user_version")?) != (APPLICATION_ID, FORMAT) {
        verified.problems.add("a read state of another format", || {
            format!("`{}` is no read state of this version; the next start makes it again", path.display())
        });
        return Ok(Some(verified));
    }
    let Some((owner, cursor, last)) = mark(&memory)? else {
        verified.looked_at = "empty".to_owned();
        return Ok(Some(verified));
    };
    let (identity, head, forgotten) = verification.identity()?;
    if identity.is_some_and(|identity| identity != owner) {
        verified.problems.add("the read state of another journal", || {
            format!("`{}` belongs to another journal; {MADE_AGAIN}", path.display())
        });
        return Ok(Some(verified));
    }
    if cursor > head {
        verified.problems.add("a read state ahead of the journal", || {
            format!(
                "the read state is at position {cursor}, ahead of the newest receipt {head}; {MADE_AGAIN}"
            )
        });
        return Ok(Some(verified));
    }
    let archive = Archive::open(journal)?;
    let at_cursor = archive.after(cursor - 1)?;
    if at_cursor.first().is_some_and(|found| found.seq == cursor && found.id() != Some(&last)) {
        verified.problems.add("a read state of another journal", || {
            format!("the journal has another receipt at position {cursor}, where the read state ended; {MADE_AGAIN}")
        });
    }
    let (mut behind, mut count) = (forgotten, 0_u64);
    let total = (cursor - forgotten).max(0).unsigned_abs();
    while behind < cursor {
        step(count, total);
        let mut batch = archive.after(behind)?;
        batch.retain(|stored| stored.seq <= cursor);
        let (Some(first), Some(end)) =
            (batch.first().map(|stored| stored.seq), batch.last().map(|stored| stored.seq))
        else {
            break;
        };
        let lacking = lacking(&memory, &batch)?;
        // Whoever makes it again meanwhile begins with an empty one.
        if mark(&memory)?.is_none_or(|(_, now, _)| now < end) {
            verified.looked_at = format!("{count} receipts, until the service began to make it again");
            return Ok(Some(verified));
        }
        if lacking > 0 && first > verification.identity()?.2 {
            verified.problems.add("stretches of receipts that are not in the read state", || {
                format!("{lacking} facts of the receipts at positions {first} to {end} are not in it; {MADE_AGAIN}")
            });
        }
        count += batch.len() as u64;
        behind = end;
    }
    verified.looked_at = format!("{count} receipts are in it");
    Ok(Some(verified))
}

fn mark(memory: &Connection) -> rusqlite::Result<Option<(i64, Seq, String)>> {
    let mut read = memory.prepare_cached("SELECT journal, cursor, last FROM state.progress")?;
    read.query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()
}

/// How many rows that these receipts make are not in the state, or not as far.
fn lacking(memory: &Connection, batch: &[Stored]) -> rusqlite::Result<i64> {
    memory.execute_batch(
        "BEGIN; DELETE FROM main.reads; DELETE FROM main.totals; DELETE FROM main.positions; \
         DELETE FROM main.conversations;",
    )?;
    // What is no receipt is reported with the receipts.
    let _no_receipts = fold(memory, &mut Names::default(), batch)?;
    memory.execute_batch("COMMIT")?;
    let count = |query| memory.prepare_cached(query)?.query_row([], |row| row.get::<_, i64>(0));
    Ok(count(READS)? + count(POSITIONS)? + count(TOTALS)?)
}

/// The state's file, for what is checked of any SQLite file.
pub fn file_of(journal: &Path) -> std::path::PathBuf {
    path_beside(journal)
}
