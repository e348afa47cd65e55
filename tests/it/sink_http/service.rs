//! The whole service with an endpoint that is gone, asks for a long pause, or refuses: what an operator sees, and what
//! ends it.

use http::Method;
use readhook::config::{AckAfter, Config};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::config;
use super::receiver::{Act, Receiver};
use crate::house::{House, PATIENCE, config as house_config, demo, exchange};
use crate::vendor::easemob;

/// The demo with an endpoint as a second sink.
async fn house(receiver: &Receiver, more: &str, change: impl FnOnce(&mut Config)) -> House {
    let dir = tempfile::tempdir().unwrap();
    let mut service = house_config(dir.path(), &demo());
    service.sinks.insert("webhook".to_owned(), config(&receiver.url(), more));
    change(&mut service);
    House::start_in(dir, service).await
}

async fn post(house: &House, number: u64) -> u16 {
    let callback = easemob(number);
    house.post(&callback.target, &[], callback.body.as_bytes()).await.status
}

async fn webhook(house: &House) -> Value {
    let sinks: Value = serde_json::from_str(&house.get("/api/v1/sinks").await.body).unwrap();
    let sinks = sinks["sinks"].as_array().unwrap();
    sinks.iter().find(|sink| sink["name"] == "webhook").unwrap().clone()
}

async fn until(house: &House, state: impl Fn(&Value) -> bool) -> Value {
    timeout(PATIENCE, async {
        loop {
            let sink = webhook(house).await;
            if state(&sink) {
                return sink;
            }
        }
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_gone_pauses_the_sink_until_an_operator_resumes_it() {
    let receiver = Receiver::new([Act::answer("410 Gone", "moved out")]).await;
    let house = house(&receiver, "", |_| {}).await;
    assert_eq!(post(&house, 1).await, 200);
    let sink = until(&house, |sink| sink["state"] == "paused").await;
    assert_eq!(
        (&sink["paused_by"], &sink["dead_letters"], &sink["lag"]),
        (&json!("gone"), &json!(0), &json!(1))
    );
    let series = r#"readhook_sink_pause_cause{cause="gone",sink="webhook"}"#;
    assert!((house.metric(series).await - 1.0).abs() < f64::EPSILON);
    assert!(house.get("/sinks").await.body.contains("the destination says that it is gone"));
    assert_eq!(house.order("webhook", "resume", "").await.status, 200);
    let sink = until(&house, |sink| sink["lag"] == 0).await;
    assert_eq!((&sink["state"], &sink["paused_by"]), (&json!("delivering"), &Value::Null));
    assert_eq!(receiver.requests().len(), 2, "while it was paused it was left alone");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_pause_is_shown_and_ends_with_resume_and_with_a_reload() {
    let busy = || Act::answer("503 X\r\nretry-after: 3600", "busy");
    let receiver = Receiver::new([busy(), busy()]).await;
    let house = house(&receiver, "", |_| {}).await;
    assert_eq!(post(&house, 1).await, 200);
    // The fields of an answer are read one after the other while the sink goes on.
    let sink = until(&house, |sink| sink["next_try"].is_string() && sink["state"] == "failing").await;
    assert!(sink["next_try"].as_str().unwrap() > sink["last_error"]["at"].as_str().unwrap());
    assert_eq!(house.order("webhook", "resume", "").await.status, 200);
    timeout(PATIENCE, receiver.until_requests(2)).await.unwrap();
    until(&house, |sink| sink["next_try"].is_string()).await;
    // What SIGHUP does.
    let config = house_config(house.dir.path(), &demo());
    house.reload.send(Ok(config)).await.unwrap();
    let sink = until(&house, |sink| sink["lag"] == 0).await;
    assert_eq!(sink["next_try"], Value::Null);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn full_dead_letters_pause_the_sink_and_single_ones_are_redriven_and_discarded() {
    let refused = || Act::answer("422 X", "no");
    let receiver = Receiver::new([refused(), refused(), refused()]).await;
    let house = house(&receiver, "max_dead_letters = 2", |_| {}).await;
    for number in 1..=4 {
        assert_eq!(post(&house, number).await, 200);
    }
    let sink = until(&house, |sink| sink["state"] == "paused").await;
    assert_eq!(
        (&sink["paused_by"], &sink["dead_letters"], &sink["max_dead_letters"], &sink["cursor"]),
        (&json!("dead_letters_full"), &json!(2), &json!(2), &json!(2))
    );
    let metric = async |name: &str| house.metric(&format!("readhook_{name}{{sink=\"webhook\"}}")).await;
    assert!((metric("dead_letters").await - 2.0).abs() < f64::EPSILON);
    assert!((metric("dead_letter_bytes").await - sink["dead_letter_bytes"].as_f64().unwrap()).abs() < 0.5);
    let order = async |order: &str, body: Value| {
        let reply = house.order("webhook", order, &body.to_string()).await;
        (reply.status, serde_json::from_str::<Value>(&reply.body).unwrap())
    };
    let letters: Value =
        serde_json::from_str(&house.get("/api/v1/sinks/webhook/dead-letters").await.body).unwrap();
    let id = &letters["dead_letters"][1]["receipt"]["id"];
    assert_eq!(
        order("redrive", json!({ "position": 1 })).await,
        (200, json!({ "name": "webhook", "delivered": 1, "refused": 0 }))
    );
    assert_eq!(
        order("discard", json!({ "id": id })).await,
        (200, json!({ "name": "webhook", "discarded": 1 }))
    );
    assert_eq!(order("discard", json!({ "id": id })).await.0, 404);
    assert_eq!(order("redrive", json!({ "position": 99 })).await.0, 404);
    for wrong in [json!({}), json!({ "position": 1, "id": id }), json!({ "seq": 1 }), json!([])] {
        assert_eq!(order("discard", wrong.clone()).await.0, 400, "{wrong}");
    }
    assert_eq!(webhook(&house).await["dead_letters"], 0);
    assert_eq!(house.order("webhook", "resume", "").await.status, 200);
    until(&house, |sink| sink["lag"] == 0).await;
    assert_eq!(receiver.taken().len(), 3, "the one that was redriven, and the two that waited");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_redrives_and_discards_one_dead_letter() {
    let refused = || Act::answer("422 X", "no");
    let receiver = Receiver::new([refused(), refused()]).await;
    let house = house(&receiver, "", |_| {}).await;
    for number in 1..=2 {
        assert_eq!(post(&house, number).await, 200);
    }
    until(&house, |sink| sink["dead_letters"] == 2).await;
    let page = house.get("/sinks/webhook/dead-letters").await.body;
    assert!(page.contains(r#"action="/sinks/webhook/discard""#), "{page}");
    let press = async |order: &str, position: u64| {
        let target = format!("/sinks/webhook/{order}");
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        exchange(house.admin, Method::POST, &target, &headers, format!("position={position}").into())
            .await
            .status
    };
    assert_eq!((press("discard", 1).await, press("redrive", 2).await), (303, 303));
    assert_eq!(webhook(&house).await["dead_letters"], 0);
    assert_eq!(receiver.taken().len(), 1);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_journal_an_endpoint_that_is_gone_means_unavailable() {
    let receiver = Receiver::new([Act::answer("410 Gone", "")]).await;
    let house = house(&receiver, "", |config| config.delivery.ack_after = AckAfter::Sinks).await;
    assert_eq!(post(&house, 1).await, 503);
    assert_eq!(webhook(&house).await["state"], "failing");
    // There it is again.
    assert_eq!(post(&house, 2).await, 200);
    house.stop();
    house.ended().await;
}
