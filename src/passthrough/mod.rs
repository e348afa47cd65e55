//! Passthrough: Tencent, OpenIM and Easemob have one callback URL for everything, so whoever enters readhook there may still
//! need the other callbacks elsewhere. Genuine neighbours go to that upstream as they came, and its answer goes back as it
//! came. Whatever goes wrong, and whenever it would be late, the vendor hears its allow-answer: readhook must never be the
//! reason that a message is not sent.

mod breaker;
mod call_ids;
mod message;

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use crate::config::{PassthroughConfig, VendorsConfig};
use crate::log_limit::LogLimit;
use crate::metrics::Metrics;
use crate::receipt::VendorName;
use crate::tls;
use crate::vendor::Incoming;
use breaker::Breaker;
pub(crate) use call_ids::CallIds;
use message::{end_to_end, target};

/// A longer answer is none to a callback.
const LONGEST_ANSWER: usize = 1 << 20;
/// How many callbacks may be at an upstream at once. More hear the allow-answer.
const AT_ONCE: usize = 1_024;
/// Vendors' callbacks come in bursts; connections are kept for the next one, but not for an upstream that closes its own.
const KEPT_FOR: Duration = Duration::from_secs(20);

/// The upstreams of the vendors that have one.
pub(crate) struct Passthroughs(Vec<Passthrough>);

/// An upstream.
pub(crate) struct Passthrough {
    vendor: VendorName,
    upstream: Uri,
    within: Duration,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    breaker: Breaker,
    room: Semaphore,
    metrics: Metrics,
    log: LogLimit,
}

/// An upstream's answer, to be handed on.
#[derive(Debug)]
pub(crate) struct Forwarded {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why there is none.
enum Miss {
    /// The upstream has failed often, and is left alone.
    Open,
    /// Too many are at it already.
    Full,
    /// It was not there in time.
    Late,
    /// It could not be reached, or said that something is wrong with itself.
    Failed(String),
}

impl Passthroughs {
    /// Those of a configuration.
    ///
    /// # Errors
    /// When the certificates of an upstream cannot be used.
    pub(crate) fn configure(config: &VendorsConfig, metrics: &Metrics) -> Result<Self, tls::Error> {
        let configured = [
            (VendorName::Easemob, config.easemob.passthrough.as_ref()),
            (VendorName::Tencent, config.tencent.passthrough.as_ref()),
            (VendorName::OpenIm, config.openim.passthrough.as_ref()),
        ];
        let made = configured.into_iter().filter_map(|(vendor, config)| Some((vendor, config?)));
        made.map(|(vendor, config)| Passthrough::new(vendor, config, metrics))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The upstream of a vendor, if it has one.
    pub(crate) fn of(&self, vendor: VendorName) -> Option<&Passthrough> {
        self.0.iter().find(|passthrough| passthrough.vendor == vendor)
    }
}

/// Easemob's pre-send callbacks wait for 200 ms, Tencent's for 2 s; OpenIM's as long as its configuration says.
fn default_patience(vendor: VendorName) -> Duration {
    match vendor {
        VendorName::Easemob => Duration::from_millis(150),
        VendorName::Tencent | VendorName::OpenIm | VendorName::RongCloud => Duration::from_millis(1_500),
    }
}

impl Passthrough {
    fn new(vendor: VendorName, config: &PassthroughConfig, metrics: &Metrics) -> Result<Self, tls::Error> {
        let encrypted = config.url.scheme_str() == Some("https");
        let tls = if encrypted { tls::client_config(&config.tls)? } else { tls::unused()? };
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(KEPT_FOR)
            .pool_timer(TokioTimer::new())
            .build(connector);
        ["answered", "open", "full", "late", "failed", "unauthentic", "another_body"].into_iter().for_each(
            |result| {
                metrics.passthrough.with_label_values(&[vendor.as_str(), result]).inc_by(0);
            },
        );
        Ok(Self {
            vendor,
            upstream: config.url.clone(),
            within: config.within().unwrap_or_else(|| default_patience(vendor)),
            client,
            breaker: Breaker::default(),
            room: Semaphore::new(AT_ONCE),
            metrics: metrics.clone(),
            log: LogLimit::default(),
        })
    }

    /// Hands a genuine neighbour on, and gives the upstream's answer if it comes in time, counted from `begun`.
    ///
    /// Dropped half-way, the upstream may have got it or not.
    pub(crate) async fn forward(&self, request: &Incoming, begun: Instant) -> Option<Forwarded> {
        let (result, answer) = match self.try_forward(request, begun).await {
            Ok(answer) => ("answered", Some(answer)),
            Err(Miss::Open) => ("open", None),
            Err(Miss::Full) => ("full", None),
            Err(Miss::Late) => {
                self.complain(&format!("no answer within {} ms", self.within.as_millis()));
                ("late", None)
            }
            Err(Miss::Failed(why)) => {
                self.complain(&why);
                ("failed", None)
            }
        };
        self.count(result);
        answer
    }

    /// A neighbour that did not prove genuine stays here.
    pub(crate) fn keep(&self) {
        self.count("unauthentic");
    }

    /// Another body came under an id that is known: somebody who has seen one callback makes up others. It stays here.
    pub(crate) fn keep_another_body(&self) {
        self.count("another_body");
        if let Some(suppressed) = self.log.admit() {
            tracing::warn!(
                vendor = self.vendor.as_str(),
                suppressed,
                "another body came under the signed id of an earlier callback: it is not handed on"
            );
        }
    }

    async fn try_forward(&self, request: &Incoming, begun: Instant) -> Result<Forwarded, Miss> {
        let _room = self.room.try_acquire().map_err(|_| Miss::Full)?;
        if !self.breaker.admits(Instant::now()) {
            return Err(Miss::Open);
        }
        let exchanged = timeout_at((begun + self.within).into(), self.exchange(request)).await;
        let answer = exchanged.unwrap_or(Err(Miss::Late));
        match &answer {
            Ok(_) if self.breaker.succeeded() => {
                tracing::info!(vendor = self.vendor.as_str(), "the passthrough's upstream answers again");
            }
            Err(_) if self.breaker.failed(Instant::now()) => {
                tracing::warn!(
                    vendor = self.vendor.as_str(),
                    "the passthrough's upstream keeps failing: vendors hear the allow-answer at once, and it is tried every 5 s"
                );
            }
            Ok(_) | Err(_) => {}
        }
        answer
    }

    async fn exchange(&self, request: &Incoming) -> Result<Forwarded, Miss> {
        let failed = |why: String| Miss::Failed(why);
        let uri = target(&self.upstream, request).ok_or_else(|| failed("the query is none".to_owned()))?;
        let mut onward = Request::new(Full::new(request.body.clone()));
        *onward.method_mut() = Method::POST;
        *onward.uri_mut() = uri;
        *onward.headers_mut() = end_to_end(&request.headers);
        let response = self.client.request(onward).await.map_err(|error| failed(error.to_string()))?;
        let (head, body) = response.into_parts();
        // It may be the upstream's own gateway that speaks; in doubt the vendor's business goes on. Easemob counts every
        // answer but 200 towards its ban of the app, whoever gave it.
        let counted = self.vendor == VendorName::Easemob && head.status != StatusCode::OK;
        if counted || head.status.is_server_error() || head.status.is_informational() {
            return Err(failed(format!("the upstream answered {}", head.status.as_u16())));
        }
        let body =
            Limited::new(body, LONGEST_ANSWER).collect().await.map_err(|error| failed(error.to_string()))?;
        Ok(Forwarded { status: head.status, headers: end_to_end(&head.headers), body: body.to_bytes() })
    }

    fn count(&self, result: &str) {
        self.metrics.passthrough.with_label_values(&[self.vendor.as_str(), result]).inc();
    }

    fn complain(&self, why: &str) {
        if let Some(suppressed) = self.log.admit() {
            tracing::warn!(
                vendor = self.vendor.as_str(),
                error = why,
                suppressed,
                "a neighbour could not be handed on; the vendor hears its allow-answer"
            );
        }
    }
}
