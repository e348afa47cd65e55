//! Accepting connections and speaking HTTP/1.1 on them, with an end to everything: how many there are, how large and
//! how slow a head may be, how long they may be idle, and how they end at shutdown.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use std::convert::Infallible;

use futures_util::FutureExt;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::{HttpService, Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::open::Open;
pub(crate) use super::stage::Patience;
use super::stage::{End, Sent, Stage, Watched};

/// How many fields a head may have.
const MAX_FIELDS: usize = 100;

type Connection<S> = http1::Connection<TokioIo<Watched>, S>;

/// How long the end of a stream may take to reach its client when the service ends.
const LAST_WORDS: Duration = Duration::from_secs(1);

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
    type Body: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static;

    /// Whether a client that hangs up is noticed while its answer is being made, and the making dropped. To notice it the
    /// connection must go on reading, into a second buffer: 8 KiB more for each that waits.
    const NOTICES_HANG_UP: bool;

    /// Whether answers are short: then head and body go out as one piece, which costs the kernel less than two.
    const ANSWERS_SHORTLY: bool;

    /// Answers one request.
    fn serve(
        &self,
        client: SocketAddr,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>> + Send + use<Self>;
}

/// Accepts until `stop`; then closes the listener, lets every request that has begun get its answer, and returns.
pub(crate) async fn serve<S: Serve>(
    listener: TcpListener,
    server: S,
    bounds: Bounds,
    stop: CancellationToken,
) {
    let open = Arc::new(Open::default());
    let connections = TaskTracker::new();
    tokio::select! {
        () = accept_all(&listener, Arc::new(server), bounds, &open, &connections) => {}
        () = open.sweep(bounds.patience) => {}
        () = stop.cancelled() => {}
    }
    drop(listener);
    open.end_all();
    connections.close();
    tokio::select! {
        () = connections.wait() => {}
        () = open.sweep(bounds.patience) => {}
    }
}

/// Accepts for as long as it is polled. Without room nothing is accepted; the kernel's queue holds who comes.
async fn accept_all<S: Serve>(
    listener: &TcpListener,
    server: Arc<S>,
    bounds: Bounds,
    open: &Arc<Open>,
    connections: &TaskTracker,
) {
    let room = Arc::new(Semaphore::new(bounds.connections));
    while let Ok(room_for_one) = room.clone().acquire_owned().await {
        let (stream, peer) = accept(listener).await;
        // An answer is one small packet; to wait for more to go with it would only delay it.
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let place = open.enter();
        // Made before its task, which would else keep room for what it is made of, too.
        let mut served = http(stream, peer, server.clone(), bounds.head_bytes, place.stage.clone());
        let client = peer.ip();
        connections.spawn(async move {
            if let Err(why) = to_its_end(&mut served, &place.stage).await {
                tracing::debug!(%client, "a connection ended: {why}");
            }
            drop((served, place, room_for_one));
        });
    }
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

/// Speaks HTTP/1.1 on a connection while it is polled.
fn http<S: Serve>(
    stream: TcpStream,
    peer: SocketAddr,
    server: Arc<S>,
    head_bytes: usize,
    stage: Arc<Stage>,
) -> Connection<
    impl Service<Request<Incoming>, Response = Response<Sent<S::Body>>, Error = Infallible, Future: Send>,
> {
    let io = TokioIo::new(Watched::new(stream, stage.clone()));
    let service = service_fn(move |request: Request<Incoming>| {
        stage.busy();
        let stage = stage.clone();
        server.serve(peer, request).map(move |response| {
            stage.idle();
            Ok(response.map(|body| Sent::new(body, &stage)))
        })
    });
    let mut http = http1::Builder::new();
    http.half_close(!S::NOTICES_HANG_UP)
        .writev(!S::ANSWERS_SHORTLY)
        .header_read_timeout(None)
        .max_headers(MAX_FIELDS)
        .max_header_size(head_bytes);
    // Left alone, a connection's buffer grows to 400 KiB under a client that sends fast.
    http.max_buf_size(head_bytes);
    http.serve_connection(io, service)
}

/// Why a connection ended before its time.
#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error("{0}")]
    Broken(#[from] hyper::Error),
    #[error("its client was silent for too long")]
    Silent,
}

/// Carries a connection on until it ends, or is told to.
async fn to_its_end<S, B>(mut served: &mut Connection<S>, stage: &Stage) -> Result<(), Cut>
where
    S: HttpService<Incoming, ResBody = B, Error = Infallible>,
    B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>> + 'static,
{
    loop {
        tokio::select! {
            biased;
            result = &mut served => return Ok(result?),
            end = stage.ended() => match end {
                End::AfterThisRequest => {
                    std::pin::Pin::new(&mut *served).graceful_shutdown();
                    if stage.streams() {
                        // A stream ends by itself when the service does; only who does not read keeps it open. In a box,
                        // for each connection has room for the largest future that it may need.
                        let _over = Box::pin(timeout(LAST_WORDS, served)).await;
                        return Ok(());
                    }
                }
                End::Now => return Err(Cut::Silent),
            }
        }
    }
}
