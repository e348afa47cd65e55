//! No fault loses a receipt, turns two around, or parks one that was not refused.

use std::sync::Arc;

use readhook::config::SinkConfig;
use readhook::dispatch::Dispatcher;
use readhook::sink::open;
use serde_json::Value;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::receiver::{Act, Receiver};
use super::{batch, config, retry, sink};
use crate::endurance::{self, complete};
use crate::house::PATIENCE;
use crate::wire::Wire;

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_half_way_is_tried_again_on_a_new_connection() {
    let faults = [
        (Act::Hold, "timed out"),
        (Act::HangUp, ""),
        (Act::CutAnswer, ""),
        (Act::Drip, "timed out"),
        (Act::answer("500 Internal Server Error", "oops"), "answered 500: oops"),
    ];
    for (fault, words) in faults {
        let receiver = Receiver::new([Act::ok(), Act::ok(), fault.clone()]).await;
        let sink = sink(&receiver.url(), "timeout_ms = 1000");
        let batch = batch(4);
        let (done, why, after) = retry(sink.deliver(&batch).await);
        assert_eq!((done, after), (2, None), "{fault:?}");
        assert!(why.contains(words), "{fault:?} gives {why:?}");
        sink.deliver(&batch[done..]).await.unwrap();
        let requests = receiver.requests();
        let ids: Vec<&str> = requests.iter().map(|request| request.header("webhook-id")).collect();
        assert_eq!(ids.len(), 5, "{fault:?}: nothing is sent again behind our back");
        assert_eq!(ids[2], ids[3]);
        assert_ne!(requests[2].connection, requests[3].connection, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_hangs_up_while_a_batch_goes_out_gets_it_again() {
    let receiver = Receiver::new([Act::HangUp]).await;
    let sink = sink(&receiver.url(), "mode = \"batch\"");
    let mut batch = batch(20);
    for stored in &mut batch {
        let mut fat: Value = serde_json::from_str(&stored.json).unwrap();
        fat["extra"]["fat"] = "x".repeat(1 << 20).into();
        stored.json = fat.to_string().into();
    }
    retry(sink.deliver(&batch).await);
    sink.deliver(&batch).await.unwrap();
    assert_eq!(receiver.numbers(), (1..=20).collect::<Vec<u64>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_is_let_go_of() {
    let receiver = Receiver::new([Act::Endless]).await;
    let sink = sink(&receiver.url(), "");
    sink.deliver(&batch(2)).await.unwrap();
    let requests = receiver.requests();
    assert_eq!((requests.len(), receiver.numbers().len()), (2, 2));
    assert_ne!(requests[0].connection, requests[1].connection);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_is_dropped_leaves_nothing_behind() {
    let receiver = Receiver::new([Act::Hold]).await;
    let sink = sink(&receiver.url(), "");
    let batch = batch(2);
    tokio::select! {
        biased;
        delivered = sink.deliver(&batch) => panic!("{delivered:?}"),
        () = receiver.until_requests(1) => {}
    }
    sink.deliver(&batch).await.unwrap();
    let requests = receiver.requests();
    assert_eq!(receiver.numbers(), [1, 2]);
    assert_ne!(requests[0].connection, requests[1].connection);
}

/// Lets a dispatcher deliver receipts 1 to `count`. Returns its dead letters.
async fn dispatched(config: SinkConfig, count: u64) -> Vec<(String, i64)> {
    let (letters, cursor) = dispatched_until_it_ends(config, count).await;
    assert_eq!(cursor, count.cast_signed());
    letters
}

/// The same, and how far it came.
async fn dispatched_until_it_ends(config: SinkConfig, count: u64) -> (Vec<(String, i64)>, i64) {
    let (journal, metrics, _dir) = endurance::journal(count).await;
    let sink = open(&config).unwrap();
    let dispatcher = Dispatcher {
        name: "s".to_owned(),
        config,
        sink,
        journal: journal.clone(),
        metrics: metrics.clone(),
        standing: Arc::default(),
    };
    let stop = CancellationToken::new();
    // It ends when it has delivered everything.
    stop.cancel();
    let (_handle, orders) = dispatcher.handle();
    timeout(PATIENCE * 3, dispatcher.run(orders, stop, CancellationToken::new())).await.unwrap();
    (journal.dead_letters().await.unwrap(), journal.cursor("s", 0).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn through_all_faults_every_receipt_arrives_in_order_and_the_refused_are_parked() {
    let bad = |status: &str| Act::answer(status, "no");
    let faults = [
        Act::HangUp,
        Act::CutAnswer,
        bad("500 Internal Server Error"),
        bad("429 Too Many Requests\r\nretry-after: 1"),
        Act::Hold,
        bad("302 Found\r\nlocation: /elsewhere"),
        Act::Drip,
        bad("401 Unauthorized"),
        Act::Endless,
        bad("503 Service Unavailable\r\nretry-after: Sun, 06 Nov 1994 08:49:37 GMT"),
        Act::CutAnswer,
    ];
    let refused: [u64; 4] = [30, 31, 64, 200];
    for mode in ["single", "batch"] {
        // Not too many at once, for pauses between tries of one batch grow.
        let peace = if mode == "single" { 6 } else { 3 };
        let script = faults
            .iter()
            .flat_map(|fault| std::iter::once(fault.clone()).chain(std::iter::repeat_n(Act::ok(), peace)));
        let receiver = Receiver::judging(script, move |events| {
            let is_refused =
                |event: &Value| refused.contains(&event["data"]["message_seq"].as_u64().unwrap());
            if events.iter().any(is_refused) { Act::answer("422 X", "never") } else { Act::ok() }
        })
        .await;
        let config = config(&receiver.url(), &format!("mode = \"{mode}\"\nbatch = 5\ntimeout_ms = 1000"));
        assert_eq!(dispatched(config, 200).await, [("s".to_owned(), 4)], "{mode}");
        let mut first = Vec::new();
        for number in receiver.numbers() {
            if !first.contains(&number) {
                first.push(number);
            }
        }
        let expected: Vec<u64> = (1..=200).filter(|number| !refused.contains(number)).collect();
        assert_eq!(first, expected, "{mode}");
        assert!(receiver.numbers().len() > expected.len(), "some answers were lost, so some came again");
        assert!(receiver.has_done_its_script());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_gone_for_good_pauses_the_sink_and_nothing_is_dropped() {
    let receiver = Receiver::judging([], |events| {
        if events.iter().any(|event| event["data"]["message_seq"].as_u64() > Some(20)) {
            Act::answer("410 Gone", "")
        } else {
            Act::ok()
        }
    })
    .await;
    let config = config(&receiver.url(), "mode = \"batch\"\nbatch = 10");
    let (letters, cursor) = dispatched_until_it_ends(config, 50).await;
    assert_eq!((letters.len(), cursor), (0, 20), "the rest waits in the journal");
    assert_eq!(receiver.requests().len(), 3, "what is gone is asked once");
}

#[tokio::test(flavor = "multi_thread")]
async fn endures() {
    let mut receiver = Receiver::new([]).await;
    let wire = Wire::to(receiver.address).await;
    let config =
        config(&format!("http://{}/hook", wire.address), "mode = \"batch\"\nbatch = 100\ntimeout_ms = 2000");
    endurance::endures(config, &wire, async || {
        receiver.restart().await;
        wire.lead_to(receiver.address);
    })
    .await;
    let repeats = complete(&receiver.taken(), endurance::RECEIPTS);
    assert!(repeats <= 6 * 100, "{repeats} repeats are more than a batch for each fault");
}
