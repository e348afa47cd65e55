//! The one place where time comes in.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::receipt::Timestamp;

/// Now. A clock set before 1970 or after 9999 counts as 1970, which every signature window refuses.
#[expect(clippy::disallowed_methods, reason = "this is where time enters")]
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).ok().and_then(Timestamp::from_millis).unwrap_or(Timestamp::EPOCH)
}
