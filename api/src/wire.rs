//! Forms that several resources answer with: times, attempts, raw JSON.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use postrider_core::domain::{UnixMs, attempt::AttemptClass, dead_letter::PastAttempt};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// A time: RFC 3339 in UTC, with milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, format = DateTime)]
pub(crate) struct Time(pub(crate) UnixMs);

/// One try of a job.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AttemptJson {
    /// 1 for the first.
    n: u32,
    started_at: Time,
    duration_ms: u32,
    /// `succeeded` or `failed`.
    pub(crate) outcome: &'static str,
    /// What kind of failure: `http_status`, `redirect`, `timeout`, `dns`, `connect`, `tls`, `egress`, `protocol`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    error_class: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The first 4 KiB of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    response_body: Option<String>,
    /// The address that was dialled.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// Its outcome came too late and changed nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    late: bool,
}

impl From<PastAttempt> for AttemptJson {
    fn from(past: PastAttempt) -> Self {
        let succeeded = past.outcome == AttemptClass::Succeeded.as_str();
        Self {
            n: past.n,
            started_at: Time(past.started_at),
            duration_ms: past.duration_ms,
            outcome: if succeeded { "succeeded" } else { "failed" },
            error_class: (!succeeded).then_some(past.outcome),
            status_code: past.status_code,
            error: past.error,
            response_body: past.response_body,
            address: past.address,
            late: past.late,
        }
    }
}

/// Stored bytes as the JSON that they are; as a text where they are none.
pub(crate) fn raw(bytes: Vec<u8>) -> Option<Box<RawValue>> {
    let text = String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    RawValue::from_string(text.clone()).or_else(|_| serde_json::value::to_raw_value(&text)).ok()
}

pub(crate) fn created(body: impl Serialize) -> Response {
    (StatusCode::CREATED, Json(body)).into_response()
}

/// What was put: 201 where it was not there before.
pub(crate) fn kept(body: impl Serialize, is_new: bool) -> Response {
    if is_new { created(body) } else { Json(body).into_response() }
}

pub(crate) fn accepted(body: impl Serialize) -> Response {
    (StatusCode::ACCEPTED, Json(body)).into_response()
}
