//! `POST /api/v1/explain`: what it answers, what it refuses, and that it leaves no trace.

use http::Method;
use serde_json::{Value, json};

use crate::house::{House, Reply, demo, exchange};
use crate::vendor::{easemob, easemob_signed_with};

async fn ask(house: &House, question: &Value) -> Reply {
    let body = question.to_string().into_bytes();
    exchange(house.admin, Method::POST, "/api/v1/explain", &[], body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_explains_and_leaves_no_trace() {
    let house = House::start(&demo()).await;
    let wrong = easemob_signed_with(1, "another").body;
    for (question, outcome) in [
        (json!({"vendor": "easemob", "body": easemob(1).body}), "accepted"),
        (
            json!({"vendor": "easemob", "body": wrong, "path": "/webhooks/easemob", "query": "?x=1",
            "headers": {"content-type": "application/json", "x": ["1", "2"]}, "client": "192.0.2.1",
            "received_at": "2025-08-12T12:00:00Z"}),
            "rejected",
        ),
        (json!({"vendor": "easemob", "body_base64": "AP8="}), "malformed"),
        (json!({"vendor": "easemob", "body": "x".repeat((1 << 20) + 1)}), "malformed"),
        (json!({"vendor": "rongcloud/relay", "body": "{}"}), "ignored"),
        (json!({"vendor": "rongcloud", "path": "relay", "body": "{}"}), "ignored"),
        (json!({"vendor": "easemob", "path": "https://host/webhooks/easemob?x=1", "body": "{}"}), "ignored"),
        (json!({"vendor": "easemob", "path": "x", "body": "{}"}), "malformed"),
        (json!({"vendor": "easemob", "path": "/webhooks/nobody", "body": "{}"}), "not_found"),
    ] {
        let reply = ask(&house, &question).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        let explanation: Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(explanation["outcome"], outcome, "{}", reply.body);
        assert!(explanation["steps"].as_array().unwrap().len() > 1, "{}", reply.body);
    }
    for (question, status, names) in [
        (json!({"vendor": "icq", "body": ""}), 400, "vendor"),
        (json!({"body": ""}), 400, "vendor"),
        (json!({"vendor": "easemob"}), 400, "body"),
        (json!({"vendor": "easemob", "body": "", "body_base64": ""}), 400, "body_base64"),
        (json!({"vendor": "easemob", "body_base64": "!"}), 400, "body_base64"),
        (json!({"vendor": "easemob", "body": "", "bodi": ""}), 400, "bodi"),
        (json!({"vendor": "easemob", "body": "", "received_at": "yesterday"}), 400, "RFC 3339"),
        (json!({"vendor": "easemob", "body": "", "client": "somewhere"}), 400, "IP"),
        (json!({"vendor": "easemob", "body": "", "headers": {"a b": "x"}}), 400, "headers"),
        (json!({"vendor": "easemob", "body": "", "query": "a b"}), 400, "query"),
        (json!([]), 400, ""),
        (json!({"vendor": "easemob", "body": "x".repeat(3 << 20)}), 413, ""),
    ] {
        let reply = ask(&house, &question).await;
        assert_eq!(reply.status, status, "{}", reply.body);
        assert_eq!(reply.headers["content-type"], "application/problem+json");
        let problem: Value = serde_json::from_str(&reply.body).unwrap();
        assert!(problem["detail"].as_str().unwrap().contains(names), "{names}: {problem}");
    }
    assert_eq!(house.get("/api/v1/explain").await.status, 405);
    let foreign = [("origin", "https://evil.example")];
    let foreign = exchange(house.admin, Method::POST, "/api/v1/explain", &foreign, b"{}".to_vec()).await;
    assert_eq!(foreign.status, 403);
    let metrics = house.get("/metrics").await.body;
    let mut counters = metrics.lines().filter(|line| line.starts_with("readhook_callbacks_total{"));
    assert!(counters.all(|line| line.ends_with(" 0")), "nothing is counted: {metrics}");
    assert!((house.metric("readhook_quarantine_entries").await).abs() < f64::EPSILON);
    assert!(house.receipts().await.is_empty());
    house.end().await;

    let tencent = "[vendors.tencent.apps.demo]\nsdk_app_id = \"1\"\n[admin]\nlisten = \"127.0.0.1:0\"";
    let house = House::start(tencent).await;
    let reply = ask(&house, &json!({"vendor": "easemob", "body": ""})).await;
    assert_eq!(reply.status, 422, "{}", reply.body);
    house.end().await;
}
