//! The whole service: builds everything, and owns how it ends. Shutdown goes the way the data goes: no new
//! connections, requests under way are answered, the journal is flushed, the sinks catch up, the files are closed.

mod delivery;
mod hidden;
mod housekeeping;
mod lag;
mod preflight;
mod reload;
mod traced;
mod watermark;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{Admin, Guard, Routes, Sinks, Streams};
use crate::callback_log::CallbackLog;
use crate::config::{Config, ConfigError, ServerConfig};
use crate::console;
use crate::ingest::Ingest;
use crate::journal::{Journal, OpenError, resolved};
use crate::metrics::Metrics;
use crate::quarantine::Quarantine;
use crate::server::connection::{Bounds, Patience, serve};
use crate::server::health::Health;
use crate::server::{Door, Public};
use crate::sink::BoxError;
use crate::spans::Spans;
use crate::state::State;
use delivery::Delivery;
use housekeeping::housekeeping;
use lag::Waiting;
pub use preflight::preflight;
use reload::{reload, serve_vendors};

/// The sockets, bound by the caller so that a test can choose port 0.
pub struct Listeners {
    /// Where vendors call.
    pub public: TcpListener,
    /// Where operators look.
    pub admin: TcpListener,
}

/// What the outside can tell a running service.
pub struct Signals {
    /// Ends it in good order.
    pub stop: CancellationToken,
    /// Asks to go on with this configuration, already checked. With an error it is logged, and the old one stays. Either
    /// way the sinks let go of files that may have been moved away.
    pub reload: mpsc::Receiver<Result<Config, ConfigError>>,
}

/// The service could not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// The journal's disk has failed, and the journal could not be opened again.
    #[error("the journal could not be opened again after its disk failed: {0}")]
    Lost(String),
    /// A sink cannot be set up as it is configured.
    #[error("sinks.{name}: {why}")]
    Sink {
        /// Which one.
        name: String,
        /// Why not.
        why: BoxError,
    },
    /// The certificates of a passthrough cannot be used.
    #[error("vendors: a passthrough's certificates: {0}")]
    Passthrough(BoxError),
    /// Two metrics have one name: a fault of this program.
    #[error("cannot register the metrics")]
    Metrics(#[from] prometheus::Error),
}

/// Runs until told to stop, and returns when everything accepted is on disk and the sinks had their time.
///
/// # Errors
/// Before it begins to listen; and when the journal's disk has failed for so long that the process should end.
pub async fn run(config: Config, listeners: Listeners, signals: Signals) -> Result<(), RunError> {
    let metrics = Metrics::new()?;
    let tasks = TaskTracker::new();
    let spans = Spans::start();
    let Delivery { store, sinks, standings, handles, flushed, give_up } =
        Delivery::start(&config, &metrics, &spans, &tasks).await?;
    let journal = store.journal().cloned();
    let quarantine = Quarantine::open(&resolved(&config.journal.path), &config.quarantine, &metrics);
    let served = serve_vendors(&config, &metrics).map_err(RunError::Passthrough)?;

    let (stop, admin_stop) = (signals.stop.child_token(), CancellationToken::new());
    let state = start_state(&config, journal.as_ref(), &tasks, &admin_stop);
    let ban_guard = config.vendors.easemob.ban_guard;
    let callbacks = CallbackLog::new(config.callback_log);
    let ingest = Ingest::new(store.clone(), quarantine, ban_guard, metrics.clone(), callbacks);
    let ingest = Arc::new(ingest.with_spans(spans.clone()));
    let health = Health::new(store.clone());
    let door = Door::new(ingest.clone(), served, config.server.clone());
    let admin = Admin {
        store,
        state: state.clone(),
        metrics: metrics.clone(),
        health: health.clone(),
        ingest: ingest.clone(),
        door: door.clone(),
        sinks: Arc::new(Sinks {
            config: config.sinks.clone(),
            standings: standings.clone(),
            handles: handles.clone(),
        }),
        guard: Arc::new(Guard::new(&config.admin, &config.server.trusted_proxies)),
        public: listeners.public.local_addr().unwrap_or(config.server.listen),
        streams: Streams::until(admin_stop.clone()),
    };

    let address =
        |listener: &TcpListener| listener.local_addr().map_or_else(|_| "?".to_owned(), |a| a.to_string());
    let (public, private) = (address(&listeners.public), address(&listeners.admin));
    tracing::info!("callbacks on http://{public}, admin on http://{private}");

    let bounds = bounds(&config.server);
    let routes = Routes::new(admin.clone(), console::routes(admin));
    tasks.spawn(serve(listeners.admin, routes, bounds, admin_stop.clone()));
    if let Some(journal) = journal.clone() {
        let waiting = config.sinks.iter().filter_map(|(name, sink)| {
            let standing = standings.get(name)?.clone();
            Some(Waiting::new(name.clone(), sink.limits, standing, metrics.clone()))
        });
        let keeper = housekeeping(journal, config.journal.retention_days, waiting.collect(), state.clone());
        tasks.spawn(cancelled_by(admin_stop.clone(), keeper));
    }
    tasks.spawn(cancelled_by(admin_stop.clone(), hidden::take_in(ingest.clone(), door.clone())));
    let drain = config.delivery.drain();
    let reloader = reload(signals.reload, config, door.clone(), sinks, handles, metrics);
    tasks.spawn(cancelled_by(admin_stop.clone(), reloader));

    let drained = health.clone();
    let stopped = stop.clone();
    tasks.spawn(async move {
        stopped.cancelled().await;
        drained.drain();
    });
    let serving = serve(listeners.public, Public::new(door, health), bounds, stop.clone());
    let lost = serve_until_lost(serving, journal.as_ref(), &stop).await;
    if lost.is_some() {
        // Sinks can neither read the journal nor save how far they are.
        give_up.cancel();
    }

    // Every request has its answer, so everything accepted is in the journal: from here on the head stands still.
    tracing::info!("no more callbacks; waiting for the sinks");
    flushed.cancel();
    admin_stop.cancel();
    tasks.close();
    if journal.is_none() {
        // Whoever still waits in vain has been answered; what the sinks have under way nobody has been promised.
        give_up.cancel();
    }
    if timeout(drain, tasks.wait()).await.is_err() {
        tracing::warn!("a sink could not catch up in time; it will go on where it is at the next start");
        give_up.cancel();
        tasks.wait().await;
    }
    if let Some(state) = state {
        state.close().await;
    }
    if let Some(journal) = journal {
        journal.close().await;
    }
    if let Some(ingest) = Arc::into_inner(ingest) {
        ingest.close();
    }
    spans.close().await;
    lost.map_or(Ok(()), |why| Err(RunError::Lost(why)))
}

/// Serves to the end, which a journal that is lost brings about. Why it is, if so.
async fn serve_until_lost(
    serving: impl Future<Output = ()>,
    journal: Option<&Journal>,
    stop: &CancellationToken,
) -> Option<String> {
    tokio::pin!(serving);
    let lost = async {
        match journal {
            Some(journal) => journal.lost().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = &mut serving => None,
        why = lost => {
            stop.cancel();
            serving.await;
            Some(why)
        }
    }
}

/// The read state is no condition for anything: without it the API says that it is not there.
fn start_state(
    config: &Config,
    journal: Option<&Journal>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Option<State> {
    let journal = journal.filter(|_| config.state.enabled)?;
    match State::of(journal, journal.path()) {
        Ok((state, walker)) => {
            tasks.spawn(walker.run(stop.clone()));
            Some(state)
        }
        Err(error) => {
            tracing::error!(%error, "going on without the read state");
            None
        }
    }
}

async fn cancelled_by(stop: CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}

fn bounds(server: &ServerConfig) -> Bounds {
    Bounds {
        patience: Patience {
            idle: Duration::from_secs(server.keep_alive_seconds),
            head: Duration::from_millis(server.header_timeout_ms),
        },
        head_bytes: server.header_limit_bytes,
        connections: server.max_connections,
    }
}
