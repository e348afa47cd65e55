//! Receipts at the end of a file, one JSON line each, fsynced before they count as delivered. What makes a repeat
//! harmless: the `id` in each line; after a crash the last lines may stand there twice, never in part.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;

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
    /// Opened with the first delivery, and again after an error or a rotation.
    file: Option<File>,
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
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(DeliverError::retry(error)),
            Err(panicked) => Err(DeliverError::retry(panicked)),
        }
    }

    async fn reopen(&self) {
        self.state.lock().await.file = None;
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
    fn write(&mut self, path: &Path) -> std::io::Result<()> {
        // Taken out first: after a failed write or fsync nobody knows what the file holds, so it is opened anew and its
        // end looked at.
        let mut file = match self.file.take() {
            Some(file) => file,
            None => open(path)?,
        };
        self.lines.write(&mut file)?;
        file.sync_data()?;
        self.file = Some(file);
        Ok(())
    }
}

fn create_folder(path: &Path) -> std::io::Result<&Path> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    Ok(folder)
}

/// Opens the file at its end, behind the last whole line: what a crash left of a line was never acknowledged and will
/// come again.
fn open(path: &Path) -> std::io::Result<File> {
    let folder = create_folder(path)?;
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let end = end_of_last_line(&mut file)?;
    if end < file.metadata()?.len() {
        let mut first = [0];
        file.seek(SeekFrom::Start(end))?;
        file.read_exact(&mut first)?;
        if first != *b"{" {
            let problem = format!(
                "`{}` ends in something that is no receipt; give the sink a file of its own",
                path.display()
            );
            return Err(std::io::Error::other(problem));
        }
        tracing::warn!(path = %path.display(), "cut off half a line that a crash had left at the end of the file");
        file.set_len(end)?;
    }
    file.seek(SeekFrom::Start(end))?;
    // The name of a new file is safe only once its folder is.
    File::open(folder)?.sync_all()?;
    Ok(file)
}

fn end_of_last_line(file: &mut File) -> std::io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut block = [0; 4096];
    while end > 0 {
        let from = end.saturating_sub(block.len() as u64);
        let length = usize::try_from(end - from).unwrap_or(block.len());
        file.seek(SeekFrom::Start(from))?;
        let Some(read) = block.get_mut(..length) else {
            break;
        };
        file.read_exact(read)?;
        if let Some(newline) = read.iter().rposition(|&byte| byte == b'\n') {
            return Ok(from + newline as u64 + 1);
        }
        end = from;
    }
    Ok(0)
}
