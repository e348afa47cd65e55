//! What the writer can be asked to do.

use tokio::sync::oneshot;

use super::{Committed, Entries, Holder, JournalError, Letters, Parked, Pruned, Seq, Stored};
use crate::receipt::Timestamp;

/// The most jobs of one transaction: enough for everyone who waits, and an end to how long the first one does.
pub(super) const JOBS_A_TURN: usize = 1_024;

/// Where the answer is awaited.
pub(super) type Done<T> = oneshot::Sender<Result<T, JournalError>>;

/// What the writer can be asked to do.
pub(super) enum Job {
    Commit {
        entries: Entries,
        bytes: usize,
        done: Done<Committed>,
    },
    Cursor {
        sink: String,
        otherwise: Seq,
        done: Done<Seq>,
    },
    Advance {
        sink: String,
        to: Seq,
        done: Done<()>,
    },
    Park {
        sink: String,
        receipts: Vec<Stored>,
        reason: String,
        at: Timestamp,
        capacity: Letters,
        done: Done<Parked>,
    },
    Unpark {
        sink: String,
        seqs: Vec<Seq>,
        done: Done<Letters>,
    },
    Mark {
        name: String,
        value: i64,
        done: Done<()>,
    },
    Prune {
        through: Seq,
        holders: Vec<Holder>,
        done: Done<Pruned>,
    },
    TryWrite {
        done: Done<()>,
    },
    /// Somebody else has found out something: look.
    Look,
    Close,
}

impl Job {
    /// Whether a callback waits for it.
    pub(super) fn is_commit(&self) -> bool {
        matches!(self, Self::Commit { .. })
    }
}
