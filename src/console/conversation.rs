//! A conversation: how far each reader is. And the other way round: how far one reader is in each conversation.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::form::{Form, query};
use super::page::{Room, Visit};
use super::text::{conversation_link, kind, number, reader_link, time_or_none, vendor};
use crate::admin::{Admin, Problem, place_cursor, position_question, read_state, state_problem};
use crate::state::{Position, PositionQuestion};

const FIELDS: [&str; 6] = ["vendor", "app", "type", "conversation", "reader", "cursor"];

pub(super) async fn show(State(admin): State<Admin>, visit: Visit) -> Response {
    let asked = Form::read(visit.query().as_bytes());
    let words = visit.words();
    let title =
        if asked.field("conversation").is_some() { words.positions } else { words.positions_of_reader };
    let content = content(&admin, &visit, &asked).await;
    visit.page(Room::Receipts, title, content)
}

async fn content(admin: &Admin, visit: &Visit, asked: &Form) -> Result<Markup, Problem> {
    let question = position_question(&format!("{}&limit=100", asked.query(&FIELDS)))?;
    let found = read_state(admin)?.positions(question.clone()).await.map_err(state_problem)?;
    let next = found.next.as_ref().map(place_cursor).transpose()?;
    let words = visit.words();
    Ok(html! {
        (what(visit, &question))
        @if found.behind > 0 { p.banner.warn { (number(found.behind)) " " (words.behind) } }
        @if question.conversation.is_some() { (look(visit, asked)) }
        @if found.positions.is_empty() {
            p.empty { (words.positions_none) }
        } @else {
            div.scroll tabindex="0" role="region" aria-label=(words.positions) {
                table.stack {
                    thead { tr {
                        th scope="col" { (words.reader) }
                        th scope="col" { (words.conversation) }
                        th.number scope="col" { (words.position_seq) }
                        th scope="col" { (words.position_time) " (UTC)" }
                        th scope="col" { (words.position_last) " (UTC)" }
                    } }
                    tbody { @for position in &found.positions { (row(visit, &question, position)) } }
                }
            }
        }
        @if let Some(next) = next {
            @let kept = FIELDS.into_iter().filter(|name| *name != "cursor");
            @let kept = kept.filter_map(|name| Some((name, asked.field(name)?)));
            p { a.button rel="next" href={ "/conversation?" (query(kept.chain([("cursor", &*next)]))) } { (words.more) } }
        }
    })
}

fn row(visit: &Visit, question: &PositionQuestion, position: &Position) -> Markup {
    let words = visit.words();
    let PositionQuestion { vendor, app, .. } = question;
    let place = &position.place;
    html! {
        tr {
            td { a href=(reader_link(*vendor, app, &place.reader)) { bdi { (place.reader) } } }
            td {
                (kind(visit.language, place.kind)) " "
                @match &place.conversation {
                    Some(id) => a href=(conversation_link(*vendor, app, place.kind, id)) { bdi { (id) } },
                    None => span.none { (words.not_named) },
                }
            }
            td.number data-label=(words.position_seq) {
                @match position.message_seq { Some(seq) => (seq), None => span.none { "–" }, }
            }
            td data-label=(words.position_time) { (time_or_none(position.up_to_time)) }
            td data-label=(words.position_last) { (time_or_none(position.read_at)) }
        }
    }
}

fn what(visit: &Visit, question: &PositionQuestion) -> Markup {
    let words = visit.words();
    html! {
        dl.facts.card {
            @if let Some(conversation) = &question.conversation {
                div { dt { (words.conversation) } dd {
                    @if let Some(of) = question.kind { (kind(visit.language, of)) " " }
                    strong { bdi { (conversation) } }
                } }
            }
            @if let Some(reader) = &question.reader { div { dt { (words.reader) } dd { strong { bdi { (reader) } } } } }
            div { dt { (words.vendor) } dd { (vendor(visit.language, question.vendor)) } }
            div { dt { (words.app) } dd { bdi { (question.app) } } }
        }
    }
}

/// From a conversation to one of its messages.
fn look(visit: &Visit, asked: &Form) -> Markup {
    let words = visit.words();
    html! {
        form.filter method="get" action="/message" {
            @for name in ["vendor", "app", "type", "conversation"] {
                @if let Some(value) = asked.field(name) { input type="hidden" name=(name) value=(value); }
            }
            label { (words.message_id) input name="message_id" autocomplete="off"; }
            label { (words.message_seq) input name="message_seq" inputmode="numeric" autocomplete="off"; }
            button { (words.look_message) }
        }
    }
}
