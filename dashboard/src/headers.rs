//! What browsers are told about every answer: pages, redirects, refusals, files and streams alike.

use axum::{
    http::{HeaderName, HeaderValue, header},
    response::Response,
};

/// What is said where an answer brings no policy of its own: nothing is loaded from elsewhere, nothing is framed, and no script runs but
/// the one of this host.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
    img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// The same, for a page that frames another of this host.
pub(crate) const FRAMING: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; frame-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);
/// Of a document that somebody else wrote, in such a frame: it runs nothing, loads nothing, leads nowhere and sends nothing, but it
/// may look as its own styles say.
pub(crate) const FRAMED: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'; sandbox; \
    frame-ancestors 'self'",
);
const ALWAYS: [(HeaderName, HeaderValue); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
];

/// Pages show what receivers and publishers sent, and change from one moment to the next: what does not say otherwise is
/// kept by nobody.
pub(crate) async fn guard(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.extend(ALWAYS);
    let policy = HeaderValue::from_static(CONTENT_SECURITY_POLICY);
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(policy);
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
