//! Logs: on standard error, for standard output belongs to the receipts. What is logged is up to `RUST_LOG`; `info`
//! if that says nothing.

use std::fmt;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

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

/// What is logged at WARN and ERROR, kept for whoever asks in place of being printed.
#[derive(Clone, Default)]
pub struct Collected(Arc<Mutex<Vec<String>>>);

impl Collected {
    /// Becomes the process's log, once.
    pub fn start() -> Self {
        let collected = Self::default();
        if let Err(error) = tracing_subscriber::registry().with(collected.clone()).try_init() {
            tracing::debug!(%error, "the log was set up already");
        }
        collected
    }

    /// What came since it was asked last.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S: Subscriber> Layer<S> for Collected {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        // Levels are greater the more they tell. Other crates' own warnings are not ours to explain.
        if *metadata.level() > Level::WARN || !metadata.target().starts_with("readhook") {
            return;
        }
        let mut sentence = Sentence::default();
        event.record(&mut sentence);
        let Sentence { message, fields } = sentence;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(message + &fields);
    }
}

/// An event in one line: the message, then its fields.
#[derive(Default)]
struct Sentence {
    message: String,
    fields: String,
}

impl Visit for Sentence {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.fields.push_str(&format!("; {name}: {value:?}")),
        }
    }
}
