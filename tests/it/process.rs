//! The program itself as a process, for what only a process can show: signals, exit codes, and being killed.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::house::{PATIENCE, demo};

/// A running `readhook serve`. Dropped, it is killed.
pub(crate) struct Process {
    child: Child,
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    log: Arc<Mutex<String>>,
}

/// A process that logs without end does not fill the test's memory.
const LOG_BYTES: usize = 1 << 20;

/// Where a shell finds the system's programs.
pub(crate) const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The program, with an environment of its own.
pub(crate) fn readhook() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_readhook"));
    command.env_clear().stdin(Stdio::null());
    command
}

/// Writes a configuration for a process: the demo's, with its files in `dir`, any free ports, and a file sink.
pub(crate) fn write_config(dir: &Path) -> std::path::PathBuf {
    let file = dir.join("receipts.jsonl");
    write_config_with(dir, &format!("[sinks.events]\ntype = \"file\"\npath = \"{}\"\n", file.display()))
}

/// The same with other sinks, or whatever else the end of a configuration may hold.
pub(crate) fn write_config_with(dir: &Path, sinks: &str) -> std::path::PathBuf {
    let text = demo()
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("127.0.0.1:9090", "127.0.0.1:0")
        .replace("data/demo/readhook.db", dir.join("readhook.db").to_str().unwrap())
        .replace("[sinks.screen]\ntype = \"stdout\"", sinks);
    assert!(text.contains(sinks), "the demo's own sink is where it is expected");
    let file = dir.join("config.toml");
    std::fs::write(&file, text).unwrap();
    file
}

impl Process {
    /// Starts it and waits for the line that says where it listens.
    pub(crate) fn start(config: &Path) -> Self {
        let mut command = readhook();
        command.arg("serve").arg("--config").arg(config);
        Self::start_by(command)
    }

    /// Starts it with more in its environment.
    pub(crate) fn start_with(config: &Path, environment: &[(&str, &str)]) -> Self {
        let mut command = readhook();
        command.envs(environment.iter().copied()).arg("serve").arg("--config").arg(config);
        Self::start_by(command)
    }

    /// Starts it behind a line of the shell that prepares something, and then becomes it.
    pub(crate) fn start_behind(preparation: &str, config: &Path) -> Self {
        Self::start_by(shell(Command::new("sh"), preparation, config))
    }

    /// The same in a mount namespace of its own, of which nothing is left when the process has ended.
    pub(crate) fn start_in_namespace(preparation: &str, config: &Path) -> Self {
        let mut unshare = Command::new("unshare");
        unshare.args(["-m", "sh"]);
        Self::start_by(shell(unshare, preparation, config))
    }

    fn start_by(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = log.by_ref().map(Result::unwrap).find(|line| line.contains("callbacks on http://"));
        let line = line.expect("it says where it listens");
        let address = |before: &str| {
            let after = line.split_once(before).unwrap().1;
            after.split([',', ' ']).next().unwrap().parse().unwrap()
        };
        let (public, admin) = (address("callbacks on http://"), address("admin on http://"));
        // A pipe that nobody reads would stop the process one day.
        let lines = Arc::new(Mutex::new(String::new()));
        let kept = lines.clone();
        std::thread::spawn(move || {
            for line in log.map_while(Result::ok) {
                let mut kept = kept.lock().unwrap();
                if kept.len() < LOG_BYTES {
                    kept.push_str(&line);
                    kept.push('\n');
                }
            }
        });
        Self { child, public, admin, log: lines }
    }

    /// What it has logged since it listens, up to a limit.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its memory, in MiB: what it has now, or (`VmHWM`) the most that it has had.
    pub(crate) fn mebibytes(&self, line: &str) -> u64 {
        mebibytes(self.id(), line)
    }

    /// How many files and sockets it has open.
    pub(crate) fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id())).unwrap().count()
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(sent.unwrap().success());
    }

    /// SIGKILL, and no more of it.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the process should end");
    }
}

/// The memory of a process, by a line of its status.
pub(crate) fn mebibytes(id: u32, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

fn shell(mut shell: Command, preparation: &str, config: &Path) -> Command {
    shell.env_clear().env("PATH", SYSTEM_PATH).stdin(Stdio::null());
    shell.args(["-ec", &format!("{preparation}\nexec \"$0\" serve --config \"$1\"")]);
    shell.arg(env!("CARGO_BIN_EXE_readhook")).arg(config);
    shell
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
