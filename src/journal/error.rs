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
    /// Its log holds something, which has to be moved into the file first, and another process has the log's index open.
    #[error("the log of the journal `{}` has to be moved into the file first, and process {process} has it open (an `export`, a `backup` \
             or a tool); wait for its end, or stop it", path.display())]
    Shared {
        /// The journal.
        path: PathBuf,
        /// Which process; 0 when that cannot be known.
        process: i32,
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
    /// It has a format that no readhook has written.
    #[error("the journal `{}` has format {found}, which no readhook writes: somebody else has changed it; restore a backup, or \
             give another journal.path (nothing was changed)", path.display())]
    Unknown {
        /// The journal.
        path: PathBuf,
        /// Its format.
        found: i64,
    },
    /// A journal cannot be kept there without loss.
    #[error("the journal `{}` {why}", path.display())]
    Unsafe {
        /// The journal.
        path: PathBuf,
        /// Why not.
        why: Hazard,
    },
    /// It is not there, or nothing is in it, and what lies beside it shows that it held receipts.
    #[error("the journal `{}` is {missing}, but beside it there is {found}: it was deleted, moved, emptied or not mounted, and to \
             begin with an empty journal would lose accepted receipts (nothing was changed). Either put the journal back \
             (the file itself, or `readhook restore BACKUP`), or move what is named here to another folder, to begin anew", path.display())]
    Missing {
        /// The journal.
        path: PathBuf,
        /// `missing` or `empty`.
        missing: &'static str,
        /// What is beside it.
        found: String,
    },
    /// A restore ended in its middle.
    #[error("a restore of the journal `{}` was interrupted; run `readhook restore BACKUP` again, which completes it", path.display())]
    Restoring {
        /// The journal.
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

/// Why a journal cannot be kept where it is configured.
#[derive(Debug, thiserror::Error)]
pub enum Hazard {
    /// A hard link: under each of its names it would have another log.
    #[error(
        "is one file under {0} names (hard links), and under each it would have a log of its own, so receipts would be lost; \
             keep one name and remove the others"
    )]
    Links(u64),
    /// A mount of the file alone: its log and its other files would lie elsewhere.
    #[error("is itself a mount point, so its log would lie outside of what is mounted; mount its folder")]
    MountPoint,
    /// A file system on which SQLite's log does not work.
    #[error(
        "lies on {0}, where SQLite's write-ahead log does not work and receipts would be lost; give it a local disk"
    )]
    Network(&'static str),
    /// A folder, a pipe, a device.
    #[error("is no regular file; give journal.path the path of a file")]
    NotAFile,
    /// A symbolic link into a folder that is not there.
    #[error("is a symbolic link to `{}`, whose folder does not exist; mount it, or create it", .0.display())]
    LinkToNowhere(PathBuf),
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
    /// It is not open: the disk was full or read-only at the start, or has failed. It is tried until it is.
    #[error("the journal is not open yet, or was closed after its disk failed; it is opened again by itself")]
    NotOpen,
    /// Too much is waiting for the disk already.
    #[error("too much is waiting for the journal")]
    Overloaded,
    /// It has been closed.
    #[error("the journal is closed")]
    Closed,
}
