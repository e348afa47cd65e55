//! nginx and HAProxy as an operator would put them in front, set as README.md says.

use std::net::SocketAddr;
use std::process::Command;

use crate::servers::{Server, free_address, program};

/// How a proxy treats bodies and `X-Forwarded-For`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Front {
    /// Takes the whole body before it calls, and replaces the field.
    Nginx,
    /// Hands the body on as it comes, and appends to the field.
    NginxUnbuffered,
    /// Hands the body on as it comes, and adds a field of its own.
    Haproxy,
    /// Waits for the body, or as much of it as its buffer holds.
    HaproxyBuffered,
}

impl Front {
    pub(crate) const ALL: [Self; 4] =
        [Self::Nginx, Self::NginxUnbuffered, Self::Haproxy, Self::HaproxyBuffered];
}

/// A proxy, and the folder that it works in.
pub(crate) struct Proxy {
    server: Server,
    _dir: tempfile::TempDir,
}

impl Proxy {
    pub(crate) async fn start(front: Front, upstream: SocketAddr) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().display();
        let address = free_address();
        let (config, mut command) = match front {
            Front::Nginx => (
                nginx(&path, address, upstream, "proxy_set_header X-Forwarded-For $remote_addr;"),
                Command::new(program("nginx")),
            ),
            Front::NginxUnbuffered => {
                let more = "proxy_request_buffering off;
                    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;";
                (nginx(&path, address, upstream, more), Command::new(program("nginx")))
            }
            Front::Haproxy => (haproxy(address, upstream, ""), Command::new(program("haproxy"))),
            Front::HaproxyBuffered => {
                (haproxy(address, upstream, "option http-buffer-request"), Command::new(program("haproxy")))
            }
        };
        let file = dir.path().join("config");
        std::fs::write(&file, config).unwrap();
        match front {
            Front::Nginx | Front::NginxUnbuffered => {
                command.arg("-c").arg(&file).args(["-e", &format!("{path}/error.log")]);
            }
            Front::Haproxy | Front::HaproxyBuffered => {
                command.args(["-db", "-q", "-f"]).arg(&file);
            }
        }
        Self { server: Server::start(command, address).await, _dir: dir }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address
    }
}

fn nginx(dir: &impl std::fmt::Display, address: SocketAddr, upstream: SocketAddr, more: &str) -> String {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {dir}/{name};"))
        .concat();
    format!(
        "daemon off; master_process off; pid {dir}/nginx.pid; error_log {dir}/error.log;
         events {{ worker_connections 512; }}
         http {{
             access_log off; {temporary}
             upstream readhook {{ server {upstream} max_fails=0; keepalive 8; }}
             server {{
                 listen {address};
                 location /webhooks/ {{
                     proxy_pass http://readhook;
                     proxy_http_version 1.1;
                     proxy_set_header Connection \"\";
                     proxy_set_header Host $host;
                     client_max_body_size 2m;
                     {more}
                 }}
             }}
         }}"
    )
}

fn haproxy(address: SocketAddr, upstream: SocketAddr, more: &str) -> String {
    format!(
        "global
    maxconn 500
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    option forwardfor
    http-reuse always
    {more}
frontend vendors
    bind {address}
    default_backend readhook
backend readhook
    server readhook {upstream}
"
    )
}
