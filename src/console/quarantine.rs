//! Quarantine: callbacks that could not be used, and taking them in once what was wrong is mended.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::arrived::{self, Arrived};
use super::form::{Form, query};
use super::page::{Room, Visit};
use super::see;
use super::text::{number, outcome_word, time_or_none, vendor, vendor_choice, vendor_named};
use super::words::{Words, explained};
use crate::admin::{Admin, Problem, take_in};
use crate::quarantine::{Class, Kept, Listed, Suspect, Wanted};
use crate::receipt::Timestamp;
use crate::vendor::Mask;

/// How many callbacks a page shows.
const ROWS: usize = 50;

/// What a look or a requeue counts.
const COUNTS: [&str; 4] = ["accepted", "duplicate", "ignored", "kept"];

pub(super) async fn show(State(admin): State<Admin>, visit: Visit) -> Response {
    let content = content(&admin, &visit).await;
    visit.page(Room::Quarantine, visit.words().quarantine, content)
}

/// Verifies what is kept anew; takes in what is good, or only looks.
pub(super) async fn requeue(State(admin): State<Admin>, visit: Visit, body: Bytes) -> Response {
    let form = Form::read(&body);
    let wanted = Wanted {
        vendor: form.field("vendor").and_then(vendor_named),
        reason: form.field("reason").map(str::to_owned),
        ..Wanted::default()
    };
    let dry_run = form.field("how") != Some("take");
    match take_in(&admin, &wanted, dry_run).await {
        Ok(report) => {
            let counts = [report.accepted, report.duplicate, report.ignored, report.kept];
            let counts = COUNTS.into_iter().zip(counts.map(|count| count.to_string()));
            let done = ("done", if dry_run { "look" } else { "take" }.to_owned());
            see(&format!("/quarantine?{}", query(counts.chain([done]))))
        }
        Err(problem) => visit.page(Room::Quarantine, visit.words().quarantine, Err(problem)),
    }
}

async fn content(admin: &Admin, visit: &Visit) -> Result<Markup, Problem> {
    let words = visit.words();
    let asked = Form::read(visit.query().as_bytes());
    let wanted = Wanted {
        vendor: asked.field("vendor").and_then(vendor_named),
        reason: asked.field("reason").map(str::to_owned),
        ..Wanted::default()
    };
    let listed = admin.ingest.quarantine().list(wanted, true, asked.number("behind"), ROWS + 1).await;
    let listed = listed.map_err(|error| Problem::internal(&error))?;
    let next = listed.get(ROWS - 1).filter(|_| listed.len() > ROWS).map(|last| last.id.to_string());
    let held = admin.metrics.quarantine_entries.get();
    Ok(html! {
        (done(visit))
        p.lead { (words.quarantine_lead) }
        p { (words.quarantine_holds) (words.colon) strong #held { (number(held)) } }
        form.filter method="post" action="/quarantine/requeue" {
            label { (words.vendor) (vendor_choice(visit.language, Some(words.any), asked.field("vendor"))) }
            label { (words.reason_code)
                input name="reason" value=[asked.field("reason")] autocomplete="off" placeholder="bad_signature";
            }
            button formmethod="get" formaction="/quarantine" { (words.find) }
            button name="how" value="look" { (words.requeue_look) }
            button name="how" value="take" { (words.requeue_take) }
        }
        @if listed.is_empty() { p.empty { (words.quarantine_none) } } @else { (table(visit, &listed)) }
        @if let Some(next) = next {
            @let kept = ["vendor", "reason"].into_iter().filter_map(|name| Some((name, asked.field(name)?)));
            p { a.button rel="next" href={ "/quarantine?" (query(kept.chain([("behind", &*next)]))) } { (words.older) } }
        }
    })
}

fn table(visit: &Visit, listed: &[Listed]) -> Markup {
    let (words, language) = (visit.words(), visit.language);
    html! {
        div.scroll tabindex="0" role="region" aria-label=(words.quarantine) {
            table.stack {
                thead { tr {
                    th scope="col" { (words.received) " (UTC)" }
                    th scope="col" { (words.vendor) }
                    th scope="col" { (words.reason) }
                    th scope="col" { (words.callback_path) }
                } }
                tbody {
                    @for Listed { id, at, vendor: name, outcome, reason, path, class, .. } in listed.iter().take(ROWS) {
                        tr.row {
                            td { a href={ "/quarantine/" (id) } { (time_or_none(Timestamp::from_millis(*at))) } }
                            td.short { (vendor_named(name).map_or(name.as_str(), |name| vendor(language, name))) }
                            td.wide {
                                span.tag.bad { (outcome_word(words, outcome)) } " "
                                (explained(language, reason).unwrap_or_default()) " " small.code { (reason) }
                                " " small { (class_text(words, *class)) }
                            }
                            td.wide.event { code { (Mask::of(path).path()) } }
                        }
                    }
                }
            }
        }
    }
}

pub(super) async fn one(State(admin): State<Admin>, visit: Visit, Path(id): Path<String>) -> Response {
    let title = format!("{} {id}", visit.words().callback);
    let content = suspect(&admin, &visit, &id).await;
    visit.page(Room::Quarantine, &title, content)
}

async fn suspect(admin: &Admin, visit: &Visit, id: &str) -> Result<Markup, Problem> {
    let (words, language) = (visit.words(), visit.language);
    let gone = || Problem::new(StatusCode::NOT_FOUND, words.quarantine_gone);
    let id: i64 = id.parse().map_err(|_| gone())?;
    let found = admin.ingest.quarantine().find(id).await.map_err(|error| Problem::internal(&error))?;
    let Kept { class, suspect, .. } = found.ok_or_else(gone)?;
    let Suspect { at, vendor: name, client, outcome, reason, path, query, headers, body, receipts: _ } =
        suspect;
    let at = Timestamp::from_millis(at);
    let arrived = Arrived {
        vendor: &name,
        at,
        client,
        path: &path,
        query: &query,
        headers: serde_json::from_str(&headers).unwrap_or_default(),
        body: &body,
        body_bytes: body.len(),
        whole: format!("/api/v1/quarantine/{id}"),
    };
    Ok(html! {
        p { a href="/quarantine" { "← " (words.quarantine) } }
        section.card {
            h2 { (words.callback_outcome) }
            p {
                span.tag.bad { (outcome_word(words, &outcome)) } " "
                (explained(language, &reason).unwrap_or_default()) " " small.code { (reason) }
            }
            dl.facts {
                div { dt { (words.received) " (UTC)" } dd { (time_or_none(at)) } }
                div { dt { (words.quarantine_class) } dd { (class_text(words, class)) } }
                div { dt { (words.vendor) } dd { (vendor_named(&name).map_or(&*name, |name| vendor(language, name))) } }
            }
        }
        (arrived::verified(admin, visit, &arrived).await)
        (arrived::show(visit, &arrived))
    })
}

fn class_text(words: &Words, class: Class) -> &'static str {
    match class {
        Class::Hidden => words.class_hidden,
        Class::App => words.class_app,
        Class::Other => words.class_other,
    }
}

/// What came of the order that led here.
fn done(visit: &Visit) -> Markup {
    let (words, form) = (visit.words(), Form::read(visit.query().as_bytes()));
    let said = match form.field("done") {
        Some("look") => words.requeue_looked,
        Some("take") => words.requeue_taken,
        Some(_) | None => return html! {},
    };
    let texts = [words.accepted, words.duplicate, words.ignored, words.requeue_kept];
    let counts = COUNTS.into_iter().zip(texts).enumerate();
    html! {
        p.banner.good role="status" {
            (said) (words.colon)
            @for (place, (name, text)) in counts {
                @if place > 0 { (words.comma) }
                (text) " " (number(form.number(name).unwrap_or(0)))
            }
        }
    }
}
