//! `--acknowledged`: exactly the reads that were acknowledged are in the file, each as the doctor takes it.

use std::collections::BTreeSet;

use http::Method;
use serde_json::Value;

use super::{ALL_SHARES, simulate, url};
use crate::house::{House, demo, exchange};
use crate::upstream::{Manner, Upstream};

fn ids(receipts: &[Value]) -> BTreeSet<String> {
    receipts.iter().map(|receipt| receipt["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_noted_and_nothing_else() {
    let house = House::start(&demo()).await;
    let config = house.dir.path().join("readhook.toml");
    let file = house.dir.path().join("acknowledged");
    std::fs::write(&file, "of yesterday").unwrap();
    let noted = file.to_str().unwrap();
    let arguments = [&["all", "--count", "1000", "--acknowledged", noted], &ALL_SHARES[..]].concat();
    let run = simulate(&config, &url(&house), &arguments);
    assert_eq!(run.code, Some(0), "{:#} {}", run.report, run.said);
    let lines = std::fs::read_to_string(&file).unwrap();
    let reads = run.count("/callbacks/reads") + run.count("/callbacks/repeats");
    assert_eq!(lines.lines().count() as u64, reads, "{:#}", run.report);
    let mut explained = BTreeSet::new();
    for line in lines.lines() {
        let question = line.as_bytes().to_vec();
        let reply = exchange(house.admin, Method::POST, "/api/v1/explain", &[], question).await;
        let explanation: Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(explanation["outcome"], "accepted", "{line} {explanation:#}");
        explained.extend(ids(explanation["receipts"].as_array().unwrap()));
    }
    assert_eq!(explained, ids(&house.receipts().await), "what it says and what the journal has");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_is_not_noted_and_a_file_that_cannot_be_written_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("readhook.toml");
    std::fs::write(&config, demo()).unwrap();
    let busy = Manner::answer("503 Service Unavailable", "", "{\"valid\":true}");
    let fine = Manner::answer("200 OK", "", "{\"valid\":true}");
    let upstream = Upstream::start(Manner::InTurn(vec![busy, fine])).await;
    let address = format!("http://{}", upstream.address);
    let file = dir.path().join("acknowledged");
    let noted = file.to_str().unwrap();
    let run = simulate(&config, &address, &["easemob", "--count", "10", "--acknowledged", noted]);
    assert_eq!((run.code, run.count("/expected")), (Some(1), 5), "{:#}", run.report);
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 5);
    // Tried again by its vendor, each is noted once.
    let arguments =
        ["easemob", "--count", "10", "--vendor-behaviour", "--acknowledged", noted, "--concurrency", "1"];
    let run = simulate(&config, &address, &arguments);
    assert_eq!((run.code, run.count("/sent")), (Some(0), 20), "{:#}", run.report);
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 10);

    let came = upstream.got().len();
    let run = simulate(&config, &address, &["easemob", "--acknowledged", "/no/such/folder/file"]);
    assert_eq!((run.code, upstream.got().len()), (Some(74), came), "{}", run.said);
    let run = simulate(&config, &address, &["easemob", "--count", "10", "--acknowledged", "/dev/full"]);
    assert_eq!(run.code, Some(74), "{:#}", run.report);
    assert!(run.said.contains("--acknowledged") && run.count("/sent") == 10, "{}", run.said);
}
