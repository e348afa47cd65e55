//! Receipts on standard output, one JSON line each, for a first look and for pipes. What makes a repeat harmless:
//! nothing here; whoever reads the pipe has the `id`.

use std::io::Write;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::lines::Lines;
use super::{BoxError, DeliverError, Sink};
use crate::journal::Stored;

/// Standard output.
#[derive(Default)]
pub(super) struct Stdout {
    lines: Arc<Mutex<Lines>>,
}

#[async_trait]
impl Sink for Stdout {
    async fn deliver(&self, batch: &[Stored]) -> Result<(), DeliverError> {
        let mut lines = self.lines.clone().lock_owned().await;
        lines.fill(batch);
        // A pipe that nobody reads blocks, so this may not stand in an async worker's way.
        let written = tokio::task::spawn_blocking(move || {
            let mut out = std::io::stdout().lock();
            lines.write(&mut out).and_then(|()| out.flush())
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
