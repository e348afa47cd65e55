//! Where a connection stands between requests, so that slow and silent clients can be told from busy ones: between
//! two requests a client may take its time, within the head of one it may not. (hyper's own header time-out counts
//! both as one.)

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// How long each stage may last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Between two requests.
    pub(crate) idle: Duration,
    /// From the first byte of a head to its last.
    pub(crate) head: Duration,
}

/// The stage of one connection and since when, in one word: milliseconds since its beginning, and two bits.
pub(super) struct Stage {
    born: Instant,
    word: AtomicU64,
    /// Whether an answer without an end has been begun on it.
    streams: AtomicBool,
    /// How the connection shall end, and that it shall.
    end: AtomicU8,
    told: Notify,
}

/// How a connection shall end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With the answer to the request that is under way, or at once if there is none.
    AfterThisRequest = 1,
    /// Now: the client is silent for too long.
    Now = 2,
}

const IDLE: u64 = 0;
const HEAD: u64 = 1;
const BUSY: u64 = 2;

impl Stage {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            born: Instant::now(),
            word: AtomicU64::new(IDLE),
            streams: AtomicBool::new(false),
            end: AtomicU8::new(0),
            told: Notify::new(),
        })
    }

    /// A request's head is in, and an answer is being made.
    pub(super) fn busy(&self) {
        self.enter(BUSY);
    }

    /// The answer is made.
    pub(super) fn idle(&self) {
        self.enter(IDLE);
    }

    /// Whether the connection has been in its stage for too long. Handlers have deadlines of their own.
    pub(super) fn overdue(&self, patience: Patience) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        let lasted = Duration::from_millis(self.millis().saturating_sub(word >> 2));
        match word & 3 {
            IDLE => lasted > patience.idle,
            HEAD => lasted > patience.head,
            _ => false,
        }
    }

    /// Whether an answer without an end has been begun on the connection.
    pub(super) fn streams(&self) -> bool {
        self.streams.load(Ordering::Relaxed)
    }

    /// Tells the connection to end.
    pub(super) fn end(&self, how: End) {
        self.end.fetch_max(how as u8, Ordering::Relaxed);
        self.told.notify_one();
    }

    /// Waits to be told to end. Told twice, it returns twice.
    pub(super) async fn ended(&self) -> End {
        self.told.notified().await;
        match self.end.load(Ordering::Relaxed) {
            now if now == End::Now as u8 => End::Now,
            _ => End::AfterThisRequest,
        }
    }

    fn bytes_came(&self) {
        if self.word.load(Ordering::Relaxed) & 3 == IDLE {
            self.enter(HEAD);
        }
    }

    fn enter(&self, stage: u64) {
        self.word.store(self.millis() << 2 | stage, Ordering::Relaxed);
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX >> 2)
    }
}

/// The body of an answer. One whose end nobody knows is a stream: with each piece that the connection takes of it the
/// client counts as present, so that a stream lasts for as long as it is read, and no longer.
pub(super) struct Sent<B> {
    body: B,
    stage: Option<Arc<Stage>>,
}

impl<B: Body> Sent<B> {
    pub(super) fn new(body: B, stage: &Arc<Stage>) -> Self {
        let streams = body.size_hint().exact().is_none();
        if streams {
            stage.streams.store(true, Ordering::Relaxed);
        }
        Self { body, stage: streams.then(|| stage.clone()) }
    }
}

impl<B: Body + Unpin> Body for Sent<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let (Poll::Ready(_), Some(stage)) = (&frame, &self.stage) {
            stage.idle();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection that tells its [`Stage`] when bytes come.
pub(super) struct Watched {
    stream: TcpStream,
    stage: Arc<Stage>,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, stage: Arc<Stage>) -> Self {
        Self { stream, stage }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.stage.bytes_came();
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
