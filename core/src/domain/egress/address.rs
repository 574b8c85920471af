//! Which IP addresses deliveries may reach: the public ones, and what the operator allows.
//!
//! Sources: IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890), IANA IPv6 Address Space (RFC 4291).

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::{Ipv4Net, Ipv6Net};

use super::EgressPolicy;

/// Addresses where clouds hand credentials to whoever asks from inside.
const METADATA: [IpAddr; 12] = [
    v4(169, 254, 169, 254), // AWS, Azure, Google, Oracle, DigitalOcean and most others
    v4(169, 254, 170, 2),   // AWS ECS
    v4(169, 254, 170, 23),  // AWS EKS
    v4(169, 254, 42, 42),   // Scaleway
    v4(169, 254, 0, 23),    // Tencent
    v4(168, 63, 129, 16),   // Azure; a public address
    v4(100, 100, 100, 200), // Alibaba
    v4(192, 0, 0, 192),     // Oracle
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]), // AWS
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23]), // AWS EKS
    v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254]), // Google
    v6([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42]), // Scaleway
];

/// What is special in IPv4, by the registry, and multicast (RFC 5771).
const SPECIAL_V4: [Ipv4Net; 18] = [
    net4([0, 0, 0, 0], 8),       // "this network", RFC 791
    net4([10, 0, 0, 0], 8),      // private, RFC 1918
    net4([100, 64, 0, 0], 10),   // carriers' shared space, RFC 6598
    net4([127, 0, 0, 0], 8),     // loopback, RFC 1122
    net4([169, 254, 0, 0], 16),  // link-local, RFC 3927
    net4([172, 16, 0, 0], 12),   // private, RFC 1918
    net4([192, 0, 0, 0], 24),    // protocol assignments, RFC 6890
    net4([192, 0, 2, 0], 24),    // documentation, RFC 5737
    net4([192, 31, 196, 0], 24), // AS112, RFC 7535
    net4([192, 52, 193, 0], 24), // AMT, RFC 7450
    net4([192, 88, 99, 0], 24),  // 6to4 relays, RFC 7526
    net4([192, 168, 0, 0], 16),  // private, RFC 1918
    net4([192, 175, 48, 0], 24), // AS112, RFC 7534
    net4([198, 18, 0, 0], 15),   // benchmarks, RFC 2544
    net4([198, 51, 100, 0], 24), // documentation, RFC 5737
    net4([203, 0, 113, 0], 24),  // documentation, RFC 5737
    net4([224, 0, 0, 0], 4),     // multicast, RFC 5771
    net4([240, 0, 0, 0], 4),     // reserved and broadcast, RFC 1112
];

/// The only part of IPv6 that is given out as global unicast.
const GLOBAL_V6: Ipv6Net = net6([0x2000, 0, 0], 3);
/// What is special inside it. 6to4 and Teredo never come this far: they are judged by the addresses inside.
const SPECIAL_V6: [Ipv6Net; 4] = [
    net6([0x2001, 0, 0], 23),         // protocol assignments, RFC 2928
    net6([0x2001, 0xdb8, 0], 32),     // documentation, RFC 3849
    net6([0x2620, 0x4f, 0x8000], 48), // AS112, RFC 7534
    net6([0x3fff, 0, 0], 20),         // documentation, RFC 9637
];

/// An address that deliveries may not reach. Its words are for operators: a tenant must not learn what a name
/// resolved to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} is {fault}")]
pub struct AddressRefused {
    pub address: IpAddr,
    pub fault: AddressFault,
}

/// Why an address is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressFault {
    /// A cloud's metadata service.
    Metadata,
    /// Private, loopback, link-local, reserved, multicast or otherwise special.
    NotPublic,
}

impl fmt::Display for AddressFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Metadata => "a cloud's metadata address",
            Self::NotPublic => "not a public address",
        })
    }
}

impl EgressPolicy {
    /// Judges the address that is about to be dialled. An IPv4 address inside an IPv6 one is judged as itself.
    ///
    /// # Errors
    /// When deliveries may not reach it.
    pub fn judge_address(&self, address: IpAddr) -> Result<(), AddressRefused> {
        let inside = match address {
            IpAddr::V4(_) => Inside::Itself,
            IpAddr::V6(outer) => Inside::of(outer),
        };
        let judged = match inside {
            Inside::Itself => self.judge_plain(address),
            Inside::One(v4) => self.judge_plain(v4.into()),
            Inside::Both(one, other) => self.judge_plain(one.into()).and_then(|()| self.judge_plain(other.into())),
        };
        judged.map_err(|fault| AddressRefused { address, fault })
    }

    /// Whether the operator opened this machine itself to deliveries.
    #[must_use]
    pub fn allows_loopback(&self) -> bool {
        self.allow
            .iter()
            .any(|net| net.contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)) || net.contains(&IpAddr::V6(Ipv6Addr::LOCALHOST)))
    }

    fn judge_plain(&self, address: IpAddr) -> Result<(), AddressFault> {
        let mut allowing = self.allow.iter().filter(|net| net.contains(&address));
        if METADATA.contains(&address) {
            let named = allowing.any(|net| net.prefix_len() == net.max_prefix_len());
            return if named { Ok(()) } else { Err(AddressFault::Metadata) };
        }
        let public = match address {
            IpAddr::V4(v4) => !SPECIAL_V4.iter().any(|net| net.contains(&v4)),
            IpAddr::V6(v6) => GLOBAL_V6.contains(&v6) && !SPECIAL_V6.iter().any(|net| net.contains(&v6)),
        };
        if public || allowing.next().is_some() { Ok(()) } else { Err(AddressFault::NotPublic) }
    }
}

/// The IPv4 addresses that a packet to an IPv6 address may end at.
enum Inside {
    Itself,
    One(Ipv4Addr),
    /// Teredo: the client's, and the server's through which it is reached.
    Both(Ipv4Addr, Ipv4Addr),
}

impl Inside {
    fn of(outer: Ipv6Addr) -> Self {
        let octets = outer.octets();
        let v4_at =
            |place: usize| Ipv4Addr::new(octets[place], octets[place + 1], octets[place + 2], octets[place + 3]);
        match outer.segments() {
            // ::1 and :: are themselves, RFC 4291 §2.5.2 and §2.5.3.
            [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Self::Itself,
            // Compatible (RFC 4291 §2.5.5.1), mapped (§2.5.5.2), SIIT (RFC 2765 §2.1).
            [0, 0, 0, 0, 0, 0 | 0xffff, _, _] | [0, 0, 0, 0, 0xffff, 0, _, _] => Self::One(v4_at(12)),
            // NAT64, RFC 6052 §2.1, and the /96 at the start of its local prefix, RFC 8215. Elsewhere in that prefix
            // the place of the address is the network's secret, so there it is refused unless allowed as IPv6.
            [0x64, 0xff9b, 0 | 1, 0, 0, 0, _, _] => Self::One(v4_at(12)),
            // 6to4, RFC 3056 §2.
            [0x2002, ..] => Self::One(v4_at(2)),
            // Teredo, RFC 4380 §4: the client's address is stored inverted.
            [0x2001, 0, ..] => Self::Both(Ipv4Addr::from_bits(!v4_at(12).to_bits()), v4_at(4)),
            _ => Self::Itself,
        }
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

const fn v6(s: [u16; 8]) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]))
}

const fn net4(octets: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::from_octets(octets), prefix)
}

const fn net6(start: [u16; 3], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(start[0], start[1], start[2], 0, 0, 0, 0, 0), prefix)
}
