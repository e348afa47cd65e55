//! Receipts on standard output, one JSON line each, for a first look and for pipes. What makes a repeat harmless:
//! nothing here; whoever reads the pipe has the `id`.

use std::io::Write;

use async_trait::async_trait;

use super::{BoxError, DeliverError, Sink};
use crate::journal::Stored;

/// Standard output.
pub(super) struct Stdout;

#[async_trait]
impl Sink for Stdout {
    async fn deliver(&self, batch: &[Stored]) -> Result<(), DeliverError> {
        let mut lines = String::with_capacity(batch.iter().map(|receipt| receipt.json.len() + 1).sum());
        for receipt in batch {
            lines.push_str(&receipt.json);
            lines.push('\n');
        }
        // A pipe that nobody reads blocks, so this may not stand in an async worker's way.
        let written = tokio::task::spawn_blocking(move || {
            let mut out = std::io::stdout().lock();
            out.write_all(lines.as_bytes()).and_then(|()| out.flush())
        });
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(DeliverError::retry(error)),
            Err(panicked) => Err(DeliverError::retry(panicked)),
        }
    }

    async fn probe(&self) -> Result<(), BoxError> {
        Ok(())
    }
}
