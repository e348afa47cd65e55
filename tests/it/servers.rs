//! Servers of the tests' own: real ones, on ports of their own, with folders of their own, ended with the test.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::house::PATIENCE;

/// A server process. Dropped, it is killed.
pub(crate) struct Server {
    command: Command,
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts it and waits until it takes connections. `command` must make it listen on `address` and stay in the
    /// foreground.
    pub(crate) async fn start(mut command: Command, address: SocketAddr) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let server = Self { command, child, address };
        server.until_it_listens().await;
        server
    }

    /// SIGKILL, and no more of it.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again as it was started first.
    pub(crate) async fn restart(&mut self) {
        self.child = self.command.spawn().unwrap();
        self.until_it_listens().await;
    }

    async fn until_it_listens(&self) {
        timeout(PATIENCE, async {
            while TcpStream::connect(self.address).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("{:?} should listen on {}", self.command, self.address));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been killed by the test.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// An address of the loopback that nobody listens on, and another one each time. Its port is below those that the kernel
/// gives out by itself: else another test's service could get it while a server is to start there, or is to be away.
pub(crate) fn free_address() -> SocketAddr {
    const FIRST: u32 = 20_000;
    const PORTS: u32 = 12_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Test processes that run side by side begin apart.
    let begin = std::process::id().wrapping_mul(997);
    let free = (0..PORTS).find_map(|_| {
        let next = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(FIRST + next % PORTS).unwrap();
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?.local_addr().ok()
    });
    free.expect("a free port")
}

/// A program of the system, also where only root's path leads.
pub(crate) fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from));
    let found = folders.map(|folder| folder.join(name)).find(|program| program.is_file());
    found.unwrap_or_else(|| panic!("`{name}` is needed for this test; .ci/run installs it"))
}

/// A nats-server with JetStream in a folder.
pub(crate) async fn nats(dir: &Path) -> Server {
    let address = free_address();
    let mut command = Command::new(program("nats-server"));
    command.args(["-a", "127.0.0.1", "-p", &address.port().to_string(), "-js", "-sd"]).arg(dir);
    Server::start(command, address).await
}

/// A redis-server that syncs every write to a folder.
pub(crate) async fn redis(dir: &Path) -> Server {
    let address = free_address();
    let mut command = Command::new(program("redis-server"));
    command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
    command.args(["--save", "", "--appendonly", "yes", "--appendfsync", "always", "--dir"]).arg(dir);
    Server::start(command, address).await
}
