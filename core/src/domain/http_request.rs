//! The arguments of a job of kind `http.request`: any HTTP call, made later and retried.

use super::{egress::EndpointUrl, retry::RetrySchedule};

/// A call to be made. Its success is a 2xx within the timeout.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpRequest {
    /// GET, POST, PUT, PATCH, DELETE or HEAD.
    pub method: String,
    pub url: EndpointUrl,
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// Sent as it stands.
    #[serde(default)]
    pub body: Option<String>,
    pub timeout_ms: u32,
    pub retry_schedule: RetrySchedule,
}
