//! The program as a process, and the smallest client that can talk to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::shim::Disk;

/// No state is waited for longer than this.
pub(crate) const ENOUGH: Duration = Duration::from_secs(120);

pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}

/// Waits for a state; says whether it came.
pub(crate) fn reached(within: Duration, mut state: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        if state() {
            return true;
        }
        if begun.elapsed() > within {
            return false;
        }
        pause();
    }
}

pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The program, with an environment of its own.
pub(crate) fn readhook() -> Command {
    let program = std::env::var_os("READHOOK_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_readhook").into());
    let mut command = Command::new(program);
    command.env_clear().stdin(Stdio::null());
    command
}

/// Writes a configuration with everything that readhook writes below `data`.
pub(crate) fn configure(dir: &Path, data: &Path, journal: &str) -> PathBuf {
    /// What an earlier version does not know.
    fn reserve() -> &'static str {
        static KNOWN: OnceLock<&'static str> = OnceLock::new();
        KNOWN.get_or_init(|| {
            let dir = tempfile::tempdir().unwrap();
            let config = written(dir.path(), dir.path(), "reserve_bytes = 0");
            let check = readhook().arg("--config").arg(config).arg("check").output().unwrap();
            let said = [check.stdout, check.stderr].concat();
            if String::from_utf8_lossy(&said).contains("reserve_bytes") { "" } else { "reserve_bytes = 0" }
        })
    }
    written(dir, data, &format!("{}\n{journal}", reserve()))
}

fn written(dir: &Path, data: &Path, journal: &str) -> PathBuf {
    let demo = std::fs::read_to_string(repository("config/demo.toml")).unwrap();
    let demo: String = demo
        .lines()
        .filter(|line| !line.starts_with("reserve_bytes"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let sink =
        format!("[sinks.events]\ntype = \"file\"\npath = \"{}\"", data.join("receipts.jsonl").display());
    let text = demo
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("127.0.0.1:9090", "127.0.0.1:0")
        .replace("data/demo/readhook.db", data.join("readhook.db").to_str().unwrap())
        .replace("[journal]", &format!("[journal]\n{journal}"))
        .replace("[sinks.screen]\ntype = \"stdout\"", &sink);
    assert!(text.contains(&sink) && text.contains(journal), "the demo is as expected");
    let file = dir.join("config.toml");
    std::fs::write(&file, text).unwrap();
    file
}

/// A running `readhook serve`. Dropped, it is killed.
pub(crate) struct Program {
    child: Child,
    pub(crate) public: SocketAddr,
    admin: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

/// It ended before it listened.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) log: Vec<String>,
}

impl Program {
    pub(crate) fn start(config: &Path, disk: Option<&Disk>) -> Result<Self, Ended> {
        let mut starting = Starting::new(config, disk);
        loop {
            if let Some(found) = starting.addresses() {
                let Starting { child, log } = starting;
                return Ok(Self { child, public: found.0, admin: found.1, log });
            }
            if let Some(status) = starting.child.try_wait().unwrap() {
                pause();
                return Err(Ended { code: status.code(), log: starting.log.lock().unwrap().clone() });
            }
            pause();
        }
    }

    pub(crate) fn ended(&mut self) -> Option<Option<i32>> {
        self.child.try_wait().unwrap().map(|status| status.code())
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Ends it in good order; its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.signal("TERM");
        reached(ENOUGH, || self.child.try_wait().unwrap().is_some());
        self.child.try_wait().unwrap().and_then(|status| status.code())
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// The status of `/readyz`, 0 for no answer.
    pub(crate) fn readyz(&self) -> u16 {
        exchange(self.admin, "GET", "/readyz", "").map_or(0, |(status, _)| status)
    }

    pub(crate) fn post_admin(&self, target: &str) -> u16 {
        exchange(self.admin, "POST", target, "").map_or(0, |(status, _)| status)
    }

    pub(crate) fn get(&self, target: &str) -> Option<Value> {
        let (status, body) = exchange(self.admin, "GET", target, "")?;
        if status == 200 { serde_json::from_str(&body).ok() } else { None }
    }

    /// Every receipt, or nothing when they cannot be read.
    pub(crate) fn receipts(&self) -> Option<Vec<Value>> {
        let (mut receipts, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("/api/v1/receipts?limit=1000{cursor}"))?;
            receipts.extend(page["receipts"].as_array()?.iter().cloned());
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Some(receipts),
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A process that may not listen yet.
pub(crate) struct Starting {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Starting {
    pub(crate) fn new(config: &Path, disk: Option<&Disk>) -> Self {
        let mut command = readhook();
        if let Some(disk) = disk {
            command.envs(disk.environment());
        }
        command.arg("serve").arg("--config").arg(config).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = log.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut kept = kept.lock().unwrap();
                // A service that logs without end is another fault; the first lines are enough to see it.
                if kept.len() < 20_000 {
                    kept.push(line);
                }
            }
        });
        Self { child, log }
    }

    fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        let log = self.log.lock().unwrap();
        let line = log.iter().find(|line| line.contains("callbacks on http://"))?;
        let address = |before: &str| {
            let after = line.split_once(before)?.1;
            after.split([',', ' ']).next()?.parse().ok()
        };
        Some((address("callbacks on http://")?, address("admin on http://")?))
    }

    pub(crate) fn listens_or_ended(&mut self) -> bool {
        self.addresses().is_some() || self.child.try_wait().unwrap().is_some()
    }

    pub(crate) fn kill(mut self) {
        let _ended = self.child.kill();
        self.child.wait().unwrap();
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status();
    assert!(sent.unwrap().success());
}

/// One request on a connection of its own: status and body, or nothing.
pub(crate) fn exchange(address: SocketAddr, method: &str, target: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    let length = body.len();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?.to_ascii_lowercase();
    let body = answer.get(end + 4..)?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body = if head.contains("transfer-encoding: chunked") { unchunked(body)? } else { body.to_owned() };
    Some((status, String::from_utf8(body).ok()?))
}

fn unchunked(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let line = bytes.windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(bytes.get(..line)?).ok()?, 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(bytes.get(line + 2..line + 2 + size)?);
        bytes = bytes.get(line + 2 + size + 2..)?;
    }
}
