//! Guesses are not free: wrong path tokens, Basic passwords and admin tokens are throttled by the client's address, and nobody else
//! pays for it.

use http::Method;
use serde_json::Value;

use crate::house::{House, Reply, demo, exchange};
use crate::vendor::{openim, tencent};

const TOKEN: &str = "test-only-0123456789abcdef";
/// More than any burst that is free.
const MANY: usize = 100;

fn guarded(more: &str) -> String {
    demo()
        .replace("allow_unauthenticated = true", &format!("path_tokens = [\"{TOKEN}\"]"))
        .replace("listen = \"127.0.0.1:8080\"", &format!("listen = \"127.0.0.1:8080\"\n{more}"))
        .replace("[admin]", &format!("[admin]\ntoken = \"{TOKEN}\""))
}

async fn guess(house: &House, token: &str, headers: &[(&str, &str)]) -> Reply {
    house.post(&format!("/webhooks/openim/{token}"), headers, openim(1).body.as_bytes()).await
}

/// Guesses until it is throttled; `None` if it never is.
async fn throttled(house: &House, headers: &[(&str, &str)]) -> Option<Reply> {
    for number in 0..MANY {
        let reply = guess(house, &format!("wrong{number}"), headers).await;
        if reply.status == 429 {
            return Some(reply);
        }
        assert_eq!(reply.status, 401);
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_path_tokens_are_throttled_in_the_vendors_format() {
    let house = House::start(&guarded("")).await;
    let reply = throttled(&house, &[]).await.expect("guesses are not free");
    let body: Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!((&body["actionCode"], &body["errCode"], &body["nextCode"]), (&0.into(), &0.into(), &0.into()));
    let authorization = format!("Bearer {TOKEN}");
    let metrics =
        exchange(house.admin, Method::GET, "/metrics", &[("authorization", &authorization)], Vec::new())
            .await;
    let counted = metrics.body.lines().any(|line| {
        line.contains("vendor=\"openim\"")
            && line.contains("outcome=\"rejected\"")
            && line.contains("reason=\"throttled\"")
    });
    assert!(counted, "{}", metrics.body);
    house.stop();
    house.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_shown_a_right_token_is_never_throttled() {
    let house = House::start(&guarded("")).await;
    assert_eq!(guess(&house, TOKEN, &[]).await.status, 200);
    assert!(throttled(&house, &[]).await.is_none());
    assert_eq!(guess(&house, TOKEN, &[]).await.status, 200);
    house.stop();
    house.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_behind_an_unlisted_proxy_are_not_throttled_and_behind_a_listed_one_each_for_itself() {
    let house = House::start(&guarded("")).await;
    assert!(throttled(&house, &[("x-forwarded-for", "198.51.100.7")]).await.is_none());
    house.stop();
    house.ended().await;

    let house = House::start(&guarded("trusted_proxies = [\"::ffff:127.0.0.0/104\"]")).await;
    assert!(throttled(&house, &[("x-forwarded-for", "198.51.100.7")]).await.is_some());
    assert_eq!(guess(&house, "wrong", &[("x-forwarded-for", "198.51.100.8,")]).await.status, 401);
    assert_eq!(guess(&house, TOKEN, &[("x-forwarded-for", "198.51.100.9")]).await.status, 200);
    assert!(throttled(&house, &[("x-forwarded-for", "2001:db8:1:1::1")]).await.is_some());
    assert_eq!(guess(&house, "wrong", &[("x-forwarded-for", "2001:db8:1:2::1")]).await.status, 401);
    house.stop();
    house.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_are_not_throttled() {
    let house = House::start(
        &guarded("")
            .replace("secrets = [\"test-only-rongcloud-secret\"]", "secrets = [\"test-only-another\"]"),
    )
    .await;
    for number in 0..MANY as u64 {
        let callback = crate::vendor::rongcloud(number);
        assert_eq!(house.post(&callback.target, &[], callback.body.as_bytes()).await.status, 401);
    }
    let callback = tencent(1);
    assert_eq!(house.post(&callback.target, &[], callback.body.as_bytes()).await.status, 200);
    house.stop();
    house.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_admin_tokens_are_throttled_by_a_problem_document() {
    let house = House::start(&guarded("")).await;
    let ask = async |token: &str| {
        let token = format!("Bearer {token}");
        exchange(house.admin, Method::GET, "/api/v1/receipts", &[("authorization", &token)], Vec::new()).await
    };
    let mut found = None;
    for number in 0..MANY {
        let reply = ask(&format!("wrong{number}")).await;
        assert_eq!(reply.headers["x-content-type-options"], "nosniff");
        assert_eq!(reply.headers["cache-control"], "no-store");
        if reply.status == 429 {
            found = Some(reply);
            break;
        }
        assert_eq!(reply.status, 401);
    }
    let reply = found.expect("guesses are not free");
    assert_eq!(reply.headers["content-type"], "application/problem+json");
    assert!(reply.headers.contains_key("retry-after"));
    assert_eq!(serde_json::from_str::<Value>(&reply.body).unwrap()["status"], 429);
    house.stop();
    house.ended().await;

    let house = House::start(&guarded("")).await;
    let ask = async |token: &str| {
        let token = format!("Bearer {token}");
        exchange(house.admin, Method::GET, "/api/v1/receipts", &[("authorization", &token)], Vec::new()).await
    };
    let right = ask(TOKEN).await;
    assert_eq!(right.status, 200);
    assert_eq!(right.headers["x-content-type-options"], "nosniff");
    assert_eq!(right.headers["cache-control"], "no-store");
    for number in 0..MANY {
        assert_eq!(ask(&format!("wrong{number}")).await.status, 401);
    }
    house.stop();
    house.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_login_goes_back_to_a_local_path_only() {
    let house = House::start(&guarded("")).await;
    for (back, location) in [
        ("%2Flive", "/live"),
        ("%2F%09%2Fevil.example", "/"),
        ("%2F%5Cevil.example", "/"),
        ("%2F%2Fevil.example", "/"),
        ("%2F%252F%2Fevil.example", "/"),
        ("https%3A%2F%2Fevil.example", "/"),
    ] {
        let form = format!("token={TOKEN}&back={back}");
        let reply = exchange(house.admin, Method::POST, "/login", &[], form.into_bytes()).await;
        assert_eq!(reply.status, 303, "{back}");
        assert_eq!(reply.headers["location"], location, "{back}");
    }
    house.stop();
    house.ended().await;
}
