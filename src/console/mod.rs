//! The console: pages on the admin listener for the person who has just entered the URL at a vendor, and for the one who
//! is called at night.
//!
//! Pages are made here, on the server, from what the admin API knows; each works without script, and the script only
//! keeps the first one fresh. Everything comes from this listener, under a Content-Security-Policy that allows nothing
//! else. What users and vendors wrote is text to the templates, never markup.

mod arrived;
mod assets;
mod callback;
mod chart;
mod conversation;
mod dead_letters;
mod doctor;
mod explained;
mod first;
mod form;
mod language;
mod live;
mod login;
mod message;
mod page;
mod quarantine;
mod receipts;
mod sinks;
mod text;
mod words;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::admin::Admin;

/// Nothing from elsewhere, nothing inline, no frame around it. `data:` is the icon.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The console's routes, guarded in its own way: a browser is asked for the token on a page.
pub(crate) fn routes(admin: Admin) -> Router<Admin> {
    // A form escapes a byte as three.
    let longest = admin.door.server().body_limit_bytes.saturating_mul(3).saturating_add(64 << 10);
    let rooms = Router::new()
        .route("/", get(live::show))
        .route("/callbacks/{number}", get(callback::show))
        .route("/receipts", get(receipts::show))
        .route("/message", get(message::show))
        .route("/conversation", get(conversation::show))
        .route("/sinks", get(sinks::show))
        .route("/sinks/{name}/dead-letters", get(dead_letters::show))
        .route("/sinks/{name}/{order}", post(sinks::order))
        .route("/quarantine", get(quarantine::show))
        .route("/quarantine/{id}", get(quarantine::one))
        .route("/quarantine/requeue", post(quarantine::requeue))
        .route("/doctor", get(doctor::show).post(doctor::ask).layer(DefaultBodyLimit::max(longest)))
        .layer(from_fn_with_state(admin.clone(), login::required));
    Router::new()
        .route("/login", post(login::enter))
        .route("/logout", post(login::leave))
        .route(&assets::style().path, get(async || assets::style().serve()))
        .route(&assets::script().path, get(async || assets::script().serve()))
        .merge(rooms)
        .layer(from_fn_with_state(admin, own_page))
        .layer(from_fn(harden))
}

async fn own_page(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    match admin.guard.own_page(request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// What every answer of the console says to browsers.
async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // With `no-referrer` browsers would hide from us, too, where our own forms come from (`Origin: null`).
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// After a form: look there, with a fresh GET.
fn see(place: &str) -> Response {
    match HeaderValue::from_str(place) {
        Ok(place) => (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response(),
        Err(_) => StatusCode::SEE_OTHER.into_response(),
    }
}
