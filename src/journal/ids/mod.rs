//! Which receipts the journal has, by id: how a duplicate is known. The index stands beside the journal's file, in a folder
//! of its own, and is made from it, so that what a commit has to write does not depend on the order of the ids.
//!
//! It only ever says where an id *may* be: the receipt at that position says whether it is. So an entry too many costs a
//! look, and none of it has to be synced with a commit: what is not in a run is read from the journal at the next start.
//!
//! What is on disk is never believed without its checksum. A block that does not match, or cannot be read, never means
//! "absent": the index answers nothing until it has been made again from the journal, by a thread of its own
//! ([`rebuild`]), and commits are `unavailable` meanwhile.
//!
//! What a failed sync or write of a run means: the run never gets its name, its ids stay in memory, and the compactor writes a
//! new file a second later (never the same one again: its pages may be lost and look clean). The journal itself is not
//! in doubt. When 128 tables wait (1.3 million receipts), commits are `unavailable`. A run that has its name but is not
//! whole after a power cut fails its checksums and is made again.

mod compactor;
mod filter;
mod index;
mod inspect;
mod memtable;
mod rebuild;
mod recovery;
mod run;
mod run_writer;

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{Seq, open};
use crate::metrics::Metrics;
use index::{Index, Trouble};
pub(super) use inspect::{Inspection, RunFile};
pub(super) use rebuild::fingerprint_in;
use rebuild::{Rebuild, Source};
use run::Damaged;
pub(super) use run::Run;

/// The beginning of an id, which stands for it.
pub(super) type Fingerprint = u64;

/// From so many receipts on whose ids are missing, they are read while the service runs already and answers `unavailable`:
/// that takes about three seconds a million.
const IN_BACKGROUND: Seq = 1_000_000;

/// Whether there is a run in the folder of a journal's ids, so that the journal has held receipts.
pub(super) fn holds_runs(folder: &Path) -> io::Result<bool> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    for entry in entries {
        if entry?.path().extension().is_some_and(|extension| extension == run::EXTENSION) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The writer's end.
pub(super) struct Ids {
    journal: PathBuf,
    metrics: Metrics,
    state: State,
    found: Vec<Seq>,
}

enum State {
    Whole(Box<Index>),
    Rebuilding(Rebuild),
    /// Only between two of the others.
    Ended,
}

impl Ids {
    /// Opens what there is beside the journal and fits it, reads the rest from the receipts, and begins to work. When much is
    /// missing, that is read in the background, and nothing can be looked up until it is there.
    ///
    /// # Errors
    /// When the folder cannot be made, read or tidied, or the journal cannot be read.
    pub(super) fn open(journal: &Path, connection: &Connection, metrics: &Metrics) -> io::Result<Self> {
        let source = Source::new(journal, metrics);
        let state = match source.missing(connection)? {
            missing if missing < IN_BACKGROUND => State::Whole(Box::new(source.index(connection, None)?)),
            missing => {
                tracing::warn!(
                    receipts = missing,
                    path = %journal.display(),
                    "the index of ids is not there for this many receipts and is read from the journal, which takes about \
                     3 s a million; until then callbacks are answered `unavailable`"
                );
                State::Rebuilding(Rebuild::start(source, None)?)
            }
        };
        Ok(Self { journal: journal.to_owned(), metrics: metrics.clone(), state, found: Vec::new() })
    }

    /// Whether ids can be looked up. If not, they can be once [`Ids::catch_up`] succeeds.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.state, State::Whole(_))
    }

    /// The positions that may have this id.
    ///
    /// # Errors
    /// When a block of a run does not match its checksum or cannot be read. The rebuild has begun then.
    pub(super) fn find(&mut self, fingerprint: Fingerprint) -> io::Result<&[Seq]> {
        self.found.clear();
        let found = match &mut self.state {
            State::Whole(index) => index.find(fingerprint, &mut self.found),
            State::Rebuilding(_) | State::Ended => return Err(not_whole()),
        };
        match found {
            Ok(()) => Ok(&self.found),
            Err(damaged) => {
                self.rebuild(damaged);
                Err(not_whole())
            }
        }
    }

    /// Adds what is at a position.
    pub(super) fn add(&mut self, fingerprint: Fingerprint, seq: Seq) {
        if let State::Whole(index) = &mut self.state {
            index.add(fingerprint, seq);
        }
    }

    /// Everything up to `head` is on disk, and is taken out of memory when it is much.
    pub(super) fn committed(&mut self, head: Seq) {
        if let State::Whole(index) = &mut self.state {
            index.committed(head);
        }
    }

    /// What was added behind `head` is not in the journal after all.
    pub(super) fn taken_back(&mut self, head: Seq) {
        if let State::Whole(index) = &mut self.state {
            index.taken_back(head);
        }
    }

    /// Everything up to this position has been forgotten.
    pub(super) fn forget(&self, through: Seq) {
        if let State::Whole(index) = &self.state {
            index.forget(through);
        }
    }

    /// Takes over what has come to be on disk, or a rebuild that has ended. Must succeed before a transaction begins in which
    /// something is looked up.
    ///
    /// # Errors
    /// While the index is made again, and when the disk has not taken the ids for so long that no more fit into memory.
    pub(super) fn catch_up(&mut self) -> io::Result<()> {
        if let State::Rebuilding(rebuild) = &mut self.state {
            let Some(index) = rebuild.ended() else { return Err(not_whole()) };
            self.metrics.ids_rebuilding.set(0);
            self.state = State::Whole(index);
        }
        let State::Whole(index) = &mut self.state else { return Err(not_whole()) };
        match index.catch_up() {
            Ok(()) => Ok(()),
            Err(Trouble::Full) => {
                Err(io::Error::other("the journal's ids cannot be written, and no more fit into memory"))
            }
            Err(Trouble::Damaged(damaged)) => {
                self.rebuild(damaged);
                Err(not_whole())
            }
        }
    }

    /// Puts everything on disk, if the disk takes it, and ends.
    pub(super) fn close(self, head: Seq) {
        match self.state {
            State::Whole(index) => index.close(head),
            // The next start goes on.
            State::Rebuilding(_) | State::Ended => {}
        }
    }

    fn rebuild(&mut self, damaged: Damaged) {
        tracing::warn!(
            path = %damaged.path.display(),
            problem = %damaged.problem,
            "a file of the journal's ids is damaged and is made again from the journal, which takes about 3 s a million \
             receipts; until then callbacks are answered `unavailable`"
        );
        let index = match std::mem::replace(&mut self.state, State::Ended) {
            State::Whole(index) => index,
            other @ (State::Rebuilding(_) | State::Ended) => {
                self.state = other;
                return;
            }
        };
        self.metrics.ids_damaged.inc();
        let source = Source::new(&self.journal, &self.metrics);
        match Rebuild::start(source, Some((index, damaged.path))) {
            Ok(rebuild) => self.state = State::Rebuilding(rebuild),
            // Nothing is looked up any more, so nothing is taken for absent; a restart makes it again.
            Err(error) => {
                tracing::error!(%error, "no thread to make the index of ids again; restart readhook")
            }
        }
    }
}

fn not_whole() -> io::Error {
    io::Error::other("the index of the journal's ids is being made again from the journal")
}

/// Where the ids of a journal lie.
pub(super) fn folder_of(journal: &Path) -> PathBuf {
    open::beside(journal, open::IDS)
}
