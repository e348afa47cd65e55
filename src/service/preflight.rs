//! The way of a start up to the first byte from outside, without going further: for `readhook check`. What a start would log is
//! logged here, too, so whoever listens to the log has every warning.

use super::RunError;
use super::reload::serve_vendors;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::sink;
use crate::spans::Spans;

/// Builds everything that a start builds of the configuration alone. Nothing is opened, listened to or connected to; the files and
/// the destinations are looked at by the caller.
///
/// # Errors
/// What [`run`](super::run) would end with.
pub async fn preflight(config: &Config) -> Result<(), RunError> {
    let metrics = Metrics::new()?;
    let spans = Spans::start();
    for (name, config) in &config.sinks {
        sink::open(config).map_err(|why| RunError::Sink { name: name.clone(), why })?;
    }
    serve_vendors(config, &metrics).map_err(RunError::Passthrough)?;
    spans.close().await;
    Ok(())
}
