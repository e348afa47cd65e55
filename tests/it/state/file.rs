//! The state's file: whatever is wrong with it, it is made again from the journal, and the service starts. What
//! retention forgets leaves it in time.

use std::path::{Path, PathBuf};

use readhook::config::JournalConfig;
use readhook::journal::Journal;
use readhook::metrics::Metrics;
use readhook::receipt::Timestamp;
use rusqlite::Connection;
use rusqlite::types::Value as Cell;
use tempfile::TempDir;
use tokio::time::timeout;

use super::{CREW, T, ask_all, complete, in_group, many, post, same};
use crate::house::{House, PATIENCE, config, demo};

/// Everything in a state's file but its own numbers and positions, in an order of its own.
pub(super) fn dump(path: &Path) -> Vec<Vec<Cell>> {
    let connection = Connection::open(path).unwrap();
    let named = "conversations ON number = conversation";
    let mut all = Vec::new();
    for query in [
        "SELECT cursor, last FROM progress".to_owned(),
        format!(
            "SELECT vendor, app, kind, id, message, reader, via, read_at, seq FROM reads JOIN {named} ORDER BY 1, 2, 3, 4, 5, 6"
        ),
        format!(
            "SELECT vendor, app, kind, id, message, read, unread, seq FROM totals JOIN {named} ORDER BY 1, 2, 3, 4, 5"
        ),
        format!(
            "SELECT vendor, app, kind, id, reader, message_seq, up_to_seq, up_to_seq_at, up_to_time, up_to_time_at, \
             whole_at, read_at FROM positions JOIN {named} ORDER BY 1, 2, 3, 4, 5"
        ),
    ] {
        let mut statement = connection.prepare(&query).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| (0..columns).map(|at| row.get(at)).collect()).unwrap();
        all.extend(rows.map(Result::unwrap));
    }
    all
}

fn state_of(dir: &TempDir) -> PathBuf {
    dir.path().join("readhook.db.state")
}

/// A service that has taken many callbacks, and what it answers.
async fn filled() -> (House, Vec<serde_json::Value>) {
    let house = House::start(&demo()).await;
    for callback in many() {
        post(house.public, &callback).await;
    }
    let answers = ask_all(house.admin).await;
    (house, answers)
}

async fn restarted(dir: TempDir) -> House {
    let config = config(dir.path(), &demo());
    House::start_in(dir, config).await
}

fn sql(path: &Path, statements: &str) {
    Connection::open(path).unwrap().execute_batch(statements).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_file_is_mended_from_the_journal() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 9] = [
        ("gone", |path| std::fs::remove_file(path).unwrap()),
        ("empty", |path| std::fs::write(path, "").unwrap()),
        ("no database", |path| {
            std::fs::write(path, "my notes, and by no means a database of anything").unwrap()
        }),
        ("damaged", |path| {
            let mut bytes = std::fs::read(path).unwrap();
            bytes[4_096..].fill(0xA5);
            std::fs::write(path, bytes).unwrap();
        }),
        ("another format", |path| sql(path, "PRAGMA user_version = 99")),
        ("another database", |path| {
            std::fs::remove_file(path).unwrap();
            sql(path, "CREATE TABLE mine (x)");
        }),
        ("another journal's", |path| sql(path, "UPDATE progress SET journal = 1; DELETE FROM reads")),
        ("ahead", |path| sql(path, "UPDATE progress SET cursor = 1000000; DELETE FROM reads")),
        ("of another past", |path| sql(path, "UPDATE progress SET last = 'x'; DELETE FROM reads")),
    ];
    let (house, expected) = filled().await;
    let mut dir = house.end().await;
    let whole = dump(&state_of(&dir));
    assert!(whole.len() > 20, "it holds something");
    for (what, change) in changes {
        change(&state_of(&dir));
        let house = restarted(dir).await;
        same(&ask_all(house.admin).await, &expected, what);
        dir = house.end().await;
        assert_eq!(dump(&state_of(&dir)), whole, "{what}");
    }
    // And what is sound is gone on with, not made again.
    sql(&state_of(&dir), "DELETE FROM reads");
    let house = restarted(dir).await;
    let answer = complete(house.admin, &format!("readers?{CREW}&message_seq=0")).await;
    assert_eq!(answer["counts"]["via"]["message"], 0);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_a_question_finds_is_mended_while_it_runs() {
    let (house, expected) = filled().await;
    let house = restarted(house.end().await).await;
    let path = state_of(&house.dir);
    complete(house.admin, "positions?vendor=openim&app=none&reader=none").await;
    // Where the pages are that no question has read yet.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4_096..].fill(0xA5);
    std::fs::write(&path, bytes).unwrap();
    let target = format!("/api/v1/positions?{CREW}");
    let healed = timeout(PATIENCE, async { while house.get(&target).await.status != 200 {} });
    healed.await.expect("the file is made anew");
    same(&ask_all(house.admin).await, &expected, "mended");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_has_forgotten_leaves_and_positions_stay() {
    let house = House::start(&demo()).await;
    // More rows than one step of the sweep looks at.
    let readers: Vec<String> = (0..1_000).map(|reader| format!("r{reader:04}")).collect();
    let readers: Vec<&str> = readers.iter().map(String::as_str).collect();
    for message in 0..3 {
        post(house.public, &in_group("crew", message, (7, 0), &readers, T)).await;
    }
    complete(house.admin, &format!("positions?{CREW}&limit=1")).await;
    let dir = house.end().await;
    let settings = JournalConfig { path: dir.path().join("readhook.db"), ..JournalConfig::default() };
    let journal = Journal::open(&settings, &Metrics::new().unwrap()).unwrap();
    let later = Timestamp::parse_rfc3339("2999-01-01T00:00:00Z").unwrap();
    let sinks = vec!["events".to_owned()];
    assert_eq!(journal.prune(later, sinks.clone(), 1_500, 5_000).await.unwrap(), 1_500, "held by the state");
    assert_eq!(journal.prune(later, sinks, i64::MAX, 1_000).await.unwrap(), 1_000);
    journal.close().await;
    drop(journal);

    let house = restarted(dir).await;
    let read = async |seq: i64| {
        let target = format!("readers?{CREW}&message_seq={seq}&limit=1");
        complete(house.admin, &target).await["counts"]["read"].as_i64()
    };
    let swept = timeout(PATIENCE, async { while read(2).await != Some(500) {} });
    swept.await.expect("half of the third message is gone");
    assert_eq!((read(0).await, read(1).await), (Some(0), Some(0)), "with the vendor's totals");
    let page = complete(house.admin, &format!("positions?{CREW}&limit=10000")).await;
    assert_eq!(page["positions"].as_array().unwrap().len(), 1_000);
    assert!(page["positions"].as_array().unwrap().iter().all(|position| position["message_seq"] == 2));
    house.stop();
    house.ended().await;
}
