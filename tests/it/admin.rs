//! The admin listener: who gets in, and the receipts page by page.

use http::Method;
use serde_json::Value;
use tokio::time::timeout;

use crate::house::{House, PATIENCE, delivered, demo, exchange};
use crate::vendor::{Callback, easemob, openim, rongcloud, tencent};

async fn post(house: &House, callback: &Callback) {
    let reply = house.post(&callback.target, &[], callback.body.as_bytes()).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
}

async fn page(house: &House, query: &str) -> (Vec<Value>, Option<String>) {
    let reply = house.get(&format!("/api/v1/receipts?{query}")).await;
    assert_eq!(reply.status, 200, "{query}: {}", reply.body);
    let page: Value = serde_json::from_str(&reply.body).unwrap();
    let receipts = page["receipts"].as_array().unwrap().clone();
    (receipts, page["next"].as_str().map(str::to_owned))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_filter_finds_what_it_names() {
    let house = House::start(&demo()).await;
    for callback in [easemob(1), tencent(2), openim(3), rongcloud(4), openim(5)] {
        post(&house, &callback).await;
    }
    for (query, count) in [
        ("", 5),
        ("vendor=openim", 2),
        ("vendor=openim&message_seq=5", 1),
        ("app=demo", 2),
        ("app=1122334455%23demo", 1),
        ("conversation=peer", 1),
        ("conversation=nobody", 0),
        ("reader=b", 2),
        ("message_id=91", 1),
        ("since=2020-01-01T00:00:00Z", 5),
        ("since=2999-01-01T00:00:00Z", 0),
        ("until=2020-01-01T00:00:00%2B08:00", 0),
        ("limit=3", 3),
    ] {
        assert_eq!(page(&house, query).await.0.len(), count, "{query}");
    }
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_neither_skip_nor_repeat_while_receipts_arrive() {
    let house = House::start(&demo()).await;
    for number in 0..25 {
        post(&house, &openim(number)).await;
    }
    for order in ["asc", "desc"] {
        let (mut seqs, mut cursor, mut arriving) = (Vec::new(), String::new(), 100);
        loop {
            let (receipts, next) =
                page(&house, &format!("limit=10&vendor=openim&order={order}{cursor}")).await;
            seqs.extend(receipts.iter().map(|receipt| receipt["message_seq"].as_i64().unwrap()));
            // Of another vendor, so that the end of the pages does not run away.
            post(&house, &tencent(arriving)).await;
            arriving += 1;
            match next {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let expected: Vec<i64> = if order == "asc" { (0..25).collect() } else { (0..25).rev().collect() };
        assert_eq!(seqs, expected, "{order}");
    }
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_named_in_a_problem_document() {
    let house = House::start(&demo()).await;
    for (target, status, names) in [
        ("/api/v1/receipts?vendors=openim", 400, "vendors"),
        ("/api/v1/receipts?vendor=icq", 400, "vendor"),
        ("/api/v1/receipts?limit=0", 400, "limit"),
        ("/api/v1/receipts?limit=1001", 400, "limit"),
        ("/api/v1/receipts?message_seq=x", 400, "message_seq"),
        ("/api/v1/receipts?since=yesterday", 400, "since"),
        ("/api/v1/receipts?cursor=zz", 400, "cursor"),
        ("/api/v1/receipts?order=asc&cursor=d5", 400, "order"),
        ("/api/v1/receipts?order=up", 400, "order"),
        ("/api/v1/receipts?app=a&app=b", 400, "app"),
        ("/api/v1/nothing", 404, ""),
    ] {
        let reply = house.get(target).await;
        assert_eq!(
            (reply.status, &reply.headers["content-type"]),
            (status, &"application/problem+json".parse().unwrap()),
            "{target}"
        );
        let problem: Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(problem["status"], status, "{target}");
        assert!(problem["detail"].as_str().unwrap().contains(names), "{target}: {problem}");
    }
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_only_health_is_open() {
    let text = demo().replace("[admin]", "[admin]\ntoken = \"test-only-admin-token\"");
    let house = House::start(&text).await;
    for target in ["/livez", "/readyz", "/healthz"] {
        assert_eq!(house.get(target).await.status, 200, "{target}");
    }
    for target in ["/metrics", "/api/v1/receipts", "/"] {
        let reply = house.get(target).await;
        assert_eq!((reply.status, &reply.headers["www-authenticate"]), (401, &"Bearer".parse().unwrap()));
        for (token, allowed) in [
            ("Bearer test-only-admin-token", true),
            ("bearer test-only-admin-token", true),
            ("Bearer x", false),
            ("Basic dGVzdA==", false),
        ] {
            let reply =
                exchange(house.admin, Method::GET, target, &[("authorization", token)], Vec::new()).await;
            assert_eq!(reply.status != 401, allowed, "{target} {token}");
        }
    }
    house.stop();
    house.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_are_all_there_and_none_names_a_user() {
    let house = House::start(&demo()).await;
    for callback in [easemob(1), easemob(1), tencent(2), openim(3), rongcloud(4)] {
        post(&house, &callback).await;
    }
    let text = house.get("/metrics").await.body;
    for name in [
        "callbacks_total",
        "callback_seconds_bucket",
        "receipts_total",
        "journal_commit_seconds_sum",
        "journal_batch_receipts_sum",
        "journal_bytes",
        "journal_takes_writes",
        "sink_lag_receipts",
        "sink_oldest_seconds",
        "sink_deliveries_total",
        "quarantine_entries",
        "conflicts_total",
        "late_commits_total",
        "secret_uses_total",
        "sink_paused",
        "state_lag_receipts",
        "ban_guard_active",
        "last_callback_timestamp_seconds",
        "build_info",
    ] {
        assert!(text.contains(&format!("\nreadhook_{name}")), "{name} is missing");
    }
    assert!(text.contains(r#"readhook_callbacks_total{outcome="duplicate",reason="",vendor="easemob"} 1"#));
    assert!(text.contains(r#"readhook_receipts_total{scope="up_to",vendor="tencent"} 1"#));
    for id in ["reader", "peer", "281474976710777", "si_a_b", "u1"] {
        assert!(!text.contains(&format!("\"{id}\"")), "{id} is a label");
    }
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sinks_are_shown_and_take_orders() {
    let house = House::start(&demo()).await;
    let show = async || -> Value {
        let page: Value = serde_json::from_str(&house.get("/api/v1/sinks").await.body).unwrap();
        page["sinks"][0].clone()
    };
    let order = async |order: &str, body: &str| {
        let reply = house.order("events", order, body).await;
        let said: Value = serde_json::from_str(&reply.body).unwrap();
        (reply.status, said)
    };
    let (status, said) = order("pause", "").await;
    assert_eq!((status, &said["paused"]), (200, &Value::Bool(true)));
    post(&house, &easemob(1)).await;
    let sink = show().await;
    assert_eq!(
        (&sink["name"], &sink["type"], &sink["state"]),
        (&"events".into(), &"file".into(), &"paused".into())
    );
    assert_eq!((&sink["lag"], &sink["cursor"], &sink["dead_letters"]), (&1.into(), &0.into(), &0.into()));
    assert!((house.metric(r#"readhook_sink_paused{sink="events"}"#).await - 1.0).abs() < f64::EPSILON);
    assert_eq!(order("resume", "").await.1["paused"], Value::Bool(false));
    timeout(PATIENCE, async { while show().await["lag"] != 0 {} }).await.unwrap();
    assert_eq!(show().await["state"], "delivering");
    assert_eq!(order("replay", r#"{"from":1}"#).await.1["delivered"], 1);
    assert_eq!(order("redrive", "").await.1["delivered"], 0);

    for (name, what, body, status) in [
        ("nosuch", "pause", "", 404),
        ("events", "explode", "", 404),
        ("events", "replay", "", 400),
        ("events", "replay", "{}", 400),
        ("events", "replay", r#"{"from":1,"ids":[]}"#, 400),
        ("events", "replay", r#"{"form":1}"#, 400),
        ("events", "replay", r#"{"since":"yesterday"}"#, 400),
    ] {
        let reply = house.order(name, what, body).await;
        assert_eq!(reply.status, status, "{name} {what} {body}: {}", reply.body);
        assert_eq!(reply.headers["content-type"], "application/problem+json");
    }
    assert_eq!(house.get("/api/v1/sinks/events/pause").await.status, 405);
    assert_eq!(house.get("/api/v1/sinks?x=1").await.status, 400);
    // A page of another site that an operator's browser has open.
    let target = "/api/v1/sinks/events/pause";
    let foreign =
        exchange(house.admin, Method::POST, target, &[("origin", "https://evil.example")], vec![]).await;
    assert_eq!(foreign.status, 403);
    let own = format!("http://{}", house.admin);
    assert_eq!(exchange(house.admin, Method::POST, target, &[("origin", &own)], vec![]).await.status, 200);
    house.order("events", "resume", "").await;
    house.stop();
    let dir = house.ended().await;
    assert_eq!(delivered(dir.path()).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plus_in_a_time_says_how_it_must_be_written() {
    let house = House::start(&demo()).await;
    for target in [
        "/api/v1/receipts?since=2020-01-01T00:00:00+08:00",
        "/api/v1/quarantine?since=2020-01-01T00:00:00+08:00",
    ] {
        let reply = house.get(target).await;
        assert_eq!(reply.status, 400, "{target}");
        assert!(reply.body.contains("2020-01-01T00:00:00%2B08:00"), "{}", reply.body);
    }
    assert_eq!(house.get("/api/v1/receipts?since=2020-01-01T00:00:00%2B08:00").await.status, 200);
    house.end().await;
}
