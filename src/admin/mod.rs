//! The admin listener: health, metrics and the API, for operators. Errors are problem documents (RFC 9457).

mod body;
mod callbacks;
mod dead_letters;
mod explain;
mod guard;
mod history;
mod openapi;
mod problem;
mod quarantine;
mod query;
mod receipts;
mod sinks;
mod state;
mod stream;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::FutureExt;
use serde_json::json;
use tower::ServiceExt;
use tower_http::catch_panic::CatchPanicLayer;

use crate::ingest::Ingest;
use crate::metrics::Metrics;
use crate::server::Door;
use crate::server::connection::Serve;
use crate::server::health::{Health, livez};
use crate::state::State as ReadState;
use crate::store::Store;
pub(crate) use callbacks::{Holder, holders};
pub(crate) use explain::examine;
pub(crate) use guard::{Denied, Guard, Peer, cookies};
pub(crate) use problem::Problem;
pub(crate) use quarantine::take_in;
pub(crate) use receipts::find;
pub(crate) use sinks::{Sinks, give};
pub(crate) use state::{
    message_question, place_cursor, position_question, read_state, reader_cursor, state_problem,
};
pub(crate) use stream::Streams;

/// What the admin listener shows.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) store: Store,
    /// Who has read what; none where it is switched off, or without a journal.
    pub(crate) state: Option<ReadState>,
    pub(crate) metrics: Metrics,
    pub(crate) health: Health,
    pub(crate) ingest: Arc<Ingest>,
    pub(crate) door: Door,
    pub(crate) sinks: Arc<Sinks>,
    pub(crate) guard: Arc<Guard>,
    /// Where vendors reach the service.
    pub(crate) public: SocketAddr,
    pub(crate) streams: Streams,
}

/// The admin routes, as a listener serves them.
pub(crate) struct Routes(Router);

impl Routes {
    /// The console is not known here: it is built upon this.
    pub(crate) fn new(admin: Admin, console: Router<Admin>) -> Self {
        Self(router(admin, console))
    }
}

impl Serve for Routes {
    type Body = Body;

    /// A stream that nobody reads must end.
    const NOTICES_HANG_UP: bool = true;

    const ANSWERS_SHORTLY: bool = false;

    fn serve(
        &self,
        client: SocketAddr,
        mut request: hyper::Request<hyper::body::Incoming>,
    ) -> impl Future<Output = Response> + Send + use<> {
        request.extensions_mut().insert(Peer(client.ip()));
        self.0.clone().oneshot(request).map(|Ok(response)| response)
    }
}

fn router(admin: Admin, console: Router<Admin>) -> Router {
    let ready = admin.health.clone();
    let longest = explain::longest(admin.door.server().body_limit_bytes);
    let guarded = Router::new()
        .route("/metrics", get(metrics))
        .route("/api/v1/openapi.json", get(openapi::openapi))
        .route("/api/v1/receipts", get(receipts::list))
        .route("/api/v1/explain", post(explain::explain).layer(DefaultBodyLimit::max(longest)))
        .route("/api/v1/readers", get(state::readers))
        .route("/api/v1/positions", get(state::positions))
        .route("/api/v1/state/rebuild", post(state::rebuild))
        .route("/api/v1/callbacks", get(callbacks::list))
        .route("/api/v1/callbacks/{number}", get(callbacks::one))
        .route("/api/v1/history", get(history::history))
        .route("/api/v1/stream", get(stream::stream))
        .route("/api/v1/quarantine", get(quarantine::list))
        .route("/api/v1/quarantine/{id}", get(quarantine::one))
        .route("/api/v1/quarantine/requeue", post(quarantine::requeue))
        .route("/api/v1/sinks", get(sinks::list))
        .route("/api/v1/sinks/{name}/dead-letters", get(dead_letters::list))
        .route("/api/v1/sinks/{name}/{order}", post(sinks::order))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is nothing here"))
        .method_not_allowed_fallback(async || Problem::new(StatusCode::METHOD_NOT_ALLOWED, "see `Allow`"))
        .layer(from_fn_with_state(admin.clone(), authorize))
        .layer(map_response(for_nobody_else));
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(move || ready.readyz()))
        .route("/healthz", get(healthz))
        .merge(guarded)
        .merge(console)
        .layer(CatchPanicLayer::new())
        .with_state(admin)
}

/// Lets nobody pass whom the guard does not admit.
async fn authorize(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    if let Err(problem) = admin.guard.own_page(request.method(), request.headers()) {
        return problem.into_response();
    }
    match admin.guard.admit(peer(&request), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(denied) => deny(denied),
    }
}

/// The answer to whom the guard does not admit.
pub(crate) fn deny(denied: Denied) -> Response {
    let mut response = Problem::from(denied).into_response();
    let headers = response.headers_mut();
    match denied {
        Denied::Token => headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
        Denied::Throttled => headers.insert(header::RETRY_AFTER, HeaderValue::from_static("3")),
    };
    response
}

/// Who is at the other end of a request's connection.
pub(crate) fn peer(request: &Request) -> Peer {
    request.extensions().get().copied().unwrap_or(Peer(IpAddr::V6(Ipv6Addr::UNSPECIFIED)))
}

/// Answers of the API are what they say they are, and are for this moment and this reader only.
async fn for_nobody_else(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn metrics(State(admin): State<Admin>) -> Response {
    admin.ingest.measure();
    let head = admin.store.head();
    for (name, standing) in &admin.sinks.standings {
        standing.measure(name, head, &admin.metrics);
    }
    admin.metrics.journal_takes_writes.set(admin.store.takes_writes().into());
    if let Some(journal) = admin.store.journal() {
        admin.metrics.journal_bytes.set(i64::try_from(journal.bytes()).unwrap_or(i64::MAX));
        if let Some(available) = journal.disk_available() {
            admin.metrics.journal_disk_available_bytes.set(i64::try_from(available).unwrap_or(i64::MAX));
        }
    }
    if let Some(state) = &admin.state {
        state.measure(&admin.metrics);
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
    let state = admin.state.as_ref().map(|state| json!({ "cursor": state.cursor(), "behind": state.lag() }));
    let details = json!({
        "status": verdict.trim_end(),
        "version": env!("CARGO_PKG_VERSION"),
        "journal": journal,
        "state": state,
    });
    (status, Json(details))
}
