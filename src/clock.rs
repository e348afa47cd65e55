//! The one place where time comes in.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::receipt::Timestamp;

/// Now. A clock set before 1970 counts as 1970, and one set beyond 9999 as the end of 9999: both have an RFC 3339 form, and
/// every signature window refuses them.
#[expect(clippy::disallowed_methods, reason = "this is where time enters")]
pub(crate) fn now() -> Timestamp {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis())
            .ok()
            .and_then(Timestamp::from_millis)
            .unwrap_or(Timestamp::LATEST),
        Err(_before_1970) => Timestamp::EPOCH,
    }
}
