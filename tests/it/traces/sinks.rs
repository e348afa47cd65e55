//! How each sink hands a trace on; `http` is what the others here deliver to.

use readhook::journal::Stored;
use readhook::receipt::TraceContext;

use crate::endurance::receipt;

const CONTEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A receipt that is followed, and one that is not.
fn batch() -> Vec<Stored> {
    let stored = |number: u64, trace| Stored {
        seq: number.cast_signed(),
        received_at: 1_767_323_045_678,
        json: receipt(number).to_string().into(),
        trace,
    };
    vec![stored(1, TraceContext::parse(CONTEXT)), stored(2, None)]
}

#[cfg(feature = "sink-nats")]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn nats_has_a_header() {
    use futures_util::StreamExt;

    let dir = tempfile::tempdir().unwrap();
    let server = crate::servers::nats(dir.path()).await;
    let config = crate::endurance::sink_config(&format!("type = 'nats'\nurl = 'nats://{}'", server.address));
    let sink = readhook::sink::open(&config).unwrap();
    // What makes the stream.
    sink.probe().await.unwrap();
    let client = crate::sink_nats::plain(server.address).await;
    let mut messages = client.subscribe("readhook.>").await.unwrap();
    client.flush().await.unwrap();
    sink.deliver(&batch()).await.unwrap();
    let mut next = async || messages.next().await.unwrap().headers.unwrap();
    assert_eq!(next().await.get("traceparent").map(async_nats::HeaderValue::as_str), Some(CONTEXT));
    assert!(next().await.get("traceparent").is_none());
}

#[cfg(feature = "sink-redis")]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn redis_has_a_field() {
    use redis::streams::StreamRangeReply;

    let dir = tempfile::tempdir().unwrap();
    let server = crate::servers::redis(dir.path()).await;
    let url = format!("redis://{}", server.address);
    let sink =
        readhook::sink::open(&crate::endurance::sink_config(&format!("type = 'redis'\nurl = '{url}'")));
    sink.unwrap().deliver(&batch()).await.unwrap();
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let all: StreamRangeReply =
        redis::cmd("XRANGE").arg("readhook").arg("-").arg("+").query_async(&mut connection).await.unwrap();
    let [followed, other] = &all.ids[..] else { panic!("{all:?}") };
    assert_eq!(followed.get::<String>("traceparent").as_deref(), Some(CONTEXT));
    assert_eq!((followed.map.len(), other.map.len()), (5, 4), "{all:?}");
}
