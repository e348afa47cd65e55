//! One process at a time: SQLite would let two write in turns, and each would count on its own. The lock is on the
//! journal's file itself, so a second name of it, a removed or a renamed lock file let nobody in. A lock file beside it
//! keeps out readhook 0.1.0, which knows no other lock, and whoever cannot lock the file itself: on a file system
//! where `flock` and SQLite's own POSIX locks may be one and the same.

use std::fs::{File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use super::OpenError;
use super::location::Location;
use super::side_files;
use crate::files::{beside, folder, open_private, sync_folder};

/// The lock file is called like the journal, with this behind it.
const SUFFIX: &str = ".lock";
/// A process that has just been told to end may take so long to let go.
const PATIENCE: Duration = Duration::from_secs(1);
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(20);

/// The right to open a journal for writing. Held until dropped.
///
/// It holds a descriptor of the journal's file, and closing any descriptor of a file ends SQLite's own locks on it in the
/// whole process. So whoever has a connection to the journal keeps the lock (in an `Arc`) for longer than the
/// connection.
#[derive(Debug)]
pub(super) struct Lock {
    location: Location,
    /// The journal's file, which exists from here on. Its lock is `flock`'s where that is safe.
    file: File,
    _lock_files: Vec<File>,
}

impl Lock {
    /// Creates the folder and the file where they are missing, and locks the file. Waits a second for a process that is
    /// ending. The name of a new file is durable when this returns.
    ///
    /// # Errors
    /// When another process has the journal, when a journal cannot be kept there, when a journal is missing beside files that
    /// show that there was one, or the disk would not take it.
    pub(super) fn take(configured: &Path) -> Result<Self, OpenError> {
        let io = |source| OpenError::Io { path: configured.to_owned(), source };
        std::fs::create_dir_all(folder(configured)).map_err(io)?;
        let location = Location::find(configured)?;
        let lock_files = lock_files(&location, Some(Instant::now() + PATIENCE))?;
        // Examined again: until now somebody else may have been at work.
        let location = Location { warnings: location.warnings, ..Location::find(configured)? };
        side_files::examine(&location)?;
        side_files::take_over(&location);
        let is_new = !location.path.exists();
        let file = open_private(&location.path).map_err(io)?;
        if location.lockable {
            lock(&file, configured, Some(Instant::now() + PATIENCE))?;
        }
        if file.metadata().map_err(io)?.len() == 0 {
            // Whoever has made the empty file, from here on it holds who has read what.
            file.set_permissions(Permissions::from_mode(0o600)).map_err(io)?;
        }
        let lock = Self { location, file, _lock_files: lock_files };
        lock.verify()?;
        if is_new {
            sync_folder(folder(&lock.location.path)).map_err(io)?;
        }
        Ok(lock)
    }

    /// Where the journal lies.
    pub(super) fn location(&self) -> &Location {
        &self.location
    }

    /// What the file is at this moment, by its descriptor.
    pub(super) fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// Whether the journal's path still leads to the file that is locked, under this one name.
    ///
    /// # Errors
    /// When it does not, or the file has got a second name.
    pub(super) fn verify(&self) -> Result<(), OpenError> {
        let io = |source| OpenError::Io { path: self.location.configured.clone(), source };
        let held = self.metadata().map_err(io)?;
        let named = std::fs::symlink_metadata(&self.location.path).map_err(io)?;
        if (held.dev(), held.ino()) != (named.dev(), named.ino()) {
            return Err(io(io::Error::other("it was replaced by another file meanwhile")));
        }
        self.location.examine(&named)
    }
}

/// Takes every lock on a journal that may be missing, empty or damaged, and gives what holds them; the journal itself is not
/// created. Waits as [`Lock::take`] does.
///
/// # Errors
/// When another process has it, or the disk would not take a lock file.
pub(super) fn take_all(location: &Location) -> Result<Vec<File>, OpenError> {
    let until = Some(Instant::now() + PATIENCE);
    let mut files = lock_files(location, until)?;
    if location.lockable && location.path.exists() {
        let io = |source| OpenError::Io { path: location.configured.clone(), source };
        let file = File::open(&location.path).map_err(io)?;
        lock(&file, &location.configured, until)?;
        files.push(file);
    }
    Ok(files)
}

/// Whether another process has the journal. Creates nothing.
pub(super) fn is_held(location: &Location) -> Result<bool, OpenError> {
    let held = |result: Result<(), OpenError>| match result {
        Ok(()) => Ok(false),
        Err(OpenError::Held { .. }) => Ok(true),
        Err(error) => Err(error),
    };
    let paths = lock_paths(location);
    for path in paths.iter().filter(|path| path.exists()) {
        let file = open_lock_file(path, location)?;
        if held(lock(&file, &location.configured, None))? {
            return Ok(true);
        }
    }
    // Now this process has no connection to it, whose locks would end with the handle.
    if !location.lockable || !location.path.exists() {
        return Ok(false);
    }
    let io = |source| OpenError::Io { path: location.configured.clone(), source };
    let file = File::open(&location.path).map_err(io)?;
    held(lock(&file, &location.configured, None))
}

/// The lock file beside the journal, and the one beside a link to it, where readhook 0.1.0 has its own.
fn lock_paths(location: &Location) -> Vec<std::path::PathBuf> {
    let mut paths = vec![beside(&location.path, SUFFIX)];
    let configured = beside(&location.configured, SUFFIX);
    if super::location::resolve(&configured).is_ok_and(|path| Some(&path) != paths.first()) {
        paths.push(configured);
    }
    paths
}

fn lock_files(location: &Location, until: Option<Instant>) -> Result<Vec<File>, OpenError> {
    let take = |path: std::path::PathBuf| {
        let file = open_lock_file(&path, location)?;
        lock(&file, &location.configured, until)?;
        Ok(file)
    };
    lock_paths(location).into_iter().map(take).collect()
}

fn open_lock_file(path: &Path, location: &Location) -> Result<File, OpenError> {
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).mode(0o600).open(path);
    file.map_err(|source| OpenError::Io { path: location.configured.clone(), source })
}

/// Locks a file, and waits for that until the moment given.
fn lock(file: &File, journal: &Path, until: Option<Instant>) -> Result<(), OpenError> {
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if until.is_some_and(|until| Instant::now() < until) => {
                std::thread::sleep(BETWEEN_ATTEMPTS);
            }
            Err(TryLockError::WouldBlock) => return Err(OpenError::Held { path: journal.to_owned() }),
            Err(TryLockError::Error(source)) => {
                return Err(OpenError::Io { path: journal.to_owned(), source });
            }
        }
    }
}
