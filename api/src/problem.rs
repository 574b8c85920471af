//! Refusals, as RFC 9457 problem details. The only place that maps errors to statuses and codes.

use std::{fmt::Display, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use postrider_core::store::StoreError;
use serde::Serialize;
use utoipa::ToSchema;

/// What problems' `type` begins with; the code follows.
const TYPE_BASE: &str = "https://postrider.dev/problems/";
/// After which a caller may try again when the database cannot be used.
const UNAVAILABLE_RETRY: Duration = Duration::from_secs(2);
/// Characters of somebody else's words that a detail repeats.
const WORDS_CHARS_MAX: usize = 400;

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident = $status:ident, $text:literal, $title:literal;)+) => {
        /// Every code that a problem may have.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Code { $($(#[$doc])* $code),+ }

        impl Code {
            pub(crate) const fn status(self) -> StatusCode {
                match self { $(Self::$code => StatusCode::$status),+ }
            }

            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$code => $text),+ }
            }

            const fn title(self) -> &'static str {
                match self { $(Self::$code => $title),+ }
            }
        }
    };
}

codes! {
    MalformedJson = BAD_REQUEST, "malformed_json", "The body is not JSON";
    BadParameter = BAD_REQUEST, "bad_parameter", "A parameter is not understood";
    BadCursor = BAD_REQUEST, "bad_cursor", "The cursor is not one of ours";
    BadHeader = BAD_REQUEST, "bad_header", "A header is not understood";
    BrokenBody = BAD_REQUEST, "broken_body", "The body broke off";
    TokenMissing = UNAUTHORIZED, "token_missing", "A token is needed";
    TokenInvalid = UNAUTHORIZED, "token_invalid", "The token is not valid";
    TokenExpired = UNAUTHORIZED, "token_expired", "The token has expired";
    Forbidden = FORBIDDEN, "forbidden", "The token may not do this";
    NotFound = NOT_FOUND, "not_found", "There is no such thing";
    UnknownTenant = NOT_FOUND, "unknown_tenant", "There is no such tenant";
    MethodNotAllowed = METHOD_NOT_ALLOWED, "method_not_allowed", "This method is not for this path";
    SlowBody = REQUEST_TIMEOUT, "slow_body", "The body took too long";
    Exists = CONFLICT, "exists", "It exists already";
    LimitReached = CONFLICT, "limit_reached", "A limit is reached";
    IdempotencyConflict = CONFLICT, "idempotency_conflict", "The same key was used for something else";
    JobFinished = CONFLICT, "job_finished", "The job has ended";
    OperationFinished = CONFLICT, "operation_finished", "The operation has ended";
    HeldChanged = CONFLICT, "held_changed", "Something else is held by now";
    LocaleIsPublic = CONFLICT, "locale_is_public", "A locale has public files";
    AlreadyResolved = CONFLICT, "already_resolved", "The dead letter is dealt with";
    EndpointGone = CONFLICT, "endpoint_gone", "The endpoint is deleted";
    EndpointNotActive = CONFLICT, "endpoint_not_active", "The endpoint takes no deliveries now";
    NoPublicUrl = CONFLICT, "no_public_url", "The server's address is not known";
    PayloadGone = CONFLICT, "payload_gone", "The payload is no longer kept";
    BodyTooLarge = PAYLOAD_TOO_LARGE, "body_too_large", "The body is too large";
    PayloadTooLarge = PAYLOAD_TOO_LARGE, "payload_too_large", "The payload is too large";
    WrongType = UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "The body has to be JSON";
    InvalidBody = UNPROCESSABLE_ENTITY, "invalid_body", "The body is not what this call takes";
    BatchTooLarge = UNPROCESSABLE_ENTITY, "batch_too_large", "The batch is too large";
    TooManyRequests = TOO_MANY_REQUESTS, "too_many_requests", "Too many requests";
    Internal = INTERNAL_SERVER_ERROR, "internal", "Something went wrong here";
    Unavailable = SERVICE_UNAVAILABLE, "unavailable", "The server cannot do this now";
    NoAttempt = GATEWAY_TIMEOUT, "no_attempt", "No attempt was made in time";
}

/// One fault of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Fault {
    /// Where in the body, as a JSON pointer (RFC 6901).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pointer: Option<String>,
    /// Which query parameter or header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parameter: Option<String>,
    /// What is wrong, and what would be right.
    pub(crate) detail: String,
}

/// A refusal. Its `request_id` is filled in where the response leaves.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    detail: String,
    errors: Vec<Fault>,
    pub(crate) retry_after: Option<Duration>,
    /// What went wrong here, for the log alone.
    pub(crate) cause: Option<String>,
}

/// A problem as it is sent.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// A stable URI that names the kind of problem.
    r#type: String,
    title: &'static str,
    status: u16,
    /// Stable, for programs.
    code: &'static str,
    /// For people.
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Fault>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Display) -> Self {
        Self { code, detail: words(detail), errors: Vec::new(), retry_after: None, cause: None }
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format_args!("there is no such {what}"))
    }

    /// Each fault with its place, in one line.
    pub(crate) fn in_words(&self) -> String {
        let place = |fault: &Fault| match &fault.pointer {
            Some(pointer) if !pointer.is_empty() => format!("{}: {}", pointer.trim_start_matches('/'), fault.detail),
            _ => fault.detail.clone(),
        };
        let faults: Vec<String> = self.errors.iter().map(place).collect();
        if faults.is_empty() { self.detail.clone() } else { faults.join("; ") }
    }

    /// A refusal of one place in a body.
    pub(crate) fn at(code: Code, pointer: impl Into<String>, detail: impl Display) -> Self {
        let fault = Fault { pointer: Some(pointer.into()), parameter: None, detail: words(&detail) };
        Self { errors: vec![fault], ..Self::new(code, detail) }
    }

    /// A refusal of a query parameter or header.
    pub(crate) fn of_parameter(code: Code, name: &str, detail: impl Display) -> Self {
        let fault = Fault { pointer: None, parameter: Some(name.to_owned()), detail: words(&detail) };
        Self { errors: vec![fault], ..Self::new(code, format_args!("{name}: {detail}")) }
    }

    pub(crate) fn too_many_requests(wait: Duration) -> Self {
        let detail = "this token has spent its rate; wait as long as Retry-After says";
        Self { retry_after: Some(wait), ..Self::new(Code::TooManyRequests, detail) }
    }

    pub(crate) fn body(&self, request_id: Option<String>) -> ProblemBody {
        ProblemBody {
            r#type: format!("{TYPE_BASE}{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            code: self.code.as_str(),
            detail: self.detail.clone(),
            errors: self.errors.clone(),
            request_id,
        }
    }

    /// The body and headers, once the request's id is known.
    pub(crate) fn write(&self, request_id: &str, response: &mut Response) {
        let body = serde_json::to_vec(&self.body(Some(request_id.to_owned()))).unwrap_or_default();
        *response.body_mut() = Body::from(body);
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.extend(TO_BROWSERS);
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_millis().div_ceil(1000).max(1);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX)));
        }
        if self.code == Code::BodyTooLarge {
            // The rest of the body stays unread, so nothing can follow it on this connection.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if self.code.status() == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"postrider\""));
        }
    }
}

/// What a browser is told about an answer that is none of the pages: nobody keeps it, and nothing of it is run.
const TO_BROWSERS: [(HeaderName, HeaderValue); 3] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    ),
];

fn words(text: impl Display) -> String {
    text.to_string().chars().take(WORDS_CHARS_MAX).collect()
}

impl IntoResponse for Problem {
    /// The status alone: `context` writes the body, since it knows the request's id.
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Arc<StoreError>> for Problem {
    fn from(error: Arc<StoreError>) -> Self {
        Self::from(error.as_ref())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::from(&error)
    }
}

impl From<&StoreError> for Problem {
    fn from(error: &StoreError) -> Self {
        let cause = Some(error.to_string());
        if error.is_unavailable() {
            let detail = "the database cannot be used now; nothing was stored, so try again";
            return Self { retry_after: Some(UNAVAILABLE_RETRY), cause, ..Self::new(Code::Unavailable, detail) };
        }
        if let StoreError::Exists(what) = error {
            return Self::new(Code::Exists, format_args!("{what} exists already"));
        }
        let detail = "the request failed here; the log has the reason under the request's id";
        Self { cause, ..Self::new(Code::Internal, detail) }
    }
}

/// Gathers all faults of a body, so that they are told at once.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    base: String,
    found: Vec<Fault>,
}

impl Faults {
    /// Of a part of the body that is at `base`.
    pub(crate) fn below(base: &str) -> Self {
        Self { base: base.to_owned(), found: Vec::new() }
    }

    pub(crate) fn add(&mut self, pointer: &str, detail: impl Display) {
        let pointer = Some(format!("{}{pointer}", self.base));
        self.found.push(Fault { pointer, parameter: None, detail: words(detail) });
    }

    /// The value, or its fault noted.
    pub(crate) fn keep<T, E: Display>(&mut self, pointer: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(pointer, error)).ok()
    }

    /// The values of a list, or the faults noted each at its place.
    pub(crate) fn keep_all<T, U, E: Display>(
        &mut self,
        pointer: &str,
        list: Vec<T>,
        parse: impl Fn(T) -> Result<U, E>,
    ) -> Vec<U> {
        let place = |(place, one)| self.keep(&format!("{pointer}/{place}"), parse(one));
        list.into_iter().enumerate().filter_map(place).collect()
    }

    /// Notes a fault unless `holds`.
    pub(crate) fn check(&mut self, pointer: &str, holds: bool, detail: impl Display) {
        if !holds {
            self.add(pointer, detail);
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// # Errors
    /// When a fault was noted.
    pub(crate) fn result(self) -> Result<(), Problem> {
        if self.found.is_empty() { Ok(()) } else { Err(self.problem()) }
    }

    pub(crate) fn problem(self) -> Problem {
        let detail = match self.found.as_slice() {
            [only] => only.detail.clone(),
            many => format!("the body has {} faults; errors has each with its place", many.len()),
        };
        Problem { errors: self.found, ..Problem::new(Code::InvalidBody, detail) }
    }
}
