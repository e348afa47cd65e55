//! Nothing that was answered as accepted is missing and nothing is there twice: whatever the vendor does to the
//! connection, and whatever happens to the process.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::Method;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::house::{House, PATIENCE, config, delivered, demo, exchange};
use crate::process::{Process, write_config};
use crate::vendor::{Callback, easemob, openim, rongcloud, tencent};

pub(crate) fn any_vendor(number: u64) -> Callback {
    match number % 4 {
        0 => easemob(number),
        1 => tencent(number),
        2 => openim(number),
        _ => rongcloud(number),
    }
}

/// The number that a callback of [`any_vendor`] was made with, from its receipt.
pub(crate) fn number(receipt: &Value) -> u64 {
    let text = |field: &str| receipt[field].as_str().unwrap();
    match text("vendor") {
        "easemob" => text("message_id").strip_prefix('9').unwrap().parse().unwrap(),
        "openim" => receipt["message_seq"].as_u64().unwrap(),
        "rongcloud" => text("event_id").strip_prefix("UID-").unwrap().parse().unwrap(),
        _ => {
            let moment: jiff::Timestamp = text("up_to_time").parse().unwrap();
            moment.as_second().cast_unsigned()
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_hangs_up_undoes_nothing_and_doubles_nothing() {
    let house = House::start(&demo()).await;
    for number in 0..50 {
        let Callback { target, body } = easemob(number);
        let mut stream = TcpStream::connect(house.public).await.unwrap();
        let request =
            format!("POST {target} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        // Every other one hangs up in the middle of its body.
        let sent = if number % 2 == 0 { request.len() } else { request.len() - 20 };
        stream.write_all(&request.as_bytes()[..sent]).await.unwrap();
        drop(stream);
    }
    // Those that came in whole may each be stored or not, for nobody was told; sent again, each is there once.
    for number in (0..50).step_by(2) {
        let Callback { target, body } = easemob(number);
        assert_eq!(house.post(&target, &[], body.as_bytes()).await.status, 200);
    }
    let numbers: BTreeSet<u64> = house.receipts().await.iter().map(number).collect();
    assert_eq!(numbers, (0..50).step_by(2).collect());
    assert_eq!(house.receipts().await.len(), 25);
    house.end().await;
}

#[test]
fn tasks_that_are_dropped_lose_nothing_that_was_answered() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dir = runtime.block_on(async {
        let house = House::start(&demo()).await;
        for number in 0..40 {
            let Callback { target, body } = any_vendor(number);
            assert_eq!(house.post(&target, &[], body.as_bytes()).await.status, 200);
        }
        house.leave()
    });
    // Every task is dropped where it stands, the dispatcher too.
    runtime.shutdown_timeout(PATIENCE);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let config = config(dir.path(), &demo());
        let house = House::start_in(dir, config).await;
        let receipts = house.receipts().await;
        assert_eq!(receipts.iter().map(number).collect::<Vec<_>>(), (0..40).collect::<Vec<_>>());
        house.stop();
        let dir = house.ended().await;
        // What it got in the last moment before the crash, a sink may get again.
        let got: BTreeSet<u64> = delivered(dir.path()).iter().map(number).collect();
        assert_eq!(got, (0..40).collect(), "the sink has all");
    });
}

/// Posts from several connections until they break, and gives the numbers that were answered 200.
pub(crate) async fn load(
    process: &Process,
    next: &Arc<AtomicU64>,
    connections: usize,
) -> JoinSet<BTreeSet<u64>> {
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        let (address, next) = (process.public, next.clone());
        clients.spawn(async move {
            let mut acknowledged = BTreeSet::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Callback { target, body } = any_vendor(number);
                match try_post(address, &target, body).await {
                    Some(200) => acknowledged.insert(number),
                    _ => return acknowledged,
                };
            }
        });
    }
    clients
}

pub(crate) async fn try_post(address: std::net::SocketAddr, target: &str, body: String) -> Option<u16> {
    use http_body_util::Full;
    use hyper_util::rt::TokioIo;
    let stream = TcpStream::connect(address).await.ok()?;
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    let request =
        http::Request::post(target).header("host", "x").body(Full::new(bytes::Bytes::from(body))).ok()?;
    let answer = async {
        let response = client.send_request(request).await;
        drop(client);
        response
    };
    let (response, _) = tokio::join!(answer, connection);
    Some(response.ok()?.status().as_u16())
}

/// `READHOOK_CRASH_ROUNDS` sets how often; the rounds grow one journal.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_has_everything_that_it_answered_once() {
    let rounds: u64 = std::env::var("READHOOK_CRASH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let dir = tempfile::tempdir().unwrap();
    let file = write_config(dir.path());
    let next = Arc::new(AtomicU64::new(1));
    let mut acknowledged = BTreeSet::new();
    for round in 0..rounds {
        let process = Process::start(&file);
        let begun = next.load(Ordering::Relaxed);
        let mut clients = load(&process, &next, 8).await;
        // Killed after some more callbacks than in the round before, so at no particular place.
        let enough = begun + 200 + 37 * (round % 11);
        timeout(PATIENCE, async {
            while next.load(Ordering::Relaxed) < enough {
                tokio::task::yield_now().await
            }
        })
        .await
        .unwrap();
        process.kill();
        while let Some(numbers) = clients.join_next().await {
            acknowledged.extend(numbers.unwrap());
        }
    }
    let mut process = Process::start(&file);
    let stored = stored(&process).await;
    let numbers: Vec<u64> = stored.iter().map(number).collect();
    let unique: BTreeSet<u64> = numbers.iter().copied().collect();
    assert_eq!(acknowledged.difference(&unique).count(), 0, "acknowledged and not stored");
    assert_eq!(numbers.len(), unique.len(), "stored twice");
    assert!(acknowledged.len() > 100 * usize::try_from(rounds).unwrap(), "the load was a load");
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
    let ids = |receipts: &[Value]| {
        receipts.iter().map(|r| r["id"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    assert_eq!(ids(&delivered(dir.path())), ids(&stored), "the sink's file is complete");
}

pub(crate) async fn stored(process: &Process) -> Vec<Value> {
    let (mut receipts, mut cursor) = (Vec::new(), String::new());
    loop {
        let target = format!("/api/v1/receipts?limit=1000{cursor}");
        let reply = exchange(process.admin, Method::GET, &target, &[], Vec::new()).await;
        let page: Value = serde_json::from_str(&reply.body).unwrap();
        receipts.extend(page["receipts"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return receipts,
        }
    }
}
