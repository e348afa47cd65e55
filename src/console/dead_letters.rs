//! The receipts that a sink's destination refused for good, and why.

use axum::extract::{Path, State};
use axum::response::Response;
use maud::{Markup, html};

use super::form::{Form, segment};
use super::page::{Room, Visit};
use super::text::time_or_none;
use crate::admin::{Admin, Problem};
use crate::receipt::Timestamp;

/// How many a page shows.
const ROWS: usize = 50;

pub(super) async fn show(State(admin): State<Admin>, visit: Visit, Path(name): Path<String>) -> Response {
    let title = format!("{} {name}", visit.words().dead_letters_of);
    let content = content(&admin, &visit, &name).await;
    visit.page(Room::Sinks, &title, content)
}

async fn content(admin: &Admin, visit: &Visit, name: &str) -> Result<Markup, Problem> {
    let words = visit.words();
    let behind = Form::read(visit.query().as_bytes()).number("behind").unwrap_or(0);
    let journal = admin.store.journal().ok_or_else(Problem::no_journal)?;
    let letters = journal.letters_of(name, behind, ROWS + 1).await;
    let letters = letters.map_err(Problem::of_journal)?;
    let next = letters.get(ROWS - 1).filter(|_| letters.len() > ROWS).map(|letter| letter.seq);
    Ok(html! {
        p { a href="/sinks" { "← " (words.sinks) } }
        @if letters.is_empty() { p.empty { (words.dead_letters_none) } }
        @else {
            div.scroll tabindex="0" role="region" aria-label=(words.dead_letters) {
                table.stack {
                    thead { tr {
                        th scope="col" { (words.dead_parked) " (UTC)" }
                        th scope="col" { (words.reason) }
                        th scope="col" { (words.dead_receipt) }
                        th scope="col" {}
                    } }
                    tbody {
                        @for letter in letters.iter().take(ROWS) {
                            tr {
                                td { (time_or_none(Timestamp::from_millis(letter.at))) }
                                td { code { (letter.reason) } }
                                td { details { summary { "JSON, " (letter.seq) } pre { (letter.json) } } }
                                td { div.buttons {
                                    (button(name, "redrive", words.dead_redrive, letter.seq))
                                    (button(name, "discard", words.dead_discard, letter.seq))
                                } }
                            }
                        }
                    }
                }
            }
        }
        @if let Some(next) = next {
            p { a.button rel="next" href={ "/sinks/" (segment(name)) "/dead-letters?behind=" (next) } { (words.more) } }
        }
    })
}

/// An order for one dead letter.
fn button(sink: &str, order: &str, text: &str, position: i64) -> Markup {
    html! {
        form method="post" action={ "/sinks/" (segment(sink)) "/" (order) } {
            input type="hidden" name="position" value=(position);
            button aria-label={ (text) " " (position) } { (text) }
        }
    }
}
