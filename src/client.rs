//! Calls of the shell's commands to a running server.

use std::{error::Error, time::Duration};

use anyhow::{anyhow, bail};
use clap::Args;
use postrider_core::domain::limits::PAGE_ROWS_MAX;
use reqwest::{Method, StatusCode};
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(30);
/// The same for a body that is sent as it is read.
const STREAM_MAX: Duration = Duration::from_secs(24 * 3600);

/// Which server, and as whom.
#[derive(Args)]
pub(crate) struct ServerArgs {
    /// Where the server is.
    #[arg(long, env = "POSTRIDER_URL", default_value = "http://127.0.0.1:7077")]
    url: String,
    /// A token of the server; make one with `postrider token create`.
    #[arg(long, env = "POSTRIDER_TOKEN", hide_env_values = true)]
    token: String,
    /// The tenant to act for, where the token is the administrator's.
    #[arg(long, env = "POSTRIDER_TENANT")]
    tenant: Option<String>,
}

impl ServerArgs {
    /// The server at `url`, called with `token`.
    pub(crate) fn of(url: String, token: String) -> Self {
        Self { url, token, tenant: None }
    }

    /// For this tenant, where the token is the administrator's.
    pub(crate) fn for_tenant(self, tenant: String) -> Self {
        Self { tenant: Some(tenant), ..self }
    }
}

/// A server's API.
pub(crate) struct Server {
    http: reqwest::Client,
    args: ServerArgs,
}

impl Server {
    pub(crate) fn new(args: ServerArgs) -> anyhow::Result<Self> {
        if !["http://", "https://"].iter().any(|scheme| args.url.starts_with(scheme)) {
            bail!("--url is {:?}; it has to begin with http:// or https://, as in http://127.0.0.1:7077", args.url);
        }
        Ok(Self { http: reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build()?, args })
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::GET, path, None, None).await
    }

    /// Every row of a list, page after page.
    pub(crate) async fn all(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let (mut rows, mut cursor) = (Vec::new(), String::new());
        loop {
            let mut page = self.get(&format!("{path}?limit={PAGE_ROWS_MAX}{cursor}")).await?;
            if let Some(Value::Array(data)) = page.get_mut("data").map(Value::take) {
                rows.extend(data);
            }
            match text_of(&page, "next_cursor") {
                "" => return Ok(rows),
                next => cursor = format!("&cursor={next}"),
            }
        }
    }

    /// Posts `body`, which is JSON, with an idempotency key where one is given.
    pub(crate) async fn post(&self, path: &str, body: String, key: Option<&str>) -> anyhow::Result<Value> {
        self.call(Method::POST, path, Some(body), key).await
    }

    /// Puts `body`, which is JSON.
    pub(crate) async fn put(&self, path: &str, body: String) -> anyhow::Result<Value> {
        self.call(Method::PUT, path, Some(body), None).await
    }

    /// Posts a body as it is read, however long that takes.
    pub(crate) async fn stream(&self, path: &str, media_type: &str, body: reqwest::Body) -> anyhow::Result<Value> {
        let request = self.request(Method::POST, path).timeout(STREAM_MAX).header("content-type", media_type);
        self.execute(request.body(body)).await
    }

    async fn call(&self, method: Method, path: &str, body: Option<String>, key: Option<&str>) -> anyhow::Result<Value> {
        let mut request = self.request(method, path);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        self.execute(request).await
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.server())).bearer_auth(&self.args.token);
        match &self.args.tenant {
            Some(tenant) => request.header("postrider-tenant", tenant),
            None => request,
        }
    }

    fn server(&self) -> &str {
        self.args.url.trim_end_matches('/')
    }

    async fn execute(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Value> {
        let server = self.server();
        let request = request.build().map_err(|error| {
            let why = root_cause(&error);
            anyhow!("the call to {server} cannot be made: {why}; are --url, --token, --tenant and the key right?")
        })?;
        let answer = self.http.execute(request).await.map_err(|error| unanswered(server, &error))?;
        let status = answer.status();
        let wait = answer.headers().get("retry-after").and_then(|wait| wait.to_str().ok()).map(str::to_owned);
        let text = answer.text().await.map_err(|error| unanswered(server, &error))?;
        match serde_json::from_str::<Value>(&text) {
            Ok(answer) if status.is_success() && answer.is_object() => Ok(answer),
            Ok(problem) if !status.is_success() && !text_of(&problem, "title").is_empty() => {
                Err(anyhow!(refusal(status, &problem, wait.as_deref())))
            }
            _ => Err(anyhow!("{server} answered {status}, but not as Postrider does; is --url right?")),
        }
    }
}

fn unanswered(server: &str, error: &reqwest::Error) -> anyhow::Error {
    let why = match error.is_timeout() {
        true => format!("nothing came within {} s", TIMEOUT.as_secs()),
        false => root_cause(error),
    };
    anyhow!("{server} does not answer: {why}; is the server running, and is --url right?")
}

/// The innermost cause: those around it say again that a request was not sent.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &(dyn Error + 'static) = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// What a problem (RFC 9457) says. Its detail says all that its title does, and where faults are listed they say what
/// the detail does: each at its place in the body, or at its parameter or header.
fn refusal(status: StatusCode, problem: &Value, wait: Option<&str>) -> String {
    let faults: Vec<&Value> = problem.get("errors").and_then(Value::as_array).into_iter().flatten().collect();
    let (title, detail) = (text_of(problem, "title"), text_of(problem, "detail"));
    let words = if detail.is_empty() || !faults.is_empty() { title } else { detail };
    let mut text = format!("the server answered {}: {words}", status.as_u16());
    if let Some(wait) = wait {
        text.push_str(&format!("; it asks to wait {wait} s"));
    }
    if status == StatusCode::UNAUTHORIZED {
        text.push_str("; --token takes it, and `postrider token create` makes one");
    }
    if status.is_server_error() {
        text.push_str(&format!("; its log has more at request {}", text_of(problem, "request_id")));
    }
    for fault in faults {
        let place = [text_of(fault, "pointer"), text_of(fault, "parameter")].concat();
        let place = if place.is_empty() { "the body" } else { &place };
        text.push_str(&format!("\n  {place}: {}", text_of(fault, "detail")));
    }
    text
}

/// A text within an answer, or nothing.
pub(crate) fn text_of<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_says_each_thing_once() {
        let said = |status: u16, problem: Value, wait: Option<&str>| {
            refusal(StatusCode::from_u16(status).unwrap(), &problem, wait)
        };
        let fault = |place: &str, name: &str, detail: &str| json!({ place: name, "detail": detail });
        let title = "The body is not what this call takes";
        let short = "a type is short";
        let one = json!({ "title": title, "detail": short, "errors": [fault("pointer", "/type", short)] });
        assert_eq!(said(422, one, None), format!("the server answered 422: {title}\n  /type: a type is short"));
        let two = json!({
            "title": title,
            "detail": "the body has 2 faults; errors has each with its place",
            "errors": [fault("pointer", "", "a"), fault("parameter", "limit", "b")],
        });
        assert_eq!(said(422, two, None), format!("the server answered 422: {title}\n  the body: a\n  limit: b"));
        let gone = json!({ "title": "There is no such thing", "detail": "there is no such dead letter" });
        assert_eq!(said(404, gone, None), "the server answered 404: there is no such dead letter");
        assert_eq!(said(404, json!({ "title": "Gone" }), None), "the server answered 404: Gone");
        let stranger = json!({ "title": "The token is not valid", "detail": "this token is unknown" });
        assert!(said(401, stranger, None).starts_with("the server answered 401: this token is unknown; --token takes"));
        let away = json!({ "title": "Not available", "detail": "try again", "request_id": "abc" });
        assert_eq!(
            said(503, away, Some("2")),
            "the server answered 503: try again; it asks to wait 2 s; its log has more at request abc"
        );
    }
}
