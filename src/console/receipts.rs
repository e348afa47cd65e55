//! Receipts: found by what they say, newest first, each with the way to its message, its conversation and its reader.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::form::{Form, query};
use super::page::{Room, Visit};
use super::text::{
    conversation_link, kind, message_link, proof, reader_link, scope, time, time_or_none, vendor,
    vendor_choice,
};
use crate::admin::{Admin, Problem, find};
use crate::journal::Stored;
use crate::receipt::ReadReceipt;

/// What can be asked for, beside the vendor.
const FIELDS: [&str; 5] = ["app", "conversation", "reader", "message_id", "message_seq"];

pub(super) async fn show(State(admin): State<Admin>, visit: Visit) -> Response {
    let content = content(&admin, &visit).await;
    visit.page(Room::Receipts, visit.words().receipts, content)
}

async fn content(admin: &Admin, visit: &Visit) -> Result<Markup, Problem> {
    let words = visit.words();
    let asked = Form::read(visit.query().as_bytes());
    let mut wanted =
        asked.query(&["vendor", FIELDS[0], FIELDS[1], FIELDS[2], FIELDS[3], FIELDS[4], "cursor"]);
    wanted.push_str(if wanted.is_empty() { "" } else { "&" });
    wanted.push_str("order=desc&limit=25");
    let page = find(admin, &wanted).await?;
    let older = page.next.as_deref().map(|cursor| {
        let kept = ["vendor"].into_iter().chain(FIELDS).filter_map(|name| Some((name, asked.field(name)?)));
        format!("/receipts?{}", query(kept.chain([("cursor", cursor)])))
    });
    Ok(html! {
        p.lead { (words.receipts_lead) }
        form.filter method="get" action="/receipts" {
            label { (words.vendor) (vendor_choice(visit.language, Some(words.any), asked.field("vendor"))) }
            @for (name, text) in FIELDS.into_iter().zip([
                words.app, words.conversation, words.reader, words.message_id, words.message_seq,
            ]) {
                label { (text) input name=(name) value=[asked.field(name)] autocomplete="off"; }
            }
            button { (words.find) }
        }
        @if page.receipts.is_empty() {
            p.empty { @if older.is_some() { (words.receipts_none_here) } @else { (words.receipts_none) } }
        } @else {
            div.scroll tabindex="0" role="region" aria-label=(words.receipts) {
                table.stack {
                    thead { tr {
                        th scope="col" { (words.received) " (UTC)" }
                        th scope="col" { (words.vendor) }
                        th scope="col" { (words.reader) }
                        th scope="col" { (words.has_read) }
                        th scope="col" { (words.conversation) }
                        th scope="col" { (words.read_at) " (UTC)" }
                    } }
                    tbody { @for stored in &page.receipts { (row(visit, stored)) } }
                }
            }
        }
        @if let Some(older) = older { p { a.button href=(older) rel="next" { (words.older) } } }
    })
}

/// A receipt as a row; its JSON is behind a click.
fn row(visit: &Visit, stored: &Stored) -> Markup {
    let words = visit.words();
    let Ok(receipt) = stored.receipt() else {
        return html! { tr { td colspan="6" { (words.receipt_unreadable) " " (stored.seq) } } };
    };
    let language = visit.language;
    html! {
        tr {
            td {
                (time(receipt.received_at))
                details { summary { "JSON" } pre { (stored.json) } }
            }
            td.short data-label=(words.vendor) {
                (vendor(language, receipt.vendor)) " " small { bdi { (receipt.app) } }
            }
            td data-label=(words.reader) {
                a href=(reader_link(receipt.vendor, &receipt.app, &receipt.reader)) { bdi { (receipt.reader) } }
            }
            td data-label=(words.has_read) {
                (what(visit, &receipt)) br; small { (proof(language, receipt.verified_by)) }
            }
            td data-label=(words.conversation) {
                (kind(language, receipt.conversation.kind)) " "
                @match receipt.conversation.id.as_deref() {
                    Some(id) => a href=(conversation_link(
                        receipt.vendor, &receipt.app, receipt.conversation.kind, id,
                    )) { bdi { (id) } },
                    None => span.none { (words.not_named) },
                }
            }
            td data-label=(words.read_at) { (time_or_none(receipt.read_at)) }
        }
    }
}

/// What was read, with the way to the message where it has a page.
pub(super) fn what(visit: &Visit, receipt: &ReadReceipt<'_>) -> Markup {
    let message = match (&receipt.message_id, receipt.message_seq) {
        (Some(id), _) => Some(id.to_string()),
        (None, Some(seq)) => Some(format!("#{seq}")),
        (None, None) => None,
    };
    html! {
        (scope(visit.language, receipt.scope)) " "
        @if let Some(message) = message {
            @match message_link(receipt) {
                Some(link) => a href=(link) { bdi { (message) } },
                None => bdi { (message) },
            }
        } @else if let Some(up_to) = receipt.up_to_time { (time(up_to)) }
    }
}
