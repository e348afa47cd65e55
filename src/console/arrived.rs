//! What arrived, as it arrived: path, query, header fields and body of a callback that was kept somewhere, with whatever
//! may be a token masked; and what the signature doctor says of it as of the moment at which it came.

use axum::body::Bytes;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maud::{Markup, html};

use super::explained;
use super::page::Visit;
use super::text::number;
use crate::admin::{Admin, examine};
use crate::explain::Capture;
use crate::receipt::Timestamp;
use crate::vendor::{Mask, PREFIX};

/// A callback that was kept.
pub(super) struct Arrived<'a> {
    pub(super) vendor: &'a str,
    pub(super) at: Option<Timestamp>,
    pub(super) client: String,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: &'a [u8],
    /// How long the body was; more than there is when only its beginning was kept.
    pub(super) body_bytes: usize,
    /// Where the API has all of it.
    pub(super) whole: String,
}

/// So much of a body is put into a page.
const SHOWN: usize = 16 << 10;

pub(super) fn show(visit: &Visit, arrived: &Arrived<'_>) -> Markup {
    let words = visit.words();
    let mask = Mask::of(arrived.path);
    html! {
        section.card {
            h2 { (words.callback_arrived) }
            dl.facts {
                div.wide { dt { (words.callback_path) } dd { code { "POST " (mask.path()) } } }
                @if !arrived.query.is_empty() {
                    div.wide { dt { (words.callback_query) } dd { code { (mask.text(arrived.query)) } } }
                }
                div { dt { (words.client) } dd { (arrived.client) } }
            }
            @if !arrived.headers.is_empty() {
                details {
                    summary { (words.callback_headers) }
                    pre { @for (name, value) in &arrived.headers { (name) ": " (mask.text(value)) "\n" } }
                }
            }
            h2 { (words.callback_body) " " small { (number(arrived.body_bytes as u64)) " " (words.callback_bytes) } }
            (body(visit, arrived))
        }
    }
}

fn body(visit: &Visit, arrived: &Arrived<'_>) -> Markup {
    let words = visit.words();
    let shown = arrived.body.get(..SHOWN).unwrap_or(arrived.body);
    let cut = shown.len() < arrived.body_bytes;
    let text = std::str::from_utf8(shown).or_else(|error| {
        // What was cut off may have been half a character.
        let valid = shown.get(..error.valid_up_to()).unwrap_or_default();
        if cut && error.error_len().is_none() { std::str::from_utf8(valid) } else { Err(error) }
    });
    html! {
        @if shown.is_empty() { p.soft { (words.callback_empty) } }
        @else if let Ok(text) = text { pre #body { "\n" (text) } }
        @else { p.soft { (words.callback_base64) } pre #body { (BASE64_STANDARD.encode(shown)) } }
        @if cut { p.soft { (words.callback_cut) } }
        p { a href=(arrived.whole) { "JSON" } }
    }
}

/// How it was verified, step by step, with today's secrets as of the moment at which it came. Nothing if its body is not
/// there as a whole, or the vendor is not served any more.
pub(super) async fn verified(admin: &Admin, visit: &Visit, arrived: &Arrived<'_>) -> Markup {
    if arrived.body.len() < arrived.body_bytes {
        return html! {};
    }
    let below = arrived.path.strip_prefix(PREFIX).unwrap_or_default();
    let route = if below == "rongcloud/relay" { below } else { arrived.vendor };
    let capture = Capture {
        path: arrived.path.to_owned(),
        query: arrived.query.to_owned(),
        headers: arrived.headers.clone(),
        client: arrived.client.parse().ok(),
        body: Bytes::copy_from_slice(arrived.body),
        received_at: arrived.at,
        kept: true,
    };
    let Ok(explanation) = examine(admin, route.to_owned(), capture).await else { return html! {} };
    html! {
        @if !explanation.is_fine() { (explained::findings(visit, &explanation)) }
        (explained::steps(visit, visit.words().callback_verified, &explanation))
    }
}
