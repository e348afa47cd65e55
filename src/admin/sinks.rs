//! `GET /api/v1/sinks`, `POST /api/v1/sinks/{name}/pause|resume|redrive|discard|replay`: how the sinks are doing, and what an
//! operator can tell them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Admin;
use super::body;
use super::problem::Problem;
use crate::config::SinkConfig;
use crate::dispatch::{Command, Handle, LetterFilter, OrderError, PauseCause, Report, Selection, Standing};
use crate::receipt::Timestamp;

/// The sinks, as an operator sees them.
pub(crate) struct Sinks {
    pub(crate) config: BTreeMap<String, SinkConfig>,
    pub(crate) standings: BTreeMap<String, Arc<Standing>>,
    /// None of them without a journal.
    pub(crate) handles: BTreeMap<String, Handle>,
}

/// The body of a replay: exactly one of these.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wanted {
    since: Option<Timestamp>,
    from: Option<i64>,
    ids: Option<Vec<String>>,
}

/// The body of a redrive or a discard: which dead letters.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WantedLetters {
    #[serde(deserialize_with = "not_null")]
    position: Option<i64>,
    #[serde(deserialize_with = "not_null")]
    id: Option<String>,
    #[serde(deserialize_with = "not_null")]
    all: Option<bool>,
}

/// A field that may be absent, and not null: an order with `"id": null` must not mean every dead letter.
fn not_null<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(field: D) -> Result<Option<T>, D::Error> {
    T::deserialize(field).map(Some)
}

pub(super) async fn list(
    State(admin): State<Admin>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    if query.is_some_and(|query| !query.is_empty()) {
        return Err(Problem::bad_request("this takes no parameters"));
    }
    let head = admin.store.head();
    let sinks = admin.sinks.config.iter().filter_map(|(name, config)| {
        let standing = admin.sinks.standings.get(name)?;
        Some(show(name, config, standing, head))
    });
    Ok(Json(json!({ "sinks": sinks.collect::<Vec<_>>() })))
}

fn show(name: &str, config: &SinkConfig, standing: &Standing, head: i64) -> Value {
    let lag = standing.lag(head);
    let state = match (standing.is_paused(), standing.is_failing()) {
        (true, _) => "paused",
        (false, true) => "failing",
        (false, false) => "delivering",
    };
    let oldest = standing.oldest_waiting().filter(|_| lag > 0).and_then(Timestamp::from_millis);
    let letters = standing.dead_letters();
    let last_error = standing.last_error().map(|failure| json!({ "at": failure.at, "error": failure.why }));
    json!({
        "name": name,
        "type": config.kind.word(),
        "state": state,
        "cursor": standing.cursor(),
        "lag": lag,
        "oldest_waiting": oldest,
        "last_error": last_error,
        "paused_by": standing.paused().map(PauseCause::as_str),
        "next_try": standing.next_try().and_then(Timestamp::from_millis),
        "dead_letters": letters.entries,
        "dead_letter_bytes": letters.bytes,
        "max_dead_letters": config.limits.dead_letters,
        "max_dead_letter_bytes": config.limits.dead_letter_bytes,
        "let_go": standing.let_go().map(
            |lost| json!({ "from": lost.from, "to": lost.to, "receipts": lost.total })
        ),
    })
}

pub(super) async fn order(
    State(admin): State<Admin>,
    Path((name, order)): Path<(String, String)>,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    known(&admin, &name)?;
    let command = match order.as_str() {
        "pause" => Command::Pause,
        "resume" => Command::Resume,
        "redrive" => Command::Redrive(letters(&body)?),
        "discard" => Command::Discard(letters_to_discard(&body)?),
        "replay" => Command::Replay(selection(&body)?),
        _ => {
            let detail = "a sink can pause, resume, redrive, discard and replay";
            return Err(Problem::new(StatusCode::NOT_FOUND, detail));
        }
    };
    let report = give(&admin, &name, command.clone()).await?;
    Ok(Json(match command {
        Command::Discard(_) => json!({ "name": name, "discarded": report.discarded }),
        Command::Pause | Command::Resume | Command::TryNow => {
            let paused = admin.sinks.standings.get(&name).is_some_and(|standing| standing.is_paused());
            json!({ "name": name, "paused": paused })
        }
        Command::Redrive(_) | Command::Replay(_) => {
            json!({ "name": name, "delivered": report.delivered, "refused": report.refused })
        }
    }))
}

/// Gives a sink an order, and waits until it is carried out.
///
/// # Errors
/// No such sink, no journal, or it could not be carried out to its end.
pub(crate) async fn give(admin: &Admin, name: &str, command: Command) -> Result<Report, Problem> {
    known(admin, name)?;
    let handle = admin.sinks.handles.get(name).ok_or_else(Problem::no_journal)?;
    handle.order(command).await.map_err(|error| match error {
        OrderError::Destination { .. } => Problem::new(StatusCode::BAD_GATEWAY, error.to_string()),
        OrderError::NoLetter => Problem::new(StatusCode::NOT_FOUND, error.to_string()),
        OrderError::Journal(_) => Problem::internal(&error),
        OrderError::Ending | OrderError::Busy => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
        }
    })
}

fn known(admin: &Admin, name: &str) -> Result<(), Problem> {
    let there = admin.sinks.config.contains_key(name);
    let none = || Problem::new(StatusCode::NOT_FOUND, format!("there is no sink `{name}`"));
    there.then_some(()).ok_or_else(none)
}

/// Which dead letters to redrive: all, unless the body names one.
fn letters(body: &[u8]) -> Result<LetterFilter, Problem> {
    // Command lines from before there was a choice send `null`.
    if body.is_empty() || body == b"null" {
        return Ok(LetterFilter::All);
    }
    match body::read(body)? {
        WantedLetters { position: None, id: None, all: None | Some(true) } => Ok(LetterFilter::All),
        WantedLetters { position: Some(position), id: None, all: None } => {
            Ok(LetterFilter::Position(position))
        }
        WantedLetters { position: None, id: Some(id), all: None } => Ok(LetterFilter::Id(id)),
        WantedLetters { .. } => {
            let detail = "say which dead letters: one of {\"position\":<position>}, {\"id\":\"<receipt id>\"}, {\"all\":true}";
            Err(Problem::bad_request(detail))
        }
    }
}

/// The same, but all of them only when the body says so.
fn letters_to_discard(body: &[u8]) -> Result<LetterFilter, Problem> {
    match body::read(body)? {
        WantedLetters { position: None, id: None, all: None } => {
            let detail = "say which dead letters to discard: one of {\"position\":<position>}, {\"id\":\"<receipt id>\"}, {\"all\":true}";
            Err(Problem::bad_request(detail))
        }
        WantedLetters { .. } => letters(body),
    }
}

fn selection(body: &[u8]) -> Result<Selection, Problem> {
    match body::read(body)? {
        Wanted { since: Some(moment), from: None, ids: None } => Ok(Selection::Since(moment)),
        Wanted { since: None, from: Some(position), ids: None } => Ok(Selection::From(position)),
        Wanted { since: None, from: None, ids: Some(ids) } => Ok(Selection::Ids(ids.into_iter().collect())),
        Wanted { .. } => {
            let detail =
                "say what to replay: one of {\"since\":\"<RFC 3339>\"}, {\"from\":<position>}, {\"ids\":[…]}";
            Err(Problem::bad_request(detail))
        }
    }
}
