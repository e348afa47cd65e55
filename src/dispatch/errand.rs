//! Errands: deliveries beside the sink's way through the journal. A replay delivers again what the sink has had; a
//! redrive tries its dead letters once more. Both stop at a destination that takes nothing, and say how far they came.

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Dispatcher;
use super::order::{OrderError, Report, Selection};
use crate::backoff::Backoff;
use crate::journal::{JournalError, Order, Scan, Seq, Stored};

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

    /// Tries every dead letter again, oldest first. What is delivered is no dead letter any more; what is refused again stays,
    /// with the new reason.
    ///
    /// # Errors
    /// When the destination or the journal fails; what was delivered until then is no dead letter any more.
    pub async fn redrive(&self, give_up: &CancellationToken) -> Result<Report, OrderError> {
        let mut report = Report::default();
        let mut behind = 0;
        loop {
            let letters = self.journal.dead_letters_of(&self.name, behind, self.config.batch.get());
            let letters = letters.await.map_err(journal_failed)?;
            let Some(last) = letters.last().map(|letter| letter.seq) else {
                return Ok(report);
            };
            self.run_errand(&letters, &mut report, behind, give_up).await?;
            behind = last;
        }
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
            self.journal.unpark(&self.name, delivered).await.map_err(journal_failed)?;
            report.delivered += attempt.delivered as u64;
            report.refused += attempt.refused as u64;
            reached = settled.last().map_or(reached, |last| last.seq);
            rest = behind;
            let Some(trouble) = attempt.failure else { continue };
            tries = if settled.is_empty() { tries + 1 } else { 1 };
            if tries == TRIES {
                return Err(OrderError::Destination { why: trouble.why, done: *report, reached });
            }
            tokio::select! {
                () = sleep(backoff.wait().max(trouble.leave_alone)) => {}
                () = give_up.cancelled() => return Err(OrderError::Ending),
            }
        }
        self.count_dead_letters().await.map_err(journal_failed)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn journal_failed(error: JournalError) -> OrderError {
    OrderError::Journal(error.to_string())
}
