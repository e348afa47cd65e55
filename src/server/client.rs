//! Who the client is, behind proxies that are trusted and in spite of those that are not.

use std::net::IpAddr;

use axum::http::HeaderMap;

use crate::config::Network;

/// The TCP peer; or, if that is a trusted proxy, the right-most hop of `X-Forwarded-For` that is none. Whatever
/// stands left of that hop was written by someone nobody trusts. A hop that is no address ends the walk: the last
/// trusted one is then all that is known.
pub(crate) fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer.to_canonical();
    if !is_trusted(client) {
        return client;
    }
    let fields: Vec<&str> =
        headers.get_all("x-forwarded-for").iter().map(|field| field.to_str().unwrap_or_default()).collect();
    for hop in fields.iter().rev().flat_map(|field| field.rsplit(',')).map(str::trim) {
        // An empty element of a list is none: <https://www.rfc-editor.org/rfc/rfc9110#section-5.6.1>
        if hop.is_empty() {
            continue;
        }
        let Some(address) = address(hop) else { break };
        client = address.to_canonical();
        if !is_trusted(client) {
            break;
        }
    }
    client
}

/// An address as proxies write it: bare, with a port, or in brackets.
fn address(hop: &str) -> Option<IpAddr> {
    hop.parse()
        .ok()
        .or_else(|| hop.parse().ok().map(|with_port: std::net::SocketAddr| with_port.ip()))
        .or_else(|| {
            hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).and_then(|hop| hop.parse().ok())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_most_untrusted_hop_wins() {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let ask = |peer: &str, fields: &[&str]| {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append("x-forwarded-for", field.parse().unwrap());
            }
            client(peer.parse().unwrap(), &headers, &trusted).to_string()
        };
        assert_eq!(ask("192.0.2.1", &["198.51.100.7"]), "192.0.2.1", "an untrusted peer says what it likes");
        assert_eq!(ask("10.0.0.1", &["203.0.113.9, 198.51.100.7"]), "198.51.100.7");
        assert_eq!(ask("10.0.0.1", &["203.0.113.9", "198.51.100.7, 10.1.1.1"]), "198.51.100.7");
        assert_eq!(ask("10.0.0.1", &["198.51.100.7:4711"]), "198.51.100.7");
        assert_eq!(ask("10.0.0.1", &["[2001:db8::1]"]), "2001:db8::1");
        assert_eq!(ask("10.0.0.1", &["198.51.100.7, unknown, 10.1.1.1"]), "10.1.1.1");
        assert_eq!(ask("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(ask("10.0.0.1", &["198.51.100.7,"]), "198.51.100.7", "an empty element is none");
        assert_eq!(ask("10.0.0.1", &["203.0.113.9, 198.51.100.7, , ,"]), "198.51.100.7");
        assert_eq!(ask("10.0.0.1", &["198.51.100.7", ""]), "198.51.100.7");
        assert_eq!(ask("10.0.0.1", &["198.51.100.7", " ", "10.1.1.1"]), "198.51.100.7");
        assert_eq!(ask("10.0.0.1", &["", ","]), "10.0.0.1");
        assert_eq!(ask("::ffff:10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
    }
}
