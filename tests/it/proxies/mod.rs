//! With nginx and HAProxy in front, each with its ways: who the client is, that nothing of path and query is
//! touched, and what becomes of slow, large and broken bodies. `examples` does so with the very files of `deploy/`.

mod deployed;
mod examples;
mod front;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use crate::hostile::{ALLOW, of_each};
use crate::house::{House, PATIENCE, demo};
use crate::raw::{Answer, Raw, padded, posted, request};
use crate::upstream::{Manner, Upstream};
use crate::vendor::{easemob, openim, rongcloud, tencent};
use front::{Front, Proxy};

/// The service as it is set behind a proxy, with OpenIM's servers at one address.
fn behind_a_proxy() -> String {
    demo()
        .replace(
            "listen = \"127.0.0.1:8080\"",
            "listen = \"127.0.0.1:8080\"\ntrusted_proxies = [\"127.0.0.1\"]",
        )
        .replace("allow_unauthenticated = true", "allowed_ips = [\"127.0.0.2\"]")
}

/// A client that calls from an address of its own; all of 127.0.0.0/8 is this machine.
async fn from(address: [u8; 4], to: SocketAddr) -> Raw {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((address, 0).into()).unwrap();
    Raw::over(socket.connect(to).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx and haproxy"]
async fn the_client_is_who_the_proxy_says_and_not_who_the_client_says() {
    for front in Front::ALL {
        let house = House::start(&behind_a_proxy()).await;
        let proxy = Proxy::start(front, house.public).await;
        let callback = openim(1);
        let with = |fields: &str| request(&callback.target, fields, callback.body.as_bytes());
        for spoofed in [
            "",
            "x-forwarded-for: 127.0.0.2\r\n",
            "x-forwarded-for: 127.0.0.2\r\nx-forwarded-for: 127.0.0.2, 127.0.0.1\r\n",
            "x-real-ip: 127.0.0.2\r\nforwarded: for=127.0.0.2\r\n",
        ] {
            let answer = from([127, 0, 0, 3], proxy.address()).await.ask(with(spoofed)).await;
            assert_eq!(answer.says(), (401, ALLOW), "{front:?}: {spoofed}");
        }
        let direct =
            from([127, 0, 0, 3], house.public).await.ask(with("x-forwarded-for: 127.0.0.2\r\n")).await;
        assert_eq!(direct.says(), (401, ALLOW), "past the proxy nobody is believed");
        assert!(house.receipts().await.is_empty());
        for spoofed in ["", "x-forwarded-for: 127.0.0.3\r\n"] {
            let answer = from([127, 0, 0, 2], proxy.address()).await.ask(with(spoofed)).await;
            assert_eq!(answer.says(), (200, ALLOW), "{front:?}: {spoofed}");
        }
        house.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx and haproxy"]
async fn path_and_query_come_through_to_the_byte() {
    for front in Front::ALL {
        let upstream = Upstream::start(Manner::answer("200 OK", "", "seen")).await;
        let proxy = Proxy::start(front, upstream.address).await;
        for target in [
            "/webhooks/openim//token%2Fx//callbackAfterSingleMsgReadCommand",
            "/webhooks/openim/./a/../callbackAfterSingleMsgReadCommand?command=a//b",
            "/webhooks/tencent?SdkAppid=1400000000&GroupId=%40TGS%231ABC&a=b+c%2B%20d&x&=&&Sign=%e4%BD%a0",
        ] {
            let answer = Raw::to(proxy.address()).await.ask(request(target, "", b"{}")).await;
            assert_eq!(answer.says(), (200, "seen"), "{front:?}: {target}");
            assert_eq!(upstream.got().pop().unwrap().line, format!("POST {target} HTTP/1.1"), "{front:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx and haproxy"]
async fn every_vendor_gets_through_with_long_queries_and_large_bodies() {
    for front in Front::ALL {
        let house = House::start(&demo()).await;
        let proxy = Proxy::start(front, house.public).await;
        let mut client = Raw::to(proxy.address()).await;
        for number in 1..=10 {
            for callback in of_each(number) {
                assert_eq!(client.ask(posted(&callback)).await.status, 200, "{front:?}");
            }
        }
        let mut long = rongcloud(11);
        long.target = format!("{}&more={}", long.target, "%20".repeat(2 << 10));
        assert!(long.target.len() > 6 << 10);
        assert_eq!(client.ask(posted(&long)).await.says(), (200, "ok"), "{front:?}");
        for callback in of_each(12) {
            assert_eq!(client.ask(padded(&callback, 900 << 10)).await.status, 200, "{front:?}");
        }
        assert_eq!(house.receipts().await.len(), 45);
        assert_eq!(connections_to(house.public), 1, "{front:?} keeps its connection to use it again");
        drop(client);
        drop(proxy);
        house.end().await;
    }
}

/// How many connections the service has on its public port, as the kernel knows them.
fn connections_to(address: SocketAddr) -> usize {
    let local = format!(":{:04X}", address.port());
    let from = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let own = fields.next()?;
        let (remote, state) = (fields.next()?, fields.next()?);
        (own.ends_with(&local) && state == "01").then(|| remote.to_owned())
    };
    // A set: while other tests open and close theirs, the kernel lists a connection twice now and then.
    let listed = std::fs::read_to_string("/proc/net/tcp").unwrap();
    listed.lines().filter_map(from).collect::<HashSet<_>>().len()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx and haproxy"]
async fn slow_bodies_get_through_and_broken_ones_leave_nothing() {
    for front in Front::ALL {
        let house = House::start(&demo()).await;
        let proxy = Proxy::start(front, house.public).await;
        // Half a body, and the client is gone.
        for number in 1..=10 {
            let whole = posted(&easemob(number));
            let mut client = Raw::to(proxy.address()).await;
            client.send(&whole[..whole.len() - 20]).await;
        }
        // A body in pieces.
        let whole = padded(&tencent(11), 100 << 10);
        let mut client = Raw::to(proxy.address()).await;
        for piece in whole.chunks(20 << 10) {
            client.send(piece).await;
            sleep(Duration::from_millis(30)).await;
        }
        assert_eq!(client.answer().await.unwrap().status, 200, "{front:?}");
        // In chunks, without a length.
        let (target, body) = (openim(12).target, openim(12).body);
        let chunked = format!(
            "POST {target} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        );
        assert_eq!(client.ask(chunked).await.says(), (200, ALLOW), "{front:?}");
        assert_eq!(house.receipts().await.len(), 2, "{front:?}: nothing of the broken ones");
        house.end().await;
    }
}

/// Answered before the body has come, the refusal must reach the vendor all the same.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx and haproxy"]
async fn a_body_past_the_limit_is_refused_in_the_vendors_words_through_the_proxy() {
    for front in Front::ALL {
        let house = House::start(&demo()).await;
        let proxy = Proxy::start(front, house.public).await;
        for number in 1..=5 {
            let large = padded(&openim(number), 3 << 19);
            let answer = timeout(PATIENCE, refused(proxy.address(), &large)).await.unwrap();
            assert_eq!(answer.says(), (413, ALLOW), "{front:?}: {answer:?}");
        }
        assert!(house.receipts().await.is_empty());
        let fine = Raw::to(proxy.address()).await.ask(posted(&openim(9))).await;
        assert_eq!(fine.says(), (200, ALLOW));
        house.end().await;
    }
}

/// Sends and listens at once, as clients do: the answer may come before everything is sent.
async fn refused(address: SocketAddr, bytes: &[u8]) -> Answer {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (mut answers, mut requests) = TcpStream::connect(address).await.unwrap().into_split();
    let (_sent, answer) = tokio::join!(requests.write_all(bytes), async {
        let mut text = Vec::new();
        while !text.ends_with(ALLOW.as_bytes()) {
            let mut block = [0; 4096];
            match timeout(Duration::from_secs(5), answers.read(&mut block)).await {
                Ok(Ok(read @ 1..)) => text.extend_from_slice(&block[..read]),
                Ok(Ok(_) | Err(_)) | Err(_) => break,
            }
        }
        String::from_utf8(text).unwrap()
    });
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}
