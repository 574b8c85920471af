//! The arguments of a job of kind `http.request`: any HTTP call, made later and retried.

use url::Url;

use super::{egress::EndpointUrl, lane::LaneName, retry::RetrySchedule};

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

impl HttpRequest {
    /// The lane of its host; of the host's hash where that is too long or odd for a lane's name.
    #[must_use]
    pub fn host_lane(&self) -> LaneName {
        let url = Url::parse(self.url.as_str()).ok();
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
        LaneName::of_host("host:", host)
    }
}
