//! Errands: deliveries beside the sink's way through the journal. A replay delivers again what the sink has had; a
//! redrive tries its dead letters once more. Both stop at a destination that takes nothing, and say how far they came.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Dispatcher;
use super::attempt::{Remedy, Trouble};
use super::order::{LetterFilter, OrderError, Report, Selection};
use crate::backoff::Backoff;
use crate::journal::{JournalError, Order, Scan, Seq, Stored};

/// A destination that asks to be left alone for longer than this ends the errand: other orders wait behind it.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How often a batch is tried before the errand gives up: with its waits, about half a minute.
const TRIES: u32 = 9;

impl Dispatcher {
    /// Delivers again what fits of the receipts up to and including `last`, in the order of the journal.
    ///
    /// # Errors
    /// When the destination or the journal fails; what was delivered until then stays delivered.
    pub async fn replay(
        &self,
        selection: Selection,
        last: Seq,
        give_up: &CancellationToken,
    ) -> Result<Report, OrderError> {
        let mut report = Report::default();
        let mut behind = match selection {
            Selection::From(seq) => seq.saturating_sub(1),
            Selection::Since(_) | Selection::Ids(_) => 0,
        };
        loop {
            let wanted = selection.clone();
            let scan = Scan {
                order: Order::Ascending,
                behind: Some(behind),
                limit: self.config.batch.get(),
                fits: Box::new(move |receipt| receipt.seq <= last && wanted.fits(receipt)),
            };
            let page = self.journal.scan(scan).await.map_err(journal_failed)?;
            self.run_errand(&page.receipts, &mut report, behind, give_up).await?;
            match page.resume {
                Some(resume) if resume < last => behind = resume,
                Some(_) | None => return Ok(report),
            }
        }
    }

    /// Tries dead letters again, oldest first. What is delivered is no dead letter any more; what is refused again stays,
    /// with the new reason.
    ///
    /// # Errors
    /// When the destination or the journal fails; what was delivered until then is no dead letter any more. When a single one
    /// is asked for that is not there.
    pub async fn redrive(
        &self,
        which: &LetterFilter,
        give_up: &CancellationToken,
    ) -> Result<Report, OrderError> {
        let mut report = Report::default();
        let mut behind = 0;
        let mut found = false;
        while let Some((letters, last)) = self.letters(which, behind).await? {
            found |= !letters.is_empty();
            self.run_errand(&letters, &mut report, behind, give_up).await?;
            behind = last;
        }
        if found || *which == LetterFilter::All { Ok(report) } else { Err(OrderError::NoLetter) }
    }

    /// Deletes dead letters for ever. The receipts stay in the journal for as long as retention keeps them.
    ///
    /// # Errors
    /// When the journal fails, or a single one is asked for that is not there.
    pub async fn discard(&self, which: &LetterFilter) -> Result<Report, OrderError> {
        let mut report = Report::default();
        let mut behind = 0;
        while let Some((letters, last)) = self.letters(which, behind).await? {
            for letter in &letters {
                let id = letter.id().unwrap_or_default();
                tracing::warn!(sink = %self.name, seq = letter.seq, id, "an operator discards a dead letter");
            }
            let seqs = letters.iter().map(|letter| letter.seq).collect();
            let gone = self.unpark(seqs).await.map_err(journal_failed)?;
            report.discarded += u64::try_from(gone).unwrap_or(0);
            behind = last;
        }
        let found = report.discarded > 0 || *which == LetterFilter::All;
        if found { Ok(report) } else { Err(OrderError::NoLetter) }
    }

    /// Those that are meant among the next dead letters, and the position of the last that was looked at.
    async fn letters(
        &self,
        which: &LetterFilter,
        behind: Seq,
    ) -> Result<Option<(Vec<Stored>, Seq)>, OrderError> {
        let mut letters = self
            .journal
            .dead_letters_of(&self.name, behind, self.config.batch.get())
            .await
            .map_err(journal_failed)?;
        let last = letters.last().map(|letter| letter.seq);
        letters.retain(|letter| which.fits(letter));
        Ok(last.map(|last| (letters, last)))
    }

    async fn run_errand(
        &self,
        batch: &[Stored],
        report: &mut Report,
        mut reached: Seq,
        give_up: &CancellationToken,
    ) -> Result<(), OrderError> {
        let mut rest = batch;
        let (mut backoff, mut tries) = (Backoff::patient(), 0);
        while !rest.is_empty() {
            let attempt = self.try_once(rest, give_up).await.ok_or(OrderError::Ending)?;
            let (settled, behind) = rest.split_at(attempt.settled());
            let delivered = settled.iter().take(attempt.delivered).map(|receipt| receipt.seq).collect();
            self.unpark(delivered).await.map_err(journal_failed)?;
            report.delivered += attempt.delivered as u64;
            report.refused += attempt.refused as u64;
            reached = settled.last().map_or(reached, |last| last.seq);
            rest = behind;
            let Some(Trouble { why, remedy }) = attempt.failure else { continue };
            tries = if settled.is_empty() { tries + 1 } else { 1 };
            let wait = match remedy {
                Remedy::TryAgain(leave_alone) => Some(leave_alone).filter(|wait| *wait <= LONGEST_WAIT),
                // What is delivered again here was delivered before; the sink's own way looks after the rest.
                Remedy::Rewind(_) => Some(Duration::ZERO),
                Remedy::Resume => None,
            };
            let Some(wait) = wait.filter(|_| tries < TRIES) else {
                return Err(OrderError::Destination { why, done: *report, reached });
            };
            tokio::select! {
                () = sleep(backoff.wait().max(wait)) => {}
                () = give_up.cancelled() => return Err(OrderError::Ending),
            }
        }
        Ok(())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn journal_failed(error: JournalError) -> OrderError {
    OrderError::Journal(error.to_string())
}
