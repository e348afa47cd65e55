//! How the journal knows a repeat: from memory, from its files of ids, and from the receipts alone when those are missing,
//! damaged, of a later self, or not there yet because an older readhook wrote the journal.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use readhook::config::JournalConfig;
use readhook::journal::{Committed, Entry, Journal};
use readhook::metrics::Metrics;
use readhook::receipt::{Key, Scope, VendorName};

/// More than twice what is kept in memory.
const MANY: i64 = 130_000;

fn open(path: &Path) -> Journal {
    let config = JournalConfig { path: path.to_owned(), retention_days: 30 };
    Journal::open(&config, &Metrics::new().unwrap()).unwrap()
}

fn entry(number: i64) -> Entry {
    let id = Key::new("a number").integer(number).id();
    Entry {
        id,
        by_event: false,
        received_at: number,
        vendor: VendorName::Easemob,
        scope: Scope::Message,
        json: format!("{{\"id\":\"{id}\"}}").into(),
        trace: None,
    }
}

/// How many of these numbers were new, and how many repeated.
async fn commit(journal: &Journal, numbers: std::ops::Range<i64>) -> (u32, u32) {
    let mut sum = (0, 0);
    for from in numbers.clone().step_by(1_000) {
        let entries = (from..(from + 1_000).min(numbers.end)).map(entry).collect();
        let Committed { new: [new, ..], repeated, .. } = journal.commit(entries).await.unwrap();
        sum = (sum.0 + new, sum.1 + repeated);
    }
    sum
}

fn runs(path: &Path) -> Vec<PathBuf> {
    let folder = path.with_extension("db.ids");
    let mut runs: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    runs.sort();
    runs
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_is_known_wherever_its_id_has_come_to_be() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("readhook.db");
    let journal = open(&path);
    assert_eq!(commit(&journal, 0..MANY).await, (130_000, 0));
    assert_eq!(commit(&journal, 0..10_000).await, (0, 10_000), "from a run, as soon as there is one");
    assert_eq!(commit(&journal, MANY - 5_000..MANY).await, (0, 5_000), "from memory");
    journal.close().await;
    drop(journal);

    let whole = runs(&path);
    assert!(!whole.is_empty() && whole.iter().all(|run| run.extension().unwrap() == "run"), "{whole:?}");
    let left = |name: &str| whole[0].with_file_name(name);
    fs::write(left("0000000000000001-0000000000000002.part"), "half").unwrap();
    fs::write(left("0000000000000001-000000000001fbd0.run"), "no run at all").unwrap();
    let journal = open(&path);
    assert_eq!(runs(&path), whole, "what is no run is gone");
    assert_eq!(commit(&journal, 0..MANY + 1).await, (1, 130_000), "from runs alone");
    journal.close().await;
    drop(journal);

    type Harm = fn(&Path);
    let harms: [Harm; 4] = [
        |run| fs::remove_file(run).unwrap(),
        |run| OpenOptions::new().write(true).open(run).unwrap().set_len(100).unwrap(),
        |run| {
            let mut bytes = fs::read(run).unwrap();
            let end = bytes.len();
            bytes[end - 200] ^= 1;
            fs::write(run, bytes).unwrap();
        },
        |run| fs::remove_dir_all(run.parent().unwrap()).unwrap(),
    ];
    for harm in harms {
        harm(&runs(&path)[0]);
        let journal = open(&path);
        for some in [0..1_500, 57_000..59_000, MANY - 1_500..MANY + 1] {
            assert_eq!(commit(&journal, some).await.0, 0, "from the receipts");
        }
        journal.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ids_of_a_later_self_are_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let (path, backup) = (dir.path().join("readhook.db"), dir.path().join("backup.db"));
    let journal = open(&path);
    commit(&journal, 0..60_000).await;
    journal.close().await;
    drop(journal);
    fs::copy(&path, &backup).unwrap();
    let journal = open(&path);
    commit(&journal, 60_000..125_000).await;
    journal.close().await;
    drop(journal);

    fs::copy(&backup, &path).unwrap();
    let journal = open(&path);
    assert_eq!(commit(&journal, 59_000..61_000).await, (1_000, 1_000), "what is not in the backup is new");
    // Another history from here on, as long as the other one.
    assert_eq!(commit(&journal, 200_000..264_000).await, (64_000, 0));
    journal.close().await;
    drop(journal);
    fs::copy(&backup, &path).unwrap();
    let journal = open(&path);
    assert_eq!(commit(&journal, 0..125_000).await, (65_000, 60_000));
    journal.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_of_format_1_is_taken_over_with_all_that_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("readhook.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch(include_str!("ids/format_1.sql")).unwrap();
    for seq in 5..=2_000 {
        let json = entry(seq).json;
        let key = (seq % 3 > 0).then(|| seq.to_be_bytes());
        connection.execute("INSERT INTO receipts VALUES (?1, ?2, ?3, ?4)", (seq, 7, key, &*json)).unwrap();
    }
    drop(connection);

    let journal = open(&path);
    assert_eq!(*journal.head().borrow(), 2_000);
    let first = journal.read_after(0, 1).await.unwrap();
    assert_eq!((first[0].seq, first[0].received_at, &first[0].json), (5, 7, &entry(5).json));
    assert_eq!(commit(&journal, 1..2_011).await, (14, 1_996), "1 to 4 were forgotten");
    assert_eq!(journal.cursor("events", 0).await.unwrap(), 1_990);
    assert_eq!(journal.forgotten().await.unwrap(), 4);
    assert_eq!(journal.dead_letters().await.unwrap(), [("events".to_owned(), 1)]);
    journal.close().await;
}
