//! A captured callback as people have it, made into the request that it was.

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::{Circumstances, Explanation, explain};
use crate::config::ServerConfig;
use crate::receipt::Timestamp;
use crate::server::client::client;
use crate::vendor::{Incoming, PREFIX, Route, Vendors};

/// A callback that was captured, or kept.
#[derive(Debug, Clone, Default)]
pub struct Capture {
    /// What stands behind the vendor's route, or the whole path.
    pub path: String,
    /// Raw, without the question mark.
    pub query: String,
    /// Header fields as they came.
    pub headers: Vec<(String, String)>,
    /// Where it came from: the TCP peer, or the client behind trusted proxies if that is known already.
    pub client: Option<IpAddr>,
    /// The body.
    pub body: Bytes,
    /// When it arrived; without it, now.
    pub received_at: Option<Timestamp>,
    /// Whether it was kept by readhook, which leaves credentials out.
    pub kept: bool,
}

/// What cannot be explained.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// No such vendor.
    #[error("vendor: one of easemob, tencent, openim, rongcloud, rongcloud/relay")]
    NoSuchVendor,
    /// The vendor has no app in the configuration.
    #[error("no app of {0} is configured, so there is nothing to explain it with")]
    NotConfigured(String),
    /// Path and query are none.
    #[error("path, query: not what the head of an HTTP request can hold")]
    Target,
    /// A header field is none.
    #[error("headers: `{0}` is not what the head of an HTTP request can hold")]
    Header(String),
}

/// The words for vendors, which are their routes.
const WORDS: [&str; 5] = ["easemob", "tencent", "openim", "rongcloud", "rongcloud/relay"];

impl Capture {
    /// Explains it for a vendor, `rongcloud/relay` among them, as the service with this configuration would take it.
    ///
    /// # Errors
    /// When there is no such vendor or it has no app, and when this is nothing that HTTP could have brought.
    pub fn explain(
        self,
        vendors: &Vendors,
        vendor: &str,
        server: &ServerConfig,
        now: Timestamp,
    ) -> Result<Explanation, CaptureError> {
        if !WORDS.contains(&vendor) {
            return Err(CaptureError::NoSuchVendor);
        }
        let routes = vendors.routes();
        let route = routes.iter().find(|route| route.path == vendor);
        let route = route.ok_or_else(|| CaptureError::NotConfigured(vendor.to_owned()))?;
        let (path, prefix) = whole(&self.path, route);
        // The path may say that it is another route of the same vendor.
        let below = path.strip_prefix(PREFIX).unwrap_or_default();
        let by_path =
            routes.iter().find(|other| other.path == below && other.vendor.name() == route.vendor.name());
        let route = by_path.unwrap_or(route);
        let query = self.query.trim_start_matches('?');
        let (path, query) = path.split_once('?').unwrap_or((&path, query));
        let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        let uri = Uri::try_from(target).map_err(|_| CaptureError::Target)?;
        let mut headers = HeaderMap::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            let bad = || CaptureError::Header(name.clone());
            let value = HeaderValue::from_str(value).map_err(|_| bad())?;
            headers.append(HeaderName::try_from(name.as_str()).map_err(|_| bad())?, value);
        }
        let peer = self.client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let request = Incoming {
            tail_at: (PREFIX.len() + route.path.len()).min(uri.path().len()),
            uri,
            client: client(peer, &headers, &server.trusted_proxies),
            headers,
            body: self.body,
            received_at: self.received_at.unwrap_or(now),
        };
        let circumstances = Circumstances {
            route,
            prefix: &prefix,
            as_of_now: self.received_at.is_none(),
            from_nowhere: self.client.is_none(),
            kept: self.kept,
            body_limit: server.body_limit_bytes,
        };
        Ok(explain(vendors, &request, &circumstances))
    }
}

/// The path from `/webhooks/` on, and what stood in front of that.
fn whole(path: &str, route: &Route) -> (String, String) {
    // Somebody may paste the whole URL.
    let path = match path.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
            rest.find(['/', '?']).and_then(|at| rest.get(at..)).unwrap_or_default()
        }
        Some(_) | None => path,
    };
    if let Some(at) = path.find(PREFIX) {
        let (prefix, whole) = path.split_at(at);
        return (whole.to_owned(), prefix.to_owned());
    }
    let slash = if path.is_empty() || path.starts_with(['/', '?']) { "" } else { "/" };
    (format!("{PREFIX}{}{slash}{path}", route.path), String::new())
}
