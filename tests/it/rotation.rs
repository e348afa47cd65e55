//! Secrets change while it runs: several are valid at once, and it shows which of them is still in use.

use tokio::time::timeout;

use crate::house::{House, PATIENCE, config, demo};
use crate::vendor::{Callback, EASEMOB_SECRET, easemob_signed_with, openim};

async fn uses(house: &House, vendor: &str, app: &str, secret: &str) -> f64 {
    let labels = format!(r#"{{app="{app}",secret="{secret}",vendor="{vendor}"}}"#);
    let text = house.get("/metrics").await.body;
    let series = format!("readhook_secret_uses_total{labels}");
    let line = text.lines().find_map(|line| line.strip_prefix(&series)?.trim().parse().ok());
    line.unwrap_or_else(|| panic!("{series} is missing"))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_secrets_are_valid_at_once_and_each_use_is_counted_by_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("new-secret");
    std::fs::write(&file, "test-only-new\n").unwrap();
    let secrets = format!("secrets = [\"{EASEMOB_SECRET}\"]");
    let both = demo().replace(&secrets, &format!("{secrets}\nsecrets_files = [{file:?}]"));
    let house = House::start(&demo()).await;
    let post = async |number: u64, secret: &str| {
        let Callback { target, body } = easemob_signed_with(number, secret);
        house.post(&target, &[], body.as_bytes()).await.status
    };
    let app = "1122334455#demo";
    assert!(
        uses(&house, "easemob", app, "secrets[0]").await.abs() < f64::EPSILON,
        "shown before its first use"
    );
    assert_eq!((post(1, EASEMOB_SECRET).await, post(2, "test-only-new").await), (200, 401));
    house.reload.send(Ok(config(dir.path(), &both))).await.unwrap();
    timeout(PATIENCE, async { while post(2, "test-only-new").await != 200 {} }).await.unwrap();
    assert_eq!(post(3, EASEMOB_SECRET).await, 200);
    assert!((uses(&house, "easemob", app, "secrets[0]").await - 2.0).abs() < f64::EPSILON);
    assert!((uses(&house, "easemob", app, "secrets[1]").await - 1.0).abs() < f64::EPSILON);
    // The old one can go, and who still has it is told.
    let only_new = demo().replace(&secrets, &format!("secrets_files = [{file:?}]"));
    house.reload.send(Ok(config(dir.path(), &only_new))).await.unwrap();
    timeout(PATIENCE, async { while post(4, EASEMOB_SECRET).await != 401 {} }).await.unwrap();
    assert_eq!(post(5, "test-only-new").await, 200);
    let text = house.get("/metrics").await.body;
    assert!(!text.contains("test-only"), "never the value");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openims_proofs_are_told_apart_as_well() {
    let proofs = "path_tokens = [\"test-only-a\", \"test-only-b\"]";
    let house = House::start(&demo().replace("allow_unauthenticated = true", proofs)).await;
    for (number, token) in ["test-only-b", "test-only-b", "test-only-a"].into_iter().enumerate() {
        let Callback { target, body } = openim(number as u64);
        let target = target.replace("/openim/", &format!("/openim/{token}/"));
        assert_eq!(house.post(&target, &[], body.as_bytes()).await.status, 200);
    }
    assert!((uses(&house, "openim", "demo", "path_tokens[0]").await - 1.0).abs() < f64::EPSILON);
    assert!((uses(&house, "openim", "demo", "path_tokens[1]").await - 2.0).abs() < f64::EPSILON);
    house.end().await;
}
