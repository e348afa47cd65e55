//! One callback, as it arrived and as it ended, in as few pieces of memory as may be.

use std::net::IpAddr;
use std::time::Duration;

use crate::journal::Seq;
use crate::receipt::{Proof, Timestamp, VendorName};
use crate::vendor::{Incoming, Outcome};

/// So much of a body is kept.
const KEPT_BODY: usize = 64 << 10;
/// So much of a command: the vendors' own are short, but a body may say anything.
const KEPT_COMMAND: usize = 256;
/// What an entry takes beside itself: the counts of its `Arc`, its place in the log, and what allocations round up.
const OVERHEAD: usize = 64;

/// What a callback leaves when it ends.
pub(crate) struct Ended<'r> {
    /// As it arrived.
    pub(crate) request: &'r Incoming,
    pub(crate) vendor: VendorName,
    /// Its app, if it proved to be of one.
    pub(crate) app: Option<&'r str>,
    /// The vendor's name of the event, if it could be read; proven or not.
    pub(crate) command: Option<&'r str>,
    /// What proved it genuine.
    pub(crate) verified_by: Option<Proof>,
    pub(crate) outcome: Outcome,
    /// The status that it was answered with.
    pub(crate) status: u16,
    /// From its head to its answer.
    pub(crate) took: Duration,
    /// Where its new receipts are.
    pub(crate) positions: Option<Positions>,
}

/// Positions of the journal, all of one callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Positions {
    pub(crate) first: Seq,
    pub(crate) last: Seq,
}

/// One callback in the log.
pub(crate) struct Entry {
    /// When it came.
    pub(crate) at: Timestamp,
    pub(crate) vendor: VendorName,
    pub(crate) outcome: Outcome,
    pub(crate) status: u16,
    pub(crate) took: Duration,
    pub(crate) client: IpAddr,
    pub(crate) verified_by: Option<Proof>,
    pub(crate) positions: Option<Positions>,
    /// How long the body was, all of it.
    pub(crate) body_bytes: usize,
    /// App, command, path, query, header fields and body, one behind the other.
    text: Box<[u8]>,
    /// Where each of the first five ends.
    ends: [u32; 5],
}

impl Entry {
    /// Copies what is kept.
    pub(super) fn of(ended: &Ended<'_>) -> Self {
        let Ended { request, vendor, app, command, verified_by, outcome, status, took, positions } = ended;
        let (path, query) = (request.uri.path(), request.query());
        let app = app.unwrap_or_default();
        let command = cut(command.unwrap_or_default());
        let fields: usize = request.kept_fields().map(|(name, value)| name.len() + value.len() + 2).sum();
        let body = request.body.get(..KEPT_BODY).unwrap_or(&request.body);
        let length = app.len() + command.len() + path.len() + query.len() + fields + body.len();
        let mut text = Vec::with_capacity(length);
        let mut ends = [0; 5];
        for (part, end) in [app, command, path, query].into_iter().zip(&mut ends) {
            text.extend_from_slice(part.as_bytes());
            *end = length_of(&text);
        }
        for (name, value) in request.kept_fields() {
            // No name holds a colon and no value the end of a line.
            text.extend_from_slice(name.as_bytes());
            text.push(b':');
            text.extend_from_slice(value);
            text.push(b'\n');
        }
        ends[4] = length_of(&text);
        text.extend_from_slice(body);
        Self {
            at: request.received_at,
            vendor: *vendor,
            outcome: *outcome,
            status: *status,
            took: *took,
            client: request.client,
            verified_by: *verified_by,
            positions: *positions,
            body_bytes: request.body.len(),
            text: text.into_boxed_slice(),
            ends,
        }
    }

    /// What it takes of the log's bytes.
    pub(super) fn weight(&self) -> usize {
        size_of::<Self>() + OVERHEAD + self.text.len()
    }

    /// Its app; `None` if it did not prove to be of one.
    pub(crate) fn app(&self) -> Option<&str> {
        Some(self.part(0)).filter(|app| !app.is_empty())
    }

    /// The vendor's name of the event; `None` if there is none.
    pub(crate) fn command(&self) -> Option<&str> {
        Some(self.part(1)).filter(|command| !command.is_empty())
    }

    /// The path as it came. It may hold a token: show it through [`crate::vendor::Mask`].
    pub(crate) fn path(&self) -> &str {
        self.part(2)
    }

    /// The raw query.
    pub(crate) fn query(&self) -> &str {
        self.part(3)
    }

    /// The header fields, without those that carry credentials.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, String)> {
        let lines = self.bytes(4).split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = line.split_at_checked(colon)?;
            let value = String::from_utf8_lossy(value.get(1..).unwrap_or_default()).into_owned();
            Some((std::str::from_utf8(name).ok()?, value))
        })
    }

    /// The body; its first 64 KiB, if it was longer.
    pub(crate) fn body(&self) -> &[u8] {
        self.bytes(5)
    }

    fn part(&self, at: usize) -> &str {
        std::str::from_utf8(self.bytes(at)).unwrap_or_default()
    }

    fn bytes(&self, at: usize) -> &[u8] {
        let begin = at.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |end| *end as usize);
        let end = self.ends.get(at).map_or(self.text.len(), |end| *end as usize);
        self.text.get(begin..end).unwrap_or_default()
    }
}

/// Head and body together are far below 4 GiB.
fn length_of(text: &[u8]) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}

fn cut(command: &str) -> &str {
    let end = (0..=KEPT_COMMAND.min(command.len())).rev().find(|end| command.is_char_boundary(*end));
    end.and_then(|end| command.get(..end)).unwrap_or_default()
}
