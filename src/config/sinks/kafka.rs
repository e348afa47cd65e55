//! `type = "kafka"`.

use std::path::PathBuf;

use serde::Deserialize;

use super::Timeout;
use super::settings::Settings;
use super::tls::TlsFiles;
use crate::config::{ConfigError, Secret};

/// A topic of Kafka, or of whatever speaks its protocol.
#[derive(Debug, Clone, PartialEq)]
pub struct KafkaSink {
    /// Bootstrap servers, `host:port`.
    pub brokers: Vec<String>,
    /// The topic; it must exist, or the brokers must be allowed to make it.
    pub topic: String,
    /// Whether to speak TLS.
    pub tls: bool,
    /// Whom to believe, and who to be.
    pub tls_files: TlsFiles,
    /// How to log in, if at all.
    pub sasl: Option<Sasl>,
    /// How messages are compressed.
    pub compression: Compression,
    /// After which a batch that is not acknowledged is tried again.
    pub timeout: Timeout,
}

/// A login.
#[derive(Debug, Clone, PartialEq)]
pub struct Sasl {
    /// How.
    pub mechanism: SaslMechanism,
    /// Who.
    pub username: String,
    /// The proof.
    pub password: Secret,
}

/// How to log in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum SaslMechanism {
    /// The password itself, so only inside TLS.
    #[default]
    #[serde(rename = "PLAIN")]
    Plain,
    /// A proof of the password.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// A proof of the password.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl SaslMechanism {
    /// The word of the protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// How messages are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4.
    Lz4,
}

impl Compression {
    /// The word of the protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
        }
    }
}

impl KafkaSink {
    pub(super) fn read(settings: &mut Settings) -> Result<Self, ConfigError> {
        let brokers: Vec<String> = settings.list("brokers")?;
        if brokers.is_empty() || brokers.iter().any(|broker| broker.is_empty() || broker.contains(',')) {
            return Err(settings.wrong("brokers", "required: a list of host:port"));
        }
        let topic = settings.text("topic", "readhook.receipts")?;
        let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if topic.len() > 249 || !topic.chars().all(legal) {
            return Err(settings.wrong("topic", "up to 249 letters, digits, `.`, `_` and `-`"));
        }
        let tls_files = TlsFiles::read(settings)?;
        let tls = settings.or("tls", false)?;
        if !tls && tls_files != TlsFiles::default() {
            return Err(settings.wrong("tls", "must be true for the certificates to be of use"));
        }
        let username: Option<String> = settings.take("username")?;
        let password = settings.secret("password")?;
        let mechanism: Option<SaslMechanism> = settings.take("sasl_mechanism")?;
        let sasl = match (username, password, mechanism) {
            (Some(username), Some(password), mechanism) => {
                Some(Sasl { mechanism: mechanism.unwrap_or_default(), username, password })
            }
            (None, None, None) => None,
            _ => return Err(settings.wrong("username", "a login wants `username` and `password`")),
        };
        Ok(Self {
            brokers,
            topic,
            tls,
            tls_files,
            sasl,
            compression: settings.or("compression", Compression::default())?,
            timeout: Timeout::read(settings, 30_000)?,
        })
    }

    /// The certificate files, for a client that opens them itself.
    pub fn files(&self) -> [(&'static str, Option<&PathBuf>); 3] {
        let TlsFiles { ca_file, client_cert_file, client_key_file } = &self.tls_files;
        [
            ("ssl.ca.location", ca_file.as_ref()),
            ("ssl.certificate.location", client_cert_file.as_ref()),
            ("ssl.key.location", client_key_file.as_ref()),
        ]
    }
}
