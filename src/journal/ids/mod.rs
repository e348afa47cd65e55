//! Which receipts the journal has, by id: how a repeat is known. It stands beside the journal's file, in a folder of its
//! own, and is made from it, so that what a commit has to write does not depend on the order of the ids.
//!
//! It is a log-structured merge tree. The newest ids are in memory; when they are many they are sealed and written as a
//! run, and runs are merged, all by the [`compactor`]. It only ever says where an id *may* be: the receipt at that position
//! says whether it is. So an entry too many costs a look, and none of it has to be synced with a commit: what is not in a
//! run is read from the journal at the next start.

mod compactor;
mod filter;
mod memtable;
mod recovery;
mod run;
mod run_writer;

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::{Seq, open};
use crate::log_limit::LogLimit;
use compactor::{Compactor, News, Sealed};
use memtable::Memtable;
use run::Run;

/// The beginning of an id, which stands for it.
pub(super) type Fingerprint = u64;

/// With so many ids a table is full: a quarter of a megabyte, and what is read again after a crash. A turn of the writer ends
/// before that is looked at, so there is room for four thousand more before the map would double.
const TABLE_IDS: usize = 10_200;
/// So many full tables may wait for the disk. That many wait only when the disk does not take them; then no more receipts
/// are.
const WAITING_TABLES: usize = 128;

/// The writer's end.
pub(super) struct Ids {
    recent: Memtable,
    /// What was a full table before: two are used in turn.
    spare: Memtable,
    /// Full tables that are not in a run yet, oldest first.
    sealed: VecDeque<Arc<Memtable>>,
    runs: Vec<Arc<Run>>,
    /// Up to here everything is in a sealed table or a run.
    covered: Seq,
    forgotten: Arc<AtomicI64>,
    compactor: Option<(Sender<Sealed>, JoinHandle<()>)>,
    news: Receiver<News>,
    found: Vec<Seq>,
    buffer: Vec<u8>,
}

impl Ids {
    /// Opens what there is beside the journal and fits it, and begins to work; everything behind [`Ids::covered`] is then to
    /// be added. `fingerprint_at` says what the receipt at a position has.
    ///
    /// # Errors
    /// When the folder cannot be made, read or tidied.
    pub(super) fn open(
        journal: &Path,
        head: Seq,
        forgotten: Seq,
        fingerprint_at: impl Fn(Seq) -> io::Result<Option<Fingerprint>>,
    ) -> io::Result<Self> {
        let folder = open::beside(journal, open::IDS);
        std::fs::create_dir_all(&folder)?;
        let (runs, covered) = recovery::recover(&folder, head, forgotten, fingerprint_at)?;
        let forgotten = Arc::new(AtomicI64::new(forgotten));
        let ((tables, sealed), (news_sender, news)) = (channel(), channel());
        let compactor = Compactor {
            folder,
            runs: runs.clone(),
            forgotten: forgotten.clone(),
            sealed,
            waiting: VecDeque::new(),
            news: news_sender,
            log: LogLimit::default(),
        };
        let thread = std::thread::Builder::new().name("ids".to_owned()).spawn(move || compactor.run())?;
        Ok(Self {
            recent: Memtable::default(),
            spare: Memtable::default(),
            sealed: VecDeque::new(),
            runs,
            covered,
            forgotten,
            compactor: Some((tables, thread)),
            news,
            found: Vec::new(),
            buffer: Vec::new(),
        })
    }

    /// Up to this position everything is in it but what was added since.
    pub(super) fn covered(&self) -> Seq {
        self.covered
    }

    /// The positions that may have this id.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) fn find(&mut self, fingerprint: Fingerprint) -> io::Result<&[Seq]> {
        self.found.clear();
        self.recent.find(fingerprint, &mut self.found);
        for table in &self.sealed {
            table.find(fingerprint, &mut self.found);
        }
        for run in &self.runs {
            run.find(fingerprint, &mut self.buffer, &mut self.found)?;
        }
        Ok(&self.found)
    }

    /// Adds what is at a position.
    pub(super) fn add(&mut self, fingerprint: Fingerprint, seq: Seq) {
        self.recent.insert(fingerprint, seq);
    }

    /// Everything up to `head` is on disk, and is taken out of memory when it is much; says whether it was.
    pub(super) fn committed(&mut self, head: Seq) -> bool {
        let full = self.recent.len() >= TABLE_IDS;
        if full {
            self.seal(head);
        }
        full
    }

    /// What was added behind `head` is not in the journal after all.
    pub(super) fn taken_back(&mut self, head: Seq) {
        self.recent.take_back(head);
    }

    /// Everything up to this position has been forgotten.
    pub(super) fn forget(&self, through: Seq) {
        self.forgotten.store(through, Ordering::Relaxed);
    }

    /// Takes over what has come to be on disk. An error when the disk has not taken the ids for so long that there is no
    /// room for more.
    pub(super) fn catch_up(&mut self) -> io::Result<()> {
        while let Ok(news) = self.news.try_recv() {
            self.take_over(news);
        }
        match self.sealed.len() < WAITING_TABLES {
            true => Ok(()),
            false => {
                Err(io::Error::other("the journal's ids cannot be written, and there is no room for more"))
            }
        }
    }

    /// The same, but waits until there is room.
    pub(super) fn wait_for_room(&mut self) {
        while self.catch_up().is_err() {
            let Ok(news) = self.news.recv() else { return };
            self.take_over(news);
        }
    }

    /// Puts everything on disk, if the disk takes it, and ends.
    pub(super) fn close(mut self, head: Seq) {
        if self.recent.len() > 0 {
            self.seal(head);
        }
    }

    fn take_over(&mut self, news: News) {
        self.runs = news.runs;
        for table in self.sealed.drain(..news.flushed.min(self.sealed.len())) {
            // The compactor lets go of a table before it tells.
            if let Some(table) = Arc::into_inner(table) {
                self.spare = table.cleared();
            }
        }
    }

    fn seal(&mut self, head: Seq) {
        let full = std::mem::replace(&mut self.recent, std::mem::take(&mut self.spare));
        let ids = Arc::new(full);
        if let Some((tables, _)) = &self.compactor {
            // If it has ended, in a panic, the table stays in memory, and before there are too many nothing is lost.
            let _ended = tables.send(Sealed { ids: ids.clone(), first: self.covered + 1, last: head });
        }
        self.sealed.push_back(ids);
        self.covered = head;
    }
}

impl Drop for Ids {
    fn drop(&mut self) {
        if let Some((tables, thread)) = self.compactor.take() {
            drop(tables);
            if thread.join().is_err() {
                tracing::error!("the thread that writes the journal's ids ended in a panic");
            }
        }
    }
}
