//! The callback log: what every callback leaves, page by page; that it is bounded; and that it gives no secret away. With
//! it what quarantine and dead letters show, for the same must hold there. Long, because all of that is looked at whole.

use http::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::house::{House, PATIENCE, config, demo, exchange};
use crate::process::{Process, write_config};
use crate::vendor::{Callback, easemob, easemob_signed_with, openim, rongcloud, tencent};

async fn post(house: &House, callback: &Callback) -> u16 {
    house.post(&callback.target, &[], callback.body.as_bytes()).await.status
}

async fn ask(house: &House, target: &str) -> Value {
    let reply = house.get(target).await;
    assert_eq!(reply.status, 200, "{target}: {}", reply.body);
    serde_json::from_str(&reply.body).unwrap()
}

fn with_log(settings: &str) -> String {
    format!("{}\n[callback_log]\n{settings}\n", demo())
}

fn numbers(page: &Value) -> Vec<u64> {
    page["callbacks"].as_array().unwrap().iter().map(|shown| shown["number"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_callback_leaves_what_came_of_it() {
    let house = House::start(&demo()).await;
    assert_eq!(ask(&house, "/api/v1/callbacks").await, json!({ "callbacks": [], "next": null }));
    let bad = easemob_signed_with(2, "test-only-wrong");
    let neighbour = Callback {
        target: "/webhooks/tencent?SdkAppid=1400000000&CallbackCommand=State.StateChange".to_owned(),
        body: r#"{"CallbackCommand":"State.StateChange"}"#.to_owned(),
    };
    let strange = Callback { body: "{}".to_owned(), ..tencent(1) };
    let nonsense = Callback { body: "no json".to_owned(), ..easemob(1) };
    for (callback, status) in [
        (&easemob(1), 200),
        (&easemob(1), 200),
        (&bad, 401),
        (&neighbour, 200),
        (&strange, 400),
        (&nonsense, 400),
        (&openim(3), 200),
        (&rongcloud(4), 200),
    ] {
        assert_eq!(post(&house, callback).await, status, "{callback:?}");
    }
    let page = ask(&house, "/api/v1/callbacks?order=asc").await;
    let report = "C2C.CallbackAfterMsgReport";
    let expected = [
        json!(["easemob", "1122334455#demo", "read_ack", "accepted", "", null, 200, "md5", 1]),
        json!(["easemob", "1122334455#demo", "read_ack", "duplicate", "", null, 200, "md5", null]),
        json!(["easemob", null, "read_ack", "rejected", "bad_signature", null, 401, null, null]),
        json!(["tencent", null, "State.StateChange", "ignored", "", null, 200, null, null]),
        json!([
            "tencent",
            "1400000000",
            report,
            "malformed",
            "field_missing",
            "Report_Account",
            400,
            "app_id",
            null
        ]),
        json!(["easemob", null, null, "malformed", "not_json", null, 400, null, null]),
        json!(["openim", "demo", "callbackAfterSingleMsgReadCommand", "accepted", "", null, 200, "none", 2]),
        json!(["rongcloud", "demo-app-key", "RC:ReadNtf", "accepted", "", null, 200, "sha1", 3]),
    ];
    let shown: Vec<Value> = page["callbacks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            assert!(one["latency_us"].as_u64().unwrap() > 0 && one["client"] == "127.0.0.1", "{one}");
            let names = ["vendor", "app", "command", "outcome", "reason", "field", "status", "verified_by"];
            let mut row: Vec<Value> = names.iter().map(|name| one[name].clone()).collect();
            row.push(one["positions"]["first"].clone());
            Value::Array(row)
        })
        .collect();
    assert_eq!(shown, expected);
    assert_eq!(numbers(&page), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(numbers(&ask(&house, "/api/v1/callbacks").await), [8, 7, 6, 5, 4, 3, 2, 1], "newest first");

    for (query, found) in [
        ("vendor=easemob", &[6, 3, 2, 1][..]),
        ("outcome=malformed", &[6, 5]),
        ("vendor=tencent&outcome=malformed", &[5]),
        ("app=1122334455%23demo", &[2, 1]),
        ("app=nobody", &[]),
        ("limit=2", &[8, 7]),
        ("since=2020-01-01T00:00:00Z", &[8, 7, 6, 5, 4, 3, 2, 1]),
        ("since=2999-01-01T00:00:00Z", &[]),
    ] {
        assert_eq!(numbers(&ask(&house, &format!("/api/v1/callbacks?{query}")).await), found, "{query}");
    }
    let history = ask(&house, "/api/v1/history?step=900").await;
    let step = history["steps"].as_array().unwrap().last().unwrap();
    let steps = history["steps"].as_array().unwrap();
    let accepted: u64 = steps.iter().filter_map(|step| step["vendors"]["easemob"]["accepted"].as_u64()).sum();
    assert_eq!((accepted, &history["since_start"]["tencent"]["malformed"]), (1, &json!(1)), "{history}");
    assert!(step["vendors"]["easemob"]["p99_us"].as_u64() >= step["vendors"]["easemob"]["p50_us"].as_u64());
    let app = |name: &str| {
        let apps = history["apps"].as_array().unwrap();
        apps.iter().find(|app| app["vendor"] == name).unwrap()["last_callback"].clone()
    };
    assert!(app("easemob").is_string() && app("tencent").is_string(), "{history}");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_is_shown_with_all_that_arrived_and_who_has_it() {
    let house = House::start(&demo()).await;
    let Callback { target, body } = rongcloud(1);
    let fields = [("x-seen", "yes"), ("cookie", "a=b"), ("authorization", "Basic dTpw")];
    assert_eq!(house.post(&target, &fields, body.as_bytes()).await.status, 200);
    assert_eq!(house.post("/webhooks/easemob", &[], b"\xff\x00").await.status, 400);
    let has_it = async || ask(&house, "/api/v1/callbacks/1").await["sinks"][0]["delivered"] == true;
    timeout(PATIENCE, async { while !has_it().await {} }).await.unwrap();
    let one = ask(&house, "/api/v1/callbacks/1").await;
    assert_eq!(one["path"], "/webhooks/rongcloud");
    assert_eq!(format!("/webhooks/rongcloud?{}", one["query"].as_str().unwrap()), target);
    assert_eq!((one["body"].as_str(), &one["body_base64"]), (Some(&*body), &Value::Null));
    assert_eq!((&one["body_bytes"], &one["body_cut"]), (&json!(body.len()), &json!(false)));
    assert_eq!(one["positions"], json!({ "first": 1, "last": 1 }));
    assert_eq!(one["sinks"], json!([{ "name": "events", "delivered": true, "dead_letters": 0 }]));
    let headers = one["headers"].as_array().unwrap();
    assert!(headers.contains(&json!(["x-seen", "yes"])), "{headers:?}");
    assert!(headers.iter().all(|field| field[0] != "authorization" && field[0] != "cookie"), "{headers:?}");

    let two = ask(&house, "/api/v1/callbacks/2").await;
    assert_eq!((&two["body"], &two["body_base64"]), (&Value::Null, &json!("/wA=")));
    assert_eq!(two["sinks"], json!([]), "it has no receipts");

    house.order("events", "pause", "").await;
    assert_eq!(post(&house, &rongcloud(2)).await, 200);
    assert_eq!(ask(&house, "/api/v1/callbacks/3").await["sinks"][0]["delivered"], false);
    house.order("events", "resume", "").await;
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_named_in_a_problem_document() {
    let house = House::start(&demo()).await;
    post(&house, &easemob(1)).await;
    post(&house, &easemob(2)).await;
    let next = ask(&house, "/api/v1/callbacks?limit=1").await["next"].as_str().unwrap().to_owned();
    let run = ask(&house, "/api/v1/callbacks/1").await["run"].as_str().unwrap().to_owned();
    assert_eq!(house.get(&format!("/api/v1/callbacks/1?run={run}")).await.status, 200);
    let other_order = format!("/api/v1/callbacks?order=asc&cursor={next}");
    for (target, status, names) in [
        ("/api/v1/callbacks?vendor=icq", 400, "vendor"),
        ("/api/v1/callbacks?outcome=fine", 400, "outcome"),
        ("/api/v1/callbacks?limit=0", 400, "limit"),
        ("/api/v1/callbacks?since=yesterday", 400, "since"),
        ("/api/v1/callbacks?reader=x", 400, "reader"),
        ("/api/v1/callbacks?app=a&app=b", 400, "app"),
        ("/api/v1/callbacks?cursor=d5", 400, "cursor"),
        ("/api/v1/callbacks?cursor=0123456789abcdef-d5", 400, "run"),
        (&other_order, 400, "order"),
        ("/api/v1/callbacks/3", 404, "number"),
        ("/api/v1/callbacks/0", 404, "number"),
        ("/api/v1/callbacks/-1", 404, "number"),
        ("/api/v1/callbacks/one", 404, "number"),
        ("/api/v1/callbacks/1?run=0123456789abcdef", 404, "earlier run"),
        ("/api/v1/callbacks/1?x=1", 400, "x"),
        ("/api/v1/history?step=0", 400, "step"),
        ("/api/v1/stream?events=receipts", 400, "events"),
        ("/api/v1/stream?events=receipt,receipt", 400, "events"),
        ("/api/v1/stream?events=", 400, "events"),
        ("/api/v1/stream?from=yesterday", 400, "from"),
        ("/api/v1/stream?vendor=icq", 400, "vendor"),
        ("/api/v1/quarantine?cursor=x", 400, "cursor"),
        ("/api/v1/quarantine?outcome=rejected", 400, "outcome"),
        ("/api/v1/quarantine/1", 404, "id"),
        ("/api/v1/quarantine/x", 404, "id"),
        ("/api/v1/sinks/events/dead-letters?order=asc", 400, "order"),
        ("/api/v1/sinks/events/dead-letters?cursor=d1", 400, "cursor"),
        ("/api/v1/sinks/nosuch/dead-letters", 404, "nosuch"),
    ] {
        let reply = house.get(target).await;
        assert_eq!(reply.status, status, "{target}: {}", reply.body);
        assert_eq!(reply.headers["content-type"], "application/problem+json", "{target}");
        let problem: Value = serde_json::from_str(&reply.body).unwrap();
        assert!(problem["detail"].as_str().unwrap().contains(names), "{target}: {problem}");
    }
    for id in ["1", "x-1-1", "1-0123456789abcdef", "9-0123456789abcdef-1", &format!("0-{run}-9")] {
        let target = "/api/v1/stream";
        let reply = exchange(house.admin, Method::GET, target, &[("last-event-id", id)], Vec::new()).await;
        assert_eq!(reply.status, 400, "{id}: {}", reply.body);
    }
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_neither_skip_nor_repeat_while_callbacks_arrive() {
    let house = House::start(&demo()).await;
    for number in 0..25 {
        post(&house, &openim(number)).await;
    }
    for order in ["asc", "desc"] {
        let (mut found, mut cursor, mut arriving) = (Vec::new(), String::new(), 1_000);
        loop {
            let query = format!("/api/v1/callbacks?limit=10&app=demo&vendor=openim&order={order}{cursor}");
            let page = ask(&house, &query).await;
            found.extend(numbers(&page));
            // Of another vendor, so that the end of the pages does not run away.
            post(&house, &tencent(arriving)).await;
            arriving += 1;
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let expected: Vec<u64> = if order == "asc" { (1..=25).collect() } else { (1..=25).rev().collect() };
        assert_eq!(found, expected, "{order}");
    }
    // And of all, while as many more come as there is room for between two pages.
    let (mut found, mut cursor) = (Vec::new(), String::new());
    let newest = numbers(&ask(&house, "/api/v1/callbacks?limit=1").await)[0];
    loop {
        let page = ask(&house, &format!("/api/v1/callbacks?limit=7{cursor}")).await;
        found.extend(numbers(&page));
        for number in 0..5 {
            post(&house, &easemob(number)).await;
        }
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found, (1..=newest).rev().collect::<Vec<_>>());
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_bounded_and_can_be_switched_off() {
    let house = House::start(&with_log("max_entries = 5")).await;
    for number in 0..12 {
        post(&house, &openim(number)).await;
    }
    let page = ask(&house, "/api/v1/callbacks?order=asc").await;
    assert_eq!(numbers(&page), [8, 9, 10, 11, 12]);
    assert_eq!(house.get("/api/v1/callbacks/7").await.status, 404, "it has made room");
    assert_eq!(ask(&house, "/api/v1/callbacks/8").await["number"], 8);
    house.end().await;

    // A body of 100 kB leaves 64 KiB: two of them are within the bytes, three are not.
    let house = House::start(&with_log("max_bytes = 150000")).await;
    let mut large = tencent(1);
    large.body.push_str(&" ".repeat(100_000));
    for _ in 0..5 {
        post(&house, &large).await;
    }
    assert_eq!(numbers(&ask(&house, "/api/v1/callbacks").await), [5, 4]);
    let one = ask(&house, "/api/v1/callbacks/5").await;
    assert_eq!((&one["body_bytes"], &one["body_cut"]), (&json!(large.body.len()), &json!(true)));
    assert_eq!(one["body"].as_str(), large.body.get(..64 << 10));
    house.end().await;

    let house = House::start(&with_log("max_entries = 0")).await;
    post(&house, &openim(1)).await;
    assert_eq!(ask(&house, "/api/v1/callbacks").await["callbacks"], json!([]));
    assert_eq!(ask(&house, "/api/v1/history").await["since_start"]["openim"]["accepted"], 1);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_and_no_credentials_come_out_of_it() {
    let token = "test-only-s3cret";
    let proof = "path_tokens = [\"test-only-s3cret\"]";
    let house = House::start(&demo().replace("allow_unauthenticated = true", proof)).await;
    let Callback { body, .. } = openim(1);
    let command = "callbackAfterSingleMsgReadCommand";
    let fields = [
        ("authorization", "Bearer test-only-bearer"),
        ("proxy-authorization", "Basic test-only-proxy"),
        ("cookie", "session=test-only-cookie"),
        ("x-original-uri", "/webhooks/openim/test-only-s3cret/callbackAfterSingleMsgReadCommand"),
    ];
    for (target, status) in [
        (format!("/webhooks/openim/{token}/{command}"), 200),
        (format!("/webhooks/openim//{token}/{command}?seen={token}"), 200),
        (format!("/webhooks/openim/{token}"), 200),
        (format!("/webhooks/openim/test-only-mistyped/{command}"), 401),
    ] {
        assert_eq!(house.post(&target, &fields, body.as_bytes()).await.status, status, "{target}");
    }
    let held = async || house.metric("readhook_quarantine_entries").await >= 1.0;
    timeout(PATIENCE, async { while !held().await {} }).await.unwrap();
    let mut said = String::new();
    for target in ["callbacks", "callbacks/1", "callbacks/2", "callbacks/3", "callbacks/4"] {
        said.push_str(&ask(&house, &format!("/api/v1/{target}")).await.to_string());
    }
    let kept = ask(&house, "/api/v1/quarantine").await;
    let target = format!("/api/v1/quarantine/{}", kept["entries"][0]["id"]);
    said.push_str(&kept.to_string());
    said.push_str(&ask(&house, &target).await.to_string());
    assert!(said.contains(&format!("/webhooks/openim/***/{command}")), "{said}");
    assert!(!said.contains("test-only"), "{said}");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_an_earlier_run_are_known_as_such() {
    let house = House::start(&demo()).await;
    for number in 0..3 {
        post(&house, &easemob(number)).await;
    }
    let page = ask(&house, "/api/v1/callbacks?limit=1").await;
    let (next, run) = (page["next"].as_str().unwrap(), page["callbacks"][0]["run"].as_str().unwrap());
    let dir = house.end().await;
    let again = config(dir.path(), &demo());
    let house = House::start_in(dir, again).await;
    for number in 10..13 {
        post(&house, &easemob(number)).await;
    }
    assert_eq!(house.get(&format!("/api/v1/callbacks?cursor={next}")).await.status, 400);
    assert_eq!(house.get(&format!("/api/v1/callbacks/2?run={run}")).await.status, 404);
    assert_eq!(house.get("/api/v1/callbacks/2").await.status, 200);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_takes_of_memory_is_what_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(&write_config(dir.path()));
    // Neighbours, so that nothing but the log keeps them.
    let target = "/webhooks/tencent?SdkAppid=1400000000&CallbackCommand=State.StateChange";
    let body = format!("{{\"x\":\"{}\"}}", "y".repeat(100_000)).into_bytes();
    let post = async |times: usize| {
        for _ in 0..times {
            assert_eq!(exchange(process.public, Method::POST, target, &[], body.clone()).await.status, 200);
        }
    };
    post(20).await;
    let before = process.mebibytes("VmRSS");
    post(1_000).await;
    // 62 MiB of what is kept of them have come by, and 95 MiB in all; 1 MiB may stay.
    let grown = process.mebibytes("VmRSS").saturating_sub(before);
    assert!(grown < 28, "{grown} MiB more");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_quarantined_or_parked_can_be_looked_at() {
    let house = House::start(&demo()).await;
    for number in 0..5 {
        assert_eq!(post(&house, &easemob_signed_with(number, "test-only-wrong")).await, 401);
    }
    assert_eq!(house.post("/webhooks/easemob?a=b", &[("x-a", "b")], b"\xff").await.status, 400);
    for number in 0..3 {
        assert_eq!(post(&house, &easemob(number)).await, 200);
    }
    let held = async || house.metric("readhook_quarantine_entries").await >= 6.0;
    timeout(PATIENCE, async { while !held().await {} }).await.unwrap();
    let ids = |page: &Value| -> Vec<i64> {
        page["entries"].as_array().unwrap().iter().map(|entry| entry["id"].as_i64().unwrap()).collect()
    };
    let page = ask(&house, "/api/v1/quarantine").await;
    assert_eq!(ids(&page), [6, 5, 4, 3, 2, 1], "newest first");
    let first = &page["entries"][0];
    assert_eq!((&first["reason"], &first["outcome"]), (&json!("not_utf8"), &json!("malformed")));
    assert_eq!((&first["body_bytes"], &first["path"]), (&json!(1), &json!("/webhooks/easemob")));
    assert_eq!(ids(&ask(&house, "/api/v1/quarantine?reason=bad_signature&order=asc").await), [1, 2, 3, 4, 5]);
    assert_eq!(ids(&ask(&house, "/api/v1/quarantine?vendor=openim").await), [0; 0]);
    let page = ask(&house, "/api/v1/quarantine?limit=4").await;
    let next = page["next"].as_str().unwrap();
    assert_eq!(ids(&ask(&house, &format!("/api/v1/quarantine?limit=4&cursor={next}")).await), [2, 1]);
    let one = ask(&house, "/api/v1/quarantine/6").await;
    assert_eq!((&one["query"], &one["body_base64"]), (&json!("a=b"), &json!("/w==")));
    assert!(one["headers"].as_array().unwrap().contains(&json!(["x-a", "b"])), "{one}");

    // Entries that leave give their ids to nobody else.
    let mended = demo().replace("test-only-easemob-secret", "test-only-wrong");
    house.reload.send(Ok(config(house.dir.path(), &mended))).await.unwrap();
    let requeue = async || {
        exchange(house.admin, Method::POST, "/api/v1/quarantine/requeue", &[], Vec::new()).await;
        ids(&ask(&house, "/api/v1/quarantine").await) == [6]
    };
    timeout(PATIENCE, async { while !requeue().await {} }).await.unwrap();
    assert_eq!(post(&house, &easemob(9)).await, 401);
    let next = async || ids(&ask(&house, "/api/v1/quarantine?order=asc&cursor=a6").await) == [7];
    timeout(PATIENCE, async { while !next().await {} }).await.unwrap();

    assert_eq!(
        ask(&house, "/api/v1/sinks/events/dead-letters").await,
        json!({ "dead_letters": [], "next": null })
    );
    let stored = house.receipts().await;
    let dir = house.end().await;
    park(dir.path(), &[1, 3]).await;
    let again = config(dir.path(), &mended);
    let house = House::start_in(dir, again).await;
    let page = ask(&house, "/api/v1/sinks/events/dead-letters?limit=1").await;
    let letter = &page["dead_letters"][0];
    assert_eq!(letter["receipt"], stored[0]);
    assert_eq!(letter["at"], "2020-01-01T00:00:00.000Z");
    assert_eq!((&letter["position"], &letter["reason"]), (&json!(1), &json!("answered \"400\"")));
    let next = page["next"].as_str().unwrap();
    let page = ask(&house, &format!("/api/v1/sinks/events/dead-letters?limit=1&cursor={next}")).await;
    assert_eq!((&page["dead_letters"][0]["position"], &page["next"]), (&json!(3), &Value::Null));
    house.end().await;
}

async fn park(dir: &std::path::Path, seqs: &[i64]) {
    use readhook::config::JournalConfig;
    use readhook::journal::{Journal, Letters};
    use readhook::metrics::Metrics;
    use readhook::receipt::Timestamp;
    let config = JournalConfig { path: dir.join("readhook.db"), retention_days: 30, reserve_bytes: 0 };
    let journal = Journal::open(&config, &Metrics::new().unwrap()).unwrap();
    let at = Timestamp::parse_rfc3339("2020-01-01T00:00:00Z").unwrap();
    let mut receipts = journal.read_after(0, 1_000).await.unwrap();
    receipts.retain(|receipt| seqs.contains(&receipt.seq));
    let capacity = Letters { entries: 1_000, bytes: 1 << 20 };
    journal.park("events", receipts, "answered \"400\"".to_owned(), at, capacity).await.unwrap();
    journal.close().await;
}
