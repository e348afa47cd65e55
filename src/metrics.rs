//! Every metric and its labels, in one place. No user, group or message id is ever a label, so the number of series
//! is bounded by the configuration.

use std::sync::{PoisonError, RwLock};

use prometheus::core::Collector;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::receipt::{Scope, Timestamp, VendorName};

/// Seconds from a tenth of a millisecond to ten.
const SECONDS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];
const RECEIPTS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0, 4096.0];

/// The service's metrics; cloned freely, all clones count together.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    /// The process's own, whose names every dashboard knows without our prefix.
    process: Registry,
    callbacks: IntCounterVec,
    callback_seconds: HistogramVec,
    receipts: IntCounterVec,
    /// How long a group commit takes, fsync included.
    pub journal_commit_seconds: Histogram,
    /// How many receipts a group commit holds.
    pub journal_batch_receipts: Histogram,
    /// The size of the journal's files.
    pub journal_bytes: IntGauge,
    /// What the journal's file system has left.
    pub journal_disk_available_bytes: IntGauge,
    /// Whether the last write to the journal succeeded.
    pub journal_takes_writes: IntGauge,
    /// Files of the journal's ids that were found damaged.
    pub ids_damaged: IntCounter,
    /// Whether the index of ids is being made again, so that commits are unavailable.
    pub ids_rebuilding: IntGauge,
    /// How often the journal was closed because a sync or a write of its files failed.
    pub journal_faults_total: IntCounter,
    /// The bytes of the reserve for a full disk that are there.
    pub journal_reserve_bytes: IntGauge,
    /// Whether a reserve is configured and not there.
    pub journal_reserve_missing: IntGauge,
    /// Receipts that a sink has still to get, by sink.
    pub sink_lag_receipts: IntGaugeVec,
    /// Age of the oldest of them, by sink.
    pub sink_oldest_seconds: IntGaugeVec,
    /// Whether an operator has paused a sink, by sink.
    pub sink_paused: IntGaugeVec,
    /// Why a sink is paused, by sink and cause (`operator`, `dead_letters_full`, `gone`).
    pub sink_pause_cause: IntGaugeVec,
    /// Receipts that retention has pruned though a sink did not have them, by sink.
    pub sink_let_go: IntCounterVec,
    /// Deliveries by sink and result (`ok`, `retry`, `rejected`).
    pub sink_deliveries: IntCounterVec,
    /// Receipts that a sink's destination refused for good, by sink.
    pub dead_letters: IntGaugeVec,
    /// What they hold, in bytes, by sink.
    pub dead_letter_bytes: IntGaugeVec,
    /// Neighbours with a passthrough, by vendor and result.
    pub passthrough: IntCounterVec,
    /// Receipts that are not in the read state yet.
    pub state_lag_receipts: IntGauge,
    /// Callbacks in quarantine.
    pub quarantine_entries: IntGauge,
    /// Callbacks in quarantine, by class.
    pub quarantine_class_entries: IntGaugeVec,
    /// Whether the last write to the quarantine succeeded.
    pub quarantine_takes_writes: IntGauge,
    /// Callbacks that should be in quarantine and were let go, because its own queue was full or its disk failed.
    pub quarantine_lost: IntCounter,
    /// Callbacks that were hidden as `unavailable` and are in the journal now.
    pub quarantine_taken_in: IntCounter,
    /// Callbacks that the ban guard should have hidden and could not, by reason.
    pub ban_guard_exposed: IntCounterVec,
    /// Commits that ended when nobody waited for them any more.
    pub late_commits: IntCounter,
    /// Vendor event ids that came again with another reader or message.
    pub conflicts: IntCounter,
    /// Duplicates whose other facts differ from what is stored.
    pub duplicates_differing: IntCounter,
    /// Whether the Easemob ban guard answers 200 in place of an error.
    pub ban_guard_active: IntGauge,
    /// Clients that follow the stream.
    pub streams: IntGauge,
    /// Callbacks that a secret has proven, by vendor, app and the secret's place in the configuration.
    pub secret_uses: IntCounterVec,
    /// When an app's last authentic callback came, by vendor and app.
    pub last_callback_timestamp_seconds: IntGaugeVec,
}

impl Metrics {
    /// Registers them all.
    ///
    /// # Errors
    /// A name that is registered twice, which is a fault of this file.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some("readhook".to_owned()), None)?;
        let process = Registry::new();
        process.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let counters = |name, help, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let gauges = |name, help, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels);
        let seconds = |name, help| HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
        let metrics = Self {
            callbacks: counters(
                "callbacks_total",
                "Callbacks by vendor, outcome and reason code.",
                &["vendor", "outcome", "reason"],
            )?,
            callback_seconds: HistogramVec::new(
                seconds("callback_seconds", "From the head of a request to its answer."),
                &["vendor"],
            )?,
            receipts: counters("receipts_total", "New receipts stored.", &["vendor", "scope"])?,
            journal_commit_seconds: Histogram::with_opts(seconds(
                "journal_commit_seconds",
                "A group commit of the journal, fsync included.",
            ))?,
            journal_batch_receipts: Histogram::with_opts(
                HistogramOpts::new("journal_batch_receipts", "Receipts in a group commit.")
                    .buckets(RECEIPTS.to_vec()),
            )?,
            journal_bytes: IntGauge::new("journal_bytes", "Size of the journal's files.")?,
            journal_disk_available_bytes: IntGauge::new(
                "journal_disk_available_bytes",
                "What the file system of the journal has left.",
            )?,
            journal_takes_writes: IntGauge::new(
                "journal_takes_writes",
                "0 while the journal cannot be written; always 1 without a journal.",
            )?,
            ids_damaged: IntCounter::new(
                "journal_ids_damaged_total",
                "Files of the journal's ids whose checksums did not match; each is made again from the journal.",
            )?,
            ids_rebuilding: IntGauge::new(
                "journal_ids_rebuilding",
                "1 while the index of ids is made again from the journal and callbacks are answered `unavailable`.",
            )?,
            journal_faults_total: IntCounter::new(
                "journal_faults_total",
                "How often the journal was closed and opened again because a sync or a write failed.",
            )?,
            journal_reserve_bytes: IntGauge::new(
                "journal_reserve_bytes",
                "Size of the reserve for a full disk; 0 while it is not there.",
            )?,
            journal_reserve_missing: IntGauge::new(
                "journal_reserve_missing",
                "1 while journal.reserve_bytes is configured and the reserve is not there.",
            )?,
            sink_lag_receipts: gauges(
                "sink_lag_receipts",
                "Receipts that a sink has still to get.",
                &["sink"],
            )?,
            sink_oldest_seconds: gauges(
                "sink_oldest_seconds",
                "Age of the oldest receipt that a sink has still to get.",
                &["sink"],
            )?,
            sink_paused: gauges(
                "sink_paused",
                "1 while a sink delivers nothing until it is resumed.",
                &["sink"],
            )?,
            sink_pause_cause: gauges(
                "sink_pause_cause",
                "1 for the cause for which a sink is paused: operator, dead_letters_full, gone.",
                &["sink", "cause"],
            )?,
            sink_let_go: counters(
                "sink_let_go_receipts_total",
                "Receipts that retention has pruned though a sink did not have them.",
                &["sink"],
            )?,
            sink_deliveries: counters(
                "sink_deliveries_total",
                "Receipts by sink and result: ok, retry, rejected.",
                &["sink", "result"],
            )?,
            dead_letters: gauges("dead_letters", "Receipts that a destination refused for good.", &["sink"])?,
            dead_letter_bytes: gauges(
                "dead_letter_bytes",
                "What a sink's dead letters hold: receipts and reasons.",
                &["sink"],
            )?,
            passthrough: counters(
                "passthrough_total",
                "Neighbours with a passthrough: answered by the upstream, or open, full, late, failed, unauthentic, another_body.",
                &["vendor", "result"],
            )?,
            state_lag_receipts: IntGauge::new(
                "state_lag_receipts",
                "Receipts that are not in the read state yet.",
            )?,
            quarantine_entries: IntGauge::new("quarantine_entries", "Callbacks in quarantine.")?,
            quarantine_class_entries: gauges(
                "quarantine_class_entries",
                "Callbacks in quarantine: hidden by the ban guard, naming a configured app, other.",
                &["class"],
            )?,
            quarantine_takes_writes: IntGauge::new(
                "quarantine_takes_writes",
                "0 while the quarantine cannot be written, or there is none.",
            )?,
            quarantine_taken_in: IntCounter::new(
                "quarantine_taken_in_total",
                "Callbacks that were hidden as unavailable and have been taken in since.",
            )?,
            ban_guard_exposed: counters(
                "ban_guard_exposed_total",
                "Failures that the ban guard should have hidden and quarantine could not take: off, full, client, slow, failed.",
                &["reason"],
            )?,
            quarantine_lost: IntCounter::new(
                "quarantine_lost_total",
                "Callbacks that quarantine could not keep.",
            )?,
            late_commits: IntCounter::new(
                "late_commits_total",
                "Commits that ended after the vendor had been told `unavailable`.",
            )?,
            conflicts: IntCounter::new(
                "conflicts_total",
                "Vendor event ids that came again with another reader or message.",
            )?,
            duplicates_differing: IntCounter::new(
                "duplicates_differing_total",
                "Duplicates whose time, author, message, conversation or scope differs from what is stored.",
            )?,
            ban_guard_active: IntGauge::new(
                "ban_guard_active",
                "1 while Easemob is answered 200 in place of errors.",
            )?,
            streams: IntGauge::new("streams", "Clients that follow the stream.")?,
            secret_uses: counters(
                "secret_uses_total",
                "Callbacks that a secret has proven; one that stays still can go.",
                &["vendor", "app", "secret"],
            )?,
            last_callback_timestamp_seconds: gauges(
                "last_callback_timestamp_seconds",
                "Unix time of an app's last authentic callback; 0 before the first.",
                &["vendor", "app"],
            )?,
            registry,
            process,
        };
        metrics.register()?;
        Ok(metrics)
    }

    fn register(&self) -> Result<(), prometheus::Error> {
        let labels = ["version", "commit"];
        let build = IntGaugeVec::new(Opts::new("build_info", "What runs; always 1."), &labels)?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), env!("READHOOK_COMMIT")]).set(1);
        let all: [Box<dyn Collector>; 37] = [
            Box::new(build),
            Box::new(self.callbacks.clone()),
            Box::new(self.callback_seconds.clone()),
            Box::new(self.receipts.clone()),
            Box::new(self.journal_commit_seconds.clone()),
            Box::new(self.journal_batch_receipts.clone()),
            Box::new(self.journal_bytes.clone()),
            Box::new(self.journal_disk_available_bytes.clone()),
            Box::new(self.journal_takes_writes.clone()),
            Box::new(self.ids_damaged.clone()),
            Box::new(self.ids_rebuilding.clone()),
            Box::new(self.journal_faults_total.clone()),
            Box::new(self.journal_reserve_bytes.clone()),
            Box::new(self.journal_reserve_missing.clone()),
            Box::new(self.sink_lag_receipts.clone()),
            Box::new(self.sink_oldest_seconds.clone()),
            Box::new(self.sink_paused.clone()),
            Box::new(self.sink_pause_cause.clone()),
            Box::new(self.sink_let_go.clone()),
            Box::new(self.sink_deliveries.clone()),
            Box::new(self.dead_letters.clone()),
            Box::new(self.dead_letter_bytes.clone()),
            Box::new(self.passthrough.clone()),
            Box::new(self.state_lag_receipts.clone()),
            Box::new(self.quarantine_entries.clone()),
            Box::new(self.quarantine_class_entries.clone()),
            Box::new(self.quarantine_takes_writes.clone()),
            Box::new(self.quarantine_taken_in.clone()),
            Box::new(self.ban_guard_exposed.clone()),
            Box::new(self.quarantine_lost.clone()),
            Box::new(self.late_commits.clone()),
            Box::new(self.conflicts.clone()),
            Box::new(self.duplicates_differing.clone()),
            Box::new(self.ban_guard_active.clone()),
            Box::new(self.streams.clone()),
            Box::new(self.secret_uses.clone()),
            Box::new(self.last_callback_timestamp_seconds.clone()),
        ];
        all.into_iter().try_for_each(|metric| self.registry.register(metric))
    }

    /// The counters of one vendor, looked up once.
    pub fn of(&self, vendor: VendorName) -> VendorMetrics {
        let name = vendor.as_str();
        let callbacks = |outcome| self.callbacks.with_label_values(&[name, outcome, ""]);
        let receipts = |scope: Scope| self.receipts.with_label_values(&[name, scope.as_str()]);
        VendorMetrics {
            vendor: name,
            accepted: callbacks("accepted"),
            ignored: callbacks("ignored"),
            others: self.callbacks.clone(),
            seconds: self.callback_seconds.with_label_values(&[name]),
            receipts: [receipts(Scope::Message), receipts(Scope::UpTo), receipts(Scope::Conversation)],
            last_callback: self.last_callback_timestamp_seconds.clone(),
            secret_uses: self.secret_uses.clone(),
            callers: RwLock::default(),
        }
    }

    /// Shows a vendor's counters at 0. What loses receipts is among them, so that even the first one is a rise that an
    /// alert sees.
    pub fn announce(&self, vendor: VendorName) {
        drop(self.of(vendor));
        self.callbacks.with_label_values(&[vendor.as_str(), "unavailable", "unavailable"]).inc_by(0);
    }

    /// When each app's last authentic callback came, by vendor and app; `None` before the first.
    pub fn last_callbacks(&self) -> Vec<(VendorName, String, Option<Timestamp>)> {
        let families = self.last_callback_timestamp_seconds.collect();
        let series = families.iter().flat_map(|family| family.get_metric());
        let read = |metric: &prometheus::proto::Metric| {
            let label = |name| metric.get_label().iter().find(|label| label.name() == name);
            let vendor = VendorName::ALL
                .into_iter()
                .find(|vendor| label("vendor").is_some_and(|label| label.value() == vendor.as_str()));
            // Whole seconds, far below what a float loses.
            let seconds = metric.get_gauge().get_value() as i64;
            let at = Some(seconds).filter(|seconds| *seconds > 0).and_then(Timestamp::from_seconds);
            Some((vendor?, label("app")?.value().to_owned(), at))
        };
        series.filter_map(read).collect()
    }

    /// The Prometheus text format.
    ///
    /// # Errors
    /// Never in practice: the encoder writes to memory.
    pub fn encode(&self) -> Result<String, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        TextEncoder::new().encode(&self.process.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// How a secret is called in a label: `secrets[0]`.
pub fn secret_label(list: &str, index: usize) -> String {
    format!("{list}[{index}]")
}

/// One vendor's counters; what nearly every callback counts is counted without a look-up.
pub struct VendorMetrics {
    vendor: &'static str,
    accepted: IntCounter,
    ignored: IntCounter,
    others: IntCounterVec,
    seconds: Histogram,
    receipts: [IntCounter; 3],
    last_callback: IntGaugeVec,
    secret_uses: IntCounterVec,
    /// Those that have called.
    callers: RwLock<Vec<Caller>>,
}

/// An app and the secret with which it calls.
struct Caller {
    app: String,
    secret: Option<(&'static str, usize)>,
    last_callback: IntGauge,
    secret_uses: Option<IntCounter>,
}

impl Caller {
    fn calls(&self, at: i64) {
        self.last_callback.set(at);
        if let Some(uses) = &self.secret_uses {
            uses.inc();
        }
    }
}

impl VendorMetrics {
    /// Notes that an authentic callback of an app has come, at this Unix time, and with which secret: the setting and the
    /// place in it.
    pub fn called(&self, app: &str, secret: Option<(&'static str, usize)>, at: i64) {
        let known = self.callers.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(caller) = known.iter().find(|caller| caller.secret == secret && caller.app == app) {
            caller.calls(at);
            return;
        }
        drop(known);
        let uses = secret.map(|(list, index)| {
            self.secret_uses.with_label_values(&[self.vendor, app, &secret_label(list, index)])
        });
        let last_callback = self.last_callback.with_label_values(&[self.vendor, app]);
        let caller = Caller { app: app.to_owned(), secret, last_callback, secret_uses: uses };
        caller.calls(at);
        self.callers.write().unwrap_or_else(PoisonError::into_inner).push(caller);
    }

    /// Counts a callback that has been answered, and the time it took.
    pub fn callback(&self, outcome: &str, reason: &str, seconds: f64) {
        match (outcome, reason) {
            ("accepted", "") => self.accepted.inc(),
            ("ignored", "") => self.ignored.inc(),
            _ => self.others.with_label_values(&[self.vendor, outcome, reason]).inc(),
        }
        self.seconds.observe(seconds);
    }

    /// Counts new receipts.
    pub fn receipts(&self, scope: Scope, new: u32) {
        let counter = match scope {
            Scope::Message => &self.receipts[0],
            Scope::UpTo => &self.receipts[1],
            Scope::Conversation => &self.receipts[2],
        };
        if new > 0 {
            counter.inc_by(new.into());
        }
    }
}
