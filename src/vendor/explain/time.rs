//! Signed times: how far one is from the moment of arrival, and the spellings that numbers get on their way.

use super::found::{self, Diagnosis};
use super::{Report, said};
use crate::receipt::Timestamp;

/// Says that the signed time is outside the window, by how much and to which side. Both are in milliseconds.
pub(in crate::vendor) fn skew(report: &mut Report<'_>, signed: i64, arrived: i64, window_seconds: u64) {
    let shown = |millis| Timestamp::from_millis(millis).map_or("no date".to_owned(), |at| at.to_string());
    let apart = arrived.abs_diff(signed) / 1000;
    let direction = if signed < arrived { "signed before it arrived" } else { "signed after it arrived" };
    let (signed_at, arrived_at, apart_text) = (shown(signed), shown(arrived), apart.to_string());
    let window = window_seconds.to_string();
    let facts = [
        ("signed_at", &*signed_at),
        ("arrived_at", &*arrived_at),
        ("seconds_apart", &*apart_text),
        ("direction", direction),
        ("window_seconds", &*window),
    ];
    report.say(said::TIME_STALE, &facts);
    // A thousandth or a thousandfold of the right time is a unit and no clock.
    for (diagnosis, other) in [
        (found::TIME_IN_MILLISECONDS, Some(signed / 1000)),
        (found::TIME_IN_SECONDS, signed.checked_mul(1000)),
    ] {
        if other.is_some_and(|other| arrived.abs_diff(other) / 1000 <= window_seconds.max(60)) {
            report.find(diagnosis, &facts);
            return;
        }
    }
    report.find(found::CLOCK_SKEW, &facts);
    const HOUR: u64 = 3600;
    let (hours, beside) = ((apart + HOUR / 2) / HOUR, apart.abs_diff((apart + HOUR / 2) / HOUR * HOUR));
    if (1..=14).contains(&hours) && beside <= 10 {
        report.find(found::TIME_ZONE, &[("hours", &*hours.to_string()), ("direction", direction)]);
    }
}

/// What a time can have looked like when it was signed.
pub(super) fn spellings(text: &str) -> Vec<(String, Diagnosis)> {
    let mut all = Vec::new();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits && text.len() >= 12 {
        let seconds = text.split_at_checked(text.len() - 3).map_or(text, |(seconds, _)| seconds);
        all.push((seconds.to_owned(), found::TIME_IN_SECONDS));
    }
    if digits && text.len() <= 11 {
        all.push((format!("{text}000"), found::TIME_IN_MILLISECONDS));
    }
    let Ok(number) = text.parse::<f64>() else { return all };
    if !number.is_finite() || number.abs() > 1e18 {
        return all;
    }
    // As Rust, Go, Java, JavaScript, PHP and Python write a float, and one of half the size.
    let scientific = format!("{number:e}");
    let signed = scientific.replace('e', "e+");
    #[expect(clippy::cast_possible_truncation, reason = "the loss is what is looked for")]
    let half = f64::from(number as f32);
    all.extend(
        [
            format!("{number}"),
            format!("{number:.0}"),
            format!("{number:.1}"),
            format!("{number:.6}"),
            format!("{half:.0}"),
            scientific.to_uppercase(),
            signed.to_uppercase(),
            scientific,
            signed,
        ]
        .map(|text| (text, found::TIME_AS_FLOAT)),
    );
    all
}
