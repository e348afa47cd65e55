//! Spans for OpenTelemetry: a callback's way, and each delivery to a sink. They go out over OTLP where the environment
//! names a collector (`OTEL_EXPORTER_OTLP_ENDPOINT`). Without one nothing of this exists but an `Option` that is empty.
//!
//! Paths and queries hold tokens and signatures, so no span holds either.

#[cfg(feature = "otel")]
mod callback;
#[cfg(feature = "otel")]
mod collector;
#[cfg(feature = "otel")]
mod delivery;
mod environment;
#[cfg(not(feature = "otel"))]
mod left_out;
#[cfg(feature = "otel")]
mod tracer;

use std::time::Instant;

use http::HeaderMap;

use crate::receipt::{TraceContext, VendorName};
#[cfg(feature = "otel")]
pub(crate) use callback::{CallbackSpan, Step};
#[cfg(feature = "otel")]
pub(crate) use delivery::DeliverySpan;
#[cfg(not(feature = "otel"))]
use left_out::Tracer;
#[cfg(not(feature = "otel"))]
pub(crate) use left_out::{CallbackSpan, DeliverySpan, Step};
#[cfg(feature = "otel")]
use tracer::Tracer;

/// Where spans begin; clones share it.
#[derive(Clone)]
pub(crate) struct Spans(Option<Tracer>);

/// A callback of which nothing is known yet.
#[cfg_attr(not(feature = "otel"), expect(dead_code, reason = "nobody is told then"))]
pub(crate) struct Came<'r> {
    pub(crate) vendor: VendorName,
    /// The route, and nothing of the path behind it.
    pub(crate) route: &'r str,
    pub(crate) headers: &'r HeaderMap,
    pub(crate) begun: Instant,
}

/// What became of a callback.
#[cfg_attr(not(feature = "otel"), expect(dead_code, reason = "nobody is told then"))]
pub(crate) struct Ended<'r> {
    /// As far as it is proven.
    pub(crate) app: Option<&'r str>,
    pub(crate) event: Option<&'r str>,
    pub(crate) outcome: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) new_receipts: u32,
    pub(crate) repeated_receipts: u32,
    pub(crate) status: u16,
}

/// What became of a batch at a sink.
#[cfg_attr(not(feature = "otel"), expect(dead_code, reason = "nobody is told then"))]
pub(crate) struct Delivered {
    pub(crate) done: usize,
    pub(crate) refused: usize,
    pub(crate) error: Option<String>,
}

impl Spans {
    /// None.
    pub(crate) fn off() -> Self {
        Self(None)
    }

    /// Those that the environment asks for. Nothing depends on them: what is wrong with the settings is logged, and
    /// everything goes on without.
    pub(crate) fn start() -> Self {
        let started = match environment::wanted(|name| std::env::var(name).ok()) {
            Ok(None) => return Self::off(),
            Ok(Some(settings)) => Tracer::start(&settings),
            Err(error) => Err(error),
        };
        match started {
            Ok(tracer) => {
                tracing::info!("spans go to the collector that OTEL_EXPORTER_OTLP_… names");
                Self(Some(tracer))
            }
            Err(error) => {
                tracing::error!(%error, "going on without traces");
                Self::off()
            }
        }
    }

    /// Whether there are any.
    pub(crate) fn are_on(&self) -> bool {
        self.0.is_some()
    }

    /// The span of a callback; `None` when nobody wants it. Boxed, so that who has none does not carry its size about.
    #[inline]
    pub(crate) fn callback(&self, came: &Came<'_>) -> Option<Box<CallbackSpan>> {
        self.0.as_ref()?.callback(came).map(Box::new)
    }

    /// The span of a delivery to a sink; `None` when none of its receipts belongs to a trace.
    pub(crate) fn delivery<'t>(
        &self,
        sink: &str,
        receipts: usize,
        traces: impl Iterator<Item = &'t TraceContext>,
    ) -> Option<DeliverySpan> {
        self.0.as_ref()?.delivery(sink, receipts, traces)
    }

    /// Sends what is waiting, for as long as the collector takes it within a moment.
    pub(crate) async fn close(self) {
        if let Some(tracer) = self.0 {
            tracer.close().await;
        }
    }
}
