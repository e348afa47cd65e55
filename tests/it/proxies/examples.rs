//! The examples of `deploy/`, over TLS: a vendor hears through nginx and Caddy what it would hear without them, to the byte.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use serde_json::Value;
use tokio::task::block_in_place;

use super::connections_to;
use super::deployed::{Deployed, Example};
use crate::fixtures::{Case, cases};
use crate::hostile::{ALLOW, of_each};
use crate::house::{House, demo};
use crate::raw::{self, Raw};
use crate::servers::{free_address, program};
use crate::upstream::{Manner, Upstream};
use crate::vendor::{Callback, openim};

const HERE: [u8; 4] = [127, 0, 0, 1];
const TARGETS: [&str; 5] = [
    "/webhooks/openim//token%2Fx//callbackAfterSingleMsgReadCommand",
    "/webhooks/openim/./a/../callbackAfterSingleMsgReadCommand?command=a//b",
    "/webhooks/tencent?SdkAppid=1400000000&GroupId=%40TGS%231ABC&a=b+c%2B%20d&x&=&&Sign=%e4%BD%a0",
    "/webhooks/tencent?SdkAppid=1400000000&GroupId=@TGS#1ABC&CallbackCommand=Group.CallbackAfterReadReceipt",
    "/webhooks/rongcloud?appKey=a&nonce=1;2&timestamp=3&signature=~!*'()$,:@/?",
];

/// A request for the host that the certificate names: Caddy looks at that.
fn request(target: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    for_localhost(&raw::request(target, fields, body))
}

fn padded(callback: &Callback, size: usize) -> Vec<u8> {
    for_localhost(&raw::padded(callback, size))
}

fn for_localhost(request: &[u8]) -> Vec<u8> {
    let field = b"\r\nhost: x\r\n";
    let at = request.windows(field.len()).position(|bytes| bytes == field).unwrap();
    [&request[..at], b"\r\nhost: localhost\r\n", &request[at + field.len()..]].concat()
}

/// As `deploy/` says it is to be set behind a proxy.
fn behind_a_proxy(text: &str) -> String {
    if text.contains("trusted_proxies") {
        return text.to_owned();
    }
    text.replacen("[server]\n", "[server]\ntrusted_proxies = [\"127.0.0.1\"]\n", 1)
}

/// What differs from one delivery to the next is left out.
fn told(mut receipts: Vec<Value>) -> Vec<Value> {
    for receipt in &mut receipts {
        let fields = receipt.as_object_mut().unwrap();
        fields.remove("received_at");
        // Where nothing identifies an event, its id is random.
        fields.remove("id");
    }
    receipts
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx and caddy"]
async fn every_fixture_is_answered_as_without_a_proxy() {
    let mut by_config: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    // A claimed address is for proxies to overrule: see below.
    let claims = |case: &Case| {
        case.posted().headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("x-forwarded-for"))
    };
    for case in cases().into_iter().filter(|case| !claims(case)) {
        by_config.entry(case.config()).or_default().push(case);
    }
    for example in Example::ALL {
        let mut answered = 0;
        for cases in by_config.values() {
            let text = behind_a_proxy(&cases[0].configuration());
            let (bare, behind) = (House::start(&text).await, House::start(&text).await);
            let proxy = Deployed::start(example, behind.public).await;
            let mut client = proxy.client(HERE).await;
            for case in cases {
                let asked = case.posted();
                let fields: String =
                    asked.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                let bytes = request(&asked.target, &fields, &asked.body);
                let plain = Raw::to(bare.public).await.ask(&bytes).await;
                let through = client.ask(&bytes).await;
                assert_eq!(through.says(), plain.says(), "{example:?}: {}", case.name());
                let kind = |head: &str| {
                    head.lines().find(|line| line.starts_with("content-type:")).map(str::to_owned)
                };
                assert_eq!(kind(&through.head), kind(&plain.head), "{example:?}: {}", case.name());
                answered += 1;
            }
            assert_eq!(told(behind.receipts().await), told(bare.receipts().await), "{example:?}");
            assert_eq!(connections_to(behind.public), 1, "{example:?} keeps its connection to use it again");
            drop((client, proxy));
            bare.end().await;
            behind.end().await;
        }
        assert!(answered > 300, "{answered}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx and caddy"]
async fn path_and_query_come_through_to_the_byte() {
    for example in Example::ALL {
        let upstream = Upstream::start(Manner::answer("200 OK", "", "seen")).await;
        let proxy = Deployed::start(example, upstream.address).await;
        let mut client = proxy.client(HERE).await;
        for target in TARGETS {
            let answer = client.ask(request(target, "operationID: op-1\r\n", b"{\"a\": 1}\n")).await;
            assert_eq!(answer.says(), (200, "seen"), "{example:?}: {target}");
            let got = upstream.got().pop().unwrap();
            assert_eq!(got.line, format!("POST {target} HTTP/1.1"), "{example:?}");
            assert_eq!((got.field("operationid"), &got.body[..]), (Some("op-1"), &b"{\"a\": 1}\n"[..]));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx, caddy and curl"]
async fn http_2_is_spoken_in_front_and_comes_through_to_the_byte() {
    for example in Example::ALL {
        let upstream = Upstream::start(Manner::answer("200 OK", "", "seen")).await;
        let proxy = Deployed::start(example, upstream.address).await;
        for target in TARGETS {
            let url = format!("https://localhost:{}/", proxy.address().port());
            let mut curl = Command::new(program("curl"));
            curl.args(["--silent", "--show-error", "--http2", "--path-as-is", "--request-target", target]);
            curl.arg("--cacert").arg(proxy.certificate()).args(["--data-binary", "{}"]);
            curl.args(["--write-out", " %{http_version} %{http_code}", &url]).stdin(Stdio::null());
            let output = block_in_place(|| curl.output()).unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(said, "seen 2 200", "{example:?}: {target} {output:?}");
            let got = upstream.got().pop().unwrap();
            assert_eq!(got.line, format!("POST {target} HTTP/1.1"), "{example:?}");
            assert_eq!(got.body, b"{}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx and caddy"]
async fn the_client_is_who_calls_and_not_who_it_says_it_is() {
    let text = demo().replace("allow_unauthenticated = true", "allowed_ips = [\"127.0.0.2\"]");
    for example in Example::ALL {
        let house = House::start(&behind_a_proxy(&text)).await;
        let proxy = Deployed::start(example, house.public).await;
        let callback = openim(1);
        let with = |fields: &str| request(&callback.target, fields, callback.body.as_bytes());
        for spoofed in [
            "",
            "x-forwarded-for: 127.0.0.2\r\n",
            "x-forwarded-for: 127.0.0.2\r\nx-forwarded-for: 127.0.0.2, 127.0.0.1\r\n",
            "x-real-ip: 127.0.0.2\r\nforwarded: for=127.0.0.2\r\n",
            "x_forwarded_for: 127.0.0.2\r\nconnection: x-forwarded-for\r\n",
        ] {
            let answer = proxy.client([127, 0, 0, 3]).await.ask(with(spoofed)).await;
            assert_eq!(answer.says(), (401, ALLOW), "{example:?}: {spoofed}");
        }
        assert!(house.receipts().await.is_empty());
        for spoofed in ["", "x-forwarded-for: 127.0.0.3\r\n"] {
            let answer = proxy.client([127, 0, 0, 2]).await.ask(with(spoofed)).await;
            assert_eq!(answer.says(), (200, ALLOW), "{example:?}: {spoofed}");
        }
        house.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx and caddy"]
async fn a_body_past_the_limit_is_refused_in_each_vendors_words() {
    let refusals = [
        r#"{"error":"body_too_large"}"#,
        r#"{"ActionStatus":"FAIL","ErrorInfo":"body_too_large","ErrorCode":413}"#,
        ALLOW,
        "body_too_large",
    ];
    for example in Example::ALL {
        let house = House::start(&behind_a_proxy(&demo())).await;
        let proxy = Deployed::start(example, house.public).await;
        // Within what nginx takes, and beyond that.
        for size in [3 << 19, 5 << 20] {
            for (callback, says) in of_each(size as u64).iter().zip(refusals) {
                let mut client = proxy.client(HERE).await;
                client.send(padded(callback, size)).await;
                let answer = client.answer().await;
                assert_eq!(answer.as_ref().map(|it| it.says()), Some((413, says)), "{example:?}: {size}");
            }
            // In chunks: how long it is shows only as it comes.
            let (target, body) = (openim(1).target, vec![b' '; size]);
            let head = format!(
                "POST {target} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n{size:x}\r\n"
            );
            let mut client = proxy.client(HERE).await;
            client.send([head.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat()).await;
            let answer = client.answer().await;
            assert_eq!(
                answer.as_ref().map(|it| it.says()),
                Some((413, ALLOW)),
                "{example:?}: chunked {size}"
            );
        }
        assert!(house.receipts().await.is_empty());
        for callback in of_each(7) {
            let large = padded(&callback, 900 << 10);
            assert_eq!(proxy.client(HERE).await.ask(large).await.status, 200, "{example:?}");
        }
        house.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx and caddy"]
async fn nothing_but_the_webhooks_can_be_reached() {
    for example in Example::ALL {
        let upstream = Upstream::start(Manner::answer("200 OK", "", "seen")).await;
        let proxy = Deployed::start(example, upstream.address).await;
        for target in [
            "/",
            "/livez",
            "/healthz",
            "/metrics",
            "/api/v1/receipts",
            "/webhooks/../metrics",
            "/webhooks/%2e%2e/metrics",
            "//metrics?/webhooks/",
        ] {
            // A request of its own each: a refused one may end its connection.
            let answer = proxy.client(HERE).await.ask(request(target, "", b"")).await;
            assert!([400, 404].contains(&answer.status), "{example:?}: {target} {answer:?}");
        }
        let from_afar = proxy.client([127, 0, 0, 2]).await.ask(request("/readyz", "", b"")).await;
        assert!([403, 404].contains(&from_afar.status), "{example:?}: {from_afar:?}");
        assert!(upstream.got().is_empty(), "{example:?}: {:?}", upstream.got());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx and caddy"]
async fn while_readhook_is_away_openim_is_told_to_go_on_and_no_secret_is_logged() {
    for example in Example::ALL {
        let proxy = Deployed::start(example, free_address()).await;
        let mut client = proxy.client(HERE).await;
        let target = "/webhooks/openim/hidden-token/callbackBeforeSendSingleMsgCommand";
        assert_eq!(client.ask(request(target, "", b"{}")).await.says(), (503, ALLOW), "{example:?}");
        for target in ["/webhooks/easemob", "/webhooks/tencent?Sign=hidden-token", "/webhooks/rongcloud"] {
            assert_eq!(client.ask(request(target, "", b"{}")).await.status, 502, "{example:?}: {target}");
        }
        assert!(!proxy.has_written("hidden-token"), "{example:?}");
        if example == Example::Nginx {
            assert!(proxy.has_written(" 502 "), "the trouble itself is in the log");
        }
    }
}
