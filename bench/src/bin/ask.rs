//! Asks a server the same kind of question many times, one after the other on one connection, and prints how long the
//! answers took.
//!
//! It looks at the status and the length of an answer, not into it.

#![expect(clippy::print_stdout, reason = "the result is for standard output")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use readhook_bench::callback::easemob_message;

/// A longer answer than any that is asked for here.
const LONGEST_ANSWER: u64 = 64 << 20;

/// Times the answers to a question to a server on this machine.
#[derive(Parser)]
struct Args {
    /// The server.
    #[arg(long)]
    addr: SocketAddr,
    /// What to ask for. In it `{message}`, `{group}` and `{reader}` stand for those of another Easemob callback each time.
    #[arg(long)]
    path: String,
    /// How many of the first callbacks to choose from.
    #[arg(long, default_value_t = 1_000_000)]
    of: u64,
    /// How often.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    times: u64,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let stream = TcpStream::connect(args.addr)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut stream = BufReader::new(stream);
    let (mut took, mut bytes) = (Vec::new(), 0);
    // The first tenth warms up and does not count.
    for turn in 0..args.times + args.times.div_ceil(10) {
        // A stride that shares no factor with round numbers goes through all of them in no order to speak of.
        let (message, group, reader) = easemob_message((turn * 7_919_993) % args.of.max(1));
        let path = args.path.replace("{message}", &message).replace("{group}", &group);
        let path = path.replace("{reader}", &reader);
        let begin = Instant::now();
        bytes = ask(&mut stream, args.addr, &path).with_context(|| format!("asking for {path}"))?;
        if turn >= args.times.div_ceil(10) {
            took.push(begin.elapsed());
        }
    }
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    println!("{:.2} {:.2} {:.2} {bytes}", at(50), at(99), at(100));
    Ok(())
}

/// Gives the length of the answer.
fn ask(stream: &mut BufReader<TcpStream>, addr: SocketAddr, path: &str) -> Result<u64> {
    stream.get_mut().write_all(format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\n\r\n").as_bytes())?;
    let mut line = String::new();
    stream.read_line(&mut line)?;
    ensure!(line.starts_with("HTTP/1.1 200 "), "answered {}", line.trim());
    let mut length = None;
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').context("no header field")?;
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.trim().parse::<u64>()?);
        }
    }
    let length = length.context("an answer without Content-Length")?;
    ensure!(length <= LONGEST_ANSWER, "an answer of {length} bytes");
    let read = std::io::copy(&mut stream.take(length), &mut std::io::sink())?;
    ensure!(read == length, "half an answer");
    Ok(length)
}
