//! Whether a write-ahead log of SQLite holds anything. SQLite deletes the log of a database that is missing or empty, so
//! this must be known before SQLite looks. The format: <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The first four bytes but the last bit, which says in which order the checksum reads bytes.
const MAGIC: u32 = 0x377f_0682;

/// Whether a log holds a committed transaction, or held one that was moved into its database. False for a log that is missing,
/// and for what a first start leaves that was killed before its first commit: a header, or frames without a commit.
///
/// # Errors
/// When the log is there and cannot be read.
pub(crate) fn holds_commits(log: &Path) -> io::Result<bool> {
    match File::open(log) {
        Ok(file) => read(BufReader::with_capacity(64 << 10, file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn read(mut log: impl Read) -> io::Result<bool> {
    let mut header = [0; HEADER];
    if !fill(&mut log, &mut header)? {
        return Ok(false);
    }
    let [magic, _version, page_size, restarts, salt_1, salt_2, sum_1, sum_2] = words(&header);
    let big_endian = magic == MAGIC | 1;
    let mut sum = checksum(big_endian, header.get(..HEADER - 8).unwrap_or_default(), (0, 0));
    if magic & !1 != MAGIC || sum != (sum_1, sum_2) || !(512..=65_536).contains(&page_size) {
        // Zeros are a header that a power cut kept from the disk. Anything else was a header once.
        return Ok(header != [0; HEADER]);
    }
    if restarts > 0 {
        // It begins again only after everything in it was committed and moved into the database.
        return Ok(true);
    }
    let mut page = vec![0; usize::try_from(page_size).unwrap_or_default()];
    let mut frame = [0; FRAME_HEADER];
    while fill(&mut log, &mut frame)? && fill(&mut log, &mut page)? {
        let [_page, pages_after_commit, frame_salt_1, frame_salt_2, frame_sum_1, frame_sum_2] = words(&frame);
        sum = checksum(big_endian, frame.get(..8).unwrap_or_default(), sum);
        sum = checksum(big_endian, &page, sum);
        if (frame_salt_1, frame_salt_2) != (salt_1, salt_2) || sum != (frame_sum_1, frame_sum_2) {
            return Ok(false);
        }
        if pages_after_commit > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Fills the buffer; false where the log ends before that.
fn fill(log: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match log.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn words<const N: usize>(bytes: &[u8]) -> [u32; N] {
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    words
}

fn checksum(big_endian: bool, bytes: &[u8], (mut first, mut second): (u32, u32)) -> (u32, u32) {
    let word = |bytes: [u8; 4]| {
        if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    };
    for [a, b, c, d, e, f, g, h] in bytes.as_chunks().0 {
        first = first.wrapping_add(word([*a, *b, *c, *d])).wrapping_add(second);
        second = second.wrapping_add(word([*e, *f, *g, *h])).wrapping_add(first);
    }
    (first, second)
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::files::beside;

    #[test]
    fn only_a_commit_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        let log = beside(&path, "-wal");
        assert!(!holds_commits(&log).unwrap(), "missing");
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        assert!(!holds_commits(&log).unwrap());
        connection
            .execute_batch("BEGIN; CREATE TABLE t (x); INSERT INTO t VALUES (randomblob(9000)); COMMIT")
            .unwrap();
        let whole = std::fs::read(&log).unwrap();
        assert!(holds_commits(&log).unwrap());
        let of = |bytes: &[u8]| read(bytes).unwrap();
        assert!(of(&whole));
        // The last frame commits; without a byte of it there is no commit.
        assert!(!of(&whole[..whole.len() - 1]));
        assert!(!of(&whole[..HEADER]) && !of(&whole[..20]) && !of(&[]));
        let mut flipped = whole.clone();
        flipped[HEADER + FRAME_HEADER + 5] ^= 1;
        assert!(!of(&flipped), "SQLite would not read it either");
        assert!(!of(&[0; 5_000]), "what a power cut left");
        let mut unreadable = whole.clone();
        unreadable[17] ^= 1;
        assert!(of(&unreadable), "somebody must look at it");
        // A log that has begun again is the log of a database that had commits, even without a commit of its own.
        connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).unwrap();
        connection.execute_batch("INSERT INTO t VALUES (1)").unwrap();
        let again = std::fs::read(&log).unwrap();
        assert!(of(&again[..HEADER]));
    }
}
