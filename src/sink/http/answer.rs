//! What an answer means for the receipts of its request.

use std::time::Duration;

use http::{HeaderValue, StatusCode};
use jiff::fmt::rfc2822::DateTimeParser;

use crate::sink::BoxError;

/// An endpoint that asks for a longer pause gets this one.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);
/// As much of an answer's text as a log line bears.
const QUOTED_CHARS: usize = 200;

/// What is to be done.
pub(super) enum Answer {
    /// Nothing: the receipts are over there.
    Delivered,
    /// Not to send it again: it is what was sent that does not please.
    Refused(BoxError),
    /// To send nothing more: the endpoint says that it is gone for good.
    Gone(BoxError),
    /// To try again, after a while if one is asked for.
    NotNow(BoxError, Option<Duration>),
}

impl Answer {
    /// Reads an answer that came at `now`, in milliseconds since 1970. `text` is its body, or the beginning
    /// of it.
    pub(super) fn of(status: StatusCode, retry_after: Option<&HeaderValue>, text: &[u8], now: i64) -> Self {
        let why = || reason(status, text).into();
        match status.as_u16() {
            200..=299 => Self::Delivered,
            410 => Self::Gone(why()),
            // Somebody mends the endpoint or lets us in, or it is only not now; what was sent is not to blame.
            401..=408 | 411 | 415 | 421 | 423..=426 | 428 | 429 => {
                Self::NotNow(why(), pause(retry_after, now))
            }
            400..=499 => Self::Refused(why()),
            _ => Self::NotNow(why(), pause(retry_after, now)),
        }
    }
}

fn reason(status: StatusCode, text: &[u8]) -> String {
    let advice = match status.as_u16() {
        300..=399 => "; redirects are not followed",
        401 | 403 => "; look at `token`, `secrets`, the user in `url`, and the client certificate",
        404 | 405 => "; look at `url`",
        415 => "; look at `mode`: it may take single events only, or batches only",
        _ => "",
    };
    let text: String = String::from_utf8_lossy(text).chars().filter(|c| !c.is_control()).collect();
    let text: String = text.trim().chars().take(QUOTED_CHARS).collect();
    let colon = if text.is_empty() { "" } else { ": " };
    format!("answered {}{advice}{colon}{text}", status.as_u16())
}

/// `Retry-After`, seconds or a date. What cannot be read asks for nothing.
fn pause(retry_after: Option<&HeaderValue>, now: i64) -> Option<Duration> {
    let text = retry_after?.to_str().ok()?.trim();
    let pause = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let until = DateTimeParser::new().parse_timestamp(text).ok()?.as_millisecond();
            Duration::from_millis(u64::try_from(until.saturating_sub(now)).unwrap_or_default())
        }
    };
    Some(pause.min(LONGEST_PAUSE))
}
