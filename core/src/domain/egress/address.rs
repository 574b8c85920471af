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

#[cfg(test)]
mod tests {
    use ipnet::IpNet;
    use proptest::prelude::{any, proptest};

    use super::*;

    fn judge(policy: &EgressPolicy, text: &str) -> Result<(), AddressFault> {
        policy.judge_address(text.parse().unwrap()).map_err(|refused| refused.fault)
    }

    fn allowing(nets: &[&str]) -> EgressPolicy {
        EgressPolicy { allow: nets.iter().map(|net| net.parse().unwrap()).collect(), ports_allowed: Vec::new() }
    }

    #[test]
    fn public_addresses_pass() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00:1450:4001:81b::200e",
            "2001:200::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
        ] {
            assert_eq!(judge(&EgressPolicy::default(), text), Ok(()), "{text}");
        }
    }

    #[test]
    fn special_addresses_are_refused_in_every_form() {
        for text in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.1.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::10.0.0.1",
            "64:ff9b:1:a00:0:100:808:808",
            "2002:7f00:1::",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "3fff::1",
            "2620:4f:8000::1",
            "100::1",
            "5f00::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
        ] {
            assert_eq!(judge(&EgressPolicy::default(), text), Err(AddressFault::NotPublic), "{text}");
        }
    }

    #[test]
    fn metadata_is_refused_unless_the_operator_names_that_very_address() {
        let wide = allowing(&["0.0.0.0/0", "::/0"]);
        for address in METADATA {
            let text = address.to_string();
            assert_eq!(judge(&EgressPolicy::default(), &text), Err(AddressFault::Metadata), "{text}");
            assert_eq!(judge(&wide, &text), Err(AddressFault::Metadata), "{text}");
            assert_eq!(judge(&allowing(&[&IpNet::from(address).to_string()]), &text), Ok(()), "{text}");
        }
        assert_eq!(judge(&wide, "::ffff:169.254.169.254"), Err(AddressFault::Metadata));
        assert_eq!(judge(&wide, "::a83f:8110"), Err(AddressFault::Metadata));
    }

    #[test]
    fn a_network_that_the_operator_allows_is_no_wider_than_it_says() {
        let policy = allowing(&["127.0.0.0/8", "fd00:1::/32"]);
        assert!(policy.allows_loopback());
        for text in ["127.0.0.1", "127.9.9.9", "::ffff:127.0.0.1", "fd00:1::5"] {
            assert_eq!(judge(&policy, text), Ok(()), "{text}");
        }
        for text in ["::1", "10.0.0.1", "fd00:2::5", "0.0.0.0"] {
            assert!(judge(&policy, text).is_err(), "{text}");
        }
        assert_eq!(judge(&allowing(&["::1/128"]), "::1"), Ok(()));
    }

    #[test]
    fn teredo_is_judged_by_its_client_and_its_server() {
        let teredo = |server: [u8; 4], client: [u8; 4]| {
            let (server, client) = (u32::from_be_bytes(server), !u32::from_be_bytes(client));
            IpAddr::V6(Ipv6Addr::from((0x2001_0000_u128 << 96) | (u128::from(server) << 64) | u128::from(client)))
        };
        let judge = |server, client| EgressPolicy::default().judge_address(teredo(server, client)).is_ok();
        assert!(judge([8, 8, 8, 8], [9, 9, 9, 9]));
        assert!(!judge([8, 8, 8, 8], [10, 0, 0, 1]));
        assert!(!judge([10, 0, 0, 1], [9, 9, 9, 9]));
    }

    proptest! {
        #[test]
        fn an_ipv4_address_inside_an_ipv6_one_is_judged_as_itself(bits: u32, low: u64, low16: u16) {
            let policy = allowing(&["127.0.0.0/8"]);
            let plain = policy.judge_address(Ipv4Addr::from(bits).into()).map_err(|refused| refused.fault);
            let v4 = u128::from(bits);
            let forms = [
                v4 | (0xffff << 32),
                v4 | (0xffff << 48),
                v4 | (0x0064_ff9b_u128 << 96),
                v4 | (0x0064_ff9b_0001_u128 << 80),
                (0x2002_u128 << 112) | (v4 << 80) | (u128::from(low16) << 64) | u128::from(low),
                (0x2001_0000_u128 << 96) | (0x0808_0808 << 64) | (u128::from(low16) << 32) | u128::from(!bits),
            ];
            // ::0.0.0.0 and ::0.0.0.1 are `::` and `::1`.
            for form in forms.into_iter().chain((bits > 1).then_some(v4)) {
                let form = Ipv6Addr::from(form);
                let judged = policy.judge_address(form.into()).map_err(|refused| refused.fault);
                assert_eq!(judged, plain, "{form}");
            }
        }

        #[test]
        fn nothing_outside_global_unicast_passes_but_by_the_ipv4_address_inside(bits: u128) {
            let address = Ipv6Addr::from(bits);
            let passes = EgressPolicy::default().judge_address(address.into()).is_ok();
            let holds_v4 = !matches!(Inside::of(address), Inside::Itself);
            assert!(!passes || GLOBAL_V6.contains(&address) || holds_v4);
        }

        #[test]
        fn every_address_is_judged(address in any::<IpAddr>()) {
            let judged = EgressPolicy::default().judge_address(address);
            assert!(judged.is_ok() || judged.is_err_and(|refused| refused.address == address));
        }
    }
}
