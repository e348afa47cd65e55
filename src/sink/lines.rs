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

    /// How many bytes [`Lines::write`] writes.
    pub(super) fn length(&self) -> u64 {
        self.receipts.iter().map(|receipt| receipt.len() as u64 + 1).sum()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many pieces and no more.
    struct Short(usize, Vec<u8>);

    impl Write for Short {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(1).ok_or_else(|| io::Error::other("full"))?;
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn receipts(from: i64) -> Vec<Stored> {
        let json = |seq| format!("{{\"id\":\"{seq}\",\"long\":\"{}\"}}", "x".repeat(500)).into();
        (from..from + 300).map(|seq| Stored { seq, received_at: 0, json: json(seq), trace: None }).collect()
    }

    #[test]
    fn each_receipt_is_a_line_and_what_an_error_has_left_is_forgotten() {
        let mut lines = Lines::default();
        lines.fill(&receipts(0));
        let mut short = Short(1, Vec::new());
        lines.write(&mut short).unwrap_err();
        assert!(short.1.len() >= AT_ONCE, "the first piece");

        let (batch, mut all) = (receipts(1_000), Vec::new());
        lines.fill(&batch);
        let length = lines.length();
        lines.write(&mut all).unwrap();
        assert_eq!(length, all.len() as u64);
        let wanted: String = batch.iter().map(|receipt| format!("{}\n", receipt.json)).collect();
        assert_eq!(String::from_utf8(all).unwrap(), wanted);
    }
}
