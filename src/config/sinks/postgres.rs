//! `type = "postgres"`.

use super::settings::Settings;
use super::tls::TlsFiles;
use super::{Timeout, check_scheme};
use crate::config::{ConfigError, Secret};

/// A table of PostgreSQL.
#[derive(Debug, Clone, PartialEq)]
pub struct PostgresSink {
    /// `postgres://user:password@host/database`. It may hold a password, so it is not printed.
    pub url: Secret,
    /// The table, `name` or `schema.name`; made if it is missing.
    pub table: String,
    /// For connecting, and for a batch.
    pub timeout: Timeout,
    /// Whom to believe, and who to be.
    pub tls: TlsFiles,
}

impl PostgresSink {
    pub(super) fn read(settings: &mut Settings) -> Result<Self, ConfigError> {
        let sink = Self {
            url: settings.required_secret("url")?,
            table: settings.text("table", "read_receipts")?,
            timeout: Timeout::read(settings, 30_000)?,
            tls: TlsFiles::read(settings)?,
        };
        // More than the scheme is the client's to judge: it takes lists of hosts and sockets, which are no plain URLs.
        check_scheme(sink.url.expose(), &["postgres", "postgresql"]).map_err(|p| settings.wrong("url", p))?;
        let plain = |name: &str| {
            let begins = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
            let goes_on = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            // The longest names made from it are those of its indexes; PostgreSQL cuts at 63 bytes.
            begins && goes_on && name.len() <= 48
        };
        let parts: Vec<&str> = sink.table.split('.').collect();
        if parts.len() > 2 || !parts.iter().all(|part| plain(part)) {
            let problem = "`name` or `schema.name`, each of up to 48 of a-z, 0-9 and _";
            return Err(settings.wrong("table", problem));
        }
        Ok(sink)
    }
}
