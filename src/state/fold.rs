//! The merge: receipts into tables. Each rule takes the greater or the lesser of two values of a total order, so the
//! tables are the same whatever the order of the receipts, however often they come, and however they are cut into
//! batches; and nothing ever goes backwards.

use std::collections::HashMap;
use std::fmt::Write as _;

use rusqlite::types::ToSqlOutput;
use rusqlite::{CachedStatement, Connection, OptionalExtension, ToSql, params};

use super::fact::{Fact, Where};
use crate::journal::{Seq, Stored};
use crate::receipt::{Scope, Timestamp};

/// How many conversations' numbers are remembered; the file has them all.
const NAMES: usize = 16_384;

/// A receipt of the message beats one up to it; then the earlier time does, and a time beats none. (`min` and `max` of
/// two values are null when one of them is, hence `coalesce`.)
const READ: &str = "
    INSERT INTO reads (conversation, message, reader, via, read_at, seq) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
    ON CONFLICT (conversation, message, reader) DO UPDATE SET
        via = min(via, excluded.via),
        read_at = CASE
            WHEN excluded.via < via THEN excluded.read_at
            WHEN excluded.via = via THEN coalesce(min(read_at, excluded.read_at), read_at, excluded.read_at)
            ELSE read_at END,
        seq = max(seq, excluded.seq)";

/// The furthest wins; of two that are as far, the one that was earlier there, and a time beats none.
const POSITION: &str = "
    INSERT INTO positions
        (conversation, reader, message_seq, up_to_seq, up_to_seq_at, up_to_time, up_to_time_at, whole_at, read_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
    ON CONFLICT (conversation, reader) DO UPDATE SET
        message_seq = coalesce(max(message_seq, excluded.message_seq), message_seq, excluded.message_seq),
        up_to_seq = coalesce(max(up_to_seq, excluded.up_to_seq), up_to_seq, excluded.up_to_seq),
        up_to_seq_at = CASE
            WHEN up_to_seq IS NULL OR excluded.up_to_seq > up_to_seq THEN excluded.up_to_seq_at
            WHEN excluded.up_to_seq = up_to_seq
                THEN coalesce(min(up_to_seq_at, excluded.up_to_seq_at), up_to_seq_at, excluded.up_to_seq_at)
            ELSE up_to_seq_at END,
        up_to_time = coalesce(max(up_to_time, excluded.up_to_time), up_to_time, excluded.up_to_time),
        up_to_time_at = CASE
            WHEN up_to_time IS NULL OR excluded.up_to_time > up_to_time THEN excluded.up_to_time_at
            WHEN excluded.up_to_time = up_to_time
                THEN coalesce(min(up_to_time_at, excluded.up_to_time_at), up_to_time_at, excluded.up_to_time_at)
            ELSE up_to_time_at END,
        whole_at = coalesce(max(whole_at, excluded.whole_at), whole_at, excluded.whole_at),
        read_at = coalesce(max(read_at, excluded.read_at), read_at, excluded.read_at)";

/// Readers only become more.
const TOTAL: &str = "
    INSERT INTO totals (conversation, message, read, unread, seq) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (conversation, message) DO UPDATE SET
        read = coalesce(max(read, excluded.read), read, excluded.read),
        unread = coalesce(min(unread, excluded.unread), unread, excluded.unread),
        seq = max(seq, excluded.seq)";

/// The numbers that stand for conversations in the tables.
#[derive(Default)]
pub(super) struct Names {
    known: HashMap<String, i64>,
    key: String,
}

impl Names {
    /// After a transaction that was taken back its numbers mean nothing any more.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    fn number(&mut self, connection: &Connection, fact: &Fact<'_>) -> rusqlite::Result<i64> {
        let Where { kind, id } = &fact.conversation;
        self.key.clear();
        let named = if id.is_some() { '+' } else { '-' };
        // The length keeps an app's name and a conversation's id apart. Writing to memory does not fail.
        let _written = write!(self.key, "{}/{kind}/{}/{}{named}", fact.vendor, fact.app.len(), fact.app);
        self.key.push_str(id.as_deref().unwrap_or_default());
        if let Some(number) = self.known.get(&self.key) {
            return Ok(*number);
        }
        let name = params![fact.vendor, fact.app, id, kind];
        let mut find = connection.prepare_cached(
            "SELECT number FROM conversations WHERE vendor = ?1 AND app = ?2 AND id IS ?3 AND kind = ?4",
        )?;
        let number = match find.query_row(name, |row| row.get(0)).optional()? {
            Some(number) => number,
            None => {
                let mut insert = connection.prepare_cached(
                    "INSERT INTO conversations (vendor, app, id, kind) VALUES (?1, ?2, ?3, ?4)",
                )?;
                insert.insert(name)?
            }
        };
        if self.known.len() >= NAMES {
            self.known.clear();
        }
        self.known.insert(self.key.clone(), number);
        Ok(number)
    }
}

/// A message's key in the tables.
enum MessageKey<'a> {
    Id(&'a str),
    Seq(i64),
}

impl ToSql for MessageKey<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Id(id) => id.to_sql(),
            Self::Seq(seq) => seq.to_sql(),
        }
    }
}

/// Merges a batch, within the caller's transaction. Gives how many of it are no receipts at all.
pub(super) fn fold(connection: &Connection, names: &mut Names, batch: &[Stored]) -> rusqlite::Result<usize> {
    let mut into = Tables {
        connection,
        names,
        read: connection.prepare_cached(READ)?,
        position: connection.prepare_cached(POSITION)?,
        total: connection.prepare_cached(TOTAL)?,
    };
    let mut odd = 0;
    for stored in batch {
        match serde_json::from_str::<Fact<'_>>(&stored.json) {
            Ok(fact) => into.take(&fact, stored.seq, stored.received_at)?,
            Err(_) => odd += 1,
        }
    }
    Ok(odd)
}

struct Tables<'c, 'n> {
    connection: &'c Connection,
    names: &'n mut Names,
    read: CachedStatement<'c>,
    position: CachedStatement<'c>,
    total: CachedStatement<'c>,
}

impl Tables<'_, '_> {
    fn take(&mut self, fact: &Fact<'_>, seq: Seq, received_at: i64) -> rusqlite::Result<()> {
        let conversation = self.names.number(self.connection, fact)?;
        let read_at = fact.read_at.map(Timestamp::as_millis);
        let by_id = fact.message_id.as_deref().map(MessageKey::Id);
        let by_seq = fact.message_seq.map(MessageKey::Seq);
        let (messages, via) = match fact.scope {
            Scope::Message => ([by_id, by_seq], 0),
            // A sequence up to which all is read is a position; a message that the vendor names is also read itself.
            Scope::UpTo => ([by_id, None], 1),
            Scope::Conversation => ([None, None], 0),
        };
        for message in messages.into_iter().flatten() {
            self.read.execute(params![conversation, message, fact.reader, via, read_at, seq])?;
            if let (Scope::Message, Some(counts)) = (fact.scope, &fact.counts) {
                self.total.execute(params![conversation, message, counts.read, counts.unread, seq])?;
            }
        }
        let up_to = fact.scope == Scope::UpTo;
        let (up_to_seq, up_to_time) = (fact.message_seq.filter(|_| up_to), fact.up_to_time.filter(|_| up_to));
        // Where the vendor does not say when, it was at the latest when we heard of it.
        let whole_at = (fact.scope == Scope::Conversation).then_some(read_at.unwrap_or(received_at));
        self.position.execute(params![
            conversation,
            fact.reader,
            fact.message_seq,
            up_to_seq,
            read_at.filter(|_| up_to_seq.is_some()),
            up_to_time.map(Timestamp::as_millis),
            read_at.filter(|_| up_to_time.is_some()),
            whole_at,
            read_at,
        ])?;
        Ok(())
    }
}
