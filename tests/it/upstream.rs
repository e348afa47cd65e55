//! A server that records what it is sent, byte for byte, and answers as it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::house::PATIENCE;

/// What it does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Manner {
    /// Sends these bytes, a whole response.
    Say(String),
    /// Reads it and says nothing.
    Hang,
    /// Reads it and closes the connection.
    Close,
    /// Does one of these after the other, from request to request, and begins again.
    InTurn(Vec<Manner>),
}

impl Manner {
    /// A whole answer with a body.
    pub(crate) fn answer(status: &str, fields: &str, body: &str) -> Self {
        Self::Say(format!("HTTP/1.1 {status}\r\n{fields}content-length: {}\r\n\r\n{body}", body.len()))
    }
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    /// `POST /path?query HTTP/1.1`
    pub(crate) line: String,
    /// Names in lower case, values as they came.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Got {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

/// The server. Dropped, it is gone.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    manner: Arc<Mutex<Manner>>,
    got: watch::Receiver<Vec<Got>>,
    listening: AbortHandle,
}

impl Upstream {
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let manner = Arc::new(Mutex::new(manner));
        let (record, got) = watch::channel(Vec::new());
        let (record, told) = (Arc::new(record), manner.clone());
        #[expect(clippy::disallowed_methods, reason = "ends with the server")]
        let listening = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(converse(stream, told.clone(), record.clone()));
            }
        });
        Self { address, manner, got, listening: listening.abort_handle() }
    }

    pub(crate) fn becomes(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// Waits until it has got so many requests.
    pub(crate) async fn until_got(&self, requests: usize) {
        let mut got = self.got.clone();
        let came = got.wait_for(|got| got.len() >= requests);
        tokio::time::timeout(PATIENCE, came).await.expect("the requests should come").unwrap();
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.borrow().clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn converse(stream: TcpStream, manner: Arc<Mutex<Manner>>, record: Arc<watch::Sender<Vec<Got>>>) {
    let mut stream = BufReader::new(stream);
    while let Some(got) = read(&mut stream).await {
        let mut before = 0;
        record.send_modify(|all| {
            before = all.len();
            all.push(got);
        });
        let mut manner = manner.lock().unwrap().clone();
        while let Manner::InTurn(manners) = manner {
            manner = manners[before % manners.len()].clone();
        }
        match manner {
            Manner::Say(text) => {
                if stream.write_all(text.as_bytes()).await.is_err() {
                    return;
                }
            }
            Manner::Hang => std::future::pending().await,
            Manner::Close | Manner::InTurn(_) => return,
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Got> {
    let line = head_line(stream).await?;
    let mut fields = Vec::new();
    loop {
        let field = head_line(stream).await?;
        if field.is_empty() {
            break;
        }
        let (name, value) = field.split_once(": ")?;
        fields.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let mut got = Got { line, fields, body: Vec::new() };
    got.body = vec![0; got.field("content-length").map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut got.body).await.ok()?;
    Some(got)
}

async fn head_line(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    let read = stream.read_line(&mut line).await.ok()?;
    (read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
}
