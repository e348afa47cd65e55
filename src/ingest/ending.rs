//! How a callback ends: one record, from which the metrics, the log line, the quarantine and the callback log each take
//! what is theirs.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use crate::callback_log::{Ended, Positions};
use crate::journal::Committed;
use crate::quarantine::Suspect;
use crate::receipt::Proof;
use crate::spans::{self, CallbackSpan};
use crate::vendor::{Incoming, Outcome, Vendor};

/// What could be told of a callback on its way.
#[derive(Default)]
pub(super) struct Known<'r> {
    /// Its app, if it proved to be of one.
    pub(super) app: Option<&'r str>,
    /// The vendor's name of the event; proven or not.
    pub(super) command: Option<Cow<'r, str>>,
    /// What proved it genuine.
    pub(super) verified_by: Option<Proof>,
    /// What became of its receipts.
    pub(super) committed: Committed,
    /// The outcome under which quarantine keeps it, whatever the vendor is answered.
    pub(super) keep: Option<Outcome>,
}

/// A callback at its end.
pub(super) struct Ending<'r> {
    pub(super) vendor: &'r dyn Vendor,
    pub(super) request: &'r Incoming,
    pub(super) begun: Instant,
    pub(super) known: Known<'r>,
    pub(super) outcome: Outcome,
    pub(super) span: Option<Box<CallbackSpan>>,
}

impl Ending<'_> {
    /// As the callback log takes it down.
    pub(super) fn ended(&self, status: u16, took: Duration) -> Ended<'_> {
        let Known { app, command, verified_by, committed, keep: _ } = &self.known;
        let last = |first| first + i64::from(committed.new_total()) - 1;
        Ended {
            request: self.request,
            vendor: self.vendor.name(),
            app: *app,
            command: command.as_deref(),
            verified_by: *verified_by,
            outcome: self.outcome,
            status,
            took,
            positions: committed.first.map(|first| Positions { first, last: last(first) }),
        }
    }

    /// As its span tells it; the event's name only where it is proven.
    pub(super) fn told(&self, status: u16) -> spans::Ended<'_> {
        let Known { app, command, verified_by, committed, keep: _ } = &self.known;
        spans::Ended {
            app: *app,
            event: command.as_deref().filter(|_| verified_by.is_some()),
            outcome: self.outcome.as_str(),
            reason: self.outcome.reason(),
            new_receipts: committed.new_total(),
            repeated_receipts: committed.repeated,
            status,
        }
    }
}

/// One line for a callback that could not be used; no path, query or body, for they hold secrets.
pub(super) fn tell(vendor: &dyn Vendor, request: &Incoming, outcome: &Outcome, suppressed: u64) {
    tracing::warn!(
        vendor = vendor.name().as_str(),
        outcome = outcome.as_str(),
        reason = outcome.reason(),
        field = outcome.field().unwrap_or_default(),
        client = %request.client,
        suppressed,
        "could not use a callback of {}: {}",
        vendor.name(),
        outcome.reason(),
    );
}

/// The callback as quarantine keeps it.
pub(super) fn suspect(vendor: &dyn Vendor, request: &Incoming, outcome: &Outcome) -> Suspect {
    let fields = request.kept_fields().map(|(name, value)| (name, String::from_utf8_lossy(value)));
    let headers: Vec<(&str, Cow<'_, str>)> = fields.collect();
    Suspect {
        at: request.received_at.as_millis(),
        vendor: vendor.name().as_str().into(),
        client: request.client.to_string(),
        outcome: outcome.as_str().into(),
        reason: outcome.reason().into(),
        path: request.uri.path().to_owned(),
        query: request.query().to_owned(),
        headers: serde_json::to_string(&headers).unwrap_or_default(),
        body: request.body.clone(),
        receipts: String::new(),
    }
}
