//! The journal's two files, held open by this process for as long as it has the journal: to sync them, and to notice that they
//! were deleted or replaced. The descriptors are opened once and closed after every connection, because closing any descriptor
//! of a file ends SQLite's own locks on it.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::open::{beside, folder};

/// The open files.
pub(super) struct HeldFiles {
    journal: Held,
    wal: Held,
    /// A second name was reported already.
    linked: AtomicBool,
}

struct Held {
    path: PathBuf,
    file: File,
}

/// A file is not where it was opened.
#[derive(Debug)]
pub(super) struct Moved {
    /// What is wrong, and how to save what this process still holds.
    pub(super) problem: String,
}

impl HeldFiles {
    /// Opens the files of a journal that SQLite has open already, so that both are there.
    ///
    /// # Errors
    /// When one is missing or cannot be read.
    pub(super) fn open(journal: &Path) -> io::Result<Self> {
        let hold = |path: PathBuf| File::open(&path).map(|file| Held { path, file });
        Ok(Self {
            journal: hold(journal.to_owned())?,
            wal: hold(beside(journal, "-wal"))?,
            linked: AtomicBool::new(false),
        })
    }

    /// The path of the main file.
    pub(super) fn path(&self) -> &Path {
        &self.journal.path
    }

    /// The path of the WAL.
    pub(super) fn wal_path(&self) -> &Path {
        &self.wal.path
    }

    /// Syncs the main file's pages.
    ///
    /// # Errors
    /// Every error means that pages may be lost.
    pub(super) fn sync_pages(&self) -> io::Result<()> {
        self.journal.file.sync_data()
    }

    /// Syncs both files and the folder that has their names. SQLite ignores a failed sync of the folder.
    ///
    /// # Errors
    /// With the file that could not be synced. Every error means that pages, or names, may be lost.
    pub(super) fn sync_all(&self) -> Result<(), (PathBuf, io::Error)> {
        for held in [&self.wal, &self.journal] {
            held.file.sync_all().map_err(|error| (held.path.clone(), error))?;
        }
        let folder = folder(&self.journal.path);
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| (folder.to_owned(), error))
    }

    /// Looks whether both files still are where they were opened: four system calls, after the sync of a commit and before its
    /// answers. Warns once when a file has got a second name.
    ///
    /// # Errors
    /// When a file was deleted, moved or replaced.
    pub(super) fn check(&self) -> Result<(), Moved> {
        for held in [&self.journal, &self.wal] {
            let links = held.links().map_err(|what| self.moved(held, &what))?;
            if links > 1 && !self.linked.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    file = %held.path.display(),
                    links,
                    "the journal's file has got another name (a hard link): remove that name, because a process that opens the \
                     journal by it would lose receipts; a copy is made by `readhook backup`"
                );
            }
        }
        Ok(())
    }

    fn moved(&self, held: &Held, what: &str) -> Moved {
        let id = std::process::id();
        let [journal, wal] = [&self.journal, &self.wal].map(|held| held.file.as_raw_fd());
        Moved {
            problem: format!(
                "`{}` {what} while readhook has it open. What was accepted so far is in the file that this process still \
                 holds: save it before the process ends, with `cp /proc/{id}/fd/{journal} saved.db && cp /proc/{id}/fd/{wal} \
                 saved.db-wal`; then stop readhook, put both files back as the journal and its -wal, and start it again",
                held.path.display()
            ),
        }
    }
}

impl Held {
    /// How many names the file has, if the path still is one of them.
    fn links(&self) -> Result<u64, String> {
        let held = self.file.metadata().map_err(|error| format!("cannot be looked at ({error})"))?;
        if held.nlink() == 0 {
            return Err("was deleted".to_owned());
        }
        let there = std::fs::metadata(&self.path);
        let there = there.map_err(|error| format!("was moved or deleted ({error})"))?;
        let is_same = |a: &Metadata, b: &Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
        if is_same(&held, &there) { Ok(held.nlink()) } else { Err("was replaced by another file".to_owned()) }
    }
}
