//! Bodies: not a byte more of one than allowed, and not more of all of them together than the machine should
//! give.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming as Body;
use hyper::header;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::config::ServerConfig;
use crate::vendor::{Incoming as Request, Outcome, Unreadable};

/// So much of every body is free: nearly all callbacks are smaller, and never ask for room. The buffer that a
/// connection reads into is as large anyway.
const FREE: usize = 8 << 10;

/// So much behind a body that was too large is read and thrown away. Were the connection closed on what is
/// still coming, its client would see a reset and not the answer; nginx makes a 502 of that.
const THROWN_AWAY: usize = 8 << 20;

/// Reads bodies, within the room that all of them share.
pub(super) struct Bodies {
    /// Bodies that have been answered and are being thrown away; each belongs to a connection, which waits
    /// for it.
    leftovers: TaskTracker,
    limit: usize,
    patience: Duration,
    /// A permit a byte.
    room: Arc<Semaphore>,
}

/// The room of a body that is larger than most.
pub(super) type Room = Option<OwnedSemaphorePermit>;

/// A body that is being read.
struct Reading<'b> {
    bodies: &'b Bodies,
    body: Body,
    room: Room,
    /// Whether it is we who keep the client waiting.
    waits_for_room: bool,
}

impl Bodies {
    pub(super) fn new(server: &ServerConfig) -> Self {
        Self {
            leftovers: TaskTracker::new(),
            limit: server.body_limit_bytes,
            patience: Duration::from_millis(server.body_timeout_ms),
            room: Arc::new(Semaphore::new(server.bodies_limit_bytes.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// Puts the whole body into a request, and gives the room that it has for as long as it lives. `Unavailable` when there was
    /// no room for it in time: whoever holds the room holds it no longer than its own body may take and its callback be
    /// answered, so it is worth coming again.
    ///
    /// (Each connection keeps room for this future, and an `async fn` would keep its arguments twice.)
    pub(super) fn read<'b>(
        &'b self,
        body: Body,
        request: &'b mut Request,
    ) -> impl Future<Output = Result<Room, Outcome>> + Send + use<'b> {
        let mut reading = Reading { bodies: self, body, room: None, waits_for_room: false };
        async move {
            let announced = request.headers.get(header::CONTENT_LENGTH);
            let announced = announced
                .and_then(|length| length.to_str().ok())
                .and_then(|length| length.parse::<u64>().ok());
            if announced.is_some_and(|length| length > self.limit as u64) {
                self.throw_away(reading.body);
                return Err(Outcome::Unreadable(Unreadable::BodyTooLarge));
            }
            match timeout(self.patience, reading.read_all()).await {
                Ok(Ok(bytes)) => {
                    request.body = bytes;
                    Ok(reading.room)
                }
                Ok(Err(unreadable)) => {
                    if unreadable == Unreadable::BodyTooLarge {
                        self.throw_away(reading.body);
                    }
                    Err(Outcome::Unreadable(unreadable))
                }
                Err(_) if reading.waits_for_room => Err(Outcome::Unavailable),
                Err(_) => Err(Outcome::Unreadable(Unreadable::BodyTimeout)),
            }
        }
    }

    /// Reads on while the answer goes out, and for a while after.
    fn throw_away(&self, mut body: Body) {
        let patience = self.patience;
        self.leftovers.spawn(async move {
            let mut thrown_away = 0;
            let reading = async {
                while thrown_away < THROWN_AWAY
                    && let Some(Ok(frame)) = body.frame().await
                {
                    thrown_away += frame.data_ref().map_or(0, Bytes::len);
                }
            };
            // What comes later than that meets a closed connection.
            let _over = timeout(patience, reading).await;
        });
    }
}

impl Reading<'_> {
    async fn read_all(&mut self) -> Result<Bytes, Unreadable> {
        let mut first = Bytes::new();
        let mut whole = BytesMut::new();
        while let Some(data) = self.piece().await? {
            let length = first.len() + whole.len() + data.len();
            if length > self.bodies.limit {
                return Err(Unreadable::BodyTooLarge);
            }
            if let Some(more) = self.lacks(length) {
                // In a box, for each connection has room for the largest future that it may need.
                Box::pin(self.make_room(more)).await;
            }
            // Nearly every body comes in one piece, which then needs no copy.
            if first.is_empty() && whole.is_empty() {
                first = data;
            } else {
                whole.extend_from_slice(&std::mem::take(&mut first));
                whole.extend_from_slice(&data);
            }
        }
        Ok(if whole.is_empty() { first } else { whole.freeze() })
    }

    /// The next piece; trailers are none.
    async fn piece(&mut self) -> Result<Option<Bytes>, Unreadable> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(data) = frame.map_err(|_| Unreadable::BodyBroken)?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// How much room is lacking for so many bytes.
    fn lacks(&self, length: usize) -> Option<u32> {
        let held = self.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = length.saturating_sub(FREE).saturating_sub(held);
        // A piece is no larger than the buffer that a connection reads into.
        (more > 0).then(|| u32::try_from(more).unwrap_or(u32::MAX))
    }

    /// Takes room for what has come, and never for what was only announced: to announce costs a client
    /// nothing. Two that hold some and wait for more can thus wait for each other; the patience for a body
    /// ends that.
    async fn make_room(&mut self, more: u32) {
        self.waits_for_room = true;
        // Nobody closes the semaphore.
        if let Ok(more) = self.bodies.room.clone().acquire_many_owned(more).await {
            match &mut self.room {
                Some(room) => room.merge(more),
                None => self.room = Some(more),
            }
        }
        self.waits_for_room = false;
    }
}
