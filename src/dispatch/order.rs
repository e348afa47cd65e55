//! What an operator can tell a sink to do. The sink's own task does it, between two batches, so nothing is ever
//! delivered to a destination from two sides.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::Standing;
use crate::journal::{Seq, Stored};
use crate::receipt::Timestamp;

/// How many orders may wait for a sink that is busy.
const WAITING: usize = 8;

/// An order, and where to say what came of it.
pub(super) struct Order {
    pub(super) what: Command,
    pub(super) done: oneshot::Sender<Result<Report, OrderError>>,
}

/// Where a sink's task hears its orders.
pub struct Orders(mpsc::Receiver<Order>);

impl Orders {
    /// The next one; `None` when nobody can give any more. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Order> {
        self.0.recv().await
    }
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Deliver nothing until told to go on, also after a restart.
    Pause,
    /// Go on, at once: a wait for the next try ends, too.
    Resume,
    /// End a wait for the next try. A paused sink stays paused.
    TryNow,
    /// Try dead letters again.
    Redrive(LetterFilter),
    /// Delete dead letters that nobody wants delivered any more.
    Discard(LetterFilter),
    /// Deliver receipts again that it has had.
    Replay(Selection),
}

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::TryNow => "try now",
            Self::Redrive(_) => "redrive",
            Self::Discard(_) => "discard",
            Self::Replay(_) => "replay",
        })
    }
}

/// Which receipts to deliver again, among those that the journal still has and the sink has had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Those that came at this moment or later.
    Since(Timestamp),
    /// Those at this position or behind it.
    From(Seq),
    /// Those with these ids.
    Ids(BTreeSet<String>),
}

impl Selection {
    /// Whether a receipt is among them.
    pub(super) fn fits(&self, receipt: &Stored) -> bool {
        match self {
            Self::Since(moment) => receipt.received_at >= moment.as_millis(),
            Self::From(seq) => receipt.seq >= *seq,
            Self::Ids(ids) => receipt.id().is_some_and(|id| ids.contains(id)),
        }
    }
}

/// Which dead letters an order means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LetterFilter {
    /// All of them.
    All,
    /// The one at this position.
    Position(Seq),
    /// The one with this receipt id.
    Id(String),
}

impl LetterFilter {
    /// Whether a dead letter is meant.
    pub(super) fn fits(&self, letter: &Stored) -> bool {
        match self {
            Self::All => true,
            Self::Position(seq) => letter.seq == *seq,
            Self::Id(id) => letter.id() == Some(id),
        }
    }
}

/// What came of an order, in receipts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Delivered.
    pub delivered: u64,
    /// Refused for good; they are among the dead letters.
    pub refused: u64,
    /// Dead letters that were deleted.
    pub discarded: u64,
}

/// An order could not be carried out to its end.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The destination takes nothing.
    #[error("the destination takes nothing ({why}); done so far: {} delivered, {} refused; the last position reached is {reached}", done.delivered, done.refused)]
    Destination {
        /// What it or its client said.
        why: String,
        /// What came of it until then.
        done: Report,
        /// Everything up to here that was asked for is done.
        reached: Seq,
    },
    /// There is no such dead letter.
    #[error("the sink has no such dead letter")]
    NoLetter,
    /// The journal could not be read or written.
    #[error("the journal failed: {0}")]
    Journal(String),
    /// The service is ending.
    #[error("the sink is ending; nothing more was done")]
    Ending,
    /// Too many orders wait already.
    #[error("the sink is busy with other orders; try again later")]
    Busy,
}

/// A sink, seen by an operator.
#[derive(Debug, Clone)]
pub struct Handle {
    /// How it is doing.
    pub standing: Arc<Standing>,
    orders: mpsc::Sender<Order>,
}

impl Handle {
    /// A handle, and the end at which the sink's task listens.
    pub(super) fn new(standing: Arc<Standing>) -> (Self, Orders) {
        let (orders, listening) = mpsc::channel(WAITING);
        (Self { standing, orders }, Orders(listening))
    }

    /// Ends a wait for the next try, some time soon. Without effect on a sink that is busy with other orders.
    pub fn try_now(&self) {
        let (done, _nobody_waits) = oneshot::channel();
        let _busy = self.orders.try_send(Order { what: Command::TryNow, done });
    }

    /// Gives an order and waits until it is carried out, which may take as long as the delivery of what it covers.
    /// Dropped, it is carried out all the same.
    ///
    /// # Errors
    /// When it could not be carried out to its end.
    pub async fn order(&self, what: Command) -> Result<Report, OrderError> {
        let (done, report) = oneshot::channel();
        self.orders.try_send(Order { what, done }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => OrderError::Busy,
            mpsc::error::TrySendError::Closed(_) => OrderError::Ending,
        })?;
        report.await.map_err(|_| OrderError::Ending)?
    }
}
