//! Watches one counter of a `/metrics` until it has come to a number, and prints how much it grew per second.
//!
//! A look every 20 milliseconds costs the watched one little; `curl` in a shell would cost a core that is to be measured.
//! It reads nothing but that counter, and always ends by itself.

#![expect(clippy::print_stdout, reason = "the result is for standard output")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use readhook_bench::rate::Rate;

const STEP: Duration = Duration::from_millis(20);
/// The watched one's own limit for an answer is far below.
const LONGEST_ANSWER: Duration = Duration::from_secs(10);

/// Watches a counter of a server on this machine.
#[derive(Parser)]
struct Args {
    /// Where `/metrics` is; it need not be there yet.
    #[arg(long)]
    addr: SocketAddr,
    /// The counter with its labels, as it stands there.
    #[arg(long)]
    series: String,
    /// Where to end.
    #[arg(long)]
    until: u64,
    /// When to give up.
    #[arg(long, default_value_t = 300)]
    seconds: u64,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let give_up = Instant::now() + Duration::from_secs(args.seconds);
    let mut rate = Rate::of(args.until);
    let mut known = false;
    let mut done = 0;
    while done < args.until {
        let now = Instant::now();
        ensure!(now < give_up, "{done} of {} after {} s", args.until, args.seconds);
        match metrics(args.addr) {
            Ok(text) => {
                known = true;
                done = value(&text, &args.series)?;
            }
            Err(error) if !known && error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error).context("the watched one does not answer"),
        }
        // The look that sees the end comes a while after it, so it would make everything seem slower. Where there are
        // no two others, it has to do.
        if done < args.until || rate.per_second().is_none() {
            rate.seen(done, now);
        }
        sleep(STEP.saturating_sub(now.elapsed()));
    }
    println!("{:.0}", rate.per_second().context("it was over before it could be measured")?);
    Ok(())
}

fn metrics(addr: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(LONGEST_ANSWER))?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The counter's value; 0 while it has not been counted yet.
fn value(answer: &str, series: &str) -> Result<u64> {
    if !answer.starts_with("HTTP/1.1 200 ") {
        bail!("not a 200: {}", answer.lines().next().unwrap_or_default());
    }
    let found = answer.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.map_or(Ok(0), |value| value.parse().with_context(|| format!("{series} is {value}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_by_all_of_its_name() {
        let answer = "HTTP/1.1 200 OK\r\n\r\n# TYPE a counter\na{b=\"c\"} 7\na{b=\"cd\"} 8\n";
        assert_eq!(value(answer, "a{b=\"c\"}").unwrap(), 7);
        assert_eq!(value(answer, "a").unwrap(), 0);
        assert!(value("HTTP/1.1 503 Service Unavailable\r\n\r\n", "a").is_err());
    }
}
