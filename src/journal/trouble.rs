//! What a failed write or sync of the journal means. After a failed sync Linux drops the pages, shows them as clean, and reports
//! the error once for each open descriptor: what can be read may not be on disk, and no later sync will say so. A disk that is
//! only full drops nothing.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use rusqlite::ffi;

/// How many bytes are written to find out whether the disk is full. More than a file system can store inside an inode.
const PROBE_BYTES: usize = 64 << 10;

/// Why something with the journal's files failed.
#[derive(Debug, Clone)]
pub(super) enum Trouble {
    /// No space (ENOSPC) or no quota (EDQUOT). Nothing else is wrong: it may be tried again.
    Full(String),
    /// The page cache cannot be believed from here on: every handle has to be closed, and the journal opened again.
    Fault(Fault),
    /// Anything else; the transaction has failed, the files are what they were.
    Other(String),
}

/// A failed sync, or a failed write that is not for lack of space.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    /// The file.
    pub(super) file: PathBuf,
    /// What SQLite or the system reported, with its code.
    pub(super) problem: String,
}

impl Fault {
    /// Of a sync that this program made itself.
    pub(super) fn sync(file: &Path, error: &io::Error) -> Self {
        Self { file: file.to_owned(), problem: format!("a sync failed: {error}") }
    }
}

impl Trouble {
    /// What an error of SQLite means, on a connection to a journal at `journal`; `file` is the one that was written to. To be
    /// asked at once: a part of the answer is the thread's `errno`.
    pub(super) fn of(error: &rusqlite::Error, journal: &Path, file: &Path) -> Self {
        let system = io::Error::last_os_error();
        let Some(code) = error.sqlite_error().map(|error| error.extended_code) else {
            return Self::Other(error.to_string());
        };
        match code {
            ffi::SQLITE_FULL => Self::Full(error.to_string()),
            // SQLite reports ENOSPC of a write as SQLITE_FULL and hides every other errno.
            ffi::SQLITE_IOERR_WRITE
            | ffi::SQLITE_IOERR_TRUNCATE
            | ffi::SQLITE_IOERR_SHMSIZE
            | ffi::SQLITE_IOERR_SHMMAP
                if is_full(&system) || probe(journal).is_err_and(|error| is_full(&error)) =>
            {
                Self::Full(format!("{error} (no space, or no quota)"))
            }
            ffi::SQLITE_IOERR_WRITE
            | ffi::SQLITE_IOERR_TRUNCATE
            | ffi::SQLITE_IOERR_SHMSIZE
            | ffi::SQLITE_IOERR_SHMMAP
            | ffi::SQLITE_IOERR_FSYNC
            | ffi::SQLITE_IOERR_DIR_FSYNC
            | ffi::SQLITE_IOERR_CLOSE => {
                let problem = format!("{error} (SQLite's code {code}; the system's last error: {system})");
                Self::Fault(Fault { file: file.to_owned(), problem })
            }
            _ => Self::Other(error.to_string()),
        }
    }

    /// For a log line and for whoever waited.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Full(problem) | Self::Other(problem) | Self::Fault(Fault { problem, .. }) => problem,
        }
    }
}

/// Whether the system says that there is no space, or none for this user.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Whether the system says that somebody has to make space, or to make the disk writable.
pub(super) fn is_full_or_read_only(error: &io::Error) -> bool {
    is_full(error) || error.kind() == ErrorKind::ReadOnlyFilesystem
}

/// Writes a small file beside the journal and removes it again.
///
/// # Errors
/// The system's, with its errno.
pub(super) fn probe(journal: &Path) -> io::Result<()> {
    let path = super::open::beside(journal, ".probe");
    let written = File::create(&path).and_then(|mut file| file.write_all(&vec![0x52; PROBE_BYTES]));
    let removed = fs::remove_file(&path);
    written.and(removed)
}
