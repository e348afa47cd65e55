//! The http sink against an endpoint that does as it is told. Here: what goes out, and what errors and
//! settings say.

mod answers;
mod faults;
mod receiver;
mod service;
mod tls;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use readhook::config::SinkConfig;
use readhook::journal::Stored;
use readhook::sink::{DeliverError, Sink, open};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use standardwebhooks::Webhook;

use self::receiver::{Act, Receiver, Request};
use crate::endurance::{receipt, sink_config};
use crate::servers::free_address;

const OLD: &str = "whsec_b2xkIG9sZCBvbGQgb2xkIG9sZCBvbGQgb2xk";
const NEW: &str = "bmV3IG5ldyBuZXcgbmV3IG5ldyBuZXcgbmV3IQ==";

fn config(url: &str, more: &str) -> SinkConfig {
    sink_config(&format!("type = \"http\"\nurl = \"{url}\"\n{more}"))
}

fn sink(url: &str, more: &str) -> Arc<dyn Sink> {
    open(&config(url, more)).unwrap()
}

/// Receipts 1 to `count`.
fn batch(count: u64) -> Vec<Stored> {
    (1..=count)
        .map(|number| Stored {
            seq: number.cast_signed(),
            received_at: 1_767_323_045_678,
            json: receipt(number).to_string().into(),
            trace: None,
        })
        .collect()
}

/// How many are done, the error, and the pause that was asked for.
fn retry(delivered: Result<(), DeliverError>) -> (usize, String, Option<Duration>) {
    match delivered {
        Err(DeliverError::Retry { done, why, after }) => (done, why.to_string(), after),
        other => panic!("should be tried again: {other:?}"),
    }
}

fn rejected(delivered: Result<(), DeliverError>) -> (std::ops::Range<usize>, String) {
    match delivered {
        Err(DeliverError::Reject { refused, why }) => (refused, why.to_string()),
        other => panic!("should be refused: {other:?}"),
    }
}

/// How many are done, and the reason for which nothing more is to be sent.
fn halted(delivered: Result<(), DeliverError>) -> (usize, String) {
    match delivered {
        Err(DeliverError::Halt { done, why }) => (done, why.to_string()),
        other => panic!("nothing more should be sent: {other:?}"),
    }
}

fn assert_is_event(event: &Value, number: u64) {
    let id = format!("{number:032x}");
    let conversation = format!("g.{number} *");
    let expected = json!({
        "specversion": "1.0",
        "id": id,
        "source": "/readhook/easemob/1122334455%23demo",
        "type": "readhook.receipt.v1",
        "time": "2026-01-02T03:04:05.678Z",
        "subject": conversation,
        "datacontenttype": "application/json",
        "partitionkey": format!("easemob/1122334455#demo/group/{conversation}"),
        "data": receipt(number),
    });
    assert_eq!(*event, expected);
}

fn assert_is_signed_by(request: &Request, secret: &str) {
    Webhook::new(secret).unwrap().verify(&request.body, &request.headers).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_receipt_goes_out_as_a_signed_event_of_its_own_in_order() {
    let receiver = Receiver::new([]).await;
    let sink = sink(&receiver.url(), &format!("secrets = [\"{OLD}\", \"{NEW}\"]\ntoken = \"t0ken\""));
    sink.deliver(&batch(3)).await.unwrap();
    let requests = receiver.requests();
    assert_eq!(requests.len(), 3);
    for (number, request) in (1..).zip(&requests) {
        assert_eq!(request.line, "POST /hook");
        assert_eq!(request.header("content-type"), "application/cloudevents+json; charset=utf-8");
        assert_eq!(request.header("webhook-id"), format!("{number:032x}"));
        assert_eq!(request.header("authorization"), "Bearer t0ken");
        assert_is_event(&serde_json::from_slice(&request.body).unwrap(), number);
        let stored = receipt(number).to_string();
        assert!(String::from_utf8_lossy(&request.body).contains(&stored), "byte for byte");
        assert_eq!(request.header("webhook-signature").split(' ').count(), 2);
        assert_is_signed_by(request, OLD);
        assert_is_signed_by(request, NEW);
        assert!(Webhook::new("b3RoZXI=").unwrap().verify(&request.body, &request.headers).is_err());
    }
    // The client puts a connection back beside us, so now and then the next request finds it a moment too early.
    let connections: BTreeSet<usize> = requests.iter().map(|request| request.connection).collect();
    assert!(connections.len() < requests.len(), "connections are used again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_goes_out_as_one_signed_request_and_is_known_when_it_comes_again() {
    let receiver = Receiver::new([]).await;
    let sink = sink(&receiver.url(), &format!("mode = \"batch\"\nsecrets = [\"{NEW}\"]"));
    sink.deliver(&batch(5)).await.unwrap();
    sink.deliver(&batch(5)).await.unwrap();
    sink.deliver(&batch(4)).await.unwrap();
    let requests = receiver.requests();
    assert_eq!(requests.len(), 3);
    let first = &requests[0];
    assert_eq!(first.header("content-type"), "application/cloudevents-batch+json; charset=utf-8");
    assert_is_signed_by(first, NEW);
    for (number, event) in (1..).zip(first.events()) {
        assert_is_event(&event, number);
    }
    assert_eq!(first.events().len(), 5);
    let ids: String = (1..=5).map(|number| format!("{number:032x}\n")).collect();
    assert_eq!(first.header("webhook-id"), hex::encode(&Sha256::digest(ids)[..16]));
    assert_eq!(first.header("webhook-id"), requests[1].header("webhook-id"));
    assert_ne!(first.header("webhook-id"), requests[2].header("webhook-id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_secrets_nothing_is_signed_and_a_user_in_the_url_is_shown() {
    let receiver = Receiver::new([]).await;
    let url = receiver.url().replace("http://", "http://ann:pa%20ss@");
    sink(&url, "").deliver(&batch(1)).await.unwrap();
    let request = &receiver.requests()[0];
    assert_eq!(request.header("webhook-signature"), "");
    assert_eq!(request.header("webhook-id"), format!("{:032x}", 1));
    assert!(request.header("webhook-timestamp").parse::<u64>().unwrap() > 1_700_000_000);
    assert_eq!(request.header("authorization"), "Basic YW5uOnBhIHNz");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_without_id_is_no_subject_and_an_unreadable_receipt_is_refused() {
    let receiver = Receiver::new([]).await;
    let mut batch = batch(3);
    let mut receipt = receipt(1);
    receipt["conversation"]["id"] = Value::Null;
    batch[0].json = receipt.to_string().into();
    batch[1].json = "{\"id\":".into();
    for mode in ["single", "batch"] {
        let sink = sink(&receiver.url(), &format!("mode = \"{mode}\""));
        assert_eq!(rejected(sink.deliver(&batch).await).0, 1..2);
        let event = receiver.requests().last().unwrap().events().remove(0);
        assert_eq!(event.get("subject"), None);
        assert_eq!(event["partitionkey"], "easemob/1122334455#demo/group/");
    }
    assert_eq!(receiver.numbers(), [1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_say_what_is_wrong_and_keep_secrets() {
    let nobody = free_address();
    let sink = sink(&format!("http://ann:hunter2@{nobody}/hunter3?key=hunter4"), "");
    let why = retry(sink.deliver(&batch(1)).await).1;
    let probed = sink.probe().await.unwrap_err().to_string();
    for words in [why, probed] {
        assert!(words.contains("refused"), "{words}");
        assert!(!words.contains("hunter") && !words.contains("ann"), "{words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_wants_an_answer_and_delivers_nothing() {
    let receiver = Receiver::new([Act::answer("405 Method Not Allowed", ""), Act::Hold]).await;
    let sink = sink(&receiver.url(), "timeout_ms = 1000");
    sink.probe().await.unwrap();
    let request = &receiver.requests()[0];
    assert_eq!((request.line.as_str(), request.body.len()), ("OPTIONS /hook", 0));
    assert!(sink.probe().await.unwrap_err().to_string().contains("timed out"));
}

#[test]
fn settings_of_no_use_are_named_and_not_shown() {
    let refusal = |section: &str| {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("readhook.toml");
        let text = format!("[sinks.s]\ntype = \"http\"\n{section}");
        std::fs::write(&file, text).unwrap();
        readhook::config::load(Some(&file), &Default::default()).map(|_| ()).unwrap_err().to_string()
    };
    let url = "url = \"http://h/\"\n";
    for (section, words) in [
        (String::new(), ["sinks.s.url", "required"]),
        ("url = \"ftp://hunter2@h/\"".to_owned(), ["sinks.s.url", "https://"]),
        (format!("{url}secrets = [\"hunter2!\"]"), ["sinks.s.secrets", "base64"]),
        (format!("{url}secrets = [\"{NEW}\", \"whsec_\"]"), ["sinks.s.secrets", "base64"]),
        (format!("{url}secrets = [\"\"]"), ["sinks.s.secrets", "empty"]),
        (format!("{url}token = \"hunter2 \""), ["sinks.s.token", "ASCII"]),
        (format!("{url}token = \"\""), ["sinks.s.token", "empty"]),
        ("url = \"http://ann:hunter2@h/\"\ntoken = \"hunter2\"".to_owned(), ["sinks.s.token", "not both"]),
        (format!("{url}mode = \"bulk\""), ["sinks.s.mode", "bulk"]),
        (format!("{url}timeout_ms = 0"), ["sinks.s.timeout_ms", "0"]),
    ] {
        let error = refusal(&section);
        assert!(words.iter().all(|word| error.contains(word)), "{section:?} gives {error:?}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let shown = format!("{:?}", config("http://h/", &format!("secrets = [\"{NEW}\"]")));
    assert!(shown.contains("<28 bytes>") && !shown.contains("new"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cloud_events_forbids_in_texts_is_only_in_the_data() {
    for mode in ["single", "batch"] {
        let receiver = Receiver::new([]).await;
        let mut odd = receipt(1);
        odd["conversation"]["id"] = "a\u{1}b\u{ffff}\u{7f}\u{fdd0}\u{9f}ä".into();
        let stored = Stored { seq: 1, received_at: 1, json: odd.to_string().into(), trace: None };
        sink(&receiver.url(), &format!("mode = \"{mode}\"")).deliver(&[stored]).await.unwrap();
        let body: Value = serde_json::from_slice(&receiver.requests()[0].body).unwrap();
        let event = if mode == "batch" { &body[0] } else { &body };
        let plain = "a\u{fffd}b\u{fffd}\u{fffd}\u{fffd}\u{fffd}ä";
        assert_eq!(event["subject"], plain);
        assert_eq!(event["partitionkey"], format!("easemob/1122334455#demo/group/{plain}"));
        assert_eq!(event["data"], odd, "the data has it as it came");
    }
}
