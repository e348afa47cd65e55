//! `type = "http"`.

use serde::Deserialize;

use super::settings::Settings;
use super::tls::TlsFiles;
use super::{Timeout, url};
use crate::config::{ConfigError, Secret};

/// An HTTP endpoint that takes CloudEvents.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpSink {
    /// Where to post. It may hold credentials, so it is not printed.
    pub url: Secret,
    /// Standard Webhooks secrets, base64 with or without `whsec_`; each signs. Without one nothing is signed.
    pub secrets: Vec<Secret>,
    /// Goes out as `Authorization: Bearer`.
    pub token: Option<Secret>,
    /// How many receipts a request holds.
    pub mode: HttpMode,
    /// For one request, from connecting to the last byte of the answer.
    pub timeout: Timeout,
    /// Whom to believe, and who to be.
    pub tls: TlsFiles,
}

/// How many receipts a request holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HttpMode {
    /// One: `application/cloudevents+json`.
    #[default]
    Single,
    /// A batch: `application/cloudevents-batch+json`.
    Batch,
}

impl HttpSink {
    pub(super) fn read(settings: &mut Settings) -> Result<Self, ConfigError> {
        Ok(Self {
            url: url(settings, &["http", "https"])?,
            secrets: settings.secrets("secrets")?,
            token: settings.secret("token")?,
            mode: settings.or("mode", HttpMode::default())?,
            timeout: Timeout::read(settings, 10_000)?,
            tls: TlsFiles::read(settings)?,
        })
    }
}
