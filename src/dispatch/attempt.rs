//! One attempt at one batch: deliver, park what is refused, count. When to try again is for others to say.

use std::error::Error;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Dispatcher, PauseCause};
use crate::clock;
use crate::journal::{JournalError, Seq, Stored};
use crate::sink::DeliverError;

/// As much of a destination's reason as a dead letter keeps.
const LONGEST_REASON: usize = 1_000;

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
    /// What is to be done now.
    pub(super) remedy: Remedy,
}

/// What is to be done after an attempt that failed.
pub(super) enum Remedy {
    /// Try again, after so long at the least.
    TryAgain(Duration),
    /// Deliver again what was delivered in this time before.
    Rewind(Duration),
    /// Wait for an operator; the sink is paused already.
    Resume,
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
                let why = causes(&*why);
                let settled = self.park(parked, why.clone(), give_up).await?;
                let mut failure = None;
                if settled < parked.len() {
                    self.halt(PauseCause::DeadLettersFull, &why, give_up).await?;
                    failure = Some(Trouble { why, remedy: Remedy::Resume });
                }
                Attempt { delivered: refused.start, refused: settled, failure }
            }
            Err(DeliverError::Retry { done, why, after }) => {
                let remedy = Remedy::TryAgain(after.unwrap_or_default());
                let failure = Some(Trouble { why: causes(&*why), remedy });
                Attempt { delivered: done.min(batch.len()), refused: 0, failure }
            }
            Err(DeliverError::Halt { done, why }) => {
                let why = causes(&*why);
                self.halt(PauseCause::Gone, &why, give_up).await?;
                let failure = Some(Trouble { why, remedy: Remedy::Resume });
                Attempt { delivered: done.min(batch.len()), refused: 0, failure }
            }
            Err(DeliverError::Rewind { within, why }) => {
                let failure = Some(Trouble { why: causes(&*why), remedy: Remedy::Rewind(within) });
                Attempt { delivered: 0, refused: 0, failure }
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

    /// Puts receipts among the dead letters for as long as there is capacity, and returns how many are there. `None` when
    /// told to give up first.
    async fn park(&self, refused: &[Stored], why: String, give_up: &CancellationToken) -> Option<usize> {
        let why: String = why.chars().take(LONGEST_REASON).collect();
        let capacity = self.standing.capacity(self.config.limits);
        let parked = self
            .insist(give_up, || {
                self.journal.park(&self.name, refused.to_vec(), why.clone(), clock::now(), capacity)
            })
            .await?;
        self.standing.add_dead_letters(parked.added);
        self.show_dead_letters();
        if let Some(first) = refused.get(..parked.settled).and_then(<[_]>::first)
            && let Some(suppressed) = self.standing.park_log.admit()
        {
            tracing::warn!(
                sink = %self.name, seq = first.seq, receipts = parked.settled, reason = %why, suppressed,
                "parked receipts that the sink's destination refuses"
            );
        }
        self.standing.note(why);
        Some(parked.settled)
    }

    /// Pauses the sink for a cause of its own. It drops nothing: what is not delivered waits in the journal. `None` when told
    /// to give up first.
    async fn halt(&self, cause: PauseCause, why: &str, give_up: &CancellationToken) -> Option<()> {
        self.insist(give_up, || self.journal.pause(&self.name, PauseCause::to_mark(Some(cause)))).await?;
        // First, so that whoever sees the pause sees why.
        self.standing.failed(why.to_owned());
        self.standing.pause(Some(cause));
        let advice = match cause {
            PauseCause::DeadLettersFull => {
                "its destination refuses receipts and there are as many dead letters as max_dead_letters and max_dead_letter_bytes allow; redrive or discard some, then resume the sink"
            }
            PauseCause::Gone => {
                "its destination says that it is gone for good; look at the sink's address, then resume the sink"
            }
            PauseCause::Operator => "an operator wants it so",
        };
        tracing::error!(
            sink = %self.name, cause = cause.as_str(), error = %why,
            "a sink has paused itself: {advice}. Nothing is dropped, and retention waits"
        );
        Some(())
    }

    /// Deletes dead letters, and keeps the count.
    pub(super) async fn unpark(&self, seqs: Vec<Seq>) -> Result<i64, JournalError> {
        if seqs.is_empty() || self.standing.dead_letters().entries == 0 {
            return Ok(0);
        }
        let gone = self.journal.unpark(&self.name, seqs).await?;
        self.standing.remove_dead_letters(gone);
        self.show_dead_letters();
        Ok(gone.entries)
    }

    /// Counts the dead letters of former runs. From then on the count is kept.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn count_dead_letters(&self) -> Result<(), JournalError> {
        self.standing.set_dead_letters(self.journal.count_dead_letters(&self.name).await?);
        self.show_dead_letters();
        Ok(())
    }

    fn show_dead_letters(&self) {
        let entries = self.standing.dead_letters().entries;
        self.metrics.dead_letters.with_label_values(&[&self.name]).set(entries);
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
