//! The index of ids as it works: a log-structured merge tree. The newest ids are in memory; a full table is sealed and
//! written as a run, and runs are merged, both by the [`compactor`](super::compactor). It says where an id *may* be: the
//! receipt at that position decides. It never says "absent" of what it could not read.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::super::Seq;
use super::Fingerprint;
use super::compactor::{Compactor, News, Sealed};
use super::memtable::Memtable;
use super::run::{Damaged, Run};
use crate::log_limit::LogLimit;

/// With so many ids a table is full: a quarter of a megabyte, and what is read again after a crash. A turn of the writer ends
/// before that is looked at, so there is room for four thousand more before the map would double.
pub(super) const TABLE_IDS: usize = 10_200;
/// So many full tables may wait for the disk. That many wait only when the disk does not take them; then no more receipts
/// are.
const WAITING_TABLES: usize = 128;

/// Why the index cannot be used.
pub(super) enum Trouble {
    /// The disk has not taken the ids for so long that no more fit into memory.
    Full,
    /// A run does not hold what was written to it.
    Damaged(Damaged),
}

/// All ids of the journal: memory, and runs on disk.
pub(super) struct Index {
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
    buffer: Vec<u8>,
}

impl Index {
    /// Begins with these runs, which hold everything from `forgotten` to `covered`, and starts the compactor. What is behind
    /// `covered` must be added before anything is looked up.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub(super) fn start(
        folder: PathBuf,
        runs: Vec<Arc<Run>>,
        covered: Seq,
        forgotten: Seq,
    ) -> io::Result<Self> {
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
            buffer: Vec::new(),
        })
    }

    /// Adds the positions that may have this id.
    ///
    /// # Errors
    /// When a block of a run does not match its checksum or cannot be read.
    pub(super) fn find(&mut self, fingerprint: Fingerprint, found: &mut Vec<Seq>) -> Result<(), Damaged> {
        self.recent.find(fingerprint, found);
        for table in &self.sealed {
            table.find(fingerprint, found);
        }
        self.runs.iter().try_for_each(|run| run.find(fingerprint, &mut self.buffer, found))
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

    /// Takes over what the compactor has done.
    pub(super) fn catch_up(&mut self) -> Result<(), Trouble> {
        while let Ok(news) = self.news.try_recv() {
            self.take_over(news).map_err(Trouble::Damaged)?;
        }
        if self.sealed.len() < WAITING_TABLES { Ok(()) } else { Err(Trouble::Full) }
    }

    /// The same, but waits until more fits.
    pub(super) fn wait_for_room(&mut self) -> Result<(), Damaged> {
        loop {
            match self.catch_up() {
                Ok(()) => return Ok(()),
                Err(Trouble::Damaged(damaged)) => return Err(damaged),
                Err(Trouble::Full) => {}
            }
            let Ok(news) = self.news.recv() else { return Ok(()) };
            self.take_over(news)?;
        }
    }

    /// Puts everything on disk, if the disk takes it, and ends.
    pub(super) fn close(mut self, head: Seq) {
        if self.recent.len() > 0 {
            self.seal(head);
        }
    }

    fn take_over(&mut self, news: News) -> Result<(), Damaged> {
        match news {
            News::Changed { runs, flushed } => {
                self.runs = runs;
                for table in self.sealed.drain(..flushed.min(self.sealed.len())) {
                    // The compactor lets go of a table before it tells.
                    if let Some(table) = Arc::into_inner(table) {
                        self.spare = table.cleared();
                    }
                }
                Ok(())
            }
            News::Damaged(damaged) => Err(damaged),
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

impl Drop for Index {
    fn drop(&mut self) {
        if let Some((tables, thread)) = self.compactor.take() {
            drop(tables);
            if thread.join().is_err() {
                tracing::error!("the thread that writes the journal's ids ended in a panic");
            }
        }
    }
}
