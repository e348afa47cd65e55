//! The whole service: builds everything, and owns how it ends. Shutdown goes the way the data goes: no new
//! connections, requests under way are answered, the journal is flushed, the sinks catch up, the files are closed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{Admin, Routes};
use crate::clock;
use crate::config::{Config, ConfigError, LogConfig, ServerConfig};
use crate::dispatch::{Dispatcher, Standing};
use crate::ingest::Ingest;
use crate::journal::{Journal, JournalError, OpenError};
use crate::metrics::Metrics;
use crate::quarantine::Quarantine;
use crate::receipt::{Timestamp, VendorName};
use crate::server::connection::{Bounds, Patience, serve};
use crate::server::health::Health;
use crate::server::{Door, Public};
use crate::sink::{self, Sink};
use crate::vendor::Vendors;

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
    /// The quarantine cannot be opened.
    #[error(transparent)]
    Quarantine(std::io::Error),
    /// Two metrics have one name: a fault of this program.
    #[error("cannot register the metrics")]
    Metrics(#[from] prometheus::Error),
}

/// How many receipts retention forgets in one step, and the pause after it: short enough that a commit which comes
/// just then hardly waits.
const PRUNE_STEP: u32 = 500;
const PRUNE_PAUSE: Duration = Duration::from_millis(20);
/// How often retention and a failed disk are looked at.
const HOUSEKEEPING: Duration = Duration::from_secs(5);

const DAY: i64 = 24 * 60 * 60 * 1000;

/// Runs until told to stop, and returns when everything accepted is on disk and the sinks had their time.
///
/// # Errors
/// Only before it begins to listen.
pub async fn run(config: Config, listeners: Listeners, signals: Signals) -> Result<(), RunError> {
    let metrics = Metrics::new()?;
    let journal = Journal::open(&config.journal, &metrics)?;
    let quarantine =
        Quarantine::open(&config.journal.path, &config.quarantine, &metrics).map_err(RunError::Quarantine)?;
    let vendors = Vendors::configure(&config.vendors);
    warn_about(&config, &vendors);
    announce_apps(&vendors, &metrics);
    for sink in config.sinks.keys() {
        metrics.dead_letters.with_label_values(&[sink]).set(0);
    }
    if let Ok(dead) = journal.dead_letters().await {
        for (sink, count) in dead.iter().filter(|(sink, _)| config.sinks.contains_key(sink)) {
            metrics.dead_letters.with_label_values(&[sink]).set(*count);
        }
    }

    let ban_guard = config.vendors.easemob.ban_guard;
    let ingest = Arc::new(Ingest::new(journal.clone(), quarantine, ban_guard, metrics.clone()));
    let health = Health::new(journal.clone());
    let door = Door::new(ingest.clone(), vendors, config.server.clone());
    let standings: BTreeMap<String, Arc<Standing>> =
        config.sinks.keys().map(|name| (name.clone(), Arc::default())).collect();
    let standings = Arc::new(standings);
    let admin = Admin {
        journal: journal.clone(),
        metrics: metrics.clone(),
        health: health.clone(),
        ingest: ingest.clone(),
        sinks: standings.clone(),
        token: config.admin.token.clone(),
    };

    let address =
        |listener: &TcpListener| listener.local_addr().map_or_else(|_| "?".to_owned(), |a| a.to_string());
    let (public, private) = (address(&listeners.public), address(&listeners.admin));
    tracing::info!("callbacks on http://{public}, admin on http://{private}");

    let tasks = TaskTracker::new();
    let sinks: BTreeMap<String, Arc<dyn Sink>> =
        config.sinks.iter().map(|(name, sink)| (name.clone(), sink::open(sink))).collect();
    let (flushed, give_up) = (CancellationToken::new(), CancellationToken::new());
    for (name, sink) in &sinks {
        let Some(sink_config) = config.sinks.get(name) else {
            continue;
        };
        let dispatcher = Dispatcher {
            name: name.clone(),
            config: sink_config.clone(),
            sink: sink.clone(),
            journal: journal.clone(),
            metrics: metrics.clone(),
            standing: standings.get(name).cloned().unwrap_or_default(),
        };
        tasks.spawn(dispatcher.run(flushed.clone(), give_up.clone()));
    }
    let admin_stop = CancellationToken::new();
    let bounds = bounds(&config.server);
    tasks.spawn(serve(listeners.admin, Routes::new(admin), bounds, admin_stop.clone()));
    let names = config.sinks.keys().cloned().collect();
    let keeper = housekeeping(journal.clone(), config.journal.retention_days, names);
    tasks.spawn(cancelled_by(admin_stop.clone(), keeper));
    let drain = config.delivery.drain();
    let reloader = reload(signals.reload, config, door.clone(), sinks, metrics);
    tasks.spawn(cancelled_by(admin_stop.clone(), reloader));

    let drained = health.clone();
    let stop = signals.stop.clone();
    tasks.spawn(async move {
        stop.cancelled().await;
        drained.drain();
    });
    serve(listeners.public, Public::new(door, health), bounds, signals.stop).await;

    // Every request has its answer, so everything accepted is in the journal: from here on the head stands still.
    tracing::info!("no more callbacks; waiting for the sinks");
    flushed.cancel();
    admin_stop.cancel();
    tasks.close();
    if timeout(drain, tasks.wait()).await.is_err() {
        tracing::warn!("a sink could not catch up in time; it will go on where it is at the next start");
        give_up.cancel();
        tasks.wait().await;
    }
    journal.close().await;
    if let Some(ingest) = Arc::into_inner(ingest) {
        ingest.close();
    }
    Ok(())
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

/// What an operator should know at every start and with every new configuration.
fn warn_about(config: &Config, vendors: &Vendors) {
    if vendors.routes().is_empty() {
        tracing::warn!("no vendor has an app configured, so every callback is answered 404");
    }
    for route in vendors.routes() {
        tracing::info!(vendor = %route.vendor.name(), apps = ?route.vendor.apps(), "serving /webhooks/{}", route.path);
    }
    for (name, _) in config.vendors.openim.apps.iter().filter(|(_, app)| app.allow_unauthenticated) {
        tracing::warn!(
            "vendors.openim.apps.{name}.allow_unauthenticated = true: anybody who reaches this port can make up reads"
        );
    }
    for (name, _) in config.vendors.tencent.apps.iter().filter(|(_, app)| app.secrets.is_empty()) {
        tracing::warn!(
            "vendors.tencent.apps.{name} has no callback token: anybody who knows the SdkAppid can make up reads"
        );
    }
    let test_only = config.vendors.secrets().any(|secret| secret.expose().starts_with("test-only-"));
    if test_only {
        tracing::warn!(
            "this configuration has test-only secrets that everybody knows; it is for trying things out, not for \
             production"
        );
    }
    if config.sinks.is_empty() {
        tracing::warn!("no sink is configured: receipts stay in the journal");
    }
}

/// An app that has never called shows as 0, so that silence can be told from a typing error.
fn announce_apps(vendors: &Vendors, metrics: &Metrics) {
    for route in vendors.routes() {
        for app in route.vendor.apps() {
            let labels = [route.vendor.name().as_str(), app.as_str()];
            let _at_zero = metrics.last_callback_timestamp_seconds.with_label_values(&labels);
        }
    }
    VendorName::ALL.into_iter().for_each(|name| drop(metrics.of(name)));
}

/// Forgets what is old enough, and finds out when a disk that failed takes writes again.
async fn housekeeping(journal: Journal, retention_days: u32, sinks: Vec<String>) {
    let mut tick = interval(HOUSEKEEPING);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if !journal.takes_writes() && journal.try_write().await.is_ok() {
            tracing::info!("the journal takes writes again");
        }
        if retention_days == 0 {
            continue;
        }
        let before = clock::now().as_millis() - i64::from(retention_days) * DAY;
        let Some(before) = Timestamp::from_millis(before) else {
            continue;
        };
        if let Err(error) = prune(&journal, before, &sinks).await {
            tracing::warn!(%error, "retention could not forget old receipts");
        }
    }
}

async fn prune(journal: &Journal, before: Timestamp, sinks: &[String]) -> Result<(), JournalError> {
    while journal.prune(before, sinks.to_vec(), PRUNE_STEP).await? == PRUNE_STEP {
        sleep(PRUNE_PAUSE).await;
    }
    Ok(())
}

/// Puts new configurations into effect as they come: the vendors' apps and secrets at once. Sinks let go of their
/// files with each. What needs a restart is named.
async fn reload(
    mut configs: mpsc::Receiver<Result<Config, ConfigError>>,
    mut current: Config,
    door: Door,
    sinks: BTreeMap<String, Arc<dyn Sink>>,
    metrics: Metrics,
) {
    while let Some(new) = configs.recv().await {
        for sink in sinks.values() {
            sink.reopen().await;
        }
        let new = match new {
            Ok(new) => new,
            Err(error) => {
                tracing::error!(%error, "the configuration was not taken over; the old one stays");
                continue;
            }
        };
        let vendors = Vendors::configure(&new.vendors);
        warn_about(&new, &vendors);
        announce_apps(&vendors, &metrics);
        door.replace(vendors);
        let LogConfig { format } = new.log;
        let unchanged = [
            ("server", new.server == current.server),
            ("admin", new.admin == current.admin),
            ("journal", new.journal == current.journal),
            ("quarantine", new.quarantine == current.quarantine),
            ("delivery", new.delivery == current.delivery),
            ("log", format == current.log.format),
            ("sinks", new.sinks == current.sinks),
            ("vendors.easemob.ban_guard", new.vendors.easemob.ban_guard == current.vendors.easemob.ban_guard),
        ];
        for (section, _) in unchanged.iter().filter(|(_, unchanged)| !unchanged) {
            tracing::warn!("[{section}] has changed; that takes effect with a restart");
        }
        tracing::info!("the vendors' apps and secrets are those of the new configuration");
        current.vendors = new.vendors;
    }
}
