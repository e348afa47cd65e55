//! `readhook check`: the way of `serve` up to the first byte from outside, and everything that it would refuse or warn of on
//! that way, looked at without changing it. (What a destination lacks is made, as a delivery would make it: a file's folder, a
//! stream, a table. There is no other way to know that it can be.) What a running readhook holds is no fault.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use hyper::{Method, StatusCode};
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::ask::{ask, reachable};
use super::{Exit, check_deep, complain, load, print};
use crate::config::{AckAfter, Config, SinkConfig, SinkKind};
use crate::dispatch::causes;
use crate::journal::{OpenError, Probe, probe, writable};
use crate::sink;
use crate::telemetry::Collected;
use crate::{RunError, preflight};

/// How long whoever holds an address may take to say that it is readhook.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn check(file: Option<&Path>, deep: bool) -> Exit {
    let config = match load(file) {
        Ok(config) => config,
        Err(error) => {
            complain(&error);
            return Exit::Config;
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&error);
            return Exit::Io;
        }
    };
    let log = Collected::start();
    let configuration = check_configuration(file, &config, &runtime);
    warn(&log);
    let (journal, held) = match config.delivery.ack_after {
        AckAfter::Journal => check_journal(&config),
        AckAfter::Sinks => {
            print("journal        ok    none: vendors are answered when every sink has their receipts");
            // Nothing else tells whether it is this service that runs.
            (Exit::Ok, true)
        }
    };
    warn(&log);
    let listeners = runtime.block_on(check_listeners(&config, held));
    let sinks = check_sinks(&config, &runtime);
    warn(&log);
    let files = if deep { check_deep::check(&config) } else { Exit::Ok };
    configuration.max(journal).max(listeners).max(sinks).max(files)
}

/// What a start would have logged so far.
fn warn(log: &Collected) {
    for warning in log.take() {
        print(&format!("warning              {warning}"));
    }
}

fn check_configuration(file: Option<&Path>, config: &Config, runtime: &Runtime) -> Exit {
    let place = match file {
        Some(file) => file.display().to_string(),
        None => "built-in defaults and the environment".to_owned(),
    };
    match runtime.block_on(preflight(config)) {
        // A sink that cannot be opened is reported with the sinks.
        Ok(()) | Err(RunError::Sink { .. }) => {
            print(&format!("configuration  ok    {place}"));
            Exit::Ok
        }
        Err(error) => {
            print(&format!("configuration  FAIL  {place}: {}", causes(&error)));
            super::serve::exit_of(&error)
        }
    }
}

/// Whether both listeners could listen. `held` says whether a running service has this configuration's journal.
async fn check_listeners(config: &Config, held: bool) -> Exit {
    let public = check_listener("server.listen", config.server.listen, held).await;
    let admin = check_listener("admin.listen", config.admin.listen, held).await;
    public.max(admin)
}

async fn check_listener(name: &str, address: SocketAddr, held: bool) -> Exit {
    let (found, exit) = match bind(address) {
        Ok(()) => (format!("ok    {address}"), Exit::Ok),
        Err(error) if error.kind() == ErrorKind::AddrInUse => match (is_readhook(address).await, held) {
            (true, true) => (format!("ok    {address}: held by a running readhook"), Exit::Ok),
            (true, false) => (
                format!("FAIL  {address}: in use by another readhook, which has another journal"),
                Exit::Unavailable,
            ),
            (false, _) => (format!("FAIL  {address}: in use by another program"), Exit::Unavailable),
        },
        Err(error) => (format!("FAIL  {address}: {error}"), Exit::Io),
    };
    print(&format!("{name:<14} {found}"));
    exit
}

/// As a start binds it, but it does not listen: nobody can connect meanwhile.
fn bind(address: SocketAddr) -> std::io::Result<()> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)
}

async fn is_readhook(address: SocketAddr) -> bool {
    let address = reachable(address).to_string();
    let asked = timeout(PATIENCE, ask(&address, Method::GET, "/livez", None, String::new())).await;
    matches!(asked, Ok(Ok((StatusCode::OK, answer))) if answer == "alive\n")
}

/// Whether the journal could be opened, and whether a running service has it.
fn check_journal(config: &Config) -> (Exit, bool) {
    let path = config.journal.path.display();
    // A running service has shown that it can write; what it has need not be looked at.
    let probed = probe(&config.journal.path).and_then(|found| match found {
        Probe::Held => Ok(found),
        Probe::Absent | Probe::Whole(_) => writable(&config.journal.path).map(|()| found),
    });
    match probed {
        Ok(Probe::Absent) => print(&format!("journal        ok    {path}: none yet, it will be made")),
        Ok(Probe::Whole(newest)) => {
            print(&format!("journal        ok    {path}: whole, newest receipt {newest}"))
        }
        Ok(Probe::Held) => {
            print(&format!("journal        ok    {path}: held by a running process"));
            return (Exit::Ok, true);
        }
        Err(error) => {
            print(&format!("journal        FAIL  {error}"));
            let held = matches!(error, OpenError::Held { .. });
            return (if held { Exit::Unavailable } else { Exit::Io }, false);
        }
    }
    (Exit::Ok, false)
}

fn check_sinks(config: &Config, runtime: &Runtime) -> Exit {
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
