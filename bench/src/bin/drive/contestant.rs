//! A server in the measurement: how each of the three is started, and one round of load on it.
//!
//! Nothing here is tuned for one of them: same machine, same limits, each with its own defaults.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use readhook_bench::load::{self, Plan};
use readhook_bench::server::{Server, beside, free_addresses};
use readhook_bench::sink::Lines;
use readhook_bench::usage;

/// readhook's configuration, with words in capitals where addresses and folder belong.
const CONFIG: &str = include_str!("readhook.toml");

/// A running server and what it has accepted so far.
pub(crate) struct Contestant {
    name: &'static str,
    address: SocketAddr,
    server: Server,
    /// Where the receipts must arrive; the yardsticks have none.
    sink: Option<Lines>,
    accepted: u64,
    expected: u64,
    delivered: u64,
}

/// What one round showed.
#[derive(Clone, Copy)]
pub(crate) struct Round {
    /// Requests sent.
    pub(crate) sent: u64,
    /// Answers per second.
    pub(crate) rate: f64,
    /// What a sync of the disk took at the median just before, in microseconds; 0 if nobody looked.
    pub(crate) sync: f64,
    /// Latencies in microseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// The server's CPU microseconds per request, up to the last answer.
    pub(crate) cpu: f64,
    /// The same, up to the last receipt in the sink.
    pub(crate) cpu_to_sink: f64,
    /// The same, up to the end of all that it has put off.
    pub(crate) cpu_to_rest: f64,
    /// The generator's CPU microseconds per request.
    pub(crate) generator_cpu: f64,
    /// Cores that neither the server nor the generator kept busy meanwhile: the noise of the machine.
    pub(crate) others: f64,
    /// Peak resident memory of the server in this round, in MiB.
    pub(crate) peak_mib: f64,
}

impl Contestant {
    pub(crate) fn bare(folder: &Path) -> Result<Self> {
        let [address] = free_addresses()?;
        let mut command = Command::new(beside("bare")?);
        command.args(["--listen", &address.to_string()]);
        Self::start("bare", folder, address, command, None)
    }

    pub(crate) fn append(folder: &Path) -> Result<Self> {
        let [address] = free_addresses()?;
        let mut command = Command::new(beside("append")?);
        command.args(["--listen", &address.to_string(), "--file"]).arg(folder.join("append.data"));
        Self::start("append", folder, address, command, None)
    }

    pub(crate) fn readhook(folder: &Path, binary: &Path) -> Result<Self> {
        ensure!(binary.is_file(), "{} is missing; build it or name it: --readhook PATH", binary.display());
        let [public, admin] = free_addresses()?;
        let text = CONFIG
            .replace("PUBLIC", &public.to_string())
            .replace("ADMIN", &admin.to_string())
            .replace("FOLDER", &folder.display().to_string());
        let config = folder.join("readhook.toml");
        fs::write(&config, text)?;
        let mut command = Command::new(binary.canonicalize()?);
        command.args(["serve", "--config"]).arg(&config);
        Self::start("readhook", folder, public, command, Some(Lines::of(folder.join("receipts.jsonl"))))
    }

    fn start(
        name: &'static str,
        folder: &Path,
        address: SocketAddr,
        mut command: Command,
        sink: Option<Lines>,
    ) -> Result<Self> {
        // A log level that happens to be set in the caller's shell must not change the result.
        command.env_remove("RUST_LOG");
        let server = Server::start(&mut command, address, folder.join(format!("{name}.log")))?;
        Ok(Self { name, address, server, sink, accepted: 0, expected: 0, delivered: 0 })
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Carries out `plan` and waits for its receipts. An error if one answer was not a 200.
    pub(crate) fn round(&mut self, plan: &Plan) -> Result<Round> {
        let pid = self.server.pid();
        usage::forget_peak_rss(pid)?;
        let (clock, machine) = (Instant::now(), usage::machine_cpu()?);
        let begin = usage::cpu(pid)?;
        let tally = load::run(plan).with_context(|| self.failed("broke off"))?;
        let answered = usage::cpu(pid)?;
        let others = (usage::machine_cpu()? - machine).saturating_sub(answered - begin + tally.cpu);
        let others = others.as_secs_f64() / clock.elapsed().as_secs_f64();
        ensure!(tally.is_clean(), self.failed(&tally.to_string()));

        self.accepted += tally.accepted();
        self.expected += tally.accepted() * plan.vendor.receipts_per_callback();
        if let Some(sink) = &mut self.sink {
            self.delivered = sink.settle(self.expected)?;
        }
        let settled = usage::cpu(pid)?;
        if self.sink.is_some() {
            // What it has put off, as the read state, must not weigh on the next one's round.
            usage::until_idle(pid)?;
        }
        let rested = usage::cpu(pid)?;
        let each = |spent: Duration| spent.as_secs_f64() * 1e6 / tally.sent as f64;
        Ok(Round {
            sent: tally.sent,
            rate: tally.rate(),
            sync: 0.0,
            p50: tally.latency_us(50.0) as f64,
            p99: tally.latency_us(99.0) as f64,
            cpu: each(answered - begin),
            cpu_to_sink: each(settled - begin),
            cpu_to_rest: each(rested - begin),
            generator_cpu: tally.cpu_us_per_request(),
            others,
            peak_mib: usage::peak_rss(pid)? as f64 / f64::from(1 << 20),
        })
    }

    /// Whether every accepted callback's receipts are in the sink, and no others.
    pub(crate) fn is_complete(&self) -> bool {
        self.sink.is_none() || self.delivered == self.expected
    }

    /// What was accepted and what was delivered, in words.
    pub(crate) fn account(&self) -> String {
        let Self { accepted, expected, delivered, .. } = self;
        let verdict = if self.is_complete() { "complete" } else { "**they differ**" };
        match self.sink {
            Some(_) => format!(
                "{accepted} callbacks accepted, {expected} receipts expected in the sink, {delivered} \
                 delivered: {verdict}"
            ),
            None => format!("{accepted} callbacks accepted"),
        }
    }

    /// Ends the server; an error if it had to be killed.
    pub(crate) fn stop(self) -> Result<()> {
        ensure!(self.server.stop()?, "{} did not end when asked to", self.name);
        Ok(())
    }

    fn failed(&self, how: &str) -> String {
        format!("load on {}: {how}\nits last words:\n{}", self.name, self.server.last_words())
    }
}
