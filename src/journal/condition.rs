//! How the journal is, as the writer knows it and everybody else asks it.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// What the journal's file is to this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is not open (yet, or after a fault), and the writer tries.
    Opening,
    /// It is open.
    Open,
    /// It could not be opened for so long that the process should end. With the reason.
    Lost(String),
    /// The writer has ended.
    Ended,
}

/// How the journal is.
pub(super) struct Condition {
    is_open: AtomicBool,
    takes_writes: AtomicBool,
    phase: watch::Sender<Phase>,
}

impl Condition {
    pub(super) fn new() -> Self {
        let (phase, _) = watch::channel(Phase::Opening);
        Self { is_open: AtomicBool::new(false), takes_writes: AtomicBool::new(false), phase }
    }

    /// Whether the writer can be asked for something.
    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// Whether the last write succeeded, and the next one may.
    pub(super) fn takes_writes(&self) -> bool {
        self.is_open() && self.takes_writes.load(Ordering::Relaxed)
    }

    /// The last write succeeded, or not.
    pub(super) fn wrote(&self, succeeded: bool) {
        self.takes_writes.store(succeeded, Ordering::Relaxed);
    }

    /// Something has changed with the file.
    pub(super) fn enter(&self, phase: Phase) {
        let is_open = phase == Phase::Open;
        self.takes_writes.store(is_open, Ordering::Relaxed);
        self.is_open.store(is_open, Ordering::Release);
        self.phase.send_replace(phase);
    }

    /// The phases, to wait for one.
    pub(super) fn phases(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }
}
