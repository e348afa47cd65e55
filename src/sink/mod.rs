//! A sink: somewhere that receipts go. It delivers and says what came of it, nothing more: it does not retry, batch,
//! remember or know where it stands in the journal; all that is `dispatch`'s.

#[cfg(any(feature = "sink-http", feature = "sink-kafka"))]
mod cloud_event;
#[cfg(any(feature = "sink-http", feature = "sink-kafka", feature = "sink-nats", feature = "sink-redis"))]
mod facts;
mod file;
#[cfg(feature = "sink-http")]
mod http;
#[cfg(feature = "sink-kafka")]
mod kafka;
mod lines;
#[cfg(feature = "sink-nats")]
mod nats;
#[cfg(feature = "sink-postgres")]
mod postgres;
#[cfg(feature = "sink-redis")]
mod redis;
mod stdout;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

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
    Retry {
        /// How many receipts at the beginning of the batch are durable nevertheless and need not come again.
        done: usize,
        /// What went wrong.
        why: BoxError,
        /// How long the destination asks to be left alone, if it does.
        after: Option<Duration>,
    },
    /// The destination refuses these receipts for good. Everything before them in the batch is durable; what is behind
    /// them may be or not, and is to be delivered again.
    Reject {
        /// Their places in the batch; not empty.
        refused: Range<usize>,
        /// The destination's reason.
        why: BoxError,
    },
    /// The destination says that it is gone for good. Nothing is wrong with the receipts, and nothing more is sent
    /// until an operator resumes the sink.
    Halt {
        /// How many receipts at the beginning of the batch are durable.
        done: usize,
        /// The destination's reason.
        why: BoxError,
    },
    /// The destination has lost receipts that it had acknowledged. Nothing of this batch counts as delivered, and what was
    /// delivered shortly before is delivered again.
    Rewind {
        /// Receipts that were delivered at most this long ago may be lost.
        within: Duration,
        /// What was noticed.
        why: BoxError,
    },
}

impl DeliverError {
    /// Trying the whole batch again may help.
    pub fn retry(why: impl Into<BoxError>) -> Self {
        Self::Retry { done: 0, why: why.into(), after: None }
    }

    /// The receipt at this place is refused for good.
    pub fn reject(at: usize, why: impl Into<BoxError>) -> Self {
        Self::Reject { refused: at..at + 1, why: why.into() }
    }
}

/// The table of sinks: makes the one that a section of the configuration describes. Nothing is connected to yet.
///
/// # Errors
/// When a setting turns out to be of no use to its client, or the build is without this type of sink.
pub fn open(config: &SinkConfig) -> Result<Arc<dyn Sink>, BoxError> {
    Ok(match &config.kind {
        SinkKind::Stdout => Arc::new(stdout::Stdout::default()),
        SinkKind::File { path } => Arc::new(file::JsonLines::new(path.clone())),
        #[cfg(feature = "sink-http")]
        SinkKind::Http(config) => Arc::new(http::Http::new(config.clone())?),
        #[cfg(feature = "sink-nats")]
        SinkKind::Nats(config) => Arc::new(nats::JetStream::new(config)?),
        #[cfg(feature = "sink-kafka")]
        SinkKind::Kafka(config) => Arc::new(kafka::Kafka::new(config)),
        #[cfg(feature = "sink-redis")]
        SinkKind::Redis(config) => Arc::new(redis::Stream::new(config.clone())?),
        #[cfg(feature = "sink-postgres")]
        SinkKind::Postgres(config) => Arc::new(postgres::Postgres::new(config)?),
        // Reading a configuration has refused it already, and said which feature it needs.
        #[cfg(not(all(
            feature = "sink-http",
            feature = "sink-nats",
            feature = "sink-kafka",
            feature = "sink-redis",
            feature = "sink-postgres"
        )))]
        left_out => return Err(format!("this build is without `{}` sinks", left_out.word()).into()),
    })
}
