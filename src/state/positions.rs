//! How far readers are: of a conversation, or of one reader everywhere.

use rusqlite::{Connection, Row, named_params};

use super::answer::{Place, Position, PositionQuestion, Positions};
use super::schema;
use crate::journal::Seq;
use crate::receipt::{ConversationKind, Timestamp};

/// How far readers are. `head` is the newest position when the question came.
pub(super) fn positions(
    connection: &Connection,
    question: &PositionQuestion,
    head: Seq,
) -> rusqlite::Result<Positions> {
    let more = question.limit.saturating_add(1);
    let mut positions = match (&question.conversation, &question.reader) {
        (Some(conversation), _) => of_conversation(connection, question, conversation, more)?,
        (None, Some(reader)) => of_reader(connection, question, reader, more)?,
        (None, None) => Vec::new(),
    };
    let next = if positions.len() > question.limit {
        positions.truncate(question.limit);
        positions.last().map(|last| last.place.clone())
    } else {
        None
    };
    let behind = (head - schema::cursor(connection)?).max(0);
    Ok(Positions { positions, next, behind })
}

/// In the order of the kinds, and then of the readers, which is that of the table. (`CROSS` tells SQLite which table to begin
/// with. It has no statistics, and would go through all conversations of an app to find those of a reader.)
fn of_conversation(
    connection: &Connection,
    question: &PositionQuestion,
    conversation: &str,
    more: usize,
) -> rusqlite::Result<Vec<Position>> {
    let PositionQuestion { vendor, app, kind, reader, behind, .. } = question;
    let one = if reader.is_some() { "AND p.reader = :reader" } else { "AND :reader IS NULL" };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT c.kind, c.id, p.reader, p.message_seq, p.up_to_time, p.whole_at, p.read_at \
         FROM conversations c CROSS JOIN positions p ON p.conversation = c.number \
         WHERE c.vendor = :vendor AND c.app = :app AND c.id = :conversation AND c.kind = :kind {one} \
         AND (:behind IS NULL OR p.reader > :behind) ORDER BY p.reader LIMIT :limit"
    ))?;
    let mut positions = Vec::new();
    for here in ConversationKind::ALL {
        let passed = behind.as_ref().is_some_and(|behind| behind.kind.as_str() > here.as_str());
        if passed || kind.is_some_and(|kind| kind != here) {
            continue;
        }
        let behind = behind.as_ref().filter(|behind| behind.kind == here).map(|behind| &behind.reader);
        let left = i64::try_from(more - positions.len()).unwrap_or(i64::MAX);
        let rows = statement.query_map(
            named_params! {
                ":vendor": vendor.as_str(), ":app": app, ":conversation": conversation, ":kind": here.as_str(),
                ":reader": reader, ":behind": behind, ":limit": left,
            },
            position,
        )?;
        for row in rows {
            positions.push(row?);
        }
        if positions.len() >= more {
            break;
        }
    }
    Ok(positions)
}

/// In the order of the kinds and ids.
fn of_reader(
    connection: &Connection,
    question: &PositionQuestion,
    reader: &str,
    more: usize,
) -> rusqlite::Result<Vec<Position>> {
    let PositionQuestion { vendor, app, kind, behind, .. } = question;
    let behind = behind.as_ref();
    let mut statement = connection.prepare_cached(
        "SELECT c.kind, c.id, p.reader, p.message_seq, p.up_to_time, p.whole_at, p.read_at \
         FROM positions p CROSS JOIN conversations c ON c.number = p.conversation \
         WHERE p.reader = :reader AND c.vendor = :vendor AND c.app = :app AND (:kind IS NULL OR c.kind = :kind) \
         AND (:behind_kind IS NULL OR \
              (c.kind, c.id IS NOT NULL, coalesce(c.id, '')) > (:behind_kind, :behind_id IS NOT NULL, coalesce(:behind_id, ''))) \
         ORDER BY c.kind, c.id IS NOT NULL, c.id LIMIT :limit",
    )?;
    let rows = statement.query_map(
        named_params! {
            ":vendor": vendor.as_str(), ":app": app, ":reader": reader, ":kind": kind.map(ConversationKind::as_str),
            ":behind_kind": behind.map(|behind| behind.kind.as_str()),
            ":behind_id": behind.and_then(|behind| behind.conversation.as_deref()),
            ":limit": i64::try_from(more).unwrap_or(i64::MAX),
        },
        position,
    )?;
    rows.collect()
}

fn position(row: &Row<'_>) -> rusqlite::Result<Position> {
    let word: String = row.get(0)?;
    let kind = ConversationKind::ALL.into_iter().find(|kind| kind.as_str() == word);
    let time =
        |at: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(at)?.and_then(Timestamp::from_millis));
    Ok(Position {
        place: Place {
            kind: kind.unwrap_or(ConversationKind::Unknown),
            conversation: row.get(1)?,
            reader: row.get(2)?,
        },
        message_seq: row.get(3)?,
        up_to_time: time(4)?,
        conversation_read_at: time(5)?,
        read_at: time(6)?,
    })
}
