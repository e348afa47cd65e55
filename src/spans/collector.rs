//! The way to the collector: OTLP over HTTP with the same client and the same TLS as everything else that we connect to.
//! A collector that is down costs a log line a minute, and the spans.

use std::fmt::{Debug, Formatter};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::environment::{Error, Settings};
use crate::tls;

/// A longer answer is none.
const LONGEST_ANSWER: usize = 1 << 20;
/// A connection is kept for the next batch, which comes every 5 s.
const KEPT_FOR: Duration = Duration::from_secs(30);
/// So often a collector that is down is spoken of.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Why the last request came to nothing, which the exporter keeps to itself.
type Trouble = Arc<Mutex<Option<String>>>;

/// What posts to it.
pub(super) struct Collector {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    within: Duration,
    /// The exporter works on a thread of its own, without a runtime.
    runtime: Handle,
    trouble: Trouble,
}

impl Collector {
    pub(super) fn new(settings: &Settings) -> Result<Self, Error> {
        let tls = if settings.encrypted { tls::client_config(&settings.tls)? } else { tls::unused()? };
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(KEPT_FOR)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Ok(Self {
            client,
            within: settings.timeout,
            runtime: Handle::try_current()?,
            trouble: Trouble::default(),
        })
    }

    pub(super) fn trouble(&self) -> Trouble {
        self.trouble.clone()
    }
}

impl Debug for Collector {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("Collector")
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (client, within) = (self.client.clone(), self.within);
        let exchange = async move {
            let response = client.request(request.map(Full::new)).await?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, LONGEST_ANSWER).collect().await?.to_bytes();
            Ok::<_, HttpError>(Response::from_parts(head, body))
        };
        // A timer wants the runtime from its making on.
        let exchanged = self.runtime.spawn(async move { timeout(within, exchange).await }).await?;
        let answer = exchanged.unwrap_or_else(|_| Err(format!("no answer within {within:?}").into()));
        let why = answer.as_ref().err().map(|error| causes(&**error));
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = why;
        answer
    }
}

/// The exporter, with an eye on what comes of it.
#[derive(Debug)]
pub(super) struct Watched {
    exporter: opentelemetry_otlp::SpanExporter,
    trouble: Trouble,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failing: bool,
    told: Option<Instant>,
    lost: usize,
}

impl Watched {
    pub(super) fn new(exporter: opentelemetry_otlp::SpanExporter, trouble: Trouble) -> Self {
        Self { exporter, trouble, state: Mutex::default() }
    }

    fn tell(&self, result: &OTelSdkResult, spans: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Err(error) = result else {
            if std::mem::take(&mut state.failing) {
                tracing::info!("the collector takes spans again");
            }
            return;
        };
        state.failing = true;
        state.lost += spans;
        if state.told.is_some_and(|told| told.elapsed() < TOLD_EVERY) {
            return;
        }
        state.told = Some(Instant::now());
        let lost = std::mem::take(&mut state.lost);
        let why = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take();
        let why = why.unwrap_or_else(|| error.to_string());
        tracing::warn!(error = why, lost, "the collector takes no spans; they are lost");
    }
}

impl SpanExporter for Watched {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.exporter.export(batch).await;
        self.tell(&result, spans);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}
