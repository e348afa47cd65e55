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
use crate::journal::{Order, Scan, Seq, Stored};
use crate::receipt::{Timestamp, VendorName};

const DEFAULT_LIMIT: usize = 100;
const LARGEST_LIMIT: usize = 1000;

/// The question, with every parameter checked.
#[derive(Debug, Default)]
struct Question {
    filter: Filter,
    limit: Option<usize>,
    order: Option<Order>,
    cursor: Option<(Order, Seq)>,
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

pub(super) async fn list(State(admin): State<Admin>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let Question { filter, limit, order, cursor } = question(&query.unwrap_or_default())?;
    let order = match (order, cursor) {
        (None, None) => Order::Ascending,
        (Some(order), None) | (None, Some((order, _))) => order,
        (Some(order), Some((began, _))) if order == began => order,
        (Some(_), Some(_)) => {
            return Err(Problem::bad_request("order: the cursor comes from the other order"));
        }
    };
    let scan = Scan {
        order,
        behind: cursor.map(|(_, seq)| seq),
        limit: limit.unwrap_or(DEFAULT_LIMIT),
        fits: Box::new(move |receipt| filter.fits(receipt)),
    };
    let journal = admin.store.journal().ok_or_else(Problem::no_journal)?;
    let page = journal.scan(scan).await.map_err(|error| Problem::internal(&error))?;
    // The receipts are JSON already, and go out as they came in.
    let receipts: Vec<&str> = page.receipts.iter().map(|receipt| &*receipt.json).collect();
    let next = page.resume.map_or("null".to_owned(), |seq| format!("\"{}\"", write_cursor(order, seq)));
    let body = format!(r#"{{"receipts":[{}],"next":{next}}}"#, receipts.join(","));
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

fn question(query: &str) -> Result<Question, Problem> {
    let mut question = Question::default();
    let mut seen: Vec<String> = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if seen.iter().any(|other| *other == name) {
            return Err(Problem::bad_request(format!("{name}: given twice")));
        }
        seen.push(name.to_string());
        let bad = |expected: &str| Problem::bad_request(format!("{name}: {expected}"));
        let time = || {
            let time = Timestamp::parse_rfc3339(&value);
            time.ok_or_else(|| bad("not an RFC 3339 time such as 2026-11-20T08:00:00Z"))
        };
        let filter = &mut question.filter;
        match &*name {
            "vendor" => {
                let vendor = VendorName::ALL.into_iter().find(|vendor| vendor.as_str() == value);
                filter.vendor =
                    Some(vendor.ok_or_else(|| bad("one of easemob, tencent, openim, rongcloud"))?);
            }
            "app" => filter.app = Some(value.into_owned()),
            "conversation" => filter.conversation = Some(value.into_owned()),
            "reader" => filter.reader = Some(value.into_owned()),
            "message_id" => filter.message_id = Some(value.into_owned()),
            "message_seq" => {
                filter.message_seq = Some(value.parse().map_err(|_| bad("not a 64-bit integer"))?);
            }
            "since" => filter.since = Some(time()?),
            "until" => filter.until = Some(time()?),
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=LARGEST_LIMIT).contains(limit));
                question.limit = Some(limit.ok_or_else(|| bad("a number from 1 to 1000"))?);
            }
            "order" => {
                question.order = Some(match &*value {
                    "asc" => Order::Ascending,
                    "desc" => Order::Descending,
                    _ => return Err(bad("asc or desc")),
                });
            }
            "cursor" => {
                question.cursor = Some(read_cursor(&value).ok_or_else(|| bad("no cursor of this API"))?);
            }
            _ => return Err(Problem::bad_request(format!("{name}: no such parameter"))),
        }
    }
    Ok(question)
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

fn write_cursor(order: Order, seq: Seq) -> String {
    match order {
        Order::Ascending => format!("a{seq:x}"),
        Order::Descending => format!("d{seq:x}"),
    }
}

fn read_cursor(text: &str) -> Option<(Order, Seq)> {
    let (order, digits) = match text.split_at_checked(1)? {
        ("a", digits) => (Order::Ascending, digits),
        ("d", digits) => (Order::Descending, digits),
        _ => return None,
    };
    let plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    Seq::from_str_radix(digits, 16).ok().filter(|_| plain).map(|seq| (order, seq))
}
