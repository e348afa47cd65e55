//! `type = "http"`.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::Uri;
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
    /// Standard Webhooks secrets; each signs. Without one nothing is signed.
    pub secrets: Vec<SigningKey>,
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

/// A key that signs, of at least one byte. `Debug` shows its length at most; there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey(Box<[u8]>);

impl SigningKey {
    /// Takes a secret as Standard Webhooks writes it: base64, with or without `whsec_`.
    fn from_base64(secret: &Secret) -> Option<Self> {
        let text = secret.expose();
        let key = BASE64_STANDARD.decode(text.strip_prefix("whsec_").unwrap_or(text)).ok()?;
        (!key.is_empty()).then(|| Self(key.into_boxed_slice()))
    }

    /// The key itself, for the one place that computes with it.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0.len())
    }
}

impl HttpSink {
    pub(super) fn read(settings: &mut Settings) -> Result<Self, ConfigError> {
        let secrets = settings.secrets("secrets")?;
        let keys: Option<Vec<SigningKey>> = secrets.iter().map(SigningKey::from_base64).collect();
        let sink = Self {
            url: url(settings, &["http", "https"])?,
            secrets: keys.ok_or_else(|| {
                settings.wrong(
                    "secrets",
                    "each is base64 of at least one byte, with or without `whsec_` before it",
                )
            })?,
            token: settings.secret("token")?,
            mode: settings.or("mode", HttpMode::default())?,
            timeout: Timeout::read(settings, 10_000)?,
            tls: TlsFiles::read(settings)?,
        };
        if let Some(token) = &sink.token {
            if !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(settings.wrong("token", "a token is made of visible ASCII characters"));
            }
            let authority = sink.url.expose().parse::<Uri>().ok().and_then(|uri| uri.into_parts().authority);
            if authority.is_some_and(|authority| authority.as_str().contains('@')) {
                return Err(settings.wrong("token", "set it or a user in the `url`, not both"));
            }
        }
        Ok(sink)
    }
}
