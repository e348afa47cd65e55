//! `readhook rebuild-state`: makes the read state again from the journal. A running service is asked to do it; without
//! one it is done here, with the journal held meanwhile.

#![expect(clippy::print_stderr, reason = "progress must not stand in the output")]

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use hyper::Method;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ask::{AskError, order, question};
use super::{Exit, complain, load, print, say};
use crate::config::{AckAfter, Config};
use crate::journal::{Journal, OpenError, Probe, probe};
use crate::metrics::Metrics;
use crate::sink::BoxError;
use crate::state::State;

/// How often progress is shown.
const SHOWN_EVERY: Duration = Duration::from_millis(500);

pub(super) fn rebuild_state(file: Option<&Path>) -> Exit {
    let config = match load(file) {
        Ok(config) => config,
        Err(error) => {
            complain(&error);
            return Exit::Config;
        }
    };
    if config.delivery.ack_after == AckAfter::Sinks {
        say("delivery.ack_after is \"sinks\": there is no journal to make a state from");
        return Exit::Usage;
    }
    if !config.state.enabled {
        say("state.enabled is false: there is no state to make");
        return Exit::Usage;
    }
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread().enable_all().build() else {
        return Exit::Io;
    };
    let done = match probe(&config.journal.path) {
        Ok(Probe::Held) => runtime.block_on(by_the_service(&config)),
        Ok(Probe::Whole(_)) => runtime.block_on(here(&config)),
        Ok(Probe::Absent) => Err(format!("there is no journal `{}`", config.journal.path.display()).into()),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(receipts) => {
            print(&format!("rebuilt from {receipts} receipts"));
            Exit::Ok
        }
        Err(error) => {
            complain(&*error);
            let held = matches!(error.downcast_ref::<OpenError>(), Some(OpenError::Held { .. }));
            let absent = matches!(error.downcast_ref::<AskError>(), Some(AskError::Absent { .. }));
            if held || absent { Exit::Unavailable } else { Exit::Io }
        }
    }
}

/// Asks the running service, and waits until it has done it.
async fn by_the_service(config: &Config) -> Result<u64, BoxError> {
    let look = async || {
        let health = question(config, Method::GET, "/healthz", String::new()).await.unwrap_or_default();
        (health["state"]["cursor"].as_i64(), health["journal"]["newest"].as_i64())
    };
    let rebuilt = order(config, "/api/v1/state/rebuild", &Value::Null);
    let answer = showing(rebuilt, look).await?;
    Ok(answer["receipts"].as_u64().unwrap_or_default())
}

/// Does it in this process, which holds the journal meanwhile.
async fn here(config: &Config) -> Result<u64, BoxError> {
    let journal = Journal::open(&config.journal, &Metrics::new()?)?;
    let (state, walker) = State::of(&journal, journal.path())?;
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    tasks.spawn(walker.run(stop.clone()));
    let head = journal.head();
    let look = async || (Some(state.cursor()), Some(*head.borrow()));
    let rebuilt = showing(state.rebuild(), look).await;
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    state.close().await;
    journal.close().await;
    Ok(rebuilt?)
}

/// Waits, and shows somebody who is looking how far it is.
async fn showing<T>(work: impl Future<Output = T>, look: impl AsyncFn() -> (Option<i64>, Option<i64>)) -> T {
    if !std::io::stderr().is_terminal() {
        return work.await;
    }
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => {
                eprint!("\r\x1b[K");
                return done;
            }
            () = tokio::time::sleep(SHOWN_EVERY) => {
                if let (Some(cursor), Some(newest)) = look().await {
                    eprint!("\r{cursor} of {newest} receipts\x1b[K");
                }
            }
        }
    }
}
