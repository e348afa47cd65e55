//! Who has read what, asked at the door: each rule by an example of a real callback, the same answers whatever the order,
//! pages, and mistakes that are named. Long, because the rules are many and the words for asking are shared.

mod file;
mod program;

use std::net::SocketAddr;

use http::Method;
use md5::Md5;
use serde_json::{Value, json};
use sha2::Digest;
use tokio::time::timeout;

use crate::house::{House, PATIENCE, demo, exchange, repository};
use crate::vendor::EASEMOB_SECRET;

/// A callback: path and query, a header for those that need one, and the body.
#[derive(Clone)]
struct Post(String, Option<&'static str>, String);

async fn post(address: SocketAddr, Post(target, operation, body): &Post) {
    let headers: Vec<(&str, &str)> = operation.iter().map(|id| ("operationid", *id)).collect();
    let reply = exchange(address, Method::POST, target, &headers, body.clone().into_bytes()).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
}

fn tencent(command: &str, body: &Value) -> Post {
    let target = format!("/webhooks/tencent?SdkAppid=1400000000&CallbackCommand={command}");
    Post(target, None, body.to_string())
}

/// Members of a group have read one message of it.
fn in_group(group: &str, seq: i64, (read, unread): (i64, i64), readers: &[&str], at: i64) -> Post {
    let members: Vec<Value> = readers.iter().map(|reader| json!({ "Member_Account": reader })).collect();
    let list =
        json!([{ "MsgSeq": seq, "ReadNum": read, "UnreadNum": unread, "ReadReceiptMembers": members }]);
    let body = json!({ "CallbackCommand": "Group.CallbackAfterReadReceipt", "GroupId": group, "Type": "Public",
                       "GroupMsgReceiptList": list, "EventTime": at.to_string() });
    tencent("Group.CallbackAfterReadReceipt", &body)
}

/// Somebody has read a group up to a sequence (and everything else that is one-to-one).
fn up_to(reader: &str, group: &str, seq: i64, at: i64) -> Post {
    let body = json!({ "CallbackCommand": "C2C.CallbackAfterMsgReadAll", "Report_Account": reader, "EventTime": at,
                       "GroupReadInfo": [{ "GroupId": group, "MsgSeq": seq }] });
    tencent("C2C.CallbackAfterMsgReadAll", &body)
}

/// Easemob's: `read_ack` of a message, or `channel_ack` of a conversation up to now.
fn easemob(number: u64, kind: &str, (from, to): (&str, &str), message: &str, at: i64) -> Post {
    let call_id = format!("1122334455#demo_{number}");
    let security = hex::encode(Md5::digest(format!("{call_id}{EASEMOB_SECRET}{at}")));
    let body = json!({ "callId": call_id, "eventType": "chat", "chat_type": kind, "security": security,
                       "payload": { "ack_message_id": message }, "appkey": "1122334455#demo",
                       "from": from, "to": to, "msg_id": number.to_string(), "timestamp": at });
    Post("/webhooks/easemob".to_owned(), None, body.to_string())
}

/// OpenIM's documented group read: the whole conversation, and nobody says when.
fn whole_group(reader: &str, group: &str, operation: &'static str) -> Post {
    let body = json!({ "callbackCommand": "callbackAfterGroupMsgReadCommand", "sendID": reader, "receiveID": group,
                       "unreadMsgNum": 0, "contentType": 3 });
    let target = "/webhooks/openim/callbackAfterGroupMsgReadCommand".to_owned();
    Post(target, Some(operation), body.to_string())
}

/// A fixture of the repository, as it lies there.
fn fixture(name: &str) -> Post {
    let folder = repository("fixtures").join(name);
    let request: toml::Table =
        toml::from_str(&std::fs::read_to_string(folder.join("request.toml")).unwrap()).unwrap();
    let text = |key: &str| request.get(key).map_or("", |value| value.as_str().unwrap()).to_owned();
    let body =
        ["body.json", "body.form"].iter().find_map(|body| std::fs::read_to_string(folder.join(body)).ok());
    let query = text("query");
    let target = if query.is_empty() { text("path") } else { format!("{}?{query}", text("path")) };
    Post(target, None, body.unwrap())
}

async fn answer(address: SocketAddr, target: &str) -> Value {
    let reply = exchange(address, Method::GET, &format!("/api/v1/{target}"), &[], Vec::new()).await;
    assert_eq!(reply.status, 200, "{target}: {}", reply.body);
    serde_json::from_str(&reply.body).unwrap()
}

/// The same once the state has everything; a busy machine may need more than one try.
async fn complete(address: SocketAddr, target: &str) -> Value {
    let tried = timeout(PATIENCE, async {
        loop {
            let reply = exchange(address, Method::GET, &format!("/api/v1/{target}"), &[], Vec::new()).await;
            assert!([200, 503].contains(&reply.status), "{target}: {}", reply.body);
            let answer: Value = serde_json::from_str(&reply.body).unwrap();
            if answer["behind"] == 0 {
                return answer;
            }
        }
    });
    tried.await.expect("the state should reach the head")
}

/// `reader via time`, one word each; the time without its day.
async fn readers(house: &House, query: &str) -> Vec<String> {
    let answer = complete(house.admin, &format!("readers?{query}")).await;
    let list = answer["readers"].as_array().unwrap().iter();
    list.map(|reader| {
        let at = reader["read_at"].as_str().map_or("-", |at| at.split_once('T').unwrap().1);
        format!("{} {} {at}", reader["reader"].as_str().unwrap(), reader["via"].as_str().unwrap())
    })
    .collect()
}

const CREW: &str = "vendor=tencent&app=1400000000&conversation=crew";
/// 2025-10-09T08:53:20Z
const T: i64 = 1_760_000_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn sequences_compare_with_sequences() {
    let house = House::start(&demo()).await;
    post(house.public, &in_group("crew", 5, (1, 3), &["ann"], T)).await;
    post(house.public, &up_to("bob", "crew", 7, T + 1)).await;
    let at = async |seq: i64| readers(&house, &format!("{CREW}&message_seq={seq}")).await;
    assert_eq!(at(5).await, ["ann message 08:53:20.000Z", "bob up_to 08:53:20.001Z"]);
    assert_eq!(at(4).await, ["bob up_to 08:53:20.001Z"], "a receipt of one message tells nothing of others");
    assert_eq!(at(7).await, ["bob up_to 08:53:20.001Z"], "up to means with it");
    assert_eq!(at(8).await, [""; 0]);
    assert_eq!(at(-1).await, ["bob up_to 08:53:20.001Z"]);

    // What is surer wins, and the earlier time of what is as sure.
    post(house.public, &in_group("crew", 5, (2, 2), &["bob"], T + 9)).await;
    assert_eq!(at(5).await, ["ann message 08:53:20.000Z", "bob message 08:53:20.009Z"]);
    // Never backwards, and of two that are as far the earlier.
    post(house.public, &up_to("bob", "crew", 6, T + 2)).await;
    post(house.public, &up_to("bob", "crew", 7, T + 3)).await;
    assert_eq!(at(7).await, ["bob up_to 08:53:20.001Z"]);

    let one = readers(&house, &format!("{CREW}&message_seq=5&reader=bob")).await;
    assert_eq!(one, ["bob message 08:53:20.009Z"]);
    assert_eq!(readers(&house, &format!("{CREW}&message_seq=5&type=group")).await.len(), 2);
    assert_eq!(readers(&house, &format!("{CREW}&message_seq=5&type=direct")).await.len(), 0);
    assert_eq!(readers(&house, &format!("{CREW}&message_id=5")).await.len(), 0, "an id is no sequence");
    assert_eq!(readers(&house, "vendor=tencent&app=other&conversation=crew&message_seq=5").await.len(), 0);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_compare_with_when_it_was_sent() {
    let house = House::start(&demo()).await;
    // Up to 12:00:00.103, and the vendor names a message.
    post(house.public, &fixture("easemob/conversation-read")).await;
    let marta = "vendor=easemob&app=1122334455%23demo&conversation=marta";
    let named = readers(&house, &format!("{marta}&message_id=1490011223344551111")).await;
    assert_eq!(named, ["jonas up_to 12:00:00.103Z"]);
    assert_eq!(readers(&house, &format!("{marta}&message_id=other")).await.len(), 0, "ids do not compare");
    for (sent_at, read) in [("00.102", true), ("00.103", true), ("00.104", false)] {
        let query = format!("{marta}&message_id=other&sent_at=2025-08-12T12:00:{sent_at}Z");
        let expected: &[&str] = if read { &["jonas up_to 12:00:00.103Z"] } else { &[] };
        assert_eq!(readers(&house, &query).await, expected, "{sent_at}");
    }
    // A receipt of that message itself is surer.
    post(house.public, &easemob(9, "read_ack", ("jonas", "marta"), "other", 1_755_000_000_500)).await;
    let query = format!("{marta}&message_id=other&sent_at=2025-08-12T12:00:00Z");
    assert_eq!(readers(&house, &query).await, ["jonas message 12:00:00.500Z"]);

    // RongCloud's, and a whole conversation of OpenIM, read when we heard of it at the latest.
    post(house.public, &fixture("rongcloud/direct-read")).await;
    let peer =
        "vendor=rongcloud&app=demo-app-key&conversation=u_2002&message_id=x&sent_at=2025-12-29T09:19:59.456Z";
    assert_eq!(readers(&house, peer).await, ["u_1001 up_to 09:20:00.001Z"]);
    post(house.public, &whole_group("carol", "3000_77", "op-1")).await;
    let group = "vendor=openim&app=demo&conversation=3000_77&message_seq=1";
    assert_eq!(readers(&house, group).await.len(), 0, "without a time there is nothing to compare");
    let found = readers(&house, &format!("{group}&sent_at=2020-01-01T00:00:00Z")).await;
    assert!(found.len() == 1 && found[0].starts_with("carol conversation "), "{found:?}");
    assert_eq!(readers(&house, &format!("{group}&sent_at=2999-01-01T00:00:00Z")).await.len(), 0);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_ours_or_the_vendors_where_those_are_greater() {
    let house = House::start(&demo()).await;
    let counts = async |seq: i64| {
        let target = format!("readers?{CREW}&message_seq={seq}&limit=1");
        complete(house.admin, &target).await["counts"].clone()
    };
    post(house.public, &in_group("crew", 1, (4, 15), &["ann"], T)).await;
    let via = |message: i64, up_to: i64| json!({ "message": message, "up_to": up_to, "conversation": 0 });
    assert_eq!(counts(1).await, json!({ "read": 4, "unread": 15, "via": via(1, 0) }));
    // An older report that comes late changes nothing; a newer one does.
    post(house.public, &in_group("crew", 1, (2, 17), &["bob"], T)).await;
    assert_eq!(counts(1).await, json!({ "read": 4, "unread": 15, "via": via(2, 0) }));
    post(house.public, &in_group("crew", 1, (5, 14), &["dora"], T)).await;
    post(house.public, &in_group("crew", 2, (1, 1), &["ann", "bob", "carol"], T)).await;
    post(house.public, &up_to("eve", "crew", 3, T)).await;
    assert_eq!(counts(1).await, json!({ "read": 5, "unread": 14, "via": via(3, 1) }));
    assert_eq!(
        counts(2).await,
        json!({ "read": 4, "unread": 1, "via": via(3, 1) }),
        "of all pages, not of this one"
    );
    assert_eq!(
        counts(3).await,
        json!({ "read": 1, "via": via(0, 1) }),
        "absent where the vendor does not count"
    );
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_go_forward_only() {
    let house = House::start(&demo()).await;
    for callback in [
        up_to("bob", "crew", 7, T + 5),
        up_to("bob", "crew", 3, T + 9),
        in_group("crew", 5, (1, 3), &["ann"], T),
        in_group("zoo", 2, (1, 3), &["bob"], T + 1),
    ] {
        post(house.public, &callback).await;
    }
    let app = "positions?vendor=tencent&app=1400000000";
    let crew = complete(house.admin, &format!("{app}&conversation=crew")).await;
    let group = |id: &str| json!({ "type": "group", "id": id });
    let time = |millis: &str| format!("2025-10-09T08:53:20.{millis}Z");
    assert_eq!(
        crew,
        json!({ "positions": [
            { "conversation": group("crew"), "reader": "ann", "message_seq": 5, "read_at": time("000") },
            { "conversation": group("crew"), "reader": "bob", "message_seq": 7, "read_at": time("009") },
        ], "next": null, "behind": 0 })
    );
    let bob = complete(house.admin, &format!("{app}&reader=bob")).await;
    assert_eq!(
        bob["positions"],
        json!([
            { "conversation": { "type": "direct", "id": null }, "reader": "bob", "up_to_time": time("009"),
              "read_at": time("009") },
            { "conversation": group("crew"), "reader": "bob", "message_seq": 7, "read_at": time("009") },
            { "conversation": group("zoo"), "reader": "bob", "message_seq": 2, "read_at": time("001") },
        ])
    );
    let both = complete(house.admin, &format!("{app}&reader=bob&conversation=zoo")).await;
    assert_eq!(both["positions"].as_array().unwrap().len(), 1);
    let kind = complete(house.admin, &format!("{app}&reader=bob&type=direct")).await;
    assert_eq!(kind["positions"].as_array().unwrap().len(), 1);
    post(house.public, &whole_group("carol", "3000_77", "op-1")).await;
    let whole = complete(house.admin, "positions?vendor=openim&app=demo&reader=carol").await;
    let carol = &whole["positions"][0];
    assert_eq!(carol["read_at"], Value::Null, "the vendor says no time");
    assert!(carol["conversation_read_at"].is_string() && carol.get("message_seq").is_none(), "{carol}");
    house.end().await;
}

/// Callbacks of every kind that meet in a few conversations, and of which none is a repeat of another: of those the journal
/// keeps the first.
fn many() -> Vec<Post> {
    let (mut all, mut number) = (Vec::new(), 100);
    for step in 0..6 {
        for reader in ["ann", "bob", "carol"] {
            number += 1;
            let seq = (step * 5) % 7;
            let at = T + seq;
            all.push(in_group("crew", seq, (step, 9 - step), &[reader], at));
            all.push(up_to(reader, "crew", (seq * 3) % 8, at));
            let kind = if step % 2 == 0 { "read_ack" } else { "channel_ack" };
            all.push(easemob(number, kind, (reader, "marta"), &format!("m{}", step % 3), at));
        }
    }
    all
}

async fn ask_all(address: SocketAddr) -> Vec<Value> {
    let marta = "vendor=easemob&app=1122334455%23demo&conversation=marta";
    let mut answers = Vec::new();
    for number in 0..9 {
        answers.push(complete(address, &format!("readers?{CREW}&message_seq={number}")).await);
        for sent_at in ["", "&sent_at=2025-10-09T08:53:20.003Z"] {
            answers.push(complete(address, &format!("readers?{marta}&message_id=m{number}{sent_at}")).await);
        }
    }
    answers.push(complete(address, &format!("positions?{CREW}")).await);
    answers.push(complete(address, &format!("positions?{marta}")).await);
    answers.push(complete(address, "positions?vendor=tencent&app=1400000000&reader=bob").await);
    answers
}

/// One by one, so that a difference can be read.
fn same(one: &[Value], other: &[Value], what: &str) {
    for (one, other) in one.iter().zip(other) {
        assert_eq!(one, other, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_callbacks_makes_no_difference() {
    let (forward, backward) = (House::start(&demo()).await, House::start(&demo()).await);
    let callbacks = many();
    for callback in &callbacks {
        post(forward.public, callback).await;
    }
    for callback in callbacks.iter().rev() {
        post(backward.public, callback).await;
        // A vendor that tries again is a duplicate; a question in between must not change the state.
        post(backward.public, callback).await;
        answer(backward.admin, &format!("positions?{CREW}")).await;
    }
    let (one, other) = (ask_all(forward.admin).await, ask_all(backward.admin).await);
    assert!(one.iter().any(|answer| answer["counts"]["via"]["up_to"] != 0), "there is something to compare");
    same(&one, &other, "forward and backward");
    forward.end().await;
    backward.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_neither_skip_nor_repeat_while_receipts_arrive() {
    let house = House::start(&demo()).await;
    let all: Vec<String> = (0..25).map(|number| format!("reader+{number:02} é/\u{1}")).collect();
    let names: Vec<&str> = all.iter().map(String::as_str).collect();
    post(house.public, &in_group("crew", 5, (1, 3), &names, T)).await;
    post(house.public, &in_group("crew", 6, (1, 3), &names, T)).await;
    for (list, target) in [
        ("readers", format!("readers?{CREW}&message_seq=5&limit=10")),
        ("positions", format!("positions?{CREW}&limit=10")),
    ] {
        let (mut got, mut cursor, mut turn) = (Vec::new(), String::new(), 0);
        loop {
            let page = complete(house.admin, &format!("{target}{cursor}")).await;
            let rows = page[list].as_array().unwrap();
            got.extend(rows.iter().map(|row| row["reader"].as_str().unwrap().to_owned()));
            // Somebody who stands before everybody: his page is over.
            post(house.public, &in_group("crew", 5, (1, 3), &[&format!("a{list}{turn}")], T)).await;
            turn += 1;
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        got.retain(|reader| reader.starts_with("reader"));
        assert_eq!(got, all, "{list}");
    }
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_named() {
    let house = House::start(&demo()).await;
    let readers = "readers?vendor=tencent&app=a&conversation=c";
    let positions = "positions?vendor=tencent&app=a&conversation=c";
    let cases = [
        (format!("{readers}&message_seq=1&x=1"), "x"),
        (format!("{readers}&message_seq=1&message_seq=1"), "message_seq"),
        (format!("{readers}&message_seq=1&message_id=1"), "message_id"),
        (format!("{readers}&message_seq=1.5"), "message_seq"),
        (format!("{readers}&message_seq=9223372036854775808"), "message_seq"),
        (readers.to_owned(), "message_id"),
        ("readers?vendor=tencent&app=a&message_seq=1".to_owned(), "conversation"),
        ("readers?vendor=tencent&conversation=c&message_seq=1".to_owned(), "app"),
        ("readers?app=a&conversation=c&message_seq=1".to_owned(), "vendor"),
        ("readers?vendor=icq&app=a&conversation=c&message_seq=1".to_owned(), "vendor"),
        (format!("{readers}&message_seq=1&sent_at=yesterday"), "sent_at"),
        (format!("{readers}&message_seq=1&type=room"), "type"),
        (format!("{readers}&message_seq=1&limit=0"), "limit"),
        (format!("{readers}&message_seq=1&limit=10001"), "limit"),
        (format!("{readers}&message_seq=1&cursor=zz"), "cursor"),
        (format!("{positions}&message_seq=1"), "message_seq"),
        ("positions?vendor=tencent&app=a".to_owned(), "conversation"),
        ("positions?vendor=tencent&reader=r".to_owned(), "app"),
        (format!("{positions}&cursor=W10"), "cursor"),
    ];
    for (target, names) in cases {
        let reply = house.get(&format!("/api/v1/{target}")).await;
        assert_eq!(
            (reply.status, &reply.headers["content-type"]),
            (400, &"application/problem+json".parse().unwrap())
        );
        let problem: Value = serde_json::from_str(&reply.body).unwrap();
        assert!(problem["detail"].as_str().unwrap().contains(names), "{target}: {problem}");
    }
    assert_eq!(house.get("/api/v1/state/rebuild").await.status, 405);
    let rebuild = async |headers: &[(&str, &str)]| {
        exchange(house.admin, Method::POST, "/api/v1/state/rebuild", headers, Vec::new()).await
    };
    assert_eq!(rebuild(&[("origin", "https://evil.example")]).await.status, 403);
    assert_eq!(rebuild(&[]).await.body, r#"{"receipts":0}"#);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_state_or_a_journal_it_says_so() {
    for (text, says) in [
        (format!("{}\n[state]\nenabled = false\n", demo()), "state.enabled"),
        (format!("{}\n[delivery]\nack_after = \"sinks\"\n", demo()), "ack_after"),
    ] {
        let house = House::start(&text).await;
        for target in [
            "readers?vendor=tencent&app=a&conversation=c&message_seq=1",
            "positions?vendor=tencent&app=a&reader=r",
        ] {
            let reply = house.get(&format!("/api/v1/{target}")).await;
            assert_eq!(reply.status, 409, "{}", reply.body);
            assert!(reply.body.contains(says), "{}", reply.body);
        }
        let health: Value = serde_json::from_str(&house.get("/healthz").await.body).unwrap();
        assert_eq!(health["state"], Value::Null);
        house.stop();
        let dir = house.ended().await;
        assert!(!dir.path().join("readhook.db.state").exists());
    }
}
