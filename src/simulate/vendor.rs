//! What each vendor does with an answer: when it takes a callback for delivered, when it comes again, and when it gives up.
//!
//! Much of this no vendor writes down. What is known from whom stands at each rule, and docs/simulate.md has it for users.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::dialect::Answer;
use super::line::Failure;

/// Easemob counts failures over this time ...
const BAN_WINDOW: Duration = Duration::from_secs(30);
/// ... and with so many of them disables the app's rules. <https://doc.easemob.com/document/server-side/callback_postsending.html>
const BAN_FAILURES: usize = 90;
/// More characters in an answer count as an attack.
const LONGEST_EASEMOB_ANSWER: usize = 1_000;

/// Whose behaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vendor {
    /// Easemob, Agora Chat, EasyIM.
    Easemob,
    /// Tencent Cloud Chat.
    Tencent,
    /// OpenIM's server.
    OpenIm,
    /// RongCloud's message routing.
    RongCloud,
    /// A relay of RongCloud's SDK callbacks, which is somebody's own.
    Relay,
}

/// What becomes of a callback after an answer, or without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The vendor holds it for delivered, or at least it is.
    Delivered,
    /// It comes once more, at once.
    Again,
    /// The vendor forgets it, for this reason.
    Lost(&'static str),
}

/// How a callback ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Delivered at this try.
    Delivered(u32),
    /// Forgotten by the vendor, for this reason.
    Lost(&'static str),
}

impl Vendor {
    /// Every one, in the order in which they are told.
    pub(crate) const ALL: [Self; 5] =
        [Self::Easemob, Self::Tencent, Self::OpenIm, Self::RongCloud, Self::Relay];

    /// Its word on the command line and in reports.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Easemob => "easemob",
            Self::Tencent => "tencent",
            Self::OpenIm => "openim",
            Self::RongCloud => "rongcloud",
            Self::Relay => "relay",
        }
    }

    /// Its route at readhook.
    pub(crate) fn route(self) -> &'static str {
        match self {
            Self::Easemob => "/webhooks/easemob",
            Self::Tencent => "/webhooks/tencent",
            Self::OpenIm => "/webhooks/openim",
            Self::RongCloud => "/webhooks/rongcloud",
            Self::Relay => "/webhooks/rongcloud/relay",
        }
    }

    /// How long it waits for an answer.
    pub(super) fn patience(self) -> Duration {
        match self {
            // Its present pages name none; its text for private deployments says 10 s.
            Self::Easemob => Duration::from_secs(10),
            // <https://cloud.tencent.com/document/product/269/1522>; it cannot be changed.
            Self::Tencent => Duration::from_secs(2),
            // `timeout` in the server's sample of webhooks.yml.
            Self::OpenIm => Duration::from_secs(5),
            // Not documented; a public SDK's readme says "about 5 s".
            Self::RongCloud => Duration::from_secs(5),
            // Nobody's but the gateway's own.
            Self::Relay => Duration::from_secs(10),
        }
    }

    /// What it does now, after so many tries.
    pub(super) fn next(self, got: &Result<Answer, Failure>, tries: u32) -> Next {
        let status = got.as_ref().map(|answer| answer.status);
        if matches!(got, Err(Failure::Abandoned)) {
            return Next::Lost("abandoned");
        }
        match self {
            // Exactly 200, and a short body. Once more, at once; then it is discarded (or goes to a storage that costs extra).
            Self::Easemob => match got {
                Ok(answer) if answer.status == 200 && short(answer) => Next::Delivered,
                Ok(_) | Err(_) if tries < 2 => Next::Again,
                Ok(_) => Next::Lost("refused"),
                Err(failure) => Next::Lost(failure.as_str()),
            },
            // Only time-outs are said to be repeated, and only where the console's switch is on. How often is not written
            // anywhere; three times is our guess.
            Self::Tencent => match got {
                Ok(answer) if answer.status == 200 && is_object(answer) => Next::Delivered,
                Ok(_) => Next::Lost("refused"),
                Err(Failure::Timeout) if tries < 4 => Next::Again,
                Err(failure) => Next::Lost(failure.as_str()),
            },
            // The result of an after-callback is thrown away: what was refused is as lost as what was not answered.
            Self::OpenIm => match got {
                Ok(answer) if answer.status == 200 && is_object(answer) => Next::Delivered,
                Ok(_) => Next::Lost("refused"),
                Err(failure) => Next::Lost(failure.as_str()),
            },
            // Not documented; a public SDK's readme says "up to 3 retries after 5xx and network errors". The pause of a
            // minute after mass failure, of which it speaks as well, is left out: nobody says when it begins.
            Self::RongCloud => match (status, got) {
                (Ok(200), _) => Next::Delivered,
                (Ok(500..) | Err(_), _) if tries < 4 => Next::Again,
                (Ok(_), _) => Next::Lost("refused"),
                (Err(_), Err(failure)) => Next::Lost(failure.as_str()),
                (Err(_), Ok(_)) => Next::Lost("closed"),
            },
            // A relay that tries once, as the simplest would.
            Self::Relay => match got {
                Ok(answer) if answer.status == 200 => Next::Delivered,
                Ok(_) => Next::Lost("refused"),
                Err(failure) => Next::Lost(failure.as_str()),
            },
        }
    }
}

fn short(answer: &Answer) -> bool {
    String::from_utf8_lossy(&answer.body).chars().nth(LONGEST_EASEMOB_ANSWER).is_none()
}

fn is_object(answer: &Answer) -> bool {
    matches!(serde_json::from_slice(&answer.body), Ok(Value::Object(_)))
}

/// Easemob's count of failures. Each failed try is one, repeats included.
#[derive(Debug, Default)]
pub(super) struct BanLedger(VecDeque<Instant>);

impl BanLedger {
    /// Counts a failure, and says whether it is one too many.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        while self.0.front().is_some_and(|at| now.saturating_duration_since(*at) >= BAN_WINDOW) {
            self.0.pop_front();
        }
        self.0.push_back(now);
        self.0.len() >= BAN_FAILURES
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn says(status: u16, body: &'static str) -> Result<Answer, Failure> {
        Ok(Answer { status, body: Bytes::from_static(body.as_bytes()) })
    }

    #[test]
    fn each_vendor_repeats_what_it_is_known_to_repeat() {
        use Next::{Again, Delivered, Lost};
        let rows = [
            (Vendor::Easemob, says(200, "anything"), 1, Delivered),
            (Vendor::Easemob, says(204, ""), 1, Again),
            (Vendor::Easemob, says(503, "{}"), 2, Lost("refused")),
            (Vendor::Easemob, Err(Failure::Timeout), 2, Lost("timeout")),
            (Vendor::Tencent, says(200, "ok"), 1, Lost("refused")),
            (Vendor::Tencent, says(503, "{}"), 1, Lost("refused")),
            (Vendor::Tencent, Err(Failure::Timeout), 3, Again),
            (Vendor::Tencent, Err(Failure::Closed), 1, Lost("closed")),
            (Vendor::OpenIm, says(200, "ok"), 1, Lost("refused")),
            (Vendor::OpenIm, Err(Failure::Timeout), 1, Lost("timeout")),
            (Vendor::RongCloud, says(401, "bad_signature"), 1, Lost("refused")),
            (Vendor::RongCloud, says(503, "unavailable"), 3, Again),
            (Vendor::RongCloud, says(503, "unavailable"), 4, Lost("refused")),
            (Vendor::RongCloud, Err(Failure::Connect), 4, Lost("connect")),
            (Vendor::Relay, says(503, "unavailable"), 1, Lost("refused")),
        ];
        for (vendor, got, tries, next) in rows {
            assert_eq!(vendor.next(&got, tries), next, "{vendor:?} {got:?} {tries}");
        }
    }

    #[test]
    fn a_page_of_text_is_a_failure_to_easemob() {
        let page = |characters: usize| says(200, "é".repeat(characters).leak());
        assert_eq!(Vendor::Easemob.next(&page(1_001), 1), Next::Again);
        assert_eq!(Vendor::Easemob.next(&page(1_000), 1), Next::Delivered);
    }

    #[test]
    fn ninety_failures_in_thirty_seconds_are_a_ban_and_eighty_nine_are_none() {
        let begin = Instant::now();
        let mut ledger = BanLedger::default();
        assert!((0..89).all(|_| !ledger.failed(begin)));
        assert!(!ledger.failed(begin + BAN_WINDOW), "the first have been forgotten");
        assert!((0..88).all(|_| !ledger.failed(begin + BAN_WINDOW)));
        assert!(ledger.failed(begin + BAN_WINDOW));
    }
}
