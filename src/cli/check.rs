//! `readhook check`: everything that can be wrong before the first callback comes, looked at without changing it. (What a
//! destination lacks is made, as a delivery would make it: a file's folder, a stream, a table. There is no other way to know
//! that it can be.)

use std::path::Path;

use super::{Exit, complain, load, print};
use crate::config::{AckAfter, Config, SinkConfig, SinkKind};
use crate::dispatch::causes;
use crate::journal::{OpenError, Probe, probe};
use crate::sink;

pub(super) fn check(file: Option<&Path>) -> Exit {
    let config = match load(file) {
        Ok(config) => config,
        Err(error) => {
            complain(&error);
            return Exit::Config;
        }
    };
    match file {
        Some(file) => print(&format!("configuration  ok    {}", file.display())),
        None => print("configuration  ok    built-in defaults and the environment"),
    }
    let journal = match config.delivery.ack_after {
        AckAfter::Journal => check_journal(&config),
        AckAfter::Sinks => {
            print("journal        ok    none: vendors are answered when every sink has their receipts");
            Exit::Ok
        }
    };
    let sinks = check_sinks(&config);
    journal.max(sinks)
}

fn check_journal(config: &Config) -> Exit {
    let path = config.journal.path.display();
    match probe(&config.journal.path) {
        Ok(Probe::Absent) => print(&format!("journal        ok    {path}: none yet, it will be made")),
        Ok(Probe::Whole(newest)) => {
            print(&format!("journal        ok    {path}: whole, newest receipt {newest}"))
        }
        Ok(Probe::Held) => print(&format!("journal        ok    {path}: held by a running process")),
        Err(error) => {
            print(&format!("journal        FAIL  {error}"));
            return if matches!(error, OpenError::Held { .. }) { Exit::Unavailable } else { Exit::Io };
        }
    }
    Exit::Ok
}

fn check_sinks(config: &Config) -> Exit {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&error);
            return Exit::Io;
        }
    };
    let mut exit = Exit::Ok;
    for (name, config) in &config.sinks {
        let found = runtime.block_on(check_sink(config));
        match &found {
            Ok(()) => print(&format!("sink {name:<9} ok    {}", config.kind.word())),
            Err((_, problem)) => print(&format!("sink {name:<9} FAIL  {}: {problem}", config.kind.word())),
        }
        exit = found.err().map_or(exit, |(other, _)| exit.max(other));
    }
    exit
}

/// Whether a delivery to a sink could succeed; if not, with which code to end, and why.
async fn check_sink(config: &SinkConfig) -> Result<(), (Exit, String)> {
    let sink = sink::open(config).map_err(|error| (Exit::Config, causes(&*error)))?;
    let local = matches!(config.kind, SinkKind::Stdout | SinkKind::File { .. });
    let exit = if local { Exit::Io } else { Exit::Unavailable };
    sink.probe().await.map_err(|error| (exit, causes(&*error)))
}
