//! Where a journal really lies, and whether it can be kept there. A journal has one name, one lock and one log: a second
//! name of the file (a hard link, a mount of the file alone) has another log, and a network file system has no
//! shared memory. All of it is looked at before anything is created.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::Hazard;
use super::{OpenError, open};

/// Symbolic links that are followed, as many as Linux does.
const LINKS: usize = 40;

/// A journal's file, found through every symbolic link. All files that belong to it lie beside `path`.
#[derive(Debug, Clone)]
pub(super) struct Location {
    /// As the configuration has it: what messages name.
    pub(super) configured: PathBuf,
    /// The file itself, absolute and without a link in it.
    pub(super) path: PathBuf,
    /// Whether the file can be locked without touching SQLite's own locks.
    pub(super) lockable: bool,
    /// What an operator should know.
    pub(super) warnings: Vec<String>,
}

impl Location {
    /// Finds and examines the file, which need not exist. Changes nothing.
    ///
    /// # Errors
    /// When a journal cannot be kept there, or this cannot be found out.
    pub(super) fn find(configured: &Path) -> Result<Self, OpenError> {
        let io = |source| OpenError::Io { path: configured.to_owned(), source };
        let unsafe_for = |why| OpenError::Unsafe { path: configured.to_owned(), why };
        let path = resolve(configured).map_err(io)?;
        let mut location =
            Self { configured: configured.to_owned(), path, lockable: false, warnings: Vec::new() };
        let folder = open::folder(&location.path);
        if !folder.exists() && std::path::absolute(configured).map_err(io)? != location.path {
            return Err(unsafe_for(Hazard::LinkToNowhere(location.path)));
        }
        // A folder that is missing will be created where the nearest one above it lies.
        let nearest = folder.ancestors().find(|folder| folder.exists()).unwrap_or(folder);
        let shown = configured.display();
        match system::file_system(nearest).map_err(io)? {
            FileSystem::Local => location.lockable = true,
            FileSystem::Foreign(name) => location.warnings.push(format!(
                "the journal `{shown}` lies on {name}: SQLite's locks and syncs are worth what that makes of them; prefer a local disk"
            )),
            FileSystem::Unknown => {}
            FileSystem::Network(name) => return Err(unsafe_for(Hazard::Network(name))),
        }
        match std::fs::symlink_metadata(&location.path) {
            Ok(file) => {
                location.examine(&file)?;
                let mode = file.mode() & 0o777;
                if mode & 0o007 != 0 {
                    location.warnings.push(format!(
                        "every user of this machine can open the journal `{shown}` (mode {mode:04o}); \
                         `chmod 600` it, its `-wal` and its `-shm`"
                    ));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io(error)),
        }
        Ok(location)
    }

    /// Whether the file is a plain one with this one name.
    pub(super) fn examine(&self, file: &Metadata) -> Result<(), OpenError> {
        let unsafe_for = |why| Err(OpenError::Unsafe { path: self.configured.clone(), why });
        if !file.is_file() {
            return unsafe_for(Hazard::NotAFile);
        }
        if file.nlink() > 1 {
            return unsafe_for(Hazard::Links(file.nlink()));
        }
        if system::is_mount_point(&self.path) {
            return unsafe_for(Hazard::MountPoint);
        }
        Ok(())
    }
}

/// Follows links to the file's own path. The file may be missing; so may the folder that the last link leads to.
pub(super) fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut path = std::path::absolute(path)?;
    for _ in 0..LINKS {
        let Some(name) = path.file_name() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no path of a file"));
        };
        let folder = match open::folder(&path).canonicalize() {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path),
            Err(error) => return Err(error),
        };
        let file = folder.join(name);
        match std::fs::symlink_metadata(&file) {
            Ok(found) if found.is_symlink() => path = folder.join(std::fs::read_link(&file)?),
            Ok(_) => return Ok(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(file),
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

/// What a file system is to SQLite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileSystem {
    /// A disk of this machine, or its memory: every lock works, and `flock` and POSIX locks do not meet.
    Local,
    /// Something in between decides what a lock or a sync does.
    Foreign(&'static str),
    /// Nothing is known: another system than Linux.
    #[cfg_attr(target_os = "linux", expect(dead_code, reason = "Linux tells"))]
    Unknown,
    /// SQLite's log does not work there.
    Network(&'static str),
}

#[cfg(target_os = "linux")]
mod system {
    use std::io;
    use std::path::Path;

    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statfs, statx};

    use super::FileSystem;

    pub(super) fn file_system(folder: &Path) -> io::Result<FileSystem> {
        Ok(by_magic(statfs(folder)?.f_type as u32))
    }

    /// By the numbers of `statfs(2)` and of the kernel's `magic.h`.
    pub(super) fn by_magic(magic: u32) -> FileSystem {
        match magic {
            0x6969 => FileSystem::Network("NFS"),
            0x517B | 0xFF53_4D42 | 0xFE53_4D42 => FileSystem::Network("SMB"),
            // virtiofs has the number of FUSE.
            0x6573_5546 => FileSystem::Foreign("FUSE or virtiofs"),
            0x0102_1997 => FileSystem::Foreign("9p"),
            0x00C3_6400 => FileSystem::Foreign("Ceph"),
            0x5346_414F | 0x6B41_4653 => FileSystem::Foreign("AFS"),
            0x7375_7245 => FileSystem::Foreign("Coda"),
            0x0BD0_0BD0 => FileSystem::Foreign("Lustre"),
            0x4750_4653 => FileSystem::Foreign("GPFS"),
            0x0116_1970 => FileSystem::Foreign("GFS2"),
            0x7461_636F => FileSystem::Foreign("OCFS2"),
            0x786F_4256 => FileSystem::Foreign("a VirtualBox shared folder"),
            0xBACB_ACBC => FileSystem::Foreign("a VMware shared folder"),
            _ => FileSystem::Local,
        }
    }

    /// The kernel says it since Linux 5.8; an older one has it in a table only.
    pub(super) fn is_mount_point(path: &Path) -> bool {
        let asked = statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty());
        match asked {
            Ok(file) if file.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) => {
                file.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
            }
            Ok(_) | Err(_) => {
                let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
                is_in_table(path, &table)
            }
        }
    }

    /// Whether `/proc/self/mountinfo` has the path in its fifth column, where white space and backslashes are octal.
    pub(super) fn is_in_table(path: &Path, table: &str) -> bool {
        let escaped: String = path
            .to_string_lossy()
            .chars()
            .map(|c| match c {
                ' ' | '\t' | '\n' | '\\' => format!("\\{:03o}", u32::from(c)),
                other => other.to_string(),
            })
            .collect();
        table.lines().any(|line| line.split(' ').nth(4) == Some(&escaped))
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;
    use std::path::Path;

    use super::FileSystem;

    #[expect(clippy::unnecessary_wraps, reason = "it is what it is on Linux")]
    pub(super) fn file_system(_: &Path) -> io::Result<FileSystem> {
        Ok(FileSystem::Unknown)
    }

    pub(super) fn is_mount_point(_: &Path) -> bool {
        false
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::system::{by_magic, is_in_table};
    use super::*;

    #[test]
    fn file_systems_are_told_apart_by_their_numbers() {
        assert_eq!(by_magic(0x6969), FileSystem::Network("NFS"));
        for smb in [0x517B, 0xFF53_4D42, 0xFE53_4D42] {
            assert_eq!(by_magic(smb), FileSystem::Network("SMB"));
        }
        assert!(matches!(by_magic(0x6573_5546), FileSystem::Foreign(_)));
        assert!(matches!(by_magic(0x0102_1997), FileSystem::Foreign(_)));
        for local in [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0x794C_7630, 0x2FC1_2FC1] {
            assert_eq!(by_magic(local), FileSystem::Local);
        }
    }

    #[test]
    fn an_old_kernel_has_mount_points_in_a_table() {
        let table = "27 1 254:0 / / rw - ext4 /dev/vda rw\n28 27 254:0 /x/a\\040b /data/a\\040b.db rw - ext4 /dev/vda rw\n";
        assert!(is_in_table(Path::new("/data/a b.db"), table));
        assert!(!is_in_table(Path::new("/data/a"), table));
        assert!(!is_in_table(Path::new("/x/a b"), table));
    }

    #[test]
    fn links_are_followed_to_a_file_that_need_not_be_there() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        let inside = |name: &str| real.join(name);
        std::fs::create_dir(inside("disk")).unwrap();
        std::os::unix::fs::symlink("disk/readhook.db", inside("a.db")).unwrap();
        std::os::unix::fs::symlink(inside("a.db"), inside("b.db")).unwrap();
        std::os::unix::fs::symlink("disk", inside("also")).unwrap();
        std::os::unix::fs::symlink("nowhere/readhook.db", inside("lost.db")).unwrap();
        std::os::unix::fs::symlink("round.db", inside("round.db")).unwrap();
        let to = inside("disk/readhook.db");
        for path in ["a.db", "b.db", "also/readhook.db", "also/../disk/readhook.db"] {
            assert_eq!(resolve(&inside(path)).unwrap(), to, "{path}");
        }
        assert_eq!(resolve(&inside("lost.db")).unwrap(), inside("nowhere/readhook.db"));
        assert!(resolve(&inside("round.db")).is_err());
    }
}
