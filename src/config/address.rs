//! Where to listen: an address and a port, or a name and a port.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

use serde::{Deserialize, Deserializer, de};

/// For a setting's `deserialize_with`.
pub(super) fn listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

/// `0.0.0.0:8080`, `[::1]:8080`, `localhost:8080`. `localhost` is 127.0.0.1 on every machine; other names are looked up, and the
/// first address counts, IPv4 before IPv6.
///
/// # Errors
/// What is wrong with it, without showing it.
pub(super) fn parse(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if text.contains("://") {
        return Err("an address and a port belong here, without `http://`".to_owned());
    }
    if text.parse::<IpAddr>().is_ok() || text.strip_prefix('[').is_some_and(|rest| rest.ends_with(']')) {
        return Err("the port is missing".to_owned());
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        let only_port = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let problem =
            if only_port { "the address before the port is missing" } else { "the port is missing" };
        return Err(problem.to_owned());
    };
    let port: u16 = match port.parse() {
        Ok(port) if port_is_plain(text) => port,
        Ok(_) | Err(_) => return Err("the port must be a number from 0 to 65535".to_owned()),
    };
    if host.is_empty() || host == "*" {
        return Err(
            "the address before the port is missing; for all of them that is 0.0.0.0, or [::]".to_owned()
        );
    }
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    if host.contains([':', '[', ']']) {
        return Err("an IPv6 address stands in brackets before the port, as in [::1]:8080".to_owned());
    }
    if host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err("an IPv4 address has four numbers from 0 to 255".to_owned());
    }
    if !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')) {
        return Err("not an address and a port".to_owned());
    }
    let found = (host, port).to_socket_addrs();
    let mut found: Vec<SocketAddr> = found.map_err(|_| "this machine knows no host of that name")?.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    found.into_iter().next().ok_or_else(|| "this machine knows no host of that name".to_owned())
}

/// `u16` takes a sign, too.
fn port_is_plain(text: &str) -> bool {
    text.rsplit(':').next().is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_or_said_to_be_wrong_in_words() {
        for (text, address) in [
            ("localhost:8080", "127.0.0.1:8080"),
            ("LocalHost:0", "127.0.0.1:0"),
            ("0.0.0.0:8080", "0.0.0.0:8080"),
            ("[::]:8080", "[::]:8080"),
        ] {
            assert_eq!(parse(text), Ok(address.parse().unwrap()), "{text}");
        }
        for (text, word) in [
            ("localhost", "port is missing"),
            ("10.0.0.1", "port is missing"),
            ("::1", "port is missing"),
            ("[::1]", "port is missing"),
            ("8080", "before the port"),
            (":8080", "0.0.0.0"),
            ("*:8080", "0.0.0.0"),
            ("localhost:70000", "65535"),
            ("localhost:+80", "65535"),
            ("localhost:http", "65535"),
            ("10.0.0.256:80", "0 to 255"),
            ("http://localhost:8080", "http://"),
            ("fe80::1%eth0:80", "brackets"),
            ("a b:80", "not an address"),
            ("", "missing"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
