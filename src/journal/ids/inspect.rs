//! Looks into the files of a journal's ids without changing them, also beside the service that has them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::super::Seq;
use super::folder_of;
use super::run::{EXTENSION, Run, Unfit};

/// A file that merging has replaced between listing and opening is looked for again so many times.
const TRIES: usize = 10;

/// A file of ids.
pub(in super::super) enum RunFile {
    /// Its filter, directory and footer match their checksum.
    Whole(Run),
    /// An earlier version wrote it, without checksums; the next start makes it again.
    Unverified,
    /// It cannot be believed.
    Damaged(PathBuf, String),
}

/// The files of a journal's ids.
pub(in super::super) struct Inspection {
    /// In the order of the positions that they stand for.
    pub(in super::super) files: Vec<RunFile>,
}

impl Inspection {
    /// Opens all of them. Who has them open can read them, whatever the service removes afterwards.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(in super::super) fn open(journal: &Path) -> io::Result<Self> {
        let folder = folder_of(journal);
        for _ in 1..TRIES {
            if let Some(files) = open_all(&folder)? {
                return Ok(Self { files });
            }
        }
        Ok(Self { files: open_all(&folder)?.unwrap_or_default() })
    }
}

/// `None` when one of the files was gone before it could be opened.
fn open_all(folder: &Path) -> io::Result<Option<Vec<RunFile>>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(Vec::new())),
        Err(error) => return Err(error),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            paths.push(path);
        }
    }
    // The names begin with the first position, in sixteen digits.
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        files.push(match Run::open(path.clone()) {
            Ok(run) => RunFile::Whole(run),
            Err(Unfit::Io(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(Unfit::Unverified) => RunFile::Unverified,
            Err(unfit @ (Unfit::Damaged | Unfit::Io(_))) => RunFile::Damaged(path, unfit.to_string()),
        });
    }
    let whole = |file: &RunFile| match file {
        RunFile::Whole(run) => Some((run.first, run.last)),
        RunFile::Unverified | RunFile::Damaged(..) => None,
    };
    // A merged run and those that it was made of are there together for a moment, or after a crash.
    let spans: Vec<(Seq, Seq)> = files.iter().filter_map(whole).collect();
    files.retain(|file| {
        whole(file).is_none_or(|(first, last)| {
            !spans.iter().any(|(from, to)| *from <= first && last <= *to && (*from, *to) != (first, last))
        })
    });
    Ok(Some(files))
}
