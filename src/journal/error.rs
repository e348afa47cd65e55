//! What can go wrong with the journal, said so that its reader knows what to do.

use std::path::PathBuf;

/// The journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the journal `{}` is held by another process; stop that one, or give this one another journal.path", path.display())]
    Held {
        /// The journal.
        path: PathBuf,
    },
    /// A newer readhook wrote it.
    #[error("the journal `{}` has format {found}, this readhook knows formats up to {known}; run the newer readhook, or \
             restore a backup from before the upgrade", path.display())]
    Newer {
        /// The journal.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// It is some other database.
    #[error("`{}` is a database, but no readhook journal; give another journal.path (nothing was changed)", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Its bytes make no sense.
    #[error("the journal `{}` is damaged ({problem}); keep a copy of it and of its `-wal` file, then restore a backup, or move \
             both away to begin with an empty journal (nothing was changed)", path.display())]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// SQLite's words.
        problem: String,
    },
    /// The disk or its permissions.
    #[error("cannot open the journal `{}`", path.display())]
    Io {
        /// The journal.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// The journal could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk would not take it; nothing of it is stored, and it may be tried again.
    #[error("the journal could not be written: {0}")]
    Write(String),
    /// The file could not be read.
    #[error("the journal could not be read: {0}")]
    Read(String),
    /// Too much is waiting for the disk already.
    #[error("too much is waiting for the journal")]
    Overloaded,
    /// It has been closed.
    #[error("the journal is closed")]
    Closed,
}
