//! `[sinks.<name>]`: what a sink of each type can be told. Each type reads its own settings; which types this build has
//! is decided by cargo features.

mod http;
mod kafka;
mod nats;
mod postgres;
mod redis;
mod settings;
mod tls;

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use ::http::Uri;
use serde::Deserialize;

pub use self::redis::RedisSink;
pub use http::{HttpMode, HttpSink, SigningKey};
pub use kafka::{Compression, KafkaSink, Sasl, SaslMechanism};
pub use nats::NatsSink;
pub use postgres::PostgresSink;
pub use tls::TlsFiles;

use super::error::Mistakes;
use super::{ConfigError, Secret, catalog};
use settings::Settings;

/// One sink.
#[derive(Debug, Clone, PartialEq)]
pub struct SinkConfig {
    /// The most receipts that it is given at once.
    pub batch: NonZeroUsize,
    /// Where a sink begins that the journal has not seen before.
    pub from: StartAt,
    /// What may pile up for it.
    pub limits: SinkLimits,
    /// What it is.
    pub kind: SinkKind,
}

/// What may pile up for a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SinkLimits {
    /// Dead letters; one more pauses the sink.
    pub dead_letters: u64,
    /// What their receipts and reasons hold.
    pub dead_letter_bytes: u64,
    /// Retention does not wait for a sink that is further behind than so many bytes of receipts.
    pub lag_bytes: Option<NonZeroU64>,
    /// Retention does not wait for a sink to get receipts that are older than so many days.
    pub lag_days: Option<NonZeroU32>,
}

impl Default for SinkLimits {
    fn default() -> Self {
        Self { dead_letters: 10_000, dead_letter_bytes: 64 << 20, lag_bytes: None, lag_days: None }
    }
}

impl SinkLimits {
    fn read(settings: &mut Settings) -> Result<Self, ConfigError> {
        let default = Self::default();
        Ok(Self {
            dead_letters: settings.or("max_dead_letters", default.dead_letters)?,
            dead_letter_bytes: settings.or("max_dead_letter_bytes", default.dead_letter_bytes)?,
            lag_bytes: NonZeroU64::new(settings.or("max_lag_bytes", 0)?),
            lag_days: NonZeroU32::new(settings.or("max_lag_days", 0)?),
        })
    }
}

/// Where a new sink begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StartAt {
    /// With the oldest receipt that the journal still has.
    #[default]
    Start,
    /// With the next one that comes.
    Now,
}

/// The types of sinks.
#[derive(Debug, Clone, PartialEq)]
pub enum SinkKind {
    /// One JSON line each on standard output.
    Stdout,
    /// One JSON line each at the end of a file.
    File {
        /// The file; its folder is created.
        path: PathBuf,
    },
    /// CloudEvents by HTTP.
    Http(HttpSink),
    /// NATS JetStream.
    Nats(NatsSink),
    /// Kafka.
    Kafka(KafkaSink),
    /// Redis Streams.
    Redis(RedisSink),
    /// A table of PostgreSQL.
    Postgres(PostgresSink),
}

impl SinkKind {
    /// The word in the configuration.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::File { .. } => "file",
            Self::Http(_) => "http",
            Self::Nats(_) => "nats",
            Self::Kafka(_) => "kafka",
            Self::Redis(_) => "redis",
            Self::Postgres(_) => "postgres",
        }
    }
}

/// The types, and the cargo feature that each needs, if it does and this build is without.
const TYPES: [(&str, Option<&str>); 7] = [
    ("stdout", None),
    ("file", None),
    ("http", if cfg!(feature = "sink-http") { None } else { Some("sink-http") }),
    ("nats", if cfg!(feature = "sink-nats") { None } else { Some("sink-nats") }),
    ("kafka", if cfg!(feature = "sink-kafka") { None } else { Some("sink-kafka") }),
    ("redis", if cfg!(feature = "sink-redis") { None } else { Some("sink-redis") }),
    ("postgres", if cfg!(feature = "sink-postgres") { None } else { Some("sink-postgres") }),
];

const DEFAULT_BATCH: NonZeroUsize = NonZeroUsize::new(1000).expect("1000 is not 0");

/// How long something may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeout(NonZeroU64);

impl Timeout {
    /// As a duration.
    pub fn duration(self) -> Duration {
        Duration::from_millis(self.0.get())
    }

    fn read(settings: &mut Settings, default_ms: u64) -> Result<Self, ConfigError> {
        let millis = settings.or("timeout_ms", default_ms)?;
        NonZeroU64::new(millis)
            .map(Self)
            .ok_or_else(|| settings.wrong("timeout_ms", "0 leaves no time at all"))
    }
}

/// Reads every sink's section by its type. What cannot be read is reported and taken out, and the rest is read again: so all
/// mistakes are found. `spell` writes a setting's full name as its place wants it.
pub(super) fn read(
    sections: BTreeMap<String, config::Value>,
    mistakes: &mut Mistakes,
    spell: &dyn Fn(&str) -> String,
) -> BTreeMap<String, SinkConfig> {
    let mut sinks = BTreeMap::new();
    for (name, mut section) in sections {
        // Each turn takes out one setting or puts one in.
        for _ in 0..MOST_TURNS {
            match read_one(&name, section.clone(), mistakes, spell) {
                Ok(sink) => {
                    sinks.insert(name, sink);
                    break;
                }
                Err(error) => {
                    let wrong = error.mistakes().first().map(|mistake| mistake.key().to_owned());
                    mistakes.add(error);
                    if wrong.and_then(|key| without(&mut section, &key)).is_none() {
                        break;
                    }
                }
            }
        }
    }
    sinks
}

const MOST_TURNS: usize = 64;

/// Takes a setting out, so that the rest can be read; or puts one there to go on with, where it is missing and required.
fn without(section: &mut config::Value, key: &str) -> Option<()> {
    let name = key.rsplit('.').next().unwrap_or(key);
    let name = name.split('[').next().unwrap_or(name);
    let config::ValueKind::Table(table) = &mut section.kind else { return None };
    let taken =
        [name.to_owned(), format!("{name}_file"), format!("{name}_files")].map(|name| table.remove(&name));
    if taken.iter().any(Option::is_some) {
        return Some(());
    }
    let scheme = table.get("type").map(ToString::to_string);
    let stand_in: config::Value = match name {
        "url" => format!("{}://missing.invalid", scheme?).into(),
        "path" => "missing".into(),
        "brokers" => "missing.invalid:9092".into(),
        _ => return None,
    };
    table.insert(name.to_owned(), stand_in);
    Some(())
}

fn read_one(
    name: &str,
    section: config::Value,
    mistakes: &mut Mistakes,
    spell: &dyn Fn(&str) -> String,
) -> Result<SinkConfig, ConfigError> {
    let mut settings = Settings::of(name, section)?;
    let word: Option<String> = settings.take("type")?;
    let word = word.ok_or_else(|| settings.wrong("type", format!("required: one of {}", words())))?;
    let Some((_, left_out)) = TYPES.iter().find(|(known, _)| *known == word) else {
        let near = catalog::nearest(&word, TYPES.iter().map(|(known, _)| *known));
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        let problem = format!("no sink has the type `{word}`; there are {}{near}", words());
        return Err(settings.wrong("type", problem));
    };
    if let Some(feature) = left_out {
        let problem = format!(
            "this build of readhook was made without `{word}` sinks; build it with `cargo build --release \
             --features {feature}`"
        );
        return Err(settings.wrong("type", problem));
    }
    let batch: Option<NonZeroUsize> = settings.take("batch")?;
    let from = settings.or("from", StartAt::default())?;
    let limits = SinkLimits::read(&mut settings)?;
    let kind = match word.as_str() {
        "stdout" => SinkKind::Stdout,
        "http" => SinkKind::Http(HttpSink::read(&mut settings)?),
        "nats" => SinkKind::Nats(NatsSink::read(&mut settings)?),
        "kafka" => SinkKind::Kafka(KafkaSink::read(&mut settings)?),
        "redis" => SinkKind::Redis(RedisSink::read(&mut settings)?),
        "postgres" => SinkKind::Postgres(PostgresSink::read(&mut settings)?),
        _ => SinkKind::File { path: file_path(&mut settings)? },
    };
    settings.end(mistakes, spell);
    Ok(SinkConfig { batch: batch.unwrap_or(DEFAULT_BATCH), from, limits, kind })
}

fn words() -> String {
    TYPES.map(|(word, _)| word).join(", ")
}

fn file_path(settings: &mut Settings) -> Result<PathBuf, ConfigError> {
    let path: Option<PathBuf> = settings.take("path")?;
    let given = path.filter(|path| !path.as_os_str().is_empty());
    given.ok_or_else(|| settings.wrong("path", "a file sink needs a path"))
}

/// The address of a server. What is wrong with it is said without showing it.
fn url(settings: &mut Settings, schemes: &[&str]) -> Result<Secret, ConfigError> {
    let url = settings.required_secret("url")?;
    check_url(url.expose(), schemes).map_err(|problem| settings.wrong("url", problem))?;
    Ok(url)
}

/// The addresses of servers, separated by commas.
fn urls(settings: &mut Settings, schemes: &[&str]) -> Result<Secret, ConfigError> {
    let urls = settings.required_secret("url")?;
    for url in urls.expose().split(',') {
        check_url(url.trim(), schemes).map_err(|problem| settings.wrong("url", problem))?;
    }
    Ok(urls)
}

fn check_url(url: &str, schemes: &[&str]) -> Result<(), String> {
    check_scheme(url, schemes)?;
    match url.parse::<Uri>() {
        Ok(uri) if uri.host().is_some_and(|host| !host.is_empty()) => Ok(()),
        Ok(_) => Err("names no host".to_owned()),
        Err(error) => Err(format!("not a URL: {error}")),
    }
}

fn check_scheme(url: &str, schemes: &[&str]) -> Result<(), String> {
    match url.split_once("://") {
        Some((scheme, _)) if schemes.contains(&scheme) => Ok(()),
        _ => Err(format!("must begin with {}://", schemes.join(":// or "))),
    }
}
