//! One question to a running service's listener.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::config::{Config, Secret};
use crate::sink::BoxError;

/// Longer answers are none of ours.
const LONGEST_ANSWER: usize = 1 << 20;

/// Asks, and waits for the answer for as long as it takes.
pub(super) async fn ask(
    address: &str,
    method: Method,
    path: &str,
    token: Option<&Secret>,
    body: String,
) -> Result<(StatusCode, String), BoxError> {
    let stream = TcpStream::connect(address).await?;
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let mut request = Request::builder().method(method).uri(path).header("host", address);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {}", token.expose()));
    }
    let request = request.body(Full::new(Bytes::from(body)))?;
    let answer = async {
        let response = client.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await?.to_bytes();
        drop(client);
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    let (answer, _) = tokio::join!(answer, connection);
    answer
}

/// Gives an order to the running service through its admin listener, and waits until it is carried out.
pub(super) async fn order(config: &Config, path: &str, body: &Value) -> Result<Value, BoxError> {
    let address = reachable(config.admin.listen).to_string();
    let token = config.admin.token.as_ref();
    let answer = ask(&address, Method::POST, path, token, body.to_string()).await;
    let (status, answer) = answer.map_err(|error| {
        format!("a running service is needed, and its admin listener {address} does not answer: {error}")
    })?;
    let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
    if status.is_success() {
        return Ok(answer);
    }
    let why = answer["detail"].as_str().unwrap_or("no reason given");
    Err(format!("the running service says {status}: {why}").into())
}

/// From inside, an address that means "all of them" is reached by way of loopback.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(_) | IpAddr::V6(_) => listen.ip(),
    };
    SocketAddr::new(ip, listen.port())
}
