//! Through the console with a real browser: what a person sees and does there.
//!
//! With `READHOOK_PICTURES=<folder>` it takes a picture of each page on the way, on a desk and on a phone.

use std::path::PathBuf;

use serde_json::Value;

use super::browser::Browser;
use super::post;
use crate::house::{House, demo};
use crate::vendor::{Callback, easemob, easemob_signed_with, openim, rongcloud, tencent};

const DESK: (u32, u32) = (1280, 800);
const PHONE: (u32, u32) = (390, 844);

async fn pictures(browser: &mut Browser, name: &str) {
    let Some(folder) = std::env::var_os("READHOOK_PICTURES").map(PathBuf::from) else { return };
    std::fs::create_dir_all(&folder).unwrap();
    for (size, dark, ending) in [(DESK, false, "desk"), (PHONE, false, "phone"), (DESK, true, "dark")] {
        browser.look_like(size, dark).await;
        browser.run("document.activeElement.blur(); scrollTo(0, 0)").await;
        browser.picture(&folder.join(format!("{name}-{ending}.png"))).await;
    }
    browser.look_like(DESK, false).await;
}

/// Nothing may be wider than a phone.
async fn fits_a_phone(browser: &mut Browser) {
    browser.look_like(PHONE, false).await;
    let wide = browser.run("document.documentElement.scrollWidth").await.as_u64().unwrap();
    browser.look_like(DESK, false).await;
    assert!(wide <= u64::from(PHONE.0), "{wide} wide: {}", browser.run("location.href").await);
}

async fn seen(browser: &mut Browser, name: &str) {
    fits_a_phone(browser).await;
    pictures(browser, name).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs chromium"]
async fn a_person_finds_everything() {
    let house = House::start(&demo()).await;
    let mut browser = Browser::start(house.admin).await;
    browser.look_like(DESK, false).await;

    // Nobody has called: the page says what to do, and turns by itself when somebody does.
    browser.go("/").await;
    browser.until_it_says("/webhooks/rongcloud").await;
    seen(&mut browser, "first").await;
    browser.until("document.getElementById('status').dataset.is === 'on'").await;
    assert_eq!(post(&house, &easemob(1)).await, 200);
    browser.until("document.querySelectorAll('[data-live=list] tbody tr').length === 1").await;
    browser.until_it_says("accepted").await;

    // A bad signature appears live, with the reason in plain words, and its page says what is wrong.
    browser.until("document.getElementById('status').dataset.is === 'on'").await;
    browser.run("window.stays = true").await;
    for number in 2..30 {
        for callback in [easemob(number), openim(number), rongcloud(number), tencent(number)] {
            assert_eq!(post(&house, &callback).await, 200);
        }
    }
    assert_eq!(post(&house, &easemob_signed_with(100, "test-only-easemob-secret\n")).await, 401);
    browser.until_it_says("No secret of the app gives this signature").await;
    assert_eq!(browser.run("window.stays").await, Value::Bool(true), "it came without a reload");
    let rows = "document.querySelectorAll('[data-live=list] tbody tr').length";
    browser.until(&format!("{rows} === 114")).await;
    browser.until("document.querySelector('#overview').innerText.includes('not usable')").await;
    seen(&mut browser, "live").await;
    browser.follow("[data-live] tbody tr:first-child a").await;
    browser.until("!!document.getElementById('finding-signed_with_white_space')").await;
    seen(&mut browser, "callback").await;

    // Paused, the list stands still; it goes on by keyboard.
    browser.go("/").await;
    browser.until("document.getElementById('status').dataset.is === 'on'").await;
    browser.press("Tab", 9, "").await;
    assert_eq!(browser.run("document.activeElement.className").await, "skip");
    browser.run("document.getElementById('pause').focus()").await;
    browser.press("Enter", 13, "\r").await;
    browser.until("document.getElementById('status').dataset.is === 'paused'").await;
    assert_eq!(post(&house, &openim(1000)).await, 200);
    browser.press("Enter", 13, "\r").await;
    browser.until("document.getElementById('status').dataset.is === 'on'").await;
    browser.until("document.querySelector('[data-live] tbody tr').innerText.includes('OpenIM')").await;

    // From a receipt to its message, to its conversation, to its reader.
    browser.go("/receipts?vendor=openim&message_seq=7").await;
    seen(&mut browser, "receipts").await;
    browser.follow("td a[href^='/message']").await;
    assert_eq!(browser.run("document.getElementById('read').textContent").await, "1");
    browser.until_it_says("a receipt of this message").await;
    seen(&mut browser, "message").await;
    browser.follow("dd a[href^='/conversation']").await;
    browser.until("document.querySelector('td.number').innerText.includes('1000')").await;
    seen(&mut browser, "conversation").await;
    browser.follow("td a[href*='reader=']").await;
    browser.until_it_says("How far this reader is").await;

    // A sink is paused and goes on.
    browser.go("/sinks").await;
    seen(&mut browser, "sinks").await;
    browser.follow("form[action$='/pause'] button").await;
    browser.until_it_says("paused").await;
    let sinks = async || house.get("/api/v1/sinks").await.body;
    assert!(sinks().await.contains(r#""state":"paused""#));
    browser.follow("form[action$='/resume'] button").await;
    browser.until_it_says("delivering").await;
    assert!(sinks().await.contains(r#""state":"delivering""#));

    // What is in quarantine, and what would come of it.
    browser.go("/quarantine").await;
    browser.until("document.getElementById('held').textContent === '1'").await;
    seen(&mut browser, "quarantine").await;
    browser.follow("button[value=look]").await;
    browser.until_it_says("Nothing was changed").await;
    browser.follow("tbody a").await;
    browser.until("!!document.getElementById('finding-signed_with_white_space')").await;

    // The doctor.
    browser.go("/doctor").await;
    let Callback { body, .. } = easemob_signed_with(3, "TEST-ONLY-EASEMOB-SECRET");
    browser.run(&format!("document.querySelector('[name=body]').value = {}", Value::from(body))).await;
    browser.follow("form[action='/doctor'] button").await;
    browser.until("!!document.getElementById('finding-secret_case')").await;
    assert!(!browser.run("document.body.innerText").await.to_string().contains("test-only-easemob-secret"));
    seen(&mut browser, "doctor").await;

    // Another language, which stays.
    browser.go("/sinks").await;
    browser.follow(".corner a[hreflang=zh-Hans]").await;
    browser.go("/").await;
    assert_eq!(browser.run("document.documentElement.lang").await, "zh-Hans");
    browser.until_it_says("已接收").await;
    seen(&mut browser, "live-zh").await;
    browser.go("/callbacks/114").await;
    seen(&mut browser, "callback-zh").await;

    let own = format!("http://{}/", house.admin);
    let foreign: Vec<&String> = browser
        .asked
        .iter()
        .filter(|url| !url.starts_with(&own) && !url.starts_with("data:") && *url != "about:blank")
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
    drop(browser);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs chromium"]
async fn the_token_opens_it_and_leaving_closes_it() {
    let house = House::start(&super::with_token()).await;
    let mut browser = Browser::start(house.admin).await;
    browser.look_like(DESK, false).await;
    browser.go("/sinks").await;
    seen(&mut browser, "login").await;
    browser.run(&format!("document.getElementById('token').value = '{}'", super::TOKEN)).await;
    browser.follow("form[action='/login'] button").await;
    browser
        .until("location.pathname === '/sinks' && document.querySelectorAll('main .card').length === 1")
        .await;
    // The stream takes the cookie, too.
    browser.go("/").await;
    browser.until("document.getElementById('status').dataset.is === 'on'").await;
    assert_eq!(browser.run("document.cookie").await, "", "no script can read the session");
    browser.follow("form[action='/logout'] button").await;
    browser.until("!!document.getElementById('token')").await;
    drop(browser);
    house.stop();
    house.ended().await;
}
