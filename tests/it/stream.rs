//! The stream: what comes on it, and that who was away, or is slow, misses nothing and hears nothing twice. Long, because
//! each way to lose an event has a test of its own.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::house::{House, PATIENCE, config, demo, exchange};
use crate::vendor::{Callback, easemob_signed_with, openim, tencent};

/// One event, as a browser would see it.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    name: String,
    pub(crate) id: String,
    pub(crate) data: Value,
}

/// A client of the stream.
struct Listener {
    body: Incoming,
    text: String,
    events: VecDeque<Event>,
    _connection: JoinSet<()>,
}

impl Listener {
    async fn open(admin: SocketAddr, query: &str, seen: Option<&str>) -> Self {
        let stream = TcpStream::connect(admin).await.unwrap();
        let (mut client, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async { drop(connection.await) });
        let mut request = Request::get(format!("/api/v1/stream?{query}")).header("host", "localhost");
        if let Some(seen) = seen {
            request = request.header("last-event-id", seen);
        }
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let response = client.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200, "{query} {seen:?}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body(), text: String::new(), events: VecDeque::new(), _connection: tasks }
    }

    /// The next event, also one that only says where the stream is; `None` at the end.
    async fn any(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            let frame = timeout(PATIENCE, self.body.frame()).await.expect("an event, or the end")?.ok()?;
            self.text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let mut lines =
                        block.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                    lines.next_back().unwrap_or_default().to_owned()
                };
                let data = serde_json::from_str(&field("data")).unwrap_or_default();
                self.events.push_back(Event { name: field("event"), id: field("id"), data });
                self.text = rest.to_owned();
            }
        }
    }

    /// The next event of some kind.
    async fn next(&mut self) -> Event {
        loop {
            let event = self.any().await.expect("the stream goes on");
            if !event.name.is_empty() {
                return event;
            }
        }
    }

    async fn some(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < count {
            events.push(self.next().await);
        }
        events
    }
}

async fn post(house: &House, callback: &Callback) -> u16 {
    house.post(&callback.target, &[], callback.body.as_bytes()).await.status
}

/// One callback with many receipts: a group's messages, each read by one member.
pub(crate) fn many(group: u64, receipts: u64) -> Callback {
    let list: Vec<Value> = (1..=receipts)
        .map(|seq| json!({ "MsgSeq": seq, "ReadReceiptMembers": [{ "Member_Account": "member" }] }))
        .collect();
    let body = json!({
        "CallbackCommand": "Group.CallbackAfterReadReceipt",
        "GroupId": format!("g{group}"),
        "Type": "Public",
        "GroupMsgReceiptList": list,
        "EventTime": "1760000000111",
    });
    let target =
        "/webhooks/tencent?SdkAppid=1400000000&CallbackCommand=Group.CallbackAfterReadReceipt".to_owned();
    Callback { target, body: body.to_string() }
}

fn seqs(events: &[Event]) -> Vec<i64> {
    let receipts = events.iter().filter(|event| event.name == "receipt");
    receipts.map(|event| event.data["message_seq"].as_i64().unwrap()).collect()
}

fn numbers(events: &[Event]) -> Vec<u64> {
    let callbacks = events.iter().filter(|event| event.name == "callback");
    callbacks.map(|event| event.data["number"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_is_told_as_it_comes() {
    let house = House::start(&demo()).await;
    post(&house, &openim(1)).await;
    let mut both = Listener::open(house.admin, "", None).await;
    let mut old = Listener::open(house.admin, "from=start", None).await;
    let mut bad = Listener::open(house.admin, "events=callback&vendor=easemob", None).await;
    let mut mine = Listener::open(house.admin, "events=receipt&vendor=openim&app=demo", None).await;
    assert_eq!(post(&house, &easemob_signed_with(1, "test-only-wrong")).await, 401);
    assert_eq!(post(&house, &tencent(5)).await, 200);
    assert_eq!(post(&house, &openim(2)).await, 200);

    let events = both.some(5).await;
    let stored = house.receipts().await;
    let told: Vec<&Value> =
        events.iter().filter(|event| event.name == "receipt").map(|event| &event.data).collect();
    assert_eq!(told, [&stored[1], &stored[2]], "it begins now, and a receipt is as it is");
    assert_eq!(numbers(&events), [2, 3, 4]);
    let refused = events.iter().find(|event| event.data["number"] == 2).unwrap();
    assert_eq!(
        (&refused.data["outcome"], &refused.data["reason"]),
        (&json!("rejected"), &json!("bad_signature"))
    );
    let listed: Value = serde_json::from_str(&house.get("/api/v1/callbacks?order=asc").await.body).unwrap();
    assert_eq!(refused.data, listed["callbacks"][1], "as in the list");

    let events = old.some(7).await;
    assert_eq!((seqs(&events[..1]), numbers(&events)), (vec![1], vec![1, 2, 3, 4]));
    assert_eq!(bad.next().await.data["number"], 2);
    assert_eq!(seqs(&mine.some(1).await), [2]);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_away_goes_on_where_it_was() {
    let house = House::start(&demo()).await;
    let mut listener = Listener::open(house.admin, "", None).await;
    let place = listener.any().await.unwrap();
    assert_eq!(place.name, "", "where it begins, before anything has happened");
    drop(listener);
    for number in 1..=150 {
        post(&house, &openim(number)).await;
    }
    let mut listener = Listener::open(house.admin, "", Some(&place.id)).await;
    let events = listener.some(300).await;
    assert_eq!(seqs(&events), (1..=150).collect::<Vec<_>>());
    assert_eq!(numbers(&events), (1..=150).collect::<Vec<_>>());
    drop(listener);
    // From each of its events on comes what is behind it, of both kinds.
    for at in [0, 99, 150, 222, 298] {
        let (seen, rest) = events.split_at(at + 1);
        let mut listener = Listener::open(house.admin, "", Some(&seen[at].id)).await;
        let again = listener.some(rest.len()).await;
        assert_eq!([seqs(seen), seqs(&again)].concat(), (1..=150).collect::<Vec<_>>(), "behind event {at}");
        assert_eq!([numbers(seen), numbers(&again)].concat(), (1..=150).collect::<Vec<_>>());
    }
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_leaves_no_gap_and_repeats_nothing() {
    let house = House::start(&demo()).await;
    let mut listener = Listener::open(house.admin, "", None).await;
    for number in 1..=5 {
        post(&house, &openim(number)).await;
    }
    let events = listener.some(10).await;
    for number in 6..=8 {
        post(&house, &openim(number)).await;
    }
    // It ends by itself with the service; what it told until then counts as seen.
    house.stop();
    let mut seen = events;
    while let Some(event) = listener.any().await {
        seen.extend(Some(event).filter(|event| !event.name.is_empty()));
    }
    let dir = house.ended().await;
    let again = config(dir.path(), &demo());
    let house = House::start_in(dir, again).await;
    for number in 9..=12 {
        post(&house, &openim(number)).await;
    }
    let mut listener = Listener::open(house.admin, "", Some(&seen.last().unwrap().id)).await;
    let skipped = listener.next().await;
    assert_eq!((&*skipped.name, skipped.data), ("skipped", json!({ "callbacks": null })));
    let rest = listener.some(4 + 12 - seqs(&seen).len()).await;
    assert_eq!([seqs(&seen), seqs(&rest)].concat(), (1..=12).collect::<Vec<_>>());
    assert_eq!(numbers(&rest), [1, 2, 3, 4], "those of this run");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_and_with_broken_connections_every_event_comes_once() {
    const EACH: u64 = 150;
    let house = House::start(&demo()).await;
    let mut place = Listener::open(house.admin, "", None).await.any().await.unwrap().id;
    let mut posting = JoinSet::new();
    for worker in 0..4 {
        let public = house.public;
        posting.spawn(async move {
            for number in 0..EACH {
                let Callback { target, body } = openim(worker * EACH + number + 1);
                let reply = exchange(public, Method::POST, &target, &[], body.into_bytes()).await;
                assert_eq!(reply.status, 200);
            }
        });
    }
    let total = usize::try_from(4 * EACH).unwrap();
    let (mut seen, mut breaks) = (Vec::new(), 0);
    while seen.len() < 2 * total {
        let mut listener = Listener::open(house.admin, "", Some(&place)).await;
        for _ in 0..(2 * total - seen.len()).min(97) {
            seen.push(listener.next().await);
        }
        place = seen.last().unwrap().id.clone();
        breaks += 1;
    }
    posting.join_all().await;
    assert!(breaks > 10);
    assert_eq!(numbers(&seen), (1..=4 * EACH).collect::<Vec<_>>());
    let in_journal: Vec<Value> = house.receipts().await;
    let told: Vec<Value> =
        seen.into_iter().filter(|event| event.name == "receipt").map(|event| event.data).collect();
    assert_eq!(told, in_journal);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callbacks_that_the_log_has_lost_are_told() {
    let house = House::start(&format!("{}\n[callback_log]\nmax_entries = 3\n", demo())).await;
    let place = Listener::open(house.admin, "events=callback", None).await.any().await.unwrap().id;
    for number in 1..=10 {
        post(&house, &openim(number)).await;
    }
    let mut listener = Listener::open(house.admin, "events=callback", Some(&place)).await;
    let events = listener.some(4).await;
    assert_eq!((&*events[0].name, &events[0].data), ("skipped", &json!({ "callbacks": 7 })));
    assert_eq!(numbers(&events), [8, 9, 10]);
    let mut behind = Listener::open(house.admin, "events=callback", Some(&events[0].id)).await;
    assert_eq!(numbers(&behind.some(3).await), [8, 9, 10], "what is told to be lost is told once");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_that_retention_has_taken_are_told() {
    use readhook::config::JournalConfig;
    use readhook::journal::Journal;
    use readhook::metrics::Metrics;
    use readhook::receipt::Timestamp;
    let house = House::start(&demo()).await;
    post(&house, &openim(1)).await;
    let mut listener = Listener::open(house.admin, "events=receipt&from=start", None).await;
    let place = listener.next().await.id;
    drop(listener);
    for number in 2..=6 {
        post(&house, &openim(number)).await;
    }
    let dir = house.end().await;
    let settings =
        JournalConfig { path: dir.path().join("readhook.db"), retention_days: 30, reserve_bytes: 0 };
    let journal = Journal::open(&settings, &Metrics::new().unwrap()).unwrap();
    let future = Timestamp::parse_rfc3339("2999-01-01T00:00:00Z").unwrap();
    assert_eq!(journal.prune(future, vec!["events".to_owned()], i64::MAX, 4).await.unwrap(), 4);
    journal.close().await;
    drop(journal);
    let again = config(dir.path(), &demo());
    let house = House::start_in(dir, again).await;
    let mut listener = Listener::open(house.admin, "events=receipt", Some(&place)).await;
    let events = listener.some(3).await;
    assert_eq!((&*events[0].name, &events[0].data), ("skipped", &json!({ "receipts": 3 })));
    assert_eq!(seqs(&events), [5, 6]);
    let mut fresh = Listener::open(house.admin, "events=receipt&from=start", None).await;
    assert_eq!(seqs(&fresh.some(2).await), [5, 6], "to who has seen nothing, nothing is missing");
    house.stop();
    house.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_an_end_to_how_many_there_may_be() {
    let house = House::start(&demo()).await;
    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(Listener::open(house.admin, "", None).await);
    }
    let full = house.get("/api/v1/stream").await;
    assert_eq!(
        (full.status, &full.headers["content-type"]),
        (503, &"application/problem+json".parse().unwrap())
    );
    assert_eq!(house.get("/api/v1/callbacks").await.status, 200, "the rest goes on");
    drop(open);
    let free = async || {
        let stream = TcpStream::connect(house.admin).await.unwrap();
        let mut raw = crate::raw::Raw::over(stream);
        raw.send("GET /api/v1/stream HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        raw.answer().await.unwrap().status == 200
    };
    timeout(PATIENCE, async { while !free().await {} }).await.unwrap();
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_who_listens_nor_who_does_not_read_holds_up_the_end() {
    let house = House::start(&demo()).await;
    for group in 0..3 {
        assert_eq!(post(&house, &many(group, 9_000)).await, 200);
    }
    let mut listener = Listener::open(house.admin, "", None).await;
    listener.any().await.unwrap();
    // More than all buffers on the way hold, and not a byte of it is read.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut deaf = socket.connect(house.admin).await.unwrap();
    deaf.write_all(b"GET /api/v1/stream?from=start HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    deaf.readable().await.unwrap();
    let delivered = async || house.metric("readhook_sink_lag_receipts{sink=\"events\"}").await < 0.5;
    timeout(PATIENCE, async { while !delivered().await {} }).await.unwrap();
    house.stop();
    // A client that is silent has two minutes otherwise.
    house.ended().await;
    while listener.any().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_journal_there_are_callbacks() {
    let house = House::start(&format!("{}\n[delivery]\nack_after = \"sinks\"\n", demo())).await;
    let mut listener = Listener::open(house.admin, "", None).await;
    assert_eq!(post(&house, &openim(1)).await, 200);
    let event = listener.next().await;
    assert_eq!((&*event.name, &event.data["outcome"]), ("callback", &json!("accepted")));
    assert_eq!(house.get("/api/v1/stream?events=receipt").await.status, 409);
    assert_eq!(house.get("/api/v1/sinks/events/dead-letters").await.status, 409);
    let one: Value = serde_json::from_str(&house.get("/api/v1/callbacks/1").await.body).unwrap();
    assert_eq!(one["sinks"], json!([{ "name": "events", "delivered": true, "dead_letters": 0 }]));
    house.stop();
    house.ended().await;
}
