//! The journal by itself: dedupe, positions that are never used twice, retention that no sink loses by, and files
//! that must not be opened.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use readhook::config::JournalConfig;
use readhook::journal::{Committed, Entry, Journal, OpenError};
use readhook::metrics::Metrics;
use readhook::receipt::{Key, ReceiptId, Scope, Timestamp, VendorName};

fn open(path: &Path) -> Result<Journal, OpenError> {
    let config = JournalConfig { path: path.to_owned(), retention_days: 30, reserve_bytes: 0 };
    Journal::open(&config, &Metrics::new().unwrap())
}

/// The id of a key; of no key another one each time.
pub(crate) fn id(key: Option<&str>) -> ReceiptId {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed).to_string();
    let namespace = if key.is_some() { "a key" } else { "no key" };
    Key::new(namespace).part(key.unwrap_or(&next).as_bytes()).id()
}

fn entry(key: Option<&str>, received_at: i64) -> Entry {
    let id = id(key);
    Entry {
        id,
        by_event: false,
        received_at,
        vendor: VendorName::Easemob,
        scope: Scope::Message,
        json: format!("{{\"id\":\"{id}\",\"key\":{key:?}}}").into(),
        trace: None,
    }
}

fn new(first: i64, count: u32, repeated: u32) -> Committed {
    Committed { new: [count, 0, 0], repeated, conflicts: 0, differing: 0, first: Some(first) }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
}

fn file(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("deep/er/readhook.db")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_is_stored_once_and_no_key_as_often_as_it_comes() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(&file(&dir)).unwrap();
    let commit = async |keys: &[Option<&str>]| {
        journal.commit(keys.iter().map(|key| entry(*key, 1)).collect()).await.unwrap()
    };
    assert_eq!(commit(&[Some("a"), Some("b"), Some("a")]).await, new(1, 2, 1));
    assert_eq!(commit(&[Some("b"), Some("c")]).await, new(3, 1, 1));
    assert_eq!(commit(&[None, None]).await, new(4, 2, 0));
    assert_eq!(*journal.head().borrow(), 5);
    let seqs: Vec<i64> = journal.read_after(0, 100).await.unwrap().iter().map(|stored| stored.seq).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5], "without gaps");
    journal.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_stops_at_the_slowest_sink_and_frees_no_position() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(&file(&dir)).unwrap();
    for n in 0..10 {
        journal.commit(smallvec::smallvec![entry(Some(&n.to_string()), n)]).await.unwrap();
    }
    let sinks = || vec!["fast".to_owned(), "slow".to_owned()];
    assert_eq!(
        journal.prune(at(100), sinks(), i64::MAX, 100).await.unwrap(),
        0,
        "a sink without a cursor has had nothing"
    );
    journal.advance("fast", 10).await.unwrap();
    journal.advance("slow", 4).await.unwrap();
    journal.advance("removed", 1).await.unwrap();
    assert_eq!(journal.prune(at(100), sinks(), i64::MAX, 3).await.unwrap(), 3, "in small steps");
    assert_eq!(journal.prune(at(100), sinks(), i64::MAX, 3).await.unwrap(), 1, "held by the slow one");
    journal.advance("slow", 10).await.unwrap();
    assert_eq!(journal.prune(at(6), sinks(), i64::MAX, 100).await.unwrap(), 2, "held by age");
    assert_eq!(journal.prune(at(100), sinks(), i64::MAX, 100).await.unwrap(), 4);
    journal.close().await;
    drop(journal);

    let journal = open(&file(&dir)).unwrap();
    assert_eq!(*journal.head().borrow(), 10, "an empty journal remembers how far it was");
    assert_eq!(journal.cursor("slow", 0).await.unwrap(), 10);
    assert_eq!(journal.cursor("unknown", 7).await.unwrap(), 7);
    assert_eq!(
        journal.commit(smallvec::smallvec![entry(Some("0"), 1)]).await.unwrap(),
        new(11, 1, 0),
        "forgotten is new"
    );
    assert_eq!(journal.read_after(10, 1).await.unwrap()[0].seq, 11);
    journal.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_end_nothing_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(&file(&dir)).unwrap();
    journal.close().await;
    assert!(journal.commit(smallvec::smallvec![entry(Some("a"), 1)]).await.is_err());
    let left: Vec<_> =
        std::fs::read_dir(file(&dir).parent().unwrap()).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert!(
        !left.iter().any(|name| name.to_str().unwrap().ends_with("-wal")),
        "the WAL is tidied away: {left:?}"
    );
}

/// Makes a journal, lets `change` at its file, and gives what opening it then says and whether the file changed.
async fn reopened(change: impl FnOnce(&Path)) -> (String, bool) {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir);
    let journal = open(&path).unwrap();
    for n in 0..200 {
        journal.commit(smallvec::smallvec![entry(Some(&format!("{n:0200}")), n)]).await.unwrap();
    }
    journal.close().await;
    drop(journal);
    change(&path);
    let before = std::fs::read(&path).unwrap();
    let error = open(&path).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains(path.to_str().unwrap()), "names the file: {error}");
    (error, std::fs::read(&path).unwrap() == before)
}

fn sql(path: &Path, statement: &str) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.execute_batch(statement).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_must_not_be_opened_is_named_and_left_alone() {
    let overwrite = |at: usize, length: usize| {
        move |path: &Path| {
            let mut bytes = std::fs::read(path).unwrap();
            bytes[at..at + length].fill(0xA5);
            std::fs::write(path, bytes).unwrap();
        }
    };
    type Change = Box<dyn FnOnce(&Path)>;
    let cases: [(&str, Change); 6] = [
        ("damaged", Box::new(overwrite(0, 100))),
        ("damaged", Box::new(overwrite(20_000, 4_096))),
        (
            "damaged",
            Box::new(|path| {
                std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(12_288).unwrap()
            }),
        ),
        (
            "damaged",
            Box::new(|path| {
                std::fs::write(path, "these are my notes, not a database, and far from it").unwrap()
            }),
        ),
        (
            "no readhook journal",
            Box::new(|path| {
                std::fs::remove_file(path).unwrap();
                sql(path, "CREATE TABLE mine (x)");
            }),
        ),
        ("format 99", Box::new(|path| sql(path, "PRAGMA user_version = 99"))),
    ];
    for (expected, change) in cases {
        let (error, same) = reopened(change).await;
        assert!(error.contains(expected), "{expected}: {error}");
        assert!(same, "{expected}: the file was changed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(&file(&dir)).unwrap();
    let second = open(&file(&dir));
    assert!(matches!(second, Err(OpenError::Held { .. })));
    journal.close().await;
    drop(journal);
    open(&file(&dir)).unwrap().close().await;
}
