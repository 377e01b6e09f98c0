//! Networks: those that count as inside, and the addresses that nobody may dial.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Addresses at which clouds serve credentials and configuration to whoever asks from the machine.
/// No model is served there.
const METADATA: [IpAddr; 8] = [
    // AWS, Azure, GCP, DigitalOcean, OpenStack and others.
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    // Credentials of AWS's containers, and of its Kubernetes pods.
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    // Azure's host agent.
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    // Alibaba Cloud.
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    // Oracle Cloud.
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    // AWS, and GCP.
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254)),
];

/// Networks that the operator calls inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Networks {
    ranges: Vec<IpNet>,
    declared: bool,
}

/// Text that is no network.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no network: write it like 10.0.0.0/8, fd00::/8 or 192.0.2.7")]
pub struct NetworkError {
    /// Where it stands in the list, from 0.
    pub index: usize,
    /// The text.
    pub text: String,
}

impl Networks {
    /// What nobody else can route to: loopback, RFC 1918, and IPv6's unique local addresses
    /// (RFC 4193). Link-local and carrier-grade ranges are not among them: clouds serve
    /// credentials there, and providers share them between customers.
    pub fn private() -> Self {
        let v4 = [
            (Ipv4Addr::new(127, 0, 0, 0), 8),
            (Ipv4Addr::new(10, 0, 0, 0), 8),
            (Ipv4Addr::new(172, 16, 0, 0), 12),
            (Ipv4Addr::new(192, 168, 0, 0), 16),
        ];
        let v6 = [
            (Ipv6Addr::LOCALHOST, 128),
            (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7),
        ];
        let v4 = v4.map(|(address, bits)| IpNet::V4(Ipv4Net::new_assert(address, bits)));
        let v6 = v6.map(|(address, bits)| IpNet::V6(Ipv6Net::new_assert(address, bits)));
        Self {
            ranges: v4.into_iter().chain(v6).collect(),
            declared: false,
        }
    }

    /// The operator's own list: ranges with a prefix length, or single addresses.
    ///
    /// # Errors
    /// The first text that is neither.
    pub fn declared<T: AsRef<str>>(texts: &[T]) -> Result<Self, NetworkError> {
        let ranges = texts.iter().enumerate().map(|(index, text)| {
            let text = text.as_ref().trim();
            let range = text.parse::<IpNet>().ok();
            let range = range.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
            range.ok_or_else(|| NetworkError {
                index,
                text: text.to_owned(),
            })
        });
        Ok(Self {
            ranges: ranges.collect::<Result<_, _>>()?,
            declared: true,
        })
    }

    /// Whether the operator wrote the list, rather than leaving it at the private ranges.
    pub fn are_declared(&self) -> bool {
        self.declared
    }

    /// Whether an address lies in one of them. `::ffff:10.0.0.1` is 10.0.0.1.
    pub fn hold(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.ranges.iter().any(|range| range.contains(&address))
    }
}

impl Default for Networks {
    fn default() -> Self {
        Self::private()
    }
}

/// Why an address is dialled for nobody, whatever the configuration says.
pub(crate) fn never(address: IpAddr) -> Option<&'static str> {
    let address = plain(address);
    if METADATA.contains(&address) {
        return Some("a cloud serves credentials there");
    }
    if address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Some("it is no single machine's address");
    }
    None
}

/// Whether an address is this machine's own or this link's: no vendor's, whatever its name server
/// says.
pub(crate) fn is_own(address: IpAddr) -> bool {
    match plain(address) {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local() || v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified(),
    }
}

/// The IPv4 address that an IPv6 address carries through a translator (mapped, NAT64, 6to4, the old
/// compatible form), or the address itself.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address.to_canonical() else {
        return address.to_canonical();
    };
    let from = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => from(high, low),
        // Below 2^16 lie `::` and `::1`, which mean what they say.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => from(high, low),
        _ => IpAddr::V6(v6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn private_ranges_end_where_they_end() {
        let private = Networks::private();
        for inside in [
            "127.0.0.1",
            "127.255.255.255",
            "10.0.0.0",
            "10.255.255.255",
            "172.16.0.0",
            "172.31.255.255",
            "192.168.0.1",
            "::1",
            "fc00::1",
            "fdff::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(private.hold(ip(inside)), "{inside}");
        }
        for outside in [
            "0.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "100.64.0.1",
            "169.254.1.1",
            "126.255.255.255",
            "128.0.0.0",
            "::",
            "::2",
            "fe80::1",
            "fbff::1",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
            "::10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
        ] {
            assert!(!private.hold(ip(outside)), "{outside}");
        }
    }

    #[test]
    fn declared_ranges_replace_the_private_ones() {
        let networks =
            Networks::declared(&["203.0.113.0/24", " 198.51.100.7 ", "2001:db8::/32"]).unwrap();
        assert!(networks.are_declared());
        for (text, held) in [
            ("203.0.113.255", true),
            ("203.0.114.0", false),
            ("198.51.100.7", true),
            ("198.51.100.8", false),
            ("2001:db8:ffff::1", true),
            ("10.0.0.1", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(networks.hold(ip(text)), held, "{text}");
        }
        let error = Networks::declared(&["10.0.0.0/8", "10.0.0.0/33"]).unwrap_err();
        assert_eq!((error.index, error.text.as_str()), (1, "10.0.0.0/33"));
    }

    #[test]
    fn metadata_services_are_known_in_every_disguise() {
        for address in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "::169.254.169.254",
            "fd00:ec2::254",
            "fd20:ce::254",
            "169.254.170.2",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
        ] {
            assert!(never(ip(address)).is_some(), "{address}");
        }
        for address in [
            "169.254.169.253",
            "10.0.0.1",
            "::1",
            "fd00:ec2::253",
            "1.1.1.1",
            "127.0.0.1",
        ] {
            assert_eq!(never(ip(address)), None, "{address}");
        }
    }

    #[test]
    fn this_machine_is_known_in_every_disguise() {
        for address in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.1.1",
            "::",
            "::1",
            "fe80::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "::127.0.0.1",
        ] {
            assert!(is_own(ip(address)), "{address}");
        }
        for address in ["10.0.0.1", "fd00::1", "1.1.1.1", "2606:4700::1111"] {
            assert!(!is_own(ip(address)), "{address}");
        }
    }
}
