//! `readhook replay` and `readhook redrive`: deliver receipts to a sink once more. A running service is asked to do it,
//! for it alone delivers to its sinks; without one it is done here, with the journal held meanwhile.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::ask::order;
use super::moment::Moment;
use super::{Exit, complain, load, print, say};
use crate::config::{AckAfter, Config, StartAt};
use crate::dispatch::{Command, Dispatcher, LetterFilter, Report, Selection};
use crate::journal::{Journal, OpenError, Probe, probe};
use crate::metrics::Metrics;
use crate::sink::{self, BoxError};

/// What `replay` was told on the command line; clap sees to it that it is exactly one of these.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct Which {
    /// What came at this time or later: RFC 3339, or how long ago (90m, 2h, 3d).
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// What is at this position of the journal or behind it.
    #[arg(long, value_name = "POSITION")]
    from: Option<i64>,
    /// These receipts, by id.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    ids: Vec<String>,
}

impl Which {
    fn selection(self) -> Selection {
        match (self.since, self.from) {
            (Some(Moment(moment)), _) => Selection::Since(moment),
            (None, Some(position)) => Selection::From(position),
            (None, None) => Selection::Ids(self.ids.into_iter().collect()),
        }
    }
}

pub(super) fn replay(file: Option<&Path>, sink: &str, which: Which) -> Exit {
    run(file, sink, &Command::Replay(which.selection()))
}

/// Which dead letters `redrive` and `discard` were told; clap sees to it that it is one of these at the most.
#[derive(Debug, clap::Args)]
pub(super) struct Letters {
    /// Only the one at this position of the journal.
    #[arg(long, value_name = "POSITION")]
    position: Option<i64>,
    /// Only the one with this receipt id.
    #[arg(long, value_name = "ID", conflicts_with = "position")]
    id: Option<String>,
}

impl Letters {
    fn filter(self) -> LetterFilter {
        match (self.position, self.id) {
            (Some(position), _) => LetterFilter::Position(position),
            (None, Some(id)) => LetterFilter::Id(id),
            (None, None) => LetterFilter::All,
        }
    }
}

pub(super) fn redrive(file: Option<&Path>, sink: &str, which: Letters) -> Exit {
    run(file, sink, &Command::Redrive(which.filter()))
}

/// Deletes one dead letter, or with `all` every one.
pub(super) fn discard(file: Option<&Path>, sink: &str, which: Letters, all: bool) -> Exit {
    let which = which.filter();
    if all != (which == LetterFilter::All) {
        say("say which dead letters to discard: one of --position POSITION, --id ID, --all");
        return Exit::Usage;
    }
    run(file, sink, &Command::Discard(which))
}

fn run(file: Option<&Path>, sink: &str, command: &Command) -> Exit {
    let config = match load(file) {
        Ok(config) => config,
        Err(error) => {
            complain(&error);
            return Exit::Config;
        }
    };
    if !config.sinks.contains_key(sink) {
        let names: Vec<&str> = config.sinks.keys().map(String::as_str).collect();
        say(&format!("no sink is called `{sink}`; there are: {}", names.join(", ")));
        return Exit::Usage;
    }
    if config.delivery.ack_after == AckAfter::Sinks {
        say("delivery.ack_after is \"sinks\": there is no journal to deliver from");
        return Exit::Usage;
    }
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread().enable_all().build() else {
        return Exit::Io;
    };
    let done = match probe(&config.journal.path) {
        Ok(Probe::Held) => runtime.block_on(by_the_service(&config, sink, command)),
        Ok(Probe::Whole(_)) => runtime.block_on(here(&config, sink, command)),
        Ok(Probe::Absent) => Err(format!("there is no journal `{}`", config.journal.path.display()).into()),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(report) => {
            print(&match command {
                Command::Discard(_) => format!("{} discarded", report.discarded),
                Command::Pause
                | Command::Resume
                | Command::TryNow
                | Command::Redrive(_)
                | Command::Replay(_) => format!("{} delivered, {} refused", report.delivered, report.refused),
            });
            Exit::Ok
        }
        Err(error) => {
            complain(&*error);
            match error.downcast_ref::<OpenError>() {
                Some(OpenError::Held { .. }) => Exit::Unavailable,
                Some(_) | None => Exit::Io,
            }
        }
    }
}

/// Asks the running service, and waits until it has done it.
async fn by_the_service(config: &Config, sink: &str, command: &Command) -> Result<Report, BoxError> {
    let body = match command {
        Command::Replay(Selection::Since(moment)) => json!({ "since": moment }),
        Command::Replay(Selection::From(position)) => json!({ "from": position }),
        Command::Replay(Selection::Ids(ids)) => json!({ "ids": ids }),
        Command::Redrive(LetterFilter::All) | Command::Discard(LetterFilter::All) => json!({ "all": true }),
        Command::Redrive(LetterFilter::Position(position))
        | Command::Discard(LetterFilter::Position(position)) => json!({ "position": position }),
        Command::Redrive(LetterFilter::Id(id)) | Command::Discard(LetterFilter::Id(id)) => {
            json!({ "id": id })
        }
        Command::Pause | Command::Resume | Command::TryNow => Value::Null,
    };
    let answer = order(config, &format!("/api/v1/sinks/{sink}/{command}"), &body).await?;
    let count = |name: &str| answer[name].as_u64().unwrap_or_default();
    Ok(Report { delivered: count("delivered"), refused: count("refused"), discarded: count("discarded") })
}

/// Does it in this process, which holds the journal meanwhile.
async fn here(config: &Config, sink: &str, command: &Command) -> Result<Report, BoxError> {
    let sink_config = config.sinks.get(sink).ok_or("no such sink")?;
    let metrics = Metrics::new()?;
    let journal = Journal::open(&config.journal, &metrics)?;
    let dispatcher = Dispatcher {
        name: sink.to_owned(),
        config: sink_config.clone(),
        sink: sink::open(sink_config)?,
        journal: journal.clone(),
        metrics,
        standing: Arc::default(),
    };
    let start = match sink_config.from {
        StartAt::Start => 0,
        StartAt::Now => *journal.head().borrow(),
    };
    dispatcher.count_dead_letters().await?;
    let never = CancellationToken::new();
    let done = match command {
        Command::Replay(selection) => {
            let cursor = journal.cursor(sink, start).await?;
            dispatcher.replay(selection.clone(), cursor, &never).await
        }
        Command::Redrive(which) => dispatcher.redrive(which, &never).await,
        Command::Discard(which) => dispatcher.discard(which).await,
        // Nothing on the command line gives these.
        Command::Pause | Command::Resume | Command::TryNow => Ok(Report::default()),
    };
    journal.close().await;
    Ok(done?)
}
