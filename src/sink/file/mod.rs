//! Receipts at the end of a file, one JSON line each, fsynced before they count as delivered. What makes a repeat
//! harmless: the `id` in each line; after a crash, a failed sync or a rotation the last lines may stand there twice.
//!
//! The file is opened with `O_APPEND`, so that another program may shorten it. Before each batch, and again after its
//! sync, the open file is compared with the name: see `named.rs`.

mod named;

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;

use self::named::{Changed, Named, create_folder};
use super::lines::Lines;
use super::{BoxError, DeliverError, Sink};
use crate::journal::Stored;

/// A file of JSON lines.
pub(super) struct JsonLines {
    path: Arc<Path>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Opened with the first delivery, and again after an error, a rotation or a change from outside.
    file: Option<Named>,
    /// An operator may have moved the file away: it is compared with its name and opened again.
    reopen: bool,
    lines: Lines,
}

impl JsonLines {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path: path.into(), state: Arc::default() }
    }
}

#[async_trait]
impl Sink for JsonLines {
    async fn deliver(&self, batch: &[Stored]) -> Result<(), DeliverError> {
        let path = self.path.clone();
        let mut state = self.state.clone().lock_owned().await;
        state.lines.fill(batch);
        match tokio::task::spawn_blocking(move || state.write(&path)).await {
            Ok(written) => written,
            Err(panicked) => Err(DeliverError::retry(panicked)),
        }
    }

    async fn reopen(&self) {
        self.state.lock().await.reopen = true;
    }

    async fn probe(&self) -> Result<(), BoxError> {
        let existed = self.path.exists();
        create_folder(&self.path)?;
        OpenOptions::new().append(true).create(true).open(&self.path)?;
        if !existed {
            std::fs::remove_file(&self.path)?;
        }
        Ok(())
    }
}

impl State {
    /// Appends the lines and syncs them. `Ok` when the bytes are in the file that has the name now.
    fn write(&mut self, path: &Path) -> Result<(), DeliverError> {
        // Taken out first: after an error the file is opened again and its end looked at, because nobody knows what it
        // holds.
        let kept = match self.file.take() {
            Some(file) => match file.compare(path).map_err(DeliverError::retry)? {
                Changed::No if !self.reopen => Some(file),
                Changed::No => None,
                Changed::Moved | Changed::Longer => {
                    tracing::info!(path = %path.display(), "the file was moved or written by others; it is opened again");
                    None
                }
                Changed::Shortened(lost) => return Err(lost.into_error()),
            },
            None => None,
        };
        self.reopen = false;
        let mut file = match kept {
            Some(file) => file,
            None => Named::open(path).map_err(DeliverError::retry)?,
        };
        let length = self.lines.length();
        file.append(length, |end| self.lines.write(end)).map_err(DeliverError::retry)?;
        match file.compare(path).map_err(DeliverError::retry)? {
            Changed::No => self.file = Some(file),
            // Others have written behind us: it is opened again, but our bytes are there.
            Changed::Longer => {}
            Changed::Moved => {
                let why = "the file was moved away while a batch was written; the batch is written again";
                return Err(DeliverError::retry(why));
            }
            Changed::Shortened(lost) => return Err(lost.into_error()),
        }
        Ok(())
    }
}
