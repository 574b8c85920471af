//! A lane's name in a list: linked to its page, and with the address of the endpoint that it belongs to.

use postrider_core::{
    domain::{
        Id,
        endpoint::Endpoint,
        lane::{Breaker, LaneName},
    },
    store::TenantEndpoints,
};
use url::Url;

/// Characters of an address in a list.
const ADDRESS_CHARS_MAX: usize = 48;

/// A lane, as lists name it.
pub(crate) struct LaneLabel {
    pub(crate) name: String,
    /// Host and path of its endpoint.
    pub(crate) to: Option<String>,
    /// Its endpoint is deleted, so that it has no page any more.
    pub(crate) is_gone: bool,
}

impl LaneLabel {
    pub(crate) fn of(name: &LaneName, endpoints: &TenantEndpoints) -> Self {
        let endpoint = name.as_str().parse::<Id<Endpoint>>().ok();
        let live = endpoint.and_then(|id| endpoints.get(id));
        Self {
            name: name.to_string(),
            to: live.map(|live| short(live.endpoint.settings.url.as_str())),
            is_gone: endpoint.is_some() && live.is_none(),
        }
    }
}

/// Host, port and path of an address, cut to what a list has room for.
fn short(address: &str) -> String {
    let Ok(url) = Url::parse(address) else { return address.chars().take(ADDRESS_CHARS_MAX).collect() };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let whole = format!("{}{port}{}", url.host_str().unwrap_or_default(), url.path().trim_end_matches('/'));
    match whole.chars().count() > ADDRESS_CHARS_MAX {
        true => whole.chars().take(ADDRESS_CHARS_MAX - 1).chain(['…']).collect(),
        false => whole,
    }
}

/// How a lane stands, in one word everywhere: what an operator said of it goes before what its receiver did.
pub(crate) const fn lane_state(paused: bool, breaker: Option<&Breaker>) -> LaneState {
    match breaker {
        _ if paused => LaneState::Paused,
        Some(Breaker::Open { .. }) => LaneState::BreakerOpen,
        _ => LaneState::Active,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LaneState {
    Active,
    Paused,
    BreakerOpen,
}

impl LaneState {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::BreakerOpen => "breaker open",
        }
    }

    /// The class that its colour hangs on.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::BreakerOpen => "failing",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_by_host_and_path() {
        assert_eq!(short("https://a.example/hooks/1?key=hush"), "a.example/hooks/1");
        assert_eq!(short("http://10.0.0.1:8080/"), "10.0.0.1:8080");
        let long = short(&format!("https://a.example/{}", "x".repeat(90)));
        assert!(long.chars().count() == ADDRESS_CHARS_MAX && long.ends_with("xx…"), "{long}");
    }
}
