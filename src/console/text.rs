//! Times, numbers and names as people read them, and pieces of markup that several pages share.

use maud::{Markup, html};

use super::form::query;
use super::language::Language;
use super::words::Words;
use crate::receipt::{ConversationKind, Proof, ReadReceipt, Scope, Timestamp, VendorName};
use crate::vendor::Outcome;

/// A moment, in UTC to the second; the script adds the local time for whoever points at it.
pub(super) fn time(at: Timestamp) -> Markup {
    let text = at.to_string();
    let (date, clock) = text.split_once('T').unwrap_or((&text, ""));
    let clock = clock.split('.').next().unwrap_or_default();
    html! { time datetime=(text) { (date) " " (clock) } }
}

/// The time of day alone, with milliseconds.
pub(super) fn clock(at: Timestamp) -> Markup {
    let text = at.to_string();
    let clock = text.split_once('T').map_or("", |(_, clock)| clock).trim_end_matches('Z');
    html! { time datetime=(text) { (clock) } }
}

/// A moment that may not be known.
pub(super) fn time_or_none(at: Option<Timestamp>) -> Markup {
    at.map_or_else(|| html! { span.none { "–" } }, time)
}

/// How long ago something was, in the largest unit that is not 0.
pub(super) fn ago(language: Language, millis: i64) -> String {
    let seconds = millis.max(0) / 1000;
    let (count, english, chinese) = match seconds {
        0 => return language.of("just now", "刚刚").to_owned(),
        1..60 => (seconds, "s", "秒"),
        60..3600 => (seconds / 60, "min", "分钟"),
        3600..86_400 => (seconds / 3600, "h", "小时"),
        86_400.. => (seconds / 86_400, "d", "天"),
        i64::MIN..0 => unreachable!("it was made 0 at least"),
    };
    language.of(format!("{count} {english} ago"), format!("{count} {chinese}前"))
}

/// A length of time in microseconds.
pub(super) fn latency(micros: u64) -> String {
    match micros {
        0..1000 => format!("{micros} µs"),
        1000..10_000 => format!("{}.{} ms", micros / 1000, micros % 1000 / 100),
        10_000..1_000_000 => format!("{} ms", micros / 1000),
        1_000_000.. => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

/// A count, in groups of three digits.
pub(super) fn number(count: impl TryInto<i64>) -> String {
    let digits = count.try_into().unwrap_or(i64::MAX).to_string();
    let (sign, digits) = digits.strip_prefix('-').map_or(("", &*digits), |digits| ("-", digits));
    let mut text = sign.to_owned();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How a callback ended, in a word.
pub(super) fn outcome(words: &Words, outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted => words.accepted,
        Outcome::Duplicate | Outcome::Conflict | Outcome::Differing => words.duplicate,
        Outcome::Ignored => words.ignored,
        Outcome::Malformed(_) | Outcome::Unreadable(_) => words.malformed,
        Outcome::Rejected(_) => words.rejected,
        Outcome::Unavailable => words.unavailable,
    }
}

/// The same from the word on the wire.
pub(super) fn outcome_word<'w>(words: &Words, outcome: &'w str) -> &'w str {
    match outcome {
        "accepted" => words.accepted,
        "duplicate" => words.duplicate,
        "ignored" => words.ignored,
        "malformed" => words.malformed,
        "rejected" => words.rejected,
        "unavailable" => words.unavailable,
        "not_found" => words.not_found,
        other => other,
    }
}

/// The colour of an outcome; its word stands beside it.
pub(super) fn outcome_class(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted => "good",
        Outcome::Duplicate | Outcome::Ignored => "",
        Outcome::Conflict | Outcome::Differing | Outcome::Unavailable => "warn",
        Outcome::Malformed(_) | Outcome::Unreadable(_) | Outcome::Rejected(_) => "bad",
    }
}

/// What a vendor is called.
pub(super) fn vendor(language: Language, vendor: VendorName) -> &'static str {
    match vendor {
        VendorName::Easemob => language.of("Easemob", "环信"),
        VendorName::Tencent => language.of("Tencent", "腾讯云 IM"),
        VendorName::OpenIm => "OpenIM",
        VendorName::RongCloud => language.of("RongCloud", "融云"),
    }
}

/// A vendor from its word.
pub(super) fn vendor_named(word: &str) -> Option<VendorName> {
    VendorName::ALL.into_iter().find(|vendor| vendor.as_str() == word)
}

pub(super) fn kind(language: Language, kind: ConversationKind) -> &'static str {
    match kind {
        ConversationKind::Direct => language.of("direct", "单聊"),
        ConversationKind::Group => language.of("group", "群聊"),
        ConversationKind::Notification => language.of("notification", "系统通知"),
        ConversationKind::Unknown => language.of("conversation", "会话"),
    }
}

pub(super) fn scope(language: Language, scope: Scope) -> &'static str {
    match scope {
        Scope::Message => language.of("this message", "该条消息"),
        Scope::UpTo => language.of("everything up to", "此前全部消息，截至"),
        Scope::Conversation => language.of("the whole conversation", "整个会话"),
    }
}

pub(super) fn proof(language: Language, proof: Proof) -> &'static str {
    match proof {
        Proof::Md5 => language.of("MD5 signature", "MD5 签名"),
        Proof::Sha256 => language.of("SHA-256 signature", "SHA-256 签名"),
        Proof::Sha1 => language.of("SHA-1 signature", "SHA-1 签名"),
        Proof::AppId => language.of("app id only", "仅 SdkAppid"),
        Proof::HmacSha1 => language.of("HMAC-SHA1 signature of a nonce", "随机数的 HMAC-SHA1 签名"),
        Proof::HmacSha256 => language.of("HMAC-SHA256 signature of a nonce", "随机数的 HMAC-SHA256 签名"),
        Proof::HmacSha512 => language.of("HMAC-SHA512 signature of a nonce", "随机数的 HMAC-SHA512 签名"),
        Proof::PathToken => language.of("token in the path", "路径令牌"),
        Proof::Basic => language.of("HTTP Basic", "HTTP Basic 认证"),
        Proof::Ip => language.of("address", "来源 IP 白名单"),
        Proof::None => language.of("not verified", "未验证"),
    }
}

/// The page of a message, where a receipt names one.
pub(super) fn message_link(receipt: &ReadReceipt<'_>) -> Option<String> {
    let conversation = receipt.conversation.id.as_deref()?;
    let message = match (&receipt.message_id, receipt.message_seq) {
        (Some(id), _) => ("message_id", id.to_string()),
        (None, Some(seq)) => ("message_seq", seq.to_string()),
        (None, None) => return None,
    };
    let pairs = [
        ("vendor", receipt.vendor.as_str().to_owned()),
        ("app", receipt.app.to_string()),
        ("type", receipt.conversation.kind.as_str().to_owned()),
        ("conversation", conversation.to_owned()),
        message,
    ];
    Some(format!("/message?{}", query(pairs)))
}

/// The page of a conversation.
pub(super) fn conversation_link(vendor: VendorName, app: &str, kind: ConversationKind, id: &str) -> String {
    let pairs = [("vendor", vendor.as_str()), ("app", app), ("type", kind.as_str()), ("conversation", id)];
    format!("/conversation?{}", query(pairs))
}

/// The page of a reader.
pub(super) fn reader_link(vendor: VendorName, app: &str, reader: &str) -> String {
    format!("/conversation?{}", query([("vendor", vendor.as_str()), ("app", app), ("reader", reader)]))
}

/// Vendors to choose from.
pub(super) fn vendor_choice(language: Language, any: Option<&str>, chosen: Option<&str>) -> Markup {
    html! {
        select name="vendor" {
            @if let Some(any) = any { option value="" { (any) } }
            @for name in VendorName::ALL {
                option value=(name.as_str()) selected[chosen == Some(name.as_str())] { (vendor(language, name)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_read_well() {
        assert_eq!([0, 999, 1000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([-1, -1000].map(number), ["-1", "-1,000"]);
        assert_eq!(
            [730, 1240, 9_990, 99_900, 250_000, 2_130_000].map(latency),
            ["730 µs", "1.2 ms", "9.9 ms", "99 ms", "250 ms", "2.1 s"]
        );
        assert_eq!(ago(Language::English, 59_999), "59 s ago");
        assert_eq!(ago(Language::Chinese, 3_600_000), "1 小时前");
        let at = Timestamp::from_millis(1_755_000_000_120).unwrap();
        assert_eq!(
            time(at).into_string(),
            r#"<time datetime="2025-08-12T12:00:00.120Z">2025-08-12 12:00:00</time>"#
        );
    }
}
