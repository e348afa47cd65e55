//! `GET /api/v1/sinks/{name}/dead-letters`: the receipts that a sink's destination refused for good, and why.

use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Admin;
use super::problem::Problem;
use super::query::{Query, read_cursor, write_cursor};
use crate::journal::Order;
use crate::receipt::Timestamp;

pub(super) async fn list(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    if !admin.sinks.config.contains_key(&name) {
        return Err(Problem::new(StatusCode::NOT_FOUND, format!("there is no sink `{name}`")));
    }
    let query = query.unwrap_or_default();
    let query = Query::parse(&query, &["limit", "cursor"])?;
    let limit = query.limit()?;
    let behind = query.read("cursor", "no cursor of this list", |text| {
        read_cursor(text).filter(|(order, _)| *order == Order::Ascending).map(|(_, seq)| seq)
    })?;
    let journal = admin.store.journal().ok_or_else(Problem::no_journal)?;
    // One further than asked for tells that there is more.
    let letters = journal.letters_of(&name, behind.unwrap_or(0), limit + 1).await;
    let mut letters = letters.map_err(Problem::of_journal)?;
    let more = letters.len() > limit;
    letters.truncate(limit);
    let next = letters.last().filter(|_| more).map(|letter| write_cursor(Order::Ascending, letter.seq));
    let letters = letters.iter().map(|letter| {
        // The receipt is JSON already, and goes out as it came in.
        let (at, reason) = (json!(Timestamp::from_millis(letter.at)), json!(letter.reason));
        format!(r#"{{"position":{},"at":{at},"reason":{reason},"receipt":{}}}"#, letter.seq, letter.json)
    });
    let letters: Vec<String> = letters.collect();
    let body = format!(r#"{{"dead_letters":[{}],"next":{}}}"#, letters.join(","), json!(next));
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}
