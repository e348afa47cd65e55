//! The state's file: its tables, what is checked when it is opened, and making it anew. Nothing in it is worth saving:
//! whatever is wrong with it, the journal has everything.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};

use crate::files::{DATABASE, beside, ensure_private, set_aside};
use crate::journal::Seq;

/// "RdHs": tells a state from any other SQLite file.
pub(super) const APPLICATION_ID: i64 = 0x5264_4873;
/// Changes with the tables and with what is put into them; a state of another format is made anew.
pub(super) const FORMAT: i64 = 1;
/// How long to wait for somebody who looks into the file with a tool.
const BUSY: Duration = Duration::from_secs(5);
/// How many unfit states are kept beside the journal.
const SET_ASIDE: u32 = 3;
/// Up to this size the whole file is checked when it is opened.
const CHECKED_WHOLE_BYTES: u64 = 64 << 20;

/// `message` is an id (text) or a sequence (integer), and the two never meet. `via` is 0 for a receipt of the message and
/// 1 for one up to it. `seq` is the journal's position of the newest receipt that a row rests on. Times are
/// milliseconds.
pub(super) const TABLES: &str = "
    CREATE TABLE progress (
        one     INTEGER PRIMARY KEY CHECK (one = 1),
        journal INTEGER NOT NULL,
        cursor  INTEGER NOT NULL,
        last    TEXT NOT NULL
    ) STRICT;
    CREATE TABLE conversations (
        number INTEGER PRIMARY KEY,
        vendor TEXT NOT NULL,
        app    TEXT NOT NULL,
        id     TEXT,
        kind   TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX conversations_by_name ON conversations (vendor, app, id, kind);
    CREATE TABLE reads (
        conversation INTEGER NOT NULL,
        message      ANY NOT NULL,
        reader       TEXT NOT NULL,
        via          INTEGER NOT NULL,
        read_at      INTEGER,
        seq          INTEGER NOT NULL,
        PRIMARY KEY (conversation, message, reader)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE totals (
        conversation INTEGER NOT NULL,
        message      ANY NOT NULL,
        read         INTEGER,
        unread       INTEGER,
        seq          INTEGER NOT NULL,
        PRIMARY KEY (conversation, message)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE positions (
        conversation  INTEGER NOT NULL,
        reader        TEXT NOT NULL,
        message_seq   INTEGER,
        up_to_seq     INTEGER,
        up_to_seq_at  INTEGER,
        up_to_time    INTEGER,
        up_to_time_at INTEGER,
        whole_at      INTEGER,
        read_at       INTEGER,
        PRIMARY KEY (conversation, reader)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX positions_by_reader ON positions (reader, conversation);
";

/// Up to where a state is made, and from what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    /// The journal's identity.
    pub(super) journal: i64,
    /// Everything up to this position is in it.
    pub(super) cursor: Seq,
    /// The id of the receipt at that position; empty when it was gone already.
    pub(super) last: String,
}

/// Why a file cannot go on being the state.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    /// Its bytes make no sense.
    #[error("it is damaged ({0})")]
    Damaged(String),
    /// It is not ours, or has a format that no readhook writes.
    #[error("it is no read state of readhook")]
    Foreign,
    /// Another version of readhook wrote it.
    #[error("it has another format")]
    OtherFormat,
    /// Something else; trying again may help.
    #[error("{0}")]
    Failed(String),
}

impl From<rusqlite::Error> for Unfit {
    fn from(error: rusqlite::Error) -> Self {
        if is_damage(&error) { Self::Damaged(error.to_string()) } else { Self::Failed(error.to_string()) }
    }
}

/// Whether SQLite says that the file is no sound database, or not the one that it was a moment ago.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
}

/// Opens a state for writing, or makes an empty one. Gives its mark, if it has one.
pub(super) fn open(path: &Path) -> Result<(Connection, Option<Mark>), Unfit> {
    ensure_private(path).map_err(|error| Unfit::Failed(error.to_string()))?;
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    let is_new = is_blank(&connection)?;
    if !is_new {
        inspect(path, &connection)?;
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // It can be made again, so nothing is synced but checkpoints. A power failure may take it back to an earlier moment,
    // cursor and all.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    // Few checkpoints: each syncs, and the journal's own syncs share the disk.
    connection.pragma_update(None, "wal_autocheckpoint", 4_000)?;
    connection.pragma_update(None, "cache_size", -512)?;
    if is_new {
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {TABLES} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}; COMMIT;"
        ))?;
    }
    let mark = mark(&connection)?;
    Ok((connection, mark))
}

/// Whether nothing has ever been in it: a new file, or one whose creation was cut short.
fn is_blank(connection: &Connection) -> rusqlite::Result<bool> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    Ok(tables == 0 && pragma("application_id")? == 0 && pragma("user_version")? == 0)
}

fn inspect(path: &Path, connection: &Connection) -> Result<(), Unfit> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    match (pragma("application_id")?, pragma("user_version")?) {
        (APPLICATION_ID, FORMAT) => {}
        (APPLICATION_ID, 1..) => return Err(Unfit::OtherFormat),
        (_, _) => return Err(Unfit::Foreign),
    }
    if std::fs::metadata(path).is_ok_and(|file| file.len() <= CHECKED_WHOLE_BYTES) {
        let result: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if result != "ok" {
            return Err(Unfit::Damaged(result));
        }
    }
    Ok(())
}

/// Takes a state's files out of the way, and keeps them for somebody to look at, up to [`SET_ASIDE`] of them: a state that is
/// damaged again and again must not fill the disk.
pub(super) fn put_away(path: &Path) -> std::io::Result<Option<PathBuf>> {
    if beside(path, &format!(".set-aside-{SET_ASIDE}")).exists() {
        return remove(path).map(|()| None);
    }
    set_aside(path).map(Some)
}

/// Deletes a state's files.
pub(super) fn remove(path: &Path) -> std::io::Result<()> {
    for suffix in DATABASE {
        match std::fs::remove_file(beside(path, suffix)) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A connection for questions.
pub(super) fn open_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(BUSY)?;
    Ok(connection)
}

fn mark(connection: &Connection) -> rusqlite::Result<Option<Mark>> {
    let read =
        |row: &rusqlite::Row<'_>| Ok(Mark { journal: row.get(0)?, cursor: row.get(1)?, last: row.get(2)? });
    connection.query_row("SELECT journal, cursor, last FROM progress", [], read).optional()
}

/// Up to where the state is made, as a question sees it.
pub(super) fn cursor(connection: &Connection) -> rusqlite::Result<Seq> {
    let cursor = connection.prepare_cached("SELECT cursor FROM progress")?.query_row([], |row| row.get(0));
    Ok(cursor.optional()?.unwrap_or(0))
}

/// Writes down up to where the state is made; in the transaction that made it so.
pub(super) fn set_mark(connection: &Connection, mark: &Mark) -> rusqlite::Result<()> {
    let mut set = connection.prepare_cached(
        "INSERT OR REPLACE INTO progress (one, journal, cursor, last) VALUES (1, ?1, ?2, ?3)",
    )?;
    set.execute(params![mark.journal, mark.cursor, mark.last]).map(|_| ())
}

/// Empties every table, in one transaction.
pub(super) fn clear(connection: &mut Connection, journal: i64) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(
        "DELETE FROM reads; DELETE FROM totals; DELETE FROM positions; DELETE FROM conversations; DELETE FROM progress;",
    )?;
    set_mark(&transaction, &Mark { journal, cursor: 0, last: String::new() })?;
    transaction.commit()
}
