//! Properties of every decoder: arbitrary bytes never panic, and what is valid comes out exactly as it went in.

use bytes::Bytes;
use http::{HeaderMap, Uri};
use md5::{Digest, Md5};
use proptest::prelude::*;
use readhook::config::{Environment, load};
use readhook::receipt::Timestamp;
use readhook::vendor::{Incoming, Mark, Opened, Outcome, Vendor, Vendors, authenticate};
use serde_json::json;

use crate::house::repository;
use crate::vendor::{EASEMOB_SECRET, RELAY_SECRET, RONGCLOUD_SECRET, rongcloud_query};

fn vendors() -> Vendors {
    Vendors::configure(&load(Some(&repository("config/demo.toml")), &Environment::new()).unwrap().vendors)
}

fn incoming(target: &str, body: impl Into<Bytes>) -> Incoming {
    let uri: Uri = target.parse().unwrap();
    let (_, tail_at) = vendors()
        .route(uri.path().strip_prefix("/webhooks/").unwrap())
        .map(|(v, at)| (v.name(), at))
        .unwrap();
    Incoming {
        uri,
        tail_at: "/webhooks/".len() + tail_at,
        headers: HeaderMap::new(),
        client: [127, 0, 0, 1].into(),
        body: body.into(),
        received_at: Timestamp::from_millis(1_767_000_000_000).unwrap(),
    }
}

/// What came out of a callback, owned.
#[derive(Debug, PartialEq)]
struct Read {
    reader: String,
    conversation: Option<String>,
    message: Option<String>,
    seq: Option<i64>,
    time: Option<i64>,
}

/// The whole pure way, with whatever came of it.
fn read(request: &Incoming) -> Result<Vec<Read>, Outcome> {
    let vendors = vendors();
    let path = request.uri.path().strip_prefix("/webhooks/").unwrap().to_owned();
    let (vendor, _) = vendors.route(&path).unwrap();
    let vendor: &dyn Vendor = &**vendor;
    let outcome = || -> Result<Vec<Read>, Outcome> {
        let Opened::Read(callback) = vendor.open(request)? else {
            return Err(Outcome::Ignored);
        };
        let verified = authenticate(vendor, callback).map_err(Outcome::Rejected)?;
        let readings = vendor.decode(&verified).map_err(Outcome::Malformed)?;
        let read = readings.into_iter().map(|reading| {
            let (message, seq, time) = match reading.mark {
                Mark::Message(id) | Mark::UpToMessage(id) => (Some(id.into_owned()), None, None),
                Mark::MessageAt(seq) | Mark::UpToSeq(seq) => (None, Some(seq), None),
                Mark::UpToTime(time, id) => (id.map(|id| id.into_owned()), None, Some(time.as_millis())),
                Mark::Conversation => (None, None, None),
            };
            let conversation = reading.conversation.id.map(|id| id.into_owned());
            Read { reader: reading.reader.into_owned(), conversation, message, seq, time }
        });
        Ok(read.collect())
    };
    let result = outcome();
    if let Err(outcome) = &result {
        let answer = vendor.answer(request, outcome);
        assert!(answer.body.len() < 1000 && [200, 400, 401, 403].contains(&answer.status), "{answer:?}");
    }
    result
}

fn targets() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "/webhooks/easemob".to_owned(),
        "/webhooks/openim/callbackAfterSingleMsgReadCommand".to_owned(),
        "/webhooks/openim//callbackAfterGroupMsgReadCommand?command=callbackGroupMsgReadCommand".to_owned(),
        "/webhooks/tencent?SdkAppid=1400000000&CallbackCommand=Group.CallbackAfterReadReceipt".to_owned(),
        "/webhooks/tencent?SdkAppid=1400000000&CallbackCommand=C2C.CallbackAfterMsgReport".to_owned(),
        "/webhooks/tencent?SdkAppid=1400000000&CallbackCommand=C2C.CallbackAfterMsgReadReceipt".to_owned(),
        "/webhooks/tencent?SdkAppid=1400000000&CallbackCommand=C2C.CallbackAfterMsgReadAll".to_owned(),
        "/webhooks/tencent?SdkAppid=1400000000&CallbackCommand=Sns.CallbackPrevFriendAdd".to_owned(),
        format!("/webhooks/rongcloud?{}", rongcloud_query(RONGCLOUD_SECRET)),
        format!("/webhooks/rongcloud/relay?{}", rongcloud_query(RELAY_SECRET)),
    ])
}

/// JSON of any shape under the names that the vendors use, so that it gets past the first question.
fn tricky_json() -> impl Strategy<Value = serde_json::Value> {
    const NAMES: [&str; 42] = [
        "chat_type",
        "callId",
        "security",
        "timestamp",
        "appkey",
        "from",
        "to",
        "payload",
        "ack_message_id",
        "group_id",
        "msg_config",
        "allow_group_ack",
        "GroupId",
        "GroupMsgReceiptList",
        "MsgSeq",
        "ReadReceiptMembers",
        "Member_Account",
        "EventTime",
        "Report_Account",
        "Peer_Account",
        "LastReadTime",
        "Operator_Account",
        "C2CMsgInfo",
        "MsgKey",
        "GroupReadInfo",
        "FriendItem",
        "callbackCommand",
        "userID",
        "conversationID",
        "Seqs",
        "sendID",
        "receiveID",
        "unreadMsgNum",
        "contentType",
        "event",
        "relay_user_id",
        "data",
        "readerList",
        "messageUId",
        "conversationType",
        "users",
        "type",
    ];
    let word = prop::sample::select(vec![
        "read_ack",
        "channel_ack",
        "callbackAfterSingleMsgReadCommand",
        "callbackAfterGroupMsgReadCommand",
        "onMessageReceiptResponse",
        "onReceiveReadReceipt",
        "onMessageReadReceiptV5Received",
        "message:send",
        "RC:ReadNtf",
    ]);
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
        "[0-9]{0,25}".prop_map(Into::into),
        word.prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map(
                prop::sample::select(NAMES.to_vec()).prop_map(str::to_owned),
                inner,
                0..12
            )
            .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

/// An id as a vendor could have it: any text that is not empty.
fn id() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z0-9_@#.+=-]{1,40}", any::<String>().prop_filter("not empty", |text| !text.is_empty())]
}

/// A time that has a date.
fn millis() -> impl Strategy<Value = i64> {
    0..253_402_207_200_000_i64
}

/// A number as the vendors write it: bare or in quotes.
fn number(value: i64, quoted: bool) -> serde_json::Value {
    if quoted && value >= 0 { value.to_string().into() } else { value.into() }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn arbitrary_bytes_never_panic(target in targets(), body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _any_outcome = read(&incoming(&target, body));
    }

    #[test]
    fn arbitrary_json_never_panics(target in targets(), body in tricky_json()) {
        let _any_outcome = read(&incoming(&target, body.to_string()));
    }

    #[test]
    fn easemob_comes_out_as_it_went_in(reader in id(), to in id(), message in id(), at in millis(), kind in 0..3, quoted: bool) {
        let call_id = "1122334455#demo_1490019900000000102";
        let security = hex::encode(Md5::digest(format!("{call_id}{EASEMOB_SECRET}{at}")));
        let body = json!({
            "chat_type": if kind == 2 { "channel_ack" } else { "read_ack" },
            "callId": call_id, "security": security, "appkey": "1122334455#demo", "from": reader, "to": to,
            "timestamp": number(at, quoted),
            "payload": { "ack_message_id": message, "msg_config": { "allow_group_ack": kind == 1 } },
        });
        let expected = Read {
            reader, conversation: Some(to), message: Some(message), seq: None, time: (kind == 2).then_some(at),
        };
        prop_assert_eq!(read(&incoming("/webhooks/easemob", body.to_string())), Ok(vec![expected]));
    }

    #[test]
    fn tencent_comes_out_as_it_went_in(
        readers in prop::collection::vec(id(), 1..4), group in id(), seqs in prop::collection::vec(any::<i64>(), 1..4),
        counts: (i64, i64), at in millis(), quoted: bool,
    ) {
        let members: Vec<_> = readers.iter().map(|reader| json!({ "Member_Account": reader })).collect();
        let list: Vec<_> = seqs.iter().map(|seq| json!({
            "MsgSeq": number(*seq, quoted), "ReadNum": counts.0, "UnreadNum": counts.1, "ReadReceiptMembers": members,
        })).collect();
        let body = json!({ "GroupId": group, "GroupMsgReceiptList": list, "EventTime": number(at, quoted) });
        let target = "/webhooks/tencent?SdkAppid=1400000000&CallbackCommand=Group.CallbackAfterReadReceipt";
        let expected: Vec<Read> = seqs.iter().flat_map(|seq| readers.iter().map(|reader| Read {
            reader: reader.clone(), conversation: Some(group.clone()), message: None, seq: Some(*seq), time: None,
        })).collect();
        prop_assert_eq!(read(&incoming(target, body.to_string())), Ok(expected));

        let seconds = at / 1000;
        let body = json!({ "Report_Account": readers[0], "Peer_Account": group, "LastReadTime": number(seconds, quoted) });
        let target = "/webhooks/tencent?SdkAppid=1400000000&CallbackCommand=C2C.CallbackAfterMsgReport";
        let expected = Read {
            reader: readers[0].clone(), conversation: Some(group), message: None, seq: None, time: Some(seconds * 1000),
        };
        prop_assert_eq!(read(&incoming(target, body.to_string())), Ok(vec![expected]));
    }

    #[test]
    fn openim_comes_out_as_it_went_in(reader in id(), peer in id(), seqs in prop::collection::vec(any::<i64>(), 1..5), quoted: bool) {
        let (one, other) = if reader <= peer { (&reader, &peer) } else { (&peer, &reader) };
        let target = "/webhooks/openim/callbackAfterSingleMsgReadCommand";
        let numbers: Vec<_> = seqs.iter().map(|seq| number(*seq, quoted)).collect();
        let body = json!({
            "callbackCommand": "callbackAfterSingleMsgReadCommand", "conversationID": format!("si_{one}_{other}"),
            "userID": reader, "Seqs": numbers, "contentType": 1,
        });
        let expected: Vec<Read> = seqs.iter().map(|seq| Read {
            reader: reader.clone(), conversation: Some(peer.clone()), message: None, seq: Some(*seq), time: None,
        }).collect();
        prop_assert_eq!(read(&incoming(target, body.to_string())), Ok(expected));
        let body = json!({
            "callbackCommand": "callbackAfterGroupMsgReadCommand", "sendID": reader, "receiveID": reader,
            "unreadMsgNum": number(seqs[0], quoted), "contentType": 3,
        });
        let expected = Read { reader, conversation: None, message: None, seq: Some(seqs[0]), time: None };
        prop_assert_eq!(read(&incoming("/webhooks/openim", body.to_string())), Ok(vec![expected]));
    }

    #[test]
    fn rongcloud_comes_out_as_it_went_in(
        reader in id(), peer in id(), author in id(), messages in prop::collection::vec(id(), 1..4), time in 1..253_402_207_200_000_i64, quoted: bool,
    ) {
        let form = |object_name: &str, kind: &str, content: serde_json::Value| {
            form_urlencoded::Serializer::new(String::new())
                .append_pair("fromUserId", &reader)
                .append_pair("toUserId", &peer)
                .append_pair("objectName", object_name)
                .append_pair("content", &content.to_string())
                .append_pair("channelType", kind)
                .append_pair("msgUID", "UID-1")
                .finish()
        };
        let target = format!("/webhooks/rongcloud?{}", rongcloud_query(RONGCLOUD_SECRET));
        let body = form("RC:ReadNtf", "PERSON", json!({ "lastMessageSendTime": number(time, quoted), "messageUId": messages[0] }));
        let expected = Read {
            reader: reader.clone(), conversation: Some(peer.clone()), message: Some(messages[0].clone()), seq: None, time: Some(time),
        };
        prop_assert_eq!(read(&incoming(&target, body)), Ok(vec![expected]));

        let body = form("RC:RRRspMsg", "GROUP", json!({ "receiptMessageDic": { author: messages } }));
        let expected: Vec<Read> = messages.iter().map(|message| Read {
            reader: reader.clone(), conversation: Some(peer.clone()), message: Some(message.clone()), seq: None, time: None,
        }).collect();
        prop_assert_eq!(read(&incoming(&target, body)), Ok(expected));

        let target = format!("/webhooks/rongcloud/relay?{}", rongcloud_query(RELAY_SECRET));
        let body = json!({
            "event": "onMessageReceiptResponse", "relay_user_id": peer,
            "data": { "targetId": "g", "conversationType": 3, "messageUId": messages[0], "readerList": { &reader: number(time, quoted) } },
        });
        let expected = Read {
            reader: reader.clone(), conversation: Some("g".to_owned()), message: Some(messages[0].clone()), seq: None, time: None,
        };
        prop_assert_eq!(read(&incoming(&target, body.to_string())), Ok(vec![expected]));
    }
}
