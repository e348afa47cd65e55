//! What makes receipts durable before a vendor is answered: the journal, or the sinks themselves. `ingest` does not
//! know which.

use std::time::Duration;

use futures_util::TryFutureExt;
use futures_util::future::Either;

use crate::direct::{Direct, DirectError};
use crate::journal::{Committed, Entries, Journal, JournalError, Seq};

/// Where receipts are safe.
#[derive(Clone)]
pub(crate) enum Store {
    /// On this machine's disk.
    Journal(Journal),
    /// At every sink's destination.
    Direct(Direct),
}

/// Receipts that are not safe.
#[derive(Debug)]
pub(crate) enum StoreError {
    /// Trying again may help.
    Unavailable,
    /// A destination refuses one of them for good, so trying again will not help before somebody mends something.
    Refused,
}

impl From<JournalError> for StoreError {
    fn from(error: JournalError) -> Self {
        match error {
            // The writer has logged why.
            JournalError::Write(_)
            | JournalError::Read(_)
            | JournalError::NotOpen
            | JournalError::Overloaded
            | JournalError::Closed => Self::Unavailable,
        }
    }
}

impl From<DirectError> for StoreError {
    fn from(error: DirectError) -> Self {
        match error {
            DirectError::Overloaded | DirectError::Closed => Self::Unavailable,
            DirectError::Refused => Self::Refused,
        }
    }
}

impl Store {
    /// Makes receipts durable, all or none as far as the vendor is concerned. They are handed over at once, not when the future is
    /// first polled.
    ///
    /// Cancel safe: they may become durable all the same, and the vendor's repeat is then known by its id.
    /// Who would wait for longer than `patience` may be turned away at once.
    pub(crate) fn commit(
        &self,
        patience: Duration,
        entries: Entries,
    ) -> impl Future<Output = Result<Committed, StoreError>> + Send + use<> {
        match self {
            Self::Journal(journal) => {
                Either::Left(journal.commit_within(patience, entries).map_err(StoreError::from))
            }
            Self::Direct(direct) => Either::Right(direct.commit(entries).map_err(StoreError::from)),
        }
    }

    /// Whether commits can succeed, as far as is known. Sinks that are down do not count: they may be back with the next
    /// callback.
    pub(crate) fn takes_writes(&self) -> bool {
        match self {
            Self::Journal(journal) => journal.takes_writes(),
            Self::Direct(_) => true,
        }
    }

    /// The position of the newest receipt; without a journal, how many have come.
    pub(crate) fn head(&self) -> Seq {
        match self {
            Self::Journal(journal) => *journal.head().borrow(),
            Self::Direct(direct) => direct.head(),
        }
    }

    /// The journal, if there is one.
    pub(crate) fn journal(&self) -> Option<&Journal> {
        match self {
            Self::Journal(journal) => Some(journal),
            Self::Direct(_) => None,
        }
    }
}
