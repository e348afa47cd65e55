//! What a run of the load generator counted, and its two ways of being told: a line of JSON, a line of words.
//!
//! It judges only whether every request was accepted; whether that was fast enough is the reader's to say.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::Serialize;

/// Latencies above this count as this.
const LONGEST: Duration = Duration::from_secs(60);

/// The counts of one run. Every request sent is in exactly one of `by_status`, `lost` and `unanswered`.
pub struct Tally {
    /// Requests handed to a socket.
    pub sent: u64,
    /// Answers, by HTTP status.
    pub by_status: BTreeMap<u16, u64>,
    /// Requests whose connection failed before the answer was whole.
    pub lost: u64,
    /// Why the first of them was lost.
    pub first_loss: Option<String>,
    /// Requests still without answer when the run's patience ended.
    pub unanswered: u64,
    /// Requests of the open loop that were due but found no free connection before the end.
    pub unsent: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// CPU time of this process, user and system, during the run.
    pub cpu: Duration,
    latencies: Histogram<u64>,
}

impl Tally {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            sent: 0,
            by_status: BTreeMap::new(),
            lost: 0,
            first_loss: None,
            unanswered: 0,
            unsent: 0,
            elapsed: Duration::ZERO,
            cpu: Duration::ZERO,
            latencies: Histogram::new_with_bounds(1, LONGEST.as_micros() as u64, 3)?,
        })
    }

    pub(crate) fn count(&mut self, status: u16, latency: Duration) {
        *self.by_status.entry(status).or_default() += 1;
        self.latencies.saturating_record(latency.as_micros() as u64);
    }

    pub(crate) fn lose(&mut self, error: &anyhow::Error) {
        self.lost += 1;
        self.first_loss.get_or_insert_with(|| format!("{error:#}"));
    }

    /// Answers of any status.
    pub fn answered(&self) -> u64 {
        self.by_status.values().sum()
    }

    /// Answers with status 200.
    pub fn accepted(&self) -> u64 {
        self.by_status.get(&200).copied().unwrap_or_default()
    }

    /// Whether each request that was sent was answered with 200, and there was one.
    pub fn is_clean(&self) -> bool {
        self.sent > 0 && self.accepted() == self.sent
    }

    /// Answers per second, of any status.
    pub fn rate(&self) -> f64 {
        per(self.answered() as f64, self.elapsed.as_secs_f64())
    }

    /// Microseconds from the intended sending to the whole answer, below which `percent` of them lie.
    pub fn latency_us(&self, percent: f64) -> u64 {
        self.latencies.value_at_percentile(percent)
    }

    /// The generator's own CPU microseconds for each request sent.
    pub fn cpu_us_per_request(&self) -> f64 {
        per(self.cpu.as_secs_f64() * 1e6, self.sent as f64)
    }

    /// All of it as one line of JSON.
    pub fn json(&self) -> Result<String> {
        let rounded = |value: f64| (value * 100.0).round() / 100.0;
        Ok(serde_json::to_string(&Line {
            requests_per_second: rounded(self.rate()),
            sent: self.sent,
            by_status: &self.by_status,
            lost: self.lost,
            first_loss: self.first_loss.as_deref(),
            unanswered: self.unanswered,
            unsent: self.unsent,
            seconds: rounded(self.elapsed.as_secs_f64()),
            latency_us: Latency {
                p50: self.latency_us(50.0),
                p90: self.latency_us(90.0),
                p99: self.latency_us(99.0),
                p999: self.latency_us(99.9),
                max: self.latencies.max(),
            },
            generator_cpu_us_per_request: rounded(self.cpu_us_per_request()),
        })?)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} req/s over {:.1} s;", self.rate(), self.elapsed.as_secs_f64())?;
        for (status, count) in &self.by_status {
            write!(f, " {count} × {status},")?;
        }
        write!(f, " {} lost, {} unanswered, {} unsent;", self.lost, self.unanswered, self.unsent)?;
        let [p50, p90, p99] = [50.0, 90.0, 99.0].map(|percent| self.latency_us(percent));
        write!(f, " p50 {p50} µs, p90 {p90} µs, p99 {p99} µs, max {} µs;", self.latencies.max())?;
        write!(f, " generator {:.2} µs CPU/request", self.cpu_us_per_request())?;
        match &self.first_loss {
            Some(why) => write!(f, "; first loss: {why}"),
            None => Ok(()),
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    requests_per_second: f64,
    sent: u64,
    by_status: &'a BTreeMap<u16, u64>,
    lost: u64,
    first_loss: Option<&'a str>,
    unanswered: u64,
    unsent: u64,
    seconds: f64,
    latency_us: Latency,
    generator_cpu_us_per_request: f64,
}

#[derive(Serialize)]
struct Latency {
    p50: u64,
    p90: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

/// `amount / of`, and 0 where there is nothing to divide by.
fn per(amount: f64, of: f64) -> f64 {
    if of > 0.0 { amount / of } else { 0.0 }
}
