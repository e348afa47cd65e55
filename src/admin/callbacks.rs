//! `GET /api/v1/callbacks` and `/api/v1/callbacks/{number}`: what arrived lately, what came of it, and who has it.
//!
//! A page goes on behind a callback's number, so callbacks that arrive meanwhile are neither skipped nor shown twice.
//! Numbers begin anew with every run of the service; a cursor names its run, so that one of an earlier run is known.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde_json::{Value, json};

use super::Admin;
use super::problem::Problem;
use super::query::{Query, read_cursor, write_cursor};
use crate::callback_log::{CallbackLog, Entry, Numbered, OUTCOMES, Positions, Wanted};
use crate::journal::Order;
use crate::receipt::{Timestamp, VendorName};
use crate::vendor::{Mask, Outcome};

/// A callback as lists and the stream show it.
#[derive(Serialize)]
pub(super) struct Shown<'e> {
    number: u64,
    /// In which run of the service the number was given.
    run: &'e str,
    at: Timestamp,
    vendor: VendorName,
    app: Option<&'e str>,
    command: Option<&'e str>,
    outcome: &'static str,
    /// Empty where the outcome says it all.
    reason: &'static str,
    /// The field that makes it malformed.
    field: Option<&'static str>,
    status: u16,
    latency_us: u64,
    client: String,
    verified_by: Option<&'static str>,
    positions: Option<Positions>,
}

impl<'e> Shown<'e> {
    pub(super) fn new(log: &'e CallbackLog, number: u64, entry: &'e Entry) -> Self {
        Self {
            number,
            run: log.run(),
            at: entry.at,
            vendor: entry.vendor,
            app: entry.app(),
            command: entry.command(),
            outcome: entry.outcome.as_str(),
            reason: entry.outcome.reason(),
            field: entry.outcome.field(),
            status: entry.status,
            latency_us: u64::try_from(entry.took.as_micros()).unwrap_or(u64::MAX),
            client: entry.client.to_string(),
            verified_by: entry.verified_by.map(|proof| proof.as_str()),
            positions: entry.positions,
        }
    }
}

pub(super) async fn list(
    State(admin): State<Admin>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let log = admin.ingest.callbacks();
    let query = query.unwrap_or_default();
    let query = Query::parse(&query, &["vendor", "outcome", "app", "since", "limit", "order", "cursor"])?;
    let outcome = query.read("outcome", &format!("one of {}", OUTCOMES.join(", ")), |text| {
        OUTCOMES.into_iter().find(|outcome| *outcome == text)
    })?;
    let wanted = Wanted {
        vendor: query.vendor()?,
        outcome,
        app: query.text("app").map(str::to_owned),
        since: query.time("since")?,
    };
    let expected = "no cursor of this run of the service; begin with the first page";
    let cursor = query.read("cursor", expected, |text| {
        let cursor = text.strip_prefix(log.run())?.strip_prefix('-')?;
        let (order, number) = read_cursor(cursor)?;
        Some((order, u64::try_from(number).ok()?))
    })?;
    let order = query.order(cursor.map(|(order, _)| order), Order::Descending)?;
    let page = log.page(&wanted, order, cursor.map(|(_, number)| number), query.limit()?);
    let shown = page.callbacks.iter().map(|Numbered { number, entry }| Shown::new(log, *number, entry));
    let next = page.resume.and_then(|number| i64::try_from(number).ok());
    let next = next.map(|number| format!("{}-{}", log.run(), write_cursor(order, number)));
    Ok(Json(json!({ "callbacks": shown.collect::<Vec<_>>(), "next": next })))
}

pub(super) async fn one(
    State(admin): State<Admin>,
    Path(number): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let log = admin.ingest.callbacks();
    let query = query.unwrap_or_default();
    let query = Query::parse(&query, &["run"])?;
    let gone = |why| Problem::new(StatusCode::NOT_FOUND, why);
    if query.text("run").is_some_and(|run| run != log.run()) {
        return Err(gone("this callback came in an earlier run of the service, which is forgotten"));
    }
    let known = number.parse().ok().and_then(|number| Some((number, log.find(number)?)));
    let (number, entry): (u64, Entry) =
        known.ok_or_else(|| gone("the callback log has no callback of this number, or no more"))?;
    let mask = Mask::of(entry.path());
    let headers = entry.fields().map(|(name, value)| json!([name, mask.text(&value)]));
    let mut shown =
        serde_json::to_value(Shown::new(log, number, &entry)).map_err(|error| Problem::internal(&error))?;
    shown["path"] = mask.path().into();
    shown["query"] = mask.text(entry.query()).into();
    shown["headers"] = headers.collect();
    show_body(&mut shown, entry.body(), entry.body_bytes);
    shown["sinks"] = json!(holders(&admin, &entry).await?);
    Ok(Json(shown))
}

/// Puts a body in: as text if it is text, else in Base64; how long it was; and whether that is not all of it.
pub(super) fn show_body(shown: &mut Value, body: &[u8], whole: usize) {
    let cut = body.len() < whole;
    let text = match std::str::from_utf8(body) {
        Ok(text) => Some(text),
        // Cut within a character.
        Err(error) if cut && error.error_len().is_none() => {
            body.get(..error.valid_up_to()).and_then(|valid| std::str::from_utf8(valid).ok())
        }
        Err(_) => None,
    };
    shown["body"] = text.into();
    shown["body_base64"] = text.is_none().then(|| BASE64_STANDARD.encode(body)).into();
    shown["body_bytes"] = whole.into();
    shown["body_cut"] = cut.into();
}

/// A sink, and whether it has the receipts of a callback.
#[derive(Serialize)]
pub(crate) struct Holder {
    pub(crate) name: String,
    /// Whether it has all of them.
    pub(crate) delivered: bool,
    /// How many its destination has refused for good.
    pub(crate) dead_letters: usize,
}

/// Which sinks have its receipts; none of them is asked about a callback without any.
pub(crate) async fn holders(admin: &Admin, entry: &Entry) -> Result<Vec<Holder>, Problem> {
    let Some(Positions { first, last }) = entry.positions else {
        // Without a journal it is accepted once every sink has it.
        let everybody = admin.store.journal().is_none() && entry.outcome == Outcome::Accepted;
        let names = admin.sinks.config.keys().filter(|_| everybody);
        let has = |name: &String| Holder { name: name.clone(), delivered: true, dead_letters: 0 };
        return Ok(names.map(has).collect());
    };
    let mut shown = Vec::new();
    for (name, standing) in &admin.sinks.standings {
        let parked = match admin.store.journal() {
            Some(journal) => {
                let receipts = usize::try_from(last - first + 1).unwrap_or(0);
                journal.dead_letters_of(name, first - 1, receipts).await
            }
            None => Ok(Vec::new()),
        };
        let parked = parked.map_err(Problem::of_journal)?;
        let parked = parked.iter().filter(|letter| letter.seq <= last).count();
        let delivered = standing.cursor() >= last && parked == 0;
        shown.push(Holder { name: name.clone(), delivered, dead_letters: parked });
    }
    Ok(shown)
}
