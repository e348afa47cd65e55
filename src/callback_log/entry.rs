//! One callback, as it arrived and as it ended.

use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use crate::journal::Seq;
use crate::receipt::{Proof, Timestamp, VendorName};
use crate::vendor::{Incoming, Outcome};

/// So much of a body is kept.
const KEPT_BODY: usize = 64 << 10;
/// So much of a command: the vendors' own are short, but a body may say anything.
const KEPT_COMMAND: usize = 256;

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

/// One callback in the log. Its text is its own where it is shown, and a place in a block where it is kept.
#[derive(Debug, Clone)]
pub(crate) struct Entry<T = Box<[u8]>> {
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
    text: T,
    /// Where each of the first five ends.
    ends: [u32; 5],
}

impl<'r> Ended<'r> {
    /// How long the text of its entry is.
    pub(super) fn text_bytes(&self) -> usize {
        let fields = self.request.kept_fields().map(|(name, value)| name.len() + value.len() + 2);
        self.words().into_iter().map(str::len).sum::<usize>() + fields.sum::<usize>() + self.body().len()
    }

    /// Its entry, whose text is appended to what is there already.
    pub(super) fn write(&self, all: &mut Vec<u8>) -> Entry<Range<usize>> {
        let begin = all.len();
        let mut ends = [0; 5];
        for (word, end) in self.words().into_iter().zip(&mut ends) {
            all.extend_from_slice(word.as_bytes());
            *end = length(all.len() - begin);
        }
        for (name, value) in self.request.kept_fields() {
            // No name holds a colon and no value the end of a line.
            all.extend_from_slice(name.as_bytes());
            all.push(b':');
            all.extend_from_slice(value);
            all.push(b'\n');
        }
        ends[4] = length(all.len() - begin);
        all.extend_from_slice(self.body());
        Entry {
            at: self.request.received_at,
            vendor: self.vendor,
            outcome: self.outcome,
            status: self.status,
            took: self.took,
            client: self.request.client,
            verified_by: self.verified_by,
            positions: self.positions,
            body_bytes: self.request.body.len(),
            text: begin..all.len(),
            ends,
        }
    }

    fn words(&self) -> [&'r str; 4] {
        let (app, command) = (self.app.unwrap_or_default(), cut(self.command.unwrap_or_default()));
        [app, command, self.request.uri.path(), self.request.query()]
    }

    fn body(&self) -> &'r [u8] {
        self.request.body.get(..KEPT_BODY).unwrap_or(&self.request.body)
    }
}

impl Entry<Range<usize>> {
    /// How many bytes of the log it takes.
    pub(super) fn weight(&self) -> usize {
        size_of::<Self>() + self.text.len()
    }

    /// The same with its text, from the block in which it lies.
    pub(super) fn within<'b>(&self, block: &'b [u8]) -> Entry<&'b [u8]> {
        self.with(block.get(self.text.clone()).unwrap_or_default())
    }
}

impl Entry<&[u8]> {
    pub(super) fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// A copy that needs the log no more.
    pub(super) fn to_owned(&self) -> Entry {
        self.with(self.text.into())
    }
}

impl<T> Entry<T> {
    fn with<U>(&self, text: U) -> Entry<U> {
        let Self {
            at, vendor, outcome, status, took, client, verified_by, positions, body_bytes, ends, ..
        } = *self;
        Entry { at, vendor, outcome, status, took, client, verified_by, positions, body_bytes, text, ends }
    }
}

impl<T: AsRef<[u8]>> Entry<T> {
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
        let text = self.text.as_ref();
        let end = self.ends.get(at).map_or(text.len(), |end| *end as usize);
        text.get(begin..end).unwrap_or_default()
    }
}

/// Head and body together are far below 4 GiB.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn cut(command: &str) -> &str {
    let end = (0..=KEPT_COMMAND.min(command.len())).rev().find(|end| command.is_char_boundary(*end));
    end.and_then(|end| command.get(..end)).unwrap_or_default()
}
