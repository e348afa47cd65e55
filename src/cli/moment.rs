//! A moment as an operator writes it on the command line.

use std::str::FromStr;

use crate::clock;
use crate::receipt::Timestamp;

/// A moment as an operator writes it: RFC 3339, or how long ago.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment(pub(super) Timestamp);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(moment) = Timestamp::parse_rfc3339(text) {
            return Ok(Self(moment));
        }
        // Taken from a URL, the sign of the zone may be encoded, or a space.
        if let Some(moment) = Timestamp::parse_rfc3339(&text.replace("%2B", "+").replace("%2b", "+")) {
            return Ok(Self(moment));
        }
        if Timestamp::parse_rfc3339(&text.replace(' ', "+")).is_some() {
            return Err(
                "there is a space where the `+` of the time zone belongs, as in 2026-11-20T16:00:00+08:00"
                    .to_owned(),
            );
        }
        let ago: Result<jiff::Span, _> = text.parse();
        let ago = ago.and_then(|ago| ago.to_duration(jiff::SpanRelativeTo::days_are_24_hours()));
        let ago =
            ago.map_err(|_| "neither RFC 3339, as 2026-11-20T08:00:00Z, nor a time ago, as 90m or 3d")?;
        let millis = i64::try_from(ago.as_millis()).map_err(|_| "too long ago")?;
        let moment = Timestamp::from_millis(clock::now().as_millis().saturating_sub(millis));
        moment.map(Self).ok_or_else(|| "too long ago".to_owned())
    }
}
