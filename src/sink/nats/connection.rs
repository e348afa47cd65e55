//! A connection to one of the servers. It lives until the first trouble: what the client would do by itself
//! after that, connect anew and go on with its queue, is not waited for.

use std::future::{Ready, ready};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::{
    Auth, AuthError, Client, ConnectError, ConnectErrorKind, ConnectOptions, Event, ServerAddr,
};
use tokio::sync::watch;
use tokio::time::timeout;

use super::login::Login;
use super::stream;
use crate::config::{NatsSink, TlsFiles};
use crate::sink::BoxError;
use crate::tls;

/// What connects.
pub(super) struct Connector {
    config: NatsSink,
    servers: Vec<ServerAddr>,
    /// How often it was tried: each try begins with the next server, so that no sick one has every turn.
    tries: AtomicUsize,
}

impl Connector {
    pub(super) fn new(config: &NatsSink) -> Result<Self, BoxError> {
        let servers = config.url.expose().split(',').map(|url| url.trim().parse());
        let connector = Self {
            config: config.clone(),
            servers: servers.collect::<Result<_, _>>()?,
            tries: AtomicUsize::new(0),
        };
        // Credentials that cannot be read are wrong at once, not only when a server is there.
        for server in &connector.servers {
            Login::of(config, server)?;
        }
        Ok(connector)
    }

    /// For connecting, and for a batch.
    pub(super) fn timeout(&self) -> Duration {
        self.config.timeout.duration()
    }

    /// Connects, and looks after the stream.
    ///
    /// # Errors
    /// They name the servers, and nothing secret.
    pub(super) async fn connect(&self) -> Result<Connection, BoxError> {
        let within = self.timeout();
        let connect = async {
            let mut connection = self.connect_to_any().await?;
            connection.pipelines = tokio::select! {
                ensured = stream::ensure(connection.context(), &self.config) => ensured?.is_in_line(),
                trouble = connection.trouble() => return Err(trouble),
            };
            Ok(connection)
        };
        let late = |_| format!("no server was connected to and its stream looked at within {within:?}");
        timeout(within, connect).await.map_err(late)?
    }

    async fn connect_to_any(&self) -> Result<Connection, BoxError> {
        let first = self.tries.fetch_add(1, Ordering::Relaxed) % self.servers.len().max(1);
        let (later, sooner) = self.servers.split_at(first);
        let mut problems = Vec::new();
        for server in sooner.iter().chain(later) {
            match self.connect_to(server).await {
                Ok(connection) => return Ok(connection),
                Err(problem) => problems.push(format!("{}:{}: {problem}", server.host(), server.port())),
            }
        }
        Err(problems.join("; ").into())
    }

    async fn connect_to(&self, server: &ServerAddr) -> Result<Connection, BoxError> {
        // One address that does not answer must not use up the time of the others.
        let share = self.timeout() / u32::try_from(self.servers.len()).unwrap_or(u32::MAX);
        timeout(share, async {
            let addresses = server.socket_addrs().await?.count().max(1);
            let share = share / u32::try_from(addresses).unwrap_or(u32::MAX);
            let (options, trouble) = self.options(server, share).await?;
            let client = options.connect(bare(server)?).await.map_err(|error| explained(error, share))?;
            Ok(Connection { context: self.context(client), trouble, pipelines: false })
        })
        .await
        .map_err(|_| format!("no answer within {share:?}"))?
    }

    async fn options(
        &self,
        server: &ServerAddr,
        share: Duration,
    ) -> Result<(ConnectOptions, watch::Receiver<Option<String>>), BoxError> {
        let (tell, trouble) = watch::channel(None);
        let mut options = ConnectOptions::with_auth_callback(once(Login::of(&self.config, server)?))
            .name("readhook")
            // A client that may not log in again must not look for a server for ever. (0 means just that.)
            .max_reconnects(1)
            .ignore_discovered_servers()
            .connection_timeout(share)
            .request_timeout(Some(self.timeout()))
            // What was dropped on a stalled connection lives until its third ping is not answered.
            .ping_interval(self.timeout())
            .event_callback(move |event| {
                if let Some(trouble) = trouble_of(event) {
                    // The first trouble is the cause of the others.
                    tell.send_if_modified(|told| told.is_none() && told.replace(trouble).is_none());
                }
                std::future::ready(())
            });
        // Who names certificates means TLS, whatever the server offers.
        if server.tls_required() || self.config.tls != TlsFiles::default() {
            let files = self.config.tls.clone();
            let tls = tokio::task::spawn_blocking(move || tls::client_config(&files)).await??;
            options = options.require_tls(true).tls_client_config(tls);
        }
        Ok((options, trouble))
    }

    fn context(&self, client: Client) -> Context {
        ContextBuilder::new()
            // Never the first to fire: who waits has a time of its own, and says what it waited for.
            .timeout(2 * self.timeout())
            .ack_timeout(self.timeout())
            // Those of a batch, and those that a batch before it did not wait for.
            .max_ack_inflight(2 * super::IN_FLIGHT)
            .build(client)
    }
}

/// A connection, and the stream behind it.
pub(super) struct Connection {
    context: Context,
    trouble: watch::Receiver<Option<String>>,
    pipelines: bool,
}

impl Connection {
    /// Whether messages of one conversation may be on their way together: what arrives of them is then always a
    /// beginning.
    pub(super) fn pipelines(&self) -> bool {
        self.pipelines
    }

    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// False when it was lost while nobody used it.
    pub(super) fn is_well(&self) -> bool {
        self.trouble.has_changed().is_ok() && self.trouble.borrow().is_none()
    }

    /// Waits for the end of the connection, or for an error that the server tells nobody in particular, such
    /// as a permission that is missing: there is no answer then.
    pub(super) async fn trouble(&self) -> BoxError {
        match self.trouble.clone().wait_for(Option::is_some).await.as_deref() {
            Ok(Some(trouble)) => trouble.clone().into(),
            Ok(None) | Err(_) => "the connection has ended".into(),
        }
    }
}

/// Logs in once. Left to itself the client would connect anew after a loss and go on with what is left in its queue: what
/// was lost in between would come after that. So it does not get in again, and ends.
fn once(login: Login) -> impl Fn(Vec<u8>) -> Ready<Result<Auth, AuthError>> {
    let used = AtomicBool::new(false);
    move |nonce| {
        ready(match used.swap(true, Ordering::Relaxed) {
            false => login.auth(&nonce),
            true => Err(AuthError::new("this client has had its connection")),
        })
    }
}

fn trouble_of(event: Event) -> Option<String> {
    match event {
        Event::Disconnected | Event::Closed => Some("the connection was lost".to_owned()),
        Event::ServerError(error) => Some(error.to_string()),
        Event::Connected
        | Event::LameDuckMode
        | Event::Draining
        | Event::SlowConsumer(_)
        | Event::ClientError(_) => None,
    }
}

/// The address without user and password, which the client shows in its debug log.
fn bare(server: &ServerAddr) -> std::io::Result<ServerAddr> {
    let host = server.host();
    let brackets = if host.contains(':') { ("[", "]") } else { ("", "") };
    format!("{}://{}{host}{}:{}", server.scheme(), brackets.0, brackets.1, server.port()).parse()
}

fn explained(error: ConnectError, within: Duration) -> BoxError {
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation => {
            format!("the server does not know the user, or not with this proof: {error}").into()
        }
        ConnectErrorKind::Authentication => format!("the login could not be made: {error}").into(),
        ConnectErrorKind::TimedOut => format!("no answer within {within:?}").into(),
        ConnectErrorKind::ServerParse
        | ConnectErrorKind::Dns
        | ConnectErrorKind::Tls
        | ConnectErrorKind::Io
        | ConnectErrorKind::MaxReconnects => Box::new(error),
    }
}
