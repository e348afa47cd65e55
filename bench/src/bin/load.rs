//! The load generator as a command: sends signed callbacks, then prints a line of JSON and a line of words.
//!
//! It does not start or watch the server; `drive` does. It ends with failure unless every answer was a 200.

#![expect(clippy::print_stdout, reason = "the report is for standard output")]

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use readhook_bench::callback::{App, Order, Vendor};
use readhook_bench::load::{self, Limits, Plan};
use readhook_bench::usage;

/// Sends unique, signed read-receipt callbacks to a server on this machine.
#[derive(Parser)]
struct Args {
    /// The server; a loopback address.
    #[arg(long)]
    addr: SocketAddr,
    /// Whose callbacks to send.
    #[arg(long, value_enum, default_value = "easemob")]
    vendor: Vendor,
    /// Order of the ids.
    #[arg(long, value_enum, default_value = "growing")]
    order: Order,
    /// Connections that carry requests, each one at a time.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=16_384))]
    connections: u16,
    /// Further connections that are opened and never used.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=16_384))]
    idle: u16,
    /// Seconds to send for.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Most requests to send, if that is reached before the time.
    #[arg(long)]
    requests: Option<u64>,
    /// Open loop: so many requests per second; latency then counts from the intended sending.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,
    /// Number of the first callback; leave as many numbers as were sent between two runs on the same data.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..1_000_000_000_000))]
    start: u64,
    /// Easemob's callback secret.
    #[arg(long, default_value_t = App::default().secret)]
    secret: String,
    /// Easemob's appkey.
    #[arg(long, default_value_t = App::default().appkey)]
    appkey: String,
    /// Tencent's `SDKAppID`.
    #[arg(long, default_value_t = App::default().sdk_app_id)]
    sdk_app_id: String,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    usage::raise_file_limit()?;
    let tally = load::run(&Plan {
        server: args.addr,
        vendor: args.vendor,
        order: args.order,
        app: App { appkey: args.appkey, secret: args.secret, sdk_app_id: args.sdk_app_id },
        start: args.start,
        connections: args.connections.into(),
        idle: args.idle.into(),
        limits: Limits {
            time: Duration::from_secs(args.seconds),
            requests: args.requests,
            rate: args.rate.map(f64::from),
        },
    })?;
    println!("{}", tally.json()?);
    println!("{tally}");
    Ok(if tally.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
