//! Makes the index from the journal: the runs that can be believed, and the receipts behind them. At a start when little is
//! missing, otherwise on a thread of its own while the service runs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::super::entry::id_in;
use super::super::recovery::leave_wal_alone;
use super::super::{PRUNED_MARK, Seq, open};
use super::index::Index;
use super::{Fingerprint, folder_of, recovery};
use crate::metrics::Metrics;
use crate::receipt::ReceiptId;

/// How long it rests when the journal could not be read.
const REST: Duration = Duration::from_secs(1);
/// So many receipts are read in one go: a snapshot that is held for long keeps the WAL from beginning anew.
const AT_ONCE: Seq = 4_096;

/// What an index is made of.
pub(super) struct Source {
    journal: PathBuf,
    metrics: Metrics,
}

impl Source {
    pub(super) fn new(journal: &Path, metrics: &Metrics) -> Self {
        Self { journal: journal.to_owned(), metrics: metrics.clone() }
    }

    /// How many receipts are in no run that can be believed.
    ///
    /// # Errors
    /// When the folder cannot be made, read or tidied, or the journal cannot be read.
    pub(super) fn missing(&self, connection: &Connection) -> io::Result<Seq> {
        let head = open::head(connection).map_err(io::Error::other)?;
        let (_, covered, _) = self.recover(connection)?;
        Ok(head - covered)
    }

    /// Makes the index. Gives up when `stop` says so.
    ///
    /// # Errors
    /// As [`Source::missing`]; when a run turns out to be damaged while others are merged; and when it was stopped.
    pub(super) fn index(&self, connection: &Connection, stop: Option<&AtomicBool>) -> io::Result<Index> {
        let (runs, covered, forgotten) = self.recover(connection)?;
        let mut index = Index::start(folder_of(&self.journal), runs, covered, forgotten)?;
        let mut behind = covered;
        loop {
            if stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
                return Err(io::Error::from(io::ErrorKind::Interrupted));
            }
            let read = read(connection, behind, &mut index).map_err(io::Error::other)?;
            let Some(last) = read else { return Ok(index) };
            behind = last;
            if index.committed(last) {
                index.wait_for_room().map_err(|damaged| {
                    // The next try removes what cannot be opened; this one could be, so it is removed here.
                    let _gone = fs::remove_file(&damaged.path);
                    io::Error::other(damaged)
                })?;
            }
        }
    }

    /// The runs that fit, up to where they reach, and what retention has forgotten.
    fn recover(&self, connection: &Connection) -> io::Result<(Vec<Arc<super::run::Run>>, Seq, Seq)> {
        let folder = folder_of(&self.journal);
        fs::create_dir_all(&folder)?;
        let head = open::head(connection).map_err(io::Error::other)?;
        let forgotten: Option<Seq> = connection
            .query_row("SELECT value FROM marks WHERE name = ?1", [PRUNED_MARK], |row| row.get(0))
            .optional()
            .map_err(io::Error::other)?;
        let forgotten = forgotten.unwrap_or(0);
        let fingerprint_at = |seq: Seq| fingerprint_at(connection, seq).map_err(io::Error::other);
        let (runs, covered) = recovery::recover(&folder, head, forgotten, &self.metrics, fingerprint_at)?;
        Ok((runs, covered, forgotten))
    }
}

/// Adds the ids of some receipts behind a position. Gives the last position; `None` when there was none.
fn read(connection: &Connection, behind: Seq, index: &mut Index) -> rusqlite::Result<Option<Seq>> {
    let mut statement =
        connection.prepare_cached("SELECT seq, json FROM receipts WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
    let mut rows = statement.query([behind, AT_ONCE])?;
    let mut last = None;
    while let Some(row) = rows.next()? {
        let seq = row.get(0)?;
        // What is no text is no receipt, and has no id.
        if let Some(fingerprint) = row.get_ref(1)?.as_str().ok().and_then(fingerprint_in) {
            index.add(fingerprint, seq);
        }
        last = Some(seq);
    }
    Ok(last)
}

fn fingerprint_at(connection: &Connection, seq: Seq) -> rusqlite::Result<Option<Fingerprint>> {
    let json = connection.query_row("SELECT json FROM receipts WHERE seq = ?1", [seq], |row| row.get(0));
    let json: Option<String> = json.optional()?;
    Ok(json.as_deref().and_then(fingerprint_in))
}

pub(in super::super) fn fingerprint_in(json: &str) -> Option<Fingerprint> {
    id_in(json).map(ReceiptId::fingerprint)
}

/// The thread that makes an index, and where it comes when it is whole. Dropped, it stops.
pub(super) struct Rebuild {
    stop: Arc<AtomicBool>,
    done: Receiver<Box<Index>>,
    thread: Option<JoinHandle<()>>,
}

impl Rebuild {
    /// Begins. With `damaged`, the index that there was ends first, and the file that cannot be believed is removed.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub(super) fn start(source: Source, damaged: Option<(Box<Index>, PathBuf)>) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (sender, done) = channel();
        source.metrics.ids_rebuilding.set(1);
        let stopped = stop.clone();
        let thread = std::thread::Builder::new().name("ids rebuild".to_owned()).spawn(move || {
            let begun = Instant::now();
            let damaged = damaged.map(|(index, path)| {
                drop(index);
                path
            });
            while !stopped.load(Ordering::Relaxed) {
                match rebuild(&source, damaged.as_deref(), &stopped) {
                    Ok(index) => {
                        tracing::info!(
                            seconds = begun.elapsed().as_secs_f64(),
                            "the index of the journal's ids is whole"
                        );
                        // Who has gone needs it no more.
                        let _gone = sender.send(Box::new(index));
                        return;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => return,
                    Err(error) => {
                        tracing::error!(%error, "the index of ids could not be made again; trying once more");
                        rest(&stopped);
                    }
                }
            }
        })?;
        Ok(Self { stop, done, thread: Some(thread) })
    }

    /// The index, once it is whole.
    pub(super) fn ended(&mut self) -> Option<Box<Index>> {
        self.done.try_recv().ok()
    }
}

impl Drop for Rebuild {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that makes the index of ids again ended in a panic");
        }
    }
}

fn rebuild(source: &Source, damaged: Option<&Path>, stop: &AtomicBool) -> io::Result<Index> {
    if let Some(path) = damaged {
        match fs::remove_file(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let connection = Connection::open_with_flags(&source.journal, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .map_err(io::Error::other)?;
    leave_wal_alone(&connection).map_err(io::Error::other)?;
    connection.busy_timeout(Duration::from_secs(5)).map_err(io::Error::other)?;
    // What is read in order is not read again.
    connection.pragma_update(None, "cache_size", -256).map_err(io::Error::other)?;
    source.index(&connection, Some(stop))
}

fn rest(stop: &AtomicBool) {
    let until = Instant::now() + REST;
    while Instant::now() < until && !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(20));
    }
}
