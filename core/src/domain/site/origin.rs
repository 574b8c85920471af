//! Where an address is: its scheme, its host and its port. What stands behind them is `permalink`'s.

use url::{Host, Url};

use super::permalink::AddressRefused;

/// Of a name in DNS, and of each of its parts (RFC 1035, section 2.3.4).
pub(super) const HOST_CHARS_MAX: usize = 253;
pub(super) const LABEL_CHARS_MAX: usize = 63;

/// Origin, host and what stands behind them, as it came.
pub(super) fn split(text: &str) -> Result<(String, String, String), AddressRefused> {
    let (scheme, rest) = text.split_once("://").ok_or_else(|| AddressRefused::Scheme(beginning(text)))?;
    let scheme = scheme.to_ascii_lowercase();
    if !matches!(scheme.as_str(), "http" | "https") {
        return Err(AddressRefused::Scheme(beginning(text)));
    }
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    if authority.contains('@') {
        return Err(AddressRefused::UserInfo);
    }
    let url = Url::parse(&format!("{scheme}://{authority}/"))
        .map_err(|error| AddressRefused::Unreadable(beginning(text), error.to_string()))?;
    let host = match url.host() {
        Some(Host::Domain(domain)) => named(domain)?,
        Some(address) => address.to_string(),
        None => return Err(AddressRefused::Unreadable(beginning(text), "it has no host".to_owned())),
    };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    Ok((format!("{scheme}://{host}{port}"), host, rest.to_owned()))
}

/// A host whose name can be one of DNS, where it may end with the dot of the root.
fn named(domain: &str) -> Result<String, AddressRefused> {
    let labels = domain.strip_suffix('.').unwrap_or(domain);
    if labels.split('.').any(str::is_empty) {
        let others: Vec<&str> = labels.split('.').filter(|label| !label.is_empty()).collect();
        return Err(match others.is_empty() {
            true => AddressRefused::Unreadable(beginning(domain), "it has no host".to_owned()),
            false => AddressRefused::EmptyLabel(beginning(domain), others.join(".")),
        });
    }
    if labels.len() > HOST_CHARS_MAX || labels.split('.').any(|label| label.len() > LABEL_CHARS_MAX) {
        return Err(AddressRefused::LongHost(beginning(domain)));
    }
    Ok(domain.to_owned())
}

fn beginning(text: &str) -> String {
    text.chars().take(40).collect()
}
