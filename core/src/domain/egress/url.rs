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

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use proptest::prelude::proptest;

    use super::*;

    fn parse(text: &str) -> Result<String, UrlRefused> {
        EndpointUrl::parse(text, &EgressPolicy::default()).map(|url| url.as_str().to_owned())
    }

    fn allowing(net: &str) -> EgressPolicy {
        EgressPolicy { allow: vec![net.parse().unwrap()], ports_allowed: Vec::new() }
    }

    #[test]
    fn public_urls_are_kept_in_the_parsers_normal_form() {
        for (text, normal) in [
            ("https://example.com", "https://example.com/"),
            ("HTTPS://EXAMPLE.com:443/A?b=c", "https://example.com/A?b=c"),
            ("http://example.com:8080/hook", "http://example.com:8080/hook"),
            ("https://bücher.example/", "https://xn--bcher-kva.example/"),
            ("https://8.8.8.8/", "https://8.8.8.8/"),
            ("https://134744072/", "https://8.8.8.8/"),
            ("https://[2606:4700::1111]/", "https://[2606:4700::1111]/"),
            ("https://example.com./", "https://example.com./"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(normal), "{text}");
        }
    }

    #[test]
    fn hosts_that_are_not_public_are_refused_however_they_are_written() {
        for text in [
            "http://127.0.0.1/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://2130706433/",
            "http://127.1/",
            "http://127。0。0。1/",
            "http://%31%32%37.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:7f00:1]/",
            "http://[::ffff:169.254.169.254]/",
            "http://169.254.169.254/latest/meta-data/",
            "http://168.63.129.16/",
            "http://localhost/",
            "http://LOCALHOST./",
            "http://a.localhost/",
            "http://printer.local/",
            "http://metadata.google.internal/",
            "http://router.home.arpa/",
            "http://redis/",
            "http://redis./",
        ] {
            assert!(matches!(parse(text), Err(UrlRefused::Host(_))), "{text}");
        }
    }

    #[test]
    fn what_is_no_plain_http_url_is_refused_by_its_fault() {
        let long = format!("https://example.com/{}", "a".repeat(URL_BYTES_MAX));
        assert_eq!(parse(&long), Err(UrlRefused::TooLong(long.len())));
        let grows = format!("https://example.com/{}", "ü".repeat(900));
        assert!(matches!(parse(&grows), Err(UrlRefused::TooLong(5420))));
        assert_eq!(parse("ftp://example.com/"), Err(UrlRefused::Scheme("ftp".into())));
        assert_eq!(parse("file:///etc/passwd"), Err(UrlRefused::Scheme("file".into())));
        assert_eq!(parse("https://user@example.com/"), Err(UrlRefused::Credentials));
        assert_eq!(parse("https://:secret@example.com/"), Err(UrlRefused::Credentials));
        assert_eq!(parse("https://example.com/#part"), Err(UrlRefused::Fragment));
        assert_eq!(parse("https://exa\tmple.com/"), Err(UrlRefused::Space));
        assert_eq!(parse("https://example.com/\r\nHost: x"), Err(UrlRefused::Space));
        assert!(matches!(parse("example.com/hook"), Err(UrlRefused::Malformed(_))));
        assert!(matches!(parse("https://"), Err(UrlRefused::Malformed(_))));
        assert!(matches!(parse("http://256.0.0.1/"), Err(UrlRefused::Malformed(_))));
        assert!(matches!(parse("https://example.com:6379/"), Err(UrlRefused::Port(_))));
        assert!(matches!(parse("https://example.com:22/"), Err(UrlRefused::Port(_))));
    }

    #[test]
    fn local_names_are_left_to_their_addresses_where_the_operator_allows_some() {
        let loopback = allowing("127.0.0.0/8");
        for text in ["http://localhost:9000/", "http://127.0.0.1:41234/", "http://receiver:8080/"] {
            assert!(EndpointUrl::parse(text, &loopback).is_ok(), "{text}");
        }
        let private = allowing("10.0.0.0/8");
        assert!(EndpointUrl::parse("http://billing.internal/", &private).is_ok());
        assert!(EndpointUrl::parse("http://localhost/", &private).is_err());
        assert!(EndpointUrl::parse("http://127.0.0.1/", &private).is_err());
        assert!(EndpointUrl::parse("http://127.0.0.1:6379/", &loopback).is_err());
    }

    #[test]
    fn a_stored_url_is_read_as_it_stands() {
        let url: EndpointUrl = serde_json::from_str("\"http://127.0.0.1:6379/\"").unwrap();
        assert_eq!(url, EndpointUrl::stored("http://127.0.0.1:6379/".into()));
    }

    proptest! {
        #[test]
        fn any_text_is_judged_and_what_passes_passes_again(text in "(https?://)?\\PC{0,40}") {
            if let Ok(url) = parse(&text) {
                assert_eq!(parse(&url), Ok(url.clone()));
            }
        }

        #[test]
        fn an_address_is_judged_in_a_url_as_it_is_when_it_is_dialled(v4: u32, v6: u128) {
            let policy = allowing("127.0.0.0/8");
            let (plain, wide) = (Ipv4Addr::from(v4), Ipv6Addr::from(v6));
            let inside = Ipv6Addr::from(u128::from(v4) | (0xffff << 32));
            for (text, address) in [
                (format!("http://{plain}/"), plain.into()),
                (format!("https://{v4}/"), plain.into()),
                (format!("https://0x{v4:x}:8443/"), plain.into()),
                (format!("https://{:#o}/", v4).replace("0o", "0"), plain.into()),
                (format!("http://[{wide}]/"), IpAddr::from(wide)),
                (format!("http://[{inside}]/"), inside.into()),
            ] {
                let judged = EndpointUrl::parse(&text, &policy);
                assert_eq!(judged.is_ok(), policy.judge_address(address).is_ok(), "{text}: {judged:?}");
            }
        }
    }
}
