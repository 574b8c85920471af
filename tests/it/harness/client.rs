//! A client of the API that shows the whole answer when it is not the expected one.

use std::{
    sync::{Arc, Once, RwLock},
    time::Duration,
};

use reqwest::{Method, header::HeaderMap};
use serde_json::{Value, json, value::RawValue};

/// Longer than any answer of the API may take, `/test` included.
const CALL: Duration = Duration::from_secs(60);

/// Speaks with one application by one token. Follows the application through restarts.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    address: Arc<RwLock<String>>,
    token: String,
}

/// A call to be made.
pub(crate) struct Call {
    http: reqwest::Client,
    url: String,
    method: Method,
    token: Option<String>,
    headers: Vec<(String, String)>,
    body: Option<(String, Vec<u8>)>,
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) call: String,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// `Null` where the body is not JSON.
    pub(crate) body: Value,
    pub(crate) text: String,
}

/// An endpoint as its maker knows it.
#[derive(Clone, Debug)]
pub(crate) struct MadeEndpoint {
    pub(crate) id: String,
    pub(crate) secret: String,
}

/// reqwest wants a TLS provider before its first client, also for plain HTTP.
pub(crate) fn install_tls_provider() {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| rustls::crypto::ring::default_provider().install_default().expect("the first provider"));
}

/// JSON text that is sent as it stands, with its spacing, key order and number forms.
fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).expect("JSON text")
}

impl Client {
    pub(crate) fn new(address: Arc<RwLock<String>>, token: &str) -> Self {
        install_tls_provider();
        let http = reqwest::Client::builder().timeout(CALL).no_proxy().build().expect("an HTTP client");
        Self { http, address, token: token.to_owned() }
    }

    /// The same application by another token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    pub(crate) fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> Call {
        self.call(Method::POST, path)
    }

    pub(crate) fn patch(&self, path: &str) -> Call {
        self.call(Method::PATCH, path)
    }

    pub(crate) fn delete(&self, path: &str) -> Call {
        self.call(Method::DELETE, path)
    }

    pub(crate) fn call(&self, method: Method, path: &str) -> Call {
        Call {
            http: self.http.clone(),
            url: format!("http://{}{path}", self.address.read().unwrap()),
            method,
            token: Some(self.token.clone()),
            headers: Vec::new(),
            body: None,
        }
    }

    /// Makes a tenant, and speaks for it by a token of its own administrator.
    pub(crate) async fn new_tenant(&self, slug: &str) -> Self {
        self.post("/v1/tenants").json(&json!({ "slug": slug, "name": slug })).send().await.expect(201);
        let token = json!({ "name": "first", "role": "admin" });
        let made = self.post("/v1/tokens").header("postrider-tenant", slug).json(&token).send().await.expect(201);
        self.with_token(&made.string("/token"))
    }

    /// Makes an endpoint at `url` with the fields of `extras` (an object) beside it.
    pub(crate) async fn create_endpoint(&self, url: &str, extras: Value) -> MadeEndpoint {
        let mut body = json!({ "url": url });
        body.as_object_mut().unwrap().extend(extras.as_object().expect("an object").clone());
        let made = self.post("/v1/endpoints").json(&body).send().await.expect(201);
        MadeEndpoint { id: made.string("/id"), secret: made.string("/secret") }
    }

    /// Makes as many endpoints at `url`, each a lane of its own; events of type `lane.0` go to the first, and so on. A new
    /// lane begins with two calls at a time.
    pub(crate) async fn create_lanes(&self, count: usize, url: &str, extras: Value) {
        for lane in 0..count {
            let mut body = json!({ "event_types": [format!("lane.{lane}")] });
            body.as_object_mut().unwrap().extend(extras.as_object().expect("an object").clone());
            self.create_endpoint(url, body).await;
        }
    }

    /// Publishes `payload` with exactly this text, and gives the event's id.
    pub(crate) async fn publish(&self, kind: &str, payload: &str) -> String {
        let body = format!(r#"{{"type": "{kind}", "payload": {}}}"#, raw(payload).get());
        self.post("/v1/events").json_text(body).send().await.expect(202).string("/id")
    }

    /// The jobs that deliver an event, by endpoint: pairs of endpoint id and job id.
    pub(crate) async fn jobs_of(&self, event: &str) -> Vec<(String, String)> {
        let shown = self.get(&format!("/v1/events/{event}")).send().await.expect(200);
        let deliveries = shown.list("/deliveries");
        deliveries.iter().map(|one| (text_at(one, "/endpoint_id"), text_at(one, "/job_id"))).collect()
    }

    /// The one job that delivers an event which goes to one endpoint.
    pub(crate) async fn job_of(&self, event: &str) -> String {
        let mut jobs = self.jobs_of(event).await;
        assert_eq!(jobs.len(), 1, "one delivery of {event}, not {jobs:?}");
        jobs.remove(0).1
    }

    /// Every item of a list, page after page.
    pub(crate) async fn all(&self, path: &str) -> Vec<Value> {
        let glue = if path.contains('?') { '&' } else { '?' };
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("{path}{glue}limit=250{cursor}")).send().await.expect(200);
            items.extend(page.list("/data"));
            match page.body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
    }

    /// The dead letters of an endpoint.
    pub(crate) async fn dead_letters(&self, endpoint: &str) -> Vec<Value> {
        self.all(&format!("/v1/dead-letters?endpoint={endpoint}")).await
    }
}

impl Call {
    pub(crate) fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    pub(crate) fn without_token(mut self) -> Self {
        self.token = None;
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.json_text(body.to_string())
    }

    pub(crate) fn json_text(self, body: impl Into<Vec<u8>>) -> Self {
        self.body("application/json", body)
    }

    pub(crate) fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some((content_type.to_owned(), body.into()));
        self
    }

    pub(crate) async fn send(self) -> Answer {
        let call = format!("{} {}", self.method, self.url);
        self.try_send().await.unwrap_or_else(|error| panic!("{call}: {error:?}"))
    }

    /// As [`Self::send`], for when the server may be down.
    pub(crate) async fn try_send(self) -> reqwest::Result<Answer> {
        let call = format!("{} {}", self.method, self.url);
        let mut request = self.http.request(self.method, &self.url);
        if let Some(token) = self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        if let Some((content_type, body)) = self.body {
            request = request.header("content-type", content_type).body(body);
        }
        let answer = request.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Answer { call, status, headers, body, text })
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{} answered\n{:#?}\n{}", self.call, self.headers, self.text);
        self
    }

    /// That this is the problem `code` with everything that a problem has (RFC 9457, and our `code` and `request_id`).
    #[track_caller]
    pub(crate) fn expect_problem(self, status: u16, code: &str) -> Self {
        let answer = self.expect(status);
        let content_type = answer.header("content-type").unwrap_or_default();
        assert!(content_type.starts_with("application/problem+json"), "{} is {content_type}", answer.call);
        assert_eq!(answer.body["code"], code, "{}\n{}", answer.call, answer.text);
        assert_eq!(answer.body["status"], status, "{}", answer.text);
        for field in ["type", "title", "detail", "request_id"] {
            assert!(answer.body[field].as_str().is_some_and(|text| !text.is_empty()), "{field} in {}", answer.text);
        }
        answer
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The text at a JSON pointer.
    #[track_caller]
    pub(crate) fn string(&self, pointer: &str) -> String {
        text_at(&self.body, pointer)
    }

    #[track_caller]
    pub(crate) fn list(&self, pointer: &str) -> Vec<Value> {
        let list = self.body.pointer(pointer).and_then(Value::as_array);
        list.unwrap_or_else(|| panic!("{}: no list at {pointer} in {}", self.call, self.text)).clone()
    }
}

#[track_caller]
fn text_at(value: &Value, pointer: &str) -> String {
    let text = value.pointer(pointer).and_then(Value::as_str);
    text.unwrap_or_else(|| panic!("no text at {pointer} in {value}")).to_owned()
}
