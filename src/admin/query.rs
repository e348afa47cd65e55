//! The parameters of a question, strictly: one that is unknown, repeated or malformed is an error that names it.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::problem::Problem;
use crate::journal::Order;
use crate::receipt::{ConversationKind, Timestamp, VendorName};

/// The page sizes of lists.
pub(super) const DEFAULT_LIMIT: usize = 100;
pub(super) const LARGEST_LIMIT: usize = 1000;

/// Parameters, each of a known name and none twice.
pub(super) struct Query<'q>(Vec<(Cow<'q, str>, Cow<'q, str>)>);

impl<'q> Query<'q> {
    /// Reads a raw query.
    pub(super) fn parse(query: &'q str, known: &[&str]) -> Result<Self, Problem> {
        let mut parameters: Vec<(Cow<'q, str>, Cow<'q, str>)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if !known.contains(&&*name) {
                return Err(Problem::bad_request(format!("{name}: no such parameter")));
            }
            if parameters.iter().any(|(other, _)| *other == name) {
                return Err(Problem::bad_request(format!("{name}: given twice")));
            }
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    /// A parameter as it is.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| &**value)
    }

    /// A parameter read into what it is; `None` of the reader is an error that says what was expected.
    pub(super) fn read<T>(
        &self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let bad = || Problem::bad_request(format!("{name}: {expected}"));
        self.text(name).map(|text| read(text).ok_or_else(bad)).transpose()
    }

    /// `vendor`.
    pub(super) fn vendor(&self) -> Result<Option<VendorName>, Problem> {
        self.read("vendor", "one of easemob, tencent, openim, rongcloud", |text| {
            VendorName::ALL.into_iter().find(|vendor| vendor.as_str() == text)
        })
    }

    /// The kind of a conversation, `type`.
    pub(super) fn kind(&self) -> Result<Option<ConversationKind>, Problem> {
        self.read("type", "one of direct, group, notification, unknown", |text| {
            ConversationKind::ALL.into_iter().find(|kind| kind.as_str() == text)
        })
    }

    /// A moment.
    pub(super) fn time(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        let time =
            self.read(name, "not an RFC 3339 time such as 2026-11-20T08:00:00Z", Timestamp::parse_rfc3339);
        // In a query a `+` is a space: what came is `2026-11-20T16:00:00 08:00`.
        let plus = self.text(name).filter(|text| Timestamp::parse_rfc3339(&text.replace(' ', "+")).is_some());
        match plus {
            Some(text) if time.is_err() => Err(Problem::bad_request(format!(
                "{name}: a `+` in a query means a space; write it as %2B: {}",
                text.replace(' ', "%2B")
            ))),
            Some(_) | None => time,
        }
    }

    /// A 64-bit integer.
    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, Problem> {
        self.read(name, "not a 64-bit integer", |text| text.parse().ok())
    }

    /// `limit`, with its default.
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        self.limit_within(DEFAULT_LIMIT, LARGEST_LIMIT)
    }

    /// The same with another default and another end.
    pub(super) fn limit_within(&self, default: usize, largest: usize) -> Result<usize, Problem> {
        let limit = self.read("limit", &format!("a number from 1 to {largest}"), |text| {
            text.parse().ok().filter(|limit| (1..=largest).contains(limit))
        })?;
        Ok(limit.unwrap_or(default))
    }

    /// A parameter that must be given.
    pub(super) fn required(&self, name: &str) -> Result<String, Problem> {
        let given = self.text(name).map(str::to_owned);
        given.ok_or_else(|| Problem::bad_request(format!("{name}: required")))
    }

    /// The `cursor` that [`write_place`] made.
    pub(super) fn place<T: DeserializeOwned>(&self) -> Result<Option<T>, Problem> {
        self.read("cursor", "no cursor of this API", |text| {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
        })
    }

    /// `order` together with that of the cursor, which must be the same; `otherwise` if neither is given.
    pub(super) fn order(&self, cursor: Option<Order>, otherwise: Order) -> Result<Order, Problem> {
        let order = self.read("order", "asc or desc", |text| match text {
            "asc" => Some(Order::Ascending),
            "desc" => Some(Order::Descending),
            _ => None,
        })?;
        match (order, cursor) {
            (Some(order), Some(began)) if order != began => {
                Err(Problem::bad_request("order: the cursor comes from the other order"))
            }
            (order, cursor) => Ok(cursor.or(order).unwrap_or(otherwise)),
        }
    }
}

/// A cursor: the direction, and the position to go on behind.
pub(super) fn write_cursor(order: Order, position: i64) -> String {
    match order {
        Order::Ascending => format!("a{position:x}"),
        Order::Descending => format!("d{position:x}"),
    }
}

/// What [`write_cursor`] wrote, and nothing else.
pub(super) fn read_cursor(text: &str) -> Option<(Order, i64)> {
    let (order, digits) = match text.split_at_checked(1)? {
        ("a", digits) => (Order::Ascending, digits),
        ("d", digits) => (Order::Descending, digits),
        _ => return None,
    };
    let plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    i64::from_str_radix(digits, 16).ok().filter(|_| plain).map(|position| (order, position))
}

/// A cursor of a list that has no positions: the place to go on behind.
pub(super) fn write_place<T: Serialize>(place: &T) -> Result<String, Problem> {
    let json = serde_json::to_vec(place).map_err(|error| Problem::internal(&error))?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}
