//! The arguments of `readhook simulate`, each read into what it is.

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use super::receiver::{Receiver, Whose};
use crate::receipt::Timestamp;

/// What `simulate` was told on the command line.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct What {
    /// Whose callbacks; `relay` are those of RongCloud's SDKs, `all` those of every vendor with an app.
    pub(super) vendor: Whose,
    #[command(flatten)]
    pub(super) receiver: Receiver,
    /// How many callbacks; 1000, unless there is a duration.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,
    /// For how long, instead or at the most: 30s, 5m.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) duration: Option<Duration>,
    /// Callbacks in a second, at an even pace, whether or not answers keep up; latency then counts from when each was due.
    /// Without it, as fast as the connections allow.
    #[arg(long, value_name = "N/s", value_parser = rate)]
    pub(super) rate: Option<f64>,
    /// Connections, each with one callback at a time.
    #[arg(long, value_name = "N", default_value = "16")]
    pub(super) concurrency: NonZeroU16,
    /// How long an answer is awaited; 10s, and with --vendor-behaviour as long as the vendor does.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) timeout: Option<Duration>,
    /// Share of callbacks that were sent before, to the byte.
    #[arg(long, value_name = "0..1", default_value = "0", value_parser = share)]
    pub(super) duplicates: f64,
    /// Share of reads that later ones overtake.
    #[arg(long, value_name = "0..1", default_value = "0", value_parser = share)]
    pub(super) reorder: f64,
    /// Share of callbacks that are of no use: cut off, no UTF-8, wrong types, numbers that do not fit.
    #[arg(long, value_name = "0..1", default_value = "0", value_parser = share)]
    pub(super) malformed: f64,
    /// Share of callbacks with a wrong proof: secret, order, time, token, app.
    #[arg(long, value_name = "0..1", default_value = "0", value_parser = share)]
    pub(super) bad_signature: f64,
    /// Share of callbacks that are no read events.
    #[arg(long, value_name = "0..1", default_value = "0", value_parser = share)]
    pub(super) neighbours: f64,
    /// How many users there are.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u64).range(3..=100_000))]
    pub(super) users: u64,
    /// How many groups there are.
    #[arg(long, value_name = "N", default_value = "50", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(super) groups: u64,
    /// The same seed makes the same callbacks, but for the times in them. Without it, new ones each time.
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// When the first callback happens, RFC 3339; each is a millisecond after the one before. Without it, now.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(super) start_time: Option<Timestamp>,
    /// Do what the vendor does after an answer: its time-out and repeats, Easemob's ban, OpenIM's queue.
    #[arg(long)]
    pub(super) vendor_behaviour: bool,
    /// Ask the receiver's admin API, when all is sent, whether the receipts are stored. With the configuration's token.
    #[arg(long, value_name = "ADMIN-URL")]
    pub(super) verify: Option<String>,
    /// Write each read that was acknowledged to this file, a line of JSON each, over what it holds.
    #[arg(long, value_name = "FILE")]
    pub(super) acknowledged: Option<PathBuf>,
    /// How the report is printed.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(super) format: Format,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

fn share(text: &str) -> Result<f64, String> {
    let share: Option<f64> = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a share is from 0 to 1".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    let rate: Option<f64> = number.parse().ok().filter(|rate| (0.001..=10_000_000.0).contains(rate));
    rate.ok_or_else(|| "a rate is a number of callbacks in a second, as 500 or 500/s".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    let span: Option<jiff::SignedDuration> = text.parse().ok();
    let duration = span.and_then(|span| Duration::try_from(span).ok());
    duration.filter(|duration| !duration.is_zero()).ok_or_else(|| "a time is written as 30s or 5m".to_owned())
}

fn moment(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_rfc3339(text).ok_or_else(|| "not RFC 3339, as 2026-11-20T08:00:00Z".to_owned())
}
