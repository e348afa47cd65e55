//! The receipts of one callback on their way to the sinks, and the news that all of them have all.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::DirectError;
use crate::journal::Stored;

/// What became of a parcel.
pub(super) type News = oneshot::Receiver<Result<(), DirectError>>;

/// One callback's receipts.
pub(super) struct Parcel {
    pub(super) receipts: Vec<Stored>,
    /// How many deliveries are missing: receipts times sinks, at first.
    missing: AtomicUsize,
    news: Mutex<Option<oneshot::Sender<Result<(), DirectError>>>>,
    /// The room that it takes while anybody has it.
    _room: OwnedSemaphorePermit,
}

impl Parcel {
    /// A parcel for so many sinks, and where to wait for the news.
    pub(super) fn new(receipts: Vec<Stored>, sinks: usize, room: OwnedSemaphorePermit) -> (Arc<Self>, News) {
        let (news, delivered) = oneshot::channel();
        let missing = AtomicUsize::new(receipts.len() * sinks);
        (Arc::new(Self { receipts, missing, news: Mutex::new(Some(news)), _room: room }), delivered)
    }

    /// One sink has one receipt.
    pub(super) fn delivered(&self) {
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.tell(Ok(()));
        }
    }

    /// A destination refuses one of them for good.
    pub(super) fn refused(&self) {
        self.tell(Err(DirectError::Refused));
    }

    /// Whether nobody waits for the news any more: the vendor has been told something else, or has gone.
    pub(super) fn is_over(&self) -> bool {
        let news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        news.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    fn tell(&self, result: Result<(), DirectError>) {
        let news = self.news.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(news) = news {
            // Whoever waited may have gone.
            let _gone = news.send(result);
        }
    }
}
