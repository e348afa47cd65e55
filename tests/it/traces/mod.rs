//! Traces: a callback can be followed from its caller to what a sink's destination gets, also when a restart lies between;
//! no secret goes to the collector; and what nobody has asked for is not there.

mod collector;
mod sinks;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use http::Method;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use self::collector::{Collector, attribute, takes, traceparent};
use crate::house::{Reply, exchange, repository};
use crate::process::{Process, write_config_with};
use crate::servers::free_address;
use crate::upstream::{Got, Manner, Upstream};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
const TOKEN: &str = "test-only-path-token";

fn caller() -> String {
    format!("00-{TRACE}-{CALLER}-01")
}

fn ok() -> Manner {
    Manner::answer("200 OK", "", "")
}

/// The demo with an http sink, and OpenIM with a token in its path.
fn config(dir: &Path, receiver: &Upstream, more: &str) -> PathBuf {
    let sink = format!("[sinks.hook]\ntype = \"http\"\nurl = \"http://{}/\"\n{more}", receiver.address);
    let file = write_config_with(dir, &sink);
    let text = std::fs::read_to_string(&file).unwrap();
    let with_token = text.replace("allow_unauthenticated = true", &format!("path_tokens = [\"{TOKEN}\"]"));
    assert_ne!(text, with_token);
    std::fs::write(&file, with_token).unwrap();
    file
}

fn start(config: &Path, collector: &Collector, more: &[(&str, &str)]) -> Process {
    let environment = collector.environment();
    let environment = environment.iter().map(|(name, value)| (*name, value.as_str()));
    Process::start_with(config, &environment.chain(more.iter().copied()).collect::<Vec<_>>())
}

async fn post(process: &Process, target: &str, traceparent: Option<&str>, fixture: &str) -> Reply {
    let body = std::fs::read(repository("fixtures").join(fixture)).unwrap();
    let headers: Vec<_> = traceparent.map(|value| ("traceparent", value)).into_iter().collect();
    exchange(process.public, Method::POST, target, &headers, body).await
}

async fn easemob(process: &Process, traceparent: Option<&str>) -> Reply {
    post(process, "/webhooks/easemob", traceparent, "easemob/group-read/body.json").await
}

/// In good order, so that everything is with the collector that ever will be.
fn end(mut process: Process) {
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
}

fn event(got: &Got) -> serde_json::Value {
    serde_json::from_slice(&got.body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_can_be_followed_from_its_caller_to_the_sinks_destination() {
    let (collector, receiver) = (Collector::start().await, Upstream::start(ok()).await);
    let dir = tempfile::tempdir().unwrap();
    let process = start(&config(dir.path(), &receiver, ""), &collector, &[]);
    assert_eq!(easemob(&process, Some(&caller())).await.status, 200);
    receiver.until_got(1).await;
    let [server] = &collector.until(1, |span| span.name == "POST /webhooks/easemob").await[..] else {
        panic!()
    };
    assert_eq!(
        (hex::encode(&server.trace_id), hex::encode(&server.parent_span_id)),
        (TRACE.into(), CALLER.into())
    );
    assert_eq!(server.kind, SpanKind::Server as i32);
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/webhooks/easemob"),
        ("http.response.status_code", "200"),
        ("readhook.vendor", "easemob"),
        ("readhook.app", "1122334455#demo"),
        ("readhook.event", "read_ack"),
        ("readhook.outcome", "accepted"),
        ("readhook.receipts", "1"),
        ("readhook.receipts.repeated", "0"),
    ] {
        assert_eq!(attribute(server, name).as_deref(), Some(value), "{name}");
    }
    for step in ["verify and decode", "commit"] {
        let [span] = &collector.until(1, |span| span.name == step).await[..] else { panic!() };
        assert_eq!((&span.trace_id, &span.parent_span_id), (&server.trace_id, &server.span_id), "{step}");
        assert!(span.start_time_unix_nano >= server.start_time_unix_nano, "{step}");
        assert!(span.end_time_unix_nano <= server.end_time_unix_nano, "{step}");
    }
    let [got] = &receiver.got()[..] else { panic!() };
    assert_eq!(got.field("traceparent"), Some(&*traceparent(server)));
    assert_eq!(event(got)["traceparent"], traceparent(server));
    assert!(event(got)["data"].get("traceparent").is_none(), "the receipt is what it was");
    let [send] = &collector.until(1, |span| span.name == "send hook").await[..] else { panic!() };
    assert_eq!((send.kind, &send.parent_span_id), (SpanKind::Producer as i32, &server.span_id));
    assert_eq!(send.links.len(), 1);
    assert_eq!(send.links[0].span_id, server.span_id);
    assert_eq!(attribute(send, "messaging.batch.message_count").as_deref(), Some("1"));
    assert_eq!(collector.resource("service.name").as_deref(), Some("readhook"));
    end(process);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_outcome_has_its_span_and_none_has_a_secret_or_a_user() {
    let (collector, receiver) = (Collector::start().await, Upstream::start(ok()).await);
    let dir = tempfile::tempdir().unwrap();
    let service = [("OTEL_SERVICE_NAME", "receipts"), ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=seven")];
    let process = start(&config(dir.path(), &receiver, ""), &collector, &service);
    let signature = "e81bedd135c09b36746134638551db94f978f73d";
    let rongcloud = format!(
        "/webhooks/rongcloud?appKey=demo-app-key&nonce=731904&timestamp=1767000000000&signature={signature}"
    );
    let tencent = "/webhooks/tencent?SdkAppid=1400000000&CallbackCommand=Group.CallbackAfterReadReceipt&Sign=5ec2e7&RequestTime=1";
    let single = "callbackAfterSingleMsgReadCommand";
    for (target, fixture, status) in [
        (&*rongcloud, "rongcloud/direct-read/body.form", 200),
        (&*rongcloud, "rongcloud/direct-read/body.form", 200),
        (tencent, "tencent/group-read/body.json", 200),
        (&format!("/webhooks/openim/{TOKEN}/{single}"), "openim/single-read/body.json", 200),
        (&format!("/webhooks/openim/not-{TOKEN}/{single}"), "openim/single-read/body.json", 401),
        ("/webhooks/easemob", "openim/single-read/body.json", 200),
    ] {
        assert_eq!(post(&process, target, None, fixture).await.status, status, "{fixture}");
    }
    let servers = collector.until(6, |span| span.kind == SpanKind::Server as i32).await;
    let mut told: Vec<_> = servers
        .iter()
        .map(|span| {
            assert!(span.parent_span_id.is_empty(), "nobody called with a trace");
            assert_eq!(span.status.as_ref().map_or(0, |status| status.code), StatusCode::Unset as i32);
            let [outcome, reason] = ["readhook.outcome", "readhook.reason"].map(|name| attribute(span, name));
            (span.name.clone(), outcome.unwrap(), reason)
        })
        .collect();
    told.sort();
    let line = |route: &str, outcome: &str, reason: Option<&str>| {
        (format!("POST /webhooks/{route}"), outcome.to_owned(), reason.map(str::to_owned))
    };
    assert_eq!(
        told,
        [
            line("easemob", "ignored", None),
            line("openim", "accepted", None),
            line("openim", "rejected", Some("bad_token")),
            line("rongcloud", "accepted", None),
            line("rongcloud", "duplicate", None),
            line("tencent", "accepted", None),
        ]
    );
    // Five receipts, each in the trace of its callback.
    receiver.until_got(5).await;
    for got in receiver.got() {
        let of = got.field("traceparent").unwrap();
        assert!(servers.iter().any(|span| traceparent(span) == of), "{of}");
    }
    end(process);
    assert_eq!(collector.resource("service.name").as_deref(), Some("receipts"));
    for got in collector.0.got() {
        assert_eq!(got.field("x-tenant"), Some("seven"));
        let text = String::from_utf8_lossy(&got.body).into_owned();
        for secret in [TOKEN, signature, "5ec2e7", "nonce", "731904", "maya_k", "u_1001", "alice"] {
            assert!(!text.contains(secret), "{secret} is in what the collector got");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_on_after_a_restart() {
    let collector = Collector::start().await;
    let receiver = Upstream::start(Manner::answer("503 Service Unavailable", "", "")).await;
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), &receiver, "");
    let process = start(&config, &collector, &[]);
    assert_eq!(easemob(&process, Some(&caller())).await.status, 200);
    let [server] = &collector.until(1, |span| span.kind == SpanKind::Server as i32).await[..] else {
        panic!()
    };
    receiver.until_got(1).await;
    process.kill();
    let before = receiver.got().len();
    receiver.becomes(ok());
    // The receipt keeps its trace, whether spans are made now or not.
    let process = Process::start(&config);
    receiver.until_got(before + 1).await;
    let got = receiver.got().pop().unwrap();
    assert_eq!(got.field("traceparent"), Some(&*traceparent(server)));
    assert_eq!(event(&got)["traceparent"], traceparent(server));
    end(process);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_has_no_parent_but_its_events_have() {
    let (collector, receiver) = (Collector::start().await, Upstream::start(Manner::Hang).await);
    let dir = tempfile::tempdir().unwrap();
    // The first batch hangs until all have come, so that the next one holds them together.
    let config = config(dir.path(), &receiver, "mode = \"batch\"\ntimeout_ms = 300\n");
    let process = start(&config, &collector, &[]);
    assert_eq!(easemob(&process, Some(&caller())).await.status, 200);
    receiver.until_got(1).await;
    let tencent = "/webhooks/tencent?SdkAppid=1400000000&CallbackCommand=Group.CallbackAfterReadReceipt";
    assert_eq!(post(&process, tencent, None, "tencent/group-read/body.json").await.status, 200);
    receiver.becomes(ok());
    let whole = |got: &Got| event(got).as_array().map(Vec::len) == Some(2);
    while !receiver.got().iter().any(whole) {
        receiver.until_got(receiver.got().len() + 1).await;
    }
    let got = receiver.got().into_iter().find(whole).unwrap();
    assert_eq!(got.field("traceparent"), None);
    let servers = collector.until(2, |span| span.kind == SpanKind::Server as i32).await;
    let expected: Vec<_> = servers.iter().map(traceparent).collect();
    let events = event(&got);
    assert_eq!(events[0]["traceparent"], expected[0]);
    assert_eq!(events[1]["traceparent"], expected[1]);
    let sends = collector.until(1, |span| span.links.len() == 2).await;
    assert_eq!(sends[0].links[1].trace_id, servers[1].trace_id);
    let failed = |span: &&_| attribute(span, "readhook.receipts").as_deref() == Some("0");
    assert!(collector.all().iter().filter(|span| span.name == "send hook").any(|span| failed(&span)));
    end(process);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_journal_the_trace_goes_straight_through() {
    let (collector, receiver) = (Collector::start().await, Upstream::start(ok()).await);
    let dir = tempfile::tempdir().unwrap();
    let direct = "[delivery]\nack_after = \"sinks\"\n";
    let process = start(&config(dir.path(), &receiver, direct), &collector, &[]);
    assert_eq!(easemob(&process, Some(&caller())).await.status, 200);
    let [server] = &collector.until(1, |span| span.kind == SpanKind::Server as i32).await[..] else {
        panic!()
    };
    assert_eq!(receiver.got()[0].field("traceparent"), Some(&*traceparent(server)));
    end(process);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_followed_unless_the_environment_says_so() {
    for more in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", ""),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_TRACES_SAMPLER", "always_off"),
    ] {
        let (collector, receiver) = (Collector::start().await, Upstream::start(ok()).await);
        let dir = tempfile::tempdir().unwrap();
        let process = start(&config(dir.path(), &receiver, ""), &collector, &[more]);
        assert_eq!(easemob(&process, Some(&caller())).await.status, 200, "{more:?}");
        receiver.until_got(1).await;
        end(process);
        assert!(collector.0.got().is_empty(), "{more:?}: nobody is called");
        let [got] = &receiver.got()[..] else { panic!() };
        assert_eq!(got.field("traceparent"), None, "{more:?}");
        assert!(event(got).get("traceparent").is_none(), "{more:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_no_context_is_none() {
    let (collector, receiver) = (Collector::start().await, Upstream::start(ok()).await);
    let dir = tempfile::tempdir().unwrap();
    let process = start(&config(dir.path(), &receiver, ""), &collector, &[]);
    let zeros = format!("00-{}-{CALLER}-01", "0".repeat(32));
    for bad in ["", "nonsense", &zeros, &caller().to_uppercase()] {
        assert_eq!(easemob(&process, Some(bad)).await.status, 200);
    }
    // Who says that it is not followed is heeded.
    assert_eq!(easemob(&process, Some(&format!("00-{TRACE}-{CALLER}-00"))).await.status, 200);
    end(process);
    let servers = collector.until(4, |span| span.kind == SpanKind::Server as i32).await;
    for span in &servers {
        assert!(span.parent_span_id.is_empty());
        assert!(span.trace_id.iter().any(|byte| *byte != 0));
        assert_ne!(hex::encode(&span.trace_id), TRACE);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_down_harms_nobody() {
    let receiver = Upstream::start(ok()).await;
    let (silent, nobody) = (Upstream::start(Manner::Hang).await, free_address());
    let broken = Upstream::start(Manner::answer("503 Service Unavailable", "", "")).await;
    for collector in [silent.address, nobody, broken.address] {
        let dir = tempfile::tempdir().unwrap();
        let endpoint = format!("http://{collector}");
        let environment = [
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &*endpoint),
            ("OTEL_BSP_SCHEDULE_DELAY", "1"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "4"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2"),
        ];
        let before = receiver.got().len();
        let process = Process::start_with(&config(dir.path(), &receiver, ""), &environment);
        for _ in 0..50 {
            assert_eq!(easemob(&process, Some(&caller())).await.status, 200);
        }
        receiver.until_got(before + 1).await;
        let begun = Instant::now();
        end(process);
        assert!(begun.elapsed() < Duration::from_secs(10), "the end does not wait for it");
    }
    assert!(!silent.got().is_empty() && !broken.got().is_empty(), "they were asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_comes_back_gets_what_comes_then() {
    let (collector, receiver) = (Collector::start().await, Upstream::start(ok()).await);
    collector.0.becomes(Manner::Close);
    let dir = tempfile::tempdir().unwrap();
    let process =
        start(&config(dir.path(), &receiver, ""), &collector, &[("OTEL_EXPORTER_OTLP_TIMEOUT", "200")]);
    assert_eq!(easemob(&process, Some(&caller())).await.status, 200);
    collector.0.until_got(1).await;
    collector.0.becomes(takes());
    assert_eq!(easemob(&process, Some(&caller())).await.status, 200);
    let repeat = |span: &_| attribute(span, "readhook.outcome").as_deref() == Some("duplicate");
    collector.until(1, repeat).await;
    end(process);
}
