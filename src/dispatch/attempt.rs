//! One attempt at one batch: deliver, park what is refused, count. When to try again is for others to say.

use std::error::Error;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Dispatcher;
use crate::clock;
use crate::journal::{JournalError, Stored};
use crate::sink::DeliverError;

/// What came of an attempt: from its beginning on, so many receipts were delivered and then so many refused.
pub(super) struct Attempt {
    pub(super) delivered: usize,
    pub(super) refused: usize,
    /// Why the rest is to be tried again; without it, the rest, if any, has not been tried.
    pub(super) failure: Option<Trouble>,
}

/// A destination that took nothing, or not everything.
pub(super) struct Trouble {
    /// In the words of the destination or its client.
    pub(super) why: String,
    /// How long it asks to be left alone.
    pub(super) leave_alone: Duration,
}

impl Attempt {
    /// How many receipts need not come again.
    pub(super) fn settled(&self) -> usize {
        self.delivered + self.refused
    }
}

impl Dispatcher {
    /// Delivers a batch, once. `None` when told to give up.
    pub(super) async fn try_once(&self, batch: &[Stored], give_up: &CancellationToken) -> Option<Attempt> {
        let delivered = tokio::select! {
            delivered = self.sink.deliver(batch) => delivered,
            () = give_up.cancelled() => return None,
        };
        let attempt = match delivered {
            Ok(()) => Attempt { delivered: batch.len(), refused: 0, failure: None },
            Err(DeliverError::Reject { refused, why }) => {
                let Some(parked) = batch.get(refused.clone()).filter(|parked| !parked.is_empty()) else {
                    tracing::error!(sink = %self.name, ?refused, "a sink refused receipts that it was not given");
                    return None;
                };
                self.park(parked, causes(&*why), give_up).await?;
                Attempt { delivered: refused.start, refused: parked.len(), failure: None }
            }
            Err(DeliverError::Retry { done, why, after }) => {
                let trouble = Trouble { why: causes(&*why), leave_alone: after.unwrap_or_default() };
                Attempt { delivered: done.min(batch.len()), refused: 0, failure: Some(trouble) }
            }
        };
        self.count("ok", attempt.delivered);
        self.count("rejected", attempt.refused);
        match &attempt.failure {
            None => self.standing.succeeded(),
            Some(trouble) => {
                self.count("retry", batch.len() - attempt.settled());
                self.standing.failed(trouble.why.clone());
            }
        }
        Some(attempt)
    }

    /// Puts receipts among the dead letters. `None` when told to give up first.
    async fn park(&self, refused: &[Stored], why: String, give_up: &CancellationToken) -> Option<()> {
        for receipt in refused {
            tracing::warn!(sink = %self.name, seq = receipt.seq, reason = %why, "parked a receipt that the sink's destination refuses");
        }
        let seqs: Vec<_> = refused.iter().map(|receipt| receipt.seq).collect();
        self.insist(give_up, || self.journal.park(&self.name, seqs.clone(), why.clone(), clock::now()))
            .await?;
        self.standing.note(why);
        self.insist(give_up, || self.count_dead_letters()).await
    }

    /// Brings the count of dead letters up to date.
    pub(super) async fn count_dead_letters(&self) -> Result<(), JournalError> {
        let all = self.journal.dead_letters().await?;
        let own = all.into_iter().find_map(|(sink, count)| (sink == self.name).then_some(count));
        self.metrics.dead_letters.with_label_values(&[&self.name]).set(own.unwrap_or(0));
        Ok(())
    }

    pub(super) fn count(&self, result: &str, receipts: usize) {
        self.metrics.sink_deliveries.with_label_values(&[&self.name, result]).inc_by(receipts as u64);
    }
}

/// An error with its causes, in one line.
pub(crate) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        // Many clients repeat the cause in their own words.
        if !line.contains(&said) {
            line.push_str(": ");
            line.push_str(&said);
        }
        cause = error.source();
    }
    line
}
