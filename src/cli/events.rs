//! The client's end of `GET /api/v1/stream`: events, one after the other, from one connection.

use std::collections::VecDeque;
use std::pin::Pin;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::config::Secret;
use crate::sink::BoxError;

/// Longer lines are none of ours.
const LONGEST_LINE: usize = 4 << 20;
/// Nor are longer refusals.
const LONGEST_REFUSAL: usize = 64 << 10;

/// One event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// What it is; empty if it only tells where the stream is.
    pub(super) name: String,
    /// Where the stream is behind it.
    pub(super) id: String,
    /// JSON.
    pub(super) data: String,
}

/// A connection on which events come.
pub(super) struct Events {
    body: Incoming,
    /// Does the work of the connection; ends with it.
    connection: Pin<Box<dyn Future<Output = ()> + Send>>,
    ended: bool,
    parser: Parser,
}

/// The stream did not begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// Nobody answers, or not in HTTP.
    #[error("its admin listener does not answer")]
    Absent(#[source] BoxError),
    /// The service does not want to.
    #[error("the running service says {0}: {1}")]
    Told(StatusCode, String),
}

impl Events {
    /// Begins, behind the last event that was seen if there was one.
    pub(super) async fn open(
        address: &str,
        path: &str,
        token: Option<&Secret>,
        seen: Option<&str>,
    ) -> Result<Self, Refused> {
        let absent = |error: BoxError| Refused::Absent(error);
        let stream = TcpStream::connect(address).await.map_err(|error| absent(error.into()))?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut client, connection) = handshake.map_err(|error| absent(error.into()))?;
        let mut request = Request::get(path).header("host", address).header("accept", "text/event-stream");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {}", token.expose()));
        }
        if let Some(seen) = seen {
            request = request.header("last-event-id", seen);
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| absent(error.into()))?;
        // How the connection ends shows in the body.
        let mut connection: Pin<Box<dyn Future<Output = ()> + Send>> =
            Box::pin(async { drop(connection.await) });
        let response = tokio::select! {
            biased;
            response = client.send_request(request) => response.map_err(|error| absent(error.into()))?,
            () = &mut connection => return Err(absent("the connection ended before an answer".into())),
        };
        let (status, body) = (response.status(), response.into_body());
        if !status.is_success() {
            let whole = Limited::new(body, LONGEST_REFUSAL).collect();
            let (whole, ()) = tokio::join!(whole, async {
                drop(client);
                connection.await;
            });
            let text = whole.map(|body| body.to_bytes()).unwrap_or_default();
            let problem: Value = serde_json::from_slice(&text).unwrap_or_default();
            let why = problem["detail"].as_str().unwrap_or("no reason given");
            return Err(Refused::Told(status, why.to_owned()));
        }
        Ok(Self { body, connection, ended: false, parser: Parser::default() })
    }

    /// The next event; `None` when the stream has ended.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.parser.events.pop_front() {
                return Some(event);
            }
            let frame = tokio::select! {
                biased;
                frame = self.body.frame() => frame,
                () = &mut self.connection, if !self.ended => {
                    self.ended = true;
                    continue;
                }
            };
            let data = frame?.ok()?.into_data().unwrap_or_default();
            self.parser.take(&data).then_some(())?;
        }
    }
}

/// Makes events of bytes: <https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>, as
/// far as our own service makes use of it.
#[derive(Default)]
struct Parser {
    line: Vec<u8>,
    event: Event,
    events: VecDeque<Event>,
}

impl Parser {
    /// Takes some bytes; false if they are no events of ours.
    fn take(&mut self, bytes: &[u8]) -> bool {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if self.line.len() > LONGEST_LINE {
                return false;
            }
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                let Ok(line) = std::str::from_utf8(&line) else { return false };
                self.take_line(line.trim_end_matches(['\r', '\n']));
            }
        }
        true
    }

    fn take_line(&mut self, line: &str) {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            if event != Event::default() {
                self.events.push_back(event);
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.event.name = value.to_owned(),
            "id" => self.event.id = value.to_owned(),
            "data" => self.event.data.push_str(value),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_same_however_the_bytes_are_cut() {
        let bytes = "retry: 1000\nid: 1-a-2\n\n: here\n\nevent: receipt\nid: 2-a-2\ndata: {\"a\":\"é\"}\n\nevent: cut";
        for size in 1..bytes.len() {
            let mut parser = Parser::default();
            assert!(bytes.as_bytes().chunks(size).all(|bytes| parser.take(bytes)));
            let event = |name: &str, id: &str, data: &str| Event {
                name: name.to_owned(),
                id: id.to_owned(),
                data: data.to_owned(),
            };
            let whole = [event("", "1-a-2", ""), event("receipt", "2-a-2", "{\"a\":\"é\"}")];
            assert_eq!(parser.events, whole, "in pieces of {size}");
        }
    }
}
