//! The quarantine's file: whose it is, its format, and what can be done in it. One connection writes; it has one place
//! that checkpoints, and looks at every result.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, params};

use super::aside::with;
use super::shares::{Client, Denied, Shares};
use super::{Class, Suspect};
use crate::config::QuarantineConfig;

/// How long to wait for somebody who looks into the file with a tool.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// "RdHq": tells a quarantine from any other SQLite file.
const APPLICATION_ID: i64 = 0x5264_4871;

/// The format that this program writes.
const FORMAT: i64 = 1;

/// Up to this size the whole file is checked when it is opened, which takes a fraction of a second.
const CHECKED_WHOLE_BYTES: u64 = 128 << 20;

/// When the WAL is this large its pages are moved into the main file.
const CHECKPOINT_BYTES: u64 = 4 << 20;

/// The table as the first versions made it, without an application id and a format number.
const FIRST: &str = "
    CREATE TABLE callbacks (
        id      INTEGER PRIMARY KEY,
        at      INTEGER NOT NULL,
        vendor  TEXT NOT NULL,
        client  TEXT NOT NULL,
        outcome TEXT NOT NULL,
        reason  TEXT NOT NULL,
        path    TEXT NOT NULL,
        query   TEXT NOT NULL,
        headers TEXT NOT NULL,
        body    BLOB NOT NULL,
        bytes   INTEGER NOT NULL
    ) STRICT;
";

/// From there to format 1. What was `unavailable` and is here was answered 200: nothing else kept it. Whom the others
/// named is not known any more; those with a body that could be read count as naming an app.
const CLASSES: &str = "
    ALTER TABLE callbacks ADD COLUMN class INTEGER NOT NULL DEFAULT 2;
    ALTER TABLE callbacks ADD COLUMN receipts TEXT NOT NULL DEFAULT '';
    UPDATE callbacks SET class = CASE
        WHEN outcome = 'unavailable' THEN 1
        WHEN reason IN ('unknown_app', 'not_utf8', 'content_encoding', 'not_json', 'not_form', 'wrong_root', 'duplicate_key',
                        'body_too_large', 'body_timeout', 'body_broken') THEN 3
        ELSE 2 END;
    CREATE INDEX waiting ON callbacks (id) WHERE class = 1 AND outcome = 'unavailable';
";

const INSERT: &str = "INSERT INTO callbacks \
     (id, at, vendor, client, outcome, reason, path, query, headers, body, bytes, class, receipts) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";

/// Something did not work, and what follows from it.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The file is as it was, and may take the next write: the disk is full, or somebody else writes.
    Refused(String),
    /// What the file and the page cache hold cannot be believed: a sync or a write failed. Every handle must be closed
    /// before anything else is done.
    Doubtful(String),
    /// It is no quarantine, or no longer one.
    Broken(String),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(why) | Self::Doubtful(why) | Self::Broken(why) => f.write_str(why),
        }
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        let why = error.to_string();
        match code(&error) {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Broken(why),
            Some(
                ErrorCode::DiskFull
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::ReadOnly
                | ErrorCode::OutOfMemory,
            ) => Self::Refused(why),
            // Reads, writes and syncs that failed, and whatever has no name yet.
            _ => Self::Doubtful(why),
        }
    }
}

fn code(error: &rusqlite::Error) -> Option<ErrorCode> {
    if let rusqlite::Error::SqlInputError { error, .. } = error {
        return Some(error.code);
    }
    error.sqlite_error_code()
}

/// The file, as its one writer has it.
pub(super) struct Store {
    connection: Connection,
    path: PathBuf,
    config: QuarantineConfig,
    shares: Shares,
    /// Whether each commit is synced.
    synced: bool,
    /// The number of the next entry: SQLite would give that of the newest again once it is taken out, and whoever goes on
    /// behind it would miss the next one.
    next: i64,
}

impl Store {
    /// Opens the file, makes it if there is none, and brings an older one up to date. When it returns, everything in it is in
    /// the main file and synced, and nothing is appended behind what an earlier process left unsynced.
    pub(super) fn open(path: &Path, config: &QuarantineConfig) -> Result<Self, Trouble> {
        make(path)?;
        write_wal_again(path)?;
        let connection = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.busy_timeout(BUSY)?;
        // The end of a connection would checkpoint, and nobody would see the result.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        let format = recognise(&connection)?;
        if std::fs::metadata(path).is_ok_and(|file| file.len() <= CHECKED_WHOLE_BYTES) {
            let result: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
            if result != "ok" {
                return Err(Trouble::Broken(result));
            }
        }
        let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        if mode != "wal" {
            return Err(Trouble::Refused(format!("the journal mode stays {mode}")));
        }
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "cache_size", -512)?;
        migrate(&connection, format)?;
        let shares = Shares::new(config);
        let path = path.to_owned();
        let mut store = Self { connection, path, config: config.clone(), shares, synced: true, next: 1 };
        store.empty_wal()?;
        sync_folder(&store.path)?;
        store.load()?;
        Ok(store)
    }

    /// Counts anew what the file holds, after what was planned did not happen.
    pub(super) fn load(&mut self) -> Result<(), Trouble> {
        let mut shares = Shares::new(&self.config);
        let mut next = self.next;
        {
            let mut all =
                self.connection.prepare("SELECT id, class, client, bytes FROM callbacks ORDER BY id")?;
            let mut rows = all.query([])?;
            while let Some(row) = rows.next()? {
                let (id, class): (i64, i64) = (row.get(0)?, row.get(1)?);
                let class = Class::of(class).ok_or_else(|| Trouble::Broken(format!("a class {class}")))?;
                let client = Client::of(row.get_ref(2)?.as_str().unwrap_or_default());
                shares.put(class, client, id, row.get::<_, i64>(3)?.unsigned_abs());
                next = next.max(id.saturating_add(1));
            }
        }
        (self.shares, self.next) = (shares, next);
        Ok(())
    }

    /// Begins a transaction. With `synced`, its commit is on the disk when it returns, and so is everything before it.
    pub(super) fn begin(&mut self, synced: bool) -> Result<(), Trouble> {
        if synced != self.synced {
            self.connection.pragma_update(None, "synchronous", if synced { "FULL" } else { "NORMAL" })?;
            self.synced = synced;
        }
        Ok(self.connection.execute_batch("BEGIN IMMEDIATE")?)
    }

    pub(super) fn commit(&mut self) -> Result<(), Trouble> {
        Ok(self.connection.execute_batch("COMMIT")?)
    }

    /// Takes back what a transaction did, and counts anew.
    pub(super) fn roll_back(&mut self) -> Result<(), Trouble> {
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        self.load()
    }

    /// Whether the first class takes this one.
    pub(super) fn admits_hidden(&self, suspect: &Suspect) -> Result<(), Denied> {
        self.shares.admits_hidden(Client::of(&suspect.client), suspect.bytes() as u64)
    }

    /// Adds a callback, and takes out what must go for it. Its id; `None` if it is larger than everything together may be.
    pub(super) fn insert(&mut self, class: Class, suspect: &Suspect) -> Result<Option<i64>, Trouble> {
        let size = suspect.bytes() as u64;
        if size > self.config.max_bytes {
            return Ok(None);
        }
        let id = self.next;
        self.next += 1;
        self.connection.prepare_cached(INSERT)?.execute(params![
            id,
            suspect.at,
            suspect.vendor,
            suspect.client,
            suspect.outcome,
            suspect.reason,
            suspect.path,
            suspect.query,
            suspect.headers,
            &*suspect.body,
            i64::try_from(size).unwrap_or(i64::MAX),
            class.number(),
            suspect.receipts,
        ])?;
        let gone = self.shares.add(class, Client::of(&suspect.client), id, size);
        self.delete(&gone)?;
        Ok(Some(id))
    }

    /// Takes callbacks out.
    pub(super) fn remove(&mut self, entries: &[i64]) -> Result<(), Trouble> {
        self.delete(entries)?;
        entries.iter().for_each(|id| self.shares.remove(*id));
        Ok(())
    }

    /// Moves a callback that was hidden to the second class, where it may be evicted.
    pub(super) fn demote(&mut self, id: i64) -> Result<(), Trouble> {
        let sql = "UPDATE callbacks SET class = ?2 WHERE id = ?1";
        self.connection.prepare_cached(sql)?.execute(params![id, Class::App.number()])?;
        let gone = self.shares.reclassify(id, Class::App);
        self.delete(&gone)
    }

    /// The same, with another outcome and reason.
    pub(super) fn settle(&mut self, id: i64, outcome: &str, reason: &str) -> Result<(), Trouble> {
        let sql = "UPDATE callbacks SET outcome = ?2, reason = ?3 WHERE id = ?1";
        self.connection.prepare_cached(sql)?.execute(params![id, outcome, reason])?;
        self.demote(id)
    }

    /// How many hidden callbacks wait for the journal.
    pub(super) fn waiting(&self) -> Result<u64, Trouble> {
        let sql = "SELECT count(*) FROM callbacks WHERE class = 1 AND outcome = 'unavailable'";
        let count: i64 = self.connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    pub(super) fn held(&self, class: Class) -> u64 {
        self.shares.held(class).entries
    }

    /// Writes something that changes nothing, synced.
    pub(super) fn try_write(&mut self) -> Result<(), Trouble> {
        self.begin(true)?;
        self.connection.pragma_update(None, "user_version", FORMAT)?;
        self.commit()
    }

    /// Moves pages from the WAL into the main file when there are many. Waits for nobody.
    pub(super) fn checkpoint_when_due(&mut self) -> Result<(), Trouble> {
        if std::fs::metadata(with(&self.path, "-wal")).is_ok_and(|wal| wal.len() > CHECKPOINT_BYTES) {
            self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        }
        Ok(())
    }

    /// Moves everything into the main file and syncs it, so that the WAL begins anew.
    pub(super) fn empty_wal(&mut self) -> Result<(), Trouble> {
        let busy: i64 = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if busy != 0 {
            return Err(Trouble::Refused("somebody else reads it and does not end".to_owned()));
        }
        Ok(())
    }

    fn delete(&self, entries: &[i64]) -> Result<(), Trouble> {
        let mut delete = self.connection.prepare_cached("DELETE FROM callbacks WHERE id = ?1")?;
        for id in entries {
            delete.execute([id])?;
        }
        Ok(())
    }
}

/// Makes an empty file that only its owner may read, if there is none.
fn make(path: &Path) -> Result<(), Trouble> {
    if let Some(folder) = path.parent() {
        // If it cannot be made, making the file says so.
        let _seen_below = std::fs::create_dir_all(folder);
    }
    let found = std::fs::metadata(path);
    let is_file = found.as_ref().is_ok_and(std::fs::Metadata::is_file);
    if found.is_ok() && !is_file {
        return Err(Trouble::Broken("it is not a file".to_owned()));
    }
    let empty = found.map_or(true, |file| file.len() == 0);
    if empty && std::fs::metadata(with(path, "-wal")).is_ok_and(|wal| wal.len() > 0) {
        return Err(Trouble::Broken("its main file is missing or empty, and its -wal is not".to_owned()));
    }
    match OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if is_file && error.kind() == ErrorKind::PermissionDenied => {
            Err(Trouble::Broken(error.to_string()))
        }
        Err(error) => Err(Trouble::Refused(error.to_string())),
    }
}

/// Writes the WAL over itself and syncs it. After a failed sync its pages look written and are not on the disk; were they
/// moved into the main file as they are, a power cut in the middle would leave neither file whole.
fn write_wal_again(path: &Path) -> Result<(), Trouble> {
    let rewrite = || {
        let wal = match OpenOptions::new().read(true).write(true).open(with(path, "-wal")) {
            Ok(wal) => wal,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut piece = vec![0; 1 << 20];
        let mut at = 0;
        loop {
            let read = wal.read_at(&mut piece, at)?;
            let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            wal.write_all_at(bytes, at)?;
            at += read as u64;
        }
        if at > 0 { wal.sync_data() } else { Ok(()) }
    };
    rewrite().map_err(|error: std::io::Error| {
        let full = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::ReadOnlyFilesystem];
        if full.contains(&error.kind()) {
            Trouble::Refused(error.to_string())
        } else {
            Trouble::Doubtful(format!("its -wal file: {error}"))
        }
    })
}

/// Which format it has; 0 is a new file, -1 the format that had no number. Changes nothing.
fn recognise(connection: &Connection) -> Result<i64, Trouble> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    match (pragma("application_id")?, pragma("user_version")?) {
        (APPLICATION_ID, format @ 1..=FORMAT) => {
            // Its number is right, so its table must be.
            has_columns(connection, ", class, receipts")?;
            Ok(format)
        }
        (APPLICATION_ID, format) => {
            Err(Trouble::Broken(format!("it has format {format}, this readhook knows format {FORMAT}")))
        }
        (0, 0) => {
            let tables: i64 =
                connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
            if tables == 0 {
                return Ok(0);
            }
            has_columns(connection, "")?;
            Ok(-1)
        }
        (..) => Err(Trouble::Broken("it is another program's database".to_owned())),
    }
}

fn has_columns(connection: &Connection, more: &str) -> Result<(), Trouble> {
    let sql = format!(
        "SELECT id, at, vendor, client, outcome, reason, path, query, headers, body, bytes{more} FROM callbacks"
    );
    match connection.prepare(&sql) {
        Ok(_) => Ok(()),
        Err(error) if code(&error) == Some(ErrorCode::Unknown) => {
            Err(Trouble::Broken("its tables are not those of a quarantine".to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}

fn migrate(connection: &Connection, format: i64) -> Result<(), Trouble> {
    let steps = match format {
        FORMAT => return Ok(()),
        0 => format!("{FIRST}{CLASSES}"),
        _ => CLASSES.to_owned(),
    };
    let sql = format!(
        "BEGIN IMMEDIATE; {steps} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}; COMMIT;"
    );
    Ok(connection.execute_batch(&sql)?)
}

/// The names of new files are on the disk only when their folder is.
fn sync_folder(path: &Path) -> Result<(), Trouble> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let synced = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| Trouble::Doubtful(format!("its folder: {error}")))
}
