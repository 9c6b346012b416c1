//! Which addresses may be asked: decided on the resolved address, so that no name can lead to the inside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::network::Egress;

/// An address is refused by [`Egress::PublicOnly`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{host}` leads to {address}, an address that is not public")]
pub(super) struct EgressRefused {
    host: String,
    address: IpAddr,
}

/// Resolves names by the system and leaves out the addresses that are refused.
#[derive(Clone, Debug)]
pub(super) struct GuardedResolver {
    egress: Arc<Egress>,
}

impl GuardedResolver {
    pub(super) fn new(egress: Egress) -> Self {
        Self {
            egress: Arc::new(egress),
        }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let egress = Arc::clone(&self.egress);
        Box::pin(async move {
            let host = name.as_str();
            let resolved: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            let (allowed, refused): (Vec<_>, Vec<_>) = resolved
                .into_iter()
                .partition(|address| egress.allows(host, address.ip()));
            match (allowed.is_empty(), refused.first()) {
                (true, Some(address)) => Err(EgressRefused {
                    host: host.to_owned(),
                    address: address.ip(),
                }
                .into()),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

impl Egress {
    /// A URL whose host is an address is resolved by nobody, so it is looked at by itself.
    pub(super) fn check(&self, url: &Url) -> Result<(), EgressRefused> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        let host = url.host_str().unwrap_or_default();
        if self.allows(host, address) {
            return Ok(());
        }
        Err(EgressRefused {
            host: host.to_owned(),
            address,
        })
    }

    fn allows(&self, host: &str, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::PublicOnly { allowed } => {
                is_public(address)
                    || allowed
                        .iter()
                        .any(|entry| entry.eq_ignore_ascii_case(host) || is_within(address, entry))
            }
        }
    }
}

/// Whether an address is in a network such as `10.1.0.0/16`, or is the address itself.
fn is_within(address: IpAddr, network: &str) -> bool {
    let (base, length) = match network.split_once('/') {
        Some((base, length)) => (base, length.parse::<u32>().ok()),
        None => (network, Some(u32::MAX)),
    };
    let (Ok(base), Some(length)) = (base.parse::<IpAddr>(), length) else {
        return false;
    };
    match (address, base) {
        (IpAddr::V4(address), IpAddr::V4(base)) => {
            let shift = 32 - length.min(32);
            let mask = u32::MAX.checked_shl(shift).unwrap_or(0);
            address.to_bits() & mask == base.to_bits() & mask
        }
        (IpAddr::V6(address), IpAddr::V6(base)) => {
            let shift = 128 - length.min(128);
            let mask = u128::MAX.checked_shl(shift).unwrap_or(0);
            address.to_bits() & mask == base.to_bits() & mask
        }
        _ => false,
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match embedded_v4(address) {
            Some(embedded) => is_public_v4(embedded),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    let is_special = address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_multicast()
        || first == 0
        // Shared address space of carriers, protocol assignments, benchmarking, reserved.
        || (first == 100 && (64..128).contains(&second))
        || (first == 192 && second == 0 && third == 0)
        || (first == 198 && (18..20).contains(&second))
        || first >= 240;
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let is_special = address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_unique_local()
        || address.is_unicast_link_local()
        // Site-local (deprecated), documentation, Teredo and other protocol assignments, discard-only.
        || (first & 0xffc0) == 0xfec0
        || (first == 0x2001 && (second == 0x0db8 || second < 0x0200))
        || first == 0x3fff
        || first == 0x0100;
    !is_special
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, translated (NAT64), 6to4.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let from = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match segments {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x0064, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(from(high, low)),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(from(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allowed: &[&str]) -> Egress {
        Egress::PublicOnly {
            allowed: allowed.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn addresses_of_the_inside_are_not_public() {
        for address in [
            "127.0.0.1",
            "127.9.9.9",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "255.255.255.255",
            "100.64.0.1",
            "198.18.0.1",
            "192.0.0.8",
            "224.0.0.1",
            "240.0.0.1",
            "192.0.2.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "2001:db8::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "::127.0.0.1",
            "fec0::1",
            "2001::1",
            "100::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn addresses_of_the_outside_are() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "198.20.0.1",
            "2606:4700::1111",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "2002:808:808::",
        ] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn what_is_allowed_by_name_or_network_is_not_refused() {
        let inside = "10.1.2.3".parse().unwrap();
        for (allowed, is_allowed) in [
            (&["db.internal"][..], true),
            (&["DB.INTERNAL"], true),
            (&["10.1.0.0/16"], true),
            (&["10.1.2.3"], true),
            (&["10.2.0.0/16", "other.internal"], false),
            (&["10.1.0.0/x"], false),
            (&["0.0.0.0/0"], true),
            (&[], false),
        ] {
            assert_eq!(
                guard(allowed).allows("db.internal", inside),
                is_allowed,
                "{allowed:?}"
            );
        }
        assert!(Egress::Any.allows("db.internal", inside));
        assert!(guard(&["fd00::/8"]).allows("x", "fd12::1".parse().unwrap()));
    }

    #[test]
    fn a_url_that_names_an_address_is_checked_however_it_is_written() {
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://[::1]:8080/",
            "http://[::ffff:10.0.0.1]/",
        ] {
            let url = Url::parse(url).unwrap();
            assert!(guard(&[]).check(&url).is_err(), "{url}");
            assert!(Egress::Any.check(&url).is_ok());
        }
        assert!(
            guard(&[])
                .check(&Url::parse("http://8.8.8.8/").unwrap())
                .is_ok()
        );
    }

    #[tokio::test]
    async fn a_name_that_leads_to_the_inside_is_refused() {
        let resolver = GuardedResolver::new(guard(&[]));
        let Err(refused) = resolver.resolve("localhost".parse().unwrap()).await else {
            panic!("localhost is not public")
        };
        assert!(refused.to_string().contains("not public"), "{refused}");
        // Whoever gets it looks for its type.
        assert!(refused.is::<EgressRefused>(), "{refused:?}");
    }
}
