//! `--vendor-behaviour`: each vendor does after a bad answer what it is known to do, and the report says what that costs.

use serde_json::json;

use super::{simulate, url};
use crate::house::{House, demo};
use crate::upstream::{Manner, Upstream};

/// What is sent to a receiver of such a manner, and what comes of it.
async fn at(manner: Manner, arguments: &[&str]) -> (super::Simulated, usize) {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("readhook.toml");
    std::fs::write(&config, demo()).unwrap();
    let upstream = Upstream::start(manner).await;
    let url = format!("http://{}", upstream.address);
    let run = simulate(&config, &url, &[arguments, &["--vendor-behaviour"][..]].concat());
    (run, upstream.got().len())
}

fn busy() -> Manner {
    Manner::answer("503 Service Unavailable", "", "{}")
}

fn fine(vendor: &str) -> Manner {
    let body = match vendor {
        "easemob" => r#"{"valid":true}"#,
        "tencent" => r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}"#,
        "openim" => r#"{"actionCode":0,"errCode":0,"errMsg":"","errDlt":"","nextCode":0}"#,
        _ => "ok",
    };
    Manner::answer("200 OK", "", body)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_well_is_delivered_at_the_first_try() {
    for vendor in ["easemob", "tencent", "openim", "rongcloud", "relay"] {
        let (run, requests) = at(fine(vendor), &[vendor, "--count", "50"]).await;
        assert_eq!((run.code, requests), (Some(0), 50), "{vendor}: {:#}", run.report);
        let behaved = json!({ "delivered": { "1": 50 }, "lost": {}, "refused": 0, "banned_after": null, "withheld": 0 });
        assert_eq!(run.report["vendor_behaviour"], behaved, "{vendor}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_repeated_as_often_as_the_vendor_does() {
    let rows = [
        ("easemob", busy(), "refused", 2),
        ("easemob", Manner::Close, "closed", 2),
        ("easemob", Manner::Hang, "timeout", 2),
        ("tencent", busy(), "refused", 1),
        ("tencent", Manner::Close, "closed", 1),
        ("tencent", Manner::Hang, "timeout", 4),
        ("openim", busy(), "refused", 1),
        ("openim", Manner::Hang, "timeout", 1),
        ("rongcloud", busy(), "refused", 4),
        ("rongcloud", Manner::Close, "closed", 4),
        ("rongcloud", Manner::Hang, "timeout", 4),
        ("rongcloud", Manner::answer("401 Unauthorized", "", "bad_signature"), "refused", 1),
        ("relay", busy(), "refused", 1),
    ];
    for (vendor, manner, why, tries) in rows {
        // Whoever answers is waited for, however slow the machine is.
        let patience = if matches!(manner, Manner::Hang) { "500ms" } else { "30s" };
        let (run, requests) = at(manner.clone(), &[vendor, "--count", "20", "--timeout", patience]).await;
        assert_eq!(
            run.report["vendor_behaviour"]["lost"],
            json!({ why: 20 }),
            "{vendor} {manner:?}: {:#}",
            run.report
        );
        assert_eq!((run.code, requests), (Some(1), 20 * tries), "{vendor} {manner:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_repairs_what_it_can() {
    for (vendor, first) in [("easemob", busy()), ("tencent", Manner::Hang), ("rongcloud", Manner::Close)] {
        let manner = Manner::InTurn(vec![first, fine(vendor)]);
        let arguments = [vendor, "--count", "4", "--concurrency", "1", "--timeout", "2s"];
        let (run, requests) = at(manner, &arguments).await;
        assert_eq!((run.code, requests), (Some(0), 8), "{vendor}: {:#}", run.report);
        assert_eq!(run.report["vendor_behaviour"]["delivered"], json!({ "2": 4 }), "{vendor}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn easemob_bans_an_app_after_ninety_failures() {
    let (run, requests) = at(busy(), &["easemob", "--count", "200", "--concurrency", "1"]).await;
    assert_eq!((run.code, requests), (Some(1), 90), "{:#}", run.report);
    let behaved = &run.report["vendor_behaviour"];
    assert_eq!((&behaved["banned_after"], &behaved["withheld"]), (&json!(45), &json!(155)), "{behaved:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn readhooks_ban_guard_keeps_easemob_from_banning() {
    for (guard, banned) in [(60, false), (0, true)] {
        let config = demo().replace(
            "[vendors.easemob.apps.demo]",
            &format!("[vendors.easemob]\nban_guard = {guard}\n[vendors.easemob.apps.demo]"),
        );
        let house = House::start(&config).await;
        let file = house.dir.path().join("readhook.toml");
        let secret = house.dir.path().join("secret");
        std::fs::write(&secret, "test-only-of-yesterday").unwrap();
        let secret = secret.to_str().unwrap();
        let app = ["easemob", "--app-id", "1122334455#demo", "--secret-file", secret];
        let run =
            simulate(&file, &url(&house), &[&app[..], &["--count", "300", "--vendor-behaviour"]].concat());
        let behaved = &run.report["vendor_behaviour"];
        assert_eq!(!behaved["banned_after"].is_null(), banned, "{:#}", run.report);
        // Each callback fails twice before it is lost, and no more than the guard's failures are told.
        assert_eq!(run.count("/answers/401") <= 60, !banned, "{:#}", run.report);
        assert_eq!(run.count("/vendor_behaviour/withheld") == 0, !banned, "{:#}", run.report);
        house.end().await;
    }
}

/// Two workers and a hundred places: whoever waits three seconds for a place goes without.
#[tokio::test(flavor = "multi_thread")]
async fn openim_drops_what_finds_no_place_in_its_queue() {
    let arguments = ["openim", "--count", "500", "--concurrency", "350", "--timeout", "60ms"];
    let (run, requests) = at(Manner::Hang, &arguments).await;
    let lost = |why: &str| run.count(&format!("/vendor_behaviour/lost/{why}"));
    assert!(lost("queue_full") > 0, "{:#}", run.report);
    assert!(lost("timeout") >= 102, "two at work and a hundred behind them: {:#}", run.report);
    assert_eq!(lost("queue_full") + lost("timeout"), 500, "{:#}", run.report);
    // Who waits no longer may have gone before the server has read its request; who found no place never sends one.
    assert!(run.code == Some(1) && requests as u64 <= lost("timeout"), "{requests}: {:#}", run.report);
}
