//! What the state takes from a receipt's JSON, and nothing more.

use std::borrow::Cow;

use serde::Deserialize;

use crate::receipt::{Counts, Scope, Timestamp};

/// One receipt, as far as the state is concerned.
#[derive(Debug, Deserialize)]
pub(super) struct Fact<'a> {
    #[serde(borrow)]
    pub(super) vendor: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) app: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) conversation: Where<'a>,
    #[serde(borrow)]
    pub(super) reader: Cow<'a, str>,
    pub(super) scope: Scope,
    #[serde(borrow, default)]
    pub(super) message_id: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(super) message_seq: Option<i64>,
    #[serde(default)]
    pub(super) up_to_time: Option<Timestamp>,
    #[serde(default)]
    pub(super) counts: Option<Counts>,
    #[serde(default)]
    pub(super) read_at: Option<Timestamp>,
}

/// Where a message was read.
#[derive(Debug, Deserialize)]
pub(super) struct Where<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) id: Option<Cow<'a, str>>,
}
