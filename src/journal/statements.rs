//! The statements of the hot path, prepared once: each receipt that is new is one row at the end of one table, and whether
//! it is new is asked of the [`Ids`] first.

use rusqlite::{Connection, OptionalExtension, Statement, params};

use super::entry::id_in;
use super::ids::Ids;
use super::repeat::{Repeat, compare};
use super::{Committed, Entries, Entry, Seq, Stored};

/// Why a transaction failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Ids(#[from] std::io::Error),
}

/// The statements of the hot path, prepared once.
pub(super) struct Statements<'c> {
    pub(super) begin: Statement<'c>,
    pub(super) commit: Statement<'c>,
    pub(super) rollback: Statement<'c>,
    insert: Statement<'c>,
    trace: Statement<'c>,
    find: Statement<'c>,
    advance: Statement<'c>,
}

impl<'c> Statements<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            begin: connection.prepare("BEGIN IMMEDIATE")?,
            commit: connection.prepare("COMMIT")?,
            rollback: connection.prepare("ROLLBACK")?,
            insert: connection
                .prepare("INSERT INTO receipts (seq, received_at, json) VALUES (?1, ?2, ?3)")?,
            trace: connection.prepare("INSERT INTO traces (seq, context) VALUES (?1, ?2)")?,
            find: connection.prepare("SELECT json FROM receipts WHERE seq = ?1")?,
            advance: connection.prepare(
                "INSERT INTO cursors (sink, seq) VALUES (?1, ?2) \
                 ON CONFLICT (sink) DO UPDATE SET seq = excluded.seq",
            )?,
        })
    }

    /// Stores what is new of a callback's receipts.
    pub(super) fn store(
        &mut self,
        entries: &Entries,
        ids: &mut Ids,
        head: &mut Seq,
        committed: &mut Committed,
        fresh: &mut Vec<Stored>,
    ) -> Result<(), StoreError> {
        for entry in entries {
            let fingerprint = entry.id.fingerprint();
            if let Some(stored) = self.stored(entry, ids.find(fingerprint)?)? {
                committed.repeated += 1;
                match compare(&stored, &entry.json, entry.by_event) {
                    Repeat::Same => {}
                    Repeat::Differing => committed.differing += 1,
                    Repeat::Conflict => committed.conflicts += 1,
                }
                continue;
            }
            *head += 1;
            ids.add(fingerprint, *head);
            self.insert.execute(params![*head, entry.received_at, entry.json])?;
            committed.first.get_or_insert(*head);
            committed.count_new(entry.scope);
            if let Some(trace) = &entry.trace {
                self.trace.execute(params![*head, trace.as_str()])?;
            }
            // The entry stays whole: it is stored once more when the disk was full and its reserve is given up.
            let (received_at, json, trace) = (entry.received_at, entry.json.clone(), entry.trace.clone());
            fresh.push(Stored { seq: *head, received_at, json, trace });
        }
        Ok(())
    }

    /// The receipt with the same id, if it is at one of these positions.
    fn stored(&mut self, entry: &Entry, maybe: &[Seq]) -> rusqlite::Result<Option<String>> {
        for seq in maybe {
            let found: Option<String> = self.find.query_row([seq], |row| row.get(0)).optional()?;
            if found.as_deref().and_then(id_in) == Some(entry.id) {
                return Ok(found);
            }
        }
        Ok(None)
    }

    pub(super) fn cursor(
        &mut self,
        connection: &Connection,
        sink: &str,
        otherwise: Seq,
    ) -> rusqlite::Result<Seq> {
        let known = connection
            .query_row("SELECT seq FROM cursors WHERE sink = ?1", [sink], |row| row.get(0))
            .optional()?;
        match known {
            Some(seq) => Ok(seq),
            None => self.advance(sink, otherwise).map(|()| otherwise),
        }
    }

    pub(super) fn advance(&mut self, sink: &str, to: Seq) -> rusqlite::Result<()> {
        self.advance.execute(params![sink, to]).map(|_| ())
    }
}
