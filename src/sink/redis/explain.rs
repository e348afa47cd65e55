//! What an error means to an operator, and what to do about it. Nothing here is told of a receipt or of a password.

use redis::{ConnectionInfo, ErrorKind, RedisError};

use crate::sink::BoxError;

/// What is wrong between the sink and its server.
pub(super) fn error(error: &RedisError, stream: &str, nodes: &[ConnectionInfo]) -> BoxError {
    if error.kind() == ErrorKind::AuthenticationFailed {
        return format!("{} refused the user or the password of the sink's `url`", addresses(nodes)).into();
    }
    let Some(code) = error.code() else {
        return format!("{}: {error}", addresses(nodes)).into();
    };
    let todo = match code {
        "WRONGTYPE" => return wrong_type(stream),
        "NOAUTH" => "put a user and a password into the sink's `url`",
        "WRONGPASS" => "correct the user and the password in the sink's `url`",
        "NOPERM" => {
            "give the sink's user the commands ping, type, multi, xadd, exec, discard and wait, and the stream's key"
        }
        "OOM" => "raise the server's `maxmemory`, make room, or bound the stream by `maxlen`",
        "READONLY" => "it is a replica; let the sink's `url` name the primary",
        "LOADING" => "it is still reading its data, and will be ready by itself",
        "CLUSTERDOWN" | "MASTERDOWN" | "TRYAGAIN" => "look at the cluster's nodes and slots",
        "MOVED" | "ASK" => "where it is part of a cluster, the sink wants `cluster = true`",
        "MISCONF" => "it cannot write to its disk; its own log says why",
        "NOREPLICAS" => "its `min-replicas-to-write` asks for more replicas than it has",
        _ => "see its documentation",
    };
    // Of a command that it does not know, a server repeats the arguments.
    let details = error.detail().and_then(|detail| detail.split(", with args").next()).unwrap_or_default();
    format!("{} answered {code} ({details}): {todo}", addresses(nodes)).into()
}

/// The stream's key is not a stream.
pub(super) fn wrong_type(stream: &str) -> BoxError {
    format!("the key `{stream}` holds something else (WRONGTYPE); give the sink a key of its own").into()
}

/// Where the servers are, without what is secret of their URLs.
pub(super) fn addresses(nodes: &[ConnectionInfo]) -> String {
    let addresses: Vec<String> = nodes.iter().map(|node| format!("`{}`", node.addr())).collect();
    addresses.join(", ")
}
