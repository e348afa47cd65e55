//! A moment in whole milliseconds of Unix time, as every vendor counts them; RFC 3339 in UTC on the wire.

use std::borrow::Cow;
use std::fmt;

use jiff::fmt::temporal::DateTimePrinter;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Milliseconds since 1970-01-01T00:00:00Z; never before it, never past 9999-12-30T22:00:00Z, so that it always has
/// an RFC 3339 form in any time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00.000Z
    pub const EPOCH: Self = Self(0);
    /// 9999-12-30T22:00:00.000Z, the latest that there is.
    pub const LATEST: Self = Self(253_402_207_200_000);

    /// `None` when the moment has no RFC 3339 form (before 1970 or after 9999): no vendor means such a time.
    pub fn from_millis(millis: i64) -> Option<Self> {
        (millis >= 0 && jiff::Timestamp::from_millisecond(millis).is_ok()).then_some(Self(millis))
    }

    /// The same from whole seconds; `None` also when the milliseconds overflow.
    pub fn from_seconds(seconds: i64) -> Option<Self> {
        seconds.checked_mul(1000).and_then(Self::from_millis)
    }

    /// Milliseconds since 1970.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down.
    pub fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Appends its RFC 3339 form.
    pub(super) fn write(self, text: &mut String) {
        const MILLISECONDS: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
        // Neither fails: every moment has the form, and a string takes it.
        if let Ok(moment) = jiff::Timestamp::from_millisecond(self.0) {
            MILLISECONDS.print_timestamp(&moment, text).unwrap_or_default();
        }
    }

    /// Reads RFC 3339 with any offset; sub-millisecond digits are cut off.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let moment: jiff::Timestamp = text.parse().ok()?;
        Self::from_millis(moment.as_millisecond())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = jiff::Timestamp::from_millisecond(self.0).map_err(|_| fmt::Error)?;
        write!(f, "{moment:.3}")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse_rfc3339(&text)
            .ok_or_else(|| de::Error::custom("not an RFC 3339 time between 1970 and 9999"))
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "date-time",
            "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
            "description": "RFC 3339 in UTC with milliseconds.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_always_and_only_what_rfc3339_can_say() {
        let text = |ms| Timestamp::from_millis(ms).map(|t| t.to_string());
        assert_eq!(text(0).as_deref(), Some("1970-01-01T00:00:00.000Z"));
        assert_eq!(text(1_755_000_000_120).as_deref(), Some("2025-08-12T12:00:00.120Z"));
        assert_eq!(text(253_402_207_200_000).as_deref(), Some("9999-12-30T22:00:00.000Z"));
        assert_eq!(Some(Timestamp::LATEST), Timestamp::from_millis(253_402_207_200_000));
        assert_eq!(text(253_402_207_200_001), None);
        assert_eq!(text(-1), None);
        assert_eq!(text(i64::MAX), None);
        assert_eq!(Timestamp::from_seconds(i64::MAX), None);
    }
}
