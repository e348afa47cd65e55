//! Passthrough: what is not for us goes on to its upstream as it came, and whatever happens there, the vendor hears an
//! answer that lets its business go on.

use std::net::SocketAddr;

use http::Method;
use tokio::time::timeout;

use crate::house::{House, PATIENCE, Reply, demo, exchange, repository};
use crate::servers::free_address;
use crate::upstream::{Manner, Upstream};
use crate::vendor::{easemob, easemob_signed_with, openim, tencent};

const BEFORE_SEND: &str = "/webhooks/tencent?SdkAppid=1400000000&CallbackCommand=Group.CallbackBeforeSendMsg";
const TENCENT_OK: &str = r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}"#;
const OPENIM_OK: &str = r#"{"actionCode":0,"errCode":0,"errMsg":"","errDlt":"","nextCode":0}"#;

/// The demo with upstreams. Answers may take their time, for the machine may: what is late is tested with less.
fn with_upstream(upstream: SocketAddr, path: &str, timeout_ms: u64) -> String {
    let vendors = ["easemob", "tencent", "openim"].map(|vendor| {
        format!(
            "\n[vendors.{vendor}.passthrough]\nurl = \"http://{upstream}{path}\"\ntimeout_ms = {timeout_ms}\n"
        )
    });
    demo() + &vendors.concat()
}

async fn forwarded(house: &House, vendor: &str, result: &str) -> f64 {
    house.metric(&format!(r#"readhook_passthrough_total{{result="{result}",vendor="{vendor}"}}"#)).await
}

/// A pre-send callback of Easemob: signed like the others, but no read event.
fn easemob_before_send(secret: &str) -> String {
    easemob_signed_with(11, secret).body.replace("read_ack", "groupchat")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_goes_and_comes_byte_for_byte() {
    let fields = "content-type: text/x-odd; v=1\r\nx-upstream: yes\r\nkeep-alive: timeout=5\r\n";
    let upstream =
        Upstream::start(Manner::answer("403 Nope", fields, "{\"ActionStatus\" : \"FAIL\"}\n")).await;
    let house = House::start(&with_upstream(upstream.address, "/im/callback/", 10_000)).await;
    // Characters that a careless URL library would escape, unescape or drop, and a body that is no tidy JSON.
    let query = "SdkAppid=1400000000&CallbackCommand=Group.CallbackBeforeSendMsg&contenttype=json&g=@TGS%23x'|{}~&&e=%e4+%2B&e";
    let body = b"{ \"GroupId\":\"@TGS#1\" ,\"x\":1.50,\n\"t\":\"\\u00e9\xc3\xa9\" }\n";
    let sent = [
        ("content-type", "application/x-nonsense"),
        ("x-forwarded-for", "192.0.2.9"),
        ("x-two", "a, b"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("te", "trailers"),
        ("user-agent", "Tencent/1"),
    ];
    let reply = house.post(&format!("/webhooks/tencent?{query}"), &sent, body).await;
    assert_eq!((reply.status, reply.body.as_str()), (403, "{\"ActionStatus\" : \"FAIL\"}\n"));
    assert_eq!(reply.headers["content-type"], "text/x-odd; v=1");
    assert_eq!(reply.headers["x-upstream"], "yes");
    assert!(!reply.headers.contains_key("keep-alive"));

    let got = upstream.got().remove(0);
    assert_eq!(got.line, format!("POST /im/callback/?{query} HTTP/1.1"));
    assert_eq!(got.body, body);
    for (name, value) in [sent[0], sent[1], sent[2], sent[6]] {
        assert_eq!(got.field(name), Some(value), "{name}");
    }
    assert_eq!(got.field("host"), Some(upstream.address.to_string().as_str()));
    assert!(got.field("te").is_none() && got.field("x-hop").is_none());
    assert!((forwarded(&house, "tencent", "answered").await - 1.0).abs() < f64::EPSILON);
    let ignored =
        house.metric(r#"readhook_callbacks_total{outcome="ignored",reason="",vendor="tencent"}"#).await;
    assert!((ignored - 1.0).abs() < f64::EPSILON);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn read_events_stay_here_and_so_does_what_is_not_genuine() {
    let upstream = Upstream::start(Manner::answer("200 OK", "", "from upstream")).await;
    let house = House::start(&with_upstream(upstream.address, "", 10_000)).await;
    for callback in [easemob(1), tencent(2), openim(3)] {
        let reply = house.post(&callback.target, &[], callback.body.as_bytes()).await;
        assert_eq!(reply.status, 200);
        assert_ne!(reply.body, "from upstream");
    }
    let post = async |body: &str| house.post("/webhooks/easemob", &[], body.as_bytes()).await.body;
    assert_eq!(post(&easemob_before_send("wrong")).await, r#"{"valid":true}"#);
    assert_eq!(post("{}").await, r#"{"valid":true}"#, "no proof at all");
    assert!(upstream.got().is_empty());
    assert!((forwarded(&house, "easemob", "unauthentic").await - 2.0).abs() < f64::EPSILON);
    assert_eq!(post(&easemob_before_send("test-only-easemob-secret")).await, "from upstream");
    assert_eq!(upstream.got().len(), 1);
    house.end().await;

    // With a callback token, Tencent's neighbours must be signed, too.
    let strict = std::fs::read_to_string(repository("fixtures/strict.toml")).unwrap();
    let passthrough = format!("\n[vendors.tencent.passthrough]\nurl = \"http://{}\"\n", upstream.address);
    let house = House::start(&(strict + &passthrough)).await;
    let unsigned = BEFORE_SEND.replace("1400000000", "1400000001");
    let reply = house.post(&unsigned, &[], b"{}").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, TENCENT_OK));
    assert_eq!(upstream.got().len(), 1);
    house.end().await;
}

/// One captured callback of Easemob could otherwise be turned into any other event: its signature covers no body.
#[tokio::test(flavor = "multi_thread")]
async fn another_body_under_a_known_call_id_stays_here() {
    let upstream = Upstream::start(Manner::answer("200 OK", "", "from upstream")).await;
    let house = House::start(&with_upstream(upstream.address, "", 10_000)).await;
    let post = async |body: &str| house.post("/webhooks/easemob", &[], body.as_bytes()).await.body;
    let genuine = easemob_before_send("test-only-easemob-secret");
    let forged = genuine.replace(r#""from":"reader""#, r#""from":"somebody""#);
    let allow = r#"{"valid":true}"#;
    // The vendor repeats; what somebody else makes of it does not get through, before or after a repeat.
    for (body, answer) in
        [(&genuine, "from upstream"), (&forged, allow), (&genuine, "from upstream"), (&forged, allow)]
    {
        assert_eq!(post(body).await, answer);
    }
    // The same for a read event, also one that is malformed.
    let read = easemob(5);
    assert_eq!(post(&read.body).await, allow);
    assert_eq!(post(&read.body.replace("read_ack", "groupchat")).await, allow);
    let malformed = easemob(6).body.replace("ack_message_id", "none");
    assert_eq!(post(&malformed).await, allow);
    assert_eq!(post(&malformed.replace("read_ack", "groupchat")).await, allow);
    // A new configuration forgets nothing.
    let text = with_upstream(upstream.address, "/new", 10_000);
    let dir = tempfile::tempdir().unwrap();
    house.reload.send(Ok(crate::house::config(dir.path(), &text))).await.unwrap();
    let moved = async {
        while !upstream.got().last().is_some_and(|got| got.line.starts_with("POST /new")) {
            post(&genuine).await;
        }
    };
    timeout(PATIENCE, moved).await.unwrap();
    assert_eq!(post(&forged).await, allow);
    assert!(upstream.got().iter().all(|got| got.body == genuine.as_bytes()));
    assert!((forwarded(&house, "easemob", "another_body").await - 5.0).abs() < f64::EPSILON);
    // What never proves itself is not remembered, so it keeps nobody else's id.
    assert_eq!(post(&easemob_signed_with(7, "wrong").body.replace("read_ack", "chat")).await, allow);
    let other = easemob_signed_with(7, "test-only-easemob-secret").body.replace("read_ack", "groupchat");
    assert_eq!(post(&other).await, "from upstream");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openims_command_goes_along_and_its_token_does_not() {
    let upstream = Upstream::start(Manner::answer("200 OK", "", "{\"actionCode\":1}")).await;
    let text = with_upstream(upstream.address, "/hooks", 10_000)
        .replace("allow_unauthenticated = true", "path_tokens = [\"test-only-token\"]");
    let house = House::start(&text).await;
    for (target, line) in [
        (
            "/webhooks/openim/test-only-token/callbackBeforeSendSingleMsgCommand?a=b",
            "POST /hooks/callbackBeforeSendSingleMsgCommand?a=b HTTP/1.1",
        ),
        (
            "/webhooks/openim//test-only-token//callbackBeforeSendGroupMsgCommand/",
            "POST /hooks/callbackBeforeSendGroupMsgCommand HTTP/1.1",
        ),
        ("/webhooks/openim/test-only-token", "POST /hooks HTTP/1.1"),
        ("/webhooks/openim/test-only-token/callback%2F..%2Fadmin", "POST /hooks HTTP/1.1"),
    ] {
        let body = br#"{"callbackCommand":"callbackBeforeSendSingleMsgCommand"}"#;
        // Where path and body contradict each other it is a neighbour all the same.
        let reply = house.post(target, &[("host", "evil.example")], body).await;
        assert_eq!(reply.body, "{\"actionCode\":1}", "{target}");
        assert_eq!(upstream.got().pop().unwrap().line, line);
    }
    let refused = house.post("/webhooks/openim/wrong/callbackBeforeSendSingleMsgCommand", &[], b"{}").await;
    assert_eq!((refused.status, refused.body.as_str()), (401, OPENIM_OK));
    assert_eq!(upstream.got().len(), 4);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_fails_blocks_nobody() {
    let upstream = Upstream::start(Manner::Hang).await;
    let house = House::start(&with_upstream(upstream.address, "", 200)).await;
    let allowed = |reply: Reply| assert_eq!((reply.status, reply.body.as_str()), (200, TENCENT_OK));
    let manners = [
        Manner::Hang,
        Manner::Close,
        Manner::answer("500 Oops", "", "broken"),
        Manner::answer("503 Busy", "", "later"),
    ];
    for manner in manners {
        upstream.becomes(manner);
        allowed(house.post(BEFORE_SEND, &[], b"{}").await);
    }
    upstream.becomes(Manner::Say("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf of".to_owned()));
    allowed(house.post(BEFORE_SEND, &[], b"{}").await);
    assert_eq!(upstream.got().len(), 5);
    // Five in a row: it is left alone, and nobody waits for it.
    upstream.becomes(Manner::Hang);
    for _ in 0..50 {
        allowed(house.post(BEFORE_SEND, &[], b"{}").await);
    }
    assert!(upstream.got().len() <= 6, "at most the one that tries whether it is back");
    assert!(forwarded(&house, "tencent", "open").await >= 49.0);
    // Back again, it is found by whoever is allowed to try.
    upstream.becomes(Manner::answer("200 OK", "", "back"));
    timeout(PATIENCE, async { while house.post(BEFORE_SEND, &[], b"{}").await.body != "back" {} })
        .await
        .unwrap();
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_not_there_or_says_too_much_blocks_nobody_either() {
    let house = House::start(&with_upstream(free_address(), "", 5_000)).await;
    for _ in 0..7 {
        let reply = house.post(BEFORE_SEND, &[], b"{}").await;
        assert_eq!((reply.status, reply.body.as_str()), (200, TENCENT_OK));
        let reply = house.post("/webhooks/openim/callbackBeforeSendSingleMsgCommand", &[], b"{}").await;
        assert_eq!(reply.body, OPENIM_OK);
    }
    assert!(forwarded(&house, "tencent", "failed").await >= 5.0);
    house.end().await;

    let endless = Upstream::start(Manner::answer("200 OK", "", &"x".repeat(2 << 20))).await;
    let house = House::start(&with_upstream(endless.address, "", 5_000)).await;
    assert_eq!(house.post(BEFORE_SEND, &[], b"{}").await.body, TENCENT_OK);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_a_request_changes_where_it_goes() {
    let (upstream, other) = (
        Upstream::start(Manner::answer("200 OK", "", "right")).await,
        Upstream::start(Manner::answer("200 OK", "", "wrong")).await,
    );
    let house = House::start(&with_upstream(upstream.address, "/x", 10_000)).await;
    let host = other.address.to_string();
    // Absolute form, as to a proxy.
    let target = format!("http://{host}{BEFORE_SEND}");
    for (target, headers) in [
        (target.as_str(), vec![]),
        (BEFORE_SEND, vec![("x-forwarded-host", host.as_str()), ("forwarded", "host=evil.example")]),
        (&format!("{BEFORE_SEND}&url=http://{host}/&@{host}/"), vec![]),
    ] {
        let reply = exchange(house.public, Method::POST, target, &headers, b"{}".to_vec()).await;
        assert_eq!(reply.body, "right", "{target}");
    }
    assert!(other.got().is_empty());
    assert!(upstream.got().iter().all(|got| got.line.starts_with("POST /x?SdkAppid=")));
    // A redirect is an answer, and not followed.
    upstream.becomes(Manner::answer("302 Found", &format!("location: http://{host}/\r\n"), "there"));
    assert_eq!(house.post(BEFORE_SEND, &[], b"{}").await.status, 302);
    assert!(other.got().is_empty());
    house.end().await;
}
