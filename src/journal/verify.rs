//! Verifies a journal against itself, for `readhook check --deep`: its tables, its receipts, and the ids beside them, both
//! ways. Reads in short steps, also beside the service that has the journal; only `integrity_check`, one table at a time, holds
//! a snapshot for as long as it takes. Changes nothing.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::entry::id_in;
use super::ids::{Fingerprint, Inspection, Run, RunFile, fingerprint_in};
use super::open::{self, recognise, sqlite};
use super::{IDENTITY_MARK, OpenError, PRUNED_MARK, Seq};
use crate::receipt::ReadReceipt;

/// So many positions are compared in one pass over the ids: 64 MiB of memory.
const WINDOW: Seq = 8 << 20;
/// So many rows are read in one go.
const AT_ONCE: i64 = 1_000;
/// So many problems of one kind are named; the others are counted.
const NAMED: u64 = 3;

/// What is wrong, in sentences, each kind named a few times and then counted.
#[derive(Debug, Default)]
pub struct Problems {
    /// The sentences.
    pub found: Vec<String>,
    counts: Vec<(&'static str, u64)>,
}

impl Problems {
    /// Adds one. `kind` is what further ones of it are counted under.
    pub fn add(&mut self, kind: &'static str, problem: impl FnOnce() -> String) {
        let at = match self.counts.iter().position(|(known, _)| *known == kind) {
            Some(at) => at,
            None => {
                self.counts.push((kind, 0));
                self.counts.len() - 1
            }
        };
        if let Some((_, count)) = self.counts.get_mut(at) {
            *count += 1;
            if *count <= NAMED {
                self.found.push(problem());
            }
        }
    }

    /// All of them, with the counts of what was not named.
    pub fn into_sentences(mut self) -> Vec<String> {
        for (kind, count) in &self.counts {
            if *count > NAMED {
                self.found.push(format!("{} more: {kind}", count - NAMED));
            }
        }
        self.found
    }
}

/// What was found sound of one part.
#[derive(Debug, Default)]
pub struct Verified {
    /// In a few words: how much was looked at.
    pub looked_at: String,
    /// What is wrong.
    pub problems: Problems,
}

/// The tables of any SQLite file, one at a time. Each is a snapshot of its own, so that a WAL beside a running service waits
/// for one table at most.
///
/// # Errors
/// When the file cannot be opened or read.
pub fn tables(path: &Path, mut step: impl FnMut(u64, u64)) -> Result<Verified, OpenError> {
    let failed = |error: rusqlite::Error| sqlite(path, &error);
    let connection = connect(path).map_err(failed)?;
    let mut verified = Verified::default();
    // The schema's own table has the list of free pages with it.
    let mut names = vec!["sqlite_schema".to_owned()];
    let read = || {
        let mut statement = connection
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 ORDER BY name")?;
        statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()
    };
    match read() {
        Ok(found) => names.extend(found),
        Err(error) => damaged(&mut verified.problems, path, "the list of tables", &error)?,
    }
    for (at, name) in names.iter().enumerate() {
        step(at as u64, names.len() as u64);
        if let Err(error) = integrity(&connection, name, &mut verified.problems) {
            damaged(&mut verified.problems, path, name, &error)?;
        }
    }
    verified.looked_at = format!("{} tables", names.len() - 1);
    Ok(verified)
}

fn integrity(connection: &Connection, table: &str, problems: &mut Problems) -> rusqlite::Result<()> {
    let mut check =
        connection.prepare(&format!("PRAGMA integrity_check(\"{}\")", table.replace('"', "\"\"")))?;
    let mut rows = check.query([])?;
    while let Some(row) = rows.next()? {
        let found: String = row.get(0)?;
        if found != "ok" {
            problems
                .add("what SQLite's integrity_check finds", || format!("table {table}: {}", found.trim()));
        }
    }
    Ok(())
}

/// Damage is what is looked for; anything else ends the check.
fn damaged(
    problems: &mut Problems,
    path: &Path,
    what: &str,
    error: &rusqlite::Error,
) -> Result<(), OpenError> {
    let failure = sqlite(path, error);
    if !matches!(failure, OpenError::Damaged { .. }) {
        return Err(failure);
    }
    problems.add("what SQLite cannot read", || format!("{what}: {error}"));
    Ok(())
}

/// Opens a database to look at it. Without a WAL nobody has it open, and opening it for writing (nothing is written) leaves
/// no files behind; with one, the WAL is somebody else's, and nothing may be moved out of it.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let in_use = open::beside(path, "-wal").exists();
    let flags = if in_use { OpenFlags::SQLITE_OPEN_READ_ONLY } else { OpenFlags::SQLITE_OPEN_READ_WRITE };
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// A journal, open to be verified.
pub struct Verification {
    connection: Connection,
    path: PathBuf,
    files: Vec<RunFile>,
    head: Seq,
    /// What retention had forgotten when this began.
    forgotten: Seq,
}

impl Verification {
    /// Opens the journal, and its files of ids, which stay readable even when the service replaces them.
    ///
    /// # Errors
    /// When it is no journal, newer than this program, damaged, or cannot be read.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |error: rusqlite::Error| sqlite(path, &error);
        let connection = connect(path).map_err(failed)?;
        recognise(path, &connection)?;
        // In this order: what is in the files was in the journal before, and forgotten later at most.
        let forgotten = forgotten(&connection).map_err(failed)?;
        let io = |source| OpenError::Io { path: open::beside(path, open::IDS), source };
        let Inspection { files } = Inspection::open(path).map_err(io)?;
        let head = open::head(&connection).map_err(failed)?;
        Ok(Self { connection, path: path.to_owned(), files, head, forgotten })
    }

    /// The number that tells this journal from others, if it has been drawn yet; the newest position; and what is forgotten.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn identity(&self) -> Result<(Option<i64>, Seq, Seq), OpenError> {
        let failed = |error: rusqlite::Error| sqlite(&self.path, &error);
        let identity = mark(&self.connection, IDENTITY_MARK).map_err(failed)?;
        let head = open::head(&self.connection).map_err(failed)?;
        Ok((identity, head, forgotten(&self.connection).map_err(failed)?))
    }

    /// Every receipt: that it is one, that none is missing, and that its id is in the index at its position; and every entry of
    /// the index: that its block matches its checksum, and that a receipt with this id is where it points.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn receipts(&self, mut step: impl FnMut(u64, u64)) -> Result<(Verified, Verified), OpenError> {
        let failed = |error: rusqlite::Error| sqlite(&self.path, &error);
        let (mut receipts, mut ids) = (Verified::default(), Verified::default());
        let mut runs: Vec<&Run> = Vec::new();
        let mut unfit = false;
        for file in &self.files {
            match file {
                RunFile::Whole(run) => runs.push(run),
                RunFile::Unverified => unfit = true,
                RunFile::Damaged(path, why) => {
                    unfit = true;
                    ids.problems.add("damaged files of ids", || {
                        format!("`{}` is damaged ({why}); {MADE_AGAIN}", path.display())
                    });
                }
            }
        }
        let mut broken: HashSet<PathBuf> = HashSet::new();
        if !unfit {
            self.gaps(&runs, &mut ids.problems);
        }
        let total = (self.head - self.forgotten).max(0).unsigned_abs();
        let (mut count, mut in_runs, mut behind) = (0_u64, 0_u64, self.forgotten);
        let mut from = self.forgotten + 1;
        while from <= self.head {
            let to = self.head.min(from + WINDOW - 1);
            let mut expected = Window::new(from, to);
            for run in runs.iter().filter(|run| run.first <= to && run.last >= from) {
                if !broken.contains(&run.path) && !expected.fill(run, self.head, &mut ids.problems) {
                    broken.insert(run.path.clone());
                }
            }
            let covered = |seq: Seq| {
                let run = runs.iter().find(|run| run.first <= seq && seq <= run.last);
                run.map(|run| (*run, broken.contains(&run.path)))
            };
            while behind < to {
                step(count, total);
                let read = self.some(behind).map_err(failed)?;
                let end_of_all = read.is_empty();
                for (seq, json) in read.into_iter().take_while(|(seq, _)| *seq <= to) {
                    self.missing(behind + 1, seq - 1, &mut receipts.problems).map_err(failed)?;
                    behind = seq;
                    count += 1;
                    let fingerprint = json.as_deref().and_then(fingerprint_in);
                    let whole = json.as_deref().is_some_and(is_receipt);
                    if !whole {
                        receipts.problems.add("entries that are no receipts", || {
                            format!("position {seq} of the journal holds no receipt; restore a backup to have it again")
                        });
                    }
                    let found = expected.take(seq);
                    match (covered(seq), fingerprint) {
                        (Some((_, false)), Some(fingerprint)) if found == Some(fingerprint) => in_runs += 1,
                        (Some((run, false)), Some(_)) => ids.problems.add("receipts whose id is not in the index", || {
                            format!(
                                "the id of the receipt at position {seq} is not in `{}`: remove the folder of ids while \
                                 readhook is stopped, and the next start makes it again",
                                run.path.display()
                            )
                        }),
                        (Some((_, true)) | None, _) | (_, None) => {}
                    }
                }
                if end_of_all {
                    self.missing(behind + 1, to, &mut receipts.problems).map_err(failed)?;
                    behind = to;
                }
                // The next window begins with what this step has read too much of.
                if behind < to && !end_of_all && self.nothing_until(behind, to).map_err(failed)? {
                    self.missing(behind + 1, to, &mut receipts.problems).map_err(failed)?;
                    behind = to;
                }
            }
            let forgotten = forgotten(&self.connection).map_err(failed)?;
            for seq in expected.left().filter(|seq| *seq > forgotten) {
                ids.problems.add("entries of the index that point to no receipt", || {
                    format!(
                        "the index has an id at position {seq}, where the journal has no receipt with it: if the journal was \
                         put back from a copy, remove the folder of ids while readhook is stopped"
                    )
                });
            }
            from = to + 1;
        }
        let newest = runs.last().map_or(self.forgotten, |run| run.last);
        let files = self.files.len();
        receipts.looked_at = format!("{count} receipts, positions {} to {}", self.forgotten + 1, self.head);
        ids.looked_at = match (self.head - newest).max(0) {
            _ if self.files.iter().any(|file| matches!(file, RunFile::Unverified)) => {
                "of an earlier version, without checksums; the next start makes them again".to_owned()
            }
            0 => format!("{in_runs} ids in {files} files, every one at its receipt"),
            later => format!(
                "{in_runs} ids in {files} files, every one at its receipt; the newest {later} are in no file yet (the service \
                 has them in memory, and a start reads them from the receipts)"
            ),
        };
        Ok((receipts, ids))
    }

    /// Whether files of ids are missing between others.
    fn gaps(&self, runs: &[&Run], problems: &mut Problems) {
        let mut covered = self.forgotten;
        for run in runs {
            if run.first > covered + 1 {
                problems.add("positions that are in no file of ids", || {
                    format!(
                        "positions {} to {} are in no file of ids, though later ones are; the next start reads them from the \
                         receipts",
                        covered + 1,
                        run.first - 1
                    )
                });
            }
            covered = covered.max(run.last);
        }
    }

    /// Positions never have gaps but where retention has been.
    fn missing(&self, from: Seq, to: Seq, problems: &mut Problems) -> rusqlite::Result<()> {
        if from > to {
            return Ok(());
        }
        let from = from.max(forgotten(&self.connection)? + 1);
        if from <= to {
            problems.add("stretches of missing receipts", || {
                format!("the receipts at positions {from} to {to} are missing; restore a backup to have them again")
            });
        }
        Ok(())
    }

    fn nothing_until(&self, behind: Seq, to: Seq) -> rusqlite::Result<bool> {
        let mut any = self
            .connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM receipts WHERE seq > ?1 AND seq <= ?2)")?;
        any.query_row([behind, to], |row| row.get(0)).map(|any: bool| !any)
    }

    /// Some receipts behind a position; `None` where there is no text.
    fn some(&self, behind: Seq) -> rusqlite::Result<Vec<(Seq, Option<String>)>> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT seq, json FROM receipts WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
        let rows = statement.query_map([behind, AT_ONCE], |row| Ok((row.get(0)?, text(row, 1)?)))?;
        rows.collect()
    }

    /// Every dead letter: that it is a receipt, and the one at its position. Every cursor: that it is not ahead of the journal.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn dead_letters(&self, mut step: impl FnMut(u64)) -> Result<Verified, OpenError> {
        let failed = |error: rusqlite::Error| sqlite(&self.path, &error);
        let mut verified = Verified::default();
        let (mut count, mut behind) = (0, (String::new(), Seq::MIN));
        loop {
            step(count);
            let read = self.letters(&behind).map_err(failed)?;
            let Some(last) = read.last() else { break };
            behind = (last.0.clone(), last.1);
            let head = open::head(&self.connection).map_err(failed)?;
            for (sink, seq, json, stored) in read {
                count += 1;
                let id = json.as_deref().and_then(id_in);
                if !json.as_deref().is_some_and(is_receipt) || id.is_none() || seq > head {
                    verified.problems.add("dead letters that are no receipts", || {
                        format!("the dead letter {seq} of sink {sink} is no receipt; discard it")
                    });
                } else if stored.is_some_and(|stored| id_in(&stored) != id) {
                    verified.problems.add("dead letters of other receipts", || {
                        format!("the dead letter {seq} of sink {sink} is not the receipt at that position")
                    });
                }
            }
        }
        let cursors = || {
            let mut statement = self.connection.prepare("SELECT sink, seq FROM cursors")?;
            statement
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<Vec<(String, Seq)>>>()
        };
        let cursors = cursors().map_err(failed)?;
        let head = open::head(&self.connection).map_err(failed)?;
        for (sink, seq) in cursors.iter().filter(|(_, seq)| *seq > head || *seq < 0) {
            verified.problems.add("cursors ahead of the journal", || {
                format!("sink {sink} is at position {seq}, ahead of the newest receipt {head}: it would leave out what comes next")
            });
        }
        verified.looked_at = format!("{count} dead letters, {} sinks", cursors.len());
        Ok(verified)
    }

    /// Some dead letters behind one, each with the receipt at its position, if that is still there.
    fn letters(&self, (sink, seq): &(String, Seq)) -> rusqlite::Result<Vec<Letter>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT d.sink, d.seq, d.json, r.json FROM dead_letters d LEFT JOIN receipts r ON r.seq = d.seq \
             WHERE (d.sink, d.seq) > (?1, ?2) ORDER BY d.sink, d.seq LIMIT ?3",
        )?;
        let rows = statement.query_map(rusqlite::params![sink, seq, AT_ONCE], |row| {
            Ok((row.get(0)?, row.get(1)?, text(row, 2)?, text(row, 3)?))
        })?;
        rows.collect()
    }
}

/// Sink, position, the letter and the receipt there.
type Letter = (String, Seq, Option<String>, Option<String>);

const MADE_AGAIN: &str = "nothing is lost: the service makes it again from the receipts when it reads it, and a start does (3 s a million)";

/// The ids that the files have for a stretch of positions.
struct Window {
    from: Seq,
    fingerprints: Vec<Option<std::num::NonZeroU64>>,
}

impl Window {
    fn new(from: Seq, to: Seq) -> Self {
        Self { from, fingerprints: vec![None; usize::try_from(to - from + 1).unwrap_or(0)] }
    }

    /// Takes what a run has for these positions. Whether all of it could be believed.
    fn fill(&mut self, run: &Run, head: Seq, problems: &mut Problems) -> bool {
        for item in run.items() {
            let (fingerprint, seq) = match item {
                Ok(item) => item,
                Err(damaged) => {
                    problems.add("damaged files of ids", || format!("{damaged}; {MADE_AGAIN}"));
                    return false;
                }
            };
            if seq < run.first || seq > run.last || seq > head {
                problems.add("entries of the index that point to no receipt", || {
                    format!(
                        "`{}` has an id at position {seq}, which it does not stand for",
                        run.path.display()
                    )
                });
            } else if let Some(place) = self.place(seq) {
                // A zero is one fingerprint in 2^64 and is not compared.
                *place = std::num::NonZeroU64::new(fingerprint);
            }
        }
        true
    }

    /// What was there for a position; it is then dealt with.
    fn take(&mut self, seq: Seq) -> Option<Fingerprint> {
        self.place(seq)?.take().map(std::num::NonZeroU64::get)
    }

    /// The positions that no receipt has asked for.
    fn left(&self) -> impl Iterator<Item = Seq> {
        (self.from..).zip(&self.fingerprints).filter(|(_, left)| left.is_some()).map(|(seq, _)| seq)
    }

    fn place(&mut self, seq: Seq) -> Option<&mut Option<std::num::NonZeroU64>> {
        self.fingerprints.get_mut(usize::try_from(seq - self.from).ok()?)
    }
}

fn is_receipt(json: &str) -> bool {
    serde_json::from_str::<ReadReceipt<'_>>(json).is_ok()
}

/// A column that should be text; `None` where it is not.
fn text(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Option<String>> {
    Ok(row.get_ref(at)?.as_str().ok().map(str::to_owned))
}

fn mark(connection: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    connection.query_row("SELECT value FROM marks WHERE name = ?1", [name], |row| row.get(0)).optional()
}

fn forgotten(connection: &Connection) -> rusqlite::Result<Seq> {
    Ok(mark(connection, PRUNED_MARK)?.unwrap_or(0))
}
