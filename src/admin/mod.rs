//! The admin listener: health, metrics and the API, for operators. Errors are problem documents (RFC 9457).

mod problem;
mod quarantine;
mod receipts;
mod sinks;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use subtle::ConstantTimeEq;
use tower::ServiceExt;
use tower_http::catch_panic::CatchPanicLayer;

use crate::config::Secret;
use crate::ingest::Ingest;
use crate::metrics::Metrics;
use crate::server::Door;
use crate::server::connection::Serve;
use crate::server::health::{Health, livez};
use crate::store::Store;
use problem::Problem;
pub(crate) use sinks::Sinks;

/// What the admin listener shows.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) store: Store,
    pub(crate) metrics: Metrics,
    pub(crate) health: Health,
    pub(crate) ingest: Arc<Ingest>,
    pub(crate) door: Door,
    pub(crate) sinks: Arc<Sinks>,
    pub(crate) token: Option<Secret>,
}

/// The admin routes, as a listener serves them.
pub(crate) struct Routes(Router);

impl Routes {
    pub(crate) fn new(admin: Admin) -> Self {
        Self(router(admin))
    }
}

impl Serve for Routes {
    type Body = Body;

    async fn serve(&self, _client: SocketAddr, request: hyper::Request<hyper::body::Incoming>) -> Response {
        let Ok(response) = self.0.clone().oneshot(request).await;
        response
    }
}

fn router(admin: Admin) -> Router {
    let ready = admin.health.clone();
    let guarded = Router::new()
        .route("/metrics", get(metrics))
        .route("/api/v1/receipts", get(receipts::list))
        .route("/api/v1/quarantine/requeue", post(quarantine::requeue))
        .route("/api/v1/sinks", get(sinks::list))
        .route("/api/v1/sinks/{name}/{order}", post(sinks::order))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is nothing here"))
        .method_not_allowed_fallback(async || Problem::new(StatusCode::METHOD_NOT_ALLOWED, "see `Allow`"))
        .layer(from_fn_with_state(admin.clone(), authorize));
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(move || ready.readyz()))
        .route("/healthz", get(healthz))
        .merge(guarded)
        .layer(CatchPanicLayer::new())
        .with_state(admin)
}

/// With a token configured, lets nobody pass who does not bring it.
async fn authorize(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    let Some(token) = &admin.token else {
        return next.run(request).await;
    };
    let given = request.headers().get(header::AUTHORIZATION).map_or(&b""[..], HeaderValue::as_bytes);
    let given = given.split_at_checked(7).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
    if given.is_some_and(|(_, given)| token.expose().as_bytes().ct_eq(given).into()) {
        return next.run(request).await;
    }
    let mut response =
        Problem::new(StatusCode::UNAUTHORIZED, "this needs `Authorization: Bearer <admin.token>`")
            .into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

async fn metrics(State(admin): State<Admin>) -> Response {
    admin.ingest.measure();
    let head = admin.store.head();
    for (name, standing) in &admin.sinks.standings {
        standing.measure(name, head, &admin.metrics);
    }
    if let Some(journal) = admin.store.journal() {
        admin.metrics.journal_bytes.set(i64::try_from(journal.bytes()).unwrap_or(i64::MAX));
    }
    match admin.metrics.encode() {
        Ok(text) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        }
        Err(error) => Problem::internal(&error).into_response(),
    }
}

/// The same verdict as `/readyz`, with what it rests on.
async fn healthz(State(admin): State<Admin>) -> impl IntoResponse {
    let (status, verdict) = admin.health.readyz().await;
    let journal = (admin.store.journal())
        .map(|journal| json!({ "takes_writes": journal.takes_writes(), "newest": admin.store.head() }));
    let details = json!({
        "status": verdict.trim_end(),
        "version": env!("CARGO_PKG_VERSION"),
        "journal": journal,
    });
    (status, Json(details))
}
