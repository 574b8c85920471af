//! Which headers a tenant may add to what Postrider sends.

use std::collections::HashSet;

use crate::domain::limits::{HEADER_NAME_BYTES_MAX, HEADER_VALUE_BYTES_MAX, HEADERS_MAX};

/// Names that belong to HTTP's own machinery: routing, connections (RFC 9110 §7.6.1) and expectations (§10.1.1).
const RESERVED: [&str; 8] =
    ["host", "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect"];
/// Beginnings of names that say what Postrider says itself.
const RESERVED_PREFIXES: [&str; 5] = ["content-", "proxy-", "webhook-", "postrider-", "http2-"];
const CONTENT_TYPE: &str = "content-type";

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

fn is_reserved(name: &str, of: HeadersOf) -> bool {
    let own = of == HeadersOf::HttpRequest && name == CONTENT_TYPE;
    !own && (RESERVED.contains(&name) || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
}

/// `tchar`, RFC 9110 §5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
