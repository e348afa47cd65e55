//! `[sinks.<name>]`: what a sink of each type can be told. A section is read by its `type`, by hand and not by a
//! tagged enum, because serde buffers those and then cannot turn an environment variable's text into a number.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use serde::Deserialize;

use super::ConfigError;
use super::section::read_section;

/// One sink.
#[derive(Debug, Clone, PartialEq)]
pub struct SinkConfig {
    /// The most receipts that it is given at once.
    pub batch: NonZeroUsize,
    /// Where a sink begins that the journal has not seen before.
    pub from: StartAt,
    /// What it is.
    pub kind: SinkKind,
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
}

/// The words that `type` may be.
const TYPES: &str = "stdout, file";
/// Types of the documented interface that this version does not have.
const NOT_YET: [&str; 5] = ["http", "nats", "kafka", "redis", "postgres"];

const DEFAULT_BATCH: NonZeroUsize = NonZeroUsize::new(1000).expect("1000 is not 0");

/// What every sink can be told.
#[derive(Deserialize)]
struct Common {
    #[serde(rename = "type")]
    kind: String,
    batch: Option<NonZeroUsize>,
    #[serde(default)]
    from: StartAt,
    /// Of the `file` sink.
    path: Option<PathBuf>,
}

/// Reads every sink's section by its type.
pub(super) fn read(
    sections: BTreeMap<String, config::Value>,
) -> Result<BTreeMap<String, SinkConfig>, ConfigError> {
    sections.into_iter().map(|(name, section)| Ok((name.clone(), read_one(&name, section)?))).collect()
}

fn read_one(name: &str, section: config::Value) -> Result<SinkConfig, ConfigError> {
    let key = format!("sinks.{name}");
    let Common { kind, batch, from, path } = read_section(&key, section)?;
    let kind = match (kind.as_str(), path) {
        ("stdout", None) => SinkKind::Stdout,
        ("stdout", Some(_)) => {
            return Err(ConfigError::Unknown { keys: vec![format!("{key}.path")] });
        }
        ("file", Some(path)) if !path.as_os_str().is_empty() => SinkKind::File { path },
        ("file", _) => {
            return Err(ConfigError::setting(format!("{key}.path"), "a file sink needs a path"));
        }
        (other, _) => {
            let problem = if NOT_YET.contains(&other) {
                format!("sinks of type `{other}` are not in this version; it has {TYPES}")
            } else {
                format!("no sink has the type `{other}`; there are {TYPES}")
            };
            return Err(ConfigError::setting(format!("{key}.type"), problem));
        }
    };
    Ok(SinkConfig { batch: batch.unwrap_or(DEFAULT_BATCH), from, kind })
}
