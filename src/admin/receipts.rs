//! `GET /api/v1/receipts`: receipts that fit a filter, page by page.
//!
//! A page goes on behind a position of the journal and not behind a count of rows, so receipts that arrive meanwhile
//! are neither skipped nor shown twice. One request looks at a bounded number of receipts: with a filter that seldom
//! fits, a page may hold fewer than `limit` (even none) and still name a `next`.

use axum::extract::{RawQuery, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::Admin;
use super::problem::Problem;
use super::query::{Query, read_cursor, write_cursor};
use crate::journal::{Order, Scan, Seq, Stored};
use crate::receipt::{Timestamp, VendorName};

const PARAMETERS: [&str; 11] = [
    "vendor",
    "app",
    "conversation",
    "reader",
    "message_id",
    "message_seq",
    "since",
    "until",
    "limit",
    "order",
    "cursor",
];

/// The question, with every parameter checked.
#[derive(Debug)]
struct Question {
    filter: Filter,
    limit: usize,
    order: Order,
    behind: Option<Seq>,
}

/// Which receipts are wanted; what is `None` does not matter.
#[derive(Debug, Default)]
struct Filter {
    vendor: Option<VendorName>,
    app: Option<String>,
    conversation: Option<String>,
    reader: Option<String>,
    message_id: Option<String>,
    message_seq: Option<i64>,
    /// Received at this moment or later.
    since: Option<Timestamp>,
    /// Received before this moment.
    until: Option<Timestamp>,
}

/// A page of receipts.
pub(crate) struct Found {
    pub(crate) receipts: Vec<Stored>,
    /// The cursor of the next page.
    pub(crate) next: Option<String>,
}

pub(super) async fn list(State(admin): State<Admin>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let page = find(&admin, &query.unwrap_or_default()).await?;
    // The receipts are JSON already, and go out as they came in.
    let receipts: Vec<&str> = page.receipts.iter().map(|receipt| &*receipt.json).collect();
    let next = page.next.map_or("null".to_owned(), |cursor| format!("\"{cursor}\""));
    let body = format!(r#"{{"receipts":[{}],"next":{next}}}"#, receipts.join(","));
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// The receipts that a query asks for.
///
/// # Errors
/// A parameter that is unknown, repeated or malformed; no journal; a journal that cannot be read.
pub(crate) async fn find(admin: &Admin, query: &str) -> Result<Found, Problem> {
    let Question { filter, limit, order, behind } = question(query)?;
    let scan = Scan { order, behind, limit, fits: Box::new(move |receipt| filter.fits(receipt)) };
    let journal = admin.store.journal().ok_or_else(Problem::no_journal)?;
    let page = journal.scan(scan).await.map_err(Problem::of_journal)?;
    Ok(Found { receipts: page.receipts, next: page.resume.map(|seq| write_cursor(order, seq)) })
}

fn question(query: &str) -> Result<Question, Problem> {
    let query = Query::parse(query, &PARAMETERS)?;
    let text = |name| query.text(name).map(str::to_owned);
    let filter = Filter {
        vendor: query.vendor()?,
        app: text("app"),
        conversation: text("conversation"),
        reader: text("reader"),
        message_id: text("message_id"),
        message_seq: query.integer("message_seq")?,
        since: query.time("since")?,
        until: query.time("until")?,
    };
    let cursor = query.read("cursor", "no cursor of this API", read_cursor)?;
    let order = query.order(cursor.map(|(order, _)| order), Order::Ascending)?;
    Ok(Question { filter, limit: query.limit()?, order, behind: cursor.map(|(_, seq)| seq) })
}

impl Filter {
    fn fits(&self, stored: &Stored) -> bool {
        let millis = |moment: &Option<Timestamp>| moment.map(Timestamp::as_millis);
        if millis(&self.since).is_some_and(|since| stored.received_at < since)
            || millis(&self.until).is_some_and(|until| stored.received_at >= until)
        {
            return false;
        }
        if self.wants_everything() {
            return true;
        }
        // Not one of ours if it does not parse; the journal's check is the place to say so.
        let Ok(receipt) = stored.receipt() else {
            return false;
        };
        fn same(wanted: &Option<String>, found: Option<&str>) -> bool {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        }
        self.vendor.is_none_or(|vendor| receipt.vendor == vendor)
            && same(&self.app, Some(&receipt.app))
            && same(&self.conversation, receipt.conversation.id.as_deref())
            && same(&self.reader, Some(&receipt.reader))
            && same(&self.message_id, receipt.message_id.as_deref())
            && self.message_seq.is_none_or(|seq| receipt.message_seq == Some(seq))
    }

    fn wants_everything(&self) -> bool {
        let Self { vendor, app, conversation, reader, message_id, message_seq, since: _, until: _ } = self;
        vendor.is_none()
            && [app, conversation, reader, message_id].into_iter().all(Option::is_none)
            && message_seq.is_none()
    }
}
