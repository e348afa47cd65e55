//! Puts a backup in the place of a journal. The old journal is kept whole in a folder of its own. However the process ends, what
//! is there afterwards is the old journal, the new one, or a state that every start refuses and the next restore completes:
//!
//! 1. The backup is copied to `.restore.part`, checked and synced. Until here the old journal is untouched.
//! 2. The copy is renamed to `.restore`. From here on no start takes place.
//! 3. The files of the old journal are moved into the folder `.before-restore`.
//! 4. `.restore` is renamed to the journal. From here on the new journal is whole and alone.
//! 5. The folder gets a name with the time.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::location::Location;
use super::open::{IDS, head, recognise, sqlite};
use super::recovery::leave_wal_alone;
use super::side_files::{RESTORING, STATE};
use super::{Hazard, IDENTITY_MARK, OpenError, Seq, lock};
use crate::files::{DATABASE, beside, folder, open_private, sync_folder};
use crate::receipt::Timestamp;

/// So many bytes of the copy may wait for the disk.
const SYNC_EVERY_BYTES: u64 = 8 << 20;
/// The folder for the old journal while it is being moved there.
const ASIDE: &str = ".before-restore";

/// A backup cannot be put in place.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It is the journal that would be replaced.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// A sound journal with receipts is there.
    #[error(
        "there is a journal `{}` already, with receipts up to position {newest}; with --force it is moved to a folder beside it \
         and the backup takes its place (nothing was changed)", path.display()
    )]
    Exists {
        /// The journal.
        path: PathBuf,
        /// Its newest position.
        newest: Seq,
    },
    /// It is no backup that this program can restore.
    #[error("the backup `{}` cannot be restored: {problem} (nothing was changed)", path.display())]
    Unfit {
        /// The backup.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// The disk or its permissions.
    #[error("cannot restore to `{}`", path.display())]
    Io {
        /// The journal.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// What is in place now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// How many receipts.
    pub receipts: u64,
    /// The newest position that was ever given out.
    pub head: Seq,
    /// The folder with the old journal, if there was one.
    pub aside: Option<PathBuf>,
}

/// Puts a backup in the place of a journal, and keeps the old journal. Everything is durable when this returns. The quarantine
/// stays where it is: it is no part of a backup. `copied` is called with how many bytes have been copied, and how many there are.
///
/// # Errors
/// When a process has the journal or the backup, when the backup is damaged or no journal that this program can read, when a
/// sound journal with receipts is in its place and `replace` is false, or the disk would not take it.
pub fn restore(
    journal: &Path,
    backup: &Path,
    replace: bool,
    at: Timestamp,
    copied: impl FnMut(u64, u64),
) -> Result<Restored, RestoreError> {
    let io = |source| RestoreError::Io { path: journal.to_owned(), source };
    let found = std::fs::metadata(backup).map_err(|error| unfit(backup, &error.to_string()))?;
    std::fs::create_dir_all(folder(journal)).map_err(io)?;
    let location = Location::find(journal)?;
    let owner = std::fs::metadata(&location.path).or_else(|_| std::fs::metadata(folder(&location.path)));
    let owner = owner.map_err(io)?;
    let locks = lock::take_all(&location)?;
    check_backup(backup, &found, &location)?;
    let is_resumed = beside(&location.path, RESTORING).symlink_metadata().is_ok();
    if !replace
        && !is_resumed
        && let Some(newest) = newest(&location)
    {
        return Err(RestoreError::Exists { path: journal.to_owned(), newest });
    }
    let part = Part(beside(&location.path, ".restore.part"));
    part.remove().map_err(io)?;
    part.copy(backup, copied).map_err(io)?;
    let (receipts, newest) = part.check(backup)?;
    let whole = File::open(&part.0).map_err(io)?;
    whole.sync_all().map_err(io)?;
    for file in locks.iter().chain([&whole]) {
        give_to(file, &owner);
    }
    let aside = exchange(&location, &part, is_resumed, at).map_err(io)?;
    Ok(Restored { receipts, head: newest, aside })
}

fn unfit(backup: &Path, problem: &str) -> RestoreError {
    RestoreError::Unfit { path: backup.to_owned(), problem: problem.to_owned() }
}

/// Root restores for the user that readhook runs as. Who is not root has that user's files only.
fn give_to(file: &File, owner: &Metadata) {
    let differs = file.metadata().is_ok_and(|file| (file.uid(), file.gid()) != (owner.uid(), owner.gid()));
    if differs && let Err(error) = std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid())) {
        tracing::warn!(%error, "a restored file does not belong to the owner of the journal's folder");
    }
}

/// Whether the file can be copied: a plain file, not the journal itself, and in nobody's hands.
fn check_backup(backup: &Path, found: &Metadata, journal: &Location) -> Result<(), RestoreError> {
    if !found.is_file() || found.len() == 0 {
        return Err(unfit(backup, "it is no file, or empty"));
    }
    let same = std::fs::metadata(&journal.path)
        .is_ok_and(|journal| (journal.dev(), journal.ino()) == (found.dev(), found.ino()));
    if same {
        return Err(unfit(backup, "it is the journal itself"));
    }
    match Location::find(backup) {
        Ok(location) if lock::is_held(&location)? => {
            Err(unfit(backup, "a running process has it; copy it with `readhook backup` first"))
        }
        Ok(_) => Ok(()),
        // A backup may lie where a journal may not.
        Err(OpenError::Unsafe {
            why: Hazard::Network(_) | Hazard::MountPoint | Hazard::Links(_), ..
        }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The newest position of a journal that can be read and has ever held a receipt.
fn newest(location: &Location) -> Option<Seq> {
    let file = std::fs::metadata(&location.path).ok().filter(|file| file.len() > 0);
    let connection = file.and_then(|_| Connection::open(&location.path).ok())?;
    leave_wal_alone(&connection).ok()?;
    recognise(&location.configured, &connection).ok()?;
    head(&connection).ok().filter(|newest| *newest > 0)
}

/// The copy. Dropped, nothing is left of it unless it has become the journal.
struct Part(PathBuf);

impl Part {
    fn remove(&self) -> io::Result<()> {
        for suffix in DATABASE {
            match std::fs::remove_file(beside(&self.0, suffix)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Copies the file, and a log beside it: whoever copied a journal by hand has one.
    fn copy(&self, backup: &Path, mut copied: impl FnMut(u64, u64)) -> io::Result<()> {
        for suffix in ["", "-wal"] {
            let mut from = match File::open(beside(backup, suffix)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && !suffix.is_empty() => continue,
                opened => opened?,
            };
            let (all, mut done) = (from.metadata()?.len(), 0);
            let mut to = open_private(&beside(&self.0, suffix))?;
            loop {
                let more = io::copy(&mut from.by_ref().take(SYNC_EVERY_BYTES), &mut to)?;
                if more == 0 {
                    break;
                }
                to.sync_data()?;
                done += more;
                copied(done, all.max(done));
            }
        }
        Ok(())
    }

    /// Checks every byte of the copy and makes one file of it. How many receipts are in it, and the newest position.
    fn check(&self, backup: &Path) -> Result<(u64, Seq), RestoreError> {
        let problem = |error: OpenError| match error {
            OpenError::Foreign { .. } => unfit(backup, "it is a database, but no readhook journal"),
            OpenError::Newer { found, known, .. } => unfit(
                backup,
                &format!("it has format {found}, and this readhook knows formats up to {known}"),
            ),
            OpenError::Unknown { found, .. } => {
                unfit(backup, &format!("it has format {found}, which no readhook writes"))
            }
            OpenError::Damaged { problem, .. } => unfit(backup, &format!("it is damaged ({problem})")),
            OpenError::Held { .. }
            | OpenError::Shared { .. }
            | OpenError::Unsafe { .. }
            | OpenError::Missing { .. }
            | OpenError::Restoring { .. }
            | OpenError::Io { .. } => RestoreError::Journal(error),
        };
        let failed = |error: rusqlite::Error| problem(sqlite(backup, &error));
        let connection = Connection::open(&self.0).map_err(failed)?;
        recognise(backup, &connection).map_err(problem)?;
        let integrity: String =
            connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(failed)?;
        if integrity != "ok" {
            return Err(unfit(backup, &format!("it is damaged ({integrity})")));
        }
        let read = || -> rusqlite::Result<(i64, Seq)> {
            // It will be another journal, whose positions hold other receipts from here on.
            connection.execute("DELETE FROM marks WHERE name = ?1", [IDENTITY_MARK])?;
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            let receipts = connection.query_row("SELECT count(*) FROM receipts", [], |row| row.get(0))?;
            Ok((receipts, head(&connection)?))
        };
        let (receipts, newest) = read().map_err(failed)?;
        connection.close().map_err(|(_, error)| failed(error))?;
        if std::fs::metadata(beside(&self.0, "-wal")).is_ok_and(|log| log.len() > 0) {
            return Err(unfit(backup, "its log could not be moved into it"));
        }
        Ok((receipts.unsigned_abs(), newest))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // The next restore removes it otherwise.
        let _left = self.remove();
    }
}

/// Steps 2 to 5. Gives the folder with the old journal.
fn exchange(
    location: &Location,
    part: &Part,
    is_resumed: bool,
    at: Timestamp,
) -> io::Result<Option<PathBuf>> {
    let journal = &*location.path;
    let (whole, aside) = (beside(journal, RESTORING), beside(journal, ASIDE));
    if !is_resumed && aside.symlink_metadata().is_ok() {
        // An earlier restore ended between its last two steps.
        std::fs::rename(&aside, dated(&aside, at))?;
    }
    std::fs::rename(&part.0, &whole)?;
    sync_folder(folder(journal))?;

    let state = DATABASE.map(|suffix| format!("{STATE}{suffix}"));
    let suffixes = DATABASE.into_iter().chain([IDS]).chain(state.iter().map(String::as_str));
    for suffix in suffixes {
        let old = beside(journal, suffix);
        let Some(name) = old.file_name().filter(|_| old.symlink_metadata().is_ok()) else { continue };
        if !aside.exists() {
            std::fs::DirBuilder::new().mode(0o700).create(&aside)?;
        }
        std::fs::rename(&old, free(&aside.join(name)))?;
    }
    let has_old = aside.exists();
    if has_old {
        sync_folder(&aside)?;
        sync_folder(folder(journal))?;
    }

    std::fs::rename(&whole, journal)?;
    sync_folder(folder(journal))?;

    if !has_old {
        return Ok(None);
    }
    let dated = dated(&aside, at);
    std::fs::rename(&aside, &dated)?;
    sync_folder(folder(journal))?;
    Ok(Some(dated))
}

/// A name with a time, which nothing has.
fn dated(path: &Path, at: Timestamp) -> PathBuf {
    let time: String = at.to_string().chars().filter(char::is_ascii_alphanumeric).collect();
    free(&beside(path, &format!("-{time}")))
}

/// The name, or the name with a number where something has it: nothing is overwritten.
fn free(path: &Path) -> PathBuf {
    let mut name = path.to_owned();
    let mut number = 1_u32;
    while name.symlink_metadata().is_ok() {
        number += 1;
        name = beside(path, &format!("-{number}"));
    }
    name
}
