//! New configurations while it runs, and what an operator should know of each.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::config::{AckAfter, Config, ConfigError, LogConfig};
use crate::dispatch::Handle;
use crate::metrics::{Metrics, secret_label};
use crate::passthrough::Passthroughs;
use crate::receipt::VendorName;
use crate::server::{Door, Served};
use crate::sink::Sink;
use crate::tls;
use crate::vendor::Vendors;

/// Puts new configurations into effect as they come: the vendors' apps and secrets at once. Sinks let go of their
/// files with each. What needs a restart is named.
pub(super) async fn reload(
    mut configs: mpsc::Receiver<Result<Config, ConfigError>>,
    mut current: Config,
    door: Door,
    sinks: BTreeMap<String, Arc<dyn Sink>>,
    handles: BTreeMap<String, Handle>,
    metrics: Metrics,
) {
    while let Some(new) = configs.recv().await {
        for sink in sinks.values() {
            sink.reopen().await;
        }
        // An operator who has repaired a destination need not wait for as long as it had asked for.
        handles.values().for_each(Handle::try_now);
        let new = match new {
            Ok(new) => new,
            Err(error) => {
                // A line each: a line of the log reads alone.
                for error in error.mistakes() {
                    tracing::error!(%error, "the configuration was not taken over; the old one stays");
                }
                continue;
            }
        };
        if let Some(error) = takes_all_away(&current, &new) {
            tracing::error!(error, "the configuration was not taken over; the old one stays");
            continue;
        }
        match serve_vendors(&new, &metrics) {
            Ok(served) => door.replace(served),
            Err(error) => {
                tracing::error!(%error, "the configuration was not taken over; the old one stays");
                continue;
            }
        }
        let LogConfig { format } = new.log;
        let unchanged = [
            ("server", new.server == current.server),
            ("admin", new.admin == current.admin),
            ("journal", new.journal == current.journal),
            ("quarantine", new.quarantine == current.quarantine),
            ("callback_log", new.callback_log == current.callback_log),
            ("delivery", new.delivery == current.delivery),
            ("state", new.state == current.state),
            ("log", format == current.log.format),
            ("sinks", new.sinks == current.sinks),
            ("vendors.easemob.ban_guard", new.vendors.easemob.ban_guard == current.vendors.easemob.ban_guard),
        ];
        for (section, _) in unchanged.iter().filter(|(_, unchanged)| !unchanged) {
            tracing::warn!("[{section}] has changed; that takes effect with a restart");
        }
        for lost in current.taken_away_by(&new) {
            tracing::warn!(
                "the new configuration takes away {lost}: callbacks that need it are refused from now on"
            );
        }
        tracing::info!("the vendors' apps and secrets are those of the new configuration");
        current.take_over(new);
    }
}

/// Why a configuration is not believed: what an editor, a template or a full disk has left of a file would take every callback
/// away, with a 404 for an answer that no vendor repeats.
fn takes_all_away(current: &Config, new: &Config) -> Option<&'static str> {
    if new.is_empty_file() && !current.is_empty_file() {
        return Some("the configuration file is empty");
    }
    new.serves_nobody().then_some("no vendor has an app in it, so every callback would be answered 404")
}

/// The vendors of a configuration, ready to be served.
pub(super) fn serve_vendors(config: &Config, metrics: &Metrics) -> Result<Served, tls::Error> {
    let vendors = Vendors::configure(&config.vendors);
    let passthroughs = Passthroughs::configure(&config.vendors, metrics)?;
    warn_about(config, &vendors);
    announce_apps(config, &vendors, metrics);
    Ok(Served { vendors, passthroughs })
}

/// What an operator should know at every start and with every new configuration.
fn warn_about(config: &Config, vendors: &Vendors) {
    for route in vendors.routes() {
        tracing::info!(vendor = %route.vendor.name(), apps = ?route.vendor.apps(), "serving /webhooks/{}", route.path);
    }
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    if config.delivery.ack_after == AckAfter::Sinks {
        tracing::info!("no journal: vendors are answered when every sink has their receipts");
    }
}

/// An app that has never called and a secret that was never used show as 0, so that silence can be told from a typing
/// error.
fn announce_apps(config: &Config, vendors: &Vendors, metrics: &Metrics) {
    for (vendor, app, list, secrets) in config.vendors.secret_lists() {
        for index in 0..secrets.len() {
            let labels = [vendor, app, &secret_label(list, index)];
            metrics.secret_uses.with_label_values(&labels).inc_by(0);
        }
    }
    for route in vendors.routes() {
        for app in route.vendor.apps() {
            let labels = [route.vendor.name().as_str(), app.as_str()];
            let _at_zero = metrics.last_callback_timestamp_seconds.with_label_values(&labels);
        }
    }
    VendorName::ALL.into_iter().for_each(|name| metrics.announce(name));
}
