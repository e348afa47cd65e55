//! The yardstick of the sinks: a client library in a bare loop. Reads receipts from standard input, one JSON line each
//! as the file sink writes them, pushes them batch by batch to one destination, and prints receipts per second.
//!
//! Whatever is not the client's work is done before the clock runs: reading, parsing, the texts that are made from a
//! receipt. What the client wants made of its own types is made in the loop, as it must be by everybody. There is no
//! journal, no cursor, no time-out and no second try: the first error ends it.

#![expect(clippy::print_stdout, reason = "the result is for standard output")]

mod file;
mod http;
#[cfg(feature = "kafka")]
mod kafka;
mod nats;
mod postgres;
mod receipt;
mod redis;

use std::io::Read as _;
use std::num::NonZeroUsize;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use readhook_bench::rate::Rate;

use receipt::Receipt;

/// readhook has it, too; with another one the comparison would be one of allocators.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Pushes the receipts on standard input to a destination and prints how many it took per second.
#[derive(Parser)]
struct Args {
    /// Where to.
    #[arg(value_enum)]
    destination: Destination,
    /// Its address; a path for `file`, bootstrap servers for `kafka`.
    #[arg(long)]
    url: Option<String>,
    /// Receipts of a batch.
    #[arg(long, default_value = "1000")]
    batch: NonZeroUsize,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Destination {
    /// A new file, synced after each batch.
    File,
    /// A JSON array to an endpoint.
    Http,
    /// A JetStream stream, which is made if it is missing.
    Nats,
    /// A topic.
    #[cfg(feature = "kafka")]
    Kafka,
    /// Nowhere: is itself a Kafka of three brokers in memory, prints where it is, and ends with standard input.
    #[cfg(feature = "kafka")]
    KafkaMock,
    /// A Redis stream.
    Redis,
    /// A table that `readhook check` has made.
    Postgres,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Args { destination, url, batch } = Args::parse();
    #[cfg(feature = "kafka")]
    if destination == Destination::KafkaMock {
        return kafka::mock();
    }
    let url = url.context("--url says where to")?;
    let mut lines = String::new();
    std::io::stdin().read_to_string(&mut lines)?;
    let receipts = lines.lines().map(Receipt::read).collect::<Result<Vec<_>>>()?;
    let batches: Vec<&[Receipt<'_>]> = receipts.chunks(batch.get()).collect();
    let mut rate = Rate::of(receipts.len() as u64);
    match destination {
        Destination::File => file::push(&url, &batches, &mut rate)?,
        Destination::Http => http::push(&url, &batches, &mut rate).await?,
        Destination::Nats => nats::push(&url, &batches, &mut rate).await?,
        #[cfg(feature = "kafka")]
        Destination::Kafka => kafka::push(&url, &batches, &mut rate).await?,
        #[cfg(feature = "kafka")]
        Destination::KafkaMock => {} // see above
        Destination::Redis => redis::push(&url, &batches, &mut rate).await?,
        Destination::Postgres => postgres::push(&url, &batches, &mut rate).await?,
    }
    println!("{:.0}", rate.per_second().context("too few batches for a rate")?);
    Ok(())
}
