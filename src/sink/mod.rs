//! A sink: somewhere that receipts go. It delivers and says what came of it, nothing more: it does not retry, batch,
//! remember or know where it stands in the journal; all that is `dispatch`'s.

mod file;
mod stdout;

use std::sync::Arc;

use async_trait::async_trait;

use crate::config::{SinkConfig, SinkKind};
use crate::journal::Stored;

/// Any error, with its causes.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Somewhere that receipts go.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Delivers a batch in its order. `Ok` means that all of it is durable over there. A receipt may come again; its
    /// `id` tells. Dropped half-way, it may have delivered any part of the batch.
    async fn deliver(&self, batch: &[Stored]) -> Result<(), DeliverError>;

    /// Lets go of what an operator may have moved away, such as a log file that was rotated.
    async fn reopen(&self) {}

    /// Looks whether a delivery could succeed, without delivering anything.
    async fn probe(&self) -> Result<(), BoxError>;
}

/// Why a batch is not delivered. The one question: would trying again help?
#[derive(Debug)]
pub enum DeliverError {
    /// It would, or nobody knows.
    Retry(BoxError),
    /// The destination refuses one receipt for good. Everything before it in the batch is durable, everything behind
    /// it has not been tried.
    Reject {
        /// Its place in the batch.
        at: usize,
        /// The destination's reason.
        why: BoxError,
    },
}

/// The table of sinks: makes the one that a section of the configuration describes.
pub fn open(config: &SinkConfig) -> Arc<dyn Sink> {
    match &config.kind {
        SinkKind::Stdout => Arc::new(stdout::Stdout),
        SinkKind::File { path } => Arc::new(file::JsonLines::new(path.clone())),
    }
}
