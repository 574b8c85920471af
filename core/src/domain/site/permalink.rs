//! Addresses of pages in their one canonical form: NFC, then UTF-8 in percents of upper case (RFC 3986, section 6.2.2; RFC
//! 3987, section 3.1). The same page under two spellings is two pages for whoever reads a sitemap, and one of them is dead.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    origin::{HOST_CHARS_MAX, LABEL_CHARS_MAX, split},
    spelling::{PATH_PLAIN, QUERY_PLAIN, canonical},
};

/// Characters of an address, the limit of sitemaps (sitemaps.org, "loc").
pub const URL_CHARS_MAX: usize = 2_047;
/// Bytes of a base, so that enough of them are left for what stands behind it.
pub const BASE_BYTES_MAX: usize = 500;

/// Where a locale's pages are: scheme, host, and the path that all of theirs begin with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BaseUrl {
    /// As in `https://example.com`, the port where it is not the scheme's.
    origin: String,
    host: String,
    /// Without a slash at its end; empty for a host's own pages.
    path: String,
}

/// An absolute canonical address on its locale's host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Permalink(String);

/// Why an address is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressRefused {
    #[error("{0:?} is no address: {1}; write it as a browser shows it")]
    Unreadable(String, String),
    #[error("it begins with {0:?}; write https:// or http://, or a path that begins with /")]
    Scheme(String),
    #[error("{0:?} is no absolute address; write all of it, as in https://example.com/a")]
    Relative(String),
    #[error("it has a user or a password in it; leave them out")]
    UserInfo,
    #[error("it is at {0}, and the locale's pages are at {1}; hand it in under its own locale, or mend the host")]
    OtherHost(String, String),
    #[error("its path is not below {0}, as the locale's pages are; hand it in under its own locale, or mend the path")]
    OutsideBase(String),
    #[error("it has a fragment (#…), which no sitemap takes; leave it out")]
    Fragment,
    #[error("its path has the segment {0:?}; write the path that it leads to")]
    DotSegment(String),
    #[error("it has the character {0:?}; leave it out")]
    Forbidden(char),
    #[error("it has a percent sign without two hexadecimal digits: {0:?}; a percent sign itself is written %25")]
    StrayPercent(String),
    #[error(
        "it is encoded twice: {0} is the code of a percent sign before another code; hand it in encoded once, or as letters"
    )]
    EncodedTwice(String),
    #[error("its codes are no UTF-8: {0}; encode it in UTF-8, or hand it in as letters")]
    NotUtf8(String),
    #[error("it has {0} characters with its codes; it may have {URL_CHARS_MAX}, so shorten it")]
    TooLong(usize),
    #[error("a base address has no query")]
    BaseQuery,
    #[error(
        "it has {0} bytes with its codes; a base address may have {BASE_BYTES_MAX}, so that those of its pages have fewer than \
        2,048; shorten it"
    )]
    LongBase(usize),
    #[error("its host {0:?} has nothing between two dots, or before the first; write {1:?}, or what is missing")]
    EmptyLabel(String, String),
    #[error(
        "its host {0:?} has more than {LABEL_CHARS_MAX} characters between two dots, or more than {HOST_CHARS_MAX} in all"
    )]
    LongHost(String),
    #[error(
        "its host {0:?} ends with a dot, by which browsers and search engines take it for another one; write {1:?}"
    )]
    HostDot(String, String),
}

impl AddressRefused {
    /// The same of an address that may not be a path alone.
    fn of_absolute(self) -> Self {
        match self {
            Self::Scheme(beginning) => Self::Relative(beginning),
            other => other,
        }
    }
}

/// Where requests with this `Host` (RFC 9110, section 7.2) and a path are at home: without a port that some scheme has anyway, and
/// without the dot of the root.
#[must_use]
pub fn place(host: &str, path: &str) -> String {
    let host = host.to_ascii_lowercase();
    let host = host.strip_suffix(":443").or_else(|| host.strip_suffix(":80")).unwrap_or(&host);
    let (name, port) =
        host.rsplit_once(':').filter(|(name, _)| !name.contains(':') || name.ends_with(']')).unwrap_or((host, ""));
    let colon = if port.is_empty() { "" } else { ":" };
    format!("{}{colon}{port}{path}", name.strip_suffix('.').unwrap_or(name))
}

impl BaseUrl {
    /// # Errors
    /// Where it is no absolute address of http or https without a query and a fragment.
    pub fn parse(text: &str) -> Result<Self, AddressRefused> {
        let (origin, host, rest) = split(text).map_err(AddressRefused::of_absolute)?;
        // A name with the dot of the root is the same in DNS (RFC 1034, section 3.1). As an address it is not (RFC 3986, section
        // 6.2): its pages would be those of a host that nobody links to, so whoever means the other one is told.
        if let Some(without) = host.strip_suffix('.') {
            return Err(AddressRefused::HostDot(host.clone(), without.to_owned()));
        }
        if rest.contains('#') {
            return Err(AddressRefused::Fragment);
        }
        if rest.contains('?') {
            return Err(AddressRefused::BaseQuery);
        }
        let path = canonical(&rest, PATH_PLAIN)?.trim_end_matches('/').to_owned();
        judge_segments(&path)?;
        match origin.len() + path.len() {
            bytes if bytes > BASE_BYTES_MAX => Err(AddressRefused::LongBase(bytes)),
            _ => Ok(Self { origin, host, path }),
        }
    }

    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// As in `https://example.com`.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Host, port and path. No two locales have the same: who is asked for a file does not see the scheme.
    #[must_use]
    pub fn place(&self) -> String {
        let host = self.origin.split_once("://").map_or(self.origin.as_str(), |(_, host)| host);
        place(host, &self.path)
    }

    /// What the paths of its pages begin with, without a slash at the end.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The address of a canonical path below the base, as [`Self::path_of`] gave it.
    #[must_use]
    pub fn below(&self, path: &str) -> Permalink {
        Permalink(format!("{}{}{path}", self.origin, self.path))
    }

    /// What stands behind the base in an address of one of its pages.
    #[must_use]
    pub fn path_of<'a>(&self, link: &'a Permalink) -> &'a str {
        link.0.get(self.origin.len() + self.path.len()..).unwrap_or_default()
    }

    /// Whether an address is the base or below it.
    #[must_use]
    pub fn has(&self, link: &Permalink) -> bool {
        let rest = link.0.strip_prefix(&self.origin).and_then(|path| path.strip_prefix(&self.path));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
    }

    /// The canonical form of an address of a page, or of a path below the base that begins with a slash.
    ///
    /// # Errors
    /// Where it is no address of a page of this locale.
    pub fn permalink(&self, text: &str) -> Result<Permalink, AddressRefused> {
        let (rest, is_below) = match text.strip_prefix('/').filter(|rest| !rest.starts_with('/')) {
            Some(_) => (text.to_owned(), true),
            None => {
                let (origin, _, rest) = split(text)?;
                if origin != self.origin {
                    return Err(AddressRefused::OtherHost(origin, self.origin.clone()));
                }
                (rest, false)
            }
        };
        if rest.contains('#') {
            return Err(AddressRefused::Fragment);
        }
        let (path, query) = rest.split_once('?').map_or((rest.as_str(), None), |(path, query)| (path, Some(query)));
        let path = canonical(path, PATH_PLAIN)?;
        judge_segments(&path)?;
        let path = if is_below { format!("{}{path}", self.path) } else { path };
        let within = path.strip_prefix(&self.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if !within {
            return Err(AddressRefused::OutsideBase(self.path.clone()));
        }
        let mut url = format!("{}{}", self.origin, if path.is_empty() { "/" } else { &path });
        if let Some(query) = query {
            url.push('?');
            url.push_str(&canonical(query, QUERY_PLAIN)?);
        }
        match url.len() {
            long if long > URL_CHARS_MAX => Err(AddressRefused::TooLong(long)),
            _ => Ok(Permalink(url)),
        }
    }
}

fn judge_segments(path: &str) -> Result<(), AddressRefused> {
    match path.split('/').find(|segment| matches!(*segment, "." | "..")) {
        Some(segment) => Err(AddressRefused::DotSegment(segment.to_owned())),
        None => Ok(()),
    }
}

impl TryFrom<String> for BaseUrl {
    type Error = AddressRefused;
    fn try_from(text: String) -> Result<Self, AddressRefused> {
        Self::parse(&text)
    }
}

impl From<BaseUrl> for String {
    fn from(base: BaseUrl) -> Self {
        base.to_string()
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path)
    }
}

impl Permalink {
    /// The canonical form of an absolute address of whatever host.
    ///
    /// # Errors
    /// Where it is none.
    pub fn parse(text: &str) -> Result<Self, AddressRefused> {
        let (origin, host, _) = split(text).map_err(AddressRefused::of_absolute)?;
        BaseUrl { origin, host, path: String::new() }.permalink(text)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its origin, and its path without the query.
    #[must_use]
    pub fn split(&self) -> (&str, &str) {
        let path = self.0.find("://").and_then(|at| self.0[at + 3..].find('/').map(|slash| at + 3 + slash));
        let (origin, path) = self.0.split_at(path.unwrap_or(self.0.len()));
        (origin, path.split('?').next().unwrap_or(path))
    }
}

impl fmt::Display for Permalink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn link(text: &str) -> Result<String, AddressRefused> {
        BaseUrl::parse("https://Bücher.example/de/")?.permalink(text).map(|link| link.0)
    }

    #[test]
    fn all_spellings_of_a_page_have_one_address() {
        let address = "https://xn--bcher-kva.example/de/caf%C3%A9";
        for text in [
            "/café",
            "/cafe\u{301}",
            "/caf%C3%A9",
            "/caf%c3%a9",
            "/cafe%CC%81",
            "/%63afé",
            "https://bücher.example/de/café",
            "HTTPS://BÜCHER.example:443/de/caf%c3%A9",
        ] {
            assert_eq!(link(text).as_deref(), Ok(address), "{text}");
        }
        assert_eq!(link("/").as_deref(), Ok("https://xn--bcher-kva.example/de/"));
        assert_eq!(link("https://bücher.example/de").as_deref(), Ok("https://xn--bcher-kva.example/de"));
    }

    #[test]
    fn what_means_something_else_when_decoded_stays_a_code() {
        assert_eq!(
            link("/a%2fb%3F?q=%26&r=ü ").as_deref(),
            Ok("https://xn--bcher-kva.example/de/a%2Fb%3F?q=%26&r=%C3%BC%20")
        );
        assert_eq!(link("/100%25").as_deref(), Ok("https://xn--bcher-kva.example/de/100%25"));
    }

    #[test]
    fn an_address_that_would_be_dead_is_refused_by_name() {
        for (text, words) in [
            ("/caf%25C3%25A9", "encoded twice: %25C3"),
            ("/caf%E9", "no UTF-8: %E9"),
            ("/caf%C3", "no UTF-8: %C3"),
            ("/100%", "percent sign"),
            ("/a%2", "percent sign"),
            ("/a%+1", "percent sign"),
            ("cafe", "begins with \"cafe\""),
            ("ftp://bücher.example/de/a", "begins with"),
            ("//bücher.example/de/a", "begins with"),
            ("https://u:p@bücher.example/de/a", "user or a password"),
            ("https://example.com/de/a", "https://example.com"),
            ("http://bücher.example/de/a", "the locale's pages are at https://"),
            ("https://bücher.example/fr/a", "not below /de"),
            ("https://bücher.example/deutsch", "not below /de"),
            ("/a#b", "fragment"),
            ("/../fr", "segment \"..\""),
            ("/%2e%2E/fr", "segment \"..\""),
            ("/a\u{8}b", "character '\\u{8}'"),
            ("/a%0Ab", "character '\\n'"),
            ("/a\\b", "character '\\\\'"),
            ("/a\u{2028}b", "character"),
        ] {
            let refused = link(text).expect_err(text).to_string();
            assert!(refused.contains(words), "{text}: {refused}");
        }
        assert_eq!(link(&format!("/{}", "é".repeat(400))), Err(AddressRefused::TooLong(2_433)));
    }

    #[test]
    fn a_base_is_a_host_and_a_path_and_no_more() {
        let (long_label, long_name) =
            (format!("https://{}.example", "a".repeat(64)), format!("https://{}example", "a.".repeat(124)));
        for (text, words) in [
            ("https://a.example#top", "fragment"),
            ("https://a.example/#top", "fragment"),
            ("https://a.example/?q", "no query"),
            ("https://u@a.example", "user or a password"),
            ("https://a..example/de", "write \"a.example\""),
            ("https://.a.example", "write \"a.example\""),
            ("https://a%2E.example", "write \"a.example\""),
            ("https://a.example../", "write \"a.example\""),
            ("https://a.example./de", "ends with a dot"),
            ("https://a.example.:8443", "write \"a.example\""),
            ("https://./", "no host"),
            (&long_label, "more than 63 characters"),
            (&long_name, "more than 253 in all"),
            (&format!("https://a.example/{}", "a".repeat(483)), "501 bytes"),
            (&format!("https://a.example/{}", "é".repeat(81)), "504 bytes"),
            ("/de", "\"/de\" is no absolute address; write all of it"),
            ("a.example/de", "is no absolute address"),
        ] {
            let refused = BaseUrl::parse(text).expect_err(text).to_string();
            assert!(refused.contains(words), "{text}: {refused}");
        }
        BaseUrl::parse(&format!("https://a.example/{}", "a".repeat(482))).unwrap();
        let place = |text| BaseUrl::parse(text).unwrap().place();
        assert_eq!([place("https://A.example/"), place("http://a.example:80")], ["a.example", "a.example"]);
        assert_eq!(place("https://a.example:8443/é/"), "a.example:8443/%C3%A9");
        assert_eq!([place("https://a.example:80"), place("http://a.example:443")], ["a.example", "a.example"]);
        assert_eq!([place("http://[::1]:80/de"), place("http://[::1]:8080")], ["[::1]/de", "[::1]:8080"]);
        assert_eq!([place("http://localhost:80"), place("http://127.0.0.1/")], ["localhost", "127.0.0.1"]);
    }

    proptest! {
        #[test]
        fn a_canonical_address_is_its_own_canonical_form(path in "(/[^?#\\\\\\pC\\s]{0,8}){1,4}", query in proptest::option::of("[^#\\\\\\pC\\s]{0,8}")) {
            let text = query.map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
            if let Ok(once) = link(&text) {
                prop_assert!(once.is_ascii());
                let again = link(&once);
                prop_assert_eq!(again, Ok(once));
            }
        }
    }
}
