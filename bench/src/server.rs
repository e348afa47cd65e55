//! A server started for a measurement, and surely ended with it.
//!
//! It ends only the process that it started, by its id, and does not look at any other.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a server may take to become ready, and to end.
const PATIENCE: Duration = Duration::from_secs(15);
const STEP: Duration = Duration::from_millis(20);

/// A running child process that answers HTTP.
pub struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts `command`, both its outputs going to `log`, and waits until it answers `GET /livez` with 200.
    pub fn start(command: &mut Command, address: SocketAddr, log: PathBuf) -> Result<Self> {
        let output = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        let mut server = Self { child, log };
        let begin = Instant::now();
        while !is_live(address) {
            if let Some(status) = server.child.try_wait()? {
                bail!("{command:?} ended with {status}:\n{}", server.last_words());
            }
            if begin.elapsed() > PATIENCE {
                bail!("{command:?} is not live after {PATIENCE:?}:\n{}", server.last_words());
            }
            sleep(STEP);
        }
        Ok(server)
    }

    /// The id of the process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The end of what the server has logged, for an error message.
    pub fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Asks the server to end (`SIGTERM`); kills it if it does not. Says whether it ended when asked.
    pub fn stop(mut self) -> Result<bool> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if self.child.try_wait()?.is_some() {
                return Ok(true);
            }
            sleep(STEP);
        }
        Ok(false)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only for a process that has ended, which is what is wanted.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Two or more loopback addresses that were free a moment ago.
pub fn free_addresses<const N: usize>() -> Result<[SocketAddr; N]> {
    let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    // All listen until all are known; otherwise the same port could be given twice.
    let mut listeners = Vec::with_capacity(N);
    for address in &mut addresses {
        let listener = TcpListener::bind(*address)?;
        *address = listener.local_addr()?;
        listeners.push(listener);
    }
    Ok(addresses)
}

/// A program that was built beside this one.
pub fn beside(name: &str) -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let path = here.parent().unwrap_or(Path::new(".")).join(name);
    if !path.is_file() {
        bail!(
            "{} is missing; build the whole crate: cargo build --release -p readhook-bench",
            path.display()
        );
    }
    Ok(path)
}

fn is_live(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.take(4096).read_to_end(&mut answer)?;
        Ok(answer.starts_with(b"HTTP/1.1 200 "))
    };
    ask().unwrap_or(false)
}
