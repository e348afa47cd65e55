//! The console: who may see it (`guard`), what browsers are told, that nothing of a stranger's becomes markup, that it is
//! small; and all of it in a real browser (`tour`).

mod browser;
mod guard;
mod tour;

use http::Method;
use tokio::time::timeout;

use crate::house::{House, PATIENCE, Reply, demo, exchange};
use crate::vendor::{Callback, easemob, easemob_signed_with, openim, rongcloud, tencent};

const ROOMS: [&str; 5] = ["/", "/receipts", "/sinks", "/quarantine", "/doctor"];
const TOKEN: &str = "test-only-admin-token";

async fn ask(house: &House, method: Method, target: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    exchange(house.admin, method, target, headers, body.as_bytes().to_vec()).await
}

async fn look(house: &House, target: &str, headers: &[(&str, &str)]) -> Reply {
    ask(house, Method::GET, target, headers, "").await
}

async fn post(house: &House, Callback { target, body }: &Callback) -> u16 {
    house.post(target, &[], body.as_bytes()).await.status
}

fn with_token() -> String {
    demo().replace("[admin]", &format!("[admin]\ntoken = \"{TOKEN}\""))
}

/// The places of the style and the script in a page.
fn assets(page: &str) -> Vec<String> {
    let after = page.split("/assets/").skip(1);
    after.map(|rest| format!("/assets/{}", rest.split('"').next().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_are_told_to_take_nothing_from_elsewhere() {
    let house = House::start(&demo()).await;
    for room in ROOMS {
        let page = look(&house, room, &[]).await;
        assert_eq!(page.status, 200, "{room}: {}", page.body);
        let says = |name: &str| page.headers[name].to_str().unwrap().to_owned();
        let policy = says("content-security-policy");
        for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(part), "{room}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(
            (says("x-content-type-options"), says("cache-control")),
            ("nosniff".into(), "no-store".into())
        );
        assert_eq!(
            (says("content-type"), says("referrer-policy")),
            ("text/html; charset=utf-8".into(), "same-origin".into())
        );
        assert!(!page.body.contains("style=") && !page.body.contains("onclick"), "{room}: inline");
        for asset in assets(&page.body) {
            let asset = look(&house, &asset, &[]).await;
            assert_eq!(asset.status, 200);
            assert!(asset.headers["cache-control"].to_str().unwrap().contains("immutable"));
            assert!(!asset.body.contains("https://") && !asset.body.contains("http://"), "another host");
        }
    }
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_users_write_stays_text() {
    let house = House::start(&demo()).await;
    let evil = r#"\"><script>alert(1)</script><img src=x onerror=alert(1)>"#;
    let Callback { body: peer, .. } = tencent(1);
    let peer = peer.replace("reader", evil);
    let command = "C2C.CallbackAfterMsgReport";
    let target = format!("/webhooks/tencent?SdkAppid=1400000000&CallbackCommand={command}");
    assert_eq!(
        house.post(&target, &[("x-evil", "<script>alert(2)</script>")], peer.as_bytes()).await.status,
        200
    );
    // And one that ends in quarantine.
    let Callback { target, body } = easemob_signed_with(1, "test-only-mistyped");
    let body = body.replace("\"from\":\"reader\"", &format!("\"from\":\"{evil}\""));
    let target = format!("{target}?a=%3Cscript%3E");
    assert_eq!(house.post(&target, &[("x-evil", "<script>")], body.as_bytes()).await.status, 401);
    let reader = "%22%3E%3Cscript%3Ealert(1)%3C/script%3E%3Cimg%20src=x%20onerror=alert(1)%3E";
    let held = async || house.metric("readhook_quarantine_entries").await;
    timeout(PATIENCE, async { while held().await < 1.0 {} }).await.unwrap();
    for target in [
        "/".to_owned(),
        "/callbacks/1".to_owned(),
        "/callbacks/2".to_owned(),
        "/receipts".to_owned(),
        format!("/receipts?reader={reader}"),
        format!("/conversation?vendor=tencent&app=1400000000&reader={reader}"),
        format!("/conversation?vendor=tencent&app={reader}&conversation={reader}"),
        format!("/message?vendor=tencent&app=1400000000&conversation=peer&message_id={reader}"),
        format!("/doctor?path={reader}"),
        format!("/sinks?done=pause&sink={reader}"),
        "/quarantine".to_owned(),
        "/quarantine/1".to_owned(),
    ] {
        let page = look(&house, &target, &[("accept", "text/html")]).await;
        assert_eq!(page.status, 200, "{target}: {}", page.body);
        assert!(!page.body.contains("<script>") && !page.body.contains("<img"), "{target}: {}", page.body);
    }
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_heaviest_page_is_well_under_100_kilobytes() {
    let house = House::start(&demo()).await;
    for number in 0..80 {
        for callback in [easemob(number), openim(number), rongcloud(number)] {
            assert_eq!(post(&house, &callback).await, 200);
        }
        post(&house, &easemob_signed_with(number, "test-only-mistyped")).await;
    }
    let conversation = "/conversation?vendor=openim&app=demo&conversation=a";
    let message = "/message?vendor=openim&app=demo&conversation=a&message_seq=1";
    for language in ["en", "zh"] {
        for room in ROOMS.into_iter().chain([conversation, message, "/callbacks/4", "/quarantine/4"]) {
            let mark = if room.contains('?') { '&' } else { '?' };
            let page = look(&house, &format!("{room}{mark}lang={language}"), &[]).await;
            assert_eq!(page.status, 200, "{room}: {}", page.body);
            let mut bytes = page.body.len();
            for asset in assets(&page.body) {
                bytes += look(&house, &asset, &[]).await.body.len();
            }
            println_bytes(room, bytes);
            assert!(bytes < 80_000, "{room}: {bytes} bytes");
        }
    }
    house.end().await;
}

#[expect(clippy::print_stderr, reason = "for whoever wants to know, with --nocapture")]
fn println_bytes(room: &str, bytes: usize) {
    eprintln!("{room}: {bytes} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_speaks_the_language_that_is_asked_for() {
    let house = House::start(&demo()).await;
    let speaks =
        |page: &Reply| page.body.split("<html lang=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert_eq!(speaks(&look(&house, "/sinks", &[]).await), "en");
    assert_eq!(speaks(&look(&house, "/sinks", &[("accept-language", "zh-CN,zh;q=0.9")]).await), "zh-Hans");
    let chosen = look(&house, "/sinks?lang=zh", &[]).await;
    assert_eq!(speaks(&chosen), "zh-Hans");
    let cookie = chosen.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let kept = look(&house, "/", &[("cookie", &cookie), ("accept-language", "en")]).await;
    assert_eq!(speaks(&kept), "zh-Hans");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_quarantine_changes_nothing_and_a_requeue_does() {
    let house = House::start(&demo()).await;
    assert_eq!(post(&house, &easemob_signed_with(1, "test-only-mistyped")).await, 401);
    let held = async || house.metric("readhook_quarantine_entries").await;
    timeout(PATIENCE, async { while held().await < 1.0 {} }).await.unwrap();
    let order = async |body: &str| ask(&house, Method::POST, "/quarantine/requeue", &[], body).await;
    for (body, done) in
        [("vendor=&how=look", "done=look"), ("vendor=easemob&reason=bad_signature&how=take", "done=take")]
    {
        let went = order(body).await;
        let place = went.headers["location"].to_str().unwrap().to_owned();
        assert_eq!(went.status, 303);
        assert!(place.contains("kept=1") && place.contains(done), "{place}");
        assert!(look(&house, &place, &[]).await.body.contains("role=\"status\""));
    }
    let other = order("vendor=tencent&how=take").await;
    assert!(other.headers["location"].to_str().unwrap().contains("kept=0"));
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_journal_it_shows_what_there_is() {
    let house = House::start(&format!("{}\n[delivery]\nack_after = \"sinks\"\n", demo())).await;
    assert_eq!(post(&house, &easemob(1)).await, 200);
    for (target, status, says) in [
        ("/", 200, "accepted"),
        ("/callbacks/1", 200, "has it"),
        ("/sinks", 200, "delivering"),
        ("/receipts", 409, "keeps no journal"),
        ("/conversation?vendor=easemob&app=a&reader=b", 409, "keeps no journal"),
        ("/callbacks/2", 404, "not in the log"),
        ("/sinks?lang=zh", 200, "投递中"),
    ] {
        let page = look(&house, target, &[("accept", "text/html")]).await;
        assert_eq!(page.status, status, "{target}: {}", page.body);
        assert!(page.body.contains(says), "{target}: {}", page.body);
    }
    assert!(!look(&house, "/sinks", &[]).await.body.contains("/pause"), "nobody to give an order to");
    house.stop();
    house.ended().await;
}
