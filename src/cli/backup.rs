//! `readhook backup`: a copy of the journal, also beside a running service. Says up to which moment everything is in it.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::{Exit, complain, load, print, say};
use crate::clock;
use crate::config::AckAfter;
use crate::journal::{Backup, BackupError, Copied};
use crate::receipt::Timestamp;

/// Where to, and how fast.
#[derive(Debug, clap::Args)]
pub(super) struct Where {
    /// The file, which must not be there yet.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// The journal, where the configuration is not at hand; nothing of that is read then.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// MiB of receipts in a second, so that the disk has time for callbacks; 0 for as fast as it goes.
    #[arg(long, value_name = "MIB", default_value = "8")]
    rate: u32,
}

pub(super) fn backup(file: Option<&Path>, place: &Where) -> Exit {
    let journal = match place.journal.clone().map_or_else(|| configured(file), Ok) {
        Ok(journal) => journal,
        Err(exit) => return exit,
    };
    if !journal.exists() {
        say(&format!("there is no journal `{}`", journal.display()));
        return Exit::Io;
    }
    match copy(&journal, place) {
        Ok((Copied { receipts, head, bytes }, end)) => {
            print(&format!(
                "{receipts} receipts, up to position {head}, {bytes} bytes; with all that was acknowledged before {end}"
            ));
            Exit::Ok
        }
        Err(error) => {
            complain(&error);
            match error {
                BackupError::Exists { .. } => Exit::Usage,
                BackupError::Held { .. } => Exit::Unavailable,
                BackupError::Journal(_)
                | BackupError::Older { .. }
                | BackupError::Io { .. }
                | BackupError::Differs { .. } => Exit::Io,
            }
        }
    }
}

pub(super) fn configured(file: Option<&Path>) -> Result<PathBuf, Exit> {
    let config = load(file).map_err(|error| {
        complain(&error);
        Exit::Config
    })?;
    if config.delivery.ack_after == AckAfter::Sinks {
        say("delivery.ack_after is \"sinks\": there is no journal");
        return Err(Exit::Usage);
    }
    Ok(config.journal.path)
}

fn copy(journal: &Path, place: &Where) -> Result<(Copied, Timestamp), BackupError> {
    let mut backup = Backup::begin(journal, &place.to)?;
    // What comes while this runs is left for the last step: however busy the service is, there is an end.
    let (oldest, newest) = backup.bounds()?.unwrap_or((1, 0));
    let bar = progress((newest + 1 - oldest).unsigned_abs());
    let (begun, mut bytes) = (Instant::now(), 0);
    while let Some((at, more)) = backup.step()? {
        bar.set_position((at + 1 - oldest).unsigned_abs());
        bytes += more;
        std::thread::sleep(ahead(place.rate, bytes, begun.elapsed()));
        if at >= newest {
            break;
        }
    }
    bar.finish_and_clear();
    let end = clock::now();
    Ok((backup.finish()?, end))
}

/// How long to wait so that so many bytes are not more than the rate allows.
fn ahead(mib_per_second: u32, bytes: u64, elapsed: Duration) -> Duration {
    if mib_per_second == 0 {
        return Duration::ZERO;
    }
    let due = Duration::from_secs_f64(bytes as f64 / (f64::from(mib_per_second) * f64::from(1 << 20)));
    due.saturating_sub(elapsed)
}

/// Only where somebody looks.
fn progress(receipts: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} receipts, {per_sec}, {eta}");
    ProgressBar::new(receipts).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
