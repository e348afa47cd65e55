//! The thread that takes ids out of memory: writes each full table as a run, and merges runs, so that there are few to
//! look into. Each run is at least twice as large as the next newer one; so each id is written anew once per doubling, and
//! ten million ids are in some seven runs at most.

use std::collections::VecDeque;
use std::io;
use std::iter::Peekable;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::Duration;

use super::super::Seq;
use super::memtable::Memtable;
use super::run::{Damaged, Item, Run};
use super::run_writer::RunWriter;
use crate::log_limit::LogLimit;

/// How long it rests when the disk would not take a run.
const REST: Duration = Duration::from_secs(1);
/// After so many entries of a merge it looks whether a table has become full meanwhile.
const LOOK_EVERY: usize = 16_384;

/// A table that is full, and the positions that it stands for.
pub(super) struct Sealed {
    pub(super) ids: Arc<Memtable>,
    pub(super) first: Seq,
    pub(super) last: Seq,
}

/// What the compactor reports.
pub(super) enum News {
    /// The runs that there are now, oldest first, and how many of the oldest tables are in them.
    Changed { runs: Vec<Arc<Run>>, flushed: usize },
    /// A run cannot be believed. The compactor has ended.
    Damaged(Damaged),
}

pub(super) struct Compactor {
    pub(super) folder: PathBuf,
    /// Oldest first.
    pub(super) runs: Vec<Arc<Run>>,
    /// What retention has forgotten need not be found any more.
    pub(super) forgotten: Arc<AtomicI64>,
    pub(super) sealed: Receiver<Sealed>,
    pub(super) waiting: VecDeque<Sealed>,
    pub(super) news: Sender<News>,
    pub(super) log: LogLimit,
}

/// Why a merge came to no end.
enum Unmerged {
    /// Nobody will ask any more.
    Closed,
    /// The disk did not take it.
    Disk(io::Error),
    Damaged(Damaged),
}

impl From<io::Error> for Unmerged {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl From<Damaged> for Unmerged {
    fn from(damaged: Damaged) -> Self {
        Self::Damaged(damaged)
    }
}

impl Compactor {
    /// Works until nobody can hand it a table any more, and what it was handed is on disk; or until it meets a run that
    /// cannot be believed.
    pub(super) fn run(mut self) {
        loop {
            if self.waiting.is_empty() {
                let Ok(sealed) = self.sealed.recv() else { return };
                self.waiting.push_back(sealed);
            }
            let worked = self.flush().map_err(Unmerged::Disk).and_then(|()| self.compact());
            let failed = match worked {
                Ok(()) | Err(Unmerged::Closed) => None,
                Err(Unmerged::Disk(error)) => Some(error),
                Err(Unmerged::Damaged(damaged)) => {
                    // What waits is read from the journal again, with the rest.
                    let _gone = self.news.send(News::Damaged(damaged));
                    return;
                }
            };
            if let Some(error) = failed {
                if let Some(suppressed) = self.log.admit() {
                    tracing::error!(%error, suppressed, folder = %self.folder.display(), "the journal's ids could not be written");
                }
                match self.sealed.recv_timeout(REST) {
                    Ok(sealed) => self.waiting.push_back(sealed),
                    Err(RecvTimeoutError::Timeout) => {}
                    // The next start reads them from the journal.
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        }
    }

    /// Makes runs of all tables that are full.
    fn flush(&mut self) -> io::Result<()> {
        while let Some(sealed) = self.waiting.front() {
            let Sealed { ids, first, last } = sealed;
            let mut run = RunWriter::create(&self.folder, *first, *last, ids.len() as u64)?;
            ids.sorted().try_for_each(|item| run.push(item))?;
            self.runs.push(Arc::new(run.finish()?));
            self.waiting.pop_front();
            self.tell(1);
        }
        Ok(())
    }

    /// Merges until each run is at least twice as large as the next newer one.
    fn compact(&mut self) -> Result<(), Unmerged> {
        let forgotten = self.forgotten.load(Ordering::Relaxed);
        while let Some(oldest) = self.runs.first().filter(|run| run.last <= forgotten) {
            oldest.remove();
            self.runs.remove(0);
            self.tell(0);
        }
        while let Some(at) = self.due() {
            self.merge(at)?;
        }
        Ok(())
    }

    /// The newer of the newest two runs that should be one.
    fn due(&self) -> Option<usize> {
        let forgotten = self.forgotten.load(Ordering::Relaxed);
        let entries = |at: usize| self.runs.get(at).map_or(0, |run| run.entries_behind(forgotten));
        (1..self.runs.len()).rev().find(|&at| entries(at - 1) < 2 * entries(at))
    }

    /// Merges the run at this place with the one before it. Tables that become full meanwhile do not wait for its end.
    fn merge(&mut self, at: usize) -> Result<(), Unmerged> {
        let forgotten = self.forgotten.load(Ordering::Relaxed);
        let (older, newer) = (self.runs[at - 1].clone(), self.runs[at].clone());
        let entries = older.entries_behind(Seq::MIN) + newer.entries_behind(Seq::MIN);
        let first = older.first.max(forgotten + 1).min(newer.last);
        let mut merged = RunWriter::create(&self.folder, first, newer.last, entries)?;
        let (mut left, mut right) = (older.items().peekable(), newer.items().peekable());
        for count in 1.. {
            let Some(item) = least(&mut left, &mut right) else { break };
            let item = item?;
            if item.1 > forgotten {
                merged.push(item)?;
            }
            if count % LOOK_EVERY == 0 {
                match self.sealed.try_recv() {
                    Ok(sealed) => {
                        self.waiting.push_back(sealed);
                        self.flush()?;
                    }
                    Err(TryRecvError::Empty) => {}
                    Err(TryRecvError::Disconnected) => {
                        merged.abandon()?;
                        return Err(Unmerged::Closed);
                    }
                }
            }
        }
        let merged = Arc::new(merged.finish()?);
        self.runs.splice(at - 1..=at, [merged]);
        self.tell(0);
        older.remove();
        newer.remove();
        Ok(())
    }

    fn tell(&self, flushed: usize) {
        // Whoever has gone does not want to know.
        let _gone = self.news.send(News::Changed { runs: self.runs.clone(), flushed });
    }
}

/// The lesser of the first two.
fn least<I: Iterator<Item = Result<Item, Damaged>>>(
    left: &mut Peekable<I>,
    right: &mut Peekable<I>,
) -> Option<Result<Item, Damaged>> {
    let from_left = match (left.peek(), right.peek()) {
        (Some(Ok(left)), Some(Ok(right))) => left <= right,
        (Some(_), _) => true,
        (None, _) => false,
    };
    if from_left { left.next() } else { right.next() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::sync::mpsc::channel;

    use super::*;

    /// Spread like a SHA-256, with two of each.
    fn fingerprint(seq: Seq) -> u64 {
        (seq / 2).cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    /// Hands over so many tables of this many ids, and gives the runs that come of it.
    fn compacted(folder: &std::path::Path, tables: i64, ids: i64, forgotten: Seq) -> Vec<Arc<Run>> {
        let ((hand_over, sealed), (news, told)) = (channel(), channel());
        let compactor = Compactor {
            folder: folder.to_owned(),
            runs: Vec::new(),
            forgotten: Arc::new(AtomicI64::new(forgotten)),
            sealed,
            waiting: VecDeque::new(),
            news,
            log: LogLimit::default(),
        };
        let mut flushed = 0;
        let mut runs = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| compactor.run());
            for table in 0..tables {
                let (first, last) = (table * ids + 1, (table + 1) * ids);
                let mut memtable = Memtable::default();
                (first..=last).for_each(|seq| memtable.insert(fingerprint(seq), seq));
                hand_over.send(Sealed { ids: Arc::new(memtable), first, last }).unwrap();
            }
            while flushed < usize::try_from(tables).unwrap() {
                let News::Changed { runs: now, flushed: more } = told.recv().unwrap() else {
                    panic!("a run is damaged")
                };
                flushed += more;
                runs = now;
            }
            drop(hand_over);
            for news in told.iter() {
                let News::Changed { runs: now, .. } = news else { panic!("a run is damaged") };
                runs = now;
            }
        });
        runs
    }

    fn find(runs: &[Arc<Run>], seq: Seq) -> Vec<Seq> {
        let (mut found, mut buffer) = (Vec::new(), Vec::new());
        runs.iter().try_for_each(|run| run.find(fingerprint(seq), &mut buffer, &mut found)).unwrap();
        found.sort_unstable();
        found
    }

    #[test]
    fn runs_stay_few_and_have_everything_that_is_not_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let runs = compacted(folder.path(), 100, 300, 1_000);
        let sizes: Vec<u64> = runs.iter().map(|run| run.entries_behind(1_000)).collect();
        assert!(sizes.windows(2).all(|pair| pair[0] >= 2 * pair[1]), "{sizes:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), runs.len(), "the others are gone");
        assert_eq!((runs[0].first <= 1_001, runs[runs.len() - 1].last), (true, 30_000));
        assert!(runs.windows(2).all(|pair| pair[0].last + 1 == pair[1].first));
        for seq in (1_002..30_000).step_by(2) {
            assert_eq!(find(&runs, seq), [seq, seq + 1]);
        }
        assert!(find(&runs, 30_002).is_empty());
        let all: u64 = runs.iter().map(|run| run.items().count() as u64).sum();
        assert!((29_000..=29_000 + sizes[sizes.len() - 1] + 1_000).contains(&all), "{all}");
    }

    #[test]
    fn a_run_tells_what_was_put_into_it_also_when_it_is_opened_anew() {
        let folder = tempfile::tempdir().unwrap();
        for count in [0, 1, 2, 127, 128, 129, 5_000] {
            let mut items: Vec<Item> = (0..count).map(|seq| (fingerprint(seq), seq)).collect();
            items.extend([(0, 9_000), (u64::MAX, 9_001), (u64::MAX, 9_002)]);
            items.sort_unstable();
            let mut run = RunWriter::create(folder.path(), 1, 9_002, items.len() as u64 + 400).unwrap();
            items.iter().for_each(|item| run.push(*item).unwrap());
            drop(run.finish().unwrap());
            let run = Run::open(folder.path().join("0000000000000001-000000000000232a.run")).unwrap();
            assert_eq!(run.witness, Some((u64::MAX, 9_002)));
            assert_eq!(run.items().collect::<Result<Vec<_>, _>>().unwrap(), items);
            let mut model = BTreeMap::<u64, Vec<Seq>>::new();
            items.iter().for_each(|(fingerprint, seq)| model.entry(*fingerprint).or_default().push(*seq));
            for (fingerprint, seqs) in model {
                let mut found = Vec::new();
                run.find(fingerprint, &mut Vec::new(), &mut found).unwrap();
                assert_eq!(found, seqs);
                run.find(fingerprint ^ 0x0010_0000, &mut Vec::new(), &mut found).unwrap();
                assert_eq!(found, seqs, "no other");
            }
        }
    }

    #[test]
    fn a_damaged_run_is_not_read() {
        const FOOTER: usize = 7 * 8 + 32;
        let folder = tempfile::tempdir().unwrap();
        let mut items: Vec<Item> = (0..640).map(|seq| (fingerprint(seq), seq)).collect();
        items.sort_unstable();
        let mut run = RunWriter::create(folder.path(), 0, 639, 640).unwrap();
        items.iter().for_each(|item| run.push(*item).unwrap());
        drop(run.finish().unwrap());
        let path = folder.path().join("0000000000000000-000000000000027f.run");
        let whole = fs::read(&path).unwrap();
        let (entries, words, directory) = (640 * 16, 81 * 8, 11 * 4 + 10 * 8);
        assert_eq!(whole.len(), entries + words + directory + FOOTER);
        // In the filter, in the directory and its checksums, in the footer.
        let behind = entries + words;
        for at in [entries, behind - 1, behind, behind + directory - 1, whole.len() - FOOTER, whole.len() - 1]
        {
            let mut damaged = whole.clone();
            damaged[at] ^= 4;
            fs::write(&path, damaged).unwrap();
            assert!(Run::open(path.clone()).is_err(), "{at}");
        }
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(Run::open(path.clone()).is_err());
        // An entry is noticed when it is read, whichever bit of it has changed, and never taken for absent.
        for at in (0..entries).step_by(97) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (at % 8);
            fs::write(&path, damaged).unwrap();
            let run = Run::open(path.clone()).unwrap();
            let (mut found, mut buffer) = (Vec::new(), Vec::new());
            let looks = (0..640).map(|seq| {
                found.clear();
                run.find(fingerprint(seq), &mut buffer, &mut found).map(|()| found.contains(&seq))
            });
            let looks: Vec<_> = looks.collect();
            assert!(looks.iter().all(|look| look.as_ref().map_or(true, |there| *there)), "{at}");
            assert!(looks.iter().any(Result::is_err), "{at}");
            assert!(run.items().any(|item| item.is_err()), "{at}");
        }
    }
}
