//! The columns: what each is called, what it holds, what it says to people, and where in a receipt it comes
//! from.

use std::borrow::Cow;

use crate::receipt::{ReadReceipt, Timestamp};
use Kind::{Bigint, Jsonb, Text, Timestamptz};

/// A column of the table.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// What follows the type in `CREATE TABLE`.
    pub(super) rule: &'static str,
    pub(super) value: for<'a> fn(&'a ReadReceipt<'static>) -> Value<'a>,
    /// `COMMENT ON COLUMN`.
    pub(super) about: &'static str,
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Bigint,
    Timestamptz,
    Jsonb,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Bigint => "bigint",
            Self::Timestamptz => "timestamptz",
            Self::Jsonb => "jsonb",
        }
    }

    /// The type as which it is sent: times and objects as text, which the server reads exactly.
    pub(super) fn sent_as(self) -> &'static str {
        match self {
            Self::Bigint => "bigint",
            Self::Text | Self::Timestamptz | Self::Jsonb => "text",
        }
    }
}

/// What a column holds of one receipt.
pub(super) enum Value<'a> {
    Text(Option<Cow<'a, str>>),
    Integer(Option<i64>),
}

impl<'a> Value<'a> {
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => text,
            Self::Integer(_) => None,
        }
    }

    pub(super) fn integer(self) -> Option<i64> {
        match self {
            Self::Integer(integer) => integer,
            Self::Text(_) => None,
        }
    }
}

fn word(word: &str) -> Value<'_> {
    Value::Text(Some(Cow::Borrowed(word)))
}

fn text<'a>(text: Option<&'a Cow<'static, str>>) -> Value<'a> {
    Value::Text(text.map(|text| Cow::Borrowed(&**text)))
}

fn time(time: Option<Timestamp>) -> Value<'static> {
    Value::Text(time.map(|time| Cow::Owned(time.to_string())))
}

const fn column(
    name: &'static str,
    kind: Kind,
    rule: &'static str,
    value: for<'a> fn(&'a ReadReceipt<'static>) -> Value<'a>,
    about: &'static str,
) -> Column {
    Column { name, kind, rule, value, about }
}

/// All of them, in their order.
#[rustfmt::skip]
pub(super) const COLUMNS: [Column; 19] = [
    column("id", Text, "PRIMARY KEY", |r| Value::Text(Some(Cow::Owned(r.id.to_string()))),
        "The same vendor event always has the same id."),
    column("vendor", Text, "NOT NULL", |r| word(r.vendor.as_str()),
        "easemob, tencent, openim or rongcloud."),
    column("app", Text, "NOT NULL", |r| word(&r.app),
        "The app at the vendor: appkey, SdkAppid; for OpenIM its name in the configuration."),
    column("conversation_type", Text, "NOT NULL", |r| word(r.conversation.kind.as_str()),
        "direct, group, notification or unknown."),
    column("conversation_id", Text, "", |r| text(r.conversation.id.as_ref()),
        "Direct: the peer of the reader; group: the group. Null when the vendor does not name it."),
    column("reader", Text, "NOT NULL", |r| word(&r.reader),
        "Who has read, as the vendor spells it."),
    column("scope", Text, "NOT NULL", |r| word(r.scope.as_str()),
        "message: this message; up_to: everything until it; conversation: all of it, as of read_at."),
    column("message_id", Text, "", |r| text(r.message_id.as_ref()),
        "The message that was read; with scope up_to the one that the vendor named."),
    column("message_seq", Bigint, "", |r| Value::Integer(r.message_seq),
        "Its position in the conversation, where the vendor counts."),
    column("up_to_time", Timestamptz, "", |r| time(r.up_to_time),
        "With scope up_to: everything sent until then is read."),
    column("author", Text, "", |r| text(r.author.as_ref()),
        "Who wrote the message, where known."),
    column("read_count", Bigint, "", |r| Value::Integer(r.counts.and_then(|counts| counts.read)),
        "How many have read it, as the vendor counts."),
    column("unread_count", Bigint, "", |r| Value::Integer(r.counts.and_then(|counts| counts.unread)),
        "How many have not read it, as the vendor counts."),
    column("read_at", Timestamptz, "", |r| time(r.read_at),
        "When it was read, by the clock of the vendor; null when the vendor does not say."),
    column("received_at", Timestamptz, "NOT NULL", |r| time(Some(r.received_at)),
        "When readhook took the callback in."),
    column("verified_by", Text, "NOT NULL", |r| word(r.verified_by.as_str()),
        "What proved the callback genuine; none if nothing did."),
    column("event", Text, "NOT NULL", |r| word(&r.event),
        "What the vendor calls the event."),
    column("event_id", Text, "", |r| text(r.event_id.as_ref()),
        "The id that the vendor gave the event, if it gives any."),
    column("extra", Jsonb, "NOT NULL DEFAULT '{}'", |r| Value::Text(extra(r)),
        "Further facts of the vendor."),
];

fn extra(receipt: &ReadReceipt<'static>) -> Option<Cow<'static, str>> {
    // Strings and integers under strings: that cannot fail.
    serde_json::to_string(&receipt.extra).ok().map(Cow::Owned)
}
