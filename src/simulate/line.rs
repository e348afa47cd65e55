//! One connection to the receiver: kept alive, one request on it at a time, opened anew when it has ended. A request is
//! never repeated here; a vendor that repeats decides that itself.

use std::pin::Pin;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::{Service, ServiceExt};

use super::address::Address;
use super::callback::{Callback, Kind};
use super::dialect::Answer;
use crate::config::TlsFiles;
use crate::tls;

/// No receiver's answer is longer; of one that is, nothing can be said.
const LONGEST_ANSWER: usize = 64 << 10;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Failure {
    /// No connection.
    Connect,
    /// The connection ended before the answer.
    Closed,
    /// Not in time.
    Timeout,
    /// What came is no HTTP, or too much of it.
    Unreadable,
    /// Given up at the end of the run.
    Abandoned,
}

impl Failure {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::Unreadable => "unreadable",
            Self::Abandoned => "abandoned",
        }
    }
}

/// How connections to a receiver are made, and what every request says.
pub(super) struct Lines {
    address: Address,
    connector: HttpsConnector<HttpConnector>,
    /// The good credentials, and others, where HTTP Basic is asked for.
    basic: Option<(HeaderValue, HeaderValue)>,
}

impl Lines {
    /// `credentials` are `user:password`.
    ///
    /// # Errors
    /// When the system has no certificate authorities, and the receiver is on https.
    pub(super) fn to(address: Address, credentials: Option<&[u8]>) -> Result<Self, tls::Error> {
        let tls =
            if address.encrypted() { tls::client_config(&TlsFiles::default())? } else { tls::unused()? };
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        // `https_or_http` needs both schemes let through.
        http.enforce_http(false);
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let basic = |credentials: &[u8]| {
            let mut value = HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(credentials)))?;
            value.set_sensitive(true);
            Ok::<_, tls::Error>(value)
        };
        let basic = match credentials {
            Some(credentials) => Some((basic(credentials)?, basic(b"nobody:nothing")?)),
            None => None,
        };
        Ok(Self { address, connector: connector.wrap_connector(http), basic })
    }

    fn request(&self, callback: &Callback) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(callback.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = callback.target.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, self.address.host.clone());
        if let Some(content_type) = callback.content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if let Some(id) = &callback.operation_id {
            headers.insert("operationid", id.clone());
        }
        if let Some((good, other)) = &self.basic {
            let value = if callback.kind == Kind::BadSignature { other } else { good };
            headers.insert(AUTHORIZATION, value.clone());
        }
        request
    }
}

type Body = Full<Bytes>;
type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

struct Open {
    client: SendRequest<Body>,
    /// Driven by whoever waits for something on it; nobody else does.
    connection: Pin<Box<Connection<Stream, Body>>>,
}

/// A connection, open or not.
pub(super) struct Line {
    lines: Arc<Lines>,
    open: Option<Open>,
}

impl Line {
    pub(super) fn new(lines: Arc<Lines>) -> Self {
        Self { lines, open: None }
    }

    /// Sends a callback and waits for its answer. Dropped before the end, the connection is given up.
    pub(super) async fn exchange(&mut self, callback: &Callback) -> Result<Answer, Failure> {
        let request = self.lines.request(callback);
        let mut open = match self.take_ready().await {
            Some(open) => open,
            None => self.connect().await?,
        };
        let Open { client, connection } = &mut open;
        let exchanged = async {
            let response = client.send_request(request).await?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await?.to_bytes();
            Ok::<_, tls::Error>(Answer { status, body })
        };
        let answer = beside(connection, exchanged).await;
        let answer = answer.map_err(|error| match error.downcast_ref::<hyper::Error>() {
            Some(error) if error.is_parse() => Failure::Unreadable,
            Some(_) => Failure::Closed,
            None => Failure::Unreadable,
        })?;
        self.open = Some(open);
        Ok(answer)
    }

    /// The open connection, if the receiver has not closed it meanwhile.
    async fn take_ready(&mut self) -> Option<Open> {
        let mut open = self.open.take()?;
        let Open { client, connection } = &mut open;
        beside(connection, client.ready()).await.ok()?;
        Some(open)
    }

    async fn connect(&mut self) -> Result<Open, Failure> {
        let mut connector = self.lines.connector.clone();
        let connector = connector.ready().await.map_err(|_| Failure::Connect)?;
        let origin = self.lines.address.origin.clone();
        let stream = connector.call(origin).await.map_err(|_| Failure::Connect)?;
        // As Go's client writes them: `Operationid`.
        let (client, connection) =
            Builder::new().title_case_headers(true).handshake(stream).await.map_err(|_| Failure::Connect)?;
        let mut open = Open { client, connection: Box::pin(connection) };
        let Open { client, connection } = &mut open;
        beside(connection, client.ready()).await.map_err(|_| Failure::Connect)?;
        Ok(open)
    }
}

/// Waits for something that needs the connection to be driven meanwhile.
async fn beside<T>(
    connection: &mut Pin<Box<Connection<Stream, Body>>>,
    something: impl Future<Output = T>,
) -> T {
    tokio::pin!(something);
    tokio::select! {
        biased;
        done = &mut something => return done,
        // What it has brought is there; what it has not, will fail now.
        _ended = connection => {}
    }
    something.await
}
