//! `readhook healthcheck`: asks the running service's `/readyz`, for containers that have no curl.

use std::path::Path;
use std::time::Duration;

use hyper::Method;
use tokio::time::timeout;

use super::ask::{ask, reachable};
use super::{Exit, complain, load};

const PATIENCE: Duration = Duration::from_secs(3);

/// Exit 0 when the service is ready, 1 when not.
pub(super) fn healthcheck(file: Option<&Path>, address: Option<String>) -> Exit {
    let address = match address {
        Some(address) => address,
        None => match load(file) {
            Ok(config) => reachable(config.server.listen).to_string(),
            Err(error) => {
                complain(&error);
                return Exit::No;
            }
        },
    };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Exit::No;
    };
    let question = ask(&address, Method::GET, "/readyz", None, String::new());
    match runtime.block_on(async { timeout(PATIENCE, question).await }) {
        Ok(Ok((status, _))) if status.is_success() => Exit::Ok,
        Ok(Ok(_)) => Exit::No,
        Ok(Err(error)) => {
            complain(&*error);
            Exit::No
        }
        Err(late) => {
            complain(&late);
            Exit::No
        }
    }
}
