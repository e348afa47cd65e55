//! What goes into the journal and what comes out.

use std::sync::Arc;

use smallvec::SmallVec;

use super::Seq;
use crate::metrics::VendorMetrics;
use crate::receipt::{ReadReceipt, ReceiptId, Scope, TraceContext, VendorName};

/// The receipts of one callback. Most have one, which then needs no memory of its own.
pub type Entries = SmallVec<[Entry; 1]>;

/// A receipt on its way in: its JSON as it will go out, and how a repeat of it is known.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Unique in the journal.
    pub id: ReceiptId,
    /// Whether the id is made of the vendor's own event id, under which other facts are a conflict.
    pub by_event: bool,
    /// When it came, in milliseconds.
    pub received_at: i64,
    /// Whose it is, for the count.
    pub vendor: VendorName,
    /// How much it covers, for the count.
    pub scope: Scope,
    /// The receipt, as one line of JSON without its end, which begins with the id.
    pub json: Arc<str>,
    /// The trace that its callback belongs to.
    pub trace: Option<TraceContext>,
}

impl Entry {
    /// What it holds of memory while it waits, roughly.
    pub(crate) fn weight(&self) -> usize {
        self.json.len() + size_of::<Self>()
    }
}

/// What became of the entries of one commit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Committed {
    /// New receipts by scope: message, up to, conversation.
    pub new: [u32; 3],
    /// How many were there already.
    pub repeated: u32,
    /// How many were there already under the same event id, but with another reader or message.
    pub conflicts: u32,
    /// How many were there already, but with another time, author, message, conversation or scope; without the conflicts.
    pub differing: u32,
    /// The position of the first new receipt; the others follow it. `None` if none is new, and without a journal.
    pub first: Option<Seq>,
}

impl Committed {
    /// How many were new.
    pub fn new_total(&self) -> u32 {
        self.new.iter().sum()
    }

    /// Counts what is new.
    pub(crate) fn count_in(&self, metrics: &VendorMetrics) {
        let [message, up_to, conversation] = self.new;
        metrics.receipts(Scope::Message, message);
        metrics.receipts(Scope::UpTo, up_to);
        metrics.receipts(Scope::Conversation, conversation);
    }

    pub(crate) fn count_new(&mut self, scope: Scope) {
        match scope {
            Scope::Message => self.new[0] += 1,
            Scope::UpTo => self.new[1] += 1,
            Scope::Conversation => self.new[2] += 1,
        }
    }
}

/// A receipt that is in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its position.
    pub seq: Seq,
    /// When it came, in milliseconds.
    pub received_at: i64,
    /// The receipt, as one line of JSON without its end.
    pub json: Arc<str>,
    /// The trace that its callback belonged to.
    pub trace: Option<TraceContext>,
}

/// The id that a receipt's JSON begins with.
pub(super) fn id_in(json: &str) -> Option<ReceiptId> {
    id_text(json)?.parse().ok()
}

fn id_text(json: &str) -> Option<&str> {
    json.strip_prefix("{\"id\":\"")?.split_once('"').map(|(id, _)| id)
}

/// A receipt that a sink's destination refused for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its position.
    pub seq: Seq,
    /// When it was parked, in milliseconds.
    pub at: i64,
    /// What the destination said.
    pub reason: String,
    /// The receipt, as one line of JSON.
    pub json: Arc<str>,
}

/// So many dead letters, or a change of their number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Letters {
    /// How many.
    pub entries: i64,
    /// What their receipts and reasons hold, in bytes.
    pub bytes: i64,
}

/// What became of receipts that were to be parked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Parked {
    /// So many from the beginning are dead letters now. For the rest there was no capacity.
    pub settled: usize,
    /// By how much the dead letters have grown.
    pub added: Letters,
}

/// A sink that retention waits for, until it is told otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The sink.
    pub sink: String,
    /// Receipts up to this position may be pruned though the sink does not have them; 0 for none.
    pub may_pass: Seq,
}

/// Receipts that retention has pruned although a sink did not have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetGo {
    /// The sink.
    pub sink: String,
    /// The first of them.
    pub from: Seq,
    /// The last of them. All between are among them.
    pub to: Seq,
}

/// What one step of retention has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// How many receipts are gone.
    pub count: u32,
    /// Which of them a sink did not have.
    pub let_go: Vec<LetGo>,
}

impl Stored {
    /// Its id, as it stands in the JSON; `None` when the journal holds something else.
    pub fn id(&self) -> Option<&str> {
        id_text(&self.json)
    }

    /// The receipt, for a reader that needs its parts.
    ///
    /// # Errors
    /// When the journal holds something else, which means that its file was changed by others.
    pub fn receipt(&self) -> Result<ReadReceipt<'static>, serde_json::Error> {
        serde_json::from_str(&self.json)
    }
}
