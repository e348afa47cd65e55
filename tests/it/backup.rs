//! `readhook backup`: a copy that is made while callbacks come holds everything that was acknowledged before its end, and a
//! service that starts with it goes on from there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use readhook::config::JournalConfig;
use readhook::journal::{Backup, Copied, Entry, Journal, Letters};
use readhook::metrics::Metrics;
use readhook::receipt::{Scope, Timestamp, VendorName};
use rusqlite::Connection;
use rusqlite::types::Value as Cell;
use serde_json::Value;
use tokio::task::{JoinSet, block_in_place};
use tokio::time::timeout;

use crate::crash::{number, try_post};
use crate::house::{PATIENCE, exchange};
use crate::process::{Process, readhook, write_config};
use crate::vendor::{Callback, easemob};

fn backup(config: &Path, to: &Path, more: &[&str]) -> Output {
    let mut command = readhook();
    command.arg("--config").arg(config).args(["backup", "--to"]).arg(to).args(more);
    block_in_place(|| command.output()).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "the test is the vendor here, and it has a clock")]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// Posts from one connection after another until it is stopped; when each number was acknowledged.
async fn vendor(
    process: std::net::SocketAddr,
    next: Arc<AtomicU64>,
    last: Arc<AtomicU64>,
) -> Vec<(u64, jiff::Timestamp)> {
    let mut acknowledged = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number > last.load(Ordering::Relaxed) {
            return acknowledged;
        }
        let Callback { target, body } = easemob(number);
        assert_eq!(try_post(process, &target, body).await, Some(200));
        acknowledged.push((number, now()));
    }
}

async fn receipts(process: &Process) -> Vec<Value> {
    let mut receipts = Vec::new();
    let mut cursor = String::new();
    loop {
        let target = format!("/api/v1/receipts?limit=1000{cursor}");
        let reply = exchange(process.admin, http::Method::GET, &target, &[], Vec::new()).await;
        let page: Value = serde_json::from_str(&reply.body).unwrap();
        receipts.extend(page["receipts"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return receipts,
        }
    }
}

fn folder(dir: &tempfile::TempDir, name: &str) -> PathBuf {
    let folder = dir.path().join(name);
    std::fs::create_dir(&folder).unwrap();
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_has_all_that_was_acknowledged_before_its_end_and_can_be_restored() {
    let dir = tempfile::tempdir().unwrap();
    let config = write_config(&folder(&dir, "first"));
    let process = Process::start(&config);
    let (next, last) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicU64::new(u64::MAX)));
    let mut vendors = JoinSet::new();
    for _ in 0..8 {
        vendors.spawn(vendor(process.public, next.clone(), last.clone()));
    }
    let until = async |count: u64| {
        let waiting = async {
            while next.load(Ordering::Relaxed) < count {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("callbacks should come through");
    };
    until(1_500).await;
    let to = dir.path().join("backup.db");
    // Slowly, so that many come meanwhile.
    let output = backup(&config, &to, &["--rate", "1"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said} {}", String::from_utf8_lossy(&output.stderr));
    let ended: jiff::Timestamp = said.trim().rsplit(' ').next().unwrap().parse().unwrap();
    until(next.load(Ordering::Relaxed) + 200).await;
    last.store(0, Ordering::Relaxed);
    let acknowledged: Vec<_> = vendors.join_all().await.into_iter().flatten().collect();
    process.kill();

    assert!(!dir.path().join("backup.db.part").exists());
    let whole: String =
        Connection::open(&to).unwrap().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(whole, "ok");

    let second = folder(&dir, "second");
    let config = write_config(&second);
    std::fs::copy(&to, second.join("readhook.db")).unwrap();
    let checked = block_in_place(|| readhook().arg("--config").arg(&config).arg("check").output()).unwrap();
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stdout));
    let process = Process::start(&config);
    let restored = receipts(&process).await;
    let there: BTreeSet<u64> = restored.iter().map(number).collect();
    assert_eq!(there.len(), restored.len(), "nothing is there twice");
    assert!(said.starts_with(&format!("{} receipts", restored.len())), "{said}");
    let before = acknowledged.iter().filter(|(_, at)| *at < ended).map(|(number, _)| *number);
    let before: BTreeSet<u64> = before.collect();
    assert!(before.len() > 1_400, "{}", before.len());
    assert!(acknowledged.len() > before.len() + 100, "more came after its end");
    assert_eq!(before.difference(&there).count(), 0, "acknowledged before the end, and missing");
    // It knows what it has, and takes what it has not.
    let again = *before.first().unwrap();
    let Callback { target, body } = easemob(again);
    assert_eq!(try_post(process.public, &target, body).await, Some(200));
    let Callback { target, body } = easemob(u64::from(u32::MAX));
    assert_eq!(try_post(process.public, &target, body).await, Some(200));
    assert_eq!(receipts(&process).await.len(), restored.len() + 1);
}

/// Every row of the tables, but for the mark that tells journals apart.
fn rows(path: &Path) -> Vec<Vec<Cell>> {
    let connection = Connection::open(path).unwrap();
    let all = |query: &str| {
        let mut statement = connection.prepare(query).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| (0..columns).map(|at| row.get(at)).collect()).unwrap();
        rows.collect::<rusqlite::Result<Vec<Vec<Cell>>>>().unwrap()
    };
    [
        "SELECT * FROM receipts ORDER BY seq",
        "SELECT * FROM cursors ORDER BY sink",
        "SELECT * FROM dead_letters ORDER BY sink, seq",
        "SELECT * FROM marks WHERE name <> 'identity' ORDER BY name",
        "SELECT type, name, sql FROM sqlite_master ORDER BY name",
    ]
    .iter()
    .flat_map(|query| all(query))
    .collect()
}

fn entry(key: Option<String>, received_at: i64) -> Entry {
    let id = crate::journal::id(key.as_deref());
    Entry {
        id,
        by_event: false,
        received_at,
        vendor: VendorName::Easemob,
        scope: Scope::Message,
        json: format!("{{\"id\":\"{id}\",\"at\":{received_at}}}").into(),
        trace: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_the_journal_whatever_happens_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let (path, to) = (dir.path().join("readhook.db"), dir.path().join("backup.db"));
    let config = JournalConfig { path: path.clone(), retention_days: 30, reserve_bytes: 0 };
    let journal = Journal::open(&config, &Metrics::new().unwrap()).unwrap();
    let at = |millis| Timestamp::from_millis(millis).unwrap();
    let commit = async |from: i64, to: i64| {
        let entries = (from..to).map(|n| entry((n % 3 > 0).then(|| n.to_string()), n)).collect();
        journal.commit(entries).await.unwrap();
    };
    let identity = journal.identity().await.unwrap();
    commit(1, 2_501).await;
    let mut refused = journal.read_after(0, 10).await.unwrap();
    refused.retain(|receipt| [7, 9].contains(&receipt.seq));
    let capacity = Letters { entries: 10, bytes: 10_000 };
    journal.park("events", refused, "refused".to_owned(), at(3), capacity).await.unwrap();
    let mut backup = Backup::begin(&path, &to).unwrap();
    assert_eq!(backup.bounds().unwrap(), Some((1, 2_500)));
    assert_eq!(backup.step().unwrap().map(|(position, _)| position), Some(1_000));
    // Forgotten, and told once more: the same key under another position.
    journal.advance("events", 1_200).await.unwrap();
    assert_eq!(journal.prune(at(1_101), vec!["events".to_owned()], i64::MAX, 5_000).await.unwrap(), 1_100);
    commit(1, 51).await;
    while backup.step().unwrap().is_some() {}
    journal.pause("events", 1).await.unwrap();
    journal.unpark("events", vec![7]).await.unwrap();
    commit(3_000, 3_010).await;
    let copied = backup.finish().unwrap();
    assert_eq!((copied.receipts, copied.head), (1_460, 2_560));
    assert_eq!(copied.bytes, to.metadata().unwrap().len());
    journal.close().await;
    assert_eq!(rows(&to), rows(&path));

    // Restored, it is another journal: what was made from the first one does not fit it.
    let config = JournalConfig { path: to, retention_days: 30, reserve_bytes: 0 };
    let restored = Journal::open(&config, &Metrics::new().unwrap()).unwrap();
    assert_ne!(restored.identity().await.unwrap(), identity);
    assert_eq!(*restored.head().borrow(), 2_560);
    restored.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_journal_is_copied_with_what_it_remembers() {
    let dir = tempfile::tempdir().unwrap();
    let (path, to) = (dir.path().join("readhook.db"), dir.path().join("backup.db"));
    let config = JournalConfig { path: path.clone(), retention_days: 30, reserve_bytes: 0 };
    let journal = Journal::open(&config, &Metrics::new().unwrap()).unwrap();
    journal.commit((0..10).map(|n| entry(None, n)).collect()).await.unwrap();
    let mut backup = Backup::begin(&path, &to).unwrap();
    while backup.step().unwrap().is_some() {}
    let at = Timestamp::from_millis(100).unwrap();
    assert_eq!(journal.prune(at, Vec::new(), i64::MAX, 100).await.unwrap(), 10);
    let Copied { receipts, head, .. } = backup.finish().unwrap();
    assert_eq!((receipts, head), (0, 10));
    journal.close().await;
    assert_eq!(rows(&to), rows(&path));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_backed_up_is_said_and_nothing_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let config = write_config(dir.path());
    let to = dir.path().join("backup.db");
    let ends = |to: &Path, code: i32, says: &str| {
        let output = backup(&config, to, &[]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(says) && output.stdout.is_empty(), "{said}");
    };
    ends(&to, 74, "there is no journal");
    let process = Process::start(&config);
    let Callback { target, body } = easemob(1);
    assert_eq!(try_post(process.public, &target, body).await, Some(200));
    std::fs::write(&to, "mine").unwrap();
    ends(&to, 64, "is there already");
    assert_eq!(std::fs::read_to_string(&to).unwrap(), "mine");
    ends(&dir.path().join("no/such/folder.db"), 74, "cannot write the backup");
    let held = dir.path().join("held.db");
    let part = std::fs::File::create(dir.path().join("held.db.part")).unwrap();
    part.lock().unwrap();
    ends(&held, 69, "by another process");
    assert!(!held.exists());
    // What a backup left that was killed is no obstacle.
    drop(part);
    std::fs::write(dir.path().join("held.db.part"), "half of one").unwrap();
    let output = backup(&config, &held, &["--rate", "0"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("1 receipts, up to position 1, "), "{said}");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(held.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let unconfigured = dir.path().join("unconfigured.db");
    let mut command = readhook();
    command.args(["backup", "--config", "/no/such/file", "--journal"]).arg(dir.path().join("readhook.db"));
    let ended = block_in_place(|| command.arg("--to").arg(&unconfigured).output()).unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    // The sink may have gone on meanwhile, so its cursor does not count.
    assert_eq!(rows(&unconfigured).first(), rows(&held).first());
    // The service has not noticed.
    let Callback { target, body } = easemob(2);
    assert_eq!(try_post(process.public, &target, body).await, Some(200));
}
