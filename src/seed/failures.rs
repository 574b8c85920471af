//! The failures that made-up attempts meet, in the words that real ones are recorded with.

use postrider_core::domain::attempt::AttemptClass;
use rand::{Rng, rngs::StdRng, seq::IndexedRandom};

/// What an attempt met.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    pub(super) class: AttemptClass,
    pub(super) status_code: Option<u16>,
    pub(super) error: &'static str,
    pub(super) response: Option<&'static str>,
    /// From this many milliseconds to twice as many.
    pub(super) duration_ms: u32,
}

const fn status(code: u16, error: &'static str, response: &'static str, duration_ms: u32) -> Failure {
    Failure { class: AttemptClass::HttpStatus, status_code: Some(code), error, response: Some(response), duration_ms }
}

const fn broken(class: AttemptClass, error: &'static str, duration_ms: u32) -> Failure {
    Failure { class, status_code: None, error, response: None, duration_ms }
}

/// The receiver wants no more of it, ever.
pub(super) const GONE: Failure = status(410, "HTTP 410 Gone", "{\"error\":\"this integration was removed\"}", 20);
pub(super) const INVALID: Failure =
    broken(AttemptClass::Invalid, "its arguments cannot be read: missing field `url` at line 1 column 42", 0);

const ALL: [Failure; 15] = [
    status(500, "HTTP 500 Internal Server Error", "<html><body><h1>Internal Server Error</h1></body></html>", 40),
    status(500, "HTTP 500 Internal Server Error", "{\"error\":\"null pointer in OrderHandler.apply\"}", 60),
    status(502, "HTTP 502 Bad Gateway", "<html><head><title>502 Bad Gateway</title></head></html>", 15),
    status(503, "HTTP 503 Service Unavailable", "{\"message\":\"down for maintenance\"}", 8),
    status(504, "HTTP 504 Gateway Timeout", "upstream request timeout", 10_000),
    status(429, "HTTP 429 Too Many Requests", "{\"error\":\"rate limit exceeded\"}", 6),
    status(404, "HTTP 404 Not Found", "{\"error\":\"no route for this path\"}", 12),
    status(401, "HTTP 401 Unauthorized", "{\"error\":\"signature mismatch\"}", 12),
    status(
        422,
        "HTTP 422 Unprocessable Content",
        "{\"errors\":[{\"field\":\"total\",\"code\":\"must_be_positive\"}]}",
        30,
    ),
    Failure {
        class: AttemptClass::Redirect,
        status_code: Some(301),
        error: "HTTP 301 Moved Permanently: redirects are not followed",
        response: Some(""),
        duration_ms: 9,
    },
    broken(AttemptClass::Timeout, "no answer within 15 s", 15_000),
    broken(AttemptClass::Connect, "connection refused", 2),
    broken(AttemptClass::Connect, "connection closed before an answer", 25),
    broken(AttemptClass::Dns, "the name does not exist", 30),
    broken(AttemptClass::Tls, "TLS: the certificate has expired", 35),
];

/// What goes wrong at one receiver most of the time.
pub(super) fn habit(dice: &mut StdRng) -> Failure {
    *ALL.choose(dice).unwrap_or(&GONE)
}

/// What goes wrong now at a receiver with this habit.
pub(super) fn meet(habit: Failure, dice: &mut StdRng) -> Failure {
    let is_final = habit.status_code == GONE.status_code || habit.class == AttemptClass::Invalid;
    if is_final || dice.random_bool(0.85) { habit } else { self::habit(dice) }
}
