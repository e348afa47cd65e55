//! A reserve for a full disk: a file of zeros beside the journal, really allocated, that is given up when a write finds no space,
//! so that the journal goes on while somebody makes room. It is made in the background, slowly, and again when twice its size is
//! free.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::open::{beside, folder};
use crate::metrics::Metrics;

/// It is written in pieces, each synced and followed by a pause, because the journal's own syncs share the disk.
const PIECE: usize = 1 << 20;
const PAUSE: Duration = Duration::from_millis(25);
/// How often the free space is looked at while there is no reserve.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The reserve of one journal. Dropped, its thread ends and the file stays.
pub(super) struct Reserve {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    path: PathBuf,
    bytes: u64,
    metrics: Metrics,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Absent,
    Making,
    Held,
    Ended,
}

impl Reserve {
    /// Looks for the reserve of the journal at `journal` and begins to make it if it is not there; `None` where none is wanted.
    /// What goes wrong is logged and prevents nothing.
    pub(super) fn start(journal: &Path, bytes: u64, metrics: &Metrics) -> Option<Self> {
        let path = beside(journal, ".reserve");
        let there = fs::symlink_metadata(&path).ok();
        let is_whole = there.as_ref().is_some_and(|file| {
            file.is_file() && file.len() == bytes && file.blocks().saturating_mul(512) >= bytes
        });
        if there.is_some()
            && (bytes == 0 || !is_whole)
            && let Err(error) = fs::remove_file(&path)
        {
            tracing::warn!(%error, file = %path.display(), "an old reserve could not be removed");
        }
        if bytes == 0 {
            return None;
        }
        let state = if is_whole { State::Held } else { State::Absent };
        let shared = Arc::new(Shared {
            path,
            bytes,
            metrics: metrics.clone(),
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        shared.measure(is_whole);
        let thread = std::thread::Builder::new().name("reserve".to_owned()).spawn({
            let shared = shared.clone();
            move || shared.run()
        });
        match thread {
            Ok(thread) => Some(Self { shared, thread: Some(thread) }),
            Err(error) => {
                tracing::warn!(%error, "going on without a reserve for a full disk");
                None
            }
        }
    }

    /// Gives it up, if it is there or being made. Says whether there is more space now.
    pub(super) fn give_up(&self) -> bool {
        let mut state = self.shared.lock();
        if !matches!(*state, State::Held | State::Making) {
            return false;
        }
        let was_whole = *state == State::Held;
        *state = State::Absent;
        self.shared.measure(false);
        let path = &self.shared.path;
        // The space is free once the removal is on disk.
        let removed = fs::remove_file(path).and_then(|()| File::open(folder(path))?.sync_all());
        match removed {
            Ok(()) => {
                tracing::error!(
                    file = %path.display(),
                    bytes = if was_whole { self.shared.bytes } else { 0 },
                    "the journal's disk is full: its reserve was given up, and callbacks are accepted until that is used up; \
                     make room (it is made again when twice its size is free)"
                );
                true
            }
            Err(error) => {
                tracing::error!(%error, file = %path.display(), "the journal's disk is full, and its reserve could not be given up");
                false
            }
        }
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        *self.shared.lock() = State::Ended;
        self.shared.changed.notify_all();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that makes the journal's reserve ended in a panic");
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn measure(&self, is_held: bool) {
        self.metrics.journal_reserve_bytes.set(if is_held {
            i64::try_from(self.bytes).unwrap_or(i64::MAX)
        } else {
            0
        });
        self.metrics.journal_reserve_missing.set(i64::from(!is_held));
    }

    fn run(&self) {
        loop {
            if *self.lock() == State::Absent {
                self.try_to_make();
            }
            let state = self.lock();
            if *state == State::Ended {
                return;
            }
            drop(self.changed.wait_timeout(state, LOOK_EVERY));
        }
    }

    fn try_to_make(&self) {
        match free(folder(&self.path)) {
            Ok(free) if free >= self.bytes.saturating_mul(2) => {}
            // The folder comes with the journal.
            Ok(_) => return,
            Err(error) => {
                tracing::debug!(%error, "the free space of the journal's disk is not known");
                return;
            }
        }
        {
            let mut state = self.lock();
            if *state != State::Absent {
                return;
            }
            *state = State::Making;
        }
        let made = self.make();
        let mut state = self.lock();
        if *state != State::Making {
            return;
        }
        match made {
            Ok(()) => {
                *state = State::Held;
                self.measure(true);
                tracing::info!(file = %self.path.display(), bytes = self.bytes, "the journal has its reserve for a full disk");
            }
            Err(error) => {
                *state = State::Absent;
                // What is left of it would only take space.
                let _gone = fs::remove_file(&self.path);
                tracing::warn!(%error, file = %self.path.display(), "the journal's reserve could not be made; it is tried again");
            }
        }
    }

    /// Writes the file. Ends early, as if it were made, when it is given up or the service ends.
    fn make(&self) -> io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt;
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.path)?;
        let piece = vec![0; PIECE];
        let mut left = self.bytes;
        while left > 0 {
            let length = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            file.write_all(piece.get(..length).unwrap_or_default())?;
            file.sync_data()?;
            left -= length as u64;
            let state = self.lock();
            if *state != State::Making {
                return Ok(());
            }
            let (state, _) = self.changed.wait_timeout(state, PAUSE).unwrap_or_else(PoisonError::into_inner);
            if *state != State::Making {
                return Ok(());
            }
        }
        file.sync_all()?;
        File::open(folder(&self.path))?.sync_all()
    }
}

/// The bytes that are free for this user on the disk of a folder.
fn free(folder: &Path) -> io::Result<u64> {
    match rustix::fs::statvfs(folder) {
        Ok(disk) => Ok(disk.f_bavail.saturating_mul(disk.f_frsize)),
        Err(error) if io::Error::from(error).kind() == ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error.into()),
    }
}
