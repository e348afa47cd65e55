//! `readhook requeue`: verifies callbacks in quarantine anew and takes in what is good by now. A running service is asked
//! to do it, with the secrets that it has; without one it is done here, with those of the configuration.

use std::path::Path;

use clap::builder::PossibleValuesParser;
use serde_json::json;

use super::ask::order;
use super::moment::Moment;
use super::{Exit, complain, load, print, vendor};
use crate::callback_log::CallbackLog;
use crate::config::{AckAfter, Config};
use crate::ingest::Ingest;
use crate::journal::{Journal, Probe, probe};
use crate::metrics::Metrics;
use crate::quarantine::{Class, Quarantine, Wanted};
use crate::receipt::VendorName;
use crate::requeue::{self, Report};
use crate::sink::BoxError;
use crate::store::Store;
use crate::vendor::{REASONS, Vendors};

/// Which callbacks, and whether only to look.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// Only those of this vendor.
    #[arg(long, value_name = "VENDOR", value_parser = vendor)]
    vendor: Option<VendorName>,
    /// Only those with this reason code, as the log has it.
    #[arg(long, value_name = "REASON", value_parser = PossibleValuesParser::new(REASONS), hide_possible_values = true)]
    reason: Option<String>,
    /// Only those that came at this time or later: RFC 3339, or how long ago (90m, 2h, 3d).
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// Only those of this class: hidden (answered 200 by the ban guard), app (names a configured app), other.
    #[arg(long, value_name = "CLASS", value_parser = class)]
    class: Option<Class>,
    /// Only say what would come of it.
    #[arg(long)]
    dry_run: bool,
}

fn class(word: &str) -> Result<Class, &'static str> {
    Class::named(word).ok_or("not one of hidden, app, other")
}

pub(super) fn requeue(file: Option<&Path>, which: Which) -> Exit {
    let config = match load(file) {
        Ok(config) => config,
        Err(error) => {
            complain(&error);
            return Exit::Config;
        }
    };
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread().enable_all().build() else {
        return Exit::Io;
    };
    let dry_run = which.dry_run;
    let done = match (config.delivery.ack_after, probe(&config.journal.path)) {
        (AckAfter::Sinks, _) | (AckAfter::Journal, Ok(Probe::Held)) => {
            runtime.block_on(by_the_service(&config, which))
        }
        (AckAfter::Journal, Ok(Probe::Whole(_) | Probe::Absent)) => runtime.block_on(here(&config, which)),
        (AckAfter::Journal, Err(error)) => Err(error.into()),
    };
    match done {
        Ok(Report { accepted, duplicate, ignored, kept }) => {
            let would = if dry_run { "would be " } else { "" };
            print(&format!(
                "{would}accepted {accepted}, duplicate {duplicate}, ignored {ignored}; {kept} are as bad as before and stay"
            ));
            Exit::Ok
        }
        Err(error) => {
            complain(&*error);
            Exit::Io
        }
    }
}

async fn by_the_service(config: &Config, which: Which) -> Result<Report, BoxError> {
    let question = json!({
        "vendor": which.vendor,
        "reason": which.reason,
        "since": which.since.map(|Moment(moment)| moment),
        "class": which.class.map(Class::as_str),
        "dry_run": which.dry_run,
    });
    let answer = order(config, "/api/v1/quarantine/requeue", &question).await?;
    Ok(serde_json::from_value(answer)?)
}

/// In this process, which holds the journal meanwhile.
async fn here(config: &Config, which: Which) -> Result<Report, BoxError> {
    let metrics = Metrics::new()?;
    let journal = Journal::open(&config.journal, &metrics)?;
    let quarantine = Quarantine::open(journal.path(), &config.quarantine, &metrics);
    let ingest = Ingest::new(Store::Journal(journal.clone()), quarantine, 0, metrics, CallbackLog::none());
    let vendors = Vendors::configure(&config.vendors);
    let since = which.since.map(|Moment(moment)| moment);
    let wanted =
        Wanted { vendor: which.vendor, reason: which.reason, since, class: which.class, waiting: false };
    let done = requeue::requeue(&ingest, &vendors, &wanted, which.dry_run).await;
    journal.close().await;
    ingest.close();
    Ok(done?)
}
