//! An open file, its name, and what others may have done to both: moved, deleted or shortened.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use crate::clock;
use crate::sink::DeliverError;

/// A program that copies the file and then shortens it (`logrotate` with `copytruncate`) misses what is written between
/// the two. That takes as long as the sync of the copy; what was delivered in this time before is delivered again.
const COPIED: Duration = Duration::from_secs(10);

/// An open file whose content up to `length` is synced.
pub(super) struct Named {
    file: File,
    /// Device and inode.
    inode: (u64, u64),
    length: u64,
}

/// What others have done since the last look.
pub(super) enum Changed {
    /// Nothing.
    No,
    /// The name belongs to another file, or to none. The open one has everything.
    Moved,
    /// Bytes of others stand behind ours.
    Longer,
    /// Synced bytes are gone: the file was shortened, or deleted.
    Shortened(Lost),
}

/// Bytes that were in the file are not there any more.
pub(super) struct Lost {
    what: &'static str,
    /// When it happened, by the file system's clock, in milliseconds since 1970.
    at: i64,
}

impl Lost {
    /// What the sink reports.
    pub(super) fn into_error(self) -> DeliverError {
        // A time in the future is a clock that was set back: then the margin has to be enough.
        let ago = clock::now().as_millis().saturating_sub(self.at);
        let within = COPIED + Duration::from_millis(u64::try_from(ago).unwrap_or(0));
        DeliverError::Rewind { within, why: format!("the file was {}", self.what).into() }
    }
}

fn inode(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

impl Named {
    /// Opens the file behind its last whole line: what a crash left of a line was never acknowledged and will come
    /// again. A new file gets the permissions that the process's umask leaves, because others read it; those of an existing
    /// one stay.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let folder = create_folder(path)?;
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let end = end_of_last_line(&mut file)?;
        if end < file.metadata()?.len() {
            let mut first = [0];
            file.seek(SeekFrom::Start(end))?;
            file.read_exact(&mut first)?;
            // A power cut can leave zeros where the file had grown and its bytes had not been written.
            if first != *b"{" && first != [0] {
                let problem = format!(
                    "`{}` ends in something that is no receipt; give the sink a file of its own",
                    path.display()
                );
                return Err(io::Error::other(problem));
            }
            tracing::warn!(path = %path.display(), "cut off half a line that a crash had left at the end of the file");
            file.set_len(end)?;
        }
        // The name of a new file is safe only once its folder is.
        File::open(folder)?.sync_all()?;
        let inode = inode(&file.metadata()?);
        Ok(Self { file, inode, length: end })
    }

    /// Appends so many bytes and syncs them. After an error the file is cut back to what was synced before, as far as that
    /// is possible: a failed sync leaves pages of which nobody knows whether they are on the disk, so the same bytes are
    /// written again.
    pub(super) fn append(
        &mut self,
        length: u64,
        write: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> io::Result<()> {
        let appended = write(&mut self.file).and_then(|()| self.file.sync_data());
        match appended {
            Ok(()) => self.length += length,
            Err(_) => self.cut_back(length),
        }
        appended
    }

    /// Removes what a failed append has left, unless others have written, too.
    fn cut_back(&self, attempted: u64) {
        let ours = self.length..=self.length + attempted;
        let is_ours = self.file.metadata().is_ok_and(|now| ours.contains(&now.len()));
        if is_ours && let Err(error) = self.file.set_len(self.length) {
            tracing::warn!(%error, "what a failed write has left in the file could not be removed; it is looked at again when the file is opened");
        }
    }

    /// Compares the open file with what it held, and with its name.
    pub(super) fn compare(&self, path: &Path) -> io::Result<Changed> {
        let open = self.file.metadata()?;
        if open.nlink() == 0 {
            let at = millis(open.ctime(), open.ctime_nsec());
            return Ok(Changed::Shortened(Lost { what: "deleted", at }));
        }
        if open.len() < self.length {
            let at = millis(open.mtime(), open.mtime_nsec());
            return Ok(Changed::Shortened(Lost { what: "shortened", at }));
        }
        let named = match std::fs::metadata(path) {
            Ok(named) => Some(inode(&named)),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(match named {
            Some(named) if named != self.inode => Changed::Moved,
            None => Changed::Moved,
            Some(_) if open.len() > self.length => Changed::Longer,
            Some(_) => Changed::No,
        })
    }
}

fn millis(seconds: i64, nanoseconds: i64) -> i64 {
    seconds.saturating_mul(1000).saturating_add(nanoseconds / 1_000_000)
}

/// Makes the folder of a file where it is missing, and names it.
pub(super) fn create_folder(path: &Path) -> io::Result<&Path> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    Ok(folder)
}

fn end_of_last_line(file: &mut File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut block = [0; 4096];
    while end > 0 {
        let from = end.saturating_sub(block.len() as u64);
        let length = usize::try_from(end - from).unwrap_or(block.len());
        file.seek(SeekFrom::Start(from))?;
        let Some(read) = block.get_mut(..length) else {
            break;
        };
        file.read_exact(read)?;
        if let Some(newline) = read.iter().rposition(|&byte| byte == b'\n') {
            return Ok(from + newline as u64 + 1);
        }
        end = from;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn line(file: &mut File) -> io::Result<()> {
        file.write_all(b"{\"id\":1}\n")
    }

    const LINE: u64 = 9;

    fn text(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_failed_append_leaves_nothing_behind_and_a_whole_one_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let mut file = Named::open(&path).unwrap();
        file.append(LINE, line).unwrap();
        let half = |file: &mut File| {
            file.write_all(b"{\"id\"")?;
            Err(io::Error::other("full"))
        };
        file.append(LINE, half).unwrap_err();
        assert_eq!(text(&path), "{\"id\":1}\n");
        assert!(matches!(file.compare(&path), Ok(Changed::No)));
        file.append(LINE, line).unwrap();
        assert_eq!(text(&path), "{\"id\":1}\n{\"id\":1}\n");
    }

    #[test]
    fn what_happens_between_the_write_and_the_look_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let begun = || {
            let mut file = Named::open(&path).unwrap();
            file.append(LINE, line).unwrap();
            file
        };
        let mut file = begun();
        let moved = |file: &mut File| line(file).and_then(|()| std::fs::rename(&path, dir.path().join("g")));
        file.append(LINE, moved).unwrap();
        assert!(matches!(file.compare(&path), Ok(Changed::Moved)));

        let mut file = begun();
        file.append(LINE, |file| line(file).and_then(|()| file.set_len(0))).unwrap();
        assert!(matches!(file.compare(&path), Ok(Changed::Shortened(_))));

        let mut file = begun();
        file.append(LINE, |file| line(file).and_then(|()| std::fs::remove_file(&path))).unwrap();
        assert!(matches!(file.compare(&path), Ok(Changed::Shortened(_))));

        let mut file = begun();
        file.append(LINE, |file| line(file).and_then(|()| line(file))).unwrap();
        assert!(matches!(file.compare(&path), Ok(Changed::Longer)));
    }

    #[test]
    fn zeros_and_half_lines_at_the_end_are_cut_off_and_text_of_others_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        for end in ["{\"id", "\0\0\0\0"] {
            std::fs::write(&path, format!("{{}}\n{end}")).unwrap();
            Named::open(&path).unwrap();
            assert_eq!(text(&path), "{}\n");
        }
        std::fs::write(&path, "{}\nnotes").unwrap();
        assert!(Named::open(&path).is_err());
        assert_eq!(text(&path), "{}\nnotes");
    }
}
