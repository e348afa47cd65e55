//! `POST /api/v1/quarantine/requeue`: takes callbacks in that are good by now.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::Admin;
use super::problem::Problem;
use super::sinks::own_page;
use crate::quarantine::Wanted;
use crate::receipt::{Timestamp, VendorName};
use crate::requeue::{self, Report, RequeueError};

/// The body: which of them, and whether to take them in or only to look. Empty means all.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Question {
    vendor: Option<VendorName>,
    reason: Option<String>,
    since: Option<Timestamp>,
    dry_run: bool,
}

pub(super) async fn requeue(
    State(admin): State<Admin>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Report>, Problem> {
    own_page(&headers)?;
    let question = if body.is_empty() { Ok(Question::default()) } else { serde_json::from_slice(&body) };
    let Question { vendor, reason, since, dry_run } =
        question.map_err(|error| Problem::bad_request(error.to_string()))?;
    let wanted = Wanted { vendor, reason, since };
    let served = admin.door.served();
    match requeue::requeue(&admin.ingest, &served.vendors, &wanted, dry_run).await {
        Ok(report) => Ok(Json(report)),
        Err(error @ RequeueError::Quarantine(_)) => Err(Problem::internal(&error)),
        Err(error @ RequeueError::Unavailable(_)) => {
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))
        }
    }
}
