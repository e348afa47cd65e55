//! `GET /api/v1/stream`: receipts and callbacks as they come, as Server-Sent Events
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
//!
//! A stream is a place in the journal and one in the callback log, and reads on from there whenever its client takes
//! more. So a slow client costs nothing, and one that was away goes on where it was: the id of each event is both places.

mod follow;
mod place;

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::Admin;
use super::problem::Problem;
use super::query::Query;
use crate::callback_log::{CallbackLog, Wanted};
use crate::journal::{Journal, JournalError};
use crate::metrics::Metrics;
use crate::receipt::VendorName;
use follow::Follower;
use place::Place;

/// How many streams there may be at once.
const STREAMS: usize = 64;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Keeps nginx from holding events back.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The room for streams, and their end.
#[derive(Clone)]
pub(crate) struct Streams {
    room: Arc<Semaphore>,
    ending: CancellationToken,
}

/// A stream's room, for as long as it is open.
struct Room {
    _permit: OwnedSemaphorePermit,
    metrics: Metrics,
}

impl Room {
    fn new(permit: OwnedSemaphorePermit, metrics: &Metrics) -> Self {
        metrics.streams.inc();
        Self { _permit: permit, metrics: metrics.clone() }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.metrics.streams.dec();
    }
}

impl Streams {
    /// Streams that end with `ending`.
    pub(crate) fn until(ending: CancellationToken) -> Self {
        Self { room: Arc::new(Semaphore::new(STREAMS)), ending }
    }
}

/// What a client wants to hear of.
struct Question {
    vendor: Option<VendorName>,
    app: Option<String>,
    receipts: bool,
    callbacks: bool,
    from_start: bool,
}

pub(super) async fn stream(
    State(admin): State<Admin>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let journal = admin.store.journal();
    let question = question(&query.unwrap_or_default(), journal.is_some())?;
    let log = admin.ingest.callbacks();
    let begin = match headers.get(LAST_EVENT_ID) {
        Some(last) => resume(last.to_str().unwrap_or_default(), journal, log)?,
        None if question.from_start => Begin::Now(Place { seq: 0, number: log.oldest() - 1 }),
        None => Begin::Now(Place {
            seq: journal.map_or(0, |journal| *journal.head().borrow()),
            number: log.head(),
        }),
    };
    let permit = admin.streams.room.clone().try_acquire_owned().map_err(|_| {
        let detail = format!("{STREAMS} streams are open, and that is all there may be");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    })?;
    let Question { vendor, app, receipts, callbacks, .. } = question;
    let wanted = Wanted { vendor, outcome: None, app, since: None };
    let journal = journal.filter(|_| receipts);
    let mut follower = Follower::new(journal, callbacks, log, wanted, &begin);
    follower.greet(begin).await.map_err(Problem::of_journal)?;
    let room = Room::new(permit, &admin.metrics);
    let follower = Following { follower, ending: admin.streams.ending.clone(), _room: room };
    let events = unfold(follower, async |mut following: Following| {
        let Following { follower, ending, .. } = &mut following;
        let events = tokio::select! {
            biased;
            () = ending.cancelled() => return None,
            events = follower.next() => told(events)?,
        };
        Some((Ok::<_, Infallible>(events), following))
    });
    let fields = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONNECTION, "close"),
        (BUFFERING, "no"),
    ];
    Ok((fields, Body::from_stream(events)).into_response())
}

struct Following {
    follower: Follower,
    ending: CancellationToken,
    _room: Room,
}

/// Where a stream begins.
enum Begin {
    /// For a client that has seen nothing.
    Now(Place),
    /// Behind what the client has seen last.
    Again(Place),
    /// The same, but the callbacks that it has seen are those of an earlier run.
    AnotherRun(Place),
}

impl Begin {
    fn place(&self) -> Place {
        match self {
            Self::Now(place) | Self::Again(place) | Self::AnotherRun(place) => *place,
        }
    }
}

/// The events, or the end of the stream: its client will come again and go on where it was.
fn told(events: Result<String, JournalError>) -> Option<String> {
    events
        .inspect_err(|error| tracing::warn!(%error, "a stream ends, because the journal cannot be read"))
        .ok()
}

fn question(query: &str, has_journal: bool) -> Result<Question, Problem> {
    let query = Query::parse(query, &["vendor", "app", "events", "from"])?;
    let events = query.read("events", "receipt, callback, or both with a comma", |text| {
        let words: Vec<&str> = text.split(',').collect();
        let known = words.iter().all(|word| ["receipt", "callback"].contains(word));
        let once = words.len() < 2 || words.first() != words.last();
        (known && once && words.len() <= 2).then(|| (words.contains(&"receipt"), words.contains(&"callback")))
    })?;
    let (receipts, callbacks) = match events {
        Some((true, _)) if !has_journal => return Err(Problem::no_journal()),
        Some(events) => events,
        None => (has_journal, true),
    };
    let from_start = query.read("from", "start or now", |text| match text {
        "start" => Some(true),
        "now" => Some(false),
        _ => None,
    })?;
    Ok(Question {
        vendor: query.vendor()?,
        app: query.text("app").map(str::to_owned),
        receipts,
        callbacks,
        from_start: from_start.unwrap_or(false),
    })
}

/// Where the client was that has seen this event last. What cannot be is refused: to begin anywhere else would be a gap
/// that nobody notices.
fn resume(id: &str, journal: Option<&Journal>, log: &CallbackLog) -> Result<Begin, Problem> {
    let bad = |why| Problem::bad_request(format!("Last-Event-ID: {why}"));
    let (run, place) = Place::read(id).ok_or_else(|| bad("no id of an event of this stream"))?;
    let newest = journal.map(|journal| *journal.head().borrow());
    if newest.is_some_and(|newest| place.seq > newest) {
        return Err(bad("it is ahead of this journal; begin without it"));
    }
    if run != log.run() {
        return Ok(Begin::AnotherRun(Place { number: 0, ..place }));
    }
    if place.number > log.head() {
        return Err(bad("it is ahead of the callback log; begin without it"));
    }
    Ok(Begin::Again(place))
}
