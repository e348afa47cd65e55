//! `GET /api/v1/history`: who called how often in the last 15 minutes and how long it took; what came of all callbacks
//! since the start; and when each app called last.

use axum::Json;
use axum::extract::{RawQuery, State};
use serde_json::{Map, Value, json};

use super::Admin;
use super::problem::Problem;
use super::query::Query;
use crate::callback_log::{OUTCOMES, Point, Tally};
use crate::clock;
use crate::receipt::VendorName;

/// How many seconds a step has unless asked otherwise.
const STEP: u32 = 10;

pub(super) async fn history(
    State(admin): State<Admin>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let query = query.unwrap_or_default();
    let query = Query::parse(&query, &["step"])?;
    let step = query.read("step", "a number of seconds from 1 to 900", |text| {
        text.parse().ok().filter(|step| (1..=900).contains(step))
    })?;
    let step = step.unwrap_or(STEP);
    let log = admin.ingest.callbacks();
    let counts = log.counts();
    let counts =
        counts.iter().map(|counts| OUTCOMES.into_iter().zip(counts.iter().copied()).collect::<Value>());
    let points = log.history(clock::now(), step);
    let points: Vec<Value> = points.iter().map(show).collect();
    let apps = admin.metrics.last_callbacks().into_iter();
    let apps = apps.map(|(vendor, app, at)| json!({ "vendor": vendor, "app": app, "last_callback": at }));
    Ok(Json(json!({
        "since_start": by_vendor(counts),
        "step_seconds": step,
        "steps": points,
        "apps": apps.collect::<Vec<_>>(),
    })))
}

/// A step, with the vendors that called in it.
fn show(point: &Point) -> Value {
    let vendors = VendorName::ALL.into_iter().zip(&point.vendors).filter(|(_, tally)| tally.total() > 0);
    let vendors = vendors.map(|(vendor, tally)| (vendor.as_str().to_owned(), show_tally(tally)));
    json!({ "at": point.at, "vendors": vendors.collect::<Map<_, _>>() })
}

fn show_tally(tally: &Tally) -> Value {
    let micros =
        |share| tally.quantile(share).map(|took| u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    let mut shown: Value = OUTCOMES.into_iter().zip(tally.outcomes).collect();
    (shown["p50_us"], shown["p99_us"]) = (json!(micros(0.5)), json!(micros(0.99)));
    shown
}

fn by_vendor(values: impl Iterator<Item = Value>) -> Value {
    VendorName::ALL.map(VendorName::as_str).into_iter().zip(values).collect()
}
