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
    let config = JournalConfig { path: path.to_owned(), retention_days: 30, reserve_bytes: 0 };
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

/// So many that several runs come of them.
const SOME: i64 = 32_000;

/// Ways in which a disk can lie, all of them in place: the service has the file open.
pub(crate) type Damage = (&'static str, fn(&mut Vec<u8>));

pub(crate) const DAMAGES: [Damage; 5] = [
    ("one flipped bit in an entry", |bytes| bytes[1_000] ^= 8),
    ("one zeroed block of 4 KiB", |bytes| bytes[8_192..12_288].fill(0)),
    ("all zeros", |bytes| bytes.fill(0)),
    ("cut short", |bytes| bytes.truncate(5_000)),
    // The filter stands behind the entries: 16 bytes each, and a byte each of filter.
    ("a flipped byte in the filter", |bytes| {
        let at = bytes.len() * 16 / 17 + 64;
        bytes[at] ^= 0xFF;
    }),
];

/// Changes the largest run beneath whoever has it open.
pub(crate) fn damage(path: &Path, change: fn(&mut Vec<u8>)) {
    let runs = runs(path).into_iter();
    let largest = runs.max_by_key(|run| fs::metadata(run).unwrap().len()).unwrap();
    let mut bytes = fs::read(&largest).unwrap();
    change(&mut bytes);
    let file = OpenOptions::new().write(true).open(&largest).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
}

/// Commits numbers that are all stored, each until it succeeds, as a vendor would. How many were taken for new, and how many
/// commits were refused.
async fn repeat(journal: &Journal, numbers: std::ops::Range<i64>) -> (u32, u32) {
    let (mut new, mut refused) = (0, 0);
    for from in numbers.clone().step_by(1_000) {
        let entries: Vec<_> = (from..(from + 1_000).min(numbers.end)).map(entry).collect();
        let stored = async {
            loop {
                match journal.commit(entries.clone().into()).await {
                    Ok(committed) => return committed,
                    Err(_) => refused += 1,
                }
                // Until the index is whole again nothing is taken; a look at it costs next to nothing.
                while journal.try_write().await.is_err() {
                    tokio::task::yield_now().await;
                }
            }
        };
        let Committed { new: [count, ..], .. } =
            tokio::time::timeout(crate::house::PATIENCE, stored).await.expect("it recovers by itself");
        new += count;
    }
    (new, refused)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_on_disk_is_never_taken_for_absent() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("readhook.db");
    let journal = open(&path);
    assert_eq!(commit(&journal, 0..SOME).await, (32_000, 0));
    journal.close().await;
    drop(journal);
    let config = JournalConfig { path: path.clone(), retention_days: 30, reserve_bytes: 0 };
    for (what, change) in DAMAGES {
        // While it is running: known as soon as it is read.
        let metrics = Metrics::new().unwrap();
        let journal = Journal::open(&config, &metrics).unwrap();
        assert_eq!(repeat(&journal, 0..1).await, (0, 0));
        damage(&path, change);
        let (new, refused) = repeat(&journal, 0..SOME).await;
        assert_eq!(new, 0, "{what}");
        let found = metrics.ids_damaged.get();
        let in_memory = what.contains("filter");
        assert_eq!((refused > 0, found > 0), (!in_memory, !in_memory), "{what}: {refused} {found}");
        assert!(journal.takes_writes() && metrics.ids_rebuilding.get() == 0, "{what}");
        journal.close().await;
        drop(journal);

        // At a start.
        if !in_memory {
            damage(&path, change);
        }
        let metrics = Metrics::new().unwrap();
        let journal = Journal::open(&config, &metrics).unwrap();
        assert_eq!(repeat(&journal, 0..SOME).await.0, 0, "{what}");
        assert!(metrics.ids_damaged.get() > 0, "{what}");
        assert_eq!(repeat(&journal, SOME - 5..SOME).await, (0, 0), "{what}");
        journal.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_run_that_is_met_while_runs_are_merged_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("readhook.db");
    let metrics = Metrics::new().unwrap();
    let journal =
        Journal::open(&JournalConfig { path: path.clone(), retention_days: 30, reserve_bytes: 0 }, &metrics)
            .unwrap();
    commit(&journal, 0..SOME).await;
    while runs(&path).iter().any(|run| run.extension().unwrap() != "run") || runs(&path).is_empty() {
        tokio::task::yield_now().await;
    }
    damage(&path, |bytes| bytes[..4_096].fill(0));
    // Many more, none of which is looked for in what is damaged but by chance: the merge finds it.
    let (mut next, mut new) = (SOME, 0);
    while metrics.ids_damaged.get() == 0 && next < 40 * SOME {
        new += repeat(&journal, next..next + 1_000).await.0;
        next += 1_000;
    }
    assert_eq!(i64::from(new), next - SOME);
    assert_eq!(repeat(&journal, 0..SOME).await.0, 0);
    journal.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_an_earlier_version_are_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("readhook.db");
    let journal = open(&path);
    commit(&journal, 0..SOME).await;
    journal.close().await;
    drop(journal);
    for run in runs(&path) {
        let mut bytes = fs::read(&run).unwrap();
        let magic = bytes.len() - 88;
        assert_eq!(&bytes[magic..magic + 8], b"rhids\0\0\x03");
        bytes[magic + 7] = 2;
        // Such a file was never verified, so what is in it proves nothing.
        bytes[..4_096].fill(0);
        fs::write(&run, bytes).unwrap();
    }
    let journal = open(&path);
    assert_eq!(repeat(&journal, 0..SOME).await, (0, 0));
    journal.close().await;
}
