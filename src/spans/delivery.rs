//! The span of a delivery: <https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/>. A batch holds receipts
//! of many traces, so it is linked to all of them, and stands in the first one.

use opentelemetry::KeyValue;
use opentelemetry::trace::{Link, Span, SpanBuilder, SpanKind, Status, Tracer};
use opentelemetry_sdk::trace::{SdkTracer, Span as SdkSpan};

use super::Delivered;
use super::tracer::{span_context, under};
use crate::receipt::TraceContext;

/// OpenTelemetry's own default; more would be cut off.
const MOST_LINKS: usize = 128;

/// The span of a batch that is on its way. Dropped, it ends there.
pub(crate) struct DeliverySpan(SdkSpan);

impl DeliverySpan {
    pub(super) fn begin<'t>(
        tracer: &SdkTracer,
        sink: &str,
        receipts: usize,
        traces: impl Iterator<Item = &'t TraceContext>,
    ) -> Option<Self> {
        let mut links: Vec<Link> = Vec::new();
        let mut before: Option<&TraceContext> = None;
        // The receipts of a callback follow one another.
        for trace in traces {
            if before.replace(trace) == Some(trace) {
                continue;
            }
            links.extend(span_context(trace, true).map(|context| Link::new(context, Vec::new(), 0)));
            if links.len() == MOST_LINKS {
                break;
            }
        }
        let parent = under(links.first()?.span_context.clone());
        let builder = SpanBuilder::from_name(format!("send {sink}"))
            .with_kind(SpanKind::Producer)
            .with_links(links)
            .with_attributes([
                KeyValue::new("messaging.operation.name", "send"),
                KeyValue::new("messaging.operation.type", "send"),
                KeyValue::new("messaging.batch.message_count", i64::try_from(receipts).unwrap_or(i64::MAX)),
                KeyValue::new("readhook.sink", sink.to_owned()),
            ]);
        let span = tracer.build_with_context(builder, &parent);
        span.span_context().is_sampled().then_some(Self(span))
    }

    /// Ends it, with what came of the batch.
    pub(crate) fn end(mut self, delivered: Delivered) {
        let count = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.0.set_attribute(KeyValue::new("readhook.receipts", count(delivered.done)));
        self.0.set_attribute(KeyValue::new("readhook.receipts.refused", count(delivered.refused)));
        if let Some(error) = delivered.error {
            self.0.set_status(Status::error(error));
        }
        self.0.end();
    }
}
