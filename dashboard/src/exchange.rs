//! A request beside its answer: what was sent to a receiver, with what is secret in it hidden, what came back, and the same
//! call for a shell.

use postrider_core::domain::{
    dead_letter::PastAttempt, endpoint::Endpoint, http_request::HttpRequest, sent::ShownHeaders,
};

use crate::{
    body::Body,
    moment::{Moment, length},
    shell::quoted,
    visit::Visit,
};

pub(crate) const HIDDEN: &str = "(hidden)";
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

/// Why what was sent may have differed from what is shown: attempts do not keep what their endpoint adds of its own; of the
/// last one, a dead letter does.
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
    /// As its dead letter keeps them; `None`: they are not known, and made of what the endpoint is now.
    pub(crate) headers: Option<ShownHeaders>,
    /// As it is now; `None`: it is deleted.
    pub(crate) endpoint: Option<&'a Endpoint>,
}

impl Exchange {
    pub(crate) fn of_delivery(visit: &Visit, delivery: Delivery<'_>, history: &[PastAttempt]) -> Self {
        let Delivery { url, message_id, payload, headers, endpoint } = delivery;
        let (headers, doubt) = match (headers, endpoint) {
            (Some(headers), _) => (headers, None),
            (None, endpoint) => rebuilt(visit, &message_id, endpoint, history),
        };
        let made = Self::made("POST".to_owned(), visit.url(&url), &headers, Some(visit.body(payload)));
        Self { doubt, ..made.answered(visit, history) }
    }

    /// Of a job `http.request`; `None` where its arguments cannot be read.
    pub(crate) fn of_call(visit: &Visit, args: &[u8], history: &[PastAttempt]) -> Option<Self> {
        let HttpRequest { method, url, headers, body, .. } = serde_json::from_slice(args).ok()?;
        let body = body.map(|body| visit.body(body.as_bytes()));
        Some(Self::made(method, visit.url(url.as_str()), &ShownHeaders::of(&headers), body).answered(visit, history))
    }

    fn made(method: String, url: String, headers: &ShownHeaders, body: Option<Body>) -> Self {
        let headers = in_text(headers);
        let curl = curl(&method, &url, &headers, body.as_ref());
        Self { method, url, headers, body, curl, answer: None, doubt: None }
    }

    fn answered(self, visit: &Visit, history: &[PastAttempt]) -> Self {
        let answer = PastAttempt::last_tried(history).map(|attempt| Answer {
            n: attempt.n,
            status: attempt.status_code,
            duration: length(attempt.duration_ms.into()),
            error: attempt.error.clone(),
            body: attempt.response_body.as_ref().map(|body| visit.answer(body)),
        });
        Self { answer, ..self }
    }
}

/// As the worker would make them of what the endpoint is now, and why they may have been others.
fn rebuilt(
    visit: &Visit,
    message_id: &str,
    endpoint: Option<&Endpoint>,
    history: &[PastAttempt],
) -> (ShownHeaders, Option<Doubt>) {
    let sent = PastAttempt::last_tried(history).map(|attempt| attempt.started_at);
    let own = endpoint.map(|endpoint| endpoint.settings.headers.as_slice()).unwrap_or_default();
    let headers = ShownHeaders::of_delivery(message_id, sent.unwrap_or(visit.now), own);
    let doubt = match (endpoint, sent) {
        (None, _) => Some(Doubt::Deleted),
        (Some(endpoint), Some(sent)) if endpoint.updated_at > sent => {
            Some(Doubt::ChangedSince(Moment::of(endpoint.updated_at, visit.now)))
        }
        _ => None,
    };
    (headers, doubt)
}

/// Headers with what is secret in them hidden.
pub(crate) fn without_secrets(headers: &[(String, String)]) -> Vec<(String, String)> {
    in_text(&ShownHeaders::of(headers))
}

fn in_text(headers: &ShownHeaders) -> Vec<(String, String)> {
    let text = |(name, value): (&str, Option<&str>)| {
        let value = match value {
            Some(value) => value.to_owned(),
            None if name.eq_ignore_ascii_case("webhook-signature") => format!("v1,{HIDDEN}"),
            None => HIDDEN.to_owned(),
        };
        (name.to_owned(), value)
    };
    headers.iter().map(text).collect()
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
    if let Some(headers) = json.get_mut("headers") {
        // What cannot be read may be a secret.
        let read = serde_json::from_value::<Vec<(String, String)>>(headers.take());
        *headers = read.map_or_else(|_| HIDDEN.into(), |read| serde_json::json!(without_secrets(&read)));
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
    use postrider_core::domain::UnixMs;

    use super::*;

    #[test]
    fn what_is_secret_in_headers_is_hidden_and_an_own_one_takes_the_place_of_ours() {
        let own = [("Authorization", "Bearer abc"), ("X-Api-Key", "abc"), ("User-Agent", "It's")];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let headers = ShownHeaders::of_delivery("evt_1", UnixMs(1_700_000_000_999), &own);
        let body = Body::of("{}".to_owned(), 2);
        let made = Exchange::made("POST".to_owned(), "https://a.example/?a[]=1".to_owned(), &headers, Some(body));
        assert_eq!(
            made.curl,
            "curl --globoff --request 'POST' --url 'https://a.example/?a[]=1' \\\n  --header 'content-type: application/json' \\\n  \
            --header 'webhook-id: evt_1' \\\n  --header 'webhook-timestamp: 1700000000' \\\n  \
            --header 'webhook-signature: v1,(hidden)' \\\n  --header 'Authorization: (hidden)' \\\n  \
            --header 'X-Api-Key: (hidden)' \\\n  --header 'User-Agent: It'\\''s' \\\n  --data-raw '{}'"
        );
    }
}
