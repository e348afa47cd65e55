//! nginx and Caddy with the files of `deploy/`, in which nothing is replaced but names, addresses, certificates and
//! folders; and a client of theirs, over TLS.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use crate::house::repository;
use crate::raw::Raw;
use crate::servers::{Server, free_address, program};

/// Which of the examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Example {
    Nginx,
    Caddy,
}

/// A proxy that runs as the example says.
pub(crate) struct Deployed {
    server: Server,
    connector: TlsConnector,
    /// Certificate, configuration, and all that is logged.
    pub(crate) dir: TempDir,
}

/// A text with other words in it, each of which must be there.
fn replaced(text: &str, words: &[(&str, String)]) -> String {
    words.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "the example has no `{from}` any more");
        text.replace(from, to)
    })
}

impl Example {
    pub(crate) const ALL: [Self; 2] = [Self::Nginx, Self::Caddy];

    fn command(self, dir: &Path, address: SocketAddr, upstream: SocketAddr) -> Command {
        let text = |path| std::fs::read_to_string(repository(path)).unwrap();
        let folder = dir.display().to_string();
        match self {
            Self::Nginx => {
                let words = [
                    ("127.0.0.1:8080", upstream.to_string()),
                    ("listen 443 ", format!("listen {address} ")),
                    ("    listen [::]:443 ssl http2;\n", String::new()),
                    ("server_name im-hooks.example.com;", "server_name localhost;".to_owned()),
                    ("/etc/nginx/tls/im-hooks.example.com", format!("{folder}/tls")),
                    ("/var/log/nginx/", format!("{folder}/")),
                ];
                let site = replaced(&text("deploy/nginx/readhook.conf"), &words);
                let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                    .map(|name| format!("{name}_temp_path {folder}/{name};"))
                    .concat();
                let config = format!(
                    "daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
                     events {{ worker_connections 512; }}
                     http {{ {temporary} {site} }}"
                );
                std::fs::write(dir.join("nginx.conf"), config).unwrap();
                let mut command = Command::new(program("nginx"));
                command.args(["-c", &format!("{folder}/nginx.conf"), "-e", &format!("{folder}/error.log")]);
                command
            }
            Self::Caddy => {
                let site = format!("https://localhost:{} {{\n\tbind 127.0.0.1\n", address.port());
                let words = [
                    ("127.0.0.1:8080", upstream.to_string()),
                    (
                        "\nim-hooks.example.com {\n",
                        format!("\n{site}\ttls {folder}/tls.crt {folder}/tls.key\n"),
                    ),
                    // Its own listeners are machine-wide.
                    ("\n{\n", "\n{\n\tadmin off\n\tauto_https disable_redirects\n".to_owned()),
                    ("\tlog {\n", format!("\tlog {{\n\t\toutput file {folder}/caddy.log\n")),
                ];
                std::fs::write(dir.join("Caddyfile"), replaced(&text("deploy/caddy/Caddyfile"), &words))
                    .unwrap();
                let mut command = Command::new(program("caddy"));
                command.args(["run", "--adapter", "caddyfile", "--config", &format!("{folder}/Caddyfile")]);
                command.env("HOME", dir).env("XDG_DATA_HOME", dir).env("XDG_CONFIG_HOME", dir);
                command
            }
        }
    }
}

impl Deployed {
    /// Starts it in front of `upstream`.
    pub(crate) async fn start(example: Example, upstream: SocketAddr) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(dir.path().join("tls.crt"), certified.cert.pem()).unwrap();
        std::fs::write(dir.path().join("tls.key"), certified.signing_key.serialize_pem()).unwrap();
        let address = free_address();
        let server = Server::start(example.command(dir.path(), address, upstream), address).await;
        Self { server, connector: believing(certified.cert.der().clone()), dir }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.dir.path().join("tls.crt")
    }

    /// A client that calls from an address of its own; all of 127.0.0.0/8 is this machine.
    pub(crate) async fn client(&self, from: [u8; 4]) -> Raw<TlsStream<TcpStream>> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let stream = socket.connect(self.address()).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        Raw::over(self.connector.connect(name, stream).await.unwrap())
    }

    /// Whether anything that it has written down contains this.
    pub(crate) fn has_written(&self, text: &str) -> bool {
        let files = std::fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().path());
        let logs = files.filter(|file| file.extension().is_some_and(|extension| extension == "log"));
        logs.map(|log| std::fs::read_to_string(log).unwrap()).any(|log| log.contains(text))
    }
}

fn believing(certificate: CertificateDer<'static>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth()).into()
}
