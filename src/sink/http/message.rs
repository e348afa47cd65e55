//! What is sent: receipts as CloudEvents 1.0 in structured JSON,
//! <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>, in the envelope of
//! Standard Webhooks,
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::config::{HttpMode, SigningKey};
use crate::journal::Stored;
use crate::receipt::TraceContext;
use crate::sink::BoxError;
use crate::sink::cloud_event;
use crate::sink::facts::Facts;

/// How many bytes of the digest tell one batch from others.
const BATCH_ID_BYTES: usize = 16;

/// The body of a request, and what it is called.
pub(super) struct Message {
    /// The same whenever the same receipts are sent again.
    pub(super) id: String,
    pub(super) content_type: &'static str,
    pub(super) body: Bytes,
    /// The trace of the one event; a batch is of many.
    pub(super) traceparent: Option<String>,
}

#[derive(Serialize)]
struct Event<'a> {
    specversion: &'static str,
    id: &'a str,
    source: String,
    #[serde(rename = "type")]
    kind: &'static str,
    time: &'a str,
    /// Absent or not empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Cow<'a, str>>,
    datacontenttype: &'static str,
    partitionkey: String,
    /// The extension for distributed tracing,
    /// <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/extensions/distributed-tracing.md>.
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    data: &'a RawValue,
}

impl Message {
    /// One for all of the receipts. In single mode there is but one.
    pub(super) fn of(mode: HttpMode, receipts: &[Stored], facts: &[Facts<'_>]) -> Result<Self, BoxError> {
        let events: Vec<Event<'_>> = receipts
            .iter()
            .zip(facts)
            .map(|(receipt, facts)| Event::of(receipt, facts))
            .collect::<Result<_, _>>()?;
        Ok(match (mode, events.as_slice()) {
            (HttpMode::Single, [event]) => Self {
                id: event.id.to_owned(),
                content_type: cloud_event::JSON,
                body: serde_json::to_vec(event)?.into(),
                traceparent: event.traceparent.map(str::to_owned),
            },
            (HttpMode::Single | HttpMode::Batch, events) => Self {
                id: batch_id(events),
                content_type: cloud_event::BATCH_JSON,
                body: serde_json::to_vec(events)?.into(),
                traceparent: None,
            },
        })
    }

    /// One signature for each key, for the header; `None` without keys.
    pub(super) fn signatures(
        &self,
        keys: &[SigningKey],
        timestamp: &str,
    ) -> Result<Option<String>, BoxError> {
        let signatures: Vec<String> =
            keys.iter().map(|key| self.signature(key, timestamp)).collect::<Result<_, _>>()?;
        Ok((!signatures.is_empty()).then(|| signatures.join(" ")))
    }

    fn signature(&self, key: &SigningKey, timestamp: &str) -> Result<String, BoxError> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key.expose())?;
        for part in [self.id.as_bytes(), b".", timestamp.as_bytes(), b".", &self.body] {
            mac.update(part);
        }
        Ok(format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes())))
    }
}

impl<'a> Event<'a> {
    fn of(receipt: &'a Stored, facts: &'a Facts<'_>) -> Result<Self, serde_json::Error> {
        Ok(Self {
            specversion: cloud_event::SPEC_VERSION,
            id: &facts.id,
            source: cloud_event::source(facts),
            kind: cloud_event::TYPE,
            time: &facts.received_at,
            subject: facts.conversation.id.as_deref().map(cloud_event::text).filter(|id| !id.is_empty()),
            datacontenttype: "application/json",
            partitionkey: cloud_event::partition_key(facts),
            traceparent: receipt.trace.as_ref().map(TraceContext::as_str),
            data: serde_json::from_str(&receipt.json)?,
        })
    }
}

fn batch_id(events: &[Event<'_>]) -> String {
    let mut digest = Sha256::new();
    for event in events {
        digest.update(event.id);
        // So that ids cannot run together.
        digest.update("\n");
    }
    hex::encode(digest.finalize().get(..BATCH_ID_BYTES).unwrap_or_default())
}
