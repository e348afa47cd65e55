//! What goes out: the same for the same seed, and as the vendors' own requests look.

use super::{ALL_SHARES, simulate, strict};
use crate::upstream::{Got, Manner, Upstream};

/// A request line, its fields and its body.
type Said = (String, Vec<(String, String)>, Vec<u8>);

fn said(got: Vec<Got>) -> Vec<Said> {
    got.into_iter().map(|got| (got.line, got.fields, got.body)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_seed_makes_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("readhook.toml");
    std::fs::write(&config, strict()).unwrap();
    for vendor in ["easemob", "tencent", "openim", "rongcloud", "relay"] {
        let mut runs = Vec::new();
        for (seed, connections) in [("1", "1"), ("1", "1"), ("1", "7"), ("2", "1")] {
            let upstream = Upstream::start(Manner::answer("200 OK", "", "ok")).await;
            // The receiver's address is part of what is sent.
            let url = format!("http://{}", upstream.address);
            let fixed = [
                "--seed",
                seed,
                "--concurrency",
                connections,
                "--start-time",
                "2026-11-20T08:00:00Z",
                "--count",
                "300",
            ];
            let run = simulate(&config, &url, &[&[vendor], &fixed[..], &ALL_SHARES[..]].concat());
            assert_eq!(run.count("/sent"), 300, "{}", run.said);
            let mut got = said(upstream.got());
            for (_, fields, _) in &mut got {
                fields.retain(|(name, _)| name != "host");
            }
            runs.push(got);
        }
        assert_eq!(runs[0], runs[1], "{vendor}");
        assert_ne!(runs[0], runs[3], "{vendor}");
        runs[0].sort();
        runs[2].sort();
        assert_eq!(runs[0], runs[2], "{vendor}: several connections change the order at most");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_looks_as_the_vendors_does() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("readhook.toml");
    std::fs::write(&config, strict()).unwrap();
    let upstream = Upstream::start(Manner::answer("200 OK", "", "ok")).await;
    let url = format!("http://{}", upstream.address);
    simulate(&config, &url, &["all", "--count", "5", "--concurrency", "5"]);
    let got = upstream.got();
    let of = |path: &str| {
        got.iter().find(|got| got.line.contains(path)).unwrap_or_else(|| panic!("{path}: {got:?}"))
    };
    assert_eq!(of("/webhooks/easemob").line, "POST /webhooks/easemob HTTP/1.1");
    let tencent = of("/webhooks/tencent");
    for parameter in
        ["?SdkAppid=1400000000&CallbackCommand=", "&contenttype=json&ClientIP=", "&Sign=", "&RequestTime="]
    {
        assert!(tencent.line.contains(parameter), "{}", tencent.line);
    }
    assert_eq!(tencent.field("content-type"), None, "the documented request has none");
    let openim = of("/webhooks/openim");
    assert!(openim.line.starts_with("POST /webhooks/openim/test-only-token/callback"), "{}", openim.line);
    assert_eq!(openim.field("authorization"), Some("Basic b3BlbmltOnMzY3JAdA=="));
    assert!(openim.field("operationid").is_some_and(|id| id.starts_with("op-")));
    assert!(of("/webhooks/rongcloud?appKey=demo-app-key&nonce=").line.contains("&signature="));
    assert!(of("/webhooks/rongcloud/relay?appKey=demo-app-key").line.contains("&signature="));
}
