//! The URL of a receiver, parsed by the WHATWG URL Standard, so that what is judged is what is dialled.

use url::{Host, Url};

use super::{EgressPolicy, PortRefused};
use crate::domain::limits::URL_BYTES_MAX;

/// Names that never leave a network: RFC 6762, RFC 8375, ICANN's `internal`.
const LOCAL_SUFFIXES: [&str; 4] = ["local", "internal", "localdomain", "home.arpa"];
const LOCALHOST: &str = "localhost";

/// The URL of a receiver, in the parser's normal form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct EndpointUrl(String);

/// Why a URL cannot be a receiver's, in words for whoever typed it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefused {
    #[error("the URL has {0} bytes; it may have {URL_BYTES_MAX}")]
    TooLong(usize),
    #[error("the URL holds a space or a control character; percent-encode it")]
    Space,
    #[error("the URL cannot be read: {0}; write it as https://host/path")]
    Malformed(url::ParseError),
    #[error("the scheme {0:?} is not one that deliveries use; use https or http")]
    Scheme(String),
    #[error("the URL holds a user name or a password; use a header instead")]
    Credentials,
    #[error("the URL ends in a fragment (#…), which is never sent; leave it out")]
    Fragment,
    #[error("the host {0:?} is not one that deliveries may reach; use a public name")]
    Host(String),
    #[error(transparent)]
    Port(#[from] PortRefused),
}

impl EndpointUrl {
    /// A URL that was judged when it was stored.
    #[must_use]
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// Reads a URL that somebody typed. Names are not resolved, so a URL that passes here may be refused when it is
    /// dialled.
    ///
    /// # Errors
    /// When it is not an `http` or `https` URL of at most 2,048 bytes, or names what deliveries may not reach.
    pub fn parse(text: &str, policy: &EgressPolicy) -> Result<Self, UrlRefused> {
        if text.len() > URL_BYTES_MAX {
            return Err(UrlRefused::TooLong(text.len()));
        }
        // The parser drops tabs and line ends in silence (§4.4, step 3) and encodes spaces.
        if text.bytes().any(|byte| byte.is_ascii_control() || byte == b' ') {
            return Err(UrlRefused::Space);
        }
        let url = Url::parse(text).map_err(UrlRefused::Malformed)?;
        policy.judge_url(&url)?;
        if url.as_str().len() > URL_BYTES_MAX {
            return Err(UrlRefused::TooLong(url.as_str().len()));
        }
        Ok(Self(url.into()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl EgressPolicy {
    /// Judges all of a URL that can be judged without resolving its name.
    ///
    /// # Errors
    /// When deliveries may not be sent to it.
    pub fn judge_url(&self, url: &Url) -> Result<(), UrlRefused> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UrlRefused::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlRefused::Credentials);
        }
        if url.fragment().is_some() {
            return Err(UrlRefused::Fragment);
        }
        let refused = || UrlRefused::Host(url.host_str().unwrap_or_default().to_owned());
        match url.host() {
            Some(Host::Domain(name)) if self.may_be_reachable(name) => {}
            Some(Host::Ipv4(address)) => self.judge_address(address.into()).map_err(|_| refused())?,
            Some(Host::Ipv6(address)) => self.judge_address(address.into()).map_err(|_| refused())?,
            Some(Host::Domain(_)) | None => return Err(refused()),
        }
        let port = url.port_or_known_default().ok_or_else(refused)?;
        Ok(self.judge_port(port)?)
    }

    /// Local names lead to addresses that are not public. Where the operator opened some of those, the addresses
    /// decide when the name is dialled; `localhost` is loopback whatever DNS says (RFC 6761 §6.3).
    fn may_be_reachable(&self, name: &str) -> bool {
        let name = name.strip_suffix('.').unwrap_or(name);
        if is_under(name, LOCALHOST) {
            return self.allows_loopback();
        }
        let local = !name.contains('.') || LOCAL_SUFFIXES.iter().any(|suffix| is_under(name, suffix));
        !name.is_empty() && (!local || !self.allow.is_empty())
    }
}

fn is_under(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}
