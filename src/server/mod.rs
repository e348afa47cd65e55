//! The public listener: where vendors call. `POST /webhooks/…`, `/livez`, `/readyz`, and nothing else. Here HTTP
//! ends: what goes further is an [`Incoming`](crate::vendor::Incoming), what comes back an
//! [`Answer`](crate::vendor::Answer).

mod body;
mod callbacks;
pub(crate) mod client;
pub(crate) mod connection;
pub(crate) mod health;
mod open;
mod stage;

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use tower::ServiceExt;
use tower_http::catch_panic::CatchPanicLayer;

pub(crate) use callbacks::{Door, Served};
use connection::Serve;
use health::Health;

/// The public routes. What is a callback goes to the door without a router in between: routes below `/webhooks/`
/// belong to vendors, OpenIM's hold any number of slashes that must not be cleaned up or redirected, and a router's
/// boxes would cost a tenth of what storing the receipt does.
pub(crate) struct Public {
    door: Door,
    others: Router,
}

impl Public {
    pub(crate) fn new(door: Door, health: Health) -> Self {
        let others = Router::new()
            .route("/livez", get(health::livez))
            .route("/readyz", get(move || health.readyz()))
            .layer(CatchPanicLayer::new());
        Self { door, others }
    }
}

impl Serve for Public {
    type Body = Either<Full<Bytes>, Body>;

    /// A callback is carried through in seconds, whoever still listens.
    const NOTICES_HANG_UP: bool = false;

    const ANSWERS_SHORTLY: bool = true;

    fn serve(
        &self,
        client: SocketAddr,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>> + Send + use<> {
        if callbacks::is_callback(request.uri()) {
            return self.door.take(client, request).map(|answer| answer.map(Either::Left)).left_future();
        }
        let answer = self.others.clone().oneshot(request);
        answer.map(|Ok(response)| response.map(Either::Right)).right_future()
    }
}
