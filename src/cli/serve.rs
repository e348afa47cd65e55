//! `readhook serve`: the service, and the signals it listens to. SIGTERM and SIGINT end it in good order, a second
//! one at once; SIGHUP reads the configuration anew.

use std::path::PathBuf;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Exit, complain, load};
use crate::config::{Config, ConfigError};
use crate::journal::OpenError;
use crate::{Listeners, RunError, Signals, run, telemetry};

pub(super) fn serve(file: Option<PathBuf>) -> Exit {
    let config = match load(file.as_deref()) {
        Ok(config) => config,
        Err(error) => {
            complain(&error);
            return Exit::Config;
        }
    };
    telemetry::start(config.log.format);
    match &file {
        Some(file) => {
            tracing::info!(version = env!("READHOOK_VERSION"), config = %file.display(), "readhook starts")
        }
        None => {
            tracing::info!(version = env!("READHOOK_VERSION"), "readhook starts without a configuration file")
        }
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&error);
            return Exit::Io;
        }
    };
    runtime.block_on(serve_until_told(config, file))
}

async fn serve_until_told(config: Config, file: Option<PathBuf>) -> Exit {
    let listeners = match bind(&config).await {
        Ok(listeners) => listeners,
        Err(exit) => return exit,
    };
    let (Ok(terminate), Ok(interrupt), Ok(hangup)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()))
    else {
        tracing::error!("cannot listen to signals");
        return Exit::Io;
    };
    let stop = CancellationToken::new();
    let (reload, reloads) = mpsc::channel(1);
    let service = run(config, listeners, Signals { stop: stop.clone(), reload: reloads });
    tokio::pin!(service);
    let watched = watch_signals(terminate, interrupt, hangup, stop, reload, file);
    tokio::pin!(watched);
    tokio::select! {
        ended = &mut service => match ended {
            Ok(()) => Exit::Ok,
            Err(error) => {
                complain(&error);
                exit_of(&error)
            }
        },
        () = &mut watched => {
            tracing::warn!("a second signal: ending at once");
            // Dropping the runtime would wait for blocking work; what is not on disk was not accepted.
            std::process::exit(i32::from(Exit::No as u8))
        }
    }
}

async fn bind(config: &Config) -> Result<Listeners, Exit> {
    let bind = async |name, address| {
        TcpListener::bind(address).await.map_err(|error| {
            tracing::error!(%error, "cannot listen on {address} ({name})");
            if error.kind() == std::io::ErrorKind::AddrInUse { Exit::Unavailable } else { Exit::Io }
        })
    };
    let public = bind("server.listen", config.server.listen).await?;
    let admin = bind("admin.listen", config.admin.listen).await?;
    Ok(Listeners { public, admin })
}

/// Returns with the second request to end.
async fn watch_signals(
    mut terminate: Signal,
    mut interrupt: Signal,
    mut hangup: Signal,
    stop: CancellationToken,
    reload: mpsc::Sender<Result<Config, ConfigError>>,
    file: Option<PathBuf>,
) {
    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {
                // The service takes them one by one; it only stops taking when it ends.
                let _ended = reload.send(load(file.as_deref())).await;
                continue;
            }
        }
        if stop.is_cancelled() {
            return;
        }
        tracing::info!("ending: no new connections, requests under way are answered");
        stop.cancel();
    }
}

/// With which code a start ends that could not be made.
pub(super) fn exit_of(error: &RunError) -> Exit {
    match error {
        RunError::Journal(OpenError::Held { .. }) => Exit::Unavailable,
        RunError::Sink { .. } | RunError::Passthrough(_) => Exit::Config,
        RunError::Journal(
            OpenError::Newer { .. }
            | OpenError::Unknown { .. }
            | OpenError::Unsafe { .. }
            | OpenError::Missing { .. }
            | OpenError::Restoring { .. }
            | OpenError::Foreign { .. }
            | OpenError::Damaged { .. }
            | OpenError::Io { .. }
            | OpenError::Shared { .. },
        )
        | RunError::Lost(_)
        | RunError::Metrics(_) => Exit::Io,
    }
}
