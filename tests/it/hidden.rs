//! What the ban guard hides while the journal cannot be written is durable in quarantine, and is taken in by itself:
//! each receipt once, whatever happens between.

use std::path::Path;

use http::Method;
use rusqlite::Connection;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::crash::stored;
use crate::house::{House, PATIENCE, demo, exchange};
use crate::process::{Process, write_config};
use crate::vendor::easemob;

/// The demo with a guard that bears one failure.
fn touchy() -> String {
    demo().replace(
        "[vendors.easemob.apps.demo]",
        "[vendors.easemob]\nban_guard = 1\n[vendors.easemob.apps.demo]",
    )
}

/// Keeps the journal from being written, as a disk does that answers no more.
fn stuck(dir: &Path) -> Connection {
    let stuck = Connection::open(dir.join("readhook.db")).unwrap();
    stuck.execute_batch("BEGIN IMMEDIATE").unwrap();
    stuck
}

/// Posts callbacks at the same time; gives their statuses.
async fn post(address: std::net::SocketAddr, numbers: std::ops::Range<u64>) -> Vec<u16> {
    let mut posts = JoinSet::new();
    for number in numbers {
        posts.spawn(async move {
            let callback = easemob(number);
            let posted = exchange(address, Method::POST, &callback.target, &[], callback.body.into_bytes());
            (number, posted.await.status)
        });
    }
    let mut statuses = posts.join_all().await;
    statuses.sort_unstable();
    statuses.into_iter().map(|(_, status)| status).collect()
}

fn numbers(receipts: &[Value]) -> Vec<u64> {
    let number = |receipt: &Value| receipt["event_id"].as_str().unwrap().rsplit_once('_').unwrap().1.parse();
    let mut numbers: Vec<u64> = receipts.iter().map(|receipt| number(receipt).unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

/// How many are in the quarantine's file and wait for the journal.
fn waiting(dir: &Path) -> i64 {
    let file = Connection::open(dir.join("readhook.db.quarantine")).unwrap();
    let sql = "SELECT count(*) FROM callbacks WHERE class = 1 AND outcome = 'unavailable'";
    file.query_row(sql, [], |row| row.get(0)).unwrap()
}

async fn drained(house: &House) {
    let empty = async { while house.metric("readhook_quarantine_entries").await > 0.0 {} };
    timeout(PATIENCE, empty).await.expect("all of it should be taken in");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_hidden_is_taken_in_when_the_journal_works_again() {
    let house = House::start(&touchy()).await;
    let lock = stuck(house.dir.path());
    let answered = post(house.public, 0..20).await;
    assert_eq!(answered.iter().filter(|status| **status == 503).count(), 1, "{answered:?}");
    assert_eq!(answered.iter().filter(|status| **status == 200).count(), 19);
    assert_eq!(waiting(house.dir.path()), 19, "200 was said of what is on the disk");
    lock.execute_batch("ROLLBACK").unwrap();
    drained(&house).await;
    let told = answered.iter().position(|status| *status == 503).unwrap() as u64;
    let kept = numbers(&house.receipts().await);
    // The one that heard the truth may have come through late.
    assert_eq!(kept.into_iter().filter(|number| *number != told).count(), 19);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_hidden_is_lost_by_a_kill_or_stored_twice() {
    let dir = tempfile::tempdir().unwrap();
    let file = write_config(dir.path());
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        text.replace(
            "[vendors.easemob.apps.demo]",
            "[vendors.easemob]\nban_guard = 1\n[vendors.easemob.apps.demo]",
        ),
    )
    .unwrap();
    let process = Process::start(&file);
    let lock = stuck(dir.path());
    let answered = post(process.public, 0..20).await;
    let hidden = answered.iter().filter(|status| **status == 200).count();
    assert_eq!(hidden, 19, "{answered:?}");
    process.kill();
    drop(lock);
    assert_eq!(waiting(dir.path()), 19);
    // As it is between the commit and the release.
    let name = "readhook.db.quarantine";
    let copy = |from: &str, to: &str| std::fs::copy(dir.path().join(from), dir.path().join(to)).unwrap();
    Connection::open(dir.path().join(name))
        .unwrap()
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        .unwrap();
    copy(name, "copy");

    for _ in 0..2 {
        // A secret that is gone by now takes nothing from what was proven when it came.
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("test-only-easemob-secret", "test-only-another")).unwrap();
        let mut process = Process::start(&file);
        let taken = async {
            while waiting(dir.path()) > 0 {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, taken).await.expect("all of it should be taken in after a restart");
        let told = answered.iter().position(|status| *status != 200).unwrap() as u64;
        let kept = numbers(&stored(&process).await);
        assert_eq!(kept.iter().filter(|number| **number != told).count(), 19, "{kept:?}");
        process.signal("TERM");
        assert_eq!(process.wait().code(), Some(0));
        for suffix in ["-wal", "-shm"] {
            // There may be none.
            let _gone = std::fs::remove_file(dir.path().join(format!("{name}{suffix}")));
        }
        copy("copy", name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_after_all_stays_for_an_operator() {
    let house = House::start(&touchy()).await;
    let lock = stuck(house.dir.path());
    let first = easemob(1);
    let forged = first.body.replace(r#""from":"reader""#, r#""from":"somebody""#);
    let trip = post(house.public, 100..101);
    assert_eq!(trip.await, [503]);
    let (one, two) = tokio::join!(
        house.post(&first.target, &[], first.body.as_bytes()),
        house.post(&first.target, &[], forged.as_bytes())
    );
    assert_eq!((one.status, two.status), (200, 200));
    lock.execute_batch("ROLLBACK").unwrap();
    let settled = async {
        loop {
            let page = house.get("/api/v1/quarantine").await.body;
            let page: Value = serde_json::from_str(&page).unwrap();
            if let [entry] = page["entries"].as_array().unwrap().as_slice()
                && entry["reason"] == "conflict"
            {
                return entry["class"].clone();
            }
        }
    };
    assert_eq!(timeout(PATIENCE, settled).await.unwrap(), "app", "it may be evicted now");
    let kept = numbers(&house.receipts().await);
    assert_eq!(kept.iter().filter(|number| **number == 1).count(), 1, "the first stays");
    house.end().await;
}

/// A disk that takes no quarantine either: nothing is hidden that is nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_quarantine_the_truth_is_told() {
    let house = House::start(&touchy()).await;
    // Each reason is there at 0 from the start, so that the first failure is an increase.
    let metrics = house.get("/metrics").await.body;
    for why in ["off", "full", "client", "slow", "failed"] {
        let series = format!(r#"readhook_ban_guard_exposed_total{{reason="{why}"}} 0"#);
        assert!(metrics.lines().any(|line| line == series), "{series}");
    }
    let (journal, quarantine) = (stuck(house.dir.path()), {
        let stuck = Connection::open(house.dir.path().join("readhook.db.quarantine")).unwrap();
        stuck.execute_batch("BEGIN IMMEDIATE").unwrap();
        stuck
    });
    let answered = post(house.public, 0..20).await;
    assert!(answered.iter().all(|status| *status == 503), "{answered:?}");
    let reasons =
        ["slow", "failed"].map(|why| format!(r#"readhook_ban_guard_exposed_total{{reason="{why}"}}"#));
    let exposed = house.metric(&reasons[0]).await + house.metric(&reasons[1]).await;
    assert!((exposed - 19.0).abs() < f64::EPSILON, "{exposed}");
    journal.execute_batch("ROLLBACK").unwrap();
    quarantine.execute_batch("ROLLBACK").unwrap();
    // Both come back by themselves.
    let accepted = async { while post(house.public, 50..51).await != [200] {} };
    timeout(PATIENCE, accepted).await.unwrap();
    let works = async { while house.metric("readhook_quarantine_takes_writes").await < 1.0 {} };
    timeout(PATIENCE, works).await.unwrap();
    drained(&house).await;
    house.end().await;
}
