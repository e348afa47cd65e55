//! Receipts as rows of CSV: one column for every field, in the order of the receipt; what is absent or null is empty.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, Write};

use csv::{Terminator, Writer, WriterBuilder};

use crate::receipt::ReadReceipt;

/// The header. What stands in an object of the receipt has that object's name before its own.
const COLUMNS: [&str; 19] = [
    "id",
    "vendor",
    "app",
    "conversation_type",
    "conversation_id",
    "reader",
    "scope",
    "message_id",
    "message_seq",
    "up_to_time",
    "author",
    "counts_read",
    "counts_unread",
    "read_at",
    "received_at",
    "verified_by",
    "event",
    "event_id",
    "extra",
];

/// A table that is being written.
pub(super) struct Table {
    writer: Writer<Box<dyn Write>>,
    /// Whether texts must not look like formulas.
    spreadsheet: bool,
}

impl Table {
    /// Writes the header.
    pub(super) fn begin(out: Box<dyn Write>, spreadsheet: bool) -> io::Result<Self> {
        let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(out);
        writer.write_record(COLUMNS).map_err(plain)?;
        Ok(Self { writer, spreadsheet })
    }

    pub(super) fn write(&mut self, receipt: &ReadReceipt<'_>) -> io::Result<()> {
        let extra = match receipt.extra.is_empty() {
            true => String::new(),
            false => serde_json::to_string(&receipt.extra)?,
        };
        let (read, unread) = receipt.counts.map_or((None, None), |counts| (counts.read, counts.unread));
        let row: [Cow<'_, str>; COLUMNS.len()] = [
            receipt.id.to_string().into(),
            receipt.vendor.as_str().into(),
            self.text(Some(&receipt.app)),
            receipt.conversation.kind.as_str().into(),
            self.text(receipt.conversation.id.as_deref()),
            self.text(Some(&receipt.reader)),
            receipt.scope.as_str().into(),
            self.text(receipt.message_id.as_deref()),
            known(receipt.message_seq),
            known(receipt.up_to_time),
            self.text(receipt.author.as_deref()),
            known(read),
            known(unread),
            known(receipt.read_at),
            known(Some(receipt.received_at)),
            receipt.verified_by.as_str().into(),
            self.text(Some(&receipt.event)),
            self.text(receipt.event_id.as_deref()),
            extra.into(),
        ];
        self.writer.write_record(row.iter().map(|cell| &**cell)).map_err(plain)
    }

    /// What vendors and users have written may begin as a formula does; some spreadsheets look at the wide forms, too.
    fn text<'t>(&self, text: Option<&'t str>) -> Cow<'t, str> {
        let text = text.unwrap_or_default();
        if self.spreadsheet
            && text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'])
        {
            return format!("'{text}").into();
        }
        text.into()
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

fn known(value: Option<impl Display>) -> Cow<'static, str> {
    value.map(|value| value.to_string()).unwrap_or_default().into()
}

/// The error of what was written to, as it was: whether a pipe is closed shows in its kind.
fn plain(error: csv::Error) -> io::Error {
    let what = error.to_string();
    if let csv::ErrorKind::Io(error) = error.into_kind() { error } else { io::Error::other(what) }
}
