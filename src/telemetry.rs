//! Logs: on standard error, for standard output belongs to the receipts. What is logged is up to `RUST_LOG`; `info`
//! if that says nothing.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// What is logged unless `RUST_LOG` says otherwise. The NATS client tells of each of its connections what the sink tells
/// in better words.
const DEFAULT: &str = "info,async_nats=off";

/// Sets the process's log up, once.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let log = log.with_ansi(std::io::stderr().is_terminal());
    let set = match format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    if let Err(error) = set {
        tracing::debug!(%error, "the log was set up already");
    }
}
