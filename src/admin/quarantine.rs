//! `GET /api/v1/quarantine` and `/api/v1/quarantine/{id}`: callbacks that could not be used. `POST
//! /api/v1/quarantine/requeue`: takes in what is good by now.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Admin;
use super::body;
use super::callbacks::show_body;
use super::problem::Problem;
use super::query::{Query, read_cursor, write_cursor};
use crate::journal::Order;
use crate::quarantine::{Class, Kept, Listed, Suspect, Wanted};
use crate::receipt::{Timestamp, VendorName};
use crate::requeue::{self, Report, RequeueError};
use crate::vendor::Mask;

/// The body: which of them, and whether to take them in or only to look. Empty means all.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Question {
    vendor: Option<VendorName>,
    reason: Option<String>,
    since: Option<Timestamp>,
    class: Option<String>,
    dry_run: bool,
}

pub(super) async fn requeue(State(admin): State<Admin>, body: Bytes) -> Result<Json<Report>, Problem> {
    let question = if body.is_empty() { Question::default() } else { body::read(&body)? };
    let Question { vendor, reason, since, class, dry_run } = question;
    let class = class.map(|word| {
        class_named(&word)
            .ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "class: not one of hidden, app, other"))
    });
    let wanted = Wanted { vendor, reason, since, class: class.transpose()?, waiting: false };
    Ok(Json(take_in(&admin, &wanted, dry_run).await?))
}

/// Takes callbacks in that are good by now, or only looks.
///
/// # Errors
/// The quarantine cannot be read or written, or the journal takes nothing.
pub(crate) async fn take_in(admin: &Admin, wanted: &Wanted, dry_run: bool) -> Result<Report, Problem> {
    let served = admin.door.served();
    let report = requeue::requeue(&admin.ingest, &served.vendors, wanted, dry_run).await;
    report.map_err(|error| match error {
        RequeueError::Quarantine(_) => Problem::internal(&error),
        RequeueError::Unavailable(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    })
}

fn class_named(word: &str) -> Option<Class> {
    Class::named(word)
}

pub(super) async fn list(
    State(admin): State<Admin>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let query = query.unwrap_or_default();
    let query = Query::parse(&query, &["vendor", "reason", "since", "class", "limit", "order", "cursor"])?;
    let wanted = Wanted {
        vendor: query.vendor()?,
        reason: query.text("reason").map(str::to_owned),
        since: query.time("since")?,
        class: query.read("class", "not one of hidden, app, other", class_named)?,
        waiting: false,
    };
    let limit = query.limit()?;
    let cursor = query.read("cursor", "no cursor of this list", read_cursor)?;
    let order = query.order(cursor.map(|(order, _)| order), Order::Descending)?;
    let (newest_first, behind) = (order == Order::Descending, cursor.map(|(_, id)| id));
    // One further than asked for tells that there is more.
    let listed = admin.ingest.quarantine().list(wanted, newest_first, behind, limit + 1).await;
    let mut listed = listed.map_err(|error| Problem::internal(&error))?;
    let more = listed.len() > limit;
    listed.truncate(limit);
    let next = listed.last().filter(|_| more).map(|last| write_cursor(order, last.id));
    let entries = listed.into_iter().map(|listed| {
        let Listed { id, at, vendor, client, outcome, reason, path, body_bytes, class } = listed;
        json!({
            "id": id,
            "at": Timestamp::from_millis(at),
            "class": class.as_str(),
            "vendor": vendor,
            "client": client,
            "outcome": outcome,
            "reason": reason,
            "path": Mask::of(&path).path(),
            "body_bytes": body_bytes,
        })
    });
    Ok(Json(json!({ "entries": entries.collect::<Vec<_>>(), "next": next })))
}

pub(super) async fn one(
    State(admin): State<Admin>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    Query::parse(&query.unwrap_or_default(), &[])?;
    let absent =
        || Problem::new(StatusCode::NOT_FOUND, "the quarantine has no callback of this id, or no more");
    let id: i64 = id.parse().map_err(|_| absent())?;
    let found = admin.ingest.quarantine().find(id).await.map_err(|error| Problem::internal(&error))?;
    let Kept { class, suspect, .. } = found.ok_or_else(absent)?;
    let Suspect { at, vendor, client, outcome, reason, path, query, headers, body, receipts: _ } = suspect;
    let mask = Mask::of(&path);
    let headers: Vec<(String, String)> = serde_json::from_str(&headers).unwrap_or_default();
    let headers = headers.iter().map(|(name, value)| json!([name, mask.text(value)]));
    let mut shown = json!({
        "id": id,
        "at": Timestamp::from_millis(at),
        "class": class.as_str(),
        "vendor": vendor,
        "client": client,
        "outcome": outcome,
        "reason": reason,
        "path": mask.path(),
        "query": mask.text(&query),
        "headers": headers.collect::<Vec<_>>(),
    });
    show_body(&mut shown, &body, body.len());
    Ok(Json(shown))
}
