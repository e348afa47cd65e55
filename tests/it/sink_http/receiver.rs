//! An HTTP endpoint that behaves as a script says, on the bare socket, so that it can misbehave in ways that
//! a library would not allow.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::house::PATIENCE;

/// What is done with one request. Where its events are taken, they count even if the sender does not hear it.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Takes the events, and answers this: the status line from the code on, header lines, and a body.
    Take(String, String),
    /// Takes nothing, and answers so.
    Answer(String, String),
    /// The same, as soon as the head is read.
    AnswerEarly(String, String),
    /// Takes nothing and does not answer.
    Hold,
    /// Closes as soon as the head is read.
    HangUp,
    /// Takes the events, and closes in the midst of the answer.
    CutAnswer,
    /// Takes the events, and answers a byte now and then.
    Drip,
    /// Takes the events, and answers with a body that never ends.
    Endless,
}

impl Act {
    pub(crate) fn ok() -> Self {
        Self::Take("204 No Content".to_owned(), String::new())
    }

    fn takes(&self) -> bool {
        match self {
            Self::Take(..) | Self::CutAnswer | Self::Drip | Self::Endless => true,
            Self::Answer(..) | Self::AnswerEarly(..) | Self::Hold | Self::HangUp => false,
        }
    }

    pub(crate) fn answer(status: impl Into<String>, body: &str) -> Self {
        Self::Answer(status.into(), body.to_owned())
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Method and path.
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Counts connections.
    pub(crate) connection: usize,
    /// Whether the sender has shown a certificate that the receiver believes.
    pub(crate) certified: bool,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The events in it, one or many.
    pub(crate) fn events(&self) -> Vec<Value> {
        let value: Value = serde_json::from_slice(&self.body).unwrap();
        value.as_array().cloned().unwrap_or_else(|| vec![value])
    }
}

/// What to do with events for which the script says nothing, and which it may not take.
type Judge = Box<dyn Fn(&[Value]) -> Act + Send + Sync>;

/// The endpoint. Dropped, it ends with all its connections.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    desk: Arc<Desk>,
    _accepting: JoinSet<()>,
}

struct Desk {
    script: Mutex<VecDeque<Act>>,
    judge: Judge,
    requests: watch::Sender<Vec<Request>>,
    taken: Mutex<Vec<Value>>,
    connections: AtomicUsize,
}

impl Receiver {
    pub(crate) async fn new(script: impl IntoIterator<Item = Act>) -> Self {
        Self::judging(script, |_| Act::ok()).await
    }

    pub(crate) async fn judging(
        script: impl IntoIterator<Item = Act>,
        judge: impl Fn(&[Value]) -> Act + Send + Sync + 'static,
    ) -> Self {
        Self::start(script, judge, None).await
    }

    pub(crate) async fn start(
        script: impl IntoIterator<Item = Act>,
        judge: impl Fn(&[Value]) -> Act + Send + Sync + 'static,
        tls: Option<TlsAcceptor>,
    ) -> Self {
        let desk = Arc::new(Desk {
            script: Mutex::new(script.into_iter().collect()),
            judge: Box::new(judge),
            requests: watch::channel(Vec::new()).0,
            taken: Mutex::default(),
            connections: AtomicUsize::default(),
        });
        Self::open(desk, tls).await
    }

    async fn open(desk: Arc<Desk>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, desk.clone(), tls));
        Self { address, desk, _accepting: accepting }
    }

    /// Ends it with all its connections, and starts it elsewhere with what it has.
    pub(crate) async fn restart(&mut self) {
        *self = Self::open(self.desk.clone(), None).await;
    }

    /// Where to post.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// All requests so far whose body came whole, and those that were not read to their end.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.desk.requests.borrow().clone()
    }

    pub(crate) async fn until_requests(&self, count: usize) {
        let mut requests = self.desk.requests.subscribe();
        timeout(PATIENCE, requests.wait_for(|requests| requests.len() >= count)).await.unwrap().unwrap();
    }

    pub(crate) fn has_done_its_script(&self) -> bool {
        self.desk.script.lock().unwrap().is_empty()
    }

    /// The receipts of the events that it took, in order.
    pub(crate) fn taken(&self) -> Vec<Value> {
        self.desk.taken.lock().unwrap().iter().map(|event| event["data"].clone()).collect()
    }

    /// Their numbers.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.taken().iter().map(|receipt| receipt["message_seq"].as_u64().unwrap()).collect()
    }
}

async fn accept(listener: TcpListener, desk: Arc<Desk>, tls: Option<TlsAcceptor>) {
    let mut conversations = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let connection = desk.connections.fetch_add(1, Ordering::Relaxed);
        let (desk, tls) = (desk.clone(), tls.clone());
        conversations.spawn(async move {
            // Senders go away as they like; what matters is what was recorded.
            let _gone = match tls {
                None => desk.converse(stream, connection, false).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => {
                        let certified = stream.get_ref().1.peer_certificates().is_some();
                        desk.converse(stream, connection, certified).await
                    }
                    Err(error) => Err(error),
                },
            };
        });
    }
}

impl Desk {
    async fn converse(
        &self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        connection: usize,
        certified: bool,
    ) -> std::io::Result<()> {
        let mut buffer = Vec::new();
        loop {
            let end = loop {
                if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                    break at + 4;
                }
                if stream.read_buf(&mut buffer).await? == 0 {
                    return Ok(());
                }
            };
            let head: Vec<u8> = buffer.drain(..end).collect();
            let mut request = read_head(&head, connection, certified);
            let scripted = self.script.lock().unwrap().pop_front();
            match scripted {
                Some(Act::HangUp) => {
                    self.record(request);
                    return Ok(());
                }
                Some(Act::AnswerEarly(status, body)) => {
                    self.record(request);
                    answer(&mut stream, &status, &body).await?;
                    // Closing at once would take back the answer. What still comes is not read into anything.
                    while stream.read(&mut [0; 4096]).await? > 0 {}
                    return Ok(());
                }
                scripted => {
                    let length = request.header("content-length").parse().unwrap_or(0);
                    while buffer.len() < length {
                        if stream.read_buf(&mut buffer).await? == 0 {
                            return Ok(());
                        }
                    }
                    request.body = buffer.drain(..length).collect();
                    self.act(&mut stream, scripted, request).await?;
                }
            }
        }
    }

    async fn act(
        &self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        scripted: Option<Act>,
        request: Request,
    ) -> std::io::Result<()> {
        let events = if request.body.is_empty() { Vec::new() } else { request.events() };
        let act = match (scripted, (self.judge)(&events)) {
            (Some(scripted), judged) if judged.takes() || !scripted.takes() => scripted,
            (_, judged) => judged,
        };
        if act.takes() {
            self.taken.lock().unwrap().extend(events);
        }
        self.record(request);
        match act {
            Act::Take(status, body) | Act::Answer(status, body) | Act::AnswerEarly(status, body) => {
                answer(stream, &status, &body).await
            }
            Act::Hold => {
                // Until the sender goes.
                while stream.read(&mut [0; 64]).await? > 0 {}
                Ok(())
            }
            Act::CutAnswer => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await?;
                stream.shutdown().await
            }
            Act::HangUp => stream.shutdown().await,
            Act::Drip => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await?;
                loop {
                    stream.write_all(b"drip").await?;
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
            }
            Act::Endless => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
                loop {
                    stream.write_all(b"5\r\nwords\r\n").await?;
                }
            }
        }
    }

    fn record(&self, request: Request) {
        self.requests.send_modify(|requests| requests.push(request));
    }
}

fn read_head(head: &[u8], connection: usize, certified: bool) -> Request {
    let head = std::str::from_utf8(head).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let line = lines.next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
    let mut headers = HeaderMap::new();
    for (name, value) in lines.map(|line| line.split_once(": ").unwrap()) {
        headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    Request { line, headers, body: Vec::new(), connection, certified }
}

async fn answer(stream: &mut (impl AsyncWrite + Unpin), status: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n");
    // 204 has no body, and no length.
    let head = if status.starts_with("204") { format!("HTTP/1.1 {status}\r\n\r\n") } else { head };
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    stream.flush().await
}
