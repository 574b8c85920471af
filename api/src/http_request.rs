//! The arguments of a job `http.request`, as callers write and read them.

use std::sync::Arc;

use postrider_core::domain::{
    egress::{EndpointUrl, HeadersOf},
    endpoint::{TIMEOUT_MS, TIMEOUT_MS_DEFAULT},
    http_request::HttpRequest,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::{
    endpoint_settings::keep_headers,
    json::{HeaderList, Object, parse_at},
    problem::{Code, Faults, Problem},
    retries::{RetriesGiven, RetryBackoffJson},
    state::ApiSettings,
    wire::raw,
};

const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"];

/// An HTTP call. A 2xx within the timeout is success.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = HttpRequestArgs)]
pub(crate) struct HttpRequestJson {
    /// GET, POST, PUT, PATCH, DELETE or HEAD.
    method: String,
    url: String,
    #[schema(value_type = Option<std::collections::HashMap<String, String>>)]
    headers: Option<HeaderList>,
    /// Sent as it stands.
    body: Option<String>,
    #[schema(minimum = 100, maximum = 60_000)]
    timeout_ms: Option<u32>,
    /// Seconds before each retry.
    #[schema(max_items = 49)]
    retry_schedule_seconds: Option<Vec<f64>>,
    #[schema(value_type = Option<RetryBackoffJson>)]
    retry_backoff: Option<Object<RetryBackoffJson>>,
}

/// The arguments of calls as people write them, and as jobs keep them, for whoever else takes them from people.
#[derive(Clone, Debug)]
pub struct CallArguments(Arc<ApiSettings>);

impl CallArguments {
    #[must_use]
    pub fn new(settings: ApiSettings) -> Self {
        Self(Arc::new(settings))
    }

    /// Stored arguments as callers write them; `None` where they cannot be read.
    #[must_use]
    pub fn shown(&self, stored: &[u8]) -> Option<String> {
        show(stored.to_vec()).map(|shown| shown.get().to_owned())
    }

    /// What callers wrote, as a job keeps it.
    ///
    /// # Errors
    /// Every fault, in words.
    pub fn read(&self, text: &str) -> Result<Vec<u8>, String> {
        read(&self.0, text, "").and_then(|request| stored(&request)).map_err(|problem| problem.in_words())
    }
}

/// Reads the arguments that are at `base` of a body.
///
/// # Errors
/// 422 with every fault; 413 when the call's body is too large.
pub(crate) fn read(settings: &ApiSettings, text: &str, base: &str) -> Result<HttpRequest, Problem> {
    let args: HttpRequestJson = parse_at(text, base)?;
    let bytes = args.body.as_ref().map_or(0, String::len);
    if bytes > settings.payload_bytes_max {
        let detail = format!("the body has {bytes} bytes; it may have {}", settings.payload_bytes_max);
        return Err(Problem::at(Code::PayloadTooLarge, format!("{base}/body"), detail));
    }
    let mut faults = Faults::below(base);
    let method = args.method.to_ascii_uppercase();
    let known = METHODS.contains(&method.as_str());
    faults.check("/method", known, format_args!("{:?} is not one of {}", args.method, METHODS.join(", ")));
    let url = faults.keep("/url", EndpointUrl::parse(&args.url, &settings.egress));
    let HeaderList(headers) = args.headers.unwrap_or_default();
    keep_headers("/headers", &headers, HeadersOf::HttpRequest, &mut faults);
    let timeout_ms = args.timeout_ms.unwrap_or(TIMEOUT_MS_DEFAULT);
    let detail = format!("{timeout_ms} is not from {} to {}", TIMEOUT_MS.start(), TIMEOUT_MS.end());
    faults.check("/timeout_ms", TIMEOUT_MS.contains(&timeout_ms), detail);
    let retries = RetriesGiven {
        seconds: args.retry_schedule_seconds,
        backoff: args.retry_backoff.map(|Object(backoff)| backoff),
    };
    let retry_schedule = retries.keep(&settings.retry_schedule, &mut faults);
    let (Some(url), Some(retry_schedule)) = (url, retry_schedule) else { return Err(faults.problem()) };
    faults.result()?;
    Ok(HttpRequest { method, url, headers, body: args.body, timeout_ms, retry_schedule })
}

/// The arguments as a job keeps them.
///
/// # Errors
/// 500, which no arguments that were read can cause.
pub(crate) fn stored(request: &HttpRequest) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(request).map_err(|error| Problem::new(Code::Internal, error))
}

/// Stored arguments as callers wrote them; as they are stored where they cannot be read.
pub(crate) fn show(bytes: Vec<u8>) -> Option<Box<RawValue>> {
    let Ok(request) = serde_json::from_slice::<HttpRequest>(&bytes) else { return raw(bytes) };
    let shown = HttpRequestJson {
        method: request.method,
        url: request.url.as_str().to_owned(),
        headers: Some(HeaderList(request.headers)),
        body: request.body,
        timeout_ms: Some(request.timeout_ms),
        retry_schedule_seconds: Some(request.retry_schedule.seconds()),
        retry_backoff: request.retry_schedule.backoff().map(|backoff| Object(backoff.into())),
    };
    serde_json::value::to_raw_value(&shown).ok()
}
