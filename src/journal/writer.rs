//! The one writer: a thread that takes whatever has queued up while it was on the disk into one transaction, and
//! answers everybody in it after the fsync. Nothing else in readhook writes to the journal.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tokio::sync::mpsc::WeakSender;
use tokio::sync::watch;

use super::checkpoint::{Checkpoints, count_pages};
use super::condition::{Condition, Phase};
use super::gather::{CROWD, Gather};
use super::held::HeldFiles;
use super::ids::Ids;
use super::job::{Done, Job};
use super::open::Opened;
use super::pressure::Pressure;
use super::read::Readers;
use super::recovery::move_all;
use super::reopen::Place;
use super::reserve::Reserve;
use super::statements::{Statements, StoreError};
use super::tail::Tail;
use super::trouble::{Fault, Trouble};
use super::upkeep::{mark, park, prune, unpark};
use super::{Committed, JournalError, Letters, OpenError, Parked, Pruned, Seq, Stored};
use crate::log_limit::LogLimit;
use crate::metrics::Metrics;

/// Room for so many receipts is kept from one transaction to the next; seldom are there more.
const FRESH_KEPT: usize = 4_096;

/// The writer's end of everything that it shares.
pub(super) struct Writer {
    pub(super) queue: Gather,
    pub(super) jobs: WeakSender<Job>,
    pub(super) queued_bytes: Arc<AtomicUsize>,
    pub(super) pressure: Arc<Pressure>,
    pub(super) head: watch::Sender<Seq>,
    pub(super) tail: Arc<Tail>,
    pub(super) condition: Arc<Condition>,
    pub(super) readers: Arc<Readers>,
    pub(super) metrics: Metrics,
    pub(super) log: LogLimit,
    pub(super) reserve: Option<Reserve>,
    pub(super) place: Place,
}

/// A journal that is open, to the one thread that writes. What comes last is closed last: the end of any descriptor of a file is
/// the end of SQLite's own locks on it.
struct Session {
    checkpoints: Checkpoints,
    ids: Ids,
    /// Why nothing is written at present: a file is not where it was opened.
    moved: bool,
    held: Arc<HeldFiles>,
}

/// How the work on an open journal ended.
enum End {
    /// Nobody will ask any more.
    Closed,
    /// Every handle has to be closed, and the journal opened again.
    Fault(Fault),
}

/// What one transaction is for, and what comes of it. Empty between two; what it holds of memory is used again.
#[derive(Default)]
struct Turn {
    jobs: Vec<Job>,
    results: Vec<Completed>,
    /// The receipts that were not there yet.
    fresh: Vec<Stored>,
    /// Up to where retention has deleted receipts.
    pruned: Option<Seq>,
    /// Why commits are refused while everything else goes on: without the index of ids nobody knows what is a duplicate.
    unindexed: Option<String>,
}

/// What came of a job; true once the transaction is.
enum Completed {
    Commit(Committed),
    Seq(Seq),
    Parked(Parked),
    Unparked(Letters),
    Pruned(Pruned),
    Nothing,
    /// It was not tried, for want of the index.
    Refused,
}

impl Writer {
    /// Works until [`Job::Close`], or until nobody can ask any more, or until the journal could not be opened for so long that
    /// the process should end. `why` is what keeps it from being open at the start, if it is not.
    pub(super) fn run(mut self, opened: Option<Opened>, why: Option<String>) {
        let mut opened = match (opened, why) {
            (Some(opened), _) => Some(opened),
            (None, why) => self.open_again(why.as_deref().unwrap_or_default()),
        };
        while let Some(Opened { mut connection, held, head, ids }) = opened.take() {
            let end = match self.begin(&mut connection, &held, head, ids) {
                Ok(session) => self.work(&connection, session),
                Err(error) => {
                    let problem = format!("it could not be used after it was opened: {error}");
                    End::Fault(Fault { file: held.path().to_owned(), problem })
                }
            };
            // Before the connection is: its end must not wait for a read, and the last one to be closed should be the writer's.
            self.readers.close();
            match end {
                End::Closed => {
                    self.condition.enter(Phase::Ended);
                    tidy(connection, &held);
                    return;
                }
                End::Fault(fault) => {
                    self.condition.enter(Phase::Opening);
                    self.metrics.journal_faults_total.inc();
                    tracing::error!(
                        file = %fault.file.display(),
                        error = %fault.problem,
                        "the journal's disk failed: callbacks are answered `unavailable`, and the journal is closed and opened again, \
                         because what is in memory of its files cannot be believed any more"
                    );
                    drop(connection);
                    drop(held);
                    opened = self.open_again(&fault.problem);
                }
            }
        }
    }

    /// Takes over a journal that was just opened, and tells everybody.
    fn begin(
        &mut self,
        connection: &mut Connection,
        held: &Arc<HeldFiles>,
        head: Seq,
        ids: Ids,
    ) -> Result<Session, OpenError> {
        let pages = count_pages(connection).map_err(|error| super::open::sqlite(held.path(), &error))?;
        let checkpoints = Checkpoints::start(held.clone(), pages, self.jobs.clone())?;
        self.tail.clear();
        self.readers.open();
        self.condition.enter(Phase::Open);
        self.condition.wrote(ids.is_whole());
        // A commit whose sync failed may turn out to be there; it counts as stored.
        self.head.send_if_modified(|known| std::mem::replace(known, head) != head);
        Ok(Session { checkpoints, ids, moved: false, held: held.clone() })
    }

    fn work(&mut self, connection: &Connection, mut session: Session) -> End {
        let mut statements = match Statements::prepare(connection) {
            Ok(statements) => statements,
            Err(error) => {
                let problem = format!("the journal's tables are not what they should be: {error}");
                return End::Fault(Fault { file: session.held.path().to_owned(), problem });
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
            let (took, fault) = self.turn(connection, &mut session, &mut statements, &mut turn);
            if fault.is_none() {
                session.checkpoints.between_turns();
            }
            self.pressure.ended();
            self.queue.ended(callers, took);
            if closing {
                self.queue.close();
            }
            if let Some(fault) = fault {
                return End::Fault(fault);
            }
        }
        session.ids.close(*self.head.borrow());
        End::Closed
    }

    /// One transaction for all the jobs, and an answer to each. How long it took, and whether the journal has to be opened again.
    fn turn(
        &mut self,
        connection: &Connection,
        session: &mut Session,
        statements: &mut Statements<'_>,
        turn: &mut Turn,
    ) -> (Duration, Option<Fault>) {
        let begun = Instant::now();
        let before = *self.head.borrow();
        let changes = connection.total_changes();
        let mut result = self.attempt(connection, session, statements, turn);
        if (matches!(result, Err(Trouble::Full(_))) || session.checkpoints.was_full())
            && self.reserve.as_ref().is_some_and(Reserve::give_up)
            && result.is_err()
        {
            result = self.attempt(connection, session, statements, turn);
        }
        let mut failure = match result {
            Ok(head) => {
                session.ids.committed(head);
                if let Some(through) = turn.pruned.take() {
                    session.ids.forget(through);
                }
                self.tail.extend(turn.fresh.drain(..));
                self.publish(head, before, begun.elapsed());
                // It is stored and synced; but is it where the next start will look?
                session.held.check().err().map(|moved| {
                    if !std::mem::replace(&mut session.moved, true) {
                        tracing::error!("{}", moved.problem);
                        self.readers.keep_only_open();
                    }
                    Trouble::Other(moved.problem)
                })
            }
            Err(trouble) => Some(trouble),
        };
        // Pages that this transaction has read may have been lost ones.
        if let Some(fault) = session.checkpoints.fault() {
            failure = Some(Trouble::Fault(fault));
        }
        turn.fresh.shrink_to(FRESH_KEPT);
        let took = begun.elapsed();
        // A transaction that wrote nothing, because all was there already, says nothing of the disk.
        if failure.is_some() || turn.unindexed.is_some() || connection.total_changes() != changes {
            self.condition.wrote(failure.is_none() && turn.unindexed.is_none());
        }
        let mut fault = None;
        let text = failure.map(|trouble| match trouble {
            Trouble::Fault(found) => {
                let text = found.problem.clone();
                // Nobody is told "ready" by what waits for this answer.
                self.condition.enter(Phase::Opening);
                fault = Some(found);
                text
            }
            Trouble::Full(_) | Trouble::Other(_) => {
                if let Some(suppressed) = self.log.admit() {
                    tracing::error!(error = trouble.text(), suppressed, "the journal could not be written");
                }
                trouble.text().to_owned()
            }
        });
        let mut bytes_taken = 0;
        let mut results = turn.results.drain(..);
        for job in turn.jobs.drain(..) {
            bytes_taken += job.bytes();
            let (came, unindexed) = match results.next() {
                Some(Completed::Refused) => (None, turn.unindexed.as_deref()),
                came => (came, None),
            };
            job.answer(came, text.as_deref().or(unindexed), &self.metrics);
        }
        drop(results);
        self.queued_bytes.fetch_sub(bytes_taken, Ordering::Relaxed);
        session.checkpoints.committed(bytes_taken);
        (took, fault)
    }

    /// Tries the jobs in one transaction. The head behind it; on an error nothing of it is left.
    fn attempt(
        &self,
        connection: &Connection,
        session: &mut Session,
        statements: &mut Statements<'_>,
        turn: &mut Turn,
    ) -> Result<Seq, Trouble> {
        turn.results.clear();
        turn.fresh.clear();
        turn.pruned = None;
        if let Some(fault) = session.checkpoints.fault() {
            return Err(Trouble::Fault(fault));
        }
        if session.moved {
            session.held.check().map_err(|moved| Trouble::Other(moved.problem))?;
            tracing::info!("the journal's files are where they were opened again");
            session.moved = false;
            self.readers.open();
        }
        let before = *self.head.borrow();
        let mut head = before;
        let mut result = transact(connection, &mut session.ids, statements, turn, &mut head);
        if result.is_ok() {
            result = statements.commit.execute([]).map(|_| ()).map_err(StoreError::from);
        }
        let Err(error) = result else { return Ok(head) };
        let trouble = match &error {
            StoreError::Sqlite(error) => Trouble::of(error, session.held.path(), session.held.wal_path()),
            // Its files can be made again from the journal, and it says what a failed sync means there.
            StoreError::Ids(error) => Trouble::Other(error.to_string()),
        };
        if !connection.is_autocommit()
            && let Err(error) = statements.rollback.execute([])
        {
            tracing::error!(%error, "the journal could not take back a transaction");
        }
        session.ids.taken_back(before);
        turn.fresh.clear();
        Err(trouble)
    }

    fn publish(&self, head: Seq, before: Seq, took: Duration) {
        if head > before {
            self.head.send_replace(head);
            self.metrics.journal_commit_seconds.observe(took.as_secs_f64());
            self.metrics.journal_batch_receipts.observe((head - before) as f64);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Also when it ends in a panic: nobody must be told that it takes writes.
        let lost = matches!(*self.condition.phases().borrow(), Phase::Lost(_));
        if !lost {
            self.condition.enter(Phase::Ended);
        }
    }
}

/// Begins a transaction and does the jobs in it.
fn transact(
    connection: &Connection,
    ids: &mut Ids,
    statements: &mut Statements<'_>,
    Turn { jobs, results, fresh, pruned, unindexed }: &mut Turn,
    head: &mut Seq,
) -> Result<(), StoreError> {
    *unindexed = ids.catch_up().err().map(|error| error.to_string());
    statements.begin.execute([])?;
    for job in &*jobs {
        results.push(match job {
            Job::Commit { .. } | Job::TryWrite { .. } if unindexed.is_some() => Completed::Refused,
            Job::Commit { entries, .. } => {
                let mut committed = Committed::default();
                statements.store(entries, ids, head, &mut committed, fresh)?;
                Completed::Commit(committed)
            }
            Job::Cursor { sink, otherwise, .. } => {
                Completed::Seq(statements.cursor(connection, sink, *otherwise)?)
            }
            Job::Advance { sink, to, .. } => nothing(statements.advance(sink, *to))?,
            Job::Park { sink, receipts, reason, at, capacity, .. } => {
                Completed::Parked(park(connection, sink, receipts, reason, *at, *capacity)?)
            }
            Job::Unpark { sink, seqs, .. } => Completed::Unparked(unpark(connection, sink, seqs)?),
            Job::Mark { name, value, .. } => nothing(mark(connection, name, *value))?,
            Job::Prune { through, holders, .. } => {
                let mut step = Pruned::default();
                if let Some((done, through)) = prune(connection, *through, holders)? {
                    step = done;
                    *pruned = Some(through);
                }
                Completed::Pruned(step)
            }
            Job::TryWrite { .. } => nothing(mark(connection, "tried", 0))?,
            Job::Look | Job::Close => Completed::Nothing,
        });
    }
    Ok(())
}

fn nothing(result: rusqlite::Result<()>) -> rusqlite::Result<Completed> {
    result.map(|()| Completed::Nothing)
}

/// Moves the WAL into the main file and lets SQLite remove it, if nobody else has the journal open. Otherwise it stays, whole and
/// synced, and the next start moves it.
fn tidy(connection: Connection, held: &HeldFiles) {
    if held.check().is_err() {
        return;
    }
    let moved = move_all(held.path(), &connection).map_err(|error| error.to_string());
    let moved = moved.and_then(|()| held.sync_pages().map_err(|error| error.to_string()));
    match moved {
        Ok(()) => {
            if let Err(error) = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false) {
                tracing::debug!(%error, "the journal's empty log stays");
            }
        }
        Err(error) => {
            tracing::warn!(%error, file = %held.path().display(), "the journal's log stays and is moved by the next start");
        }
    }
    drop(connection);
}

impl Job {
    /// What it takes of the bytes that may wait.
    fn bytes(&self) -> usize {
        match self {
            Self::Commit { bytes, .. } => *bytes,
            Self::Cursor { .. }
            | Self::Advance { .. }
            | Self::Park { .. }
            | Self::Unpark { .. }
            | Self::Mark { .. }
            | Self::Prune { .. }
            | Self::TryWrite { .. }
            | Self::Look
            | Self::Close => 0,
        }
    }

    /// Answers whoever asked: with what came of it, or with what went wrong.
    fn answer(self, came: Option<Completed>, failure: Option<&str>, metrics: &Metrics) {
        /// Gives back what nobody waits for any more.
        fn send<T>(done: Done<T>, value: Option<T>, failure: Option<&str>) -> Option<T> {
            let answer = match (failure, value) {
                (None, Some(value)) => Ok(value),
                (failure, _) => Err(JournalError::Write(failure.unwrap_or("it was not tried").to_owned())),
            };
            done.send(answer).err()?.ok()
        }
        match self {
            Self::Commit { entries, done, .. } => {
                let value = if let Some(Completed::Commit(value)) = came { Some(value) } else { None };
                // Stored is stored: whoever waited would have counted it.
                if let (Some(late), Some(entry)) = (send(done, value, failure), entries.first()) {
                    metrics.late_commits.inc();
                    late.count_in(&metrics.of(entry.vendor));
                }
            }
            Self::Cursor { done, .. } => {
                let value = if let Some(Completed::Seq(value)) = came { Some(value) } else { None };
                let _gone = send(done, value, failure);
            }
            Self::Park { done, .. } => {
                let value = if let Some(Completed::Parked(value)) = came { Some(value) } else { None };
                let _gone = send(done, value, failure);
            }
            Self::Unpark { done, .. } => {
                let value = if let Some(Completed::Unparked(value)) = came { Some(value) } else { None };
                let _gone = send(done, value, failure);
            }
            Self::Prune { done, .. } => {
                let value = if let Some(Completed::Pruned(value)) = came { Some(value) } else { None };
                let _gone = send(done, value, failure);
            }
            Self::Advance { done, .. } | Self::Mark { done, .. } | Self::TryWrite { done } => {
                let _gone = send(done, came.map(|_| ()), failure);
            }
            Self::Look | Self::Close => {}
        }
    }

    /// Answers that nothing was done. What it takes of the bytes that may wait.
    pub(super) fn refuse(self, why: &str, metrics: &Metrics) -> usize {
        let bytes = self.bytes();
        self.answer(None, Some(why), metrics);
        bytes
    }
}
