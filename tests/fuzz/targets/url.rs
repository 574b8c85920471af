//! URLs of receivers: whatever passes is http, public by its address, and passes again as it is stored.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postrider_core::domain::egress::{EgressPolicy, EndpointUrl};
use url::{Host, Url};

fuzz_target!(|text: &str| {
    let policy = EgressPolicy::default();
    let Ok(kept) = EndpointUrl::parse(text, &policy) else { return };
    assert_eq!(EndpointUrl::parse(kept.as_str(), &policy).as_ref(), Ok(&kept));
    assert!(!kept.as_str().contains(|c: char| c.is_control() || c == ' '));
    let url = Url::parse(kept.as_str()).expect("a stored URL is read again");
    assert!(matches!(url.scheme(), "http" | "https"));
    assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
    let address = match url.host().expect("a host") {
        Host::Domain(name) => return assert!(!name.is_empty()),
        Host::Ipv4(address) => address.into(),
        Host::Ipv6(address) => address.into(),
    };
    assert_eq!(policy.judge_address(address), Ok(()));
});
