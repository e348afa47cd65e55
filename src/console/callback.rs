//! A callback: what arrived, how it was verified, what came of it, and which sinks have it.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::arrived::{self, Arrived};
use super::page::{Room, Visit};
use super::receipts;
use super::text::{latency, number, outcome, outcome_class, proof, time, vendor};
use super::words::explained;
use crate::admin::{Admin, Holder, Problem, holders};
use crate::callback_log::{Entry, Positions};

/// How many of its receipts are shown.
const RECEIPTS: usize = 20;

pub(super) async fn show(State(admin): State<Admin>, visit: Visit, Path(number): Path<String>) -> Response {
    let title = format!("{} {number}", visit.words().callback);
    let content = content(&admin, &visit, &number).await;
    visit.page(Room::Live, &title, content)
}

async fn content(admin: &Admin, visit: &Visit, number: &str) -> Result<Markup, Problem> {
    let words = visit.words();
    let found = number.parse().ok().and_then(|number| admin.ingest.callbacks().find(number));
    let entry = found.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, words.callback_gone))?;
    let arrived = Arrived {
        vendor: entry.vendor.as_str(),
        at: Some(entry.at),
        client: entry.client.to_string(),
        path: entry.path(),
        query: entry.query(),
        headers: entry.fields().map(|(name, value)| (name.to_owned(), value)).collect(),
        body: entry.body(),
        body_bytes: entry.body_bytes,
        whole: format!("/api/v1/callbacks/{number}?run={}", admin.ingest.callbacks().run()),
    };
    let holders = holders(admin, &entry).await?;
    Ok(html! {
        (ending(visit, &entry))
        (left(admin, visit, &entry).await?)
        (sinks(visit, &holders))
        (arrived::verified(admin, visit, &arrived).await)
        (arrived::show(visit, &arrived))
    })
}

fn ending(visit: &Visit, entry: &Entry) -> Markup {
    let (words, language) = (visit.words(), visit.language);
    let reason = entry.outcome.reason();
    html! {
        section.card {
            h2 { (words.callback_outcome) }
            p {
                span class={ "tag " (outcome_class(&entry.outcome)) } { (outcome(words, &entry.outcome)) }
                @if !reason.is_empty() {
                    " " (explained(language, reason).unwrap_or_default()) " " small.code { (reason) }
                }
            }
            dl.facts {
                div { dt { (words.received) " (UTC)" } dd { (time(entry.at)) } }
                div { dt { (words.vendor) } dd { (vendor(language, entry.vendor)) } }
                div { dt { (words.app) } dd { bdi { (entry.app().unwrap_or(words.unknown)) } } }
                div { dt { (words.command) } dd { code { (entry.command().unwrap_or("–")) } } }
                div { dt { (words.callback_answered) } dd { (entry.status) } }
                div { dt { (words.latency) } dd { (latency(u64::try_from(entry.took.as_micros()).unwrap_or(u64::MAX))) } }
                @if let Some(by) = entry.verified_by { div { dt { (words.callback_proof) } dd { (proof(language, by)) } } }
            }
        }
    }
}

/// The receipts that it left in the journal.
async fn left(admin: &Admin, visit: &Visit, entry: &Entry) -> Result<Markup, Problem> {
    let words = visit.words();
    let Some(Positions { first, last }) = entry.positions else {
        return Ok(html! {});
    };
    let Some(journal) = admin.store.journal() else { return Ok(html! {}) };
    let stored = journal.read_after(first - 1, RECEIPTS).await.map_err(Problem::of_journal)?;
    let stored = stored.iter().filter(|receipt| receipt.seq <= last);
    let receipts: Vec<_> = stored.filter_map(|stored| Some((stored, stored.receipt().ok()?))).collect();
    Ok(html! {
        section.card {
            h2 { (words.callback_receipts) " " small { (number(last - first + 1)) } }
            ul.plain {
                @for (stored, receipt) in &receipts {
                    li {
                        bdi { strong { (receipt.reader) } } (words.colon) (receipts::what(visit, receipt))
                        details { summary { "JSON" } pre { (stored.json) } }
                    }
                }
            }
        }
    })
}

fn sinks(visit: &Visit, holders: &[Holder]) -> Markup {
    let words = visit.words();
    html! {
        @if !holders.is_empty() {
            section.card {
                h2 { (words.callback_sinks) }
                dl.pairs {
                    @for Holder { name, delivered, dead_letters } in holders {
                        dt { (name) }
                        dd {
                            @if *delivered { span.good { "✓ " (words.callback_has_it) } }
                            @else if *dead_letters > 0 { span.bad { (words.dead_letters) (words.colon) (dead_letters) } }
                            @else { span.warn { (words.callback_waits) } }
                        }
                    }
                }
            }
        }
    }
}
