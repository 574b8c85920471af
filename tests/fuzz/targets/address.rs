//! Addresses that are dialled: each is judged, and the forms in IPv6 of an IPv4 address as that address.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libfuzzer_sys::fuzz_target;
use postrider_core::domain::egress::EgressPolicy;

fuzz_target!(|bits: (u32, u128)| {
    let (v4, v6) = (Ipv4Addr::from(bits.0), Ipv6Addr::from(bits.1));
    let policy = EgressPolicy::default();
    let passes = |address: IpAddr| policy.judge_address(address).is_ok();
    let plain = passes(v4.into());
    assert!(!plain || !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast()));
    assert_eq!(passes(v4.to_ipv6_mapped().into()), plain);
    if let Some(inside) = v6.to_ipv4_mapped() {
        assert_eq!(passes(v6.into()), passes(inside.into()));
    } else if passes(v6.into()) {
        assert!(!(v6.is_loopback() || v6.is_unspecified() || v6.is_multicast()));
        assert!(!(v6.is_unique_local() || v6.is_unicast_link_local()));
    }
});
