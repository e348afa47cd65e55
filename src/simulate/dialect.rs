//! What a receiver says to whom, word for word as docs/reference.md promises it; and whether what it said was that.

use bytes::Bytes;
use serde_json::Value;

use super::callback::{Callback, Promise};

/// What came back.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

/// How an answer compares with what was promised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is that.
    Expected,
    /// A refusal was due and 200 was said: a ban guard keeps the vendor from counting failures.
    Hidden,
    /// It is another one.
    Other { expected: String },
}

/// A vendor's words.
#[derive(Debug)]
pub(super) struct Dialect {
    /// What is said to all that is well.
    pub(super) welcome: &'static str,
    /// The status for a genuine read event that cannot be used.
    pub(super) unusable: u16,
    /// Whether a JSON list is a body as good as an object.
    pub(super) takes_lists: bool,
    /// Whether refusals may be hidden behind a 200.
    pub(super) hides: bool,
    /// A refusal in the vendor's words.
    pub(super) refusal: fn(u16, &str) -> String,
}

impl Dialect {
    /// What is promised for a genuine read event that cannot be used.
    pub(super) fn unusable(&self, reason: &'static str) -> Promise {
        if self.unusable == 200 { Promise::Welcome } else { Promise::Refusal(self.unusable, reason) }
    }

    /// Compares an answer with the promise.
    pub(super) fn judge(&self, callback: &Callback, answer: &Answer) -> Verdict {
        let (status, body) = match &callback.promise {
            Promise::Welcome => (200, self.welcome.to_owned()),
            Promise::Special(body) => (200, body.clone()),
            Promise::Refusal(status, reason) => (*status, (self.refusal)(*status, reason)),
        };
        let says = |body: &str| alike(body, &answer.body);
        if answer.status == status && says(&body) {
            return Verdict::Expected;
        }
        if self.hides && status != 200 && answer.status == 200 && says(self.welcome) {
            return Verdict::Hidden;
        }
        Verdict::Other { expected: format!("{status} {body}") }
    }

    /// Whether an answer is the welcome, seen at once: nearly all are.
    pub(super) fn is_plain_welcome(&self, callback: &Callback, answer: &Answer) -> bool {
        callback.promise == Promise::Welcome && answer.status == 200 && answer.body == self.welcome.as_bytes()
    }
}

/// Whether two bodies say the same: to the byte, or as JSON.
fn alike(expected: &str, got: &[u8]) -> bool {
    if expected.as_bytes() == got {
        return true;
    }
    let parsed = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
    matches!((parsed(expected.as_bytes()), parsed(got)), (Some(expected), Some(got)) if expected == got)
}
