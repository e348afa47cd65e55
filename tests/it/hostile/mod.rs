//! Clients that mean harm or know no better, at the whole service: what each hears, in the vendor's words;
//! whether its connection goes on; and that meanwhile nobody else notices. What one bad request can be is
//! here, what many at once do in `crowds`; `doors` has slow heads and bodies, methods, HTTP/1.0 and the like.

mod crowds;

use std::time::Duration;

use tokio::time::timeout;

use crate::house::{House, PATIENCE, demo};
use crate::raw::{Answer, Raw, padded, posted, request};
use crate::vendor::{Callback, easemob, easemob_signed_with, openim, rongcloud, tencent};

pub(crate) const ALLOW: &str = r#"{"actionCode":0,"errCode":0,"errMsg":"","errDlt":"","nextCode":0}"#;

/// One callback of each vendor.
pub(crate) fn of_each(number: u64) -> [Callback; 4] {
    [easemob(number), tencent(number), openim(number), rongcloud(number)]
}

/// What each vendor hears with a refusal, in the order of [`of_each`].
fn refusals(status: u16, reason: &str) -> [(u16, String); 4] {
    let tencent = format!(r#"{{"ActionStatus":"FAIL","ErrorInfo":"{reason}","ErrorCode":{status}}}"#);
    [format!(r#"{{"error":"{reason}"}}"#), tencent, ALLOW.to_owned(), reason.to_owned()]
        .map(|body| (status, body))
}

fn with_server(settings: &str) -> String {
    demo().replace("listen = \"127.0.0.1:8080\"", &format!("listen = \"127.0.0.1:8080\"\n{settings}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_their_order() {
    let house = House::start(&demo()).await;
    let mut client = Raw::to(house.public).await;
    let mut bytes = Vec::new();
    for number in 1..=20 {
        of_each(number).iter().for_each(|callback| bytes.extend(posted(callback)));
        bytes.extend(posted(&easemob_signed_with(number, "wrong")));
    }
    client.send(&bytes).await;
    for _ in 1..=20 {
        for said in [
            (200, r#"{"valid":true}"#),
            (200, r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}"#),
            (200, ALLOW),
            (200, "ok"),
            (401, r#"{"error":"bad_signature"}"#),
        ] {
            assert_eq!(client.answer().await.unwrap().says(), said);
        }
    }
    assert_eq!(client.ask(posted(&easemob(21))).await.status, 200, "and it goes on");
    assert_eq!(house.receipts().await.len(), 81);
    drop(client);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_without_end_or_measure_is_cut_off() {
    let house = House::start(&demo()).await;
    let fields = |count: usize| (0..count).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    let good = easemob(1);
    let mut client = Raw::to(house.public).await;
    let many = request(&good.target, &fields(90), good.body.as_bytes());
    assert_eq!(client.ask(many).await.status, 200, "ninety fields are many, and fine");
    for (target, fields) in [
        ("/webhooks/easemob", fields(110)),
        ("/webhooks/easemob", format!("x: {}\r\n", "y".repeat(40 << 10))),
        (&format!("/webhooks/easemob?{}", "q".repeat(40 << 10)), String::new()),
    ] {
        let mut client = Raw::to(house.public).await;
        let answer = client.ask(request(target, &fields, b"{}")).await;
        assert_eq!(answer.status, 431, "{answer:?}");
        client.closed().await;
    }
    // A line that never ends is not read for long.
    let mut client = Raw::to(house.public).await;
    client.send("POST /webhooks/easemob HTTP/1.1\r\nx: ").await;
    timeout(PATIENCE, async {
        use tokio::io::AsyncWriteExt;
        while client.stream().write_all(&[b'y'; 4096]).await.is_ok() {}
    })
    .await
    .expect("the connection should end");
    drop(client);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn monstrous_bodies_are_refused_in_each_vendors_words_and_the_connection_goes_on() {
    const MOST: usize = 1 << 20;
    let house = House::start(&demo()).await;
    let mut client = Raw::to(house.public).await;
    let nested = |open: &str, close: &str| {
        let depth = MOST / (open.len() + close.len());
        format!("{}{}", open.repeat(depth), close.repeat(depth)).into_bytes()
    };
    // A key that is read stands twice behind very many that are not; each vendor reads one of these.
    let many: String = (0..40_000).map(|n| format!("\"k{n}\":0,")).collect();
    let read = ["callId", "GroupId", "userID"].map(|key| format!("\"{key}\":0,\"{key}\":0")).join(",");
    let twice = format!("{{{many}{read}}}");
    for (body, reason) in [
        (vec![b'['; MOST], "not_json"),
        (br#"{"a":"#.repeat(MOST / 5), "not_json"),
        (nested("[", "]"), "wrong_root"),
        (vec![b'1'; MOST], "wrong_root"),
        (vec![0; MOST], "not_json"),
        (b"{\"a\":\"\0\"}".to_vec(), "not_json"),
        (twice.into_bytes(), "duplicate_key"),
        (b"{\"a\":\"\xc0\x80\"}".to_vec(), "not_utf8"),
    ] {
        // RongCloud's are forms, where all of this is but an odd text without a signature over it that would
        // count.
        for (callback, said) in of_each(1).iter().zip(refusals(400, reason)).take(3) {
            let answer = client.ask(request(&callback.target, "", &body)).await;
            assert_eq!(answer.says(), (said.0, &*said.1), "{}", callback.target);
        }
        let answer = client.ask(request(&rongcloud(1).target, "", &body)).await;
        assert!([200, 400].contains(&answer.status), "{answer:?}");
    }
    for (callback, said) in of_each(1).iter().zip(refusals(400, "content_encoding")) {
        let zipped = request(&callback.target, "content-encoding: gzip\r\n", b"\x1f\x8b\x08");
        assert_eq!(client.ask(zipped).await.says(), (said.0, &*said.1));
    }
    assert!(house.receipts().await.is_empty());
    for callback in of_each(2) {
        assert_eq!(client.ask(posted(&callback)).await.status, 200);
    }
    drop(client);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nul_in_a_name_stays_where_it_is_and_ends_nothing() {
    let house = House::start(&demo()).await;
    let Callback { target, body } = easemob(1);
    let body = body.replace(r#""from":"reader""#, r#""from":"rea\u0000der""#);
    assert_eq!(house.post(&target, &[], body.as_bytes()).await.status, 200);
    assert_eq!(house.receipts().await[0]["reader"], "rea\0der");
    for head in
        ["POST /webhooks/ease\0mob HTTP/1.1\r\nhost: x\r\n\r\n", "POST / HTTP/1.1\r\nho\0st: x\r\n\r\n"]
    {
        let mut client = Raw::to(house.public).await;
        assert_eq!(client.ask(head).await.status, 400);
        client.closed().await;
    }
    house.end().await;
}

/// Where one request ends and the next begins must not be a matter of opinion, or a proxy in front may have
/// another.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_end_is_in_doubt_is_not_followed_by_another() {
    let house = House::start(&demo()).await;
    let hidden = String::from_utf8(posted(&easemob(1))).unwrap();
    for (fields, body) in [
        ("content-length: 4\r\ncontent-length: 5\r\n", "{}  "),
        ("content-length: -1\r\n", ""),
        ("content-length: 4, 5\r\n", "{}  "),
        ("transfer-encoding: chunked, identity\r\n", "0\r\n\r\n"),
        ("transfer-encoding: chunked\r\n", "zz\r\n\r\n"),
        ("transfer-encoding: chunked\r\n", "fffffffffffffffff\r\n"),
    ] {
        let mut client = Raw::to(house.public).await;
        client
            .send(format!("POST /webhooks/easemob HTTP/1.1\r\nhost: x\r\n{fields}\r\n{body}{hidden}"))
            .await;
        let answer = client.answer().await.expect("an answer");
        assert_eq!(answer.status, 400, "{fields}: {answer:?}");
        client.closed().await;
    }
    assert!(house.receipts().await.is_empty(), "what hid behind them was never a request");
    house.end().await;
}

/// RFC 9112, section 6.3, lets a server refuse such a request or read it as chunked; hyper does the latter. Either way nothing that
/// comes behind it on the connection may be taken for a request.
#[tokio::test(flavor = "multi_thread")]
async fn of_both_lengths_the_chunked_one_holds_and_the_connection_ends() {
    let house = House::start(&demo()).await;
    let hidden = String::from_utf8(posted(&easemob(99))).unwrap();
    let orders = [
        "content-length: 4\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 100000\r\n",
    ];
    for (number, fields) in orders.iter().enumerate() {
        let Callback { target, body } = easemob(number as u64);
        let mut client = Raw::to(house.public).await;
        let head = format!("POST {target} HTTP/1.1\r\nhost: x\r\n{fields}\r\n");
        client.send(format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n{hidden}", body.len())).await;
        assert_eq!(client.answer().await.expect("an answer").status, 200, "{fields}");
        client.closed().await;
    }
    assert_eq!(house.receipts().await.len(), orders.len(), "what hid behind them was never a request");
    house.end().await;
}

/// Easemob waits five seconds for a commit; as long as it hangs, its body holds the room.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_without_room_are_unavailable_and_small_ones_need_none() {
    const SIZE: usize = 60 << 10;
    let settings = "body_limit_bytes = 65536\nbodies_limit_bytes = 65536\nbody_timeout_ms = 300";
    let house = House::start(&with_server(settings)).await;
    let stuck = rusqlite::Connection::open(house.dir.path().join("readhook.db")).unwrap();
    stuck.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut holder = Raw::to(house.public).await;
    holder.send(padded(&easemob(1), SIZE)).await;
    let shut = async || {
        let ask = async |callback: Callback| -> Answer {
            Raw::to(house.public).await.ask(padded(&callback, SIZE)).await
        };
        let [a, b, c, d] = of_each(2);
        let (a, b, c, d) = tokio::join!(ask(a), ask(b), ask(c), ask(d));
        [a, b, c, d]
    };
    for (answer, said) in shut().await.iter().zip(refusals(503, "unavailable")) {
        assert_eq!(answer.says(), (said.0, &*said.1));
    }
    // Neighbours wait for no disk. Were they to wait for room, they would be 503, too.
    let small = Raw::to(house.public).await.ask(request("/webhooks/easemob", "", b"{}")).await;
    assert_eq!(small.says(), (200, r#"{"valid":true}"#));
    stuck.execute_batch("ROLLBACK").unwrap();
    drop(stuck);
    assert_eq!(holder.answer().await.unwrap().status, 200, "who held the room was served");
    for callback in of_each(2) {
        let answer = Raw::to(house.public).await.ask(padded(&callback, SIZE)).await;
        assert_eq!(answer.status, 200, "there is room again: {answer:?}");
    }
    assert_eq!(house.receipts().await.len(), 5);
    drop(holder);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_waits_for_room_is_served_when_there_is_some() {
    let settings = "body_limit_bytes = 65536\nbodies_limit_bytes = 65536\nbody_timeout_ms = 1000";
    let house = House::start(&with_server(settings)).await;
    let mut holder = Raw::to(house.public).await;
    let unfinished = padded(&easemob(1), 60 << 10);
    holder.send(&unfinished[..unfinished.len() - 1]).await;
    // It takes its room as its bytes come, within this moment or the next. Then others wait, until its time
    // is over.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut waiting = Raw::to(house.public).await;
    assert_eq!(waiting.ask(padded(&openim(2), 60 << 10)).await.says(), (200, ALLOW));
    assert_eq!(holder.answer().await.unwrap().says(), (408, r#"{"error":"body_timeout"}"#));
    assert_eq!(house.receipts().await.len(), 1);
    drop((holder, waiting));
    house.end().await;
}
