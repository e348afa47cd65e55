//! What a receipt is called in CloudEvents 1.0, <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md>.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::facts::Facts;

/// `specversion`.
pub(super) const SPEC_VERSION: &str = "1.0";
/// `type`. It changes when the receipt's JSON does so incompatibly.
pub(super) const TYPE: &str = "readhook.receipt.v1";

/// The media type of one event. The SDK for JavaScript knows the charset in lower case only.
#[cfg(feature = "sink-http")]
pub(super) const JSON: &str = "application/cloudevents+json; charset=utf-8";
/// The media type of a batch.
#[cfg(feature = "sink-http")]
pub(super) const BATCH_JSON: &str = "application/cloudevents-batch+json; charset=utf-8";

/// What may stand in a path segment as it is (RFC 3986, unreserved).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `source`, a URI reference: together with the `id` it is unique.
pub(super) fn source(facts: &Facts<'_>) -> String {
    format!("/readhook/{}/{}", facts.vendor, utf8_percent_encode(&facts.app, ESCAPED))
}

/// `partitionkey`: alike for all receipts of a conversation.
pub(super) fn partition_key(facts: &Facts<'_>) -> String {
    text(&facts.conversation_key()).into_owned()
}

/// A text that may be an attribute of type `String`: without control characters and noncharacters,
/// <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md#type-system>. Each is replaced by U+FFFD, so that two
/// conversations become alike only if they differ in nothing else; `data` has the text as it is.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_forbidden) {
        text.chars()
            .map(|c| if is_forbidden(c) { char::REPLACEMENT_CHARACTER } else { c })
            .collect::<String>()
            .into()
    } else {
        text.into()
    }
}

fn is_forbidden(c: char) -> bool {
    let code = u32::from(c);
    c.is_control() || (0xFDD0..=0xFDEF).contains(&code) || code & 0xFFFE == 0xFFFE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cloud_events_forbids_is_replaced_and_nothing_else() {
        for plain in [
            "",
            "a/b",
            "\u{e4}\u{4f60}\u{1f600}",
            "\u{fffd}",
            "\u{fdcf}\u{fdf0}",
            "\u{e000}",
            "\u{ad}\u{200b}\u{a0}",
        ] {
            assert!(matches!(text(plain), Cow::Borrowed(same) if same == plain), "{plain:?}");
        }
        for forbidden in [
            "\0",
            "\u{1}",
            "\u{1f}",
            "\u{7f}",
            "\u{80}",
            "\u{9f}",
            "\u{fdd0}",
            "\u{fdef}",
            "\u{fffe}",
            "\u{ffff}",
            "\u{1fffe}",
            "\u{10ffff}",
        ] {
            assert_eq!(text(&format!("a{forbidden}b")), "a\u{fffd}b", "{forbidden:?}");
        }
    }
}
