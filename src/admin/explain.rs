//! `POST /api/v1/explain`: what would come of a callback that somebody pastes, and why.

use std::collections::BTreeMap;
use std::net::IpAddr;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use super::Admin;
use super::body;
use super::problem::Problem;
use crate::clock;
use crate::explain::{Capture, CaptureError, Explanation};
use crate::receipt::Timestamp;

/// The question.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    vendor: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    query: String,
    #[serde(default)]
    headers: BTreeMap<String, Values>,
    client: Option<IpAddr>,
    body: Option<String>,
    body_base64: Option<String>,
    received_at: Option<Timestamp>,
}

/// A header field, once or more often.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Many(Vec<String>),
}

impl Question {
    fn capture(self) -> Result<(String, Capture), Problem> {
        let body = match (self.body, self.body_base64) {
            (Some(_), Some(_)) => {
                return Err(Problem::bad_request("body, body_base64: give one of them"));
            }
            (None, None) => return Err(Problem::bad_request("body: missing; or give body_base64")),
            (Some(text), None) => Bytes::from(text),
            (None, Some(text)) => {
                let bytes = BASE64_STANDARD.decode(text.trim());
                bytes.map_err(|_| Problem::bad_request("body_base64: not Base64"))?.into()
            }
        };
        let Self { vendor, path, query, client, received_at, .. } = self;
        let mut headers = Vec::new();
        for (name, values) in self.headers {
            match values {
                Values::One(value) => headers.push((name, value)),
                Values::Many(values) => headers.extend(values.into_iter().map(|value| (name.clone(), value))),
            }
        }
        Ok((vendor, Capture { path, query, headers, client, body, received_at, kept: false }))
    }
}

/// How long a question may be for a body of so many bytes: Base64 takes a third more, the escapes of a JSON text may take
/// twice as much, and there is a head.
pub(super) fn longest(body_limit: usize) -> usize {
    body_limit.saturating_mul(2).saturating_add(64 << 10)
}

pub(super) async fn explain(
    State(admin): State<Admin>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Explanation>, Problem> {
    let body = body.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    let question: Question = body::read(&body)?;
    let (vendor, capture) = question.capture()?;
    examine(&admin, vendor, capture).await.map(Json)
}

/// What would come of a callback, and why.
///
/// # Errors
/// No such vendor, none of its apps, or nothing that HTTP could have brought.
pub(crate) async fn examine(admin: &Admin, vendor: String, capture: Capture) -> Result<Explanation, Problem> {
    let (served, server, now) = (admin.door.served(), admin.door.server().clone(), clock::now());
    // Some tens of milliseconds of digests, if it comes to the worst; callbacks must not wait for them.
    let explained =
        tokio::task::spawn_blocking(move || capture.explain(&served.vendors, &vendor, &server, now)).await;
    let explained = explained.map_err(|panicked| Problem::internal(&panicked))?;
    explained.map_err(|error| match error {
        CaptureError::NotConfigured(_) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
        CaptureError::NoSuchVendor | CaptureError::Target | CaptureError::Header(_) => {
            Problem::bad_request(error.to_string())
        }
    })
}
