//! `max_lag_days` and `max_lag_bytes`: retention waits for a sink only so far, and says what it did not get.

use readhook::config::SinkLimits;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::endurance;
use crate::house::{House, PATIENCE, config, delivered, demo};
use crate::vendor::easemob;

/// A service whose journal holds 20 old receipts that its one sink, which is down, has not got.
async fn house_with(limits: SinkLimits) -> House {
    let (journal, _metrics, dir) = endurance::journal(20).await;
    journal.close().await;
    drop(journal);
    // Retention goes by a stored time, which would begin at the newest receipt.
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let marks = rusqlite::Connection::open(dir.path().join("readhook.db")).unwrap();
    marks
        .execute("INSERT INTO marks VALUES ('retention_watermark', ?1)", [i64::try_from(now).unwrap()])
        .unwrap();
    drop(marks);
    std::fs::create_dir(dir.path().join("receipts.jsonl")).unwrap();
    let mut config = config(dir.path(), &demo());
    config.journal.retention_days = 1;
    config.state.enabled = false;
    config.sinks.get_mut("events").unwrap().limits = limits;
    House::start_in(dir, config).await
}

async fn sink(house: &House) -> Value {
    let sinks: Value = serde_json::from_str(&house.get("/api/v1/sinks").await.body).unwrap();
    sinks["sinks"][0].clone()
}

async fn until(house: &House, state: impl Fn(&Value) -> bool) -> Value {
    timeout(PATIENCE, async {
        loop {
            let sink = sink(house).await;
            if state(&sink) {
                return sink;
            }
        }
    })
    .await
    .unwrap()
}

/// What is left goes on as soon as the sink is back, and what was let go is still known after a restart.
async fn goes_on_and_remembers(house: House, left: usize, let_go: Value) {
    std::fs::remove_dir(house.dir.path().join("receipts.jsonl")).unwrap();
    assert_eq!(house.order("events", "resume", "").await.status, 200);
    let callback = easemob(1);
    assert_eq!(house.post(&callback.target, &[], callback.body.as_bytes()).await.status, 200);
    until(&house, |sink| sink["lag"] == 0).await;
    house.stop();
    let dir = house.ended().await;
    assert_eq!(delivered(dir.path()).len(), left + 1);
    let config = config(dir.path(), &demo());
    let house = House::start_in(dir, config).await;
    assert_eq!(until(&house, |sink| !sink["let_go"].is_null()).await["let_go"], let_go);
    house.stop();
    house.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_for_a_sink_is_pruned_and_reported() {
    let house = house_with(SinkLimits { lag_days: 1.try_into().ok(), ..SinkLimits::default() }).await;
    let let_go = json!({ "from": 1, "to": 20, "receipts": 20 });
    let shown = until(&house, |sink| !sink["let_go"].is_null()).await;
    assert_eq!(shown["let_go"], let_go);
    let metric = house.metric(r#"readhook_sink_let_go_receipts_total{sink="events"}"#).await;
    assert!((metric - 20.0).abs() < f64::EPSILON, "{metric}");
    assert!(house.get("/sinks").await.body.contains("Pruned without delivery"));
    assert!(house.receipts().await.is_empty());
    goes_on_and_remembers(house, 0, let_go).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_is_too_many_bytes_behind_keeps_the_newest() {
    let (journal, _metrics, _dir) = endurance::journal(20).await;
    let sizes = journal.read_after(15, 5).await.unwrap();
    let bytes: usize = sizes.iter().map(|stored| stored.json.len()).sum();
    journal.close().await;
    let lag_bytes = (bytes as u64).try_into().ok();
    let house = house_with(SinkLimits { lag_bytes, ..SinkLimits::default() }).await;
    let let_go = json!({ "from": 1, "to": 15, "receipts": 15 });
    assert_eq!(until(&house, |sink| !sink["let_go"].is_null()).await["let_go"], let_go);
    assert_eq!(house.receipts().await.len(), 5);
    goes_on_and_remembers(house, 5, let_go).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_limits_retention_waits() {
    let house = house_with(SinkLimits { lag_days: 3_000.try_into().ok(), ..SinkLimits::default() }).await;
    // A sink that fails has been asked twice by now, and the first look of retention is over.
    until(&house, |sink| sink["state"] == "failing").await;
    assert_eq!(house.receipts().await.len(), 20);
    assert_eq!(sink(&house).await["let_go"], Value::Null);
    house.stop();
    house.ended().await;
}
