//! The one writer: a thread that takes whatever has queued up while it was on the disk into one transaction, and
//! answers everybody in it after the fsync. Nothing else in readhook writes to the journal.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, Statement, params};
use tokio::sync::{mpsc, oneshot, watch};

use super::checkpoint::Checkpoints;
use super::pressure::Pressure;
use super::tail::Tail;
use super::{Committed, Entries, Entry, JournalError, PRUNED_MARK, Seq, Stored};
use crate::log_limit::LogLimit;
use crate::metrics::Metrics;
use crate::receipt::{ReadReceipt, Timestamp, VendorName};

/// The most jobs of one transaction: enough for everyone who waits, and an end to how long the first one does.
pub(super) const JOBS_A_TURN: usize = 1_024;

/// From this many callers in one transaction on, the next one waits a moment for those who have just been answered to
/// come again: one sync for eighty costs hardly more than one for forty. The few callers of a quiet hour do not wait.
const CROWD: usize = 32;
const CROWD_GATHERS: Duration = Duration::from_micros(300);

type Done<T> = oneshot::Sender<Result<T, JournalError>>;

/// What the writer can be asked to do.
pub(super) enum Job {
    Commit { entries: Entries, bytes: usize, done: Done<Committed> },
    Cursor { sink: String, otherwise: Seq, done: Done<Seq> },
    Advance { sink: String, to: Seq, done: Done<()> },
    Park { sink: String, seqs: Vec<Seq>, reason: String, at: Timestamp, done: Done<()> },
    Unpark { sink: String, seqs: Vec<Seq>, done: Done<()> },
    Mark { name: String, value: i64, done: Done<()> },
    Prune { before: Timestamp, sinks: Vec<String>, no_further: Seq, limit: u32, done: Done<u32> },
    TryWrite { done: Done<()> },
    Close,
}

/// The writer's end of everything that it shares.
pub(super) struct Writer {
    pub(super) queue: mpsc::Receiver<Job>,
    pub(super) queued_bytes: Arc<AtomicUsize>,
    pub(super) pressure: Arc<Pressure>,
    pub(super) head: watch::Sender<Seq>,
    pub(super) tail: Arc<Tail>,
    pub(super) takes_writes: watch::Sender<bool>,
    pub(super) metrics: Metrics,
    pub(super) log: LogLimit,
    pub(super) checkpoints: Checkpoints,
}

/// An answer that is true once the transaction is.
enum Promise {
    Committed(Done<Committed>, Committed, Option<VendorName>),
    Seq(Done<Seq>, Seq),
    Count(Done<u32>, u32),
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
        let mut jobs = Vec::with_capacity(JOBS_A_TURN);
        loop {
            if self.queue.blocking_recv_many(&mut jobs, JOBS_A_TURN) == 0 {
                return;
            }
            let closing = jobs.iter().any(|job| matches!(job, Job::Close));
            if closing {
                self.queue.close();
            }
            let crowded = jobs.len() >= CROWD && !closing;
            if crowded {
                self.pressure.crowds();
            }
            self.pressure.begins();
            self.turn(connection, &mut statements, &mut jobs);
            self.pressure.ended();
            if crowded {
                std::thread::sleep(CROWD_GATHERS);
            }
            // Closed, the queue still gives what was in it, and then nothing.
        }
    }

    /// One transaction for all the jobs, and an answer to each.
    fn turn(&mut self, connection: &Connection, statements: &mut Statements<'_>, jobs: &mut Vec<Job>) {
        let begun = Instant::now();
        let mut promises = Vec::with_capacity(jobs.len());
        let mut head = *self.head.borrow();
        let before = head;
        let mut bytes_taken = 0;
        let mut fresh = Vec::with_capacity(jobs.len());
        let mut failure: Option<String> = None;
        if let Err(error) = statements.begin.execute([]) {
            failure = Some(error.to_string());
        }
        for job in jobs.drain(..) {
            let (promise, result) = match job {
                Job::Commit { entries, bytes, done } => {
                    bytes_taken += bytes;
                    let vendor = entries.first().map(|entry| entry.vendor);
                    let mut committed = Committed::default();
                    let result =
                        run_if(&failure, || statements.store(entries, &mut head, &mut committed, &mut fresh));
                    (Promise::Committed(done, committed, vendor), result)
                }
                Job::Cursor { sink, otherwise, done } => {
                    let mut seq = otherwise;
                    let result = run_if(&failure, || {
                        seq = statements.cursor(connection, &sink, otherwise)?;
                        Ok(())
                    });
                    (Promise::Seq(done, seq), result)
                }
                Job::Advance { sink, to, done } => {
                    (Promise::Nothing(done), run_if(&failure, || statements.advance(&sink, to)))
                }
                Job::Park { sink, seqs, reason, at, done } => {
                    (Promise::Nothing(done), run_if(&failure, || park(connection, &sink, &seqs, &reason, at)))
                }
                Job::Unpark { sink, seqs, done } => {
                    (Promise::Nothing(done), run_if(&failure, || unpark(connection, &sink, &seqs)))
                }
                Job::Mark { name, value, done } => {
                    (Promise::Nothing(done), run_if(&failure, || mark(connection, &name, value)))
                }
                Job::Prune { before, sinks, no_further, limit, done } => {
                    let mut count = 0;
                    let result = run_if(&failure, || {
                        count = prune(connection, before, &sinks, no_further, limit)?;
                        Ok(())
                    });
                    (Promise::Count(done, count), result)
                }
                Job::TryWrite { done } => {
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
        if failure.is_none() && !fresh.is_empty() {
            self.tail.extend(fresh);
        }
        self.publish(&failure, head, before, begun);
        for promise in promises {
            promise.keep(&failure, &self.metrics);
        }
    }

    fn publish(&self, failure: &Option<String>, head: Seq, before: Seq, begun: Instant) {
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
                self.metrics.journal_commit_seconds.observe(begun.elapsed().as_secs_f64());
                self.metrics.journal_batch_receipts.observe((head - before) as f64);
            }
            None => {}
        }
    }
}

/// Nothing more is tried in a transaction that has failed already.
fn run_if(failure: &Option<String>, work: impl FnOnce() -> rusqlite::Result<()>) -> rusqlite::Result<()> {
    if failure.is_some() { Ok(()) } else { work() }
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
            Self::Count(done, value) => drop(tell(done, value, failure)),
            Self::Nothing(done) => drop(tell(done, (), failure)),
        }
    }
}

/// The statements of the hot path, prepared once.
struct Statements<'c> {
    begin: Statement<'c>,
    commit: Statement<'c>,
    rollback: Statement<'c>,
    insert: Statement<'c>,
    trace: Statement<'c>,
    find: Statement<'c>,
    advance: Statement<'c>,
}

impl<'c> Statements<'c> {
    fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            begin: connection.prepare("BEGIN IMMEDIATE")?,
            commit: connection.prepare("COMMIT")?,
            rollback: connection.prepare("ROLLBACK")?,
            insert: connection.prepare(
                "INSERT INTO receipts (seq, received_at, key, json) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT (key) DO NOTHING",
            )?,
            trace: connection.prepare("INSERT INTO traces (seq, context) VALUES (?1, ?2)")?,
            find: connection.prepare("SELECT json FROM receipts WHERE key = ?1")?,
            advance: connection.prepare(
                "INSERT INTO cursors (sink, seq) VALUES (?1, ?2) \
                 ON CONFLICT (sink) DO UPDATE SET seq = excluded.seq",
            )?,
        })
    }

    fn store(
        &mut self,
        entries: Entries,
        head: &mut Seq,
        committed: &mut Committed,
        fresh: &mut Vec<Stored>,
    ) -> rusqlite::Result<()> {
        for entry in entries {
            let row = params![*head + 1, entry.received_at, entry.key, entry.json];
            if self.insert.execute(row)? == 1 {
                *head += 1;
                committed.first.get_or_insert(*head);
                committed.count_new(entry.scope);
                if let Some(trace) = &entry.trace {
                    self.trace.execute(params![*head, trace.as_str()])?;
                }
                let (received_at, json) = (entry.received_at, entry.json);
                fresh.push(Stored { seq: *head, received_at, json, trace: entry.trace });
                continue;
            }
            committed.repeated += 1;
            if entry.event_key && self.conflicts(&entry)? {
                committed.conflicts += 1;
            }
        }
        Ok(())
    }

    /// Whether what is stored under the same event id tells of another reader, conversation or message.
    fn conflicts(&mut self, entry: &Entry) -> rusqlite::Result<bool> {
        let stored: Option<String> = self.find.query_row(params![entry.key], |row| row.get(0)).optional()?;
        let parse = |json: &str| serde_json::from_str::<ReadReceipt<'static>>(json).ok();
        let (Some(stored), Some(new)) = (stored.as_deref().and_then(parse), parse(&entry.json)) else {
            return Ok(false);
        };
        Ok(stored.reader != new.reader
            || stored.conversation != new.conversation
            || stored.message_id != new.message_id
            || stored.message_seq != new.message_seq)
    }

    fn cursor(&mut self, connection: &Connection, sink: &str, otherwise: Seq) -> rusqlite::Result<Seq> {
        let known = connection
            .query_row("SELECT seq FROM cursors WHERE sink = ?1", [sink], |row| row.get(0))
            .optional()?;
        match known {
            Some(seq) => Ok(seq),
            None => self.advance(sink, otherwise).map(|()| otherwise),
        }
    }

    fn advance(&mut self, sink: &str, to: Seq) -> rusqlite::Result<()> {
        self.advance.execute(params![sink, to]).map(|_| ())
    }
}

/// Retention may have forgotten the receipt of a letter that is parked anew, so what is there is looked at first.
fn park(
    connection: &Connection,
    sink: &str,
    seqs: &[Seq],
    reason: &str,
    at: Timestamp,
) -> rusqlite::Result<()> {
    let mut again = connection
        .prepare_cached("UPDATE dead_letters SET at = ?3, reason = ?4 WHERE sink = ?1 AND seq = ?2")?;
    let mut first = connection.prepare_cached(
        "INSERT INTO dead_letters (sink, seq, at, reason, json) \
         SELECT ?1, seq, ?3, ?4, json FROM receipts WHERE seq = ?2",
    )?;
    for seq in seqs {
        let letter = params![sink, seq, at.as_millis(), reason];
        if again.execute(letter)? == 0 {
            first.execute(letter)?;
        }
    }
    Ok(())
}

fn unpark(connection: &Connection, sink: &str, seqs: &[Seq]) -> rusqlite::Result<()> {
    let mut delete = connection.prepare_cached("DELETE FROM dead_letters WHERE sink = ?1 AND seq = ?2")?;
    seqs.iter().try_for_each(|seq| delete.execute(params![sink, seq]).map(|_| ()))
}

/// Deletes from the old end only, and only up to where every sink has been.
fn prune(
    connection: &Connection,
    before: Timestamp,
    sinks: &[String],
    no_further: Seq,
    limit: u32,
) -> rusqlite::Result<u32> {
    let mut held = no_further;
    for sink in sinks {
        let cursor: Option<Seq> = connection
            .query_row("SELECT seq FROM cursors WHERE sink = ?1", [sink], |row| row.get(0))
            .optional()?;
        held = held.min(cursor.unwrap_or(0));
    }
    let mut oldest =
        connection.prepare_cached("SELECT seq, received_at FROM receipts ORDER BY seq LIMIT ?1")?;
    let mut rows = oldest.query([limit])?;
    let mut through = None;
    while let Some(row) = rows.next()? {
        let (seq, received_at): (Seq, i64) = (row.get(0)?, row.get(1)?);
        if seq > held || received_at >= before.as_millis() {
            break;
        }
        through = Some(seq);
    }
    drop(rows);
    let Some(through) = through else { return Ok(0) };
    let deleted = connection.execute("DELETE FROM receipts WHERE seq <= ?1", [through])?;
    connection.execute(
        "DELETE FROM traces WHERE seq <= ?1 AND seq NOT IN (SELECT seq FROM dead_letters)",
        [through],
    )?;
    mark(connection, PRUNED_MARK, through)?;
    Ok(u32::try_from(deleted).unwrap_or(u32::MAX))
}

fn mark(connection: &Connection, name: &str, value: i64) -> rusqlite::Result<()> {
    let written = connection.execute(
        "INSERT INTO marks (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        params![name, value],
    );
    written.map(|_| ())
}
