//! What goes to the upstream and what comes back: as it came, but for what belongs to a single connection.

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::{PathAndQuery, Uri};

use crate::vendor::Incoming;

/// Fields that say something about one connection: <https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1>
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("proxy-authorization"),
];

/// Where a callback goes: the upstream's own address, and of the callback its raw query and, behind it, the command that
/// OpenIM puts at the end of its path. Nothing else of the path, and nothing of the host.
pub(super) fn target(upstream: &Uri, request: &Incoming) -> Option<Uri> {
    let mut path = upstream.path().to_owned();
    if let Some(command) = last_command(request.tail()) {
        path.truncate(path.trim_end_matches('/').len());
        path.push('/');
        path.push_str(command);
    }
    if let Some(query) = request.uri.query() {
        path.push('?');
        path.push_str(query);
    }
    let mut parts = upstream.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
    Uri::from_parts(parts).ok()
}

/// `callbackBeforeSendSingleMsgCommand` and the like; anything else at the end of a path may be a token.
fn last_command(tail: &str) -> Option<&str> {
    let last = tail.rsplit('/').find(|segment| !segment.is_empty())?;
    let rest = last.strip_prefix("callback")?;
    (rest.starts_with(|c: char| c.is_ascii_uppercase())
        && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    .then_some(last)
}

/// The fields that go on to the other side, in their order.
pub(super) fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<String> = (headers.get_all(CONNECTION).iter())
        .filter_map(|value| value.to_str().ok())
        .flat_map(|names| names.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let mut kept = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        // The client writes these two itself, from where it connects to and from what it sends.
        let own = *name == HOST || *name == CONTENT_LENGTH;
        if !own && !HOP_BY_HOP.contains(name) && !named.iter().any(|named| named == name.as_str()) {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}
