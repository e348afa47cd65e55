//! The public listener: where vendors call. `POST /webhooks/…`, `/livez`, `/readyz`, and nothing else. Here HTTP
//! ends: what goes further is an [`Incoming`](crate::vendor::Incoming), what comes back an
//! [`Answer`](crate::vendor::Answer).

mod callbacks;
mod client;
pub(crate) mod connection;
pub(crate) mod health;
mod stage;

use axum::Router;
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;

pub(crate) use callbacks::Door;

/// The public routes.
pub(crate) fn router(door: Door) -> Router {
    let health = door.health();
    Router::new()
        .route("/livez", get(health::livez))
        .route("/readyz", get(move || health.readyz()))
        // Routes below /webhooks/ belong to vendors, and OpenIM's hold any number of slashes that must not be
        // cleaned up or redirected.
        .fallback(callbacks::take)
        .layer(CatchPanicLayer::new())
        .with_state(door)
}
