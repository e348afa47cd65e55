//! A collector: takes OTLP over HTTP as one would, and shows the spans.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use crate::upstream::{Got, Manner, Upstream};

/// What it answers when all is well: an empty `ExportTraceServiceResponse`.
pub(super) fn takes() -> Manner {
    Manner::answer("200 OK", "content-type: application/x-protobuf\r\n", "")
}

pub(super) struct Collector(pub(super) Upstream);

impl Collector {
    pub(super) async fn start() -> Self {
        Self(Upstream::start(takes()).await)
    }

    /// What makes readhook export to it, without waiting for long.
    pub(super) fn environment(&self) -> [(&'static str, String); 2] {
        let endpoint = format!("http://{}", self.0.address);
        [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint), ("OTEL_BSP_SCHEDULE_DELAY", "20".to_owned())]
    }

    /// Waits until so many spans fit, and gives them.
    pub(super) async fn until(&self, count: usize, fits: impl Fn(&Span) -> bool) -> Vec<Span> {
        loop {
            let got = self.0.got();
            let spans: Vec<Span> = got.iter().flat_map(spans).filter(&fits).collect();
            if spans.len() >= count {
                assert_eq!(spans.len(), count, "{spans:?}");
                return spans;
            }
            self.0.until_got(got.len() + 1).await;
        }
    }

    pub(super) fn all(&self) -> Vec<Span> {
        self.0.got().iter().flat_map(spans).collect()
    }

    /// What it was told of the service itself.
    pub(super) fn resource(&self, name: &str) -> Option<String> {
        let request = decode(self.0.got().first()?);
        text(&request.resource_spans.first()?.resource.as_ref()?.attributes, name)
    }
}

fn decode(got: &Got) -> ExportTraceServiceRequest {
    assert_eq!(got.line, "POST /v1/traces HTTP/1.1");
    assert_eq!(got.field("content-type"), Some("application/x-protobuf"));
    ExportTraceServiceRequest::decode(&*got.body).unwrap()
}

fn spans(got: &Got) -> Vec<Span> {
    let scopes = decode(got).resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    scopes.flat_map(|scope| scope.spans).collect()
}

pub(super) fn text(attributes: &[KeyValue], name: &str) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.key == name)?;
    let value = attribute.value.as_ref()?.value.as_ref()?;
    if let Value::StringValue(text) = value {
        return Some(text.clone());
    }
    let Value::IntValue(number) = value else { panic!("{name} is {value:?}") };
    Some(number.to_string())
}

/// An attribute of a span, as text.
pub(super) fn attribute(span: &Span, name: &str) -> Option<String> {
    text(&span.attributes, name)
}

/// A span as the header of those under it.
pub(super) fn traceparent(span: &Span) -> String {
    format!("00-{}-{}-01", hex::encode(&span.trace_id), hex::encode(&span.span_id))
}
