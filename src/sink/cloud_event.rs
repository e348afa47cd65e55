//! What a receipt is called in CloudEvents 1.0, <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md>.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::facts::Facts;

/// `specversion`.
pub(super) const SPEC_VERSION: &str = "1.0";
/// `type`. It changes when the receipt's JSON does so incompatibly.
pub(super) const TYPE: &str = "readhook.receipt.v1";

/// What may stand in a path segment as it is (RFC 3986, unreserved).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `source`, a URI reference: together with the `id` it is unique.
pub(super) fn source(facts: &Facts<'_>) -> String {
    format!("/readhook/{}/{}", facts.vendor, utf8_percent_encode(&facts.app, ESCAPED))
}
