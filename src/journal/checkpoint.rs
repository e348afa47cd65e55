//! Moves committed pages from the WAL into the main file. Nothing else does while the journal is open: SQLite's automatic
//! checkpoints, and those at the end of a connection, are off, because SQLite discards what comes of them.
//!
//! A thread does most of it beside the writer: a commit that had to do it would make everybody wait for tens of milliseconds.
//! What arrives meanwhile stays in the WAL, so that the thread may never find it all moved. So beyond a certain size the writer
//! does the rest between two of its turns, finds little left, and SQLite begins the WAL anew.
//!
//! SQLite begins a WAL anew only after a checkpoint that moved everything and whose sync of the main file succeeded. But it
//! counts frames as moved before that sync when more has been appended meanwhile. So every result and every sync is looked
//! at; after the first that failed nothing is moved any more, and the journal is opened again with a WAL index that counts
//! nothing as moved.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::mpsc::WeakSender;

use super::OpenError;
use super::held::HeldFiles;
use super::job::Job;
use super::open::sqlite;
use super::recovery::leave_wal_alone;
use super::trouble::{Fault, Trouble};

/// After so many bytes of receipts it is time to move pages; about a quarter of what makes the writer do it.
const EVERY_BYTES: usize = 2 << 20;
/// Pages in the WAL from which on the writer moves what is left: few enough that this is short, enough that pages that many
/// commits touch are moved once.
const WRITER_MOVES_PAGES: u32 = 2_000;
/// When a reader keeps the WAL from beginning anew, the writer tries again after so many more pages.
const TRY_AGAIN_PAGES: u32 = 250;

/// The writer's end: counts, pokes, and moves the rest.
pub(super) struct Checkpoints {
    mover: Arc<Mover>,
    poke: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    bytes: usize,
    /// How many pages the WAL had after the last commit, by the writer's connection.
    pages: Arc<AtomicU32>,
    due_pages: u32,
}

/// What moves pages, for one at a time.
struct Mover {
    connection: Mutex<Connection>,
    held: Arc<HeldFiles>,
    /// The first failure that means that the page cache cannot be believed.
    fault: Mutex<Option<Fault>>,
    faulty: AtomicBool,
    /// There was no space for the main file to grow.
    full: AtomicBool,
    writer: WeakSender<Job>,
}

impl Checkpoints {
    /// Starts the thread with a connection of its own. `pages` is kept by the writer's connection.
    pub(super) fn start(
        held: Arc<HeldFiles>,
        pages: Arc<AtomicU32>,
        writer: WeakSender<Job>,
    ) -> Result<Self, OpenError> {
        let path: PathBuf = held.path().to_owned();
        let open = || {
            let connection = Connection::open(&path)?;
            leave_wal_alone(&connection)?;
            connection.busy_timeout(Duration::ZERO)?;
            rusqlite::Result::Ok(connection)
        };
        let mover = Arc::new(Mover {
            connection: Mutex::new(open().map_err(|error| sqlite(&path, &error))?),
            held,
            fault: Mutex::default(),
            faulty: AtomicBool::new(false),
            full: AtomicBool::new(false),
            writer,
        });
        // One poke may wait; a second would ask for what the first will do.
        let (poke, pokes) = sync_channel(1);
        let thread = std::thread::Builder::new().name("checkpoint".to_owned()).spawn({
            let mover = mover.clone();
            move || run(&mover, &pokes)
        });
        let thread = thread.map_err(|source| OpenError::Io { path, source })?;
        Ok(Self {
            mover,
            poke: Some(poke),
            thread: Some(thread),
            bytes: 0,
            pages,
            due_pages: WRITER_MOVES_PAGES,
        })
    }

    /// Counts what has been committed, and has pages moved when it is time.
    pub(super) fn committed(&mut self, bytes: usize) {
        self.bytes += bytes;
        if self.bytes >= EVERY_BYTES {
            self.bytes = 0;
            self.poke();
        }
    }

    /// Between two turns of the writer: moves the rest of a WAL that has become large, unless the thread is just at it.
    pub(super) fn between_turns(&mut self) {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < WRITER_MOVES_PAGES {
            self.due_pages = WRITER_MOVES_PAGES;
        } else if pages >= self.due_pages {
            let connection = match self.mover.connection.try_lock() {
                Ok(connection) => connection,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            self.mover.move_pages(&connection, true);
            // If nothing keeps it, the next commit begins the WAL anew.
            self.due_pages = pages.saturating_add(TRY_AGAIN_PAGES);
        }
    }

    /// The failure after which the journal has to be opened again.
    pub(super) fn fault(&self) -> Option<Fault> {
        if !self.mover.faulty.load(Ordering::Acquire) {
            return None;
        }
        self.mover.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether pages could not be moved for lack of space, since this was last asked.
    pub(super) fn was_full(&self) -> bool {
        self.mover.full.load(Ordering::Relaxed) && self.mover.full.swap(false, Ordering::Relaxed)
    }

    fn poke(&self) {
        if let Some(poke) = &self.poke {
            match poke.try_send(()) {
                Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
            }
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.poke = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the journal's checkpoints ended in a panic");
        }
    }
}

fn run(mover: &Mover, pokes: &Receiver<()>) {
    while pokes.recv().is_ok() {
        let connection = mover.connection.lock().unwrap_or_else(PoisonError::into_inner);
        mover.move_pages(&connection, false);
    }
}

impl Mover {
    /// Moves what can be moved, waiting for nobody. `alone` says that nothing is appended meanwhile.
    fn move_pages(&self, connection: &Connection, alone: bool) {
        if self.faulty.load(Ordering::Acquire) {
            return;
        }
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let result = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], row);
        let (busy, log, moved): (i64, i64, i64) = match result {
            Ok(result) => result,
            Err(error) => {
                self.failed(Trouble::of(&error, self.held.path(), self.held.path()));
                return;
            }
        };
        if busy != 0 || log < 0 {
            // Another process moves pages, with SQLite's own tool perhaps.
            tracing::warn!(busy, log, moved, "a checkpoint of the journal could not begin");
            return;
        }
        // If nothing was appended meanwhile and everything is moved, SQLite has synced the file itself and was successful.
        let synced = alone && moved == log;
        if !synced && let Err(error) = self.held.sync_pages() {
            self.failed(Trouble::Fault(Fault::sync(self.held.path(), &error)));
        }
    }

    fn failed(&self, trouble: Trouble) {
        match trouble {
            Trouble::Fault(fault) => {
                *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
                self.faulty.store(true, Ordering::Release);
            }
            Trouble::Full(_) => self.full.store(true, Ordering::Relaxed),
            Trouble::Other(error) => {
                tracing::warn!(%error, "a checkpoint of the journal failed; it is tried again");
                return;
            }
        }
        // The writer may sleep. If its queue is full it does not.
        if let Some(writer) = self.writer.upgrade() {
            let _full = writer.try_send(Job::Look);
        }
    }
}

/// Keeps count of the WAL's pages, by the connection that commits.
pub(super) fn count_pages(connection: &mut Connection) -> rusqlite::Result<Arc<AtomicU32>> {
    let pages = Arc::new(AtomicU32::new(0));
    let counted = pages.clone();
    connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, count: std::ffi::c_int| {
        counted.store(u32::try_from(count).unwrap_or(0), Ordering::Relaxed);
        Ok(())
    }))?;
    Ok(pages)
}
