//! At the start: which runs fit the journal beside them. What does not is removed, for it can be made again; a journal that
//! was put back from a backup may find the runs of its later self.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::super::Seq;
use super::Fingerprint;
use super::run::{EXTENSION, PART, Run, Unfit};
use crate::metrics::Metrics;

/// The runs that follow one another from what is forgotten on, oldest first, and how far they reach.
pub(super) fn recover(
    folder: &Path,
    head: Seq,
    forgotten: Seq,
    metrics: &Metrics,
    fingerprint_at: impl Fn(Seq) -> io::Result<Option<Fingerprint>>,
) -> io::Result<(Vec<Arc<Run>>, Seq)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some(EXTENSION) => match Run::open(path.clone()) {
                Ok(run) => found.push(run),
                Err(Unfit::Unverified) => {
                    tracing::info!(
                        path = %path.display(),
                        "an earlier version wrote this file of the journal's ids, without checksums; they are read from the \
                         journal again, which takes about 3 s a million"
                    );
                    fs::remove_file(&path)?;
                }
                Err(error @ (Unfit::Damaged | Unfit::Io(_))) => {
                    tracing::warn!(%error, path = %path.display(), "a file of the journal's ids is damaged; they are read again");
                    metrics.ids_damaged.inc();
                    fs::remove_file(&path)?;
                }
            },
            // What was being written when the process ended.
            Some(PART) => fs::remove_file(&path)?,
            _ => {}
        }
    }
    // Of those that begin alike the longest first: the others are what it was merged from.
    found.sort_by_key(|run| (run.first, std::cmp::Reverse(run.last)));
    let (mut runs, mut covered) = (Vec::new(), forgotten);
    for run in found {
        let fits = run.last > covered && run.first <= covered + 1 && run.last <= head;
        if fits && is_of_this_journal(&run, forgotten, &fingerprint_at)? {
            covered = run.last;
            runs.push(Arc::new(run));
        } else {
            run.remove();
        }
    }
    Ok((runs, covered))
}

/// Whether the journal has the run's newest id where the run says.
fn is_of_this_journal(
    run: &Run,
    forgotten: Seq,
    fingerprint_at: impl Fn(Seq) -> io::Result<Option<Fingerprint>>,
) -> io::Result<bool> {
    match run.witness {
        Some((fingerprint, seq)) if seq > forgotten => Ok(fingerprint_at(seq)? == Some(fingerprint)),
        Some(_) | None => Ok(true),
    }
}
