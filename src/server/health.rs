//! Whether the process lives and whether it should get traffic, for both listeners.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::StatusCode;

use crate::store::Store;

/// What health depends on.
#[derive(Clone)]
pub(crate) struct Health {
    store: Store,
    draining: Arc<AtomicBool>,
}

impl Health {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, draining: Arc::default() }
    }

    /// From here on `/readyz` is 503.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// 200 while receipts can be made durable and the process is not draining. A sink that is down does not count: its
    /// receipts are safe in the journal.
    pub(crate) async fn readyz(self) -> (StatusCode, &'static str) {
        if self.draining.load(Ordering::Relaxed) {
            (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
        } else if !self.store.takes_writes() {
            (StatusCode::SERVICE_UNAVAILABLE, "the journal takes no writes\n")
        } else {
            (StatusCode::OK, "ready\n")
        }
    }
}

/// 200 as long as anything is.
pub(crate) async fn livez() -> &'static str {
    "alive\n"
}
