//! The one thread that writes the state's file. It has the lowest priority that there is, because vendors wait for
//! others. So it must hold nothing that those want: it never touches the journal, what it merges is brought to it.

use std::path::PathBuf;

use rusqlite::types::Value;
use rusqlite::{Connection, params};
use tokio::sync::{mpsc, oneshot, watch};

use super::fold::{Names, fold};
use super::schema::{self, Mark, Unfit};
use crate::journal::{Seq, Stored};

/// How many rows one step of the sweep looks at.
const SWEPT: i64 = 1_000;

pub(super) type Done<T> = oneshot::Sender<Result<T, Unfit>>;

/// What the thread can be asked to do.
pub(super) enum Job {
    /// Open the file for the journal of this identity and this newest position, or make it anew. One that was there is not
    /// asked before it is trusted.
    Open { journal: i64, head: Seq, done: Done<()> },
    /// The receipt where it ended is the journal's.
    Trust { done: Done<()> },
    /// Merge receipts; with them everything up to `through` is in it. If it is not at `from` by now, nothing happens.
    Apply { from: Seq, batch: Vec<Stored>, through: Seq, done: Done<()> },
    /// Begin again, for this reason.
    Clear { why: &'static str, done: Done<()> },
    /// Take the file away and make a new one: a question has found it damaged.
    Remake { done: Done<()> },
    /// Delete some of what rests on receipts that retention has forgotten. Gives where to go on.
    Sweep { forgotten: Seq, behind: Option<Spot>, done: Done<Option<Spot>> },
}

/// How far the state is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Everything up to this position of the journal is in it.
    pub(super) cursor: Seq,
    /// The id of the receipt there.
    pub(super) last: String,
    /// Whether there is a file to ask.
    pub(super) open: bool,
    /// Changes when the file is another one.
    pub(super) generation: u64,
}

/// A row of `reads`: how far a sweep has come.
#[derive(Debug, Clone)]
pub(super) struct Spot {
    conversation: i64,
    message: Value,
    reader: String,
}

/// The thread's end of what it shares.
pub(super) struct Keeper {
    path: PathBuf,
    jobs: mpsc::Receiver<Job>,
    progress: watch::Sender<Progress>,
    connection: Option<Connection>,
    names: Names,
    journal: i64,
}

impl Keeper {
    pub(super) fn new(path: PathBuf, jobs: mpsc::Receiver<Job>, progress: watch::Sender<Progress>) -> Self {
        Self { path, jobs, progress, connection: None, names: Names::default(), journal: 0 }
    }

    /// Works until nobody can ask any more.
    pub(super) fn run(mut self) {
        give_way();
        while let Some(job) = self.jobs.blocking_recv() {
            // Whoever asked may have gone.
            let _gone = match job {
                Job::Open { journal, head, done } => {
                    self.journal = journal;
                    done.send(self.mend(|keeper| keeper.open(head))).is_err()
                }
                Job::Trust { done } => {
                    self.progress.send_modify(|progress| progress.open = true);
                    done.send(Ok(())).is_err()
                }
                Job::Apply { from, batch, through, done } => {
                    done.send(self.mend(|keeper| keeper.apply(from, &batch, through))).is_err()
                }
                Job::Clear { why, done } => {
                    tracing::info!("the read state is made anew from the journal: {why}");
                    done.send(self.mend(Self::clear)).is_err()
                }
                Job::Remake { done } => done.send(self.replace("it is damaged")).is_err(),
                Job::Sweep { forgotten, behind, done } => {
                    done.send(self.mend(|keeper| keeper.sweep(forgotten, behind))).is_err()
                }
            };
        }
    }

    /// Does some work, and if the file turns out to be unfit for it, makes the file anew instead.
    fn mend<T: Default>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Unfit>) -> Result<T, Unfit> {
        let result = work(self);
        if result.is_err() {
            self.names.forget();
        }
        match result {
            Err(why @ (Unfit::Damaged(_) | Unfit::Foreign)) => {
                self.replace(&why.to_string()).map(|()| T::default())
            }
            Err(why @ Unfit::OtherFormat) => self.remake(&why.to_string()).map(|()| T::default()),
            Ok(_) | Err(Unfit::Failed(_)) => result,
        }
    }

    /// Sets the file aside and begins a new one.
    fn replace(&mut self, why: &str) -> Result<(), Unfit> {
        self.let_go();
        let kept = schema::put_away(&self.path).map_err(|error| Unfit::Failed(error.to_string()))?;
        match kept {
            Some(kept) => tracing::error!(
                file = %self.path.display(), kept = %kept.display(),
                "the read state was set aside and is made again from the journal: {why}"
            ),
            None => tracing::error!(
                file = %self.path.display(),
                "the read state was deleted and is made again from the journal, because several were set aside before: {why}"
            ),
        }
        self.clear()
    }

    /// Deletes the file, which has nothing that the journal has not, and begins a new one.
    fn remake(&mut self, why: &str) -> Result<(), Unfit> {
        tracing::warn!(file = %self.path.display(), "the read state is made anew from the journal: {why}");
        self.let_go();
        schema::remove(&self.path).map_err(|error| Unfit::Failed(error.to_string()))?;
        self.clear()
    }

    fn let_go(&mut self) {
        self.connection = None;
        self.names.forget();
        // Questions still under way end on the old file; the next ones wait.
        self.progress.send_modify(|progress| {
            *progress = Progress { generation: progress.generation + 1, ..Progress::default() };
        });
    }

    fn connection(&mut self) -> Result<&mut Connection, Unfit> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => schema::open(&self.path)?.0,
        };
        Ok(self.connection.insert(connection))
    }

    fn open(&mut self, head: Seq) -> Result<(), Unfit> {
        let (connection, mark) = schema::open(&self.path)?;
        self.connection = Some(connection);
        let Some(mark) = mark else { return self.clear() };
        if mark.journal != self.journal {
            return self.remake("it belongs to another journal");
        }
        if mark.cursor > head {
            return self.remake("it is ahead of the journal, which must be an older copy");
        }
        let Mark { cursor, last, .. } = mark;
        self.progress.send_modify(|progress| (progress.cursor, progress.last) = (cursor, last));
        Ok(())
    }

    fn clear(&mut self) -> Result<(), Unfit> {
        self.names.forget();
        let journal = self.journal;
        schema::clear(self.connection()?, journal)?;
        self.publish(Mark { journal, cursor: 0, last: String::new() });
        Ok(())
    }

    fn apply(&mut self, from: Seq, batch: &[Stored], through: Seq) -> Result<(), Unfit> {
        let Progress { cursor, open, .. } = *self.progress.borrow();
        if !open {
            // A file was taken away, and making the new one failed. What is in it by now nobody knows.
            return self.clear();
        }
        if cursor != from {
            return Ok(());
        }
        let last = batch.last().and_then(Stored::id).unwrap_or_default().to_owned();
        let mark = Mark { journal: self.journal, cursor: through, last };
        let mut names = std::mem::take(&mut self.names);
        let transaction = self.connection()?.transaction()?;
        let odd = fold(&transaction, &mut names, batch)?;
        schema::set_mark(&transaction, &mark)?;
        transaction.commit()?;
        self.names = names;
        if odd > 0 {
            tracing::warn!(
                entries = odd,
                "the journal holds entries that are no receipts; the read state leaves them out"
            );
        }
        self.publish(mark);
        Ok(())
    }

    fn publish(&self, mark: Mark) {
        self.progress.send_modify(|progress| {
            (progress.cursor, progress.last, progress.open) = (mark.cursor, mark.last, true);
        });
    }

    fn sweep(&mut self, forgotten: Seq, behind: Option<Spot>) -> Result<Option<Spot>, Unfit> {
        let from =
            behind.unwrap_or(Spot { conversation: 0, message: Value::Integer(0), reader: String::new() });
        let transaction = self.connection()?.transaction()?;
        let to = {
            let mut rows = transaction.prepare_cached(
                "SELECT conversation, message, reader FROM reads \
                 WHERE (conversation, message, reader) > (?1, ?2, ?3) \
                 ORDER BY conversation, message, reader LIMIT 1 OFFSET ?4",
            )?;
            let spot = |row: &rusqlite::Row<'_>| {
                Ok(Spot { conversation: row.get(0)?, message: row.get(1)?, reader: row.get(2)? })
            };
            let found = rows.query_map(params![from.conversation, from.message, from.reader, SWEPT], spot)?;
            found.last().transpose()?
        };
        // Nothing comes behind a conversation whose number is out of reach.
        let end = to.clone().unwrap_or(Spot {
            conversation: i64::MAX,
            message: Value::Integer(0),
            reader: String::new(),
        });
        let range = params![
            forgotten,
            from.conversation,
            from.message,
            from.reader,
            end.conversation,
            end.message,
            end.reader
        ];
        transaction
            .prepare_cached(
                "DELETE FROM reads WHERE seq <= ?1 AND (conversation, message, reader) > (?2, ?3, ?4) \
                 AND (conversation, message, reader) <= (?5, ?6, ?7)",
            )?
            .execute(range)?;
        let range = params![forgotten, from.conversation, from.message, end.conversation, end.message];
        transaction
            .prepare_cached(
                "DELETE FROM totals WHERE seq <= ?1 AND (conversation, message) >= (?2, ?3) \
                 AND (conversation, message) <= (?4, ?5)",
            )?
            .execute(range)?;
        transaction.commit()?;
        Ok(to)
    }
}

/// Lets every other thread go first. Linux counts niceness by thread, so this means the calling one alone; elsewhere it
/// would mean the whole process.
#[cfg(target_os = "linux")]
fn give_way() {
    if let Err(error) = rustix::process::setpriority_process(None, 19) {
        tracing::debug!(%error, "the read state's thread keeps its priority");
    }
}

#[cfg(not(target_os = "linux"))]
fn give_way() {}
