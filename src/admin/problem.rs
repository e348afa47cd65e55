//! Errors of the API as problem documents: <https://www.rfc-editor.org/rfc/rfc9457>

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::journal::JournalError;

/// What went wrong, in a sentence for whoever called.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) detail: String,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into() }
    }

    /// The caller's mistake.
    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// Asked of a service that keeps nothing.
    pub(crate) fn no_journal() -> Self {
        let detail =
            "this service keeps no journal (delivery.ack_after = \"sinks\"); ask where the sinks deliver";
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// The journal's: while it is not open, asking again later helps.
    pub(crate) fn of_journal(error: JournalError) -> Self {
        match error {
            JournalError::NotOpen | JournalError::Closed => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
            }
            JournalError::Write(_) | JournalError::Read(_) | JournalError::Overloaded => {
                Self::internal(&error)
            }
        }
    }

    /// Ours: the caller learns that much, the log the rest.
    pub(crate) fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(%error, "the admin API failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "this failed inside readhook; its log says why")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or_default(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let mut response = (self.status, Json(document)).into_response();
        let problem = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, problem);
        response
    }
}
