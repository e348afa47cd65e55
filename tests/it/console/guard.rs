//! Who may see the console and the API: the token, a session in its place, and no page of another site.

use http::Method;
use http_body_util::BodyExt;

use super::{ROOMS, TOKEN, ask, look, with_token};
use crate::house::{House, demo};

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_asked_for_once() {
    let house = House::start(&with_token()).await;
    let page = [("accept", "text/html")];
    for room in ROOMS {
        assert_eq!(look(&house, room, &[]).await.status, 401, "{room}");
        let asked = look(&house, room, &page).await;
        assert_eq!(asked.status, 401);
        assert!(asked.body.contains("name=\"token\""), "{}", asked.body);
        assert!(asked.body.contains(&format!("value=\"{room}\"")), "and then back to where one was");
    }
    let enter = async |token: &str, more: &[(&str, &str)]| {
        ask(&house, Method::POST, "/login", more, &format!("token={token}&back=%2Fsinks")).await
    };
    let wrong = enter("test-only-other", &[]).await;
    assert_eq!(wrong.status, 401);
    assert!(!wrong.headers.contains_key("set-cookie") && wrong.body.contains("role=\"alert\""));

    let right = enter(TOKEN, &[]).await;
    assert_eq!((right.status, right.headers["location"].to_str().unwrap()), (303, "/sinks"));
    let given = right.headers["set-cookie"].to_str().unwrap().to_owned();
    for part in ["; Path=/", "; HttpOnly", "; SameSite=Strict"] {
        assert!(given.contains(part), "{given}");
    }
    assert!(!given.contains(TOKEN) && !given.contains("Secure"), "{given}");
    let cookie = given.split(';').next().unwrap().to_owned();
    let behind_tls = enter(TOKEN, &[("x-forwarded-proto", "https")]).await;
    assert!(behind_tls.headers["set-cookie"].to_str().unwrap().ends_with("; Secure"));
    let elsewhere =
        ask(&house, Method::POST, "/login", &[], &format!("token={TOKEN}&back=//evil.example")).await;
    assert_eq!(elsewhere.headers["location"].to_str().unwrap(), "/");

    let with = [("cookie", cookie.as_str())];
    for target in ["/", "/sinks", "/api/v1/receipts", "/metrics"] {
        assert_eq!(look(&house, target, &with).await.status, 200, "{target}");
    }
    let bearer = format!("Bearer {TOKEN}");
    assert_eq!(look(&house, "/", &[("authorization", &bearer)]).await.status, 200);
    let made_up = format!("readhook_session={}", "0".repeat(64));
    for cookie in [format!("readhook_session={TOKEN}"), made_up, "readhook_session=".to_owned()] {
        assert_eq!(look(&house, "/", &[("cookie", &cookie)]).await.status, 401, "{cookie}");
    }

    let left = ask(&house, Method::POST, "/logout", &with, "").await;
    assert!(left.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(look(&house, "/api/v1/receipts", &with).await.status, 401, "the session has ended here, too");
    house.stop();
    house.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_of_another_site_gives_orders_or_looks() {
    let house = House::start(&demo()).await;
    let own = format!("http://{}", house.admin);
    for (target, good) in
        [("/sinks/events/pause", 303), ("/api/v1/sinks/events/pause", 200), ("/quarantine/requeue", 303)]
    {
        let order =
            async |headers: &[(&str, &str)]| ask(&house, Method::POST, target, headers, "").await.status;
        assert_eq!(order(&[]).await, good, "{target}: curl");
        assert_eq!(order(&[("origin", &own), ("sec-fetch-site", "same-origin")]).await, good, "{target}");
        for foreign in [
            [("origin", "http://evil.example"), ("accept", "*/*")],
            [("origin", "null"), ("accept", "*/*")],
            [("origin", "http://127.0.0.1:1"), ("accept", "*/*")],
            [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")],
            // Another port of the same machine.
            [("sec-fetch-site", "same-site"), ("sec-fetch-mode", "no-cors")],
        ] {
            assert_eq!(order(&foreign).await, 403, "{target}: {foreign:?}");
        }
    }
    let fetched = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")];
    let followed = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
    for target in ["/", "/api/v1/receipts"] {
        assert_eq!(look(&house, target, &fetched).await.status, 403, "{target}");
        assert_eq!(look(&house, target, &followed).await.status, 200, "a link may lead here: {target}");
    }
    // The sink is paused; the house's end wants it to have everything.
    assert_eq!(house.order("events", "resume", "").await.status, 200);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_suddenly_leads_here_is_not_believed() {
    let asked_as = async |house: &House, host: &str| {
        let stream = tokio::net::TcpStream::connect(house.admin).await.unwrap();
        let io = hyper_util::rt::TokioIo::new(stream);
        let (mut client, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        let request = http::Request::get("/api/v1/receipts").header("host", host);
        let request = request.header("authorization", format!("Bearer {TOKEN}"));
        let request = request.body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
        let answer = async {
            let response = client.send_request(request).await.unwrap();
            let status = response.status().as_u16();
            response.into_body().collect().await.unwrap();
            drop(client);
            status
        };
        tokio::join!(answer, connection).0
    };
    let house = House::start(&demo().replace("[admin]", "[admin]\nhosts = [\"readhook.test\"]")).await;
    for (host, status) in [
        ("evil.example:9090", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost:9090", 200),
        ("[::1]:9090", 200),
        ("192.0.2.1", 200),
        ("ReadHook.test:9090", 200),
    ] {
        assert_eq!(asked_as(&house, host).await, status, "{host}");
    }
    house.end().await;
    // With a token the name does not matter: no browser sends our cookie to another one.
    let house = House::start(&with_token()).await;
    assert_eq!(asked_as(&house, "readhook.example").await, 200);
    house.stop();
    house.ended().await;
}
