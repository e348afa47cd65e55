//! A run: ids in a file, sorted by fingerprint, never changed once it has its name.
//!
//! Fingerprints are evenly spread, so the file is divided into buckets of like width and a directory in memory says where
//! each begins; a look is one read of a kilobyte, however large the run is. Most looks end at the run's filter.
//!
//! ```text
//! entries    fingerprint u64, seq i64; sorted
//! filter     its words, u64; how many, the number of buckets says
//! directory  per bucket, and once more for the end: number of the first entry, u32
//! footer     magic, first, last, entries, buckets, witness fingerprint, witness seq: u64 each
//!            SHA-256 of filter, directory and footer up to here
//! ```
//! All numbers are little-endian.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::super::Seq;
use super::Fingerprint;
use super::filter::Filter;

pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"rhids\0\0\x02");
pub(super) const ENTRY: usize = 16;
/// So many entries a bucket has on average.
pub(super) const BUCKET: u64 = 64;
const FOOTER: usize = 7 * 8 + 32;
/// What a run is called before it is one.
pub(super) const PART: &str = "part";
/// The end of a run's name.
pub(super) const EXTENSION: &str = "run";

/// An id in a run.
pub(super) type Item = (Fingerprint, Seq);

/// A run that is whole.
pub(super) struct Run {
    pub(super) file: File,
    pub(super) path: PathBuf,
    /// The receipts from this position …
    pub(super) first: Seq,
    /// … to this one are in it, as far as they had not been forgotten when it was made.
    pub(super) last: Seq,
    pub(super) entries: u64,
    pub(super) directory: Vec<u32>,
    pub(super) filter: Filter,
    /// Its newest entry, by which it is known whether it is of this journal.
    pub(super) witness: Option<Item>,
}

impl Run {
    /// Opens a file that a [`RunWriter`](super::run_writer::RunWriter) has made.
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
        let word_count = Filter::words_for(filtered(buckets));
        let length_of = || {
            let directory = buckets.checked_add(1)?.checked_mul(4)?;
            let filter = word_count.checked_mul(8)?;
            entries
                .checked_mul(ENTRY as u64)?
                .checked_add(filter)?
                .checked_add(directory)?
                .checked_add(FOOTER as u64)
        };
        if magic != MAGIC || length_of() != Some(length) {
            return Err(wrong());
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
        if sum.chain_update(&footer[..FOOTER - 32]).finalize()[..] != *digest {
            return Err(wrong());
        }
        Ok(Self {
            file,
            path,
            first: first.cast_signed(),
            last: last.cast_signed(),
            entries,
            directory,
            filter,
            witness: (entries > 0).then_some(witness),
        })
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
        if !self.filter.may_have(fingerprint) {
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
        let mut file = BufReader::with_capacity(32 << 10, File::open(&self.path)?);
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
