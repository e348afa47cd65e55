//! The newest receipts, in memory: a sink that keeps up reads them here and never asks the file. Bounded by bytes; a
//! sink that falls behind finds the rest where everything is, on disk.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::{Seq, Stored};

/// How many bytes of JSON are kept: at full load some fifty milliseconds, which is five batches of a sink.
const KEPT_BYTES: usize = 1 << 20;

/// The end of the journal. Its positions follow one another without a gap, as in the file.
#[derive(Default)]
pub(super) struct Tail(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    receipts: VecDeque<Stored>,
    bytes: usize,
}

impl Tail {
    /// Adds what has just become durable, in order.
    pub(super) fn extend(&self, new: impl Iterator<Item = Stored>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for receipt in new {
            kept.bytes += receipt.json.len();
            kept.receipts.push_back(receipt);
        }
        while kept.bytes > KEPT_BYTES {
            let Some(oldest) = kept.receipts.pop_front() else { break };
            kept.bytes -= oldest.json.len();
        }
    }

    /// Empties it: what was in it may not be the end of the journal any more.
    pub(super) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Kept::default();
    }

    /// The receipts behind a position, at most `limit`; `None` when the next one is not here.
    pub(super) fn read_after(&self, after: Seq, limit: usize) -> Option<Vec<Stored>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = kept.receipts.front()?.seq;
        let skip = usize::try_from(after + 1 - first).ok()?;
        let newer = kept.receipts.iter().skip(skip).take(limit);
        // Rounded up, so that the memory that one batch leaves is what the next one asks for.
        let mut found = Vec::with_capacity(newer.len().next_power_of_two());
        found.extend(newer.cloned());
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(seq: Seq, length: usize) -> Stored {
        Stored { seq, received_at: 0, json: "x".repeat(length).into(), trace: None }
    }

    fn seqs(tail: &Tail, after: Seq, limit: usize) -> Option<Vec<Seq>> {
        Some(tail.read_after(after, limit)?.iter().map(|receipt| receipt.seq).collect())
    }

    #[test]
    fn it_has_the_newest_and_says_when_it_has_not() {
        let tail = Tail::default();
        assert_eq!(seqs(&tail, 0, 9), None, "nothing yet: the file may have more");
        tail.extend((5..=8).map(|seq| stored(seq, 1)));
        assert_eq!(seqs(&tail, 3, 9), None, "4 is not here");
        assert_eq!(seqs(&tail, 4, 2), Some(vec![5, 6]));
        assert_eq!(seqs(&tail, 7, 9), Some(vec![8]));
        assert_eq!(seqs(&tail, 8, 9), Some(vec![]));
        tail.extend([stored(9, KEPT_BYTES)].into_iter());
        assert_eq!(seqs(&tail, 7, 9), None, "the old make room");
        assert_eq!(seqs(&tail, 8, 9), Some(vec![9]));
        tail.extend([stored(10, KEPT_BYTES + 1)].into_iter());
        assert_eq!(seqs(&tail, 9, 9), None, "what is too large for it is in the file");
    }
}
