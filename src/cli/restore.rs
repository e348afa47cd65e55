//! `readhook restore`: puts a backup in the place of the journal while no service runs, and keeps the old journal.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};

use super::backup::configured;
use super::{Exit, complain, print};
use crate::clock;
use crate::journal::{OpenError, RestoreError, Restored, restore as put_in_place};

/// From where, and over what.
#[derive(Debug, clap::Args)]
pub(super) struct RestoreArgs {
    /// A copy that `readhook backup` has made.
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,
    /// The journal, where the configuration is not at hand; nothing of that is read then.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Also where a sound journal with receipts is; it is moved to a folder beside it.
    #[arg(long)]
    force: bool,
}

pub(super) fn restore(file: Option<&Path>, arguments: &RestoreArgs) -> Exit {
    let journal = match arguments.journal.clone().map_or_else(|| configured(file), Ok) {
        Ok(journal) => journal,
        Err(exit) => return exit,
    };
    let bar = progress();
    let copied = |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    };
    let restored = put_in_place(&journal, &arguments.backup, arguments.force, clock::now(), copied);
    bar.finish_and_clear();
    match restored {
        Ok(Restored { receipts, head, aside }) => {
            let kept = aside.map(|folder| format!("; the old journal is kept in `{}`", folder.display()));
            let (journal, kept) = (journal.display(), kept.unwrap_or_default());
            print(&format!("restored `{journal}`: {receipts} receipts, up to position {head}{kept}"));
            Exit::Ok
        }
        Err(error) => {
            complain(&error);
            match error {
                RestoreError::Exists { .. } => Exit::Usage,
                RestoreError::Journal(OpenError::Held { .. }) => Exit::Unavailable,
                RestoreError::Journal(_) | RestoreError::Unfit { .. } | RestoreError::Io { .. } => Exit::Io,
            }
        }
    }
}

/// Only where somebody looks.
fn progress() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes}, {bytes_per_sec}, {eta}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
