//! `GET /api/v1/readers`, `GET /api/v1/positions`, `POST /api/v1/state/rebuild`: who has read what, and how far each
//! reader is.

use axum::Json;
use axum::extract::{RawQuery, State as Extract};
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use super::Admin;
use super::problem::Problem;
use super::query::{Query, write_place};
use crate::journal::Seq;
use crate::receipt::{Conversation, ConversationKind, Timestamp, VendorName};
use crate::state::{
    Message, MessageQuestion, Place, Position, PositionQuestion, Reader, ReaderCounts, Readers, State,
    StateError,
};

const OF_READERS: [&str; 10] = [
    "vendor",
    "app",
    "type",
    "conversation",
    "message_id",
    "message_seq",
    "sent_at",
    "reader",
    "limit",
    "cursor",
];
const OF_POSITIONS: [&str; 7] = ["vendor", "app", "type", "conversation", "reader", "limit", "cursor"];

const DEFAULT_LIMIT: usize = 1_000;
const LARGEST_LIMIT: usize = 10_000;

/// A [`Place`], as it stands in a cursor: kind, conversation, reader.
type PlaceCursor = (ConversationKind, Option<String>, String);

/// The answer to `readers`.
#[derive(Serialize)]
pub(super) struct ReadersPage {
    readers: Vec<Reader>,
    counts: ReaderCounts,
    next: Option<String>,
    behind: Seq,
}

/// The answer to `positions`.
#[derive(Serialize)]
pub(super) struct PositionsPage {
    positions: Vec<Shown>,
    next: Option<String>,
    behind: Seq,
}

/// A position. What is not known is absent, but `read_at`, which is null then.
#[derive(Serialize)]
struct Shown {
    conversation: Conversation<'static>,
    reader: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_seq: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    up_to_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation_read_at: Option<Timestamp>,
    read_at: Option<Timestamp>,
}

impl From<Position> for Shown {
    fn from(position: Position) -> Self {
        let Position { place, message_seq, up_to_time, conversation_read_at, read_at } = position;
        let Place { kind, conversation, reader } = place;
        let conversation = Conversation { kind, id: conversation.map(Into::into) };
        Self { conversation, reader, message_seq, up_to_time, conversation_read_at, read_at }
    }
}

pub(super) async fn readers(
    Extract(admin): Extract<Admin>,
    RawQuery(query): RawQuery,
) -> Result<Json<ReadersPage>, Problem> {
    let question = message_question(&query.unwrap_or_default())?;
    let answer = read_state(&admin)?.readers(question).await.map_err(state_problem)?;
    let next = answer.next.as_deref().map(reader_cursor).transpose()?;
    let Readers { readers, counts, behind, .. } = answer;
    Ok(Json(ReadersPage { readers, counts, next, behind }))
}

/// A question about a message.
///
/// # Errors
/// A parameter that is unknown, repeated or malformed, or one that is missing.
pub(crate) fn message_question(query: &str) -> Result<MessageQuestion, Problem> {
    let query = Query::parse(query, &OF_READERS)?;
    let text = |name| query.text(name).map(str::to_owned);
    let message = match (text("message_id"), query.integer("message_seq")?) {
        (Some(id), None) => Message::Id(id),
        (None, Some(seq)) => Message::Seq(seq),
        (None, None) => return Err(Problem::bad_request("message_id or message_seq: one is required")),
        (Some(_), Some(_)) => {
            return Err(Problem::bad_request("message_id and message_seq: only one can be given"));
        }
    };
    Ok(MessageQuestion {
        vendor: vendor(&query)?,
        app: query.required("app")?,
        kind: query.kind()?,
        conversation: query.required("conversation")?,
        message,
        sent_at: query.time("sent_at")?,
        reader: text("reader"),
        behind: query.place()?,
        limit: query.limit_within(DEFAULT_LIMIT, LARGEST_LIMIT)?,
    })
}

fn vendor(query: &Query<'_>) -> Result<VendorName, Problem> {
    query.vendor()?.ok_or_else(|| Problem::bad_request("vendor: required"))
}

pub(super) async fn positions(
    Extract(admin): Extract<Admin>,
    RawQuery(query): RawQuery,
) -> Result<Json<PositionsPage>, Problem> {
    let question = position_question(&query.unwrap_or_default())?;
    let answer = read_state(&admin)?.positions(question).await.map_err(state_problem)?;
    let next = answer.next.as_ref().map(place_cursor);
    let positions = answer.positions.into_iter().map(Shown::from).collect();
    Ok(Json(PositionsPage { positions, next: next.transpose()?, behind: answer.behind }))
}

/// The cursor of the page behind a reader.
pub(crate) fn reader_cursor(reader: &str) -> Result<String, Problem> {
    write_place(&reader)
}

/// The cursor of the page behind a position.
pub(crate) fn place_cursor(Place { kind, conversation, reader }: &Place) -> Result<String, Problem> {
    write_place::<PlaceCursor>(&(*kind, conversation.clone(), reader.clone()))
}

/// A question about positions.
///
/// # Errors
/// A parameter that is unknown, repeated or malformed, or one that is missing.
pub(crate) fn position_question(query: &str) -> Result<PositionQuestion, Problem> {
    let query = Query::parse(query, &OF_POSITIONS)?;
    let text = |name| query.text(name).map(str::to_owned);
    let (conversation, reader) = (text("conversation"), text("reader"));
    if conversation.is_none() && reader.is_none() {
        let detail = "conversation or reader: one is required, and both can be given";
        return Err(Problem::bad_request(detail));
    }
    let behind = query.place::<PlaceCursor>()?;
    Ok(PositionQuestion {
        vendor: vendor(&query)?,
        app: query.required("app")?,
        kind: query.kind()?,
        conversation,
        reader,
        behind: behind.map(|(kind, conversation, reader)| Place { kind, conversation, reader }),
        limit: query.limit_within(DEFAULT_LIMIT, LARGEST_LIMIT)?,
    })
}

/// Answers when the state has everything again that the journal had when it was asked.
pub(super) async fn rebuild(
    Extract(admin): Extract<Admin>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    Query::parse(&query.unwrap_or_default(), &[])?;
    let receipts = read_state(&admin)?.rebuild().await.map_err(state_problem)?;
    Ok(Json(json!({ "receipts": receipts })))
}

/// The read state.
///
/// # Errors
/// There is none: it is switched off, or there is no journal.
pub(crate) fn read_state(admin: &Admin) -> Result<&State, Problem> {
    if admin.store.journal().is_none() {
        return Err(Problem::no_journal());
    }
    let off =
        || Problem::new(StatusCode::CONFLICT, "this service keeps no read state (state.enabled = false)");
    admin.state.as_ref().ok_or_else(off)
}

/// What a caller hears when the read state cannot answer.
pub(crate) fn state_problem(error: StateError) -> Problem {
    match error {
        StateError::Read(_) => Problem::internal(&error),
        StateError::Busy => Problem::new(StatusCode::CONFLICT, error.to_string()),
        StateError::Opening | StateError::Ending => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
        }
    }
}
