//! A callback's span, from its head to its answer: <https://opentelemetry.io/docs/specs/semconv/http/http-spans/>. Under it
//! a span for each step that takes time.

use std::time::SystemTime;

use opentelemetry::trace::{Span, SpanBuilder, SpanKind, Status, Tracer};
use opentelemetry::{Context, KeyValue, time};
use opentelemetry_sdk::trace::{SdkTracer, Span as SdkSpan};

use super::tracer::{span_context, under};
use super::{Came, Ended};
use crate::receipt::TraceContext;

const TRACEPARENT: &str = "traceparent";

/// The span of a callback that is under way. Dropped half-way, because the service ends, it ends there, without an outcome.
pub(crate) struct CallbackSpan {
    tracer: SdkTracer,
    span: SdkSpan,
    /// What its steps begin in.
    inside: Context,
}

/// A step of it that is under way; what is not ended leaves nothing.
pub(crate) struct Step {
    tracer: SdkTracer,
    name: &'static str,
    begun: SystemTime,
    inside: Context,
}

impl CallbackSpan {
    /// `None` if the sampler does not want it.
    pub(super) fn begin(tracer: &SdkTracer, came: &Came<'_>) -> Option<Self> {
        let now = time::now();
        let builder = SpanBuilder::from_name(format!("POST {}", came.route))
            .with_kind(SpanKind::Server)
            .with_start_time(now.checked_sub(came.begun.elapsed()).unwrap_or(now))
            .with_attributes([
                KeyValue::new("http.request.method", "POST"),
                KeyValue::new("http.route", came.route.to_owned()),
                KeyValue::new("url.scheme", "http"),
                KeyValue::new("readhook.vendor", came.vendor.as_str()),
            ]);
        let parent = parent(came).and_then(|context| span_context(&context, true));
        let outside = parent.map(under).unwrap_or_default();
        let span = tracer.build_with_context(builder, &outside);
        if !span.span_context().is_sampled() {
            return None;
        }
        let inside = under(span.span_context().clone());
        Some(Self { tracer: tracer.clone(), span, inside })
    }

    /// What its receipts carry on.
    pub(crate) fn context(&self) -> Option<TraceContext> {
        let context = self.span.span_context();
        TraceContext::parse(&format!("00-{}-{}-01", context.trace_id(), context.span_id()))
    }

    /// Begins a step.
    pub(crate) fn step(&self, name: &'static str) -> Step {
        Step { tracer: self.tracer.clone(), name, begun: time::now(), inside: self.inside.clone() }
    }

    /// Ends it, with what came of the callback.
    pub(crate) fn end(mut self, ended: &Ended<'_>) {
        let span = &mut self.span;
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(ended.status)));
        span.set_attribute(KeyValue::new("readhook.outcome", ended.outcome));
        for (name, text) in [("readhook.app", ended.app), ("readhook.event", ended.event)] {
            if let Some(text) = text {
                span.set_attribute(KeyValue::new(name, text.to_owned()));
            }
        }
        if !ended.reason.is_empty() {
            span.set_attribute(KeyValue::new("readhook.reason", ended.reason));
        }
        span.set_attribute(KeyValue::new("readhook.receipts", i64::from(ended.new_receipts)));
        span.set_attribute(KeyValue::new("readhook.receipts.repeated", i64::from(ended.repeated_receipts)));
        // A client's fault is no error of a server's span.
        if ended.outcome == "unavailable" || ended.status >= 500 {
            span.set_attribute(KeyValue::new("error.type", ended.reason));
            span.set_status(Status::error(ended.reason));
        }
        span.end();
    }
}

impl Step {
    /// Ends it.
    pub(crate) fn end(self) {
        let builder = SpanBuilder::from_name(self.name).with_start_time(self.begun);
        self.tracer.build_with_context(builder, &self.inside).end();
    }
}

/// The caller's span, if its header is there once and valid.
fn parent(came: &Came<'_>) -> Option<TraceContext> {
    let mut values = came.headers.get_all(TRACEPARENT).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => TraceContext::parse(value.to_str().ok()?),
        (_, _) => None,
    }
}
