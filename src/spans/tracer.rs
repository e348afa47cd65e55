//! Where spans begin and how they get away: a queue of bounded length, a thread that empties it in batches, and an end
//! of patience when the service ends.

use std::time::Duration;

use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider,
};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SdkTracer, SdkTracerProvider};

use super::Came;
use super::callback::CallbackSpan;
use super::collector::{Collector, Watched};
use super::delivery::DeliverySpan;
use super::environment::{Error, Settings};
use crate::receipt::TraceContext;

/// How long the end of the service waits for the collector.
const LAST_WORDS: Duration = Duration::from_secs(3);

#[derive(Clone)]
pub(super) struct Tracer {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Tracer {
    /// Connects to nothing yet. Must be called within the runtime, which then carries the requests.
    pub(super) fn start(settings: &Settings) -> Result<Self, Error> {
        let collector = Collector::new(settings)?;
        let trouble = collector.trouble();
        let exporter = SpanExporter::builder().with_http().with_http_client(collector).build();
        // Its own words would show the URL, which may hold a password.
        let exporter = exporter.map_err(|_| "OTEL_EXPORTER_OTLP_ENDPOINT: no URL that can be called")?;
        let queue = BatchSpanProcessor::builder(Watched::new(exporter, trouble)).build();
        let provider =
            SdkTracerProvider::builder().with_resource(resource()).with_span_processor(queue).build();
        let scope = InstrumentationScope::builder("readhook").with_version(env!("CARGO_PKG_VERSION"));
        let tracer = provider.tracer_with_scope(scope.build());
        Ok(Self { provider, tracer })
    }

    pub(super) fn callback(&self, came: &Came<'_>) -> Option<CallbackSpan> {
        CallbackSpan::begin(&self.tracer, came)
    }

    pub(super) fn delivery<'t>(
        &self,
        sink: &str,
        receipts: usize,
        traces: impl Iterator<Item = &'t TraceContext>,
    ) -> Option<DeliverySpan> {
        DeliverySpan::begin(&self.tracer, sink, receipts, traces)
    }

    pub(super) async fn close(self) {
        let closed =
            tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(LAST_WORDS)).await;
        if !matches!(closed, Ok(Ok(()))) {
            tracing::warn!("the collector did not take the last spans in time");
        }
    }
}

/// Who we are; `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` know better.
fn resource() -> Resource {
    let named = |name: &str| std::env::var(name).unwrap_or_default();
    let resource = Resource::builder();
    let attributes = named("OTEL_RESOURCE_ATTRIBUTES");
    let has =
        |key: &str| attributes.split(',').any(|pair| pair.split('=').next().map(str::trim) == Some(key));
    let mut own = Vec::new();
    if named("OTEL_SERVICE_NAME").is_empty() && !has("service.name") {
        own.push(KeyValue::new("service.name", "readhook"));
    }
    if !has("service.version") {
        own.push(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    }
    resource.with_attributes(own).build()
}

/// As OpenTelemetry knows it. `remote` where another process began it.
pub(super) fn span_context(context: &TraceContext, remote: bool) -> Option<SpanContext> {
    let mut parts = context.as_str().split('-').skip(1);
    let trace_id = TraceId::from_hex(parts.next()?).ok()?;
    let span_id = SpanId::from_hex(parts.next()?).ok()?;
    let sampled = parts.next()? == "01";
    let flags = TraceFlags::default().with_sampled(sampled);
    Some(SpanContext::new(trace_id, span_id, flags, remote, TraceState::NONE))
}

/// What a child of it begins in.
pub(super) fn under(parent: SpanContext) -> Context {
    Context::new().with_remote_span_context(parent)
}
