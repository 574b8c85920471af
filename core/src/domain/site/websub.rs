//! WebSub (W3C Recommendation, 23 January 2018): a hub is told that a feed has changed, and tells its readers. The call is the
//! one that hubs have taken since PubSubHubbub 0.4 (section 7), since WebSub leaves it to them.

use crate::domain::{egress::EndpointUrl, http_request::HttpRequest, retry::RetrySchedule};

const TIMEOUT_MS: u32 = 30_000;
/// Seconds. Later the news are old.
const RETRIES: [f64; 4] = [10.0, 60.0, 300.0, 1_800.0];

/// The call that tells a hub of a changed feed.
#[must_use]
pub fn call(hub: &EndpointUrl, feed: &str) -> HttpRequest {
    let body = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("hub.mode", "publish")
        .append_pair("hub.url", feed)
        .append_pair("hub.topic", feed)
        .finish();
    HttpRequest {
        method: "POST".to_owned(),
        url: hub.clone(),
        headers: vec![("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned())],
        body: Some(body),
        timeout_ms: TIMEOUT_MS,
        retry_schedule: RetrySchedule::from_seconds(&RETRIES).unwrap_or_default(),
    }
}
