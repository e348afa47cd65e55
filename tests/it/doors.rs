//! The public listener, beyond what fixtures can show: routes, methods, sizes, slow and broken clients, health,
//! rotation of secrets, and an end in good order.

use std::time::Duration;

use http::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::house::{House, PATIENCE, config, demo, exchange};
use crate::vendor::{Callback, easemob, easemob_signed_with, openim, rongcloud, tencent};

const ALLOW: &str = r#"{"actionCode":0,"errCode":0,"errMsg":"","errDlt":"","nextCode":0}"#;

/// Sends raw bytes and returns all that comes back until the service closes.
async fn raw(house: &House, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(house.public).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A reset after the answer is an end like any other.
    let _reset = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the service should close");
    String::from_utf8_lossy(&answer).into_owned()
}

fn with_small_limits() -> String {
    demo().replace(
        "listen = \"127.0.0.1:8080\"",
        "listen = \"127.0.0.1:8080\"\nbody_limit_bytes = 1000\nheader_timeout_ms = 200\nbody_timeout_ms = 200",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_callback_is_not_here() {
    let house = House::start(&demo()).await;
    for target in [
        "/",
        "/webhooks",
        "/webhooks/",
        "/webhooks/nobody",
        "/webhooks/easemob/x",
        "/metrics",
        "/api/v1/receipts",
        "//webhooks/easemob",
    ] {
        let reply = house.post(target, &[], b"{}").await;
        assert_eq!(reply.status, 404, "{target}");
    }
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_without_an_app_is_not_here() {
    let house = House::start("[server]\n").await;
    for target in
        ["/webhooks/easemob", "/webhooks/tencent", "/webhooks/rongcloud", "/webhooks/rongcloud/relay"]
    {
        assert_eq!(house.post(target, &[], b"{}").await.status, 404, "{target}");
    }
    let reply = house.post("/webhooks/openim/callbackBeforeSendSingleMsgCommand", &[], b"{}").await;
    assert_eq!((reply.status, &*reply.body), (404, ALLOW));
    house.end().await;
}

/// Every route of the demo, with a callback that it accepts.
fn one_for_each_route() -> [Callback; 4] {
    [easemob(1), tencent(2), openim(3), rongcloud(4)]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_takes_a_trailing_slash() {
    let house = House::start(&demo()).await;
    for callback in one_for_each_route() {
        let (path, query) = callback.target.split_once('?').unwrap_or((&callback.target, ""));
        let target = format!("{path}/?{query}");
        assert_eq!(house.post(&target, &[], callback.body.as_bytes()).await.status, 200, "{target}");
    }
    assert_eq!(house.receipts().await.len(), 4);
    // The relay's, too: its own envelope, unsigned.
    let reply = house.post("/webhooks/rongcloud/relay/", &[], b"{\"event\":\"onReceiveReadReceipt\"}").await;
    assert_eq!((reply.status, &*reply.body), (401, "signature_missing"));
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_path_below_a_vendor_is_answered_by_that_vendor() {
    let house = House::start(&demo()).await;
    let fail = r#"{"ActionStatus":"FAIL","ErrorInfo":"unknown_path","ErrorCode":404}"#;
    let error = r#"{"error":"unknown_path"}"#;
    for (target, method, body) in [
        ("/webhooks/easemob/x", Method::POST, error),
        ("/webhooks/easemob//", Method::POST, error),
        ("/webhooks/easemob/x", Method::GET, error),
        ("/webhooks/tencent/callback?SdkAppid=1400000000", Method::POST, fail),
        ("/webhooks/rongcloud/routing", Method::POST, "unknown_path"),
        ("/webhooks/rongcloud/relay/x", Method::POST, "unknown_path"),
    ] {
        let reply = exchange(house.public, method, target, &[], b"{}".to_vec()).await;
        assert_eq!((reply.status, &*reply.body), (404, body), "{target}");
        assert!(!reply.headers.contains_key("allow"), "{target}");
    }
    for (vendor, count) in [("easemob", 3.0), ("tencent", 1.0), ("rongcloud", 2.0)] {
        let series = format!(
            r#"readhook_callbacks_total{{outcome="malformed",reason="unknown_path",vendor="{vendor}"}}"#
        );
        assert!((house.metric(&series).await - count).abs() < f64::EPSILON, "{vendor}");
    }
    let log: Value = serde_json::from_str(&house.get("/api/v1/callbacks?order=asc").await.body).unwrap();
    let first = &log["callbacks"][0];
    assert_eq!(
        (first["vendor"].as_str(), first["outcome"].as_str(), first["reason"].as_str()),
        (Some("easemob"), Some("malformed"), Some("unknown_path"))
    );
    assert_eq!(log["callbacks"].as_array().unwrap().len(), 6);
    // What only begins like a vendor is nobody's.
    for target in ["/webhooks/easemobs", "/webhooks/Easemob", "/webhooks/rongcloud-relay"] {
        let reply = house.post(target, &[], b"{}").await;
        assert_eq!((reply.status, &*reply.body), (404, r#"{"error":"not_found"}"#), "{target}");
    }
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_are_told_to_post() {
    let house = House::start(&demo()).await;
    for target in
        ["/webhooks/easemob", "/webhooks/tencent", "/webhooks/openim//x", "/webhooks/rongcloud/relay"]
    {
        for method in [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS] {
            let reply = exchange(house.public, method, target, &[], Vec::new()).await;
            assert_eq!((reply.status, &reply.headers["allow"]), (405, &"POST".parse().unwrap()), "{target}");
        }
    }
    // Each is a callback that could not be used: counted, and in the callback log.
    for (vendor, count) in [("easemob", 4.0), ("tencent", 4.0), ("openim", 4.0), ("rongcloud", 4.0)] {
        let series = format!(
            r#"readhook_callbacks_total{{outcome="malformed",reason="wrong_method",vendor="{vendor}"}}"#
        );
        assert!((house.metric(&series).await - count).abs() < f64::EPSILON, "{vendor}");
    }
    let log: Value = serde_json::from_str(&house.get("/api/v1/callbacks").await.body).unwrap();
    assert_eq!(log["callbacks"].as_array().unwrap().len(), 16);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_past_the_limit_is_refused_before_it_is_read() {
    let house = House::start(&with_small_limits()).await;
    // Announced: nothing of the body is ever sent, and the answer comes all the same.
    let head = "POST /webhooks/openim HTTP/1.1\r\nhost: x\r\ncontent-length: 1001\r\n\r\n";
    let answer = raw(&house, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.ends_with(ALLOW), "{answer}");
    // Chunked: the service stops at the limit; the end never comes.
    let chunk = format!("400\r\n{}\r\n", "x".repeat(0x400));
    let head =
        format!("POST /webhooks/easemob HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{chunk}");
    let answer = raw(&house, head.as_bytes()).await;
    assert!(
        answer.starts_with("HTTP/1.1 413") && answer.ends_with(r#"{"error":"body_too_large"}"#),
        "{answer}"
    );
    // As large as allowed is allowed.
    let exact = openim(7).body;
    let exact = format!("{exact}{}", " ".repeat(1000 - exact.len()));
    assert_eq!(house.post(&openim(7).target, &[], exact.as_bytes()).await.status, 200);
    assert_eq!(house.receipts().await.len(), 1);
    house.end().await;
}

/// Numbers from 1 on, as a list without its brackets.
fn listed(count: u32, entry: impl Fn(u32) -> String) -> String {
    (1..=count).map(entry).collect::<Vec<_>>().join(",")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_may_hold_as_many_entries_as_its_body_takes() {
    let house = House::start(&demo()).await;
    // A client opens a conversation that was unread for long: it lists every sequence.
    let read = |seqs: &str| {
        format!(
            r#"{{"callbackCommand":"callbackAfterSingleMsgReadCommand","conversationID":"si_a_b","userID":"b","Seqs":[{seqs}],"contentType":1}}"#
        )
    };
    let openim = async |seqs: &str| {
        let target = "/webhooks/openim/callbackAfterSingleMsgReadCommand";
        house.post(target, &[], read(seqs).as_bytes()).await.status
    };
    assert_eq!(openim(&listed(12_000, |seq| seq.to_string())).await, 200);
    let stored = async |vendor: &str| {
        house.metric(&format!(r#"readhook_receipts_total{{scope="message",vendor="{vendor}"}}"#)).await
    };
    assert!((stored("openim").await - 12_000.0).abs() < f64::EPSILON);
    let members = listed(11_000, |member| format!(r#"{{"Member_Account":"m{member}"}}"#));
    let body = format!(
        r#"{{"GroupId":"g","GroupMsgReceiptList":[{{"MsgSeq":1,"ReadReceiptMembers":[{members}]}}],"EventTime":"1760000000111"}}"#
    );
    let target = "/webhooks/tencent?SdkAppid=1400000000&CallbackCommand=Group.CallbackAfterReadReceipt";
    assert_eq!(house.post(target, &[], body.as_bytes()).await.status, 200);
    assert!((stored("tencent").await - 11_000.0).abs() < f64::EPSILON);

    // The limit is what their receipts come to, 16 MiB: nothing of such a callback is stored.
    for seqs in [listed(60_000, |seq| seq.to_string()), listed(300_000, |_| "1".to_owned())] {
        assert_eq!(openim(&seqs).await, 400);
    }
    assert!((stored("openim").await - 12_000.0).abs() < f64::EPSILON);
    let refused =
        r#"readhook_callbacks_total{outcome="malformed",reason="field_out_of_range",vendor="openim"}"#;
    assert!((house.metric(refused).await - 2.0).abs() < f64::EPSILON);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_heads_and_slow_bodies_come_to_an_end() {
    let house = House::start(&with_small_limits()).await;
    assert_eq!(raw(&house, b"POST /webhooks/easemob HTTP/1.1\r\nhost:").await, "", "half a head is cut off");
    let head = "POST /webhooks/tencent HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf";
    let answer = raw(&house, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_stays_open_longer_than_a_head_may_take() {
    let house = House::start(&with_small_limits()).await;
    let mut stream = TcpStream::connect(house.public).await.unwrap();
    for number in 1..=2 {
        let callback = openim(number);
        let (target, body, length) = (callback.target, &callback.body, callback.body.len());
        let request = format!("POST {target} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 512];
        let read = timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 200"));
        // Three times what a head may take: were idleness counted as slowness, the second request would fail.
        let closed = timeout(Duration::from_millis(600), stream.read(&mut answer)).await;
        assert!(closed.is_err(), "the connection should stay open");
    }
    drop(stream);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_http_ends_in_a_400_and_harms_nobody() {
    let house = House::start(&demo()).await;
    let long = format!("POST /webhooks/easemob HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(70_000));
    for bytes in [&b"\0\0\0\0\r\n\r\n"[..], b"POST\r\n\r\n", b"POST /x HTTP/9.9\r\n\r\n", long.as_bytes()] {
        let answer = raw(&house, bytes).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    let zipped = house.post("/webhooks/easemob", &[("content-encoding", "gzip")], b"\x1f\x8b\x08").await;
    assert_eq!((zipped.status, &*zipped.body), (400, r#"{"error":"content_encoding"}"#));
    let callback = easemob(1);
    assert_eq!(house.post(&callback.target, &[], callback.body.as_bytes()).await.status, 200);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_0_absolute_form_and_expect_continue_are_understood() {
    let house = House::start(&demo()).await;
    for (number, first_line, more) in [
        (1, "POST /webhooks/easemob HTTP/1.0", ""),
        (
            2,
            "POST http://readhook.example/webhooks/easemob HTTP/1.1",
            "host: readhook.example\r\nconnection: close\r\n",
        ),
        (3, "POST /webhooks/easemob HTTP/1.1", "host: x\r\nexpect: 100-continue\r\nconnection: close\r\n"),
    ] {
        let body = easemob(number).body;
        let request = format!("{first_line}\r\n{more}content-length: {}\r\n\r\n{body}", body.len());
        let answer = raw(&house, request.as_bytes()).await;
        assert!(answer.contains("200 OK"), "{answer}");
    }
    assert_eq!(house.receipts().await.len(), 3);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_rotated_without_a_restart() {
    let house = House::start(&demo()).await;
    let post = async |number, secret| {
        let callback = easemob_signed_with(number, secret);
        house.post(&callback.target, &[], callback.body.as_bytes()).await.status
    };
    assert_eq!(post(1, "test-only-new").await, 401);
    let both =
        demo().replace(r#"["test-only-easemob-secret"]"#, r#"["test-only-easemob-secret", "test-only-new"]"#);
    house.reload.send(Ok(config(house.dir.path(), &both))).await.unwrap();
    // The reload is taken over between two requests; the first that meets it is let in.
    timeout(PATIENCE, async { while post(1, "test-only-new").await != 200 {} }).await.unwrap();
    assert_eq!(post(2, "test-only-easemob-secret").await, 200, "the old secret still verifies");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn easemob_is_never_told_of_more_failures_than_it_bears() {
    let house = House::start(&demo()).await;
    let mut statuses = Vec::new();
    for number in 0..70 {
        let callback = easemob_signed_with(number, "wrong");
        statuses.push(house.post(&callback.target, &[], callback.body.as_bytes()).await.status);
    }
    assert_eq!(statuses, [[401; 60].as_slice(), &[200; 10]].concat());
    assert!((house.metric("readhook_ban_guard_active").await - 1.0).abs() < f64::EPSILON);
    // The other vendors have no ban, and hear the truth.
    assert_eq!(house.post("/webhooks/tencent?SdkAppid=1", &[], b"{}").await.status, 403);
    // All of them are in quarantine, written soon after the answer.
    let kept = async || house.metric("readhook_quarantine_entries").await;
    timeout(PATIENCE, async { while kept().await < 71.0 {} }).await.unwrap();
    assert!(house.receipts().await.is_empty());
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_under_way_at_the_end_gets_its_answer() {
    let house = House::start(&demo()).await;
    let callback = tencent(1);
    let (half, rest) = callback.body.split_at(10);
    let mut stream = TcpStream::connect(house.public).await.unwrap();
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        callback.target,
        callback.body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The interim answer says that the request has reached its handler.
    let mut interim = [0; 25];
    timeout(PATIENCE, stream.read_exact(&mut interim)).await.unwrap().unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(half.as_bytes()).await.unwrap();
    house.stop();
    timeout(PATIENCE, async { while house.get("/readyz").await.status != 503 {} }).await.unwrap();
    stream.write_all(rest.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    let dir = house.ended().await;
    assert_eq!(crate::house::delivered(dir.path()).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_hung_up_is_carried_through_and_counted() {
    let house = House::start(&demo()).await;
    let slow = rusqlite::Connection::open(house.dir.path().join("readhook.db")).unwrap();
    slow.execute_batch("BEGIN IMMEDIATE").unwrap();
    let callback = tencent(1);
    let mut stream = TcpStream::connect(house.public).await.unwrap();
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        callback.target,
        callback.body.len()
    );
    stream.write_all(format!("{head}{}", callback.body).as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    slow.execute_batch("ROLLBACK").unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    let accepted = r#"readhook_callbacks_total{outcome="accepted",reason="",vendor="tencent"}"#;
    assert_eq!(house.metric(accepted).await, 1.0);
}

/// A disk that does not come back, as the writer sees it: someone else holds the file's write lock.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_durable_in_time_is_unavailable_in_each_vendors_words() {
    let house = House::start(&demo()).await;
    let stuck = rusqlite::Connection::open(house.dir.path().join("readhook.db")).unwrap();
    stuck.execute_batch("BEGIN IMMEDIATE").unwrap();
    let begun = std::time::Instant::now();
    let post = async |callback: crate::vendor::Callback| {
        let reply = house.post(&callback.target, &[], callback.body.as_bytes()).await;
        (reply.status, reply.body, begun.elapsed())
    };
    let (easemob_hears, tencent_hears, openim_hears, rongcloud_hears) =
        tokio::join!(post(easemob(1)), post(tencent(2)), post(openim(3)), post(rongcloud(4)));
    assert_eq!((easemob_hears.0, &*easemob_hears.1), (503, r#"{"error":"unavailable"}"#));
    assert_eq!(tencent_hears.0, 503);
    assert!(tencent_hears.2 >= Duration::from_secs(2), "only a time-out makes Tencent try again");
    assert_eq!((openim_hears.0, &*openim_hears.1), (503, ALLOW));
    assert_eq!((rongcloud_hears.0, &*rongcloud_hears.1), (503, "unavailable"));
    stuck.execute_batch("ROLLBACK").unwrap();
    drop(stuck);
    // The vendors come again; whether or not the late commits got through, each is there once.
    for callback in [easemob(1), tencent(2), openim(3), rongcloud(4)] {
        let target = callback.target.clone();
        timeout(PATIENCE, async {
            while house.post(&target, &[], callback.body.as_bytes()).await.status != 200 {}
        })
        .await
        .unwrap();
    }
    assert_eq!(house.receipts().await.len(), 4);
    timeout(PATIENCE, async { while house.get("/readyz").await.status != 200 {} }).await.unwrap();
    house.end().await;
}
