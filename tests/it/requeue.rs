//! Callbacks out of quarantine, after what was wrong has been mended.

use http::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::house::{House, PATIENCE, config, delivered, demo, exchange};
use crate::process::{Process, readhook, write_config};
use crate::vendor::{Callback, easemob, easemob_signed_with, openim, rongcloud};

async fn quarantined(house: &House, entries: f64) {
    let held = async || house.metric("readhook_quarantine_entries").await;
    timeout(PATIENCE, async { while (held().await - entries).abs() > f64::EPSILON {} }).await.unwrap();
}

async fn requeue(house: &House, question: &Value) -> Value {
    let body = question.to_string().into_bytes();
    let reply = exchange(house.admin, Method::POST, "/api/v1/quarantine/requeue", &[], body).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    serde_json::from_str(&reply.body).unwrap()
}

fn came_of_it(accepted: u64, duplicate: u64, ignored: u64, kept: u64) -> Value {
    json!({ "accepted": accepted, "duplicate": duplicate, "ignored": ignored, "kept": kept })
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_wrong_secret_was_mended_nothing_is_lost() {
    let house = House::start(&demo()).await;
    let post = async |Callback { target, body }: &Callback| {
        house.post(target, &[("x-kept", "é")], body.as_bytes()).await.status
    };
    for number in 0..5 {
        assert_eq!(post(&easemob_signed_with(number, "test-only-tomorrow")).await, 401);
    }
    let mut foreign = rongcloud(1);
    foreign.target = foreign.target.replace("signature=", "signature=0");
    assert_eq!(post(&foreign).await, 401);
    assert_eq!(house.post("/webhooks/easemob", &[], b"\xff\x00{").await.status, 400);
    quarantined(&house, 7.0).await;

    // Nothing has been mended: nothing comes of it.
    assert_eq!(requeue(&house, &json!({})).await, came_of_it(0, 0, 0, 7));
    let mended = demo().replace("test-only-easemob-secret", "test-only-tomorrow");
    let dir = tempfile::tempdir().unwrap();
    house.reload.send(Ok(config(dir.path(), &mended))).await.unwrap();
    timeout(PATIENCE, async { while post(&easemob_signed_with(4, "test-only-tomorrow")).await != 200 {} })
        .await
        .unwrap();

    // What was wrong at the first requests of the line above is in quarantine as well.
    let held = house.metric("readhook_quarantine_entries").await;
    assert!(held >= 7.0);
    let narrow = [
        (json!({ "vendor": "rongcloud" }), came_of_it(0, 0, 0, 1)),
        (json!({ "reason": "not_utf8" }), came_of_it(0, 0, 0, 1)),
        (json!({ "since": "2999-01-01T00:00:00Z" }), came_of_it(0, 0, 0, 0)),
    ];
    for (question, expected) in narrow {
        assert_eq!(requeue(&house, &question).await, expected, "{question}");
    }
    let uses = r#"readhook_secret_uses_total{app="1122334455#demo",secret="secrets[0]",vendor="easemob"}"#;
    let used = house.metric(uses).await;
    let look = json!({ "vendor": "easemob", "reason": "bad_signature", "dry_run": true });
    assert!(requeue(&house, &look).await["accepted"].as_u64().unwrap() >= 5);
    assert_eq!(house.receipts().await.len(), 1, "looking changes nothing");

    let done = requeue(&house, &json!({})).await;
    assert_eq!((&done["accepted"], &done["kept"]), (&json!(4), &json!(2)), "{done}");
    assert!(done["duplicate"].as_u64().unwrap() >= 1, "the one that came again by itself");
    quarantined(&house, 2.0).await;
    assert!((house.metric(uses).await - used).abs() < f64::EPSILON, "no vendor has called");
    assert_eq!(requeue(&house, &json!({})).await, came_of_it(0, 0, 0, 2));
    let receipts = house.receipts().await;
    assert_eq!(receipts.len(), 5);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openims_token_can_prove_itself_again_and_basic_credentials_cannot() {
    let proof = |proof: &str| demo().replace("allow_unauthenticated = true", proof);
    let house = House::start(&proof("path_tokens = [\"test-only-a\"]\nbasic_auth = [\"u:p\"]")).await;
    let Callback { body, .. } = openim(1);
    let target = "/webhooks/openim/test-only-b/callbackAfterSingleMsgReadCommand";
    let basic = [("authorization", "Basic dTpw")];
    assert_eq!(house.post(target, &basic, body.as_bytes()).await.status, 401);
    quarantined(&house, 1.0).await;
    let dir = tempfile::tempdir().unwrap();
    let both = proof("path_tokens = [\"test-only-b\"]\nbasic_auth = [\"u:p\"]");
    house.reload.send(Ok(config(dir.path(), &both))).await.unwrap();
    let let_in = async |basic| house.post("/webhooks/openim/test-only-b", basic, b"{}").await.status == 200;
    timeout(PATIENCE, async { while !let_in(&basic[..]).await {} }).await.unwrap();
    assert_eq!(requeue(&house, &json!({})).await["accepted"], 0, "its credentials were not kept");
    let token = proof("path_tokens = [\"test-only-b\"]");
    house.reload.send(Ok(config(dir.path(), &token))).await.unwrap();
    timeout(PATIENCE, async { while !let_in(&[]).await {} }).await.unwrap();
    assert_eq!(requeue(&house, &json!({ "vendor": "openim" })).await["accepted"], 1);
    assert_eq!(house.receipts().await[0]["verified_by"], "path_token");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_named() {
    let house = House::start(&demo()).await;
    for wrong in [r#"{"vendor":"icq"}"#, r#"{"since":"yesterday"}"#, r#"{"reson":"x"}"#, "{", "nonsense"] {
        let target = "/api/v1/quarantine/requeue";
        let reply = exchange(house.admin, Method::POST, target, &[], wrong.as_bytes().to_vec()).await;
        assert_eq!(reply.status, 400, "{wrong}: {}", reply.body);
    }
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_works_with_and_without_a_running_service() {
    let dir = tempfile::tempdir().unwrap();
    let file = write_config(dir.path());
    let requeue = |process: Option<&Process>, arguments: &[&str]| {
        let mut command = readhook();
        command.arg("requeue").args(arguments).arg("--config").arg(&file);
        if let Some(process) = process {
            command.env("READHOOK__ADMIN__LISTEN", process.admin.to_string());
        }
        let output = command.output().unwrap();
        let (out, err) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        (output.status.code(), out.trim().to_owned() + err.trim())
    };
    let process = |good: bool| {
        let text = std::fs::read_to_string(&file).unwrap();
        let (right, wrong) = ("test-only-easemob-secret", "test-only-mistyped");
        let text = if good { text.replace(wrong, right) } else { text.replace(right, wrong) };
        std::fs::write(&file, text).unwrap();
        Process::start(&file)
    };
    let rest = "are as bad as before and stay";
    let mut wrong = process(false);
    for number in 0..3 {
        let Callback { target, body } = easemob(number);
        assert_eq!(exchange(wrong.public, Method::POST, &target, &[], body.into_bytes()).await.status, 401);
    }
    wrong.signal("TERM");
    assert_eq!(wrong.wait().code(), Some(0), "what waits for the quarantine is written at the end");
    let none = format!("accepted 0, duplicate 0, ignored 0; 3 {rest}");
    assert_eq!(requeue(None, &[]), (Some(0), none));

    let mut right = process(true);
    let look = format!("would be accepted 3, duplicate 0, ignored 0; 0 {rest}");
    assert_eq!(requeue(Some(&right), &["--dry-run", "--since", "1h"]), (Some(0), look.clone()));
    right.signal("TERM");
    assert_eq!(right.wait().code(), Some(0));
    assert_eq!(requeue(None, &["--dry-run"]), (Some(0), look));
    let done = format!("accepted 3, duplicate 0, ignored 0; 0 {rest}");
    assert_eq!(requeue(None, &["--vendor", "easemob"]), (Some(0), done));
    assert_eq!(requeue(None, &["--vendor", "icq"]).0, Some(64));

    // The journal has them, and the sink gets them with the next start.
    let mut right = process(true);
    right.signal("TERM");
    assert_eq!(right.wait().code(), Some(0));
    assert_eq!(delivered(dir.path()).len(), 3);
}
