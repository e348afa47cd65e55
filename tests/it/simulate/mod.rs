//! `readhook simulate`: what the simulated vendors send is what the sheets say, what readhook makes of it is what the report
//! says, and the report tells good from bad.

mod behaviour;
mod bytes;
mod command;
mod examples;
mod ledger;

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tokio::task::block_in_place;

use crate::house::{House, demo};
use crate::process::readhook;

/// What the program printed and how it ended.
struct Simulated {
    code: Option<i32>,
    report: Value,
    said: String,
}

impl Simulated {
    fn count(&self, pointer: &str) -> u64 {
        self.report.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs it to its end, with a report in JSON.
fn simulate(config: &Path, url: &str, arguments: &[&str]) -> Simulated {
    let mut command = readhook();
    command
        .arg("--config")
        .arg(config)
        .arg("simulate")
        .args(arguments)
        .args(["--url", url, "--format", "json"]);
    let output: Output = block_in_place(|| command.output()).unwrap();
    Simulated {
        code: output.status.code(),
        report: serde_json::from_slice(&output.stdout).unwrap_or_default(),
        said: text(&output.stderr),
    }
}

/// The demo with every proof that an app can ask for.
fn strict() -> String {
    demo()
        .replace(
            "allow_unauthenticated = true",
            "path_tokens = [\"test-only-token\"]\nbasic_auth = [\"openim:s3cr@t\"]",
        )
        .replace(
            "sdk_app_id = \"1400000000\"",
            "sdk_app_id = \"1400000000\"\nsecrets = [\"rr_tok-7f3kQ2vZ\"]\n#",
        )
        .replace("app_key = \"demo-app-key\"", "app_key = \"demo-app-key\"\nfreshness_seconds = 600")
}

fn url(house: &House) -> String {
    format!("http://{}", house.public)
}

async fn outcomes(house: &House, vendor: &str, outcome: &str) -> u64 {
    let text = house.get("/metrics").await.body;
    let series = text.lines().filter(|line| line.starts_with("readhook_callbacks_total{"));
    let fits = |line: &&str| {
        line.contains(&format!("vendor=\"{vendor}\"")) && line.contains(&format!("outcome=\"{outcome}\""))
    };
    series.filter(fits).map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
}

const ALL_SHARES: [&str; 10] = [
    "--duplicates",
    "0.1",
    "--reorder",
    "0.1",
    "--malformed",
    "0.06",
    "--bad-signature",
    "0.06",
    "--neighbours",
    "0.08",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_the_promised_one_and_the_journal_has_what_the_report_counts() {
    let house = House::start(&strict()).await;
    let config = house.dir.path().join("readhook.toml");
    let (mut stored, mut taken) = (0, 0);
    for vendor in ["easemob", "tencent", "openim", "rongcloud", "relay"] {
        let run = simulate(
            &config,
            &url(&house),
            &[&[vendor, "--count", "2000", "--seed", "7"], &ALL_SHARES[..]].concat(),
        );
        let report = &run.report;
        assert_eq!(run.code, Some(0), "{vendor}: {report:#} {}", run.said);
        assert_eq!((run.count("/sent"), run.count("/other")), (2_000, 0), "{vendor}: {report:#}");
        assert_eq!(run.count("/expected") + run.count("/hidden"), 2_000, "{vendor}: {report:#}");
        for kind in ["reads", "repeats", "neighbours", "malformed", "bad_signature"] {
            assert!(run.count(&format!("/callbacks/{kind}")) > 50, "{vendor}: {report:#}");
        }
        assert!(run.count("/reordered") > 50, "{vendor}: {report:#}");
        assert_eq!(run.count("/hidden") > 0, vendor == "easemob", "only Easemob has a ban: {report:#}");

        let before = stored;
        stored = house.receipts().await.len() as u64;
        assert_eq!(stored - before, run.count("/receipts"), "{vendor}: {report:#}");
        let name = if vendor == "relay" { "rongcloud" } else { vendor };
        let (accepted, duplicate) =
            (outcomes(&house, name, "accepted").await, outcomes(&house, name, "duplicate").await);
        let (reads, repeats) = (run.count("/callbacks/reads"), run.count("/callbacks/repeats"));
        if vendor == "relay" {
            // Its lists are cumulative: a callback that was overtaken by a later one says nothing new.
            assert_eq!(accepted + duplicate - taken, reads + repeats);
        } else {
            assert_eq!((accepted, duplicate), (reads, repeats), "{vendor}");
            taken = accepted + duplicate;
        }
    }
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_vendors_go_side_by_side_and_a_second_run_tells_something_new() {
    let house = House::start(&demo()).await;
    let config = house.dir.path().join("readhook.toml");
    let mut receipts = 0;
    for _ in 0..2 {
        let run = simulate(
            &config,
            &url(&house),
            &["all", "--count", "502", "--bad-signature", "0.1", "--rate", "1000/s"],
        );
        assert_eq!((run.code, run.count("/sent")), (Some(0), 502), "{:#} {}", run.report, run.said);
        assert!(run.said.contains("openim: its app asks for no token"), "{}", run.said);
        for (vendor, sent) in [("easemob", 101), ("tencent", 101), ("openim", 100), ("relay", 100)] {
            assert_eq!(run.count(&format!("/vendors/{vendor}/sent")), sent, "{:#}", run.report);
        }
        assert!(run.report["seconds"].as_f64().unwrap() > 0.4, "an even pace: {:#}", run.report);
        receipts += run.count("/receipts");
    }
    assert_eq!(house.receipts().await.len() as u64, receipts);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_seen_and_ends_with_1() {
    let house = House::start(&demo()).await;
    let config = house.dir.path().join("readhook.toml");
    let secret = house.dir.path().join("secret");
    std::fs::write(&secret, "test-only-of-yesterday\n").unwrap();
    let secret = secret.to_str().unwrap();
    let arguments = ["rongcloud", "--app-id", "demo-app-key", "--secret-file", secret, "--count", "40"];
    let run = simulate(&config, &url(&house), &arguments);
    assert_eq!(
        (run.code, run.count("/other"), run.count("/answers/401")),
        (Some(1), 40, 40),
        "{:#}",
        run.report
    );
    let samples = run.report["samples"].as_array().unwrap();
    assert_eq!(samples.len(), 5);
    assert_eq!(
        (&samples[0]["expected"], &samples[0]["got"]),
        (&"200 ok".into(), &"401 bad_signature".into())
    );
    assert!(!format!("{:#} {}", run.report, run.said).contains("of-yesterday"));
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_verified_and_what_is_not_is_missed() {
    let house = House::start(&demo()).await;
    let config = house.dir.path().join("readhook.toml");
    let other = House::start(&demo()).await;
    for (admin, fine) in [(house.admin, true), (other.admin, false)] {
        let admin = format!("http://{admin}/");
        let run = simulate(&config, &url(&house), &["all", "--count", "1200", "--verify", &admin]);
        let receipts = run.count("/receipts");
        assert!(receipts > 1_200, "more than a page, and several in one callback: {:#}", run.report);
        let stored = if fine { receipts } else { 0 };
        assert_eq!(
            (run.count("/verified/expected"), run.count("/verified/stored")),
            (receipts, stored),
            "{:#} {}",
            run.report,
            run.said
        );
        assert_eq!(run.code, Some(if fine { 0 } else { 1 }));
    }
    other.end().await;
    house.end().await;
}
