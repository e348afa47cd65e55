//! Accepting connections and speaking HTTP/1.1 on them, with an end to everything: how many there are, how large and
//! how slow a head may be, how long they may be idle, and how they end at shutdown.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use std::convert::Infallible;

use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{interval, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use super::stage::Patience;
use super::stage::{Stage, Watched};

/// How many fields a head may have.
const MAX_FIELDS: usize = 100;

/// The bounds of a listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// How long a client may take.
    pub(crate) patience: Patience,
    /// How large a head may be.
    pub(crate) head_bytes: usize,
    /// How many connections may be open.
    pub(crate) connections: usize,
}

/// What answers the requests of a listener.
pub(crate) trait Serve: Send + Sync + 'static {
    /// The body of its answers.
    type Body: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static;

    /// Answers one request. Dropped when the client hangs up.
    fn serve(
        &self,
        client: SocketAddr,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// Accepts until `stop`; then closes the listener, lets every request that has begun get its answer, and returns.
pub(crate) async fn serve<S: Serve>(
    listener: TcpListener,
    server: S,
    bounds: Bounds,
    stop: CancellationToken,
) {
    let server = Arc::new(server);
    let connections = TaskTracker::new();
    let room = Arc::new(Semaphore::new(bounds.connections));
    loop {
        // Without room nothing is accepted; the kernel's queue holds who comes.
        let place = tokio::select! {
            place = room.clone().acquire_owned() => place,
            () = stop.cancelled() => break,
        };
        let (stream, peer) = tokio::select! {
            accepted = accept(&listener) => accepted,
            () = stop.cancelled() => break,
        };
        let (server, stop) = (server.clone(), stop.clone());
        connections.spawn(async move {
            connection(stream, peer, server, bounds, stop).await;
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// The next connection. Errors of single connections are the peer's business; when the process is out of file
/// descriptors, a moment's wait beats a busy loop.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::error!(%error, "could not accept a connection");
                sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

async fn connection<S: Serve>(
    stream: TcpStream,
    peer: SocketAddr,
    server: Arc<S>,
    bounds: Bounds,
    stop: CancellationToken,
) {
    // An answer is one small packet; to wait for more to go with it would only delay it.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let stage = Stage::new();
    let io = TokioIo::new(Watched::new(stream, stage.clone()));
    let service = {
        let stage = stage.clone();
        service_fn(move |request: Request<Incoming>| {
            stage.busy();
            let (server, stage) = (server.clone(), stage.clone());
            async move {
                let response = server.serve(peer, request).await;
                stage.idle();
                Ok::<_, Infallible>(response)
            }
        })
    };
    let mut http = hyper::server::conn::http1::Builder::new();
    http.half_close(false)
        .header_read_timeout(None)
        .max_headers(MAX_FIELDS)
        .max_header_size(bounds.head_bytes);
    let mut served = pin!(http.serve_connection(io, service));
    let mut check = interval(check_every(bounds.patience));
    let mut stopping = false;
    loop {
        tokio::select! {
            result = served.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%error, client = %peer.ip(), "a connection ended badly");
                }
                return;
            }
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                served.as_mut().graceful_shutdown();
            }
            _ = check.tick() => {
                if stage.overdue(bounds.patience) {
                    tracing::debug!(client = %peer.ip(), "closed a connection that was silent for too long");
                    return;
                }
            }
        }
    }
}

/// Often enough for the shorter patience, seldom enough for ten thousand idle connections.
fn check_every(patience: Patience) -> Duration {
    (patience.head.min(patience.idle) / 4).clamp(Duration::from_millis(20), Duration::from_secs(2))
}
