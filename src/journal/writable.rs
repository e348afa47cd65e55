//! Whether a start could write where the journal is or would be: for `readhook check`, which creates nothing to find out.

use std::io;
use std::path::Path;

use super::OpenError;
use super::location::resolve;
use super::open::folder;
use crate::files::beside;

/// Files beside the journal that a start opens for writing.
const WRITTEN: [&str; 5] = ["", "-wal", "-shm", ".quarantine", ".state"];

/// Asks the system whether this process may create and write the journal. Nothing is written.
///
/// # Errors
/// The first file or folder that stands in the way.
pub fn writable(path: &Path) -> Result<(), OpenError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { path, source }
    };
    let resolved = resolve(path).map_err(io(path))?;
    let above = folder(&resolved).ancestors().filter(|above| !above.as_os_str().is_empty());
    // A folder that is missing will be created in the nearest one above it.
    let nearest = above.into_iter().find(|above| above.exists()).unwrap_or(Path::new("."));
    if !nearest.is_dir() {
        return Err(io(nearest)(io::ErrorKind::NotADirectory.into()));
    }
    may(nearest, true).map_err(io(nearest))?;
    for suffix in WRITTEN {
        let file = beside(&resolved, suffix);
        if file.exists() {
            may(&file, false).map_err(io(&file))?;
        }
    }
    Ok(())
}

/// By the rights that the process has in effect; a file system that is mounted for reading only refuses as well.
#[cfg(target_os = "linux")]
fn may(path: &Path, is_folder: bool) -> io::Result<()> {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    let wanted =
        if is_folder { Access::WRITE_OK | Access::EXEC_OK } else { Access::READ_OK | Access::WRITE_OK };
    Ok(accessat(CWD, path, wanted, AtFlags::EACCESS)?)
}

/// Elsewhere as far as the mode tells.
#[cfg(not(target_os = "linux"))]
fn may(path: &Path, _: bool) -> io::Result<()> {
    match std::fs::metadata(path)?.permissions().readonly() {
        true => Err(io::ErrorKind::PermissionDenied.into()),
        false => Ok(()),
    }
}
