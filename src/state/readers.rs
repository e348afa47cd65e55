//! Who has read a message: the receipts of the message itself, and the positions that reach it.

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, ToSql, named_params, params};

use super::answer::{Message, MessageQuestion, Reader, ReaderCounts, Readers, Via};
use super::schema;
use crate::journal::Seq;
use crate::receipt::{ConversationKind, Timestamp};

/// What tells a read and when it was, in one number that sorts as both do: the time in the lower bits, all of them set
/// where it is not known.
const RANK_BITS: u32 = 60;
const NO_TIME: i64 = (1 << RANK_BITS) - 1;

impl ToSql for Message {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Id(id) => id.to_sql(),
            Self::Seq(seq) => seq.to_sql(),
        }
    }
}

/// The conversations that are meant, and everything in them that tells a read of the message.
fn found(question: &MessageQuestion) -> String {
    let one = if question.reader.is_some() { "AND reader = :reader" } else { "AND :reader IS NULL" };
    let mut arms = format!(
        "SELECT reader, (via << {RANK_BITS}) + coalesce(read_at, {NO_TIME}) FROM reads \
         WHERE conversation IN here AND message = :message {one}"
    );
    let mut add = |via: Via, at: &str, reaches: &str| {
        let via = (via as i64) << RANK_BITS;
        arms.push_str(&format!(
            " UNION ALL SELECT reader, {via} + coalesce({at}, {NO_TIME}) FROM positions \
             WHERE conversation IN here AND {reaches} {one}"
        ));
    };
    match question.message {
        Message::Seq(_) => add(Via::UpTo, "up_to_seq_at", "up_to_seq >= :message"),
        Message::Id(_) => {}
    }
    if question.sent_at.is_some() {
        add(Via::UpTo, "up_to_time_at", "up_to_time >= :sent_at");
        add(Via::Conversation, "whole_at", "whole_at >= :sent_at");
    }
    // A parameter must be named to be given.
    format!(
        "WITH here(number) AS (SELECT number FROM conversations WHERE vendor = :vendor AND app = :app \
         AND id = :conversation AND (:kind IS NULL OR kind = :kind) AND :sent_at IS :sent_at), \
         found(reader, rank) AS ({arms}), \
         best(reader, rank) AS (SELECT reader, min(rank) FROM found GROUP BY reader) "
    )
}

/// Who has read a message. `head` is the newest position when the question came.
pub(super) fn readers(
    connection: &Connection,
    question: &MessageQuestion,
    head: Seq,
) -> rusqlite::Result<Readers> {
    let MessageQuestion { vendor, app, kind, conversation, message, sent_at, reader, behind, limit } =
        question;
    let sent_at = sent_at.map(Timestamp::as_millis);
    let kind = kind.map(ConversationKind::as_str);
    let found = found(question);

    let mut page = connection.prepare_cached(&format!(
        "{found} SELECT reader, rank FROM best WHERE :behind IS NULL OR reader > :behind ORDER BY reader LIMIT :limit"
    ))?;
    // One more than asked for tells that there is more.
    let more = i64::try_from(*limit).unwrap_or(i64::MAX).saturating_add(1);
    let rows = page.query_map(
        named_params! {
            ":vendor": vendor.as_str(), ":app": app, ":conversation": conversation, ":kind": kind,
            ":message": message, ":sent_at": sent_at, ":reader": reader, ":behind": behind, ":limit": more,
        },
        |row| {
            let rank: i64 = row.get(1)?;
            let (via, at) = (rank >> RANK_BITS, rank & NO_TIME);
            let via = Via::ALL.into_iter().find(|known| *known as i64 == via).unwrap_or(Via::Conversation);
            Ok(Reader { reader: row.get(0)?, read_at: Timestamp::from_millis(at), via })
        },
    )?;
    let mut readers = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let next = if readers.len() > *limit {
        readers.truncate(*limit);
        readers.last().map(|last| last.reader.clone())
    } else {
        None
    };

    let mut counts = ReaderCounts::default();
    let mut count = connection
        .prepare_cached(&format!("{found} SELECT rank >> {RANK_BITS}, count(*) FROM best GROUP BY 1"))?;
    let mut rows = count.query(named_params! {
        ":vendor": vendor.as_str(), ":app": app, ":conversation": conversation, ":kind": kind,
        ":message": message, ":sent_at": sent_at, ":reader": reader,
    })?;
    while let Some(row) = rows.next()? {
        let (via, number): (i64, i64) = (row.get(0)?, row.get(1)?);
        match Via::ALL.into_iter().find(|known| *known as i64 == via) {
            Some(Via::Message) => counts.via.message = number,
            Some(Via::UpTo) => counts.via.up_to = number,
            Some(Via::Conversation) | None => counts.via.conversation = number,
        }
    }
    let mut totals = connection.prepare_cached(
        "SELECT max(read), min(unread) FROM totals WHERE message = ?5 AND conversation IN \
         (SELECT number FROM conversations WHERE vendor = ?1 AND app = ?2 AND id = ?3 AND (?4 IS NULL OR kind = ?4))",
    )?;
    let theirs: Option<i64>;
    (theirs, counts.unread) = totals
        .query_row(params![vendor.as_str(), app, conversation, kind, message], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    counts.read = counts.via.total().max(theirs.unwrap_or(0));
    let behind = (head - schema::cursor(connection)?).max(0);
    Ok(Readers { readers, counts, next, behind })
}
