//! What every file beside the journal needs: it is created for its owner only, and a file that cannot be used is set
//! aside and never deleted. What the files hold is the business of their modules.

mod wal;

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

pub(crate) use wal::holds_commits;

/// Read and write for the owner, nothing for others: who has read what is private.
const PRIVATE: u32 = 0o600;

/// What SQLite puts beside a database, and the database itself.
pub(crate) const DATABASE: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// The path of a file that belongs to another one: the same name with a suffix.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The folder that a file lies in.
pub(crate) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes names in a folder durable: those of new files, and renames.
///
/// # Errors
/// When the disk does not take them. Whether they are durable is then unknown.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Opens a file for reading and writing. A file that is not there is created with mode 0600, whatever the umask is; the
/// mode of a file that is there stays. SQLite gives `-wal` and `-shm` the mode of their database, so a database that was
/// created here needs no more.
///
/// # Errors
/// When it cannot be opened or created.
pub(crate) fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(PRIVATE);
    match options.clone().create_new(true).open(path) {
        Ok(file) => {
            // A umask may take bits away from the owner.
            file.set_permissions(Permissions::from_mode(PRIVATE))?;
            Ok(file)
        }
        // A symbolic link that leads nowhere "exists", and is followed by the second attempt.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.create(true).open(path),
        Err(error) => Err(error),
    }
}

/// Creates a database that is about to be opened, with mode 0600. One that is there is not touched: closing a handle of a
/// database would end SQLite's own locks on it.
///
/// # Errors
/// When it cannot be created.
pub(crate) fn ensure_private(path: &Path) -> io::Result<()> {
    if path.exists() { Ok(()) } else { open_private(path).map(drop) }
}

/// Renames a database that cannot be used, and what SQLite has put beside it, to a name that is free; gives that name. The
/// rename is durable when this returns. Nothing is deleted. Where there is nothing, nothing happens.
///
/// # Errors
/// When something cannot be renamed. What has been renamed before that stays renamed.
pub(crate) fn set_aside(database: &Path) -> io::Result<PathBuf> {
    let taken = |aside: &Path| DATABASE.iter().any(|suffix| beside(aside, suffix).symlink_metadata().is_ok());
    let mut number = 1_u32;
    let mut aside = beside(database, ".set-aside");
    while taken(&aside) {
        number += 1;
        aside = beside(database, &format!(".set-aside-{number}"));
    }
    for suffix in DATABASE {
        match std::fs::rename(beside(database, suffix), beside(&aside, suffix)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    sync_folder(folder(database))?;
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_set_aside_with_its_log_and_never_over_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        for round in ["first", "second"] {
            std::fs::write(&path, round).unwrap();
            std::fs::write(beside(&path, "-wal"), round).unwrap();
            let aside = set_aside(&path).unwrap();
            assert!(!path.exists() && !beside(&path, "-wal").exists());
            assert_eq!(std::fs::read_to_string(&aside).unwrap(), round);
            assert_eq!(std::fs::read_to_string(beside(&aside, "-wal")).unwrap(), round);
        }
        assert_eq!(std::fs::read_to_string(dir.path().join("x.db.set-aside")).unwrap(), "first");
    }

    #[test]
    fn a_new_file_is_private_and_an_old_one_keeps_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let mode = || path.metadata().unwrap().permissions().mode() & 0o777;
        ensure_private(&path).unwrap();
        assert_eq!(mode(), 0o600);
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        ensure_private(&path).unwrap();
        assert_eq!(mode(), 0o640);
    }
}
