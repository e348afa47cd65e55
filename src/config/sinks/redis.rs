//! `type = "redis"`.

use super::settings::Settings;
use super::tls::TlsFiles;
use super::{Timeout, urls};
use crate::config::{ConfigError, Secret};

/// A stream of Redis, Valkey, or of whatever speaks their protocol.
#[derive(Debug, Clone, PartialEq)]
pub struct RedisSink {
    /// The server; with `cluster`, some of its nodes, separated by commas, so that one in a password is
    /// %2C. It may hold a password, so it is not printed.
    pub url: Secret,
    /// The key of the stream.
    pub stream: String,
    /// About how many entries the stream keeps; 0 keeps all.
    pub maxlen: u64,
    /// Whether the server is a cluster.
    pub cluster: bool,
    /// How many replicas must have a batch before it counts as delivered.
    pub wait_replicas: u64,
    /// For connecting, and for a batch.
    pub timeout: Timeout,
    /// Whom to believe, and who to be.
    pub tls: TlsFiles,
}

impl RedisSink {
    pub(super) fn read(settings: &mut Settings) -> Result<Self, ConfigError> {
        let sink = Self {
            url: urls(settings, &["redis", "rediss"])?,
            stream: settings.text("stream", "readhook")?,
            maxlen: settings.or("maxlen", 0)?,
            cluster: settings.or("cluster", false)?,
            wait_replicas: settings.or("wait_replicas", 0)?,
            timeout: Timeout::read(settings, 10_000)?,
            tls: TlsFiles::read(settings)?,
        };
        if !sink.cluster && sink.url.expose().contains(',') {
            return Err(settings.wrong("url", "several nodes want `cluster = true`"));
        }
        let mut nodes = sink.url.expose().split(',').map(str::trim);
        if sink.tls != TlsFiles::default() && nodes.clone().any(|node| node.starts_with("redis://")) {
            return Err(settings.wrong("url", "certificates are given, so it must begin with rediss://"));
        }
        if nodes.any(|node| node.contains('#')) {
            let problem = "must not hold a `#`: in a password that is %23, and `#insecure` is not to be had; name \
                           whom to believe in `ca_file`";
            return Err(settings.wrong("url", problem));
        }
        Ok(sink)
    }
}
