//! A sink with a span around each of its deliveries. Only where there are spans: otherwise the sink is what it is.

use std::sync::Arc;

use async_trait::async_trait;

use crate::dispatch::causes;
use crate::journal::Stored;
use crate::sink::{BoxError, DeliverError, Sink};
use crate::spans::{Delivered, Spans};

struct Traced {
    sink: Arc<dyn Sink>,
    name: String,
    spans: Spans,
}

/// The sink, and around it spans if there are any.
pub(super) fn traced(name: &str, sink: Arc<dyn Sink>, spans: &Spans) -> Arc<dyn Sink> {
    if !spans.are_on() {
        return sink;
    }
    Arc::new(Traced { sink, name: name.to_owned(), spans: spans.clone() })
}

#[async_trait]
impl Sink for Traced {
    async fn deliver(&self, batch: &[Stored]) -> Result<(), DeliverError> {
        let traces = batch.iter().filter_map(|receipt| receipt.trace.as_ref());
        let span = self.spans.delivery(&self.name, batch.len(), traces);
        let delivered = self.sink.deliver(batch).await;
        if let Some(span) = span {
            span.end(match &delivered {
                Ok(()) => Delivered { done: batch.len(), refused: 0, error: None },
                Err(DeliverError::Retry { done, why, .. } | DeliverError::Halt { done, why }) => {
                    Delivered { done: *done, refused: 0, error: Some(causes(&**why)) }
                }
                Err(DeliverError::Rewind { why, .. }) => {
                    Delivered { done: 0, refused: 0, error: Some(causes(&**why)) }
                }
                Err(DeliverError::Reject { refused, why }) => {
                    Delivered { done: refused.start, refused: refused.len(), error: Some(causes(&**why)) }
                }
            });
        }
        delivered
    }

    async fn reopen(&self) {
        self.sink.reopen().await;
    }

    async fn probe(&self) -> Result<(), BoxError> {
        self.sink.probe().await
    }
}
