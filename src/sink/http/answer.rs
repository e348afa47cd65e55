//! What an answer means for the receipts of its request.

use std::time::Duration;

use http::{HeaderValue, StatusCode};
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

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
            401..=408 | 411 | 414 | 415 | 421 | 423..=426 | 428 | 429 | 431 => {
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
        404 | 405 | 414 => "; look at `url`",
        410 => "; the endpoint says that it is gone for good",
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
    let pause = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Digits that are too many for a number ask for longer than anybody waits.
        text.parse().map_or(LONGEST_PAUSE, Duration::from_secs)
    } else {
        let until = http_date(text, now)?;
        Duration::from_millis(u64::try_from(until.saturating_sub(now)).unwrap_or_default())
    };
    Some(pause.min(LONGEST_PAUSE))
}

/// A date in any of the three forms of [RFC 9110, 5.6.7](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7), in
/// milliseconds since 1970. The name of the weekday says nothing new and is not looked at.
fn http_date(text: &str, now: i64) -> Option<i64> {
    let date = match text.split_once(", ") {
        // `Sunday, 06-Nov-94 08:49:37 GMT` (RFC 850) and `Sun, 06 Nov 1994 08:49:37 GMT`
        Some((_, date)) => {
            let (date, time) = date.strip_suffix(" GMT")?.rsplit_once(' ')?;
            if let Some((day, rest)) = date.split_once('-') {
                let (month, year) = rest.split_once('-')?;
                civil(full_year(digits(year, 2)?, now)?, month, digits(day, 2)?, time)?
            } else {
                let mut parts = date.split(' ');
                let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
                parts.next().is_none().then_some(())?;
                civil(digits(year, 4)?, month, digits(day, 2)?, time)?
            }
        }
        // `Sun Nov  6 08:49:37 1994` (asctime)
        None => {
            let mut parts = text.split_ascii_whitespace();
            let (_, month, day) = (parts.next()?, parts.next()?, parts.next()?);
            let (time, year) = (parts.next()?, parts.next()?);
            parts.next().is_none().then_some(())?;
            civil(digits(year, 4)?, month, digits(day, day.len().min(2))?, time)?
        }
    };
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

/// A number of exactly so many digits.
fn digits(text: &str, count: usize) -> Option<i16> {
    let all = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| text.parse().ok()).flatten()
}

/// A year of two digits: never more than 50 years in the future.
fn full_year(of_century: i16, now: i64) -> Option<i16> {
    let this = jiff::Timestamp::from_millisecond(now).ok()?.to_zoned(TimeZone::UTC).year();
    let year = this - this % 100 + of_century;
    Some(if year > this + 50 { year - 100 } else { year })
}

fn civil(year: i16, month: &str, day: i16, time: &str) -> Option<DateTime> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = i8::try_from(MONTHS.iter().position(|name| *name == month)? + 1).ok()?;
    let mut parts = time.split(':').map(|part| digits(part, 2).and_then(|part| i8::try_from(part).ok()));
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(())?;
    // A leap second is the one before it, as far as a wait goes.
    let time = Time::new(hour, minute, if second == 60 { 59 } else { second }, 0).ok()?;
    Some(DateTime::from_parts(Date::new(year, month, i8::try_from(day).ok()?).ok()?, time))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1994-11-06T08:49:37Z
    const THEN: i64 = 784_111_777_000;

    fn asked(text: &str, now: i64) -> Option<u64> {
        pause(Some(&HeaderValue::from_str(text).unwrap()), now).map(|pause| pause.as_secs())
    }

    #[test]
    fn every_form_of_a_date_and_every_number_is_read() {
        let soon = THEN - 90_000;
        for date in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun Nov 06 08:49:37 1994",
        ] {
            assert_eq!(asked(date, soon), Some(90), "{date}");
            assert_eq!(asked(date, THEN + 5_000), Some(0), "{date} is over");
            assert_eq!(asked(date, 0), Some(3600), "{date} is bounded");
        }
        assert_eq!(asked("0", THEN), Some(0));
        assert_eq!(asked(" 120 ", THEN), Some(120));
        for long in ["3601", "18446744073709551615", "18446744073709551616", "99999999999999999999999999"] {
            assert_eq!(asked(long, THEN), Some(3600), "{long}");
        }
    }

    #[test]
    fn a_year_of_two_digits_is_at_most_fifty_years_ahead() {
        // 2026-11-30
        let now = 1_796_000_000_000;
        assert_eq!(asked("Monday, 30-Nov-26 23:59:59 GMT", now).map(|wait| wait > 0), Some(true));
        assert_eq!(asked("Saturday, 30-Nov-75 00:00:00 GMT", now), Some(3600), "2075");
        assert_eq!(asked("Sunday, 30-Nov-80 00:00:00 GMT", now), Some(0), "1980");
    }

    #[test]
    fn what_is_no_date_and_no_number_asks_for_nothing() {
        for text in [
            "",
            "soon",
            "-5",
            "+5",
            "1.5",
            "1e3",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Sun Nov 6 08:49:37",
            ", GMT",
        ] {
            assert_eq!(asked(text, THEN - 90_000), None, "{text}");
        }
    }
}
