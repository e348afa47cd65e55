//! What an outsider can do to the quarantine, which is to evict nothing that is better than what he sends; and what is
//! wrong with its file, which prevents no start. (Long, because the attacks are told whole.)

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use http::Method;
use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::house::{House, PATIENCE, config, demo, exchange};
use crate::raw::{Raw, request};
use crate::vendor::{Callback, easemob, easemob_signed_with, openim, rongcloud, tencent};

/// The secret of tomorrow: the vendor signs with it already, and the configuration does not have it yet.
const TOMORROW: &str = "test-only-tomorrow";

/// The demo with more or other lines. The vendors' addresses come from a proxy on this machine where it is trusted.
fn demo_with(trusted: bool, quarantine: &str) -> String {
    let proxies = if trusted { "trusted_proxies = [\"127.0.0.1\"]\n" } else { "" };
    format!("{}\n[quarantine]\n{quarantine}\n", demo().replace("[server]\n", &format!("[server]\n{proxies}")))
}

fn from(client: &str) -> String {
    format!("x-forwarded-for: {client}\r\n")
}

async fn list(house: &House, query: &str) -> Vec<Value> {
    let mut entries = Vec::new();
    let mut cursor = String::new();
    loop {
        let target = format!("/api/v1/quarantine?limit=1000{query}{cursor}");
        let page: Value = serde_json::from_str(&house.get(&target).await.body).unwrap();
        entries.extend(page["entries"].as_array().unwrap_or_else(|| panic!("{page}")).iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return entries,
        }
    }
}

/// Waits until quarantine has written so many of a class.
async fn held(house: &House, class: &str, count: usize) {
    let series = format!(r#"readhook_quarantine_class_entries{{class="{class}"}}"#);
    let reached = async { while house.metric(&series).await < count as f64 {} };
    timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("{count} of class {class}"));
}

async fn requeue(house: &House, question: &Value) -> Value {
    let body = question.to_string().into_bytes();
    let reply = exchange(house.admin, Method::POST, "/api/v1/quarantine/requeue", &[], body).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    serde_json::from_str(&reply.body).unwrap()
}

/// Puts the secret of tomorrow into the configuration, and waits until it counts.
async fn corrected(house: &House, text: &str) {
    let corrected = text.replace("test-only-easemob-secret", TOMORROW);
    let dir = tempfile::tempdir().unwrap();
    house.reload.send(Ok(config(dir.path(), &corrected))).await.unwrap();
    let probe = easemob_signed_with(999_999, TOMORROW);
    // What the guard hides is answered 200, too; a receipt is proof.
    let taken = async {
        while house.receipts().await.is_empty() {
            house.post(&probe.target, &[], probe.body.as_bytes()).await;
        }
    };
    timeout(PATIENCE, taken).await.unwrap();
}

/// Posts callbacks from a client on one connection; gives the statuses.
async fn post_all(house: &House, client: &str, callbacks: impl IntoIterator<Item = Callback>) -> Vec<u16> {
    let mut raw = Raw::to(house.public).await;
    let mut statuses = Vec::new();
    for Callback { target, body } in callbacks {
        statuses.push(raw.ask(request(&target, &from(client), body.as_bytes())).await.status);
    }
    statuses
}

/// The same bytes again and again, many under way at once, as fast as one connection takes them.
async fn flood(
    house: &House,
    client: &str,
    target: &str,
    bodies: impl IntoIterator<Item = String>,
) -> Vec<u16> {
    let mut raw = Raw::to(house.public).await;
    let mut statuses = Vec::new();
    let bodies: Vec<String> = bodies.into_iter().collect();
    for some in bodies.chunks(200) {
        let requests = some.iter().map(|body| request(target, &from(client), body.as_bytes()));
        raw.send(requests.collect::<Vec<_>>().concat()).await;
        for _ in some {
            statuses.push(raw.answer().await.expect("an answer to each").status);
        }
    }
    statuses
}

/// The genuine callbacks of which nothing may be lost.
fn genuine() -> impl Iterator<Item = Callback> {
    (0..300).map(|number| easemob_signed_with(number, TOMORROW))
}

/// How many of the genuine callbacks are receipts after the secret was corrected and everything requeued.
async fn recovered(house: &House, text: &str) -> usize {
    corrected(house, text).await;
    requeue(house, &json!({})).await;
    let receipts = house.receipts().await;
    receipts.iter().filter(|receipt| receipt["event_id"] != "1122334455#demo_999999").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outsiders_junk_evicts_no_genuine_callback() {
    for trusted in [true, false] {
        let text = demo_with(trusted, "");
        let house = House::start(&text).await;
        let answered = post_all(&house, "198.51.100.7", genuine()).await;
        assert_eq!(answered, [[401; 60].as_slice(), &[200; 240]].concat());
        let junk = flood(&house, "203.0.113.9", "/webhooks/easemob", vec!["x".to_owned(); 10_400]).await;
        assert!(
            junk.iter().all(|status| *status == 400),
            "junk hears the truth, also while failures are hidden"
        );
        assert_eq!(list(&house, "&class=hidden").await.len(), 240);
        assert_eq!(recovered(&house, &text).await, 300, "trusted: {trusted}");
        house.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn junk_that_names_no_app_trips_no_guard() {
    let house = House::start(&demo()).await;
    let bodies = [
        "x",
        "{}",
        "[]",
        r#"{"callId":"other#app_1","chat_type":"read_ack","security":"0","appkey":"other#app"}"#,
        r#"{"callId":"1122334455#demo_1","chat_type":"read_ack","appkey":"1122334455#demo","chat_type":"x"}"#,
    ];
    for body in bodies {
        let statuses = flood(&house, "x", "/webhooks/easemob", vec![body.to_owned(); 100]).await;
        assert!(body == "{}" || statuses.iter().all(|status| *status >= 400), "{body}: {statuses:?}");
    }
    assert!(house.metric("readhook_ban_guard_active").await.abs() < f64::EPSILON);
    let callback = easemob_signed_with(1, "wrong");
    assert_eq!(house.post(&callback.target, &[], callback.body.as_bytes()).await.status, 401);
    held(&house, "app", 1).await;
    assert!(list(&house, "&class=app").await.iter().all(|entry| entry["reason"] == "bad_signature"));
    house.end().await;
}

/// Junk in the vendor's own shape, which only the appkey gives away: each client has its share.
#[tokio::test(flavor = "multi_thread")]
async fn a_forger_who_knows_the_app_takes_his_own_share_and_no_more() {
    for trusted in [true, false] {
        let text = demo_with(trusted, "max_entries = 900");
        let house = House::start(&text).await;
        // He comes first, and fills what he can of each class.
        let forged = (0..700).map(|number| easemob_signed_with(1_000 + number, "forged").body);
        let junk = flood(&house, "203.0.113.9", "/webhooks/easemob", forged).await;
        let hidden = list(&house, "&class=hidden").await.len();
        assert_eq!(
            junk.iter().filter(|status| **status == 200).count(),
            hidden,
            "200 is said of what is kept"
        );
        assert!((200..=450).contains(&hidden), "{hidden}");
        let answered = post_all(&house, "198.51.100.7", genuine()).await;
        let told = answered.iter().filter(|status| **status == 401).count();
        assert_eq!(told + answered.iter().filter(|status| **status == 200).count(), 300);
        assert_eq!(list(&house, "&class=hidden").await.len(), hidden + 300 - told);
        // Again: what was answered 200 stays, whatever comes.
        let more = (0..700).map(|number| easemob_signed_with(10_000 + number, "forged").body);
        flood(&house, "203.0.113.9", "/webhooks/easemob", more).await;
        let recovered = recovered(&house, &text).await;
        assert!(recovered >= 300 - told, "trusted: {trusted}: {recovered} recovered, {told} heard the truth");
        if trusted {
            assert_eq!(recovered, 300, "another address has a share of its own");
        }
        house.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_names_an_app_is_dropped_because_a_queue_was_full() {
    let house = House::start(&demo()).await;
    let bodies = (0..3_000).map(|number| rongcloud(number).body);
    let target = rongcloud(1).target.replace("signature=", "signature=0");
    let statuses = flood(&house, "x", &target, bodies).await;
    assert!(statuses.iter().all(|status| *status == 401));
    held(&house, "app", 3_000).await;
    assert!(house.metric("readhook_quarantine_lost_total").await.abs() < f64::EPSILON);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_vendor_says_what_names_an_app() {
    let house = House::start(&demo()).await;
    let strict = "/webhooks/openim/callbackAfterSingleMsgReadCommand";
    let mut wrong = rongcloud(1);
    wrong.target = wrong.target.replace("signature=", "signature=0");
    let mut malformed = tencent(1);
    malformed.body = "{}".to_owned();
    let foreign = rongcloud(2).target.replace("demo-app-key", "another-key");
    for (class, target, body) in [
        ("app", "/webhooks/easemob", easemob_signed_with(1, "wrong").body),
        (
            "other",
            "/webhooks/easemob",
            easemob_signed_with(1, "wrong").body.replace("1122334455#demo", "a#b"),
        ),
        ("app", &wrong.target, wrong.body.clone()),
        ("other", &foreign, wrong.body.clone()),
        ("other", &wrong.target, "nonsense".to_owned()),
        ("app", &malformed.target, malformed.body.clone()),
        ("other", &malformed.target, "nonsense".to_owned()),
        ("other", "/webhooks/tencent?SdkAppid=1", "{}".to_owned()),
        ("app", strict, openim(1).body.replace("[1]", "\"x\"")),
        ("other", strict, "nonsense".to_owned()),
    ] {
        let before = list(&house, "").await.len();
        let status = house.post(target, &[], body.as_bytes()).await.status;
        assert!(status >= 400, "{target} {body}: {status}");
        timeout(PATIENCE, async { while list(&house, "").await.len() == before {} }).await.unwrap();
        let entry = list(&house, "").await.swap_remove(0);
        assert_eq!(entry["class"], class, "{target} {body}");
    }
    assert_eq!(house.get("/api/v1/quarantine?class=better").await.status, 400);
    assert_eq!(list(&house, "&class=other").await.len(), 6);
    house.end().await;
}

/// A class that evicts nothing says the truth when it is full.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_hidden_hears_the_truth() {
    for quarantine in ["max_entries = 20", "max_bytes = 20000", "max_entries = 0"] {
        let house = House::start(&demo_with(false, quarantine)).await;
        let wrong = |number| easemob_signed_with(number, "wrong");
        let statuses = post_all(&house, "x", (0..200).map(wrong)).await;
        assert!(statuses[..60].iter().all(|status| *status == 401));
        let hidden = list(&house, "&class=hidden").await.len();
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), hidden, "{quarantine}");
        assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 200 - hidden, "{quarantine}");
        assert!(hidden < 100 && (hidden > 0 || quarantine == "max_entries = 0"), "{quarantine}: {hidden}");
        house.end().await;
    }
}

fn file(dir: &Path) -> PathBuf {
    dir.join("readhook.db.quarantine")
}

/// The files that were set aside, without what SQLite keeps beside them.
fn aside(dir: &Path) -> Vec<PathBuf> {
    let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let is_aside = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("readhook.db.quarantine.") && !name.ends_with("-wal") && !name.ends_with("-shm")
    };
    names.filter(is_aside).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_quarantine_is_set_aside_and_prevents_no_start() {
    type Spoil = fn(&Path);
    let spoils: [(&str, Spoil); 7] = [
        ("rubbish", |path| std::fs::write(path, b"rubbish".repeat(1_000)).unwrap()),
        ("foreign", |path| {
            let foreign =
                "CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1); PRAGMA application_id = 7;";
            Connection::open(path).unwrap().execute_batch(foreign).unwrap();
        }),
        ("foreign and unnumbered", |path| {
            Connection::open(path).unwrap().execute_batch("CREATE TABLE callbacks (x)").unwrap();
        }),
        ("newer", |path| numbered(path, 1_000)),
        ("negative", |path| numbered(path, -1)),
        ("a folder", |path| std::fs::create_dir(path).unwrap()),
        ("only a -wal", |path| {
            let wal = format!("{}-wal", path.display());
            std::fs::write(wal, b"x".repeat(10_000)).unwrap();
        }),
    ];
    for (name, spoil) in spoils {
        let dir = tempfile::tempdir().unwrap();
        spoil(&file(dir.path()));
        let before = std::fs::read(file(dir.path())).ok();
        let text = config(dir.path(), &demo());
        let house = House::start_in(dir, text).await;
        assert_eq!(house.post("/webhooks/easemob", &[], b"x").await.status, 400);
        held(&house, "other", 1).await;
        let found = aside(house.dir.path());
        match before {
            Some(bytes) => {
                assert_eq!(std::fs::read(&found[0]).unwrap(), bytes, "{name}: nothing was changed")
            }
            None => assert!(found.len() <= 1, "{name}: {found:?}"),
        }
        // It takes callbacks as a new one does, and the next start finds nothing wrong with it.
        let callback = easemob(1);
        assert_eq!(house.post(&callback.target, &[], callback.body.as_bytes()).await.status, 200);
        let dir = house.end().await;
        let again = config(dir.path(), &demo());
        let house = House::start_in(dir, again).await;
        assert_eq!(list(&house, "").await.len(), 1, "{name}");
        assert_eq!(aside(house.dir.path()).len(), found.len(), "{name}");
        house.end().await;
    }
}

/// A quarantine of ours with another format number.
fn numbered(path: &Path, format: i32) {
    let ours = format!(
        "PRAGMA application_id = 1382304881; PRAGMA user_version = {format}; CREATE TABLE callbacks (x);"
    );
    Connection::open(path).unwrap().execute_batch(&ours).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_set_aside_too() {
    let house = House::start(&demo()).await;
    assert_eq!(house.post("/webhooks/easemob", &[], b"x").await.status, 400);
    held(&house, "other", 1).await;
    let dir = house.end().await;
    // A page in the middle, which a short look at the file does not need.
    let bytes = std::fs::read(file(dir.path())).unwrap();
    let spoiled: Vec<u8> =
        bytes.iter().enumerate().map(|(at, byte)| if at < 4_096 { *byte } else { 0xA5 }).collect();
    std::fs::write(file(dir.path()), &spoiled).unwrap();
    let text = config(dir.path(), &demo());
    let house = House::start_in(dir, text).await;
    assert_eq!(house.post("/webhooks/easemob", &[], b"y").await.status, 400);
    held(&house, "other", 1).await;
    assert_eq!(aside(house.dir.path()).len(), 1);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_its_owner_may_read_it() {
    let house = House::start(&demo()).await;
    assert_eq!(house.post("/webhooks/easemob", &[], b"x").await.status, 400);
    held(&house, "other", 1).await;
    for suffix in ["", "-wal", "-shm"] {
        let path = format!("{}{suffix}", file(house.dir.path()).display());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{path}");
    }
    house.end().await;
}

/// The table of 02cd061, without a class and without numbers.
const OLD: &str = "
    PRAGMA journal_mode = WAL;
    CREATE TABLE callbacks (
        id INTEGER PRIMARY KEY, at INTEGER NOT NULL, vendor TEXT NOT NULL, client TEXT NOT NULL, outcome TEXT NOT NULL,
        reason TEXT NOT NULL, path TEXT NOT NULL, query TEXT NOT NULL, headers TEXT NOT NULL, body BLOB NOT NULL,
        bytes INTEGER NOT NULL
    ) STRICT;";

#[tokio::test(flavor = "multi_thread")]
async fn the_file_of_an_older_version_keeps_its_entries_and_what_was_hidden_is_taken_in() {
    let dir = tempfile::tempdir().unwrap();
    let old = Connection::open(file(dir.path())).unwrap();
    old.execute_batch(OLD).unwrap();
    let mut insert = old
        .prepare(
            "INSERT INTO callbacks VALUES \
             (?1, 1755000000000 + ?1, 'easemob', '192.0.2.1', ?2, ?3, '/webhooks/easemob', '', '[]', ?4, 500)",
        )
        .unwrap();
    for id in 1..=300 {
        let (outcome, reason, callback) = match id {
            ..100 => ("rejected", "bad_signature", easemob_signed_with(id, "wrong")),
            100..200 => ("malformed", "not_json", Callback { target: String::new(), body: "x".to_owned() }),
            _ => ("unavailable", "unavailable", easemob(id)),
        };
        insert.execute((id.cast_signed(), outcome, reason, callback.body.into_bytes())).unwrap();
    }
    drop(insert);
    drop(old);
    let text = config(dir.path(), &demo());
    let house = House::start_in(dir, text).await;
    timeout(PATIENCE, async { while house.receipts().await.len() < 101 {} }).await.unwrap();
    let gone = async { while house.metric("readhook_quarantine_taken_in_total").await < 101.0 {} };
    timeout(PATIENCE, gone).await.unwrap();
    timeout(PATIENCE, async { while list(&house, "").await.len() > 199 {} }).await.unwrap();
    assert_eq!((list(&house, "&class=app").await.len(), list(&house, "&class=other").await.len()), (99, 100));
    let receipts = house.receipts().await;
    assert_eq!(receipts.len(), 101);
    assert!(
        receipts.iter().all(|receipt| receipt["received_at"].as_str().unwrap().starts_with("2025-08-12"))
    );
    assert!(aside(house.dir.path()).is_empty());
    house.end().await;
}
