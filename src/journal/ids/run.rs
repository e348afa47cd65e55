//! A run: ids in a file, sorted by fingerprint, never changed once it has its name.
//!
//! Fingerprints are evenly spread, so the file is divided into buckets of like width and a directory in memory says where
//! each begins and what its checksum is; a look is one read of a kilobyte, however large the run is. Most looks end at the
//! run's filter. Whatever is read is compared with its checksum first: the filter, the directory and the footer when the file is
//! opened, a bucket each time.
//!
//! ```text
//! entries    fingerprint u64, seq i64; sorted
//! filter     its words, u64; how many, the number of buckets says
//! directory  per bucket, and once more for the end: number of the first entry, u32
//! checksums  per bucket: XXH3-64 of its entries, u64; the seed is of the run's last position and the bucket's number, so
//!            that a bucket of another place or run does not fit
//! footer     magic with the version, first, last, entries, buckets, witness fingerprint, witness seq: u64 each
//!            SHA-256 of filter, directory, checksums and footer up to here
//! ```
//! All numbers are little-endian. Version 2 had no checksums of entries: such a run is not read but made again from the
//! journal, because what was damaged in it would otherwise be taken over.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::super::Seq;
use super::Fingerprint;
use super::filter::Filter;

pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"rhids\0\0\x03");
/// The last version without checksums of entries.
const UNVERIFIED: u64 = u64::from_le_bytes(*b"rhids\0\0\x02");
pub(super) const ENTRY: usize = 16;
/// So many entries a bucket has on average.
pub(super) const BUCKET: u64 = 64;
const FOOTER: usize = 7 * 8 + 32;
/// What a run is called before it is one.
pub(super) const PART: &str = "part";
/// The end of a run's name.
pub(super) const EXTENSION: &str = "run";
/// So many bytes are read in one go by who reads everything.
const CHUNK: usize = 32 << 10;

/// An id in a run.
pub(in super::super) type Item = (Fingerprint, Seq);

/// A run that cannot be believed: a block does not match its checksum, or cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("`{}` is damaged: {problem}", path.display())]
pub(in super::super) struct Damaged {
    pub(super) path: PathBuf,
    pub(super) problem: io::Error,
}

/// Why a file is not opened as a run.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum Unfit {
    /// Filter, directory or footer do not match their checksum, or the length is not what they say.
    #[error("its filter, directory or footer is damaged, or its length is not what it was")]
    Damaged,
    /// Of a version without checksums.
    #[error("an earlier version wrote it, without checksums")]
    Unverified,
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A run that is whole, as far as its directory goes. Buckets are verified when they are read.
pub(in super::super) struct Run {
    pub(super) file: File,
    pub(in super::super) path: PathBuf,
    /// The receipts from this position …
    pub(in super::super) first: Seq,
    /// … to this one are in it, as far as they had not been forgotten when it was made.
    pub(in super::super) last: Seq,
    pub(in super::super) entries: u64,
    pub(super) directory: Vec<u32>,
    /// Of each bucket.
    pub(super) checksums: Vec<u64>,
    pub(super) filter: Filter,
    /// Its newest entry, by which it is known whether it is of this journal.
    pub(super) witness: Option<Item>,
}

impl Run {
    /// Opens a file that a [`RunWriter`](super::run_writer::RunWriter) has made.
    ///
    /// # Errors
    /// When it is not what was written, or of an earlier version.
    pub(super) fn open(path: PathBuf) -> Result<Self, Unfit> {
        let mut file = File::open(&path)?;
        let length = file.metadata()?.len();
        let mut footer = [0; FOOTER];
        file.read_exact_at(&mut footer, length.checked_sub(FOOTER as u64).ok_or(Unfit::Damaged)?)?;
        let (numbers, digest) = footer.split_at(FOOTER - 32);
        let mut numbers = numbers.chunks_exact(8).map(number);
        let mut next = || numbers.next().unwrap_or(0);
        let (magic, first, last, entries, buckets) = (next(), next(), next(), next(), next());
        let witness = (next(), next().cast_signed());
        let word_count = Filter::words_for(filtered(buckets));
        let length_of = || {
            let directory = buckets.checked_add(1)?.checked_mul(4)?;
            let filter = word_count.checked_mul(8)?;
            let checksums = buckets.checked_mul(8)?;
            entries
                .checked_mul(ENTRY as u64)?
                .checked_add(filter)?
                .checked_add(directory)?
                .checked_add(checksums)?
                .checked_add(FOOTER as u64)
        };
        if magic == UNVERIFIED {
            return Err(Unfit::Unverified);
        }
        if magic != MAGIC || length_of() != Some(length) {
            return Err(Unfit::Damaged);
        }
        file.seek(SeekFrom::Start(entries * ENTRY as u64))?;
        let mut sum = Sha256::new();
        let mut filter = Filter::for_ids(filtered(buckets));
        let mut words = filter.words_mut();
        read_numbers(&mut file, word_count, 8, &mut sum, |number| {
            if let Some(word) = words.next() {
                *word = number;
            }
        })?;
        drop(words);
        let mut directory = Vec::with_capacity(usize::try_from(buckets + 1).map_err(io::Error::other)?);
        read_numbers(&mut file, buckets + 1, 4, &mut sum, |entry| {
            directory.push(u32::try_from(entry).unwrap_or(u32::MAX));
        })?;
        let mut checksums = Vec::with_capacity(usize::try_from(buckets).map_err(io::Error::other)?);
        read_numbers(&mut file, buckets, 8, &mut sum, |checksum| checksums.push(checksum))?;
        if sum.chain_update(&footer[..FOOTER - 32]).finalize()[..] != *digest {
            return Err(Unfit::Damaged);
        }
        Ok(Self {
            file,
            path,
            first: first.cast_signed(),
            last: last.cast_signed(),
            entries,
            directory,
            checksums,
            filter,
            witness: (entries > 0).then_some(witness),
        })
    }

    /// Adds the positions that may have this fingerprint's id.
    ///
    /// # Errors
    /// When the bucket does not match its checksum or cannot be read. Nothing is known of the id then.
    pub(super) fn find(
        &self,
        fingerprint: Fingerprint,
        buffer: &mut Vec<u8>,
        found: &mut Vec<Seq>,
    ) -> Result<(), Damaged> {
        if !self.filter.may_have(fingerprint) {
            return Ok(());
        }
        let bucket = bucket(fingerprint, self.checksums.len() as u64);
        self.read(bucket, bucket + 1, buffer)?;
        let (entries, _) = buffer.as_chunks::<ENTRY>();
        let begin = entries.partition_point(|entry| item(entry).0 < fingerprint);
        let same = entries.iter().skip(begin).map(item).take_while(|(other, _)| *other == fingerprint);
        found.extend(same.map(|(_, seq)| seq));
        Ok(())
    }

    /// Reads the buckets from one to before another, and compares each with its checksum.
    fn read(&self, from: usize, to: usize, buffer: &mut Vec<u8>) -> Result<(), Damaged> {
        let offset = |bucket: usize| self.directory.get(bucket).map_or(0, |entry| *entry as usize * ENTRY);
        let begin = offset(from);
        buffer.resize(offset(to).saturating_sub(begin), 0);
        let damaged = |problem| Damaged { path: self.path.clone(), problem };
        self.file.read_exact_at(buffer, begin as u64).map_err(damaged)?;
        for bucket in from..to {
            let bytes = buffer.get(offset(bucket) - begin..offset(bucket + 1) - begin).unwrap_or_default();
            if self.checksums.get(bucket) != Some(&checksum(bytes, self.last, bucket)) {
                let problem =
                    format!("block {bucket} of {} does not match its checksum", self.checksums.len());
                return Err(damaged(io::Error::new(io::ErrorKind::InvalidData, problem)));
            }
        }
        Ok(())
    }

    /// How many of its entries are behind a position, going by how many positions are.
    pub(super) fn entries_behind(&self, forgotten: Seq) -> u64 {
        let all = (self.last - self.first + 1).max(1).unsigned_abs();
        let left = (self.last - forgotten.max(self.first - 1)).max(0).unsigned_abs();
        u64::try_from(u128::from(self.entries) * u128::from(left) / u128::from(all)).unwrap_or(self.entries)
    }

    /// Everything in it, in order. Ends behind the first error, which says that a block cannot be believed.
    pub(in super::super) fn items(&self) -> Items<'_> {
        Items { run: self, bucket: 0, chunk: Vec::new(), at: 0, before: (0, Seq::MIN) }
    }

    /// Takes the file away. Who has it open can go on reading.
    pub(super) fn remove(&self) {
        // What stays is found out at the next start.
        let _gone = fs::remove_file(&self.path);
    }
}

/// See [`Run::items`].
pub(in super::super) struct Items<'r> {
    run: &'r Run,
    /// The next bucket to read.
    bucket: usize,
    chunk: Vec<u8>,
    at: usize,
    before: Item,
}

impl Items<'_> {
    fn refill(&mut self) -> Result<(), Damaged> {
        let (from, directory) = (self.bucket, &self.run.directory);
        let begin = directory.get(from).copied().unwrap_or(0) as usize;
        // At least one bucket, and as many more as fit.
        let fitting =
            directory.iter().skip(from + 1).take_while(|end| (**end as usize - begin) * ENTRY <= CHUNK);
        let to = from + fitting.count().max(1);
        self.run.read(from, to, &mut self.chunk)?;
        (self.bucket, self.at) = (to, 0);
        Ok(())
    }

    fn end(&mut self) {
        self.bucket = self.run.checksums.len();
        self.chunk.clear();
        self.at = 0;
    }
}

impl Iterator for Items<'_> {
    type Item = Result<Item, Damaged>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.at == self.chunk.len() {
            if self.bucket >= self.run.checksums.len() {
                return None;
            }
            if let Err(damaged) = self.refill() {
                self.end();
                return Some(Err(damaged));
            }
        }
        let item = item(self.chunk.get(self.at..)?.first_chunk()?);
        self.at += ENTRY;
        if item < self.before {
            self.end();
            let problem = io::Error::new(io::ErrorKind::InvalidData, "its entries are not sorted");
            return Some(Err(Damaged { path: self.run.path.clone(), problem }));
        }
        self.before = item;
        Some(Ok(item))
    }
}

/// The checksum of a bucket's entries.
pub(super) fn checksum(entries: &[u8], last: Seq, bucket: usize) -> u64 {
    xxh3_64_with_seed(entries, last.cast_unsigned().rotate_left(32) ^ bucket as u64)
}

/// Which bucket of so many a fingerprint falls into; never falls as it grows.
pub(super) fn bucket(fingerprint: Fingerprint, buckets: u64) -> usize {
    usize::try_from((u128::from(fingerprint) * u128::from(buckets)) >> 64).unwrap_or(usize::MAX)
}

/// For how many ids a run of so many buckets has a filter.
pub(super) fn filtered(buckets: u64) -> u64 {
    buckets.saturating_mul(BUCKET)
}

fn item(entry: &[u8; ENTRY]) -> Item {
    (number(&entry[..8]), number(&entry[8..]).cast_signed())
}

/// Reads numbers of `width` bytes, and adds them to the sum.
fn read_numbers(
    file: &mut File,
    count: u64,
    width: usize,
    sum: &mut Sha256,
    mut take: impl FnMut(u64),
) -> io::Result<()> {
    let mut left = usize::try_from(count).map_err(io::Error::other)?;
    let mut chunk = vec![0; (64 << 10).min(left * width)];
    while left > 0 {
        chunk.truncate(left * width);
        file.read_exact(&mut chunk)?;
        sum.update(&chunk);
        chunk.chunks_exact(width).for_each(|bytes| take(number(bytes)));
        left -= chunk.len() / width;
    }
    Ok(())
}

fn number(bytes: &[u8]) -> u64 {
    let mut all = [0; 8];
    all[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(all)
}
