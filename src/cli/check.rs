//! `readhook check`: everything that can be wrong before the first callback comes, looked at without changing it. (A
//! file sink's folder is made if it is missing: there is no other way to know that it can be.)

#![expect(clippy::print_stdout, reason = "its findings are its output")]

use std::path::Path;

use super::{Exit, complain, load};
use crate::config::Config;
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
        Some(file) => println!("configuration  ok    {}", file.display()),
        None => println!("configuration  ok    built-in defaults and the environment"),
    }
    let journal = check_journal(&config);
    let sinks = check_sinks(&config);
    if journal == Exit::Ok { sinks } else { journal }
}

fn check_journal(config: &Config) -> Exit {
    let path = config.journal.path.display();
    match probe(&config.journal.path) {
        Ok(Probe::Absent) => println!("journal        ok    {path}: none yet, it will be made"),
        Ok(Probe::Whole(newest)) => println!("journal        ok    {path}: whole, newest receipt {newest}"),
        Ok(Probe::Held) => println!("journal        ok    {path}: held by a running process"),
        Err(error) => {
            println!("journal        FAIL  {error}");
            return if matches!(error, OpenError::Held { .. }) { Exit::Unavailable } else { Exit::Io };
        }
    }
    Exit::Ok
}

fn check_sinks(config: &Config) -> Exit {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&error);
            return Exit::Io;
        }
    };
    let mut exit = Exit::Ok;
    for (name, sink_config) in &config.sinks {
        match sink::open(sink_config).and_then(|sink| runtime.block_on(sink.probe())) {
            Ok(()) => println!("sink {name:<9} ok"),
            Err(error) => {
                println!("sink {name:<9} FAIL  {error}");
                exit = Exit::Io;
            }
        }
    }
    exit
}
