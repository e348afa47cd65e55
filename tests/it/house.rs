//! The whole service on ports of its own, with a journal of its own, in the test's own process; and the small client
//! that talks to it in exact bytes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use readhook::config::{Config, ConfigError, Environment, load};
use readhook::{Listeners, RunError, Signals, run};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// No state is waited for longer than this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running service.
pub(crate) struct House {
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) reload: mpsc::Sender<Result<Config, ConfigError>>,
    stop: CancellationToken,
    running: JoinHandle<Result<(), RunError>>,
    /// Must be the last field: the service has files in it until it has ended.
    pub(crate) dir: TempDir,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// The path of a file of this repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A configuration from TOML, with its journal in `dir` and one file sink there. Sinks of the text are left out: no
/// test should print receipts.
pub(crate) fn config(dir: &Path, text: &str) -> Config {
    let mut table: toml::Table = toml::from_str(text).unwrap();
    table.remove("sinks");
    let file = dir.join("readhook.toml");
    std::fs::write(&file, toml::to_string(&table).unwrap()).unwrap();
    // No test wants one that does not say so.
    let reserve = table.get("journal").and_then(|journal| journal.get("reserve_bytes"));
    let reserve = reserve.map_or_else(|| "0".to_owned(), ToString::to_string);
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let environment = Environment::from([
        ("READHOOK__JOURNAL__PATH".to_owned(), path("readhook.db")),
        ("READHOOK__JOURNAL__RESERVE_BYTES".to_owned(), reserve),
        ("READHOOK__SINKS__EVENTS__TYPE".to_owned(), "file".to_owned()),
        ("READHOOK__SINKS__EVENTS__PATH".to_owned(), path("receipts.jsonl")),
    ]);
    load(Some(&file), &environment).unwrap()
}

/// The configuration of the first five minutes.
pub(crate) fn demo() -> String {
    std::fs::read_to_string(repository("config/demo.toml")).unwrap()
}

impl House {
    /// Starts the service in a new folder.
    pub(crate) async fn start(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), text);
        Self::start_in(dir, config).await
    }

    /// Starts the service in a folder that may have been used before.
    pub(crate) async fn start_in(dir: TempDir, config: Config) -> Self {
        let listeners = Listeners {
            public: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            admin: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        };
        let (public, admin) = (listeners.public.local_addr().unwrap(), listeners.admin.local_addr().unwrap());
        let stop = CancellationToken::new();
        let (reload, reloads) = mpsc::channel(1);
        let signals = Signals { stop: stop.clone(), reload: reloads };
        #[expect(clippy::disallowed_methods, reason = "the test itself waits for it, in `end`")]
        let running = tokio::spawn(run(config, listeners, signals));
        let house = Self { public, admin, reload, stop, running, dir };
        let ready = house.get("/readyz").await;
        assert_eq!(ready.status, 200, "{}", ready.body);
        house
    }

    /// Posts a callback.
    pub(crate) async fn post(&self, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        exchange(self.public, Method::POST, target, headers, body.to_vec()).await
    }

    /// Asks the admin listener.
    pub(crate) async fn get(&self, target: &str) -> Reply {
        exchange(self.admin, Method::GET, target, &[], Vec::new()).await
    }

    /// Tells a sink what to do.
    pub(crate) async fn order(&self, sink: &str, order: &str, body: &str) -> Reply {
        let target = format!("/api/v1/sinks/{sink}/{order}");
        exchange(self.admin, Method::POST, &target, &[], body.as_bytes().to_vec()).await
    }

    /// Every receipt of the journal, oldest first, through the API.
    pub(crate) async fn receipts(&self) -> Vec<Value> {
        let mut receipts = Vec::new();
        let mut target = "/api/v1/receipts?limit=1000".to_owned();
        loop {
            let page: Value = serde_json::from_str(&self.get(&target).await.body).unwrap();
            receipts.extend(page["receipts"].as_array().unwrap().iter().cloned());
            match page["next"].as_str() {
                Some(next) => target = format!("/api/v1/receipts?limit=1000&cursor={next}"),
                None => return receipts,
            }
        }
    }

    /// The value of one series of the metrics, 0 if there is none.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let text = self.get("/metrics").await.body;
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        value.unwrap_or(0.0)
    }

    /// Begins the end; [`House::end`] waits for it.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Ends the service in good order. Every receipt of the journal must then be in the file of the sink, in order.
    pub(crate) async fn end(self) -> TempDir {
        let stored = self.receipts().await;
        let stopped = Instant::now();
        self.stop.cancel();
        let dir = self.ended().await;
        let took = stopped.elapsed();
        assert_eq!(
            delivered(dir.path()),
            stored,
            "left: what the sink got; right: what the journal has ({took:?})"
        );
        dir
    }

    /// Waits for the end that [`House::stop`] began.
    pub(crate) async fn ended(self) -> TempDir {
        let ended = tokio::time::timeout(PATIENCE, self.running).await;
        ended.expect("the service should end").unwrap().unwrap();
        self.dir
    }

    /// Leaves it running, for a test that then drops the runtime under it.
    pub(crate) fn leave(self) -> TempDir {
        self.dir
    }
}

/// What the file sink has written in a folder.
pub(crate) fn delivered(dir: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join("receipts.jsonl")).unwrap_or_default();
    assert!(text.is_empty() || text.ends_with('\n'), "half a line at the end");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// One request on a connection of its own; the target goes out as it is given, byte for byte.
pub(crate) async fn exchange(
    address: SocketAddr,
    method: Method,
    target: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Reply {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let mut request = Request::builder().method(method).uri(target).header("host", address.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body))).unwrap();
    let answer = async {
        let response = client.send_request(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        drop(client);
        Reply {
            status: head.status.as_u16(),
            headers: head.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    };
    let (reply, _) = tokio::join!(answer, connection);
    reply
}
