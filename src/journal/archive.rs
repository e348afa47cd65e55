//! The receipts of a journal's file for whoever only reads: no lock, so also beside the service that has it, and beside
//! its writer without either waiting for the other.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use super::open::{open_to_read, sqlite};
use super::read::stored;
use super::{OpenError, Seq, Stored};

/// How many receipts are read in one go. A snapshot that is held for long keeps the WAL from beginning anew, so a reader
/// whose pipe is slow must not hold one.
const AT_ONCE: i64 = 1_000;

/// A journal's file, open for reading.
pub struct Archive {
    connection: Connection,
    path: PathBuf,
}

impl Archive {
    /// Opens the file. Nothing in it is changed, and nobody is kept from it.
    ///
    /// # Errors
    /// When it is no journal, newer than this program, damaged, or cannot be read.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let connection = open_to_read(path)?;
        Ok(Self { connection, path: path.to_owned() })
    }

    /// The positions of the oldest and the newest receipt; `None` when there is none.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn bounds(&self) -> Result<Option<(Seq, Seq)>, OpenError> {
        let bounds = self.connection.query_row("SELECT min(seq), max(seq) FROM receipts", [], |row| {
            Ok(row.get::<_, Option<Seq>>(0)?.zip(row.get(1)?))
        });
        bounds.map_err(|error| sqlite(&self.path, &error))
    }

    /// Some of the receipts behind a position, oldest first; none when there are no more.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn after(&self, after: Seq) -> Result<Vec<Stored>, OpenError> {
        let read = || {
            let mut statement = self.connection.prepare_cached(
                "SELECT seq, received_at, json FROM receipts WHERE seq > ?1 ORDER BY seq LIMIT ?2",
            )?;
            let rows = statement.query_map(params![after, AT_ONCE], stored)?;
            rows.collect::<rusqlite::Result<Vec<Stored>>>()
        };
        read().map_err(|error| sqlite(&self.path, &error))
    }
}
