//! The files beside a journal as witnesses. Where the journal is missing or empty and one of them shows that it held
//! receipts, beginning with an empty journal would throw accepted receipts away; SQLite itself deletes such a log. What
//! a first start leaves that was killed is no witness: no committed transaction, no run of ids, no receipt in the state.

use std::io;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::OpenError;
use super::ids::holds_runs;
use super::location::Location;
use super::open::IDS;
use crate::files::{DATABASE, beside, holds_commits};

/// The read state is called like the journal, with this behind it.
pub(super) const STATE: &str = ".state";
/// The quarantine, likewise.
const QUARANTINE: &str = ".quarantine";
/// A restored journal that is complete, while the files of the old one are being moved away.
pub(super) const RESTORING: &str = ".restore";

/// Looks for receipts that a missing or empty journal has lost. Nothing is changed.
///
/// # Errors
/// When there are such, when a restore was interrupted, or this cannot be found out.
pub(super) fn examine(location: &Location) -> Result<(), OpenError> {
    let io = |source| OpenError::Io { path: location.configured.clone(), source };
    if beside(&location.path, RESTORING).symlink_metadata().is_ok() {
        return Err(OpenError::Restoring { path: location.configured.clone() });
    }
    let missing = match std::fs::metadata(&location.path) {
        Ok(file) if file.len() > 0 => return Ok(()),
        Ok(_) => "empty",
        Err(error) if error.kind() == io::ErrorKind::NotFound => "missing",
        Err(error) => return Err(io(error)),
    };
    refuse_if(missing, true, location)
}

/// The same for a journal that SQLite can open and that has no tables. Its log is part of what SQLite has read.
pub(super) fn examine_beside_blank(location: &Location) -> Result<(), OpenError> {
    refuse_if("empty", false, location)
}

fn refuse_if(missing: &'static str, count_log: bool, location: &Location) -> Result<(), OpenError> {
    let found = witnesses(&location.path, count_log).and_then(|mut found| {
        if location.configured != location.path {
            // Readhook 0.1.0 had them beside a link to the journal.
            for witness in witnesses(&location.configured, count_log)? {
                if !found.contains(&witness) {
                    found.push(witness);
                }
            }
        }
        Ok(found)
    });
    let found = found.map_err(|source| OpenError::Io { path: location.configured.clone(), source })?;
    if found.is_empty() {
        return Ok(());
    }
    Err(OpenError::Missing { path: location.configured.clone(), missing, found: found.join(", ") })
}

/// What shows that there was a journal with something in it, in words.
fn witnesses(journal: &Path, count_log: bool) -> io::Result<Vec<String>> {
    let name = |suffix| {
        let path = beside(journal, suffix);
        path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    };
    let mut found = Vec::new();
    if count_log && holds_commits(&beside(journal, "-wal"))? {
        found.push(format!("`{}` with committed transactions", name("-wal")));
    }
    if holds_runs(&beside(journal, IDS))? {
        found.push(format!("`{}` with the ids of receipts", name(IDS)));
    }
    if state_holds_receipts(&beside(journal, STATE))? {
        found.push(format!("`{}` with what receipts said", name(STATE)));
    }
    Ok(found)
}

/// Whether a read state rests on receipts. One that cannot be read may.
fn state_holds_receipts(state: &Path) -> io::Result<bool> {
    match std::fs::metadata(state) {
        Ok(file) if file.len() > 0 => {}
        Ok(_) => return holds_commits(&beside(state, "-wal")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    }
    let cursor = || -> rusqlite::Result<i64> {
        let connection = Connection::open_with_flags(state, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
        if tables == 0 {
            return Ok(0);
        }
        let cursor = connection.query_row("SELECT cursor FROM progress", [], |row| row.get(0)).optional()?;
        Ok(cursor.unwrap_or(0))
    };
    Ok(cursor().map_or(true, |cursor| cursor > 0))
}

/// Where the journal is configured by a symbolic link, readhook 0.1.0 had the quarantine beside the link. Moves it to the
/// journal, whose lock this process has.
pub(super) fn take_over(location: &Location) {
    let (old, new) = (beside(&location.configured, QUARANTINE), beside(&location.path, QUARANTINE));
    let is_link = location.configured.symlink_metadata().is_ok_and(|file| file.is_symlink());
    if !is_link || !old.exists() || new.exists() {
        return;
    }
    let moved = DATABASE.iter().rev().try_for_each(|suffix| {
        match std::fs::rename(beside(&old, suffix), beside(&new, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    });
    match moved {
        Ok(()) => tracing::info!(
            from = %old.display(), to = %new.display(), "moved the quarantine from beside the link to beside the journal"
        ),
        Err(error) => tracing::warn!(
            %error, from = %old.display(), to = %new.display(),
            "the quarantine lies beside a link to the journal and cannot be moved beside the journal: stop readhook and move it"
        ),
    }
}
