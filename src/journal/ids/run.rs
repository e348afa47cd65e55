//! A run: ids in a file, sorted by fingerprint, never changed once it has its name.
//!
//! Fingerprints are evenly spread, so the file is divided into buckets of like width and a directory in memory says where
//! each begins; a look is one read of a kilobyte, however large the run is. Most looks at a small run end at its filter.
//!
//! ```text
//! entries    fingerprint u64, seq i64; sorted
//! directory  per bucket, and once more for the end: number of the first entry, u32
//! footer     magic, first, last, entries, buckets, witness fingerprint, witness seq: u64 each
//!            SHA-256 of directory and footer up to here
//! ```
//! All numbers are little-endian.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::super::Seq;
use super::Fingerprint;
use super::filter::Filter;

const MAGIC: u64 = u64::from_le_bytes(*b"rhids\0\0\x01");
const ENTRY: usize = 16;
/// So many entries a bucket has on average.
const BUCKET: u64 = 64;
const FOOTER: usize = 7 * 8 + 32;
/// So many bytes may wait for the disk: were it a whole large run, the journal's own syncs would wait for it.
const SYNC_EVERY_BYTES: u64 = 4 << 20;
/// A run of up to so many ids has a filter: all of them together then have a megabyte at the most, however much is stored.
const FILTERED: u64 = 1 << 19;
/// What a run is called before it is one.
pub(super) const PART: &str = "part";
/// The end of a run's name.
pub(super) const EXTENSION: &str = "run";

/// An id in a run.
pub(super) type Item = (Fingerprint, Seq);

/// A run that is whole.
pub(super) struct Run {
    file: File,
    path: PathBuf,
    /// The receipts from this position …
    pub(super) first: Seq,
    /// … to this one are in it, as far as they had not been forgotten when it was made.
    pub(super) last: Seq,
    entries: u64,
    directory: Vec<u32>,
    filter: Option<Filter>,
    /// Its newest entry, by which it is known whether it is of this journal.
    pub(super) witness: Option<Item>,
}

impl Run {
    /// Opens a file that [`RunWriter`] has made.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        let wrong = || io::Error::from(io::ErrorKind::InvalidData);
        let mut file = File::open(&path)?;
        let length = file.metadata()?.len();
        let mut footer = [0; FOOTER];
        file.read_exact_at(&mut footer, length.checked_sub(FOOTER as u64).ok_or_else(wrong)?)?;
        let (numbers, digest) = footer.split_at(FOOTER - 32);
        let mut numbers = numbers.chunks_exact(8).map(number);
        let mut next = || numbers.next().unwrap_or(0);
        let (magic, first, last, entries, buckets) = (next(), next(), next(), next(), next());
        let witness = (next(), next().cast_signed());
        let expected = |entries: u64, buckets: u64| {
            let directory = buckets.checked_add(1)?.checked_mul(4)?;
            entries.checked_mul(ENTRY as u64)?.checked_add(directory)?.checked_add(FOOTER as u64)
        };
        if magic != MAGIC || expected(entries, buckets) != Some(length) {
            return Err(wrong());
        }
        file.seek(SeekFrom::Start(entries * ENTRY as u64))?;
        let mut directory = vec![0; usize::try_from(buckets + 1).map_err(|_| wrong())? * 4];
        file.read_exact(&mut directory)?;
        if Sha256::new().chain_update(&directory).chain_update(&footer[..FOOTER - 32]).finalize()[..]
            != *digest
        {
            return Err(wrong());
        }
        let directory =
            directory.chunks_exact(4).map(|bytes| u32::try_from(number(bytes)).unwrap_or(u32::MAX));
        let mut run = Self {
            file,
            path,
            first: first.cast_signed(),
            last: last.cast_signed(),
            entries,
            directory: directory.collect(),
            filter: None,
            witness: (entries > 0).then_some(witness),
        };
        if entries <= FILTERED {
            let mut filter = Filter::for_ids(entries);
            for item in run.items()? {
                filter.insert(item?.0);
            }
            run.filter = Some(filter);
        }
        Ok(run)
    }

    /// Adds the positions that may have this fingerprint's id.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn find(
        &self,
        fingerprint: Fingerprint,
        buffer: &mut Vec<u8>,
        found: &mut Vec<Seq>,
    ) -> io::Result<()> {
        if self.filter.as_ref().is_some_and(|filter| !filter.may_have(fingerprint)) {
            return Ok(());
        }
        let bucket = bucket(fingerprint, self.directory.len() as u64 - 1);
        let (Some(&from), Some(&to)) = (self.directory.get(bucket), self.directory.get(bucket + 1)) else {
            return Ok(());
        };
        buffer.resize((to - from) as usize * ENTRY, 0);
        self.file.read_exact_at(buffer, u64::from(from) * ENTRY as u64)?;
        let (entries, _) = buffer.as_chunks::<ENTRY>();
        let begin = entries.partition_point(|entry| item(entry).0 < fingerprint);
        let same = entries.iter().skip(begin).map(item).take_while(|(other, _)| *other == fingerprint);
        found.extend(same.map(|(_, seq)| seq));
        Ok(())
    }

    /// How many of its entries are behind a position, going by how many positions are.
    pub(super) fn entries_behind(&self, forgotten: Seq) -> u64 {
        let all = (self.last - self.first + 1).max(1).unsigned_abs();
        let left = (self.last - forgotten.max(self.first - 1)).max(0).unsigned_abs();
        u64::try_from(u128::from(self.entries) * u128::from(left) / u128::from(all)).unwrap_or(self.entries)
    }

    /// Everything in it, in order.
    ///
    /// # Errors
    /// When the file cannot be read, or is not sorted.
    pub(super) fn items(&self) -> io::Result<impl Iterator<Item = io::Result<Item>>> {
        let mut file = BufReader::with_capacity(64 << 10, File::open(&self.path)?);
        let mut before = (0, Seq::MIN);
        let entries = self.entries;
        Ok((0..entries).map(move |_| {
            let mut bytes = [0; ENTRY];
            file.read_exact(&mut bytes)?;
            let item = item(&bytes);
            if item < before {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not sorted"));
            }
            before = item;
            Ok(item)
        }))
    }

    /// Takes the file away. Who has it open can go on reading.
    pub(super) fn remove(&self) {
        // What stays is found out at the next start.
        let _gone = fs::remove_file(&self.path);
    }
}

/// A run in the making. Dropped before its end, a part is left, which the next start removes.
pub(super) struct RunWriter {
    file: BufWriter<File>,
    folder: PathBuf,
    part: PathBuf,
    first: Seq,
    last: Seq,
    entries: u32,
    directory: Vec<u32>,
    buckets: u64,
    witness: Item,
    unsynced: u64,
}

impl RunWriter {
    /// Begins a run of what was stored from `first` to `last`, with at most `entries`.
    pub(super) fn create(folder: &Path, first: Seq, last: Seq, entries: u64) -> io::Result<Self> {
        if entries > u64::from(u32::MAX) {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "more ids than a run holds"));
        }
        let part = folder.join(format!("{first:016x}-{last:016x}.{PART}"));
        let file = BufWriter::with_capacity(64 << 10, File::create(&part)?);
        let (folder, buckets) = (folder.to_owned(), (entries / BUCKET).max(1));
        let directory = Vec::with_capacity(usize::try_from(buckets + 1).unwrap_or(0));
        let witness = (0, Seq::MIN);
        Ok(Self { file, folder, part, first, last, entries: 0, directory, buckets, witness, unsynced: 0 })
    }

    /// Adds the next one in order.
    pub(super) fn push(&mut self, (fingerprint, seq): Item) -> io::Result<()> {
        self.begin_buckets_to(bucket(fingerprint, self.buckets));
        let mut entry = [0; ENTRY];
        entry[..8].copy_from_slice(&fingerprint.to_le_bytes());
        entry[8..].copy_from_slice(&seq.to_le_bytes());
        self.file.write_all(&entry)?;
        self.entries += 1;
        if seq > self.witness.1 {
            self.witness = (fingerprint, seq);
        }
        self.unsynced += ENTRY as u64;
        if self.unsynced >= SYNC_EVERY_BYTES {
            self.unsynced = 0;
            self.file.flush()?;
            self.file.get_ref().sync_data()?;
        }
        Ok(())
    }

    /// Makes it a run: on disk, then with its name, then in its folder.
    pub(super) fn finish(mut self) -> io::Result<Run> {
        self.begin_buckets_to(usize::try_from(self.buckets).unwrap_or(usize::MAX));
        let mut rest: Vec<u8> = self.directory.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        let positions = [self.first, self.last].map(Seq::cast_unsigned);
        let (fingerprint, seq) = self.witness;
        let numbers = [u64::from(self.entries), self.buckets, fingerprint, seq.cast_unsigned()];
        for number in [MAGIC].into_iter().chain(positions).chain(numbers) {
            rest.extend_from_slice(&number.to_le_bytes());
        }
        let digest = Sha256::digest(&rest);
        self.file.write_all(&rest)?;
        self.file.write_all(&digest)?;
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        let path = self.part.with_extension(EXTENSION);
        fs::rename(&self.part, &path)?;
        File::open(&self.folder)?.sync_all()?;
        Run::open(path)
    }

    fn begin_buckets_to(&mut self, bucket: usize) {
        while self.directory.len() <= bucket {
            self.directory.push(self.entries);
        }
    }
}

/// Which bucket of so many a fingerprint falls into; never falls as it grows.
fn bucket(fingerprint: Fingerprint, buckets: u64) -> usize {
    usize::try_from((u128::from(fingerprint) * u128::from(buckets)) >> 64).unwrap_or(usize::MAX)
}

fn item(entry: &[u8; ENTRY]) -> Item {
    (number(&entry[..8]), number(&entry[8..]).cast_signed())
}

fn number(bytes: &[u8]) -> u64 {
    let mut all = [0; 8];
    all[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(all)
}
