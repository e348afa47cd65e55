//! What an earlier version has left: a copy of a data folder that it wrote is opened, every receipt is kept and known,
//! and each sink goes on where it stood. `tests/data/<commit>/README.md` says what lies there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use http::Method;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::house::{PATIENCE, exchange, repository};
use crate::process::{Process, readhook, write_config_with};

async fn get(process: &Process, target: &str) -> Value {
    let reply = exchange(process.admin, Method::GET, &format!("/api/v1/{target}"), &[], Vec::new()).await;
    assert_eq!(reply.status, 200, "{target}: {}", reply.body);
    serde_json::from_str(&reply.body).unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// A number of each sink.
fn of_each_sink(sinks: &Value, field: &str) -> Value {
    let pairs = sinks["sinks"].as_array().unwrap().iter();
    pairs.map(|sink| (sink["name"].as_str().unwrap().to_owned(), sink[field].clone())).collect::<Value>()
}

fn ids(receipts: &Value) -> Value {
    receipts["receipts"].as_array().unwrap().iter().map(|receipt| receipt["id"].clone()).collect()
}

fn positions(found: &Value) -> BTreeMap<String, i64> {
    let positions = found["positions"].as_array().unwrap().iter();
    let position = |found: &Value| {
        (found["conversation"]["id"].as_str().unwrap().to_owned(), found["message_seq"].as_i64().unwrap())
    };
    positions.map(position).collect()
}

async fn duplicates(process: &Process) -> f64 {
    let reply = exchange(process.admin, Method::GET, "/metrics", &[], Vec::new()).await;
    let counted = reply.body.lines().filter(|line| {
        line.starts_with("readhook_callbacks_total{") && line.contains("outcome=\"duplicate\"")
    });
    counted.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

async fn keeps_everything(folder: &str) {
    let from = repository("tests/data/02cd061").join(folder);
    let facts: Value = serde_json::from_str(&fs::read_to_string(from.join("facts.json")).unwrap()).unwrap();
    let callbacks = fs::read_to_string(from.join("callbacks.jsonl")).unwrap();
    let callbacks: Vec<Value> = callbacks.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let dir = tempfile::tempdir().unwrap();
    copy(&from.join("data"), dir.path());
    let file = |name: &str| dir.path().join(name).display().to_string();
    let sinks = format!(
        "[sinks.events]\ntype = \"file\"\npath = \"{}\"\n[sinks.paused]\ntype = \"file\"\npath = \"{}\"\n\
         [sinks.refusing]\ntype = \"http\"\nurl = \"http://127.0.0.1:1/\"\nmode = \"single\"\n",
        file("receipts.jsonl"),
        file("paused.jsonl"),
    );
    let config = write_config_with(dir.path(), &sinks);
    let text = fs::read_to_string(&config).unwrap();
    // The receipts are as old as the folder.
    fs::write(&config, text.replace("[journal]", "[journal]\nretention_days = 0")).unwrap();

    for round in 0..2 {
        let mut process = Process::start(&config);
        let shown = get(&process, "sinks").await;
        assert_eq!(ids(&get(&process, "receipts?limit=1000").await), facts["receipts"], "{folder}, {round}");
        assert_eq!(of_each_sink(&shown, "dead_letters"), facts["dead_letters"], "{folder}, {round}");
        let standing = of_each_sink(&shown, "state");
        let target = "positions?vendor=openim&app=demo&reader=b";
        let known = timeout(PATIENCE, async {
            while positions(&get(&process, target).await) != positions(&facts["position"]) {
                sleep(std::time::Duration::from_millis(20)).await;
            }
        });
        known.await.expect("the read state should be as it was");
        if round == 0 {
            assert_eq!(of_each_sink(&shown, "cursor"), facts["sinks"], "{folder}");
            assert_eq!(standing["paused"], json!("paused"), "{folder}");
            let listed = get(&process, "quarantine").await;
            let listed = listed["entries"].as_array().unwrap().iter();
            let listed: Value =
                listed.map(|entry| json!({ "vendor": entry["vendor"], "reason": entry["reason"] })).collect();
            assert_eq!(listed, facts["quarantine"], "{folder}");
        }
        // Whatever was posted then is answered as it was then, and is a duplicate.
        let mut expected = 0.0;
        for callback in &callbacks {
            let body = callback["body"].as_str().unwrap().as_bytes().to_vec();
            let target = callback["target"].as_str().unwrap();
            let reply = exchange(process.public, Method::POST, target, &[], body).await;
            assert_eq!(json!(reply.status), callback["status"], "{folder}, {round}: {target}");
            expected += f64::from(reply.status == 200);
        }
        assert!(expected > 300.0, "there were callbacks to post");
        assert!(
            (duplicates(&process).await - expected).abs() < 0.5,
            "{folder}, {round}: each is a duplicate"
        );
        assert_eq!(ids(&get(&process, "receipts?limit=1000").await), facts["receipts"], "{folder}, {round}");
        if round == 0 {
            let target = "/api/v1/sinks/paused/resume";
            assert_eq!(exchange(process.admin, Method::POST, target, &[], Vec::new()).await.status, 200);
            let delivered = timeout(PATIENCE, async {
                while of_each_sink(&get(&process, "sinks").await, "cursor")["paused"] != json!(300) {
                    sleep(std::time::Duration::from_millis(20)).await;
                }
            });
            delivered.await.expect("the sink that was paused should go on");
        }
        process.signal("TERM");
        assert_eq!(process.wait().code(), Some(0), "{folder}, {round}");
        let check = readhook().arg("check").arg("--config").arg(&config).output().unwrap();
        assert!(
            String::from_utf8_lossy(&check.stdout).contains("whole, newest receipt 300"),
            "{folder}: {check:?}"
        );
    }
    for name in ["receipts.jsonl", "paused.jsonl"] {
        let lines = fs::read_to_string(dir.path().join(name)).unwrap();
        let ids: Value =
            lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone()).collect();
        assert_eq!(ids, facts["receipts"], "{folder}: {name} goes on where it was");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_02cd061_that_was_closed_keeps_every_receipt_and_knows_every_id() {
    keeps_everything("clean").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_02cd061_that_was_killed_keeps_what_is_in_its_wal_alone() {
    keeps_everything("killed").await;
}
