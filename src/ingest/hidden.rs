//! What is kept of a callback that is hidden as `unavailable`: the receipts that it gave. So what was proven when it came
//! is stored later, whatever the configuration says by then.

use serde::{Deserialize, Serialize};

use crate::journal::{Entries, Entry};
use crate::receipt::ReadReceipt;

/// One receipt.
#[derive(Serialize, Deserialize)]
struct Hidden<'h> {
    /// As [`Entry::by_event`].
    by_event: bool,
    /// One line of JSON, to the byte.
    #[serde(borrow)]
    receipt: std::borrow::Cow<'h, str>,
}

/// The receipts as text.
pub(super) fn write(entries: &Entries) -> String {
    let hidden =
        entries.iter().map(|entry| Hidden { by_event: entry.by_event, receipt: (&*entry.json).into() });
    // Texts and flags always serialise; empty means that the callback is read anew instead.
    serde_json::to_string(&hidden.collect::<Vec<_>>()).unwrap_or_default()
}

/// The receipts of such a text; `None` if it holds none.
pub(super) fn read(text: &str) -> Option<Entries> {
    let hidden: Vec<Hidden<'_>> = serde_json::from_str(text).ok()?;
    let entries = hidden.into_iter().map(|hidden| {
        let receipt: ReadReceipt<'_> = serde_json::from_str(&hidden.receipt).ok()?;
        Some(Entry {
            id: receipt.id,
            by_event: hidden.by_event,
            received_at: receipt.received_at.as_millis(),
            vendor: receipt.vendor,
            scope: receipt.scope,
            json: (&*hidden.receipt).into(),
            trace: None,
        })
    });
    entries.collect::<Option<Entries>>().filter(|entries| !entries.is_empty())
}
