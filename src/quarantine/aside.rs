//! Setting a file aside that is no quarantine, or no longer one: it keeps its bytes under another name, and a new one
//! takes its place.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::receipt::Timestamp;

/// What SQLite keeps beside its file. They go first: a `-wal` that stays beside a new file could be read into it.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Renames a file, and what SQLite keeps beside it, to a name with the time in it. Gives that name.
///
/// # Errors
/// When a file is there and cannot be renamed. What was renamed until then stays so.
pub(super) fn set_aside(path: &Path, now: Timestamp) -> std::io::Result<PathBuf> {
    let aside = free_name(path, now);
    for suffix in BESIDE.into_iter().chain([""]) {
        match std::fs::rename(with(path, suffix), with(&aside, suffix)) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(aside)
}

/// The same path with something behind it.
pub(super) fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn free_name(path: &Path, now: Timestamp) -> PathBuf {
    let taken = |name: &Path| {
        BESIDE.into_iter().chain([""]).any(|suffix| with(name, suffix).symlink_metadata().is_ok())
    };
    // 2026-11-30T23:40:00.123Z, without what a shell would stumble over.
    let time = now.to_string().replace([':', '-'], "");
    let named = with(path, &format!(".aside-{time}"));
    let numbered = (2..=99).map(|number| with(path, &format!(".aside-{time}-{number}")));
    std::iter::once(named.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or(named)
}
