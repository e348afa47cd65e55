//! What an answer means: delivered, to be tried again and when, or refused, and which receipt it is that is
//! refused.

use std::time::Duration;

use readhook::journal::Stored;
use serde_json::Value;

use super::receiver::{Act, Receiver};
use super::{batch, halted, rejected, retry, sink};
use crate::endurance::receipt;

#[tokio::test(flavor = "multi_thread")]
async fn every_status_is_delivered_tried_again_or_refused() {
    let receiver = Receiver::new([]).await;
    for status in [200, 201, 202, 204, 299] {
        let receiver = Receiver::new([Act::Take(format!("{status} X"), String::new())]).await;
        sink(&receiver.url(), "").deliver(&batch(1)).await.unwrap();
    }
    let again = [
        301, 302, 303, 307, 308, 304, 401, 402, 403, 404, 407, 408, 414, 421, 423, 424, 425, 426, 428, 429,
        431, 500, 501, 502, 503, 504, 507, 599,
    ];
    for status in again {
        let receiver = Receiver::new([Act::Answer(
            format!("{status} X\r\nlocation: {}", receiver.url()),
            if status == 304 { String::new() } else { "no\u{7} way".to_owned() },
        )])
        .await;
        let (done, why, after) = retry(sink(&receiver.url(), "").deliver(&batch(2)).await);
        assert_eq!((done, after), (0, None));
        assert!(why.starts_with(&format!("answered {status}")), "{why}");
        assert!(status == 304 || why.ends_with(": no way"), "{why}");
        if (300..400).contains(&status) {
            assert!(why.contains("redirects are not followed"), "{why}");
        }
        assert_eq!(receiver.requests().len(), 1, "{status} ends the try");
    }
    assert!(receiver.requests().is_empty(), "no redirect is followed");
    for status in [400, 409, 412, 413, 416, 417, 418, 422, 451, 499] {
        let receiver = Receiver::new([Act::ok(), Act::answer(format!("{status} X"), &"é".repeat(500))]).await;
        let (refused, why) = rejected(sink(&receiver.url(), "").deliver(&batch(3)).await);
        assert_eq!(refused, 1..2);
        assert_eq!(why, format!("answered {status}: {}", "é".repeat(200)));
        assert_eq!(receiver.numbers(), [1]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_gone_refuses_no_receipt_and_wants_nothing_more() {
    for mode in ["single", "batch"] {
        let receiver = Receiver::new([Act::ok(), Act::answer("410 Gone", "moved out")]).await;
        let sink = sink(&receiver.url(), &format!("mode = \"{mode}\""));
        sink.deliver(&batch(1)).await.unwrap();
        let (done, why) = halted(sink.deliver(&batch(4)).await);
        let said = "answered 410; the endpoint says that it is gone for good: moved out";
        assert_eq!((done, why.as_str()), (0, said), "{mode}");
    }
    let receiver = Receiver::new([Act::ok(), Act::ok(), Act::answer("410 Gone", "")]).await;
    let (done, _) = halted(sink(&receiver.url(), "").deliver(&batch(5)).await);
    assert_eq!(done, 2, "what it took before, it has");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_is_asked_for_is_passed_on() {
    #[expect(clippy::disallowed_methods, reason = "the endpoint has a clock of its own")]
    let now = jiff::Timestamp::now();
    let soon = now + jiff::SignedDuration::from_secs(600);
    let soon = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&soon).unwrap();
    let hour = Duration::from_secs(3600);
    let in_form = |format: &str| {
        let then = now + jiff::SignedDuration::from_secs(600);
        then.to_zoned(jiff::tz::TimeZone::UTC).strftime(format).to_string()
    };
    let (rfc850, asctime) = (in_form("%A, %d-%b-%y %H:%M:%S GMT"), in_form("%a %b %e %H:%M:%S %Y"));
    for (status, asked, least, most) in [
        (429, "7", Duration::from_secs(7), Duration::from_secs(7)),
        (503, "0", Duration::ZERO, Duration::ZERO),
        (500, "86400", hour, hour),
        (503, &soon, Duration::from_secs(300), Duration::from_secs(600)),
        (503, &rfc850, Duration::from_secs(300), Duration::from_secs(600)),
        (429, &asctime, Duration::from_secs(300), Duration::from_secs(600)),
        (503, "Sun, 06 Nov 1994 08:49:37 GMT", Duration::ZERO, Duration::ZERO),
        (503, "Sunday, 06-Nov-94 08:49:37 GMT", Duration::ZERO, Duration::ZERO),
        (503, "Sun Nov  6 08:49:37 1994", Duration::ZERO, Duration::ZERO),
        (429, "99999999999999999999", hour, hour),
        (429, "Thu, 31 Dec 9998 23:59:59 GMT", hour, hour),
    ] {
        let receiver = Receiver::new([Act::answer(format!("{status} X\r\nretry-after: {asked}"), "")]).await;
        let (_, _, after) = retry(sink(&receiver.url(), "").deliver(&batch(1)).await);
        assert!(after.is_some_and(|after| (least..=most).contains(&after)), "{asked} gives {after:?}");
    }
    for asked in ["soon", "", "-1", "1.5", "Sun, 99 Nov 1994 08:49:37 GMT"] {
        let receiver = Receiver::new([Act::answer(format!("429 X\r\nretry-after: {asked}"), "")]).await;
        assert_eq!(retry(sink(&receiver.url(), "").deliver(&batch(1)).await).2, None, "{asked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_batch_is_narrowed_down_to_the_receipt_that_is_to_blame() {
    for bad in [1, 2, 7, 8, 20] {
        let holds = move |events: &[Value]| events.iter().any(|event| event["data"]["message_seq"] == bad);
        let receiver = Receiver::judging([], move |events| {
            if holds(events) { Act::answer("413 Content Too Large", "fat") } else { Act::ok() }
        })
        .await;
        let (refused, why) = rejected(sink(&receiver.url(), "mode = \"batch\"").deliver(&batch(20)).await);
        assert_eq!((refused.start as u64 + 1, refused.len(), why.as_str()), (bad, 1, "answered 413: fat"));
        assert_eq!(receiver.numbers(), (1..bad).collect::<Vec<u64>>(), "all before it, once, none behind it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_only_too_large_goes_in_parts() {
    let receiver = Receiver::judging([], |events| {
        if events.len() > 3 { Act::answer("413 Content Too Large", "") } else { Act::ok() }
    })
    .await;
    sink(&receiver.url(), "mode = \"batch\"").deliver(&batch(20)).await.unwrap();
    assert_eq!(receiver.numbers(), (1..=20).collect::<Vec<u64>>());
    let failing = Receiver::new([
        Act::answer("413 Content Too Large", ""),
        Act::ok(),
        Act::answer("500 Internal Server Error", ""),
    ])
    .await;
    let (done, _, _) = retry(sink(&failing.url(), "mode = \"batch\"").deliver(&batch(20)).await);
    assert_eq!((done, failing.numbers().len()), (10, 10), "what was taken need not come again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_heard_while_the_batch_is_still_going_out() {
    let early = Act::AnswerEarly("413 Content Too Large".to_owned(), "enough".to_owned());
    let receiver = Receiver::new([early.clone(), early]).await;
    let mut fat = receipt(1);
    // More than sockets hold.
    fat["extra"]["fat"] = "x".repeat(20 << 20).into();
    let fat = Stored { seq: 1, received_at: 1, json: fat.to_string().into(), trace: None };
    for mode in ["single", "batch"] {
        let sink = sink(&receiver.url(), &format!("mode = \"{mode}\""));
        let (refused, why) = rejected(sink.deliver(std::slice::from_ref(&fat)).await);
        assert_eq!((refused, why.as_str()), (0..1, "answered 413: enough"));
    }
}
