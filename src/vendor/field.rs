//! Fields of an authentic event, read to the type they must have. Integers come as JSON numbers or as digit
//! strings, for vendors use both for the same field; they are exact or they are an error, never rounded or wrapped.
//! An optional field may be absent or null; once it is there, it must be right.

use std::borrow::Cow;

use super::form::{Entry, Form};
use super::json::{Json, Object};
use super::outcome::{DecodeError, Problem};
use super::reading::RECEIPTS_BYTES;
use crate::receipt::{Extra, Timestamp};

/// Below this a time counts seconds, from it on milliseconds: as milliseconds it would be before March 1973.
const FIRST_MILLISECONDS: i64 = 100_000_000_000;

/// The fewest bytes that a receipt of any vendor weighs in the journal's queue.
const SMALLEST_RECEIPT: usize = 256;

/// How long a name or an id may be. No vendor's is longer than a quarter of it; but what stands once in a callback
/// stands in every receipt of it.
const LONGEST: usize = 1_024;

impl<'a> Object<'a> {
    /// A text that must say something.
    pub(super) fn text(&self, field: &'static str) -> Result<&str, DecodeError> {
        self.optional_text(field)?.ok_or(Problem::Missing.of(field))
    }

    /// A text; an empty one counts as absent.
    pub(super) fn optional_text(&self, field: &'static str) -> Result<Option<&str>, DecodeError> {
        match self.find(field) {
            None => Ok(None),
            Some(value) => {
                let text = value.as_text().ok_or(Problem::WrongType.of(field))?;
                short(text).map_err(|problem| problem.of(field))?;
                Ok(not_empty(text))
            }
        }
    }

    /// The same for a text that holds more than a name.
    pub(super) fn long_text(&self, field: &'static str) -> Result<&str, DecodeError> {
        let text = self.find(field).ok_or(Problem::Missing.of(field))?;
        let text = text.as_text().ok_or(Problem::WrongType.of(field))?;
        not_empty(text).ok_or(Problem::Missing.of(field))
    }

    /// A text, or an integer whose digits are taken as the text: for ids beyond 2^53 that some tables type as Long.
    pub(super) fn optional_id(&self, field: &'static str) -> Result<Option<Cow<'_, str>>, DecodeError> {
        match self.find(field) {
            Some(Json::Integer(value)) => Ok(Some(Cow::Owned(value.to_string()))),
            _ => Ok(self.optional_text(field)?.map(Cow::Borrowed)),
        }
    }

    /// The same where it must be there.
    pub(super) fn id(&self, field: &'static str) -> Result<Cow<'_, str>, DecodeError> {
        self.optional_id(field)?.ok_or(Problem::Missing.of(field))
    }

    /// A text that is kept where there is one and missed by nobody: any other type counts as absent.
    pub(super) fn fact(&self, field: &'static str) -> Option<Cow<'_, str>> {
        self.find(field).and_then(Json::as_text).map(Cow::Borrowed)
    }

    /// A 64-bit integer.
    pub(super) fn integer(&self, field: &'static str) -> Result<i64, DecodeError> {
        self.optional_integer(field)?.ok_or(Problem::Missing.of(field))
    }

    /// A 64-bit integer that may be absent.
    pub(super) fn optional_integer(&self, field: &'static str) -> Result<Option<i64>, DecodeError> {
        self.find(field).map(|value| integer(value).map_err(|problem| problem.of(field))).transpose()
    }

    /// The time of an event in milliseconds: one that does not fit is unknown, and the receipt stays.
    pub(super) fn event_time(&self, field: &'static str) -> Result<Option<VendorTime>, DecodeError> {
        match self.find(field) {
            None => Ok(None),
            Some(value) => event_time(integer(value)).map_err(|problem| problem.of(field)),
        }
    }

    /// A list that must be there, though it may be empty.
    pub(super) fn list(&self, field: &'static str) -> Result<&[Json<'a>], DecodeError> {
        self.optional_list(field)?.ok_or(Problem::Missing.of(field))
    }

    /// A list that may be absent.
    pub(super) fn optional_list(&self, field: &'static str) -> Result<Option<&[Json<'a>]>, DecodeError> {
        match self.find(field) {
            None => Ok(None),
            Some(Json::List(list)) => Ok(Some(list)),
            Some(_) => Err(Problem::WrongType.of(field)),
        }
    }

    /// An object that must be there.
    pub(super) fn object(&self, field: &'static str) -> Result<&Object<'a>, DecodeError> {
        self.find(field).ok_or(Problem::Missing.of(field))?.as_object().ok_or(Problem::WrongType.of(field))
    }
}

impl Form<'_> {
    /// A text that must say something, once.
    pub(super) fn text(&self, field: &'static str) -> Result<&str, DecodeError> {
        let text = self.long_text(field)?;
        short(text).map_err(|problem| problem.of(field)).map(|()| text)
    }

    /// The same for a text that holds more than a name.
    pub(super) fn long_text(&self, field: &'static str) -> Result<&str, DecodeError> {
        self.optional_text(field)?.ok_or(Problem::Missing.of(field))
    }

    /// A text; an empty one counts as absent.
    pub(super) fn optional_text(&self, field: &'static str) -> Result<Option<&str>, DecodeError> {
        match self.entry(field) {
            Entry::Absent => Ok(None),
            Entry::Once(text) => Ok(not_empty(text)),
            Entry::Repeated => Err(Problem::Repeated.of(field)),
        }
    }

    /// A text that is kept where there is one and missed by nobody.
    pub(super) fn fact(&self, field: &'static str) -> Option<&str> {
        self.optional_text(field).ok().flatten()
    }
}

/// An integer from a number or a digit string.
pub(super) fn integer(value: &Json<'_>) -> Result<i64, Problem> {
    match value {
        Json::Integer(value) => value.as_i64().ok_or(Problem::OutOfRange),
        // Beyond 64 bits there is no telling an integer from a fraction, and neither fits.
        Json::Number(value) if value.abs() >= 9.2e18 => Err(Problem::OutOfRange),
        Json::Text(text) => digits(text),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::List(_) | Json::Object(_) | Json::Odd => {
            Err(Problem::WrongType)
        }
    }
}

/// An integer from ASCII digits.
pub(super) fn digits(text: &str) -> Result<i64, Problem> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Problem::WrongType);
    }
    text.parse().map_err(|_| Problem::OutOfRange)
}

/// A time in a field that counts milliseconds, and whether it came in seconds all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct VendorTime {
    /// The time.
    pub(super) at: Timestamp,
    /// Whether its number can only be one of seconds.
    pub(super) in_seconds: bool,
}

impl VendorTime {
    /// `None` when it has no RFC 3339 form.
    fn new(number: i64) -> Option<Self> {
        let in_seconds = is_seconds(number);
        let at = if in_seconds { Timestamp::from_seconds(number) } else { Timestamp::from_millis(number) };
        at.map(|at| Self { at, in_seconds })
    }
}

/// Whether a number in a field of milliseconds can only be one of seconds. Zero is neither.
pub(super) fn is_seconds(number: i64) -> bool {
    (1..FIRST_MILLISECONDS).contains(&number)
}

/// Adds the fact that a time of the receipt came in seconds where milliseconds are due.
pub(super) fn time_unit(extra: &mut Extra<'_>, times: &[Option<VendorTime>]) {
    if times.iter().flatten().any(|time| time.in_seconds) {
        extra.text("time_unit", Some("s".into()));
    }
}

/// An event's time in milliseconds, given as an integer or not: what does not fit is unknown.
pub(super) fn event_time(number: Result<i64, Problem>) -> Result<Option<VendorTime>, Problem> {
    match number {
        Ok(number) => Ok(VendorTime::new(number)),
        Err(Problem::OutOfRange) => Ok(None),
        Err(problem) => Err(problem),
    }
}

/// A read position in milliseconds: it must fit, for without it there is no receipt.
pub(super) fn position(number: i64) -> Result<VendorTime, Problem> {
    VendorTime::new(number).ok_or(Problem::OutOfRange)
}

/// Whether so many receipts can be one callback's: none of a callback whose receipts come to more than
/// [`RECEIPTS_BYTES`] is stored, so no more of them are made than could weigh as much.
pub(super) fn within_limit(receipts: usize) -> Result<(), DecodeError> {
    if receipts > RECEIPTS_BYTES / SMALLEST_RECEIPT { Err(Problem::OutOfRange.of("body")) } else { Ok(()) }
}

/// Whether a text is not too long for a name.
pub(super) fn short(text: &str) -> Result<(), Problem> {
    if text.len() > LONGEST { Err(Problem::OutOfRange) } else { Ok(()) }
}

fn not_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_below_the_edge_counts_seconds_and_one_from_it_on_milliseconds() {
        let millis = |number| position(number).map(|time| (time.at.as_millis(), time.in_seconds));
        assert_eq!(millis(99_999_999_999), Ok((99_999_999_999_000, true)));
        assert_eq!(millis(100_000_000_000), Ok((100_000_000_000, false)));
        assert_eq!(millis(1_767_000_000), Ok((1_767_000_000_000, true)));
        assert_eq!(millis(1), Ok((1_000, true)));
        assert_eq!(millis(0), Ok((0, false)));
        assert_eq!(millis(-1), Err(Problem::OutOfRange));
        assert_eq!(millis(i64::MAX), Err(Problem::OutOfRange));
        assert_eq!(event_time(Ok(i64::MAX)), Ok(None));
    }
}
