//! Moves committed pages from the WAL into the main file, beside the writer and not in it: a commit that had to do it
//! would make everybody wait for tens of milliseconds. What arrives while this is at work stays for the writer, whose
//! own checkpoint then finds little left to move and begins the WAL anew.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

/// After so many bytes of receipts it is time to move pages; about a quarter of what makes the writer do it.
const EVERY_BYTES: usize = 2 << 20;

/// The writer's end: counts, and pokes.
pub(super) struct Checkpoints {
    poke: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    bytes: usize,
}

impl Checkpoints {
    /// Starts the thread with a connection of its own.
    pub(super) fn start(path: &Path, file: Arc<File>) -> std::io::Result<Self> {
        let connection = Connection::open(path).map_err(std::io::Error::other)?;
        connection.busy_timeout(Duration::ZERO).map_err(std::io::Error::other)?;
        // One poke may wait; a second would ask for what the first will do.
        let (poke, pokes) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn(move || run(&connection, &file, &pokes))?;
        Ok(Self { poke: Some(poke), thread: Some(thread), bytes: 0 })
    }

    /// Tells how much has been committed.
    pub(super) fn committed(&mut self, bytes: usize) {
        self.bytes += bytes;
        if self.bytes < EVERY_BYTES {
            return;
        }
        self.bytes = 0;
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

fn run(connection: &Connection, file: &File, pokes: &Receiver<()>) {
    while pokes.recv().is_ok() {
        // PASSIVE waits for nobody and nobody for it. If it fails, the writer's own will tell.
        let moved = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        // SQLite syncs the file only with the checkpoint that has moved everything. That is the writer's, mostly, which
        // would then wait for all the pages that were moved here.
        let synced = file.sync_data();
        if let Some(error) =
            moved.err().map(|error| error.to_string()).or(synced.err().map(|error| error.to_string()))
        {
            tracing::debug!(%error, "a checkpoint of the journal failed");
        }
    }
}
