//! The steps before and behind a vendor's room: where a request went, and what came of it.

use super::{Circumstances, End};
use crate::vendor::explain::{found, other_vendor, said};
use crate::vendor::{self, Incoming, Outcome, PREFIX, Report, Route};

/// Says whether the path leads to the vendor.
pub(super) fn route(
    report: &mut Report<'_>,
    served: Option<&Route>,
    request: &Incoming,
    Circumstances { route, prefix, .. }: &Circumstances<'_>,
) {
    let wanted = format!("{PREFIX}{}", route.path);
    let path = request.uri.path();
    // Whatever is not a route of ours could hold a token.
    let shown = match path.strip_prefix(&*wanted) {
        Some(tail) => format!("{wanted}{}", vendor::masked(tail)),
        None => served.map_or(vendor::masked(path), |served| format!("{PREFIX}{}", served.path)),
    };
    let facts = [("path", &*shown), ("route", &*wanted)];
    match served {
        Some(served) if served.path == route.path => report.say(said::ROUTE_FITS, &facts),
        Some(_) => {
            report.say(said::ROUTE_ELSEWHERE, &facts);
            report.find(found::ROUTE_OF_OTHER, &facts);
        }
        None => {
            report.say(said::ROUTE_UNKNOWN, &facts);
            let slash = path.trim_end_matches('/') == wanted;
            report.find(if slash { found::ROUTE_TRAILING_SLASH } else { found::ROUTE_UNKNOWN }, &facts);
        }
    }
    if !prefix.is_empty() {
        report.find(found::PATH_PREFIX, &[("prefix", &*vendor::masked(prefix))]);
    }
}

/// Says what came of a callback that got so far.
pub(super) fn content(report: &mut Report<'_>, End { outcome, receipts, .. }: &End) {
    let neighbour = report.steps.iter().any(|step| step.code == said::NEIGHBOUR.code);
    match outcome {
        Outcome::Malformed(error) => {
            let facts = [("field", error.field), ("problem", error.problem.as_str())];
            report.say(said::CONTENT_UNUSABLE, &facts);
            report.find(found::FIELD_UNUSABLE, &facts);
        }
        Outcome::Ignored if !neighbour => {
            report.say(said::CONTENT_READ, &[]);
            report.say(said::NO_RECEIPTS, &[]);
        }
        Outcome::Accepted | Outcome::Duplicate | Outcome::Conflict | Outcome::Differing => {
            report.say(said::CONTENT_READ, &[]);
            report.say(said::RECEIPTS, &[("receipts", &*receipts.len().to_string())]);
        }
        Outcome::Ignored | Outcome::Unreadable(_) | Outcome::Rejected(_) | Outcome::Unavailable => {
            report.say(said::CONTENT_SKIPPED, &[]);
        }
    }
}

/// Finds what only shows in what is known beside the request.
pub(super) fn circumstances(
    report: &mut Report<'_>,
    request: &Incoming,
    end: Option<&End>,
    Circumstances { route, as_of_now, from_nowhere, kept, .. }: &Circumstances<'_>,
) {
    let accepted = end.is_some_and(|end| end.outcome == Outcome::Accepted);
    if let Some(other) = other_vendor(request, route.path).filter(|_| !accepted) {
        report.find(found::OTHER_VENDOR, &[("looks_like", other), ("route", &*format!("{PREFIX}{other}"))]);
    }
    let stale = report.steps.iter().any(|step| step.code == said::TIME_STALE.code);
    if *as_of_now && stale {
        report.find(found::JUDGED_AS_OF_NOW, &[]);
    }
    if *from_nowhere && report.has(found::ADDRESS_REFUSED) {
        report.find(found::CLIENT_NOT_GIVEN, &[]);
    }
    if *kept && report.has(found::BASIC_MISSING) {
        report.findings.retain(|finding| finding.code != found::BASIC_MISSING.code);
        report.find(found::BASIC_NOT_KEPT, &[]);
    }
}
