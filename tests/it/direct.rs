//! `ack_after = "sinks"`: no journal, and a vendor is answered when every sink has its receipts.

use std::path::Path;

use readhook::config::{AckAfter, Config, SinkConfig, SinkKind, SinkLimits, StartAt};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::house::{House, config, delivered, demo};
use crate::vendor::{Callback, easemob, openim, tencent};

/// The demo's configuration without a journal, and two files.
fn without_journal(dir: &Path) -> Config {
    let mut config = config(dir, &demo());
    config.delivery.ack_after = AckAfter::Sinks;
    let second = SinkKind::File { path: dir.join("second.jsonl") };
    let second = SinkConfig {
        batch: 7.try_into().unwrap(),
        from: StartAt::Start,
        limits: SinkLimits::default(),
        kind: second,
    };
    config.sinks.insert("second".to_owned(), second);
    config
}

async fn house() -> House {
    let dir = tempfile::tempdir().unwrap();
    let config = without_journal(dir.path());
    House::start_in(dir, config).await
}

async fn post(house: &House, Callback { target, body }: &Callback) -> u16 {
    house.post(target, &[], body.as_bytes()).await.status
}

fn lines(dir: &Path, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join(file)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_is_at_every_sink_and_nowhere_else() {
    let house = std::sync::Arc::new(house().await);
    let mut callers = JoinSet::new();
    for number in 0..200 {
        let house = house.clone();
        callers.spawn(async move {
            assert_eq!(post(&house, &easemob(number)).await, 200);
            // Answered, so it is there: no waiting.
            let message = format!("9{number}");
            for file in ["receipts.jsonl", "second.jsonl"] {
                let got = std::fs::read_to_string(house.dir.path().join(file)).unwrap();
                assert!(got.contains(&format!("\"message_id\":\"{message}\"")), "{message} in {file}");
            }
        });
    }
    while let Some(done) = callers.join_next().await {
        done.unwrap();
    }
    let house = std::sync::Arc::into_inner(house).unwrap();
    assert!(house.metric(r#"readhook_sink_deliveries_total{result="ok",sink="second"}"#).await >= 200.0);
    house.stop();
    let dir = house.ended().await;
    assert_eq!(delivered(dir.path()).len(), 200);
    assert_eq!(lines(dir.path(), "second.jsonl").len(), 200);
    assert!(!dir.path().join("readhook.db").exists(), "there is no journal");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_goes_out_again_with_the_same_id() {
    let house = house().await;
    for _ in 0..2 {
        assert_eq!(post(&house, &tencent(7)).await, 200);
    }
    house.stop();
    let dir = house.ended().await;
    let got = delivered(dir.path());
    assert_eq!(got.len(), 2);
    assert_eq!(got[0]["id"], got[1]["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_one_sink_is_down_vendors_hear_unavailable_and_then_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let obstacle = dir.path().join("second.jsonl");
    std::fs::create_dir(&obstacle).unwrap();
    let config = without_journal(dir.path());
    let house = House::start_in(dir, config).await;
    assert_eq!(post(&house, &openim(1)).await, 503);
    assert_eq!(house.get("/readyz").await.status, 200, "the next callback may succeed");
    let sinks: Value = serde_json::from_str(&house.get("/api/v1/sinks").await.body).unwrap();
    let state = |name: &str| {
        let sink = sinks["sinks"].as_array().unwrap().iter().find(|sink| sink["name"] == name).unwrap();
        sink["state"].as_str().unwrap().to_owned()
    };
    assert_eq!((state("events"), state("second")), ("delivering".to_owned(), "failing".to_owned()));
    // Back before the vendor's patience is over: it notices nothing.
    let patient = openim(2);
    let (status, ()) = tokio::join!(post(&house, &patient), async {
        while house.metric(r#"readhook_sink_deliveries_total{result="retry",sink="second"}"#).await < 2.0 {}
        std::fs::remove_dir(&obstacle).unwrap();
    });
    assert_eq!(status, 200);
    // What nobody waits for any more is let go: the vendor has heard `unavailable`, and may come again.
    assert_eq!(post(&house, &openim(1)).await, 200);
    house.stop();
    let dir = house.ended().await;
    let seqs: Vec<u64> =
        lines(dir.path(), "second.jsonl").iter().map(|got| got["message_seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [2, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_journal_says_that_there_is_none() {
    let house = house().await;
    let receipts = house.get("/api/v1/receipts").await;
    assert_eq!(receipts.status, 409);
    assert!(receipts.body.contains("ack_after"), "{}", receipts.body);
    assert_eq!(house.order("events", "redrive", "").await.status, 409);
    let health: Value = serde_json::from_str(&house.get("/healthz").await.body).unwrap();
    assert_eq!(health["journal"], Value::Null);
    house.stop();
    house.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_needs_no_disk_for_itself() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = without_journal(dir.path());
    config.journal.path = "/proc/no/such/folder/readhook.db".into();
    let house = House::start_in(dir, config).await;
    assert_eq!(post(&house, &easemob(1)).await, 200);
    assert_eq!(house.post("/webhooks/easemob", &[], b"nonsense").await.status, 400);
    house.stop();
    house.ended().await;
}
