//! The measurement as one command: starts the yardsticks and readhook, loads them in turn, prints Markdown.
//!
//! Progress goes to standard error, so that `drive > results.md` holds the results alone. It does not build
//! anything, does not keep what it measured before, and calls nothing good or bad; it ends with failure if a
//! request was not accepted or a receipt did not reach the sink.

#![expect(clippy::print_stdout, reason = "the results are for standard output")]
#![expect(clippy::print_stderr, reason = "progress must not stand among the results")]

mod contestant;
mod course;
mod machine;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use readhook_bench::callback::{Order, Vendor};
use readhook_bench::{disk, usage};

use contestant::Contestant;
use course::Course;

/// Measures readhook against two yardsticks on this machine and prints the results as Markdown.
#[derive(Parser)]
struct Args {
    /// The readhook binary.
    #[arg(long, default_value = "target/release/readhook")]
    readhook: PathBuf,
    /// Measure the yardsticks alone.
    #[arg(long)]
    without_readhook: bool,
    /// Where to make a new folder for the data: on the disk to be measured.
    #[arg(long, default_value = "target/bench-data")]
    dir: PathBuf,
    /// Keep the data; as a rule they are removed, except after a failure.
    #[arg(long)]
    keep: bool,
    /// Rounds of every server at each number of connections.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Seconds of a round.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=600))]
    seconds: u16,
    /// Numbers of connections, one table each.
    #[arg(long, value_delimiter = ',', default_value = "2,64,256")]
    connections: Vec<u16>,
    /// Connections of the last load, which shows the greatest memory; 0 leaves it out.
    #[arg(long, default_value_t = 1024)]
    saturate: u16,
    /// Whose callbacks to send.
    #[arg(long, value_enum, default_value = "easemob")]
    vendor: Vendor,
    /// Order of the ids.
    #[arg(long, value_enum, default_value = "growing")]
    order: Order,
}

fn main() -> Result<()> {
    let args = Args::parse();
    usage::raise_file_limit()?;
    let folder = args.dir.join(format!("drive-{}", std::process::id()));
    fs::create_dir_all(&args.dir).with_context(|| format!("creating {}", args.dir.display()))?;
    fs::create_dir(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let measured = measure(&args, &folder.canonicalize()?);
    if args.keep || measured.is_err() {
        eprintln!("the data are kept in {}", folder.display());
    } else {
        fs::remove_dir_all(&folder)?;
    }
    measured
}

fn measure(args: &Args, folder: &Path) -> Result<()> {
    disk::ensure_real(folder)?;
    println!("{}", machine::describe()?);
    let sync = disk::sync_cost(folder, 500)?;
    println!("- `fdatasync` after an append of 4 KiB: {}", table::sync(sync));

    let mut contestants = vec![Contestant::bare(folder)?, Contestant::append(folder)?];
    if !args.without_readhook {
        contestants.push(Contestant::readhook(folder, &args.readhook)?);
    }
    println!("- vendor {:?}, order of ids {:?}", args.vendor, args.order);
    println!("- rounds: {} × {} s for each server, in turn", args.rounds, args.seconds);

    let mut course = Course::new(args.vendor, args.order, folder);
    for contestant in &mut contestants {
        course.load(contestant, 64, 1).context("warming up")?;
    }
    for connections in &args.connections {
        let results = course.rounds(&mut contestants, *connections, args.rounds, args.seconds)?;
        println!("\n### {connections} connections\n\n{}", table::results(&contestants, &results));
        if *connections <= course::FEW {
            println!("\n{}", table::against_disk(&contestants, &results));
        }
    }
    if args.saturate > 0 {
        let results = course.rounds(&mut contestants, args.saturate, 1, args.seconds)?;
        println!(
            "\n### Memory at {} connections\n\n{}",
            args.saturate,
            table::memory(&contestants, &results)
        );
    }

    println!("\n### Receipts\n");
    for contestant in &contestants {
        println!("- {}: {}", contestant.name(), contestant.account());
    }
    let after = disk::sync_cost(folder, 500)?;
    println!("- `fdatasync` again, at the end: {}", table::sync(after));
    let complete = contestants.iter().all(Contestant::is_complete);
    for contestant in contestants {
        contestant.stop()?;
    }
    ensure!(complete, "accepted callbacks and delivered receipts differ");
    Ok(())
}
