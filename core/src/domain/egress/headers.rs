//! Which headers a tenant may add to what Postrider sends.

use std::collections::HashSet;

use crate::domain::limits::{HEADER_NAME_BYTES_MAX, HEADER_VALUE_BYTES_MAX, HEADERS_MAX};

/// Names that belong to HTTP's own machinery: routing, connections (RFC 9110 §7.6.1) and expectations (§10.1.1).
const RESERVED: [&str; 8] =
    ["host", "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect"];
/// Beginnings of names that say what Postrider says itself.
const RESERVED_PREFIXES: [&str; 5] = ["content-", "proxy-", "webhook-", "postrider-", "http2-"];
const CONTENT_TYPE: &str = "content-type";
const CONTENT_LENGTH: &str = "content-length";

/// What the headers go onto.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadersOf {
    /// Deliveries to an endpoint: the content is Postrider's.
    Endpoint,
    /// A job `http.request`: the content is the caller's, and so is `Content-Type`.
    HttpRequest,
}

/// Why a header cannot be added, in words for whoever set it. No value is repeated: it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderRefused {
    #[error("there are {0} headers; there may be {HEADERS_MAX}")]
    TooMany(usize),
    #[error("a header's name has {0} bytes; it may have 1 to {HEADER_NAME_BYTES_MAX}")]
    NameLength(usize),
    #[error("{0:?} is not a header's name; use letters, digits and hyphens (RFC 9110 §5.6.2)")]
    NameSyntax(String),
    #[error("the header {0:?} is set by Postrider; leave it out")]
    Reserved(String),
    #[error("the header {0:?} is there twice; names do not differ by case")]
    Duplicate(String),
    #[error("the value of the header {name:?} has {bytes} bytes; it may have {HEADER_VALUE_BYTES_MAX}")]
    ValueLength { name: String, bytes: usize },
    #[error("the value of the header {0:?} may hold visible ASCII only, with spaces and tabs between (RFC 9110 §5.5)")]
    ValueSyntax(String),
}

impl HeaderRefused {
    /// The header that is refused, where it is one with a usable name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::TooMany(_) | Self::NameLength(_) => None,
            Self::NameSyntax(name)
            | Self::Reserved(name)
            | Self::Duplicate(name)
            | Self::ValueLength { name, .. }
            | Self::ValueSyntax(name) => Some(name),
        }
    }
}

/// Judges all headers of one endpoint or request.
///
/// # Errors
/// When there are too many, one is there twice, or one is refused by [`judge_header`].
pub fn judge_headers(headers: &[(String, String)], of: HeadersOf) -> Result<(), HeaderRefused> {
    if headers.len() > HEADERS_MAX {
        return Err(HeaderRefused::TooMany(headers.len()));
    }
    let mut seen = HashSet::with_capacity(headers.len());
    for (name, value) in headers {
        judge_header(name, value, of)?;
        if !seen.insert(name.to_ascii_lowercase()) {
            return Err(HeaderRefused::Duplicate(name.clone()));
        }
    }
    Ok(())
}

/// Judges one header.
///
/// # Errors
/// When its name or value is not HTTP's, is too long, or the name is Postrider's to set.
pub fn judge_header(name: &str, value: &str, of: HeadersOf) -> Result<(), HeaderRefused> {
    if name.is_empty() || name.len() > HEADER_NAME_BYTES_MAX {
        return Err(HeaderRefused::NameLength(name.len()));
    }
    if !name.bytes().all(is_token_byte) {
        return Err(HeaderRefused::NameSyntax(name.to_owned()));
    }
    if is_reserved(&name.to_ascii_lowercase(), of) {
        return Err(HeaderRefused::Reserved(name.to_owned()));
    }
    if value.len() > HEADER_VALUE_BYTES_MAX {
        return Err(HeaderRefused::ValueLength { name: name.to_owned(), bytes: value.len() });
    }
    let visible = value.bytes().all(|byte| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t'));
    if !visible || value.trim() != value {
        return Err(HeaderRefused::ValueSyntax(name.to_owned()));
    }
    Ok(())
}

/// Whether a header decides where a message goes or where it ends, so that nothing but the client may set it.
#[must_use]
pub fn is_framing(name: &str) -> bool {
    RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) || name.eq_ignore_ascii_case(CONTENT_LENGTH)
}

fn is_reserved(name: &str, of: HeadersOf) -> bool {
    let own = of == HeadersOf::HttpRequest && name == CONTENT_TYPE;
    !own && (RESERVED.contains(&name) || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
}

/// `tchar`, RFC 9110 §5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    #[test]
    fn headers_of_their_own_pass_and_postriders_do_not() {
        for (name, value) in
            [("Authorization", "Bearer abc.def"), ("x-tenant", ""), ("User-Agent", "me/1 (a;\tb)"), ("~!", "1")]
        {
            assert_eq!(judge_header(name, value, HeadersOf::Endpoint), Ok(()), "{name}");
        }
        for name in [
            "Host",
            "CONNECTION",
            "keep-alive",
            "Proxy-Authorization",
            "Proxy-Connection",
            "TE",
            "Trailer",
            "Transfer-Encoding",
            "Upgrade",
            "HTTP2-Settings",
            "Expect",
            "Content-Length",
            "content-type",
            "Webhook-Id",
            "webhook-signature",
            "Postrider-Anything",
        ] {
            let refused = Err(HeaderRefused::Reserved(name.to_owned()));
            assert_eq!(judge_header(name, "x", HeadersOf::Endpoint), refused, "{name}");
        }
        assert_eq!(judge_header("Content-Type", "text/xml", HeadersOf::HttpRequest), Ok(()));
        assert!(judge_header("Content-Length", "1", HeadersOf::HttpRequest).is_err());
        assert!(judge_header("webhook-id", "1", HeadersOf::HttpRequest).is_err());
    }

    #[test]
    fn what_would_break_a_message_is_refused() {
        for name in ["", "a b", "a:b", "a\r\nb", "ä", "(x)", "a\0", ":authority"] {
            assert!(judge_header(name, "x", HeadersOf::Endpoint).is_err(), "{name:?}");
        }
        for value in ["a\r\nHost: x", "a\nb", "a\rb", "a\0b", "ü", " a", "a ", "\u{7f}"] {
            let refused = Err(HeaderRefused::ValueSyntax("x".into()));
            assert_eq!(judge_header("x", value, HeadersOf::Endpoint), refused, "{value:?}");
        }
        let long = "a".repeat(HEADER_NAME_BYTES_MAX + 1);
        assert_eq!(judge_header(&long, "", HeadersOf::Endpoint), Err(HeaderRefused::NameLength(long.len())));
        let long = "a".repeat(HEADER_VALUE_BYTES_MAX + 1);
        assert!(matches!(judge_header("x", &long, HeadersOf::Endpoint), Err(HeaderRefused::ValueLength { .. })));
    }

    #[test]
    fn a_list_has_a_limit_and_no_name_twice() {
        let list = |count: usize| (0..count).map(|n| (format!("x-{n}"), String::new())).collect::<Vec<_>>();
        assert_eq!(judge_headers(&list(HEADERS_MAX), HeadersOf::Endpoint), Ok(()));
        let refused = Err(HeaderRefused::TooMany(HEADERS_MAX + 1));
        assert_eq!(judge_headers(&list(HEADERS_MAX + 1), HeadersOf::Endpoint), refused);
        let twice = [("X-A".to_owned(), "1".to_owned()), ("x-a".to_owned(), "2".to_owned())];
        let refused = judge_headers(&twice, HeadersOf::Endpoint).unwrap_err();
        assert_eq!(refused.name(), Some("x-a"));
    }

    proptest! {
        #[test]
        fn what_passes_holds_no_line_end(name in any::<String>(), value in any::<String>()) {
            if judge_header(&name, &value, HeadersOf::HttpRequest).is_ok() {
                assert!(!name.is_empty() && !name.contains(['\r', '\n', '\0', ':', ' ']));
                assert!(!value.contains(['\r', '\n', '\0']));
            }
        }
    }
}
