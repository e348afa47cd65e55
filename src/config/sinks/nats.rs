//! `type = "nats"`.

use super::settings::Settings;
use super::tls::TlsFiles;
use super::{Timeout, urls};
use crate::config::{ConfigError, Secret};

/// A stream of NATS JetStream.
#[derive(Debug, Clone, PartialEq)]
pub struct NatsSink {
    /// The servers, separated by commas. A URL may hold user and password, or a token in the place of both, so
    /// it is not printed. What is set below goes before.
    pub url: Secret,
    /// The stream; made if it is missing.
    pub stream: String,
    /// Subjects are `<prefix>.<vendor>.<app>.<conversation type>`.
    pub subject_prefix: String,
    /// On how many servers a stream that is made here is kept.
    pub replicas: usize,
    /// For how long a stream that is made here knows an id again, in seconds.
    pub dedupe_seconds: u64,
    /// A token.
    pub token: Option<Secret>,
    /// The text of a `.creds` file: JWT and seed.
    pub credentials: Option<Secret>,
    /// The seed of an nkey.
    pub nkey_seed: Option<Secret>,
    /// For connecting, and for the acknowledgements of a batch.
    pub timeout: Timeout,
    /// Whom to believe, and who to be.
    pub tls: TlsFiles,
}

impl NatsSink {
    pub(super) fn read(settings: &mut Settings) -> Result<Self, ConfigError> {
        let sink = Self {
            url: urls(settings, &["nats", "tls"])?,
            stream: settings.text("stream", "READHOOK")?,
            subject_prefix: settings.text("subject_prefix", "readhook")?,
            replicas: settings.or("replicas", 1)?,
            dedupe_seconds: settings.or("dedupe_seconds", 120)?,
            token: settings.secret("token")?,
            credentials: settings.secret("credentials")?,
            nkey_seed: settings.secret("nkey_seed")?,
            timeout: Timeout::read(settings, 10_000)?,
            tls: TlsFiles::read(settings)?,
        };
        if sink.stream.contains(|c: char| c.is_whitespace() || c.is_control() || ".*>/\\".contains(c)) {
            return Err(settings.wrong("stream", "a stream's name has no space and none of . * > / \\"));
        }
        let token = |token: &str| {
            !token.is_empty()
                && !token.contains(|c: char| c.is_whitespace() || c.is_control() || "*>".contains(c))
        };
        if !sink.subject_prefix.split('.').all(token) {
            return Err(settings.wrong("subject_prefix", "words separated by dots, without space, * or >"));
        }
        if !(1..=5).contains(&sink.replicas) {
            return Err(settings.wrong("replicas", "1 to 5"));
        }
        if sink.dedupe_seconds == 0 {
            return Err(settings.wrong("dedupe_seconds", "0 would let every repeat in"));
        }
        let ways = [sink.token.is_some(), sink.credentials.is_some(), sink.nkey_seed.is_some()];
        if ways.into_iter().filter(|&given| given).count() > 1 {
            return Err(settings.wrong("token", "one of `token`, `credentials` and `nkey_seed`, not several"));
        }
        Ok(sink)
    }
}
