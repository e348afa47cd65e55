//! What comes again under an id that is stored: a duplicate that says the same, one that says something else, and a conflict.
//! The first stays in any case. What contradicts it is counted and kept in quarantine, because the first may be the forged one.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::house::{House, PATIENCE, Reply, demo, exchange};
use crate::vendor::{Callback, easemob, rongcloud};

/// The reasons of what is in quarantine, oldest first, as soon as there are so many.
async fn kept(house: &House, count: usize) -> Vec<String> {
    let look = async || {
        let reply = house.get("/api/v1/quarantine?order=asc").await;
        let page: Value = serde_json::from_str(&reply.body).unwrap();
        let callbacks = page["entries"].as_array().unwrap_or_else(|| panic!("{}", reply.body)).clone();
        callbacks.iter().map(|callback| callback["reason"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let wait = async {
        loop {
            let reasons = look().await;
            if reasons.len() >= count {
                return reasons;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, wait).await.expect("the quarantine should have them")
}

async fn counts(house: &House) -> (u64, u64) {
    let metric = async |name: &str| house.metric(&format!("readhook_{name}")).await as u64;
    (metric("conflicts_total").await, metric("duplicates_differing_total").await)
}

async fn post(house: &House, Callback { target, body }: &Callback) -> Reply {
    house.post(target, &[], body.as_bytes()).await
}

/// Posts the first and then the others, each of which must be answered as a duplicate; gives the counts of conflicts and of
/// differing duplicates, and the reasons in quarantine.
async fn after(first: &Callback, others: &[Callback]) -> ((u64, u64), Vec<String>) {
    let house = House::start(&demo()).await;
    assert_eq!(post(&house, first).await.status, 200);
    let stored = house.receipts().await;
    assert!(!stored.is_empty(), "{}", first.body);
    for other in others {
        assert_eq!(post(&house, other).await.status, 200, "{}", other.body);
    }
    let counts = counts(&house).await;
    let reasons = kept(&house, usize::try_from(counts.0 + counts.1).unwrap()).await;
    assert_eq!(house.receipts().await, stored, "the first stays");
    let log: Value = serde_json::from_str(&house.get("/api/v1/callbacks?limit=100").await.body).unwrap();
    let logged = |reason: &str| {
        let callbacks = log["callbacks"].as_array().unwrap();
        let fitting = |callback: &&Value| callback["reason"] == reason && callback["outcome"] == "duplicate";
        callbacks.iter().filter(fitting).count() as u64
    };
    assert_eq!((logged("conflict"), logged("differing")), counts, "{log}");
    house.end().await;
    (counts, reasons)
}

fn with(callback: &Callback, changes: &[(&str, &str)]) -> Callback {
    let body = changes.iter().fold(callback.body.clone(), |body, (from, to)| {
        assert!(body.contains(from), "{from} is in {body}");
        body.replace(from, to)
    });
    Callback { target: callback.target.clone(), body }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_event_id_with_another_reader_or_message_is_a_conflict() {
    let first = easemob(1);
    let forged = [
        with(&first, &[(r#""from":"reader""#, r#""from":"somebody""#)]),
        with(&first, &[(r#""ack_message_id":"91""#, r#""ack_message_id":"92""#)]),
    ];
    assert_eq!(after(&first, &forged).await, ((2, 0), vec!["conflict".to_owned(); 2]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_event_id_in_another_conversation_only_differs() {
    let first = easemob(1);
    let elsewhere = [
        with(&first, &[(r#""to":"281474976710777""#, r#""to":"1""#)]),
        // The same facts in another letter: nothing differs.
        with(&first, &[("{", "{ ")]),
        with(&first, &[(r#""eventType":"chat""#, r#""eventType":"chat_offline""#)]),
    ];
    assert_eq!(after(&first, &elsewhere).await, ((0, 1), vec!["differing".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_receipt_that_comes_again_offline_with_the_user_in_to_is_no_conflict() {
    let group = with(
        &easemob(1),
        &[(r#""to":"281474976710777""#, r#""to":"281474976710777","group_id":"281474976710777""#)],
    );
    let offline = with(
        &easemob(1),
        &[
            (r#""to":"281474976710777""#, r#""to":"author""#),
            (r#""eventType":"chat""#, r#""eventType":"chat_offline""#),
        ],
    );
    assert_eq!(after(&group, &[offline]).await, ((0, 1), vec!["differing".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn tencents_forged_first_does_not_hide_the_genuine_one() {
    let report = |time: u64, unread: u64| Callback {
        target: "/webhooks/tencent?SdkAppid=1400000000&CallbackCommand=C2C.CallbackAfterMsgReport".to_owned(),
        body: format!(
            r#"{{"CallbackCommand":"C2C.CallbackAfterMsgReport","Report_Account":"r","Peer_Account":"p","LastReadTime":1700000000,"UnreadMsgNum":{unread},"EventTime":{time}}}"#
        ),
    };
    let others = [report(1_700_000_000_000, 3), report(1_700_000_000_999, 3)];
    // The first differs in `extra` alone.
    assert_eq!(after(&report(1_700_000_000_000, 4), &others).await, ((0, 1), vec!["differing".to_owned()]));

    let receipt = |author: &str, peer: &str| Callback {
        target: "/webhooks/tencent?SdkAppid=1400000000&CallbackCommand=C2C.CallbackAfterMsgReadReceipt"
            .to_owned(),
        body: format!(
            r#"{{"CallbackCommand":"C2C.CallbackAfterMsgReadReceipt","Operator_Account":"r","Peer_Account":"{peer}","C2CMsgInfo":[{{"MsgKey":"1_2_3","From_Account":"{author}"}}],"EventTime":1700000000000}}"#
        ),
    };
    let others = [receipt("a", "p"), receipt("b", "p"), receipt("a", "q")];
    assert_eq!(after(&receipt("a", "p"), &others).await, ((0, 2), vec!["differing".to_owned(); 2]));

    let group = |time: u64, read: u64| Callback {
        target: "/webhooks/tencent?SdkAppid=1400000000&CallbackCommand=Group.CallbackAfterReadReceipt"
            .to_owned(),
        body: format!(
            r#"{{"CallbackCommand":"Group.CallbackAfterReadReceipt","GroupId":"g","GroupMsgReceiptList":[{{"MsgSeq":7,"ReadNum":{read},"UnreadNum":1,"ReadReceiptMembers":[{{"Member_Account":"m"}}]}}],"EventTime":{time}}}"#
        ),
    };
    let others = [group(1_700_000_000_000, 9), group(1_700_000_000_001, 9)];
    assert_eq!(after(&group(1_700_000_000_000, 1), &others).await, ((0, 1), vec!["differing".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn rongclouds_message_with_another_reader_is_a_conflict_and_with_another_peer_or_time_differs() {
    let first = rongcloud(1);
    assert!(first.body.contains("fromUserId=") && first.body.contains("toUserId="), "{}", first.body);
    let field = |name: &str, value: &str| {
        let fields = first.body.split('&').map(|field| match field.split_once('=') {
            Some((key, _)) if key == name => format!("{name}={value}"),
            _ => field.to_owned(),
        });
        Callback { target: first.target.clone(), body: fields.collect::<Vec<_>>().join("&") }
    };
    let others = [
        first.clone(),
        field("fromUserId", "somebody"),
        field("toUserId", "another"),
        field("msgTimestamp", "1700000000123"),
    ];
    let (counts, mut reasons) = after(&first, &others).await;
    reasons.sort();
    assert_eq!(
        (counts, reasons),
        ((1, 2), ["conflict", "differing", "differing"].map(str::to_owned).to_vec())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_partly_new_is_accepted_and_kept_and_a_requeue_leaves_it() {
    let house = House::start(&demo()).await;
    let read_all = |time: u64, seqs: &str| Callback {
        target: "/webhooks/tencent?SdkAppid=1400000000&CallbackCommand=Group.CallbackAfterReadReceipt"
            .to_owned(),
        body: format!(
            r#"{{"CallbackCommand":"Group.CallbackAfterReadReceipt","GroupId":"g","GroupMsgReceiptList":[{seqs}],"EventTime":{time}}}"#
        ),
    };
    let entry = |seq: u64| format!(r#"{{"MsgSeq":{seq},"ReadReceiptMembers":[{{"Member_Account":"m"}}]}}"#);
    assert_eq!(post(&house, &read_all(1_700_000_000_000, &entry(1))).await.status, 200);
    let both = format!("{},{}", entry(1), entry(2));
    assert_eq!(post(&house, &read_all(1_700_000_000_001, &both)).await.status, 200);
    assert_eq!(kept(&house, 1).await, ["differing"]);
    assert_eq!(counts(&house).await, (0, 1));
    assert_eq!(house.receipts().await.len(), 2);
    let requeue = async || {
        let target = "/api/v1/quarantine/requeue";
        let reply = exchange(house.admin, http::Method::POST, target, &[], b"{}".to_vec()).await;
        serde_json::from_str::<Value>(&reply.body).unwrap()
    };
    for _ in 0..2 {
        let report = requeue().await;
        assert_eq!((&report["kept"], &report["accepted"]), (&json!(1), &json!(0)), "{report}");
    }
    assert_eq!(kept(&house, 1).await, ["differing"], "it stays, and its reason tells why");
    assert_eq!(counts(&house).await, (0, 1), "an operator's second look is no second callback");
    house.end().await;
}
