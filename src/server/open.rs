//! The open connections of a listener. One look at all of them, now and then, finds those that are silent for too long;
//! a timer and a shutdown signal in each would be asked at every request instead.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::interval;

use super::stage::{End, Patience, Stage};

/// The connections that are open, by a number of their own.
#[derive(Default)]
pub(super) struct Open(Mutex<Connections>);

#[derive(Default)]
struct Connections {
    next: u64,
    stages: HashMap<u64, Arc<Stage>>,
}

/// One connection's place among the open ones; dropped, it is closed.
pub(super) struct Place {
    open: Arc<Open>,
    number: u64,
    pub(super) stage: Arc<Stage>,
}

impl Open {
    /// Adds a connection.
    pub(super) fn enter(self: &Arc<Self>) -> Place {
        let stage = Stage::new();
        let mut connections = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = connections.next;
        connections.next += 1;
        connections.stages.insert(number, stage.clone());
        Place { open: self.clone(), number, stage }
    }

    /// Asks every connection to end with the request that is under way on it.
    pub(super) fn end_all(&self) {
        let connections = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        connections.stages.values().for_each(|stage| stage.end(End::AfterThisRequest));
    }

    /// Ends whoever is silent for too long, for as long as it is polled.
    pub(super) async fn sweep(&self, patience: Patience) {
        // Often enough for the shorter patience, seldom enough for ten thousand idle connections.
        let every = patience.head.min(patience.idle) / 4;
        let mut tick = interval(every.clamp(Duration::from_millis(20), Duration::from_secs(2)));
        loop {
            tick.tick().await;
            let connections = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let overdue = connections.stages.values().filter(|stage| stage.overdue(patience));
            overdue.for_each(|stage| stage.end(End::Now));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.0.lock().unwrap_or_else(PoisonError::into_inner).stages.remove(&self.number);
    }
}
