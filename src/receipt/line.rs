//! A receipt as one line of JSON, byte for byte what serde makes of it (a test holds the two together). serde looks through
//! every name and every word of ours for characters that want escaping; here only what vendors have written is looked at,
//! which halves the time. Every receipt is written once, and this is where.

use std::borrow::Cow;

use super::{Extra, Fact, ReadReceipt, Timestamp};

impl ReadReceipt<'_> {
    /// Appends the receipt as an object of JSON, without an end of line.
    pub fn write_line(&self, line: &mut String) {
        line.push_str(r#"{"id":""#);
        self.id.write(line);
        line.push_str(r#"","vendor":""#);
        line.push_str(self.vendor.as_str());
        line.push_str(r#"","app":"#);
        text(line, &self.app);
        line.push_str(r#","conversation":{"type":""#);
        line.push_str(self.conversation.kind.as_str());
        line.push_str(r#"","id":"#);
        match &self.conversation.id {
            Some(id) => text(line, id),
            None => line.push_str("null"),
        }
        line.push_str(r#"},"reader":"#);
        text(line, &self.reader);
        line.push_str(r#","scope":""#);
        line.push_str(self.scope.as_str());
        line.push('"');
        optional(line, r#","message_id":"#, &self.message_id);
        optional_integer(line, r#","message_seq":"#, self.message_seq);
        if let Some(time) = self.up_to_time {
            line.push_str(r#","up_to_time":"#);
            moment(line, time);
        }
        optional(line, r#","author":"#, &self.author);
        if let Some(counts) = self.counts {
            line.push_str(r#","counts":{"#);
            optional_integer(line, r#""read":"#, counts.read);
            let between = if counts.read.is_some() { r#","unread":"# } else { r#""unread":"# };
            optional_integer(line, between, counts.unread);
            line.push('}');
        }
        line.push_str(r#","read_at":"#);
        match self.read_at {
            Some(time) => moment(line, time),
            None => line.push_str("null"),
        }
        line.push_str(r#","received_at":"#);
        moment(line, self.received_at);
        line.push_str(r#","verified_by":""#);
        line.push_str(self.verified_by.as_str());
        line.push_str(r#"","event":"#);
        text(line, &self.event);
        optional(line, r#","event_id":"#, &self.event_id);
        facts(line, &self.extra);
        line.push('}');
    }
}

fn facts(line: &mut String, extra: &Extra<'_>) {
    let mut before = r#","extra":{"#;
    for (name, fact) in extra.iter() {
        line.push_str(before);
        before = ",";
        text(line, name);
        line.push(':');
        match fact {
            Fact::Integer(value) => line.push_str(itoa::Buffer::new().format(*value)),
            Fact::Text(value) => text(line, value),
        }
    }
    if !extra.is_empty() {
        line.push('}');
    }
}

fn optional(line: &mut String, name: &str, value: &Option<Cow<'_, str>>) {
    if let Some(value) = value {
        line.push_str(name);
        text(line, value);
    }
}

fn optional_integer(line: &mut String, name: &str, value: Option<i64>) {
    if let Some(value) = value {
        line.push_str(name);
        line.push_str(itoa::Buffer::new().format(value));
    }
}

fn moment(line: &mut String, time: Timestamp) {
    line.push('"');
    time.write(line);
    line.push('"');
}

/// A string in its quotes. All of it is looked at, whatever is found, for that goes sixteen bytes at a time.
fn text(line: &mut String, text: &str) {
    let wants_escape = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    if text.bytes().fold(false, |found, byte| found | wants_escape(byte)) {
        // Strings always serialise.
        line.push_str(&serde_json::to_string(text).unwrap_or_default());
    } else {
        line.push('"');
        line.push_str(text);
        line.push('"');
    }
}

#[cfg(test)]
mod tests {
    use proptest::option;
    use proptest::prelude::*;

    use super::super::{Conversation, ConversationKind, Counts, Key, Proof, Scope, VendorName};
    use super::*;

    /// Any text, and often one with something to escape in it.
    fn word() -> impl Strategy<Value = Cow<'static, str>> {
        let awkward = prop::collection::vec(prop::sample::select(&AWKWARD[..]), 0..4);
        prop_oneof![any::<String>(), "[ -~]{0,40}", awkward.prop_map(String::from_iter)].prop_map(Cow::Owned)
    }

    const AWKWARD: [char; 12] =
        ['"', '\\', '\n', '\t', '\0', '\u{1f}', ' ', '/', '\u{7f}', '\u{2028}', 'é', '\u{10ffff}'];

    fn time() -> impl Strategy<Value = Timestamp> {
        (0..=253_402_207_200_000_i64).prop_filter_map("a date", Timestamp::from_millis)
    }

    fn extra() -> impl Strategy<Value = Extra<'static>> {
        (option::of(word()), option::of(any::<i64>()), option::of(word())).prop_map(
            |(first, second, third)| {
                let mut extra = Extra::new();
                extra.text("event_type", first);
                extra.integer("client", second);
                extra.text("ack_id", third);
                extra
            },
        )
    }

    prop_compose! {
        fn receipt()(
            (seed, vendor, kind) in (
                any::<i64>(),
                prop::sample::select(&VendorName::ALL[..]),
                prop::sample::select(&ConversationKind::ALL[..]),
            ),
            (app, id, reader, event) in (word(), option::of(word()), word(), word()),
            (scope, verified_by) in (
                prop::sample::select(&[Scope::Message, Scope::UpTo, Scope::Conversation][..]),
                prop::sample::select(&[Proof::Md5, Proof::Sha256, Proof::AppId, Proof::PathToken, Proof::None][..]),
            ),
            (message_id, author, event_id) in (option::of(word()), option::of(word()), option::of(word())),
            (message_seq, read, unread) in (option::of(any::<i64>()), option::of(any::<i64>()), option::of(any::<i64>())),
            (up_to_time, read_at, received_at) in (option::of(time()), option::of(time()), time()),
            extra in extra(),
        ) -> ReadReceipt<'static> {
            ReadReceipt {
                id: Key::new("test").integer(seed).id(),
                vendor, app, conversation: Conversation { kind, id }, reader, scope, message_id, message_seq, up_to_time,
                author, counts: Counts::new(read, unread), read_at, received_at, verified_by, event, event_id, extra,
            }
        }
    }

    proptest! {
        #[test]
        fn the_line_is_what_serde_makes_of_it(receipt in receipt()) {
            let mut line = String::new();
            receipt.write_line(&mut line);
            prop_assert_eq!(&line, &serde_json::to_string(&receipt).unwrap());
            prop_assert_eq!(serde_json::from_str::<ReadReceipt<'_>>(&line).unwrap(), receipt);
        }
    }
}
