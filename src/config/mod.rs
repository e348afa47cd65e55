//! The configuration, read into what it is before anything starts: a [`Config`] that exists is one that can run.
//! Layers, later ones win: built-in defaults, the TOML file, environment variables `READHOOK__SECTION__KEY`.

mod address;
mod catalog;
mod check;
mod error;
mod load;
mod losses;
mod network;
mod passthrough;
mod place;
mod secret;
mod section;
mod sinks;
mod variables;
mod vendors;
mod warnings;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

pub use error::{ConfigError, Mistake};
pub use load::{Environment, load};
pub use network::Network;
pub use passthrough::PassthroughConfig;
pub use secret::Secret;
pub use sinks::{
    Compression, HttpMode, HttpSink, KafkaSink, NatsSink, PostgresSink, RedisSink, Sasl, SaslMechanism,
    SigningKey, SinkConfig, SinkKind, SinkLimits, StartAt, Timeout, TlsFiles,
};
pub use vendors::{
    EasemobApp, EasemobConfig, OpenImAlgorithm, OpenImApp, OpenImConfig, RongCloudApp, RongCloudConfig,
    TencentApp, TencentConfig, VendorsConfig,
};

/// Everything that can be set.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The public listener.
    pub server: ServerConfig,
    /// The admin listener.
    pub admin: AdminConfig,
    /// The journal.
    pub journal: JournalConfig,
    /// The store of callbacks that could not be used.
    pub quarantine: QuarantineConfig,
    /// What arrived lately, in memory.
    pub callback_log: CallbackLogConfig,
    /// When a vendor is answered, and how the end is drained.
    pub delivery: DeliveryConfig,
    /// Who has read what.
    pub state: StateConfig,
    /// The log.
    pub log: LogConfig,
    /// The vendors' apps.
    pub vendors: VendorsConfig,
    /// The sinks by name. Raw until [`load()`] has read each by its `type`.
    #[serde(skip)]
    pub sinks: BTreeMap<String, SinkConfig>,
    /// Whether there was a file, and nothing in it.
    #[serde(skip)]
    empty_file: bool,
    /// What was noticed while it was read; see [`Config::warnings`].
    #[serde(skip)]
    warnings: Vec<String>,
}

/// `[server]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct ServerConfig {
    /// Where vendors reach it.
    #[serde(deserialize_with = "address::listen")]
    pub listen: SocketAddr,
    /// The largest body that is read; more is a 413.
    pub body_limit_bytes: usize,
    /// How many bytes of bodies may be in memory at once, beyond the first 8 KiB of each; who comes then waits,
    /// and is `unavailable` after `body_timeout_ms`.
    pub bodies_limit_bytes: usize,
    /// Proxies whose `X-Forwarded-For` is believed.
    #[serde(deserialize_with = "secret::list")]
    pub trusted_proxies: Vec<Network>,
    /// How long the head of a request may take from its first byte on.
    pub header_timeout_ms: u64,
    /// How long the body may take.
    pub body_timeout_ms: u64,
    /// How long a connection may be idle; vendors' clients keep theirs for 75 s and longer.
    pub keep_alive_seconds: u64,
    /// The largest head of a request.
    pub header_limit_bytes: usize,
    /// How many connections may be open at once; more wait in the kernel's queue.
    pub max_connections: usize,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080)),
            body_limit_bytes: 1 << 20,
            bodies_limit_bytes: 256 << 20,
            trusted_proxies: Vec::new(),
            header_timeout_ms: 10_000,
            body_timeout_ms: 10_000,
            keep_alive_seconds: 120,
            header_limit_bytes: 32 << 10,
            max_connections: 16_384,
        }
    }
}

/// `[admin]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct AdminConfig {
    /// Where operators reach it.
    #[serde(deserialize_with = "address::listen")]
    pub listen: SocketAddr,
    /// The bearer token; required away from loopback.
    pub token: Option<Secret>,
    /// A file that holds the token.
    pub token_file: Option<PathBuf>,
    /// Further names by which browsers may ask a listener that has no token.
    #[serde(deserialize_with = "secret::list")]
    pub hosts: Vec<String>,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9090)),
            token: None,
            token_file: None,
            hosts: Vec::new(),
        }
    }
}

/// `[journal]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct JournalConfig {
    /// The SQLite file; its folder is created.
    pub path: PathBuf,
    /// After how many days a delivered receipt is forgotten; 0 keeps everything.
    pub retention_days: u32,
    /// How many bytes beside the journal are given up when the disk is full; 0 has none.
    pub reserve_bytes: u64,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self { path: "data/readhook.db".into(), retention_days: 30, reserve_bytes: 64 << 20 }
    }
}

/// `[quarantine]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct QuarantineConfig {
    /// How many callbacks it keeps; the oldest go first. 0 keeps none.
    pub max_entries: u64,
    /// How many bytes of them.
    pub max_bytes: u64,
}

impl Default for QuarantineConfig {
    fn default() -> Self {
        Self { max_entries: 10_000, max_bytes: 64 << 20 }
    }
}

/// `[callback_log]`
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default)]
pub struct CallbackLogConfig {
    /// How many callbacks it holds; the oldest go first. 0 holds none.
    pub max_entries: usize,
    /// How many bytes of memory they may take.
    pub max_bytes: usize,
}

impl Default for CallbackLogConfig {
    fn default() -> Self {
        Self { max_entries: 10_000, max_bytes: 1 << 20 }
    }
}

/// `[delivery]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct DeliveryConfig {
    /// What must have a receipt before its vendor is answered.
    pub ack_after: AckAfter,
    /// How long sinks may catch up after the last answer.
    pub drain_seconds: u64,
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        Self { ack_after: AckAfter::Journal, drain_seconds: 10 }
    }
}

impl DeliveryConfig {
    /// How long sinks may catch up after the last answer.
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }
}

/// What must have a receipt before its vendor is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AckAfter {
    /// The journal on this machine's disk.
    Journal,
    /// Every sink; there is no journal then.
    Sinks,
}

/// `[state]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct StateConfig {
    /// Whether to keep it.
    pub enabled: bool,
}

impl Default for StateConfig {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// `[log]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct LogConfig {
    /// How a line looks. What is logged is up to `RUST_LOG`.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}
