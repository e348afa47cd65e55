//! The signature doctor: a captured callback, what would come of it, and why. For `readhook explain`, the admin API, and
//! whoever shows a callback that is kept somewhere.
//!
//! The outcome is not worked out here: it is what the way of every callback gives (`ingest::look`), so it cannot disagree with
//! the service. The steps and findings around it come from the vendors' rooms. Nothing is stored, counted or kept.

mod capture;
mod tell;

use std::collections::HashSet;
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

pub use capture::{Capture, CaptureError};

use crate::ingest::{Read, look};
use crate::receipt::{Timestamp, VendorName};
use crate::vendor::explain::{found, said};
use crate::vendor::{
    self, Finding, Found, Incoming, Outcome, PREFIX, Report, Route, Step, Unreadable, Vendor, Vendors,
};

/// How many receipts are shown.
const RECEIPTS_SHOWN: usize = 20;

/// What would come of a callback, and why.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// The vendor.
    pub vendor: VendorName,
    /// Its route, below `/webhooks/`.
    pub route: &'static str,
    /// The moment as of which it was judged.
    pub received_at: Timestamp,
    /// How it would end; `accepted` where the journal could still say `duplicate`, and `not_found` where nothing is served.
    pub outcome: &'static str,
    /// The reason code; empty for `accepted` and `ignored`.
    pub reason: &'static str,
    /// The field that cannot be used, if that is why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<&'static str>,
    /// What the vendor would hear.
    pub answer: Said,
    /// What was looked at, in the service's order.
    pub steps: Vec<Step>,
    /// What is probably wrong.
    pub findings: Vec<Finding>,
    /// How many receipts would come of it.
    pub receipt_count: usize,
    /// The first of them.
    pub receipts: Vec<Box<RawValue>>,
}

/// The answer in the vendor's dialect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Said {
    /// HTTP status.
    pub status: u16,
    /// `application/json` or `text/plain`.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

impl Explanation {
    /// Whether the vendor would have nothing to complain of: accepted, a duplicate, or nothing for us.
    pub fn is_fine(&self) -> bool {
        matches!(self.outcome, "accepted" | "ignored")
    }
}

/// The codes of all steps, with their sentences: for translations.
pub fn step_codes() -> impl Iterator<Item = (&'static str, &'static str)> {
    said::ALL.iter().map(|phrase| (phrase.code, phrase.text))
}

/// The codes of all findings, with what is wrong and what to do: for translations.
pub fn finding_codes() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    found::ALL.iter().map(|diagnosis| (diagnosis.code, diagnosis.text, diagnosis.remedy))
}

/// What is known of a request beside the request.
struct Circumstances<'c> {
    /// Which route it is explained for.
    route: &'c Route,
    /// What stood in front of `/webhooks/`.
    prefix: &'c str,
    /// Whether nobody said when it arrived, or from where.
    as_of_now: bool,
    from_nowhere: bool,
    /// Whether it was kept, and so came back without its credentials.
    kept: bool,
    body_limit: usize,
}

/// What came of it, in the form in which it is shown.
struct End {
    outcome: Outcome,
    answer: vendor::Answer,
    receipts: Vec<Arc<str>>,
}

fn explain(vendors: &Vendors, request: &Incoming, circumstances: &Circumstances<'_>) -> Explanation {
    let Circumstances { route, body_limit, .. } = circumstances;
    let room = &*route.vendor;
    // Every room's, for a callback may hold another vendor's secret.
    let secrets = vendors.routes().iter().flat_map(|route| route.vendor.secrets()).collect();
    let mut report = Report::new(secrets);
    let served = served(vendors, request);
    tell::route(&mut report, served, request, circumstances);
    let too_large = request.body.len() > *body_limit;
    let end = match served {
        Some(_) if too_large => Some(over(room, request, Outcome::Unreadable(Unreadable::BodyTooLarge))),
        Some(served) if served.path == route.path => Some(end(room, request)),
        Some(served) => Some(end(&*served.vendor, &at(served, request))),
        // Below a vendor's routes the vendor answers, and says that nothing is there.
        None => below(vendors, request)
            .map(|vendor| over(&**vendor, request, Outcome::Unreadable(Unreadable::UnknownPath))),
    };
    if too_large {
        let bytes = request.body.len().to_string();
        report.say(said::BODY_TOO_LARGE, &[("bytes", &*bytes), ("limit", &*body_limit.to_string())]);
        report.find(found::BODY_TOO_LARGE, &[("bytes", &*bytes), ("limit", &*body_limit.to_string())]);
    } else {
        room.examine(request, &mut report);
    }
    if let Some(end) = &end {
        tell::content(&mut report, end);
    }
    tell::circumstances(&mut report, request, end.as_ref(), circumstances);
    let Report { steps, findings, .. } = report;
    let end_or_404 = end.map_or_else(
        || {
            let answer = vendor::not_here(request);
            ("not_found", "", None, answer, Vec::new())
        },
        |End { outcome, answer, receipts }| {
            (outcome.as_str(), outcome.reason(), outcome.field(), answer, receipts)
        },
    );
    let (outcome, reason, field, answer, receipts) = end_or_404;
    let shown = receipts.iter().take(RECEIPTS_SHOWN);
    Explanation {
        vendor: room.name(),
        route: route.path,
        received_at: request.received_at,
        outcome,
        reason,
        field,
        answer: Said {
            status: answer.status,
            content_type: answer.content_type,
            body: answer.body.into_owned(),
        },
        steps,
        findings,
        receipt_count: receipts.len(),
        receipts: shown.filter_map(|json| RawValue::from_string(json.to_string()).ok()).collect(),
    }
}

/// Who would really take the request, by its path.
fn served<'v>(vendors: &'v Vendors, request: &Incoming) -> Option<&'v Route> {
    let path = request.uri.path().strip_prefix(PREFIX)?;
    let (vendor, at) = vendors.route(path)?;
    let is_it = |route: &&Route| route.path.len() == at && route.vendor.name() == vendor.name();
    vendors.routes().iter().find(is_it)
}

/// The vendor below whose routes the request's path lies, though it is none of them.
fn below<'v>(vendors: &'v Vendors, request: &Incoming) -> Option<&'v Arc<dyn Vendor>> {
    match vendors.find(request.uri.path().strip_prefix(PREFIX)?) {
        Found::UnknownPath(vendor, _) => Some(vendor),
        Found::Served(..) | Found::Nobody => None,
    }
}

/// The same request for another route than it was made for.
fn at(route: &Route, request: &Incoming) -> Incoming {
    Incoming {
        tail_at: PREFIX.len() + route.path.len(),
        uri: request.uri.clone(),
        headers: request.headers.clone(),
        client: request.client,
        body: request.body.clone(),
        received_at: request.received_at,
    }
}

fn end(room: &dyn Vendor, request: &Incoming) -> End {
    match look(room, request) {
        Read::Receipts(entries) if entries.is_empty() => over(room, request, Outcome::Ignored),
        Read::Receipts(entries) => {
            // As the journal would: of two with the same id the first stays.
            let mut seen = HashSet::new();
            let new = entries.into_iter().filter(|entry| seen.insert(entry.id));
            End { receipts: new.map(|entry| entry.json).collect(), ..over(room, request, Outcome::Accepted) }
        }
        Read::Neighbour { allow, .. } => {
            End { outcome: Outcome::Ignored, answer: allow, receipts: Vec::new() }
        }
        Read::Over(outcome) => over(room, request, outcome),
    }
}

fn over(room: &dyn Vendor, request: &Incoming, outcome: Outcome) -> End {
    End { answer: room.answer(request, &outcome), outcome, receipts: Vec::new() }
}
