//! `readhook healthcheck`: asks the running service's `/readyz`, for containers that have no curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use http_body_util::Empty;
use hyper::Request;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

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
    let asked = runtime.block_on(async { timeout(PATIENCE, ready(&address)).await });
    match asked {
        Ok(Ok(true)) => Exit::Ok,
        Ok(Ok(false)) => Exit::No,
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

/// From inside, an address that means "all of them" is reached by way of loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(_) | IpAddr::V6(_) => listen.ip(),
    };
    SocketAddr::new(ip, listen.port())
}

async fn ready(address: &str) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut ask, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get("/readyz").header("host", address).body(Empty::<bytes::Bytes>::new())?;
    let (response, _) = tokio::join!(
        async {
            let response = ask.send_request(request).await;
            drop(ask);
            response
        },
        connection
    );
    Ok(response?.status().is_success())
}
