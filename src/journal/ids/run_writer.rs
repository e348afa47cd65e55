//! Writes a run, entry by entry, so that a large one needs no more memory than what it keeps.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::super::Seq;
use super::filter::Filter;
use super::run::{BUCKET, ENTRY, EXTENSION, Item, MAGIC, PART, Run, bucket, checksum, filtered};

/// So many bytes may wait for the disk: were it a whole large run, the journal's own syncs would wait for it.
const SYNC_EVERY_BYTES: usize = 4 << 20;

/// Receipts' ids are for the owner, as the receipts are.
fn part_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
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
    checksums: Vec<u64>,
    /// The entries of the bucket that is being filled.
    bucket: Vec<u8>,
    filter: Filter,
    buckets: u64,
    witness: Item,
    unsynced: usize,
}

impl RunWriter {
    /// Begins a run of what was stored from `first` to `last`, with at most `entries`, in a new file: after a failed write or
    /// sync nobody knows what an old one holds.
    pub(super) fn create(folder: &Path, first: Seq, last: Seq, entries: u64) -> io::Result<Self> {
        if entries > u64::from(u32::MAX) {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "more ids than a run holds"));
        }
        let part = folder.join(format!("{first:016x}-{last:016x}.{PART}"));
        match fs::remove_file(&part) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let file = BufWriter::with_capacity(64 << 10, part_file(&part)?);
        let (folder, buckets) = (folder.to_owned(), (entries / BUCKET).max(1));
        let directory = Vec::with_capacity(usize::try_from(buckets + 1).unwrap_or(0));
        let checksums = Vec::with_capacity(usize::try_from(buckets).unwrap_or(0));
        let (filter, witness) = (Filter::for_ids(filtered(buckets)), (0, Seq::MIN));
        Ok(Self {
            file,
            folder,
            part,
            first,
            last,
            entries: 0,
            directory,
            checksums,
            bucket: Vec::with_capacity(2 * BUCKET as usize * ENTRY),
            filter,
            buckets,
            witness,
            unsynced: 0,
        })
    }

    /// Adds the next one in order.
    pub(super) fn push(&mut self, (fingerprint, seq): Item) -> io::Result<()> {
        self.begin_buckets_to(bucket(fingerprint, self.buckets));
        let mut entry = [0; ENTRY];
        entry[..8].copy_from_slice(&fingerprint.to_le_bytes());
        entry[8..].copy_from_slice(&seq.to_le_bytes());
        self.write(&entry)?;
        self.bucket.extend_from_slice(&entry);
        self.filter.insert(fingerprint);
        self.entries += 1;
        if seq > self.witness.1 {
            self.witness = (fingerprint, seq);
        }
        Ok(())
    }

    /// Leaves nothing of it.
    pub(super) fn abandon(self) -> io::Result<()> {
        fs::remove_file(self.part)
    }

    /// Makes it a run: on disk, then with its name, then in its folder.
    pub(super) fn finish(mut self) -> io::Result<Run> {
        self.begin_buckets_to(usize::try_from(self.buckets).unwrap_or(usize::MAX));
        let Self { first, last, buckets, witness: (fingerprint, newest), .. } = self;
        let entries = u64::from(self.entries);
        let (filter, directory) = (std::mem::take(&mut self.filter), std::mem::take(&mut self.directory));
        let checksums = std::mem::take(&mut self.checksums);
        let mut sum = Sha256::new();
        let mut write = |bytes: &[u8]| {
            sum.update(bytes);
            self.write(bytes)
        };
        filter.words().try_for_each(|word| write(&word.to_le_bytes()))?;
        directory.iter().try_for_each(|entry| write(&entry.to_le_bytes()))?;
        checksums.iter().try_for_each(|checksum| write(&checksum.to_le_bytes()))?;
        let [from, to, newest] = [first, last, newest].map(Seq::cast_unsigned);
        for number in [MAGIC, from, to, entries, buckets, fingerprint, newest] {
            write(&number.to_le_bytes())?;
        }
        self.file.write_all(&sum.finalize())?;
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        let path = self.part.with_extension(EXTENSION);
        fs::rename(&self.part, &path)?;
        File::open(&self.folder)?.sync_all()?;
        let witness = (entries > 0).then_some(self.witness);
        Ok(Run {
            file: File::open(&path)?,
            path,
            first,
            last,
            entries,
            directory,
            checksums,
            filter,
            witness,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.unsynced += bytes.len();
        if self.unsynced >= SYNC_EVERY_BYTES {
            self.unsynced = 0;
            self.file.flush()?;
            self.file.get_ref().sync_data()?;
        }
        Ok(())
    }

    fn begin_buckets_to(&mut self, bucket: usize) {
        while self.directory.len() <= bucket {
            // What was filled is the bucket before this one.
            if let Some(filled) = self.directory.len().checked_sub(1) {
                self.checksums.push(checksum(&self.bucket, self.last, filled));
                self.bucket.clear();
            }
            self.directory.push(self.entries);
        }
    }
}
