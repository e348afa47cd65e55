//! A batch on its way into a file or a pipe, one JSON line a receipt.

use std::io::{self, Write};
use std::sync::Arc;

use crate::journal::Stored;

/// So many bytes are written at once: few system calls, and a tenth of the memory that a whole batch takes.
const AT_ONCE: usize = 64 << 10;

/// Kept from batch to batch: a new piece of memory for each would cost more than to fill it, and the thread that writes is
/// not the one that fills.
#[derive(Default)]
pub(super) struct Lines {
    receipts: Vec<Arc<str>>,
    bytes: Vec<u8>,
}

impl Lines {
    /// Takes these receipts, and forgets what was not written of others.
    pub(super) fn fill(&mut self, batch: &[Stored]) {
        self.receipts.clear();
        self.receipts.extend(batch.iter().map(|receipt| receipt.json.clone()));
    }

    /// Writes them all, in order. After an error nobody knows how many bytes were.
    pub(super) fn write(&mut self, into: &mut impl Write) -> io::Result<()> {
        self.bytes.clear();
        for receipt in self.receipts.drain(..) {
            self.bytes.extend_from_slice(receipt.as_bytes());
            self.bytes.push(b'\n');
            if self.bytes.len() >= AT_ONCE {
                into.write_all(&self.bytes)?;
                self.bytes.clear();
            }
        }
        into.write_all(&self.bytes)
    }
}
