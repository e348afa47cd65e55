//! Who the client is, behind proxies that are trusted and in spite of those that are not.

use std::net::IpAddr;
use std::sync::Once;

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

/// Whom wrong tokens are counted for: the client. `None` where nobody can tell one client from another: behind a proxy that nobody
/// has listed. Only a peer inside can be that; a public one that sends the header counts as itself.
pub(crate) fn guesser(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> Option<IpAddr> {
    static WARNED: Once = Once::new();
    let peer = peer.to_canonical();
    let listed = trusted.iter().any(|network| network.contains(peer));
    if !listed && is_inside(peer) && headers.contains_key("x-forwarded-for") {
        WARNED.call_once(|| {
            tracing::warn!(
                "{peer} sends X-Forwarded-For and is not in server.trusted_proxies: its clients share one address, so wrong \
                 tokens are not throttled; list the proxy there"
            );
        });
        return None;
    }
    Some(client(peer, headers, trusted))
}

/// Loopback, private and shared addresses: no client on the Internet has one.
fn is_inside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            address.is_loopback()
                || address.is_private()
                || address.is_link_local()
                // RFC 6598, which clouds use for their load balancers.
                || (first == 100 && (64..128).contains(&second))
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
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
    fn guesses_behind_an_unlisted_proxy_are_nobodys_and_a_public_peer_cannot_claim_to_be_one() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let ask = |peer: &str, forwarded: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(forwarded) = forwarded {
                headers.append("x-forwarded-for", forwarded.parse().unwrap());
            }
            guesser(peer.parse().unwrap(), &headers, &trusted).map(|address| address.to_string())
        };
        for inside in [
            "127.0.0.1",
            "::1",
            "192.168.1.1",
            "172.16.0.1",
            "100.64.0.9",
            "169.254.1.1",
            "fd00::1",
            "fe80::1",
        ] {
            assert_eq!(ask(inside, Some("198.51.100.7")), None, "{inside}");
            assert_eq!(ask(inside, None).as_deref(), Some(inside));
        }
        for public in ["198.51.100.1", "2001:db8::1", "100.128.0.1", "172.32.0.1"] {
            assert_eq!(ask(public, Some("198.51.100.7")).as_deref(), Some(public));
        }
        assert_eq!(ask("10.0.0.1", Some("198.51.100.7")).as_deref(), Some("198.51.100.7"), "a listed proxy");
        assert_eq!(ask("::ffff:127.0.0.1", Some("198.51.100.7")), None);
    }

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
