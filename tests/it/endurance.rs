//! What every sink on a network must bear: 20,000 receipts while its connection is cut and stalled and its server is
//! killed. All must be there, each id once after dedupe by id, in order per conversation.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use readhook::config::{Environment, JournalConfig, SinkConfig, load};
use readhook::dispatch::Dispatcher;
use readhook::journal::{Entry, Journal};
use readhook::metrics::Metrics;
use readhook::receipt::{Scope, VendorName};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::wire::Wire;

pub(crate) const RECEIPTS: u64 = 20_000;
const CONVERSATIONS: u64 = 61;
/// Nothing of this takes long, but two cores may have other things to do.
pub(crate) const ENOUGH: Duration = Duration::from_secs(240);

/// A sink's configuration from its section, as TOML.
pub(crate) fn sink_config(section: &str) -> SinkConfig {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("readhook.toml");
    std::fs::write(&file, format!("[sinks.s]\n{section}")).unwrap();
    load(Some(&file), &Environment::new()).unwrap().sinks.remove("s").unwrap()
}

/// The receipt with a number: its conversation's messages are read in the order of their sequence.
pub(crate) fn receipt(number: u64) -> Value {
    json!({
        "id": format!("{number:032x}"),
        "vendor": "easemob",
        "app": "1122334455#demo",
        "conversation": { "type": "group", "id": format!("g.{} *", number % CONVERSATIONS) },
        "reader": format!("读者-{number}"),
        "scope": "message",
        "message_id": format!("m{number}"),
        "message_seq": number,
        "counts": { "read": 4, "unread": 15 },
        "read_at": null,
        "received_at": "2026-01-02T03:04:05.678Z",
        "verified_by": "md5",
        "event": "read_ack",
        "extra": { "group_type": "Public", "n": number },
    })
}

pub(crate) fn entry(receipt: &Value) -> Entry {
    Entry {
        id: crate::journal::id(None),
        by_event: false,
        received_at: 1_767_323_045_678,
        vendor: VendorName::Easemob,
        scope: Scope::Message,
        json: receipt.to_string().into(),
        trace: None,
    }
}

/// A journal with receipts 1 to `count`, and the folder that it lies in.
pub(crate) async fn journal(count: u64) -> (Journal, Metrics, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let metrics = Metrics::new().unwrap();
    let config = JournalConfig { path: dir.path().join("readhook.db"), retention_days: 0, reserve_bytes: 0 };
    let journal = Journal::open(&config, &metrics).unwrap();
    let numbers: Vec<u64> = (1..=count).collect();
    for numbers in numbers.chunks(2_000) {
        journal.commit(numbers.iter().map(|&number| entry(&receipt(number))).collect()).await.unwrap();
    }
    (journal, metrics, dir)
}

/// Delivers [`RECEIPTS`] through `wire`, which is cut four times and stalled once. `kill_and_restart` does that to the
/// server, once.
pub(crate) async fn endures(config: SinkConfig, wire: &Wire, kill_and_restart: impl AsyncFnOnce()) {
    let (journal, metrics, _dir) = journal(RECEIPTS).await;
    let sink = readhook::sink::open(&config).unwrap();
    let (stop, give_up) = (CancellationToken::new(), CancellationToken::new());
    let dispatcher = Dispatcher {
        name: "s".to_owned(),
        config,
        sink,
        journal: journal.clone(),
        metrics: metrics.clone(),
        standing: std::sync::Arc::default(),
    };
    let (_handle, orders) = dispatcher.handle();
    #[expect(clippy::disallowed_methods, reason = "waited for below")]
    let dispatching = tokio::spawn(dispatcher.run(orders, stop.clone(), give_up));
    let count = |result: &str| metrics.sink_deliveries.with_label_values(&["s", result]).get();
    // Looked at often and not waited for: the moment of a cut should fall into the midst of a batch.
    let until = async |what: &str, reached: &dyn Fn() -> bool| {
        timeout(ENOUGH, async {
            while !reached() {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("waited for {what}: ok {}, retry {}", count("ok"), count("retry")));
    };
    let failed_since = async |before: u64| until("a retry", &|| count("retry") > before).await;
    for progress in [1_000, 4_000, 7_000, 10_000] {
        until("progress", &|| count("ok") >= progress).await;
        let before = count("retry");
        wire.cut();
        failed_since(before).await;
        wire.mend();
    }
    until("progress", &|| count("ok") >= 13_000).await;
    let before = count("retry");
    wire.stall();
    failed_since(before).await;
    wire.mend();
    until("progress", &|| count("ok") >= 15_000).await;
    kill_and_restart().await;
    until("the end", &|| count("ok") >= RECEIPTS).await;
    stop.cancel();
    timeout(ENOUGH, dispatching).await.unwrap().unwrap();
    assert_eq!(journal.cursor("s", 0).await.unwrap(), RECEIPTS.cast_signed());
    assert_eq!(count("rejected"), 0);
    assert_eq!(count("ok"), RECEIPTS);
}

/// Whether what a destination has, in the order in which it would give it to a consumer, is all of 1 to `count`, each
/// once by id, every conversation in order. Returns how many repeats it holds.
pub(crate) fn complete(got: &[Value], count: u64) -> usize {
    let (mut ids, mut newest) = (BTreeSet::new(), BTreeMap::new());
    for got in got {
        let id = got["id"].as_str().unwrap().to_owned();
        if !ids.insert(id) {
            continue;
        }
        let number = got["message_seq"].as_u64().unwrap();
        assert_eq!(*got, receipt(number), "as it was committed");
        let before = newest.insert(got["conversation"]["id"].to_string(), number);
        assert!(before < Some(number), "{number} came after {before:?}");
    }
    assert_eq!(u64::try_from(ids.len()).unwrap(), count, "receipts that are there");
    got.len() - ids.len()
}
