//! Where the server is and how to get to it: the URL, as libpq's users write it, and what it says about TLS.

use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::problem::{self, Problem};
use super::session::Connection;
use crate::config::{PostgresSink, TlsFiles};
use crate::sink::BoxError;
use crate::tls;

/// An idle connection is asked this often whether its other end is still there; the client's own default is
/// two hours.
const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_REPEAT: Duration = Duration::from_secs(10);
const KEEPALIVE_REPEATS: u32 = 3;

/// A server, or several of which one will do.
pub(super) struct Address {
    server: Config,
    files: TlsFiles,
}

impl Address {
    /// Reads the URL. Errors show nothing of it, for it may hold a password.
    pub(super) fn read(config: &PostgresSink) -> Result<Self, BoxError> {
        let mut files = config.tls.clone();
        let url = with_known_words(config.url.expose(), &mut files)?;
        let mut server: Config = url.parse().map_err(|error| wrong(&problem::with_causes(&error)))?;
        let hosts = server.get_hosts().len().max(server.get_hostaddrs().len());
        if hosts == 0 {
            return Err(wrong("names no host"));
        }
        if files.client_cert_file.is_some() != files.client_key_file.is_some() {
            return Err(wrong("`sslcert` and `sslkey` go together"));
        }
        if files != TlsFiles::default() {
            if server.get_ssl_mode() == SslMode::Disable {
                return Err(wrong("`sslmode=disable` contradicts the certificates that are given"));
            }
            // Who names certificates wants TLS; with `prefer`, somebody in between could say that there is
            // none.
            server.ssl_mode(SslMode::Require);
        }
        // Each host gets its share of the time, so that one that is silent does not hide the next.
        let share = config.timeout.duration() / u32::try_from(hosts).unwrap_or(u32::MAX);
        let patience = server.get_connect_timeout().map_or(share, |given| share.min(*given));
        server.connect_timeout(patience);
        if server.get_application_name().is_none() {
            server.application_name("readhook");
        }
        if server.get_keepalives_idle() == Config::new().get_keepalives_idle() {
            server.keepalives_idle(KEEPALIVE);
        }
        if server.get_keepalives_interval().is_none() && server.get_keepalives_retries().is_none() {
            server.keepalives_interval(KEEPALIVE_REPEAT).keepalives_retries(KEEPALIVE_REPEATS);
        }
        Ok(Self { server, files })
    }

    /// Connects and logs in.
    pub(super) async fn connect(&self) -> Result<(Client, Connection), Problem> {
        if self.server.get_ssl_mode() == SslMode::Disable {
            return self.connect_with(NoTls).await;
        }
        match tls::client_config(&self.files) {
            Ok(config) => self.connect_with(MakeRustlsConnect::new(config)).await,
            // `prefer` takes TLS where it can be had. A machine without any authorities cannot.
            Err(error) if self.server.get_ssl_mode() == SslMode::Prefer => {
                tracing::warn!(%error, "connecting without TLS, as `sslmode=prefer` allows");
                self.connect_with(NoTls).await
            }
            Err(error) => Err(Problem::Server(error.to_string())),
        }
    }

    async fn connect_with<T>(&self, tls: T) -> Result<(Client, Connection), Problem>
    where
        T: MakeTlsConnect<Socket>,
        T::Stream: Send + 'static,
    {
        let (client, connection) = self.server.connect(tls).await?;
        Ok((client, Connection::new(connection)))
    }
}

fn wrong(problem: &str) -> BoxError {
    format!("`url`: {problem}").into()
}

/// The URL in the words that the client knows. Left out and put among the files are libpq's words for
/// certificates; `verify-full` and `verify-ca` become `require`, with which we verify the chain and the name,
/// too.
fn with_known_words(url: &str, files: &mut TlsFiles) -> Result<String, BoxError> {
    // Such a URL could be read in two ways, and the wrong one would show parts of a password as a host or an
    // option.
    if let Some((before, after)) = url.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@'))
        && (before.contains(['@', '/', '?', '#']) || before.is_empty() || after.is_empty())
    {
        return Err(wrong(
            "write `@`, `/`, `?` and `#` in a user, password or option as %40, %2F, %3F and %23",
        ));
    }
    let Some((server, options)) = url.split_once('?') else {
        return Ok(url.to_owned());
    };
    let mut kept = Vec::new();
    for option in options.split('&') {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let path = || PathBuf::from(percent_decode_str(value).decode_utf8_lossy().into_owned());
        match (name, value) {
            ("sslmode", "verify-full" | "verify-ca") => kept.push("sslmode=require"),
            ("sslmode", "allow") => kept.push("sslmode=prefer"),
            ("sslrootcert", "system") => {}
            ("sslrootcert", _) => files.ca_file = files.ca_file.take().or_else(|| Some(path())),
            ("sslcert", _) => files.client_cert_file = files.client_cert_file.take().or_else(|| Some(path())),
            ("sslkey", _) => files.client_key_file = files.client_key_file.take().or_else(|| Some(path())),
            (_, _) => kept.push(option),
        }
    }
    Ok(format!("{server}?{}", kept.join("&")))
}
