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
const LONGEST_ANSWER: usize = 16 << 20;

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

/// The running service has not answered what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// There is none, as far as can be told.
    #[error(
        "a running service is needed, and {address}, the admin.listen of this configuration, does not answer ({why}): start it \
         with `readhook serve`, or name its configuration with --config"
    )]
    Absent {
        /// Where it should be.
        address: String,
        /// What happened.
        why: BoxError,
    },
    /// It will not, or cannot.
    #[error("the running service says {status}: {detail}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// Its own words.
        detail: String,
    },
}

/// Asks the running service through its admin listener.
pub(super) async fn question(
    config: &Config,
    method: Method,
    path: &str,
    body: String,
) -> Result<Value, AskError> {
    let address = reachable(config.admin.listen).to_string();
    let answer = ask(&address, method, path, config.admin.token.as_ref(), body).await;
    let (status, answer) = answer.map_err(|why| AskError::Absent { address: address.clone(), why })?;
    let Ok(answer) = serde_json::from_str::<Value>(&answer) else {
        let why = format!("something else than readhook answers there, with {status}").into();
        return Err(AskError::Absent { address, why });
    };
    if status.is_success() {
        return Ok(answer);
    }
    let detail = answer["detail"].as_str().unwrap_or("no reason given").to_owned();
    Err(AskError::Refused { status, detail })
}

/// Gives it an order, and waits until it is carried out.
pub(super) async fn order(config: &Config, path: &str, body: &Value) -> Result<Value, BoxError> {
    Ok(question(config, Method::POST, path, body.to_string()).await?)
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
