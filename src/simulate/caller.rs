//! What each vendor's own code can do: tell of a read, say something else, and get its proof wrong. It signs by the vendor's
//! formula with code of its own, for a simulator that used the receiver's would share the receiver's mistakes.

use std::borrow::Cow;

use super::callback::{Event, Promise};
use super::dialect::Dialect;
use super::world::World;

/// How well a callback proves where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// As it should.
    Good,
    /// Made with a secret that is none of the app's.
    WrongSecret,
    /// Made with the right secret, in the wrong order.
    WrongOrder,
    /// Made right for a time that is not now.
    Stale,
    /// Not there.
    Missing,
    /// For an app that the receiver does not know.
    UnknownApp,
}

/// A vendor who calls.
pub(super) trait Caller: Send {
    /// The next read, proven as asked.
    fn read(&mut self, world: &mut World, proof: Proof) -> Event;

    /// A callback that is no read event, and what is promised as its answer.
    fn neighbour(&mut self, world: &mut World) -> (Event, Promise);

    /// In which ways its proof can be wrong, with status and reason. None where nothing is proven.
    fn bad_proofs(&self) -> &[(Proof, u16, &'static str)];

    /// In which words it is answered.
    fn dialect(&self) -> &'static Dialect;
}

/// A text as it stands between the quotes of a JSON string.
pub(super) fn escaped(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        return Cow::Borrowed(text);
    }
    let quoted = serde_json::Value::from(text).to_string();
    Cow::Owned(quoted.trim_start_matches('"').strip_suffix('"').unwrap_or_default().to_owned())
}

/// A text as it stands in a query or a form.
pub(super) fn in_url(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
