//! `readhook export`: the journal's receipts, oldest first, as lines of JSON or as CSV. Reads the file by itself, also
//! beside a running service, and a thousand receipts at a time, so that a million of them take no more memory.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};

use super::moment::Moment;
use super::table::Table;
use super::{Exit, complain, load, say, vendor};
use crate::config::AckAfter;
use crate::journal::{Archive, Stored};
use crate::receipt::{ReadReceipt, VendorName};
use crate::sink::BoxError;

/// Which receipts, how, and where to.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// One JSON object a line, or CSV (RFC 4180) with a header.
    #[arg(long, value_enum)]
    format: Format,
    /// Only those of this vendor.
    #[arg(long, value_name = "VENDOR", value_parser = vendor)]
    vendor: Option<VendorName>,
    /// Only those of this app, by the vendor's name for it.
    #[arg(long, value_name = "APP")]
    app: Option<String>,
    /// Only those that came at this time or later: RFC 3339, or how long ago (90m, 2h, 3d).
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// Only those that came before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
    /// Write to this file, and over what it holds, in place of standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// CSV: put a ' before texts that a spreadsheet would take for a formula.
    #[arg(long)]
    spreadsheet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Jsonl,
    Csv,
}

pub(super) fn export(file: Option<&Path>, which: &Which) -> Exit {
    let config = match load(file) {
        Ok(config) => config,
        Err(error) => {
            complain(&error);
            return Exit::Config;
        }
    };
    if config.delivery.ack_after == AckAfter::Sinks {
        say("delivery.ack_after is \"sinks\": there is no journal to export");
        return Exit::Usage;
    }
    match write_all(&config.journal.path, which) {
        Ok(0) => Exit::Ok,
        Ok(strange) => {
            say(&format!("{strange} entries of the journal are no receipts and were left out"));
            Exit::Io
        }
        Err(error) if is_closed_pipe(&*error) => Exit::Ok,
        Err(error) => {
            complain(&*error);
            Exit::Io
        }
    }
}

/// Writes everything that is wanted; gives back how many entries could not be read.
fn write_all(journal: &Path, which: &Which) -> Result<u64, BoxError> {
    if !journal.exists() {
        return Err(format!("there is no journal `{}`", journal.display()).into());
    }
    let archive = Archive::open(journal)?;
    // What comes while this runs is left for the next time.
    let (oldest, newest) = archive.bounds()?.unwrap_or((1, 0));
    let mut target = Target::open(which)?;
    let bar = progress(which, (newest - oldest + 1).unsigned_abs());
    let (mut strange, mut behind) = (0, oldest - 1);
    while behind < newest {
        let some = archive.after(behind)?;
        let Some(last) = some.last() else { break };
        behind = last.seq;
        for receipt in some.iter().filter(|receipt| receipt.seq <= newest && which.in_time(receipt)) {
            strange += u64::from(!target.write(receipt, which)?);
        }
        bar.set_position((behind.min(newest) - oldest + 1).unsigned_abs());
    }
    target.finish()?;
    bar.finish_and_clear();
    Ok(strange)
}

impl Which {
    fn in_time(&self, receipt: &Stored) -> bool {
        let millis = |moment: &Option<Moment>| moment.map(|Moment(moment)| moment.as_millis());
        millis(&self.since).is_none_or(|since| receipt.received_at >= since)
            && millis(&self.until).is_none_or(|until| receipt.received_at < until)
    }

    fn fits(&self, receipt: &ReadReceipt<'_>) -> bool {
        self.vendor.is_none_or(|vendor| vendor == receipt.vendor)
            && self.app.as_deref().is_none_or(|app| app == receipt.app)
    }
}

/// Where it goes, and how.
enum Target {
    Jsonl(Box<dyn Write>),
    Csv(Box<Table>),
}

impl Target {
    fn open(which: &Which) -> Result<Self, BoxError> {
        let out: Box<dyn Write> = match &which.output {
            Some(path) => {
                Box::new(File::create(path).map_err(|error| format!("{}: {error}", path.display()))?)
            }
            None => Box::new(io::stdout().lock()),
        };
        // Standard output alone would write each line by itself.
        let out: Box<dyn Write> = Box::new(BufWriter::with_capacity(64 << 10, out));
        Ok(match which.format {
            Format::Jsonl => Self::Jsonl(out),
            Format::Csv => Self::Csv(Box::new(Table::begin(out, which.spreadsheet)?)),
        })
    }

    /// Writes a receipt if it is wanted; false if it is none.
    fn write(&mut self, stored: &Stored, which: &Which) -> Result<bool, BoxError> {
        let all = which.vendor.is_none() && which.app.is_none();
        match self {
            // It is a line already.
            Self::Jsonl(out) if all => writeln!(out, "{}", stored.json)?,
            Self::Jsonl(_) | Self::Csv(_) => {
                let Ok(receipt) = serde_json::from_str::<ReadReceipt<'_>>(&stored.json) else {
                    return Ok(false);
                };
                match self {
                    _ if !which.fits(&receipt) => {}
                    Self::Jsonl(out) => writeln!(out, "{}", stored.json)?,
                    Self::Csv(table) => table.write(&receipt)?,
                }
            }
        }
        Ok(true)
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::Jsonl(mut out) => out.flush(),
            Self::Csv(table) => table.finish(),
        }
    }
}

/// Shown only to somebody who looks, and not in between the receipts.
fn progress(which: &Which, receipts: u64) -> ProgressBar {
    let in_between = which.output.is_none() && io::stdout().is_terminal();
    if in_between || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} receipts, {per_sec}, {eta}");
    ProgressBar::new(receipts).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Whether whoever read it has had enough.
fn is_closed_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe) {
            return true;
        }
        cause = error.source();
    }
    false
}
