//! A message: who has read it, when, and what tells so.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::form::{Form, query};
use super::page::{Room, Visit};
use super::text::{conversation_link, kind, number, reader_link, time_or_none, vendor};
use crate::admin::{Admin, Problem, message_question, read_state, reader_cursor, state_problem};
use crate::state::{Message, MessageQuestion, Readers, Via};

/// What makes up the question; the rest of a query is the console's own.
const FIELDS: [&str; 9] =
    ["vendor", "app", "type", "conversation", "message_id", "message_seq", "sent_at", "reader", "cursor"];

pub(super) async fn show(State(admin): State<Admin>, visit: Visit) -> Response {
    let content = content(&admin, &visit).await;
    visit.page(Room::Receipts, visit.words().message_readers, content)
}

async fn content(admin: &Admin, visit: &Visit) -> Result<Markup, Problem> {
    let asked = Form::read(visit.query().as_bytes());
    let question = message_question(&format!("{}&limit=100", asked.query(&FIELDS)))?;
    let readers = read_state(admin)?.readers(question.clone()).await.map_err(state_problem)?;
    let next = readers.next.as_deref().map(reader_cursor).transpose()?;
    let words = visit.words();
    Ok(html! {
        (what(visit, &question))
        (counts(visit, &readers))
        (sent_at(visit, &asked))
        @if readers.readers.is_empty() {
            p.empty { (words.message_none) }
        } @else {
            div.scroll tabindex="0" role="region" aria-label=(words.message_readers) {
                table.stack {
                    thead { tr {
                        th scope="col" { (words.reader) }
                        th scope="col" { (words.read_at) " (UTC)" }
                        th scope="col" { (words.via) }
                    } }
                    tbody {
                        @for reader in &readers.readers {
                            tr {
                                td { a href=(reader_link(question.vendor, &question.app, &reader.reader)) { bdi { (reader.reader) } } }
                                td data-label=(words.read_at) { (time_or_none(reader.read_at)) }
                                td data-label=(words.via) { (via(visit, reader.via)) }
                            }
                        }
                    }
                }
            }
        }
        @if let Some(next) = next {
            @let kept = FIELDS.into_iter().filter(|name| *name != "cursor");
            @let kept = kept.filter_map(|name| Some((name, asked.field(name)?)));
            p { a.button rel="next" href={ "/message?" (query(kept.chain([("cursor", &*next)]))) } { (words.more) } }
        }
    })
}

fn what(visit: &Visit, question: &MessageQuestion) -> Markup {
    let words = visit.words();
    let MessageQuestion { vendor: name, app, kind: of, conversation, message, .. } = question;
    html! {
        dl.facts.card {
            div { dt { (words.message) } dd { strong { bdi {
                @match message {
                    Message::Id(id) => (id),
                    Message::Seq(seq) => { "#" (seq) }
                }
            } } } }
            div {
                dt { (words.conversation) }
                dd { @match of {
                    Some(of) => { (kind(visit.language, *of)) " "
                        a href=(conversation_link(*name, app, *of, conversation)) { bdi { (conversation) } } },
                    None => bdi { (conversation) },
                } }
            }
            div { dt { (words.vendor) } dd { (vendor(visit.language, *name)) } }
            div { dt { (words.app) } dd { bdi { (app) } } }
        }
    }
}

fn counts(visit: &Visit, Readers { counts, behind, .. }: &Readers) -> Markup {
    let words = visit.words();
    let ways = [
        (counts.via.message, words.via_message),
        (counts.via.up_to, words.via_up_to),
        (counts.via.conversation, words.via_conversation),
    ];
    html! {
        section.card aria-label=(words.message_counts) {
            p {
                span.big #read { (number(counts.read)) } " " (words.message_read)
                @if let Some(unread) = counts.unread {
                    " · " span.big { (number(unread)) } " " (words.message_unread)
                }
            }
            dl.pairs {
                @for (count, way) in ways.into_iter().filter(|(count, _)| *count > 0) {
                    dt { (number(count)) } dd { (way) }
                }
            }
            @if *behind > 0 { p.banner.warn { (number(*behind)) " " (words.behind) } }
        }
    }
}

/// The time of sending makes more receipts count, and only the asker knows it.
fn sent_at(visit: &Visit, asked: &Form) -> Markup {
    let words = visit.words();
    let kept = FIELDS.into_iter().filter(|name| !matches!(*name, "sent_at" | "cursor"));
    html! {
        form.filter method="get" action="/message" {
            @for name in kept {
                @if let Some(value) = asked.field(name) { input type="hidden" name=(name) value=(value); }
            }
            label { (words.sent_at)
                input name="sent_at" value=[asked.field("sent_at")] placeholder="2026-11-20T08:00:00Z" autocomplete="off"
                    aria-describedby="sent-at-why";
            }
            button { (words.find) }
        }
        p.soft #sent-at-why { (words.look_sent_at_why) }
    }
}

fn via(visit: &Visit, via: Via) -> &'static str {
    let words = visit.words();
    match via {
        Via::Message => words.via_message,
        Via::UpTo => words.via_up_to,
        Via::Conversation => words.via_conversation,
    }
}
