//! A request beside its answer: what was sent to a receiver, with what is secret in it hidden, what came back, and the same
//! call for a shell.

use postrider_core::domain::{
    UnixMs, attempt::AttemptClass, dead_letter::PastAttempt, endpoint::Endpoint, http_request::HttpRequest,
};

use crate::{
    body::Body,
    moment::{Moment, length},
    shell::quoted,
    visit::Visit,
};

pub(crate) const HIDDEN: &str = "(hidden)";
/// Headers whose values are shown: any other may be what a receiver knows us by.
const PLAIN_NAMES: [&str; 6] = ["accept", "content-type", "user-agent", "webhook-id", "webhook-timestamp", "host"];
/// A longer body stands in a file beside the command.
const CURL_BODY_BYTES_MAX: usize = 16 * 1024;

pub(crate) struct Exchange {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Body>,
    pub(crate) curl: String,
    pub(crate) answer: Option<Answer>,
    pub(crate) doubt: Option<Doubt>,
}

/// Why what was sent may have differed from what is shown: attempts do not keep what their endpoint adds of its own.
pub(crate) enum Doubt {
    Deleted,
    ChangedSince(Moment),
}

/// What the last attempt met.
pub(crate) struct Answer {
    pub(crate) n: u32,
    pub(crate) status: Option<u16>,
    pub(crate) duration: String,
    pub(crate) error: Option<String>,
    pub(crate) body: Option<Body>,
}

/// A delivery, as far as it is known.
pub(crate) struct Delivery<'a> {
    pub(crate) url: String,
    pub(crate) message_id: String,
    pub(crate) payload: &'a [u8],
    /// As it is now; `None`: it is deleted.
    pub(crate) endpoint: Option<&'a Endpoint>,
}

impl Exchange {
    pub(crate) fn of_delivery(visit: &Visit, delivery: Delivery<'_>, history: &[PastAttempt]) -> Self {
        let sent = last_tried(history).map(|attempt| attempt.started_at);
        let Delivery { url, message_id, payload, endpoint } = delivery;
        let own_headers = endpoint.map(|endpoint| endpoint.settings.headers.clone()).unwrap_or_default();
        let headers = sent_headers(message_id, sent.unwrap_or(visit.now), own_headers);
        let doubt = match (endpoint, sent) {
            (None, _) => Some(Doubt::Deleted),
            (Some(endpoint), Some(sent)) if endpoint.updated_at > sent => {
                Some(Doubt::ChangedSince(Moment::of(endpoint.updated_at, visit.now)))
            }
            _ => None,
        };
        let made = Self::made("POST".to_owned(), visit.url(&url), headers, Some(visit.body(payload)));
        Self { doubt, ..made.answered(visit, history) }
    }

    /// Of a job `http.request`; `None` where its arguments cannot be read.
    pub(crate) fn of_call(visit: &Visit, args: &[u8], history: &[PastAttempt]) -> Option<Self> {
        let HttpRequest { method, url, headers, body, .. } = serde_json::from_slice(args).ok()?;
        let body = body.map(|body| visit.body(body.as_bytes()));
        Some(Self::made(method, visit.url(url.as_str()), headers, body).answered(visit, history))
    }

    fn made(method: String, url: String, headers: Vec<(String, String)>, body: Option<Body>) -> Self {
        let headers = headers.into_iter().map(without_secret).collect();
        let curl = curl(&method, &url, &headers, body.as_ref());
        Self { method, url, headers, body, curl, answer: None, doubt: None }
    }

    fn answered(self, visit: &Visit, history: &[PastAttempt]) -> Self {
        let answer = last_tried(history).map(|attempt| Answer {
            n: attempt.n,
            status: attempt.status_code,
            duration: length(attempt.duration_ms.into()),
            error: attempt.error.clone(),
            body: attempt.response_body.as_ref().map(|body| visit.answer(body)),
        });
        Self { answer, ..self }
    }
}

/// The last attempt that may have called somebody.
fn last_tried(history: &[PastAttempt]) -> Option<&PastAttempt> {
    history.iter().rev().find(|attempt| !attempt.late && attempt.outcome != AttemptClass::Lost.as_str())
}

/// As the worker makes them for an attempt at this time.
fn sent_headers(message_id: String, at: UnixMs, own: Vec<(String, String)>) -> Vec<(String, String)> {
    let ours = [
        ("content-type", "application/json".to_owned()),
        ("user-agent", format!("Postrider/{}", env!("CARGO_PKG_VERSION"))),
        ("webhook-id", message_id),
        ("webhook-timestamp", at.0.div_euclid(1000).to_string()),
        ("webhook-signature", format!("v1,{HIDDEN}")),
    ];
    let replaced = |name: &str| own.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
    let mut headers: Vec<(String, String)> =
        ours.into_iter().filter(|(name, _)| !replaced(name)).map(|(name, value)| (name.to_owned(), value)).collect();
    headers.extend(own);
    headers
}

pub(crate) fn without_secret((name, value): (String, String)) -> (String, String) {
    let lower = name.to_ascii_lowercase();
    match lower.as_str() {
        "webhook-signature" => (name, format!("v1,{HIDDEN}")),
        plain if PLAIN_NAMES.contains(&plain) => (name, value),
        _ => (name, HIDDEN.to_owned()),
    }
}

/// The arguments of a call as somebody may see them who is not to see its headers: their values hidden, and the body as
/// payloads are.
pub(crate) fn arguments_shown(visit: &Visit, args: &[u8]) -> String {
    let Ok(mut json) = serde_json::from_slice::<serde_json::Value>(args) else { return HIDDEN.to_owned() };
    if let Some(body) = json.get("body").and_then(serde_json::Value::as_str) {
        json["body"] = visit.body(body.as_bytes()).raw.into();
    }
    if let Some(url) = json.get("url").and_then(serde_json::Value::as_str) {
        json["url"] = visit.url(url).into();
    }
    if let Some(headers) = json.get_mut("headers").and_then(serde_json::Value::as_array_mut) {
        for header in headers {
            let name = header.get(0).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
            let value = header.get(1).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
            let (name, value) = without_secret((name, value));
            *header = serde_json::json!([name, value]);
        }
    }
    json.to_string()
}

fn curl(method: &str, url: &str, headers: &Vec<(String, String)>, body: Option<&Body>) -> String {
    // Without --globoff, brackets and braces in the address are patterns.
    let mut command = format!("curl --globoff --request {} --url {}", quoted(method), quoted(url));
    for (name, value) in headers {
        command.push_str(&format!(" \\\n  --header {}", quoted(&format!("{name}: {value}"))));
    }
    match body {
        Some(body) if body.bytes > CURL_BODY_BYTES_MAX => command.push_str(" \\\n  --data-binary @body"),
        Some(body) => command.push_str(&format!(" \\\n  --data-raw {}", quoted(&body.raw))),
        None => {}
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_in_headers_is_hidden_and_an_own_one_takes_the_place_of_ours() {
        let own = [("Authorization", "Bearer abc"), ("X-Api-Key", "abc"), ("User-Agent", "It's")];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let headers = sent_headers("evt_1".to_owned(), UnixMs(1_700_000_000_999), own);
        let body = Body::of("{}".to_owned(), 2);
        let made = Exchange::made("POST".to_owned(), "https://a.example/?a[]=1".to_owned(), headers, Some(body));
        assert_eq!(
            made.curl,
            "curl --globoff --request 'POST' --url 'https://a.example/?a[]=1' \\\n  --header 'content-type: application/json' \\\n  \
            --header 'webhook-id: evt_1' \\\n  --header 'webhook-timestamp: 1700000000' \\\n  \
            --header 'webhook-signature: v1,(hidden)' \\\n  --header 'Authorization: (hidden)' \\\n  \
            --header 'X-Api-Key: (hidden)' \\\n  --header 'User-Agent: It'\\''s' \\\n  --data-raw '{}'"
        );
    }
}
