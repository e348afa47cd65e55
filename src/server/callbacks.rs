//! From an HTTP request to an [`Incoming`] and from an [`Answer`] to a response.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::time::{sleep_until, timeout};

use super::client::client;
use super::health::Health;
use crate::clock;
use crate::config::ServerConfig;
use crate::ingest::Ingest;
use crate::vendor::{self, Answer, Incoming, Outcome, Unreadable, Vendors};

/// Where the vendors' routes begin.
const PREFIX: &str = "/webhooks/";

/// What a callback passes through.
#[derive(Clone)]
pub(crate) struct Door(Arc<Inner>);

struct Inner {
    ingest: Arc<Ingest>,
    /// Replaced as a whole when the configuration is read anew; requests under way keep what they began with.
    vendors: RwLock<Arc<Vendors>>,
    server: ServerConfig,
    health: Health,
}

impl Door {
    pub(crate) fn new(ingest: Arc<Ingest>, vendors: Vendors, server: ServerConfig, health: Health) -> Self {
        Self(Arc::new(Inner { ingest, vendors: RwLock::new(Arc::new(vendors)), server, health }))
    }

    /// Puts other vendors in place; the requests that come from now on meet them.
    pub(crate) fn replace(&self, vendors: Vendors) {
        *self.0.vendors.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(vendors);
    }

    pub(super) fn health(&self) -> Health {
        self.0.health.clone()
    }

    fn vendors(&self) -> Arc<Vendors> {
        self.0.vendors.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Takes any request that is not about health.
pub(super) async fn take(
    State(door): State<Door>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let begun = Instant::now();
    let Some(path) = request.uri().path().strip_prefix(PREFIX) else { return respond(&vendor::not_here("")) };
    let vendors = door.vendors();
    let Some((vendor, tail_at)) = vendors.route(path) else { return respond(&vendor::not_here(path)) };
    if request.method() != Method::POST {
        let mut response = respond(&vendor.answer(&Outcome::Unreadable(Unreadable::WrongMethod)));
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    let inner = &*door.0;
    let (head, body) = request.into_parts();
    let peer: IpAddr = peer.ip();
    let mut incoming = Incoming {
        client: client(peer, &head.headers, &inner.server.trusted_proxies),
        tail_at: PREFIX.len() + tail_at,
        uri: head.uri,
        headers: head.headers,
        body: Bytes::new(),
        received_at: clock::now(),
    };
    let answer = match read_body(body, &incoming, &inner.server).await {
        Ok(body) => {
            incoming.body = body;
            inner.ingest.take(&**vendor, incoming, begun).await
        }
        Err(unreadable) => {
            inner.ingest.refuse(&**vendor, incoming, begun, Outcome::Unreadable(unreadable))
        }
    };
    if let Some(wait) = answer.not_before {
        sleep_until((begun + wait).into()).await;
    }
    respond(&answer)
}

/// The whole body, and not a byte more than allowed.
async fn read_body(body: Body, request: &Incoming, server: &ServerConfig) -> Result<Bytes, Unreadable> {
    let limit = server.body_limit_bytes;
    let announced = request.headers.get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()).and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(Unreadable::BodyTooLarge);
    }
    let patience = Duration::from_millis(server.body_timeout_ms);
    timeout(patience, collect(body, limit)).await.unwrap_or(Err(Unreadable::BodyTimeout))
}

async fn collect(mut body: Body, limit: usize) -> Result<Bytes, Unreadable> {
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unreadable::BodyBroken)?.into_data() else { continue };
        if first.len() + whole.len() + data.len() > limit {
            return Err(Unreadable::BodyTooLarge);
        }
        // Nearly every body comes in one piece, which then needs no copy.
        if first.is_empty() && whole.is_empty() {
            first = data;
        } else {
            whole.extend_from_slice(&std::mem::take(&mut first));
            whole.extend_from_slice(&data);
        }
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

fn respond(answer: &Answer) -> Response {
    let body = match &answer.body {
        std::borrow::Cow::Borrowed(text) => Body::from(*text),
        std::borrow::Cow::Owned(text) => Body::from(text.clone()),
    };
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    response
}
