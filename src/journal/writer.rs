//! The one writer: a thread that takes whatever has queued up while it was on the disk into one transaction, and
//! answers everybody in it after the fsync. Nothing else in readhook writes to the journal.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::watch;

use super::checkpoint::Checkpoints;
use super::gather::{CROWD, Gather};
use super::ids::Ids;
use super::job::{Done, Job};
use super::pressure::Pressure;
use super::statements::{Statements, StoreError};
use super::tail::Tail;
use super::upkeep::{mark, park, prune, unpark};
use super::{Committed, JournalError, Letters, Parked, Pruned, Seq, Stored};
use crate::log_limit::LogLimit;
use crate::metrics::Metrics;
use crate::receipt::VendorName;

/// Room for so many receipts is kept from one transaction to the next; seldom are there more.
const FRESH_KEPT: usize = 4_096;

/// The writer's end of everything that it shares.
pub(super) struct Writer {
    pub(super) queue: Gather,
    pub(super) queued_bytes: Arc<AtomicUsize>,
    pub(super) pressure: Arc<Pressure>,
    pub(super) head: watch::Sender<Seq>,
    pub(super) tail: Arc<Tail>,
    pub(super) takes_writes: watch::Sender<bool>,
    pub(super) metrics: Metrics,
    pub(super) log: LogLimit,
    pub(super) checkpoints: Checkpoints,
    pub(super) ids: Ids,
}

/// What one transaction is for, and what comes of it. Empty between two; what it holds of memory is used again.
#[derive(Default)]
struct Turn {
    jobs: Vec<Job>,
    promises: Vec<Promise>,
    /// The receipts that were not there yet.
    fresh: Vec<Stored>,
}

/// An answer that is true once the transaction is.
enum Promise {
    Committed(Done<Committed>, Committed, Option<VendorName>),
    Seq(Done<Seq>, Seq),
    Parked(Done<Parked>, Parked),
    Unparked(Done<Letters>, Letters),
    Pruned(Done<Pruned>, Pruned),
    Nothing(Done<()>),
}

impl Writer {
    /// Works until [`Job::Close`], or until nobody can ask any more.
    pub(super) fn run(mut self, connection: &Connection) {
        let mut statements = match Statements::prepare(connection) {
            Ok(statements) => statements,
            Err(error) => {
                tracing::error!(%error, "the journal's tables are not what they should be");
                return;
            }
        };
        let mut turn = Turn::default();
        while self.queue.next(&mut turn.jobs) {
            let jobs = &turn.jobs;
            let callers = jobs.iter().filter(|job| job.is_commit()).count();
            if callers >= CROWD {
                self.pressure.crowds();
            }
            let closing = jobs.iter().any(|job| matches!(job, Job::Close));
            self.pressure.begins();
            let took = self.turn(connection, &mut statements, &mut turn);
            self.pressure.ended();
            self.queue.ended(callers, took);
            if closing {
                self.queue.close();
            }
        }
        self.ids.close(*self.head.borrow());
    }

    /// One transaction for all the jobs, and an answer to each. How long it took.
    fn turn(
        &mut self,
        connection: &Connection,
        statements: &mut Statements<'_>,
        Turn { jobs, promises, fresh }: &mut Turn,
    ) -> Duration {
        let begun = Instant::now();
        let mut head = *self.head.borrow();
        let before = head;
        let mut bytes_taken = 0;
        let mut forgotten = None;
        // Without the index nobody knows what is a duplicate: commits are refused, and what needs no index goes on.
        let unindexed = self.ids.catch_up().err().map(|error| error.to_string());
        let mut failure = statements.begin.execute([]).err().map(|error| error.to_string());
        for job in jobs.drain(..) {
            let (promise, result) = match job {
                Job::Commit { entries, bytes, done } => {
                    bytes_taken += bytes;
                    if let Some(why) = &unindexed {
                        // Whoever waited may have gone.
                        let _gone = done.send(Err(JournalError::Write(why.clone())));
                        continue;
                    }
                    let vendor = entries.first().map(|entry| entry.vendor);
                    let mut committed = Committed::default();
                    let result = run_if(&failure, || {
                        statements.store(entries, &mut self.ids, &mut head, &mut committed, fresh)
                    });
                    (Promise::Committed(done, committed, vendor), result)
                }
                Job::Cursor { sink, otherwise, done } => {
                    let mut seq = otherwise;
                    let result = run_if(&failure, || {
                        statements.cursor(connection, &sink, otherwise).map(|cursor| seq = cursor)
                    });
                    (Promise::Seq(done, seq), result)
                }
                Job::Advance { sink, to, done } => {
                    (Promise::Nothing(done), run_if(&failure, || statements.advance(&sink, to)))
                }
                Job::Park { sink, receipts, reason, at, capacity, done } => {
                    let mut parked = Parked::default();
                    let result = run_if(&failure, || {
                        park(connection, &sink, &receipts, &reason, at, capacity).map(|new| parked = new)
                    });
                    (Promise::Parked(done, parked), result)
                }
                Job::Unpark { sink, seqs, done } => {
                    let mut gone = Letters::default();
                    let result =
                        run_if(&failure, || unpark(connection, &sink, &seqs).map(|letters| gone = letters));
                    (Promise::Unparked(done, gone), result)
                }
                Job::Mark { name, value, done } => {
                    (Promise::Nothing(done), run_if(&failure, || mark(connection, &name, value)))
                }
                Job::Prune { through, holders, done } => {
                    let mut pruned = Pruned::default();
                    let result = run_if(&failure, || {
                        prune(connection, through, &holders).map(|step| {
                            if let Some((step, through)) = step {
                                (pruned, forgotten) = (step, Some(through));
                            }
                        })
                    });
                    (Promise::Pruned(done, pruned), result)
                }
                Job::TryWrite { done } => {
                    if let Some(why) = &unindexed {
                        let _gone = done.send(Err(JournalError::Write(why.clone())));
                        continue;
                    }
                    (Promise::Nothing(done), run_if(&failure, || mark(connection, "tried", 0)))
                }
                Job::Close => continue,
            };
            promises.push(promise);
            if let Err(error) = result {
                failure = Some(error.to_string());
            }
        }
        if failure.is_none()
            && let Err(error) = statements.commit.execute([])
        {
            failure = Some(error.to_string());
        }
        if failure.is_some()
            && !connection.is_autocommit()
            && let Err(error) = statements.rollback.execute([])
        {
            tracing::error!(%error, "the journal could not take back a transaction");
        }
        self.queued_bytes.fetch_sub(bytes_taken, Ordering::Relaxed);
        self.checkpoints.committed(bytes_taken);
        if failure.is_some() {
            self.ids.taken_back(before);
            fresh.clear();
        } else {
            self.ids.committed(head);
            if let Some(through) = forgotten {
                self.ids.forget(through);
            }
            self.tail.extend(fresh.drain(..));
        }
        fresh.shrink_to(FRESH_KEPT);
        let took = begun.elapsed();
        self.publish(failure.as_ref().or(unindexed.as_ref()), head, before, took);
        for promise in promises.drain(..) {
            promise.keep(&failure, &self.metrics);
        }
        took
    }

    fn publish(&self, failure: Option<&String>, head: Seq, before: Seq, took: Duration) {
        let taken = failure.is_none();
        self.takes_writes.send_if_modified(|takes| std::mem::replace(takes, taken) != taken);
        match failure {
            Some(error) => {
                if let Some(suppressed) = self.log.admit() {
                    tracing::error!(%error, suppressed, "the journal could not be written");
                }
            }
            None if head > before => {
                self.head.send_replace(head);
                self.metrics.journal_commit_seconds.observe(took.as_secs_f64());
                self.metrics.journal_batch_receipts.observe((head - before) as f64);
            }
            None => {}
        }
    }
}

/// Nothing more is tried in a transaction that has failed already.
fn run_if<E: Into<StoreError>>(
    failure: &Option<String>,
    work: impl FnOnce() -> Result<(), E>,
) -> Result<(), StoreError> {
    if failure.is_some() { Ok(()) } else { work().map_err(Into::into) }
}

impl Promise {
    fn keep(self, failure: &Option<String>, metrics: &Metrics) {
        /// Gives back what nobody waits for any more.
        fn tell<T>(done: Done<T>, value: T, failure: &Option<String>) -> Option<T> {
            let answer = match failure {
                None => Ok(value),
                Some(error) => Err(JournalError::Write(error.clone())),
            };
            done.send(answer).err()?.ok()
        }
        match self {
            Self::Committed(done, value, vendor) => {
                // Stored is stored: whoever waited would have counted it.
                if let (Some(late), Some(vendor)) = (tell(done, value, failure), vendor) {
                    metrics.late_commits.inc();
                    late.count_in(&metrics.of(vendor));
                }
            }
            Self::Seq(done, value) => drop(tell(done, value, failure)),
            Self::Parked(done, value) => drop(tell(done, value, failure)),
            Self::Unparked(done, value) => drop(tell(done, value, failure)),
            Self::Pruned(done, value) => drop(tell(done, value, failure)),
            Self::Nothing(done) => drop(tell(done, (), failure)),
        }
    }
}
