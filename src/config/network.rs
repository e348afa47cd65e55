//! An address range: CIDR, or a single address.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Deserializer, de};

/// How much of an IPv6 address says that there is an IPv4 address in the rest.
const MAPPED_PREFIX: u8 = 96;

/// A range of addresses. IPv4 addresses that come mapped into IPv6 count as IPv4, in a request and in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    /// Whether the address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// Whether some address is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.0.contains(&other.0) || other.0.contains(&self.0)
    }
}

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const NONE: &str = "not an address or a CIDR range such as 10.0.0.0/8";
        let network = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => text.parse().map_err(|_| NONE)?,
        };
        let IpNet::V6(mapped) = network else { return Ok(Self(network)) };
        let Some(address) = mapped.addr().to_ipv4_mapped() else { return Ok(Self(network)) };
        // Clients count as IPv4, so as IPv6 this would match nobody.
        let length = mapped.prefix_len().checked_sub(MAPPED_PREFIX).ok_or(
            "an IPv4 range that is written as IPv6 has a prefix of 96 or more, as ::ffff:10.0.0.0/104; or write 10.0.0.0/8",
        )?;
        Ipv4Net::new(address, length).map(|network| Self(network.into())).map_err(|_| NONE)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_range_may_be_written_as_ipv6() {
        for (range, inside, outside) in [
            ("::ffff:203.0.113.0/120", "203.0.113.7", "203.0.114.1"),
            ("::ffff:203.0.113.9", "203.0.113.9", "203.0.113.8"),
            ("::ffff:0:0/96", "192.0.2.1", "2001:db8::1"),
            ("0:0:0:0:0:ffff:cb00:7100/120", "::ffff:203.0.113.7", "::ffff:203.0.114.7"),
            ("2001:db8::/32", "2001:db8::1", "192.0.2.1"),
        ] {
            let network: Network = range.parse().unwrap();
            assert!(network.contains(inside.parse().unwrap()), "{range} {inside}");
            assert!(!network.contains(outside.parse().unwrap()), "{range} {outside}");
        }
        let both: [Network; 2] = ["::ffff:10.0.0.0/104", "10.1.0.0/16"].map(|range| range.parse().unwrap());
        assert!(both[0].overlaps(&both[1]));
        assert!("::ffff:10.0.0.0/95".parse::<Network>().is_err());
    }
}
