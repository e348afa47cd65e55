//! Opening the journal from the writer's thread: after a fault of the disk, or at a start that finds the disk full, read-only or
//! the WAL index in use. Until it is open, everything that is asked of it is answered `unavailable` at once.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::condition::Phase;
use super::gather::Waiting;
use super::lock::Lock;
use super::open::{Opened, open, open_locked};
use super::trouble::{is_full, is_full_or_read_only, probe};
use super::writer::Writer;
use super::{OpenError, Slot, causes};
use crate::backoff::Backoff;
use crate::metrics::Metrics;

/// After so long without success the process should end: the file may be good, and only this process cannot know it.
const LONGEST: Duration = Duration::from_secs(60);
/// How often the queue is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How often a failure that stays the same is logged.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Where the journal is, and the lock on it once it was taken.
pub(super) struct Place {
    /// As it is configured.
    pub(super) path: PathBuf,
    /// Shared with every handle, so that it is released after the last connection.
    pub(super) lock: Slot<Arc<Lock>>,
}

impl Place {
    fn open(&self, metrics: &Metrics) -> Result<Opened, OpenError> {
        if let Some(lock) = self.lock.get() {
            return open_locked(lock, metrics);
        }
        let (lock, opened) = open(&self.path, metrics)?;
        // Only this thread sets it.
        let _first = self.lock.set(lock);
        Ok(opened)
    }
}

/// What a failure to open the journal asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Remedy {
    /// Somebody has to make room or the disk writable; this process waits for it.
    Wait,
    /// It may succeed the next time, for a minute.
    Try,
    /// It will never succeed.
    Never,
}

impl Writer {
    /// Tries until the journal is open. `None` when nobody will ask any more, or when it has failed for too long.
    pub(super) fn open_again(&mut self, why: &str) -> Option<Opened> {
        self.readers.close();
        // A journal that was open already is good, as far as anybody knows.
        let was_open = self.place.lock.get().is_some();
        let mut backoff = Backoff::hasty();
        let mut failing_since = Instant::now();
        let mut logged: Option<(String, Instant)> = Some((why.to_owned(), Instant::now()));
        loop {
            if let Waiting::Closing = self.refuse_waiting(why) {
                return None;
            }
            let error = match self.place.open(&self.metrics) {
                Ok(opened) if opened.head < *self.head.borrow() => {
                    let known = *self.head.borrow();
                    let problem = format!("it ends at receipt {}, and {known} were accepted", opened.head);
                    drop(opened);
                    OpenError::Damaged { path: self.place.path.clone(), problem }
                }
                Ok(opened) => {
                    tracing::info!(
                        head = opened.head,
                        "the journal is open, and everything in its log was moved into the file"
                    );
                    return Some(opened);
                }
                Err(error) => error,
            };
            let remedy = self.remedy(&error, was_open);
            let problem = causes(&error);
            if remedy == Remedy::Wait {
                failing_since = Instant::now();
            }
            if remedy == Remedy::Never || failing_since.elapsed() >= LONGEST {
                tracing::error!(error = %problem, "the journal could not be opened again; the process ends");
                self.condition.enter(Phase::Lost(problem));
                return None;
            }
            let is_new =
                logged.as_ref().is_none_or(|(text, at)| *text != problem || at.elapsed() >= LOG_EVERY);
            if is_new {
                tracing::error!(error = %problem, "the journal cannot be opened yet: callbacks are answered `unavailable`");
                logged = Some((problem, Instant::now()));
            }
            let again = Instant::now() + backoff.wait();
            while Instant::now() < again {
                if let Waiting::Closing = self.refuse_waiting(why) {
                    return None;
                }
                thread::sleep(LOOK_EVERY);
            }
        }
    }

    /// Answers everybody in the queue that nothing can be done now.
    fn refuse_waiting(&mut self, why: &str) -> Waiting {
        let (metrics, queued_bytes) = (&self.metrics, &self.queued_bytes);
        self.queue.refuse(|job| {
            queued_bytes.fetch_sub(job.refuse(why, metrics), std::sync::atomic::Ordering::Relaxed);
        })
    }

    fn remedy(&self, error: &OpenError, was_open: bool) -> Remedy {
        let system = match error {
            OpenError::Io { source, .. } if is_full_or_read_only(source) => {
                if is_full(source)
                    && let Some(reserve) = &self.reserve
                {
                    reserve.give_up();
                }
                return Remedy::Wait;
            }
            OpenError::Io { .. } => probe(&self.place.path).err(),
            OpenError::Shared { .. } => return Remedy::Try,
            OpenError::Held { .. }
            | OpenError::Newer { .. }
            | OpenError::Foreign { .. }
            | OpenError::Unknown { .. }
            | OpenError::Unsafe { .. }
            | OpenError::Missing { .. }
            | OpenError::Restoring { .. }
            | OpenError::Damaged { .. } => None,
        };
        match system {
            // SQLite does not tell the errno.
            Some(error) if is_full_or_read_only(&error) => {
                if is_full(&error)
                    && let Some(reserve) = &self.reserve
                {
                    reserve.give_up();
                }
                Remedy::Wait
            }
            Some(_) | None if was_open => Remedy::Try,
            Some(_) | None => Remedy::Never,
        }
    }
}

/// Whether a start that failed like this goes on without the journal, until it can be opened.
pub(super) fn can_wait(path: &std::path::Path, error: &OpenError) -> bool {
    match error {
        OpenError::Shared { .. } => true,
        OpenError::Io { source, .. } => {
            is_full_or_read_only(source) || probe(path).is_err_and(|error| is_full_or_read_only(&error))
        }
        OpenError::Held { .. }
        | OpenError::Newer { .. }
        | OpenError::Foreign { .. }
        | OpenError::Unknown { .. }
        | OpenError::Unsafe { .. }
        | OpenError::Missing { .. }
        | OpenError::Restoring { .. }
        | OpenError::Damaged { .. } => false,
    }
}
