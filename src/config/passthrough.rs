//! `[vendors.<vendor>.passthrough]`: where callbacks go that are not read events.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use serde::{Deserialize, Deserializer, de};

use super::{ConfigError, TlsFiles};

/// An upstream. Its host is fixed here; nothing in a request can change it.
#[derive(Debug, Clone, Deserialize)]
pub struct PassthroughConfig {
    /// Where to post. Without user, query and fragment.
    #[serde(deserialize_with = "upstream")]
    pub url: Uri,
    timeout_ms: Option<NonZeroU64>,
    ca_file: Option<PathBuf>,
    client_cert_file: Option<PathBuf>,
    client_key_file: Option<PathBuf>,
    /// Whom to believe, and who to be.
    #[serde(skip)]
    pub tls: TlsFiles,
}

impl PassthroughConfig {
    /// From the beginning of a callback to the end of the upstream's answer, if it is set: less than the vendor's own
    /// patience.
    pub fn within(&self) -> Option<Duration> {
        self.timeout_ms.map(|millis| Duration::from_millis(millis.get()))
    }

    /// Takes the certificates' files together and looks whether they can be read.
    pub(super) fn read_files(&mut self, key: &str) -> Result<(), ConfigError> {
        self.tls = TlsFiles {
            ca_file: self.ca_file.take(),
            client_cert_file: self.client_cert_file.take(),
            client_key_file: self.client_key_file.take(),
        };
        self.tls.check(|name, problem| ConfigError::setting(format!("{key}.{name}"), problem))
    }
}

fn upstream<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uri, D::Error> {
    let text = String::deserialize(deserializer)?;
    // Said without showing it: somebody may have put a password there.
    let uri: Uri = text.parse().map_err(|_| de::Error::custom("not a URL"))?;
    let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
    if !matches!(uri.scheme_str(), Some("http" | "https")) || authority.is_empty() {
        return Err(de::Error::custom("must begin with http:// or https:// and a host"));
    }
    if authority.contains('@') || uri.query().is_some() || text.contains('#') {
        return Err(de::Error::custom(
            "no user, query or fragment belongs here: the callback brings its own query",
        ));
    }
    Ok(uri)
}
