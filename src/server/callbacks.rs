//! From an HTTP request to an [`Incoming`] and from an [`Answer`] to a response.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming as Body;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use tokio::time::sleep_until;

use super::body::Bodies;
use super::client::{client, guesser};
use crate::clock;
use crate::config::ServerConfig;
use crate::ingest::{Ingest, Reply};
use crate::passthrough::{Forwarded, Passthroughs};
use crate::receipt::VendorName;
use crate::throttle::Throttle;
use crate::vendor::{self, Answer, Found, Incoming, Outcome, PREFIX, Refusal, Unreadable, Vendor, Vendors};

/// What a callback passes through.
#[derive(Clone)]
pub(crate) struct Door(Arc<Inner>);

struct Inner {
    ingest: Arc<Ingest>,
    /// Replaced as a whole when the configuration is read anew; requests under way keep what they began with.
    served: RwLock<Arc<Served>>,
    server: ServerConfig,
    bodies: Bodies,
    /// Counts wrong tokens. A signature needs no such thing.
    throttle: Throttle,
}

/// Who is served, and where what is not for us goes.
pub(crate) struct Served {
    pub(crate) vendors: Vendors,
    pub(crate) passthroughs: Passthroughs,
}

impl Door {
    pub(crate) fn new(ingest: Arc<Ingest>, served: Served, server: ServerConfig) -> Self {
        let bodies = Bodies::new(&server);
        Self(Arc::new(Inner {
            ingest,
            served: RwLock::new(Arc::new(served)),
            server,
            bodies,
            throttle: Throttle::default(),
        }))
    }

    /// Puts other vendors in place; the requests that come from now on meet them.
    pub(crate) fn replace(&self, served: Served) {
        *self.0.served.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(served);
    }

    /// Those that are in place now.
    pub(crate) fn served(&self) -> Arc<Served> {
        self.0.served()
    }

    /// How it listens.
    pub(crate) fn server(&self) -> &ServerConfig {
        &self.0.server
    }

    /// Takes a request below `/webhooks/`, to its answer.
    ///
    /// Every connection keeps room for this future, and an `async fn` would keep its arguments twice. So what a request
    /// becomes is made before the future, which borrows it from then on.
    pub(super) fn take(
        &self,
        peer: SocketAddr,
        request: Request<Body>,
    ) -> impl Future<Output = Response<Full<Bytes>>> + Send + use<> {
        let begun = Instant::now();
        let door = self.0.clone();
        let (head, body) = request.into_parts();
        let (is_post, peer) = (head.method == Method::POST, peer.ip());
        let mut incoming = Incoming {
            client: client(peer, &head.headers, &door.server.trusted_proxies),
            tail_at: PREFIX.len(),
            uri: head.uri,
            headers: head.headers,
            body: Bytes::new(),
            received_at: clock::now(),
        };
        async move {
            let Inner { ingest, bodies, .. } = &*door;
            let Served { vendors, passthroughs } = &*door.served();
            let (vendor, tail_at, refused) = match vendors.find(incoming.tail()) {
                Found::Nobody => {
                    // OpenIM's answer repeats what it can of the body.
                    let reads = vendor::is_openim(incoming.uri.path());
                    let _room = if reads { bodies.read(body, &mut incoming).await.ok() } else { None };
                    return respond(vendor::not_here(&incoming));
                }
                Found::UnknownPath(vendor, tail_at) => (vendor, tail_at, Some(Unreadable::UnknownPath)),
                Found::Served(vendor, tail_at) if is_post => (vendor, tail_at, None),
                Found::Served(vendor, tail_at) => (vendor, tail_at, Some(Unreadable::WrongMethod)),
            };
            incoming.tail_at += tail_at;
            if let Some(refused) = refused {
                // Whatever is wrong with the body, what is wrong with the request comes first.
                let _room = bodies.read(body, &mut incoming).await.ok();
                let outcome = Outcome::Unreadable(refused);
                let reply = Box::pin(ingest.refuse(&**vendor, &incoming, begun, outcome)).await;
                let (mut response, _) = hand_over(reply);
                if response.status() == StatusCode::METHOD_NOT_ALLOWED {
                    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
                }
                return response;
            }
            let reply = match bodies.read(body, &mut incoming).await {
                // The room is given back when the callback has ended, before an answer is withheld.
                Ok(_room) => {
                    // Asked with the body read, directly before the comparison: whoever holds many bodies back has no more
                    // tries than others.
                    let guesser = door.guesser(&**vendor, peer, &incoming);
                    if guesser.is_some_and(|guesser| !door.throttle.admits(guesser)) {
                        let outcome = Outcome::Rejected(Refusal::Throttled);
                        Box::pin(ingest.refuse(&**vendor, &incoming, begun, outcome)).await
                    } else {
                        let reply =
                            ingest.take(&**vendor, passthroughs.of(vendor.name()), &incoming, begun).await;
                        door.learn(guesser, &reply);
                        reply
                    }
                }
                // In a box, for each connection has room for the largest future that it may need.
                Err(outcome) => Box::pin(ingest.refuse(&**vendor, &incoming, begun, outcome)).await,
            };
            let (response, not_before) = hand_over(reply);
            if let Some(wait) = not_before {
                sleep_until((begun + wait).into()).await;
            }
            response
        }
    }
}

impl Inner {
    /// Whom a wrong token in a request would be counted for; `None` where there is no token to guess.
    fn guesser(&self, vendor: &dyn Vendor, peer: IpAddr, request: &Incoming) -> Option<IpAddr> {
        let has_tokens = match vendor.name() {
            VendorName::OpenIm => !vendor.secrets().is_empty(),
            VendorName::Easemob | VendorName::Tencent | VendorName::RongCloud => false,
        };
        has_tokens.then(|| guesser(peer, &request.headers, &self.server.trusted_proxies)).flatten()
    }

    /// Takes down whether the token was right.
    fn learn(&self, guesser: Option<IpAddr>, reply: &Reply) {
        let Some(guesser) = guesser else { return };
        match reply {
            Reply::Ours(answer) if answer.status == 401 => self.throttle.failed(guesser),
            // Nothing else than a right token has this answer, or comes so far as to an upstream.
            Reply::Ours(Answer { status: 200, .. }) | Reply::Theirs(_) => self.throttle.proved(guesser),
            Reply::Ours(_) => {}
        }
    }

    fn served(&self) -> Arc<Served> {
        self.served.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Whether a request is for the door.
pub(super) fn is_callback(uri: &Uri) -> bool {
    uri.path().starts_with(PREFIX)
}

/// The response, and how long after the request it is withheld.
fn hand_over(reply: Reply) -> (Response<Full<Bytes>>, Option<Duration>) {
    match reply {
        Reply::Ours(answer) => {
            let not_before = answer.not_before;
            (respond(answer), not_before)
        }
        Reply::Theirs(forwarded) => (hand_on(forwarded), None),
    }
}

fn respond(answer: Answer) -> Response<Full<Bytes>> {
    let body = match answer.body {
        Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
        Cow::Owned(text) => Bytes::from(text),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    response
}

/// An upstream's answer, word for word.
fn hand_on(Forwarded { status, headers, body }: Forwarded) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
