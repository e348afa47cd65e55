//! What an address, a key or an envelope is made of: a few facts of a receipt, read from its JSON.

use std::borrow::Cow;

use serde::Deserialize;

use super::DeliverError;
use crate::journal::Stored;

/// The facts by which destinations route and tell apart.
#[derive(Debug, Deserialize)]
#[cfg_attr(
    not(any(feature = "sink-http", feature = "sink-kafka")),
    expect(dead_code, reason = "a build may hold only sinks that need fewer of them")
)]
pub(super) struct Facts<'a> {
    /// The receipt's id, by which a repeat is known.
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) vendor: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) app: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) conversation: Place<'a>,
    /// RFC 3339.
    #[serde(borrow)]
    pub(super) received_at: Cow<'a, str>,
}

/// Where a message was read.
#[derive(Debug, Deserialize)]
#[cfg_attr(
    not(any(feature = "sink-http", feature = "sink-kafka", feature = "sink-nats")),
    expect(dead_code, reason = "a build may hold only sinks that need fewer of them")
)]
pub(super) struct Place<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) id: Option<Cow<'a, str>>,
}

impl<'a> Facts<'a> {
    /// The facts of a batch, and what to say once they are delivered: when a receipt cannot be read, which only a
    /// journal that others have changed makes possible, the facts end before it and it is to be refused.
    pub(super) fn of(batch: &'a [Stored]) -> (Vec<Self>, Result<(), DeliverError>) {
        let mut facts = Vec::with_capacity(batch.len());
        for (at, receipt) in batch.iter().enumerate() {
            match serde_json::from_str(&receipt.json) {
                Ok(read) => facts.push(read),
                Err(error) => return (facts, Err(DeliverError::reject(at, error))),
            }
        }
        (facts, Ok(()))
    }

    /// Alike for all receipts of a conversation: what keeps their order where a destination is divided.
    #[cfg(any(feature = "sink-http", feature = "sink-kafka", feature = "sink-nats"))]
    pub(super) fn conversation_key(&self) -> String {
        let id = self.conversation.id.as_deref().unwrap_or_default();
        format!("{}/{}/{}/{id}", self.vendor, self.app, self.conversation.kind)
    }
}
