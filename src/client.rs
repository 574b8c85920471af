//! Calls of the shell's commands to a running server.

use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use reqwest::{Method, StatusCode};
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(30);

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

/// A server's API.
pub(crate) struct Server {
    http: reqwest::Client,
    args: ServerArgs,
}

impl Server {
    pub(crate) fn new(args: ServerArgs) -> anyhow::Result<Self> {
        Ok(Self { http: reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build()?, args })
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::GET, path, None, None).await
    }

    /// Posts `body`, which is JSON, with an idempotency key where one is given.
    pub(crate) async fn post(&self, path: &str, body: String, key: Option<&str>) -> anyhow::Result<Value> {
        self.call(Method::POST, path, Some(body), key).await
    }

    async fn call(&self, method: Method, path: &str, body: Option<String>, key: Option<&str>) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.args.url.trim_end_matches('/'));
        let mut request = self.http.request(method, &url).bearer_auth(&self.args.token);
        if let Some(tenant) = &self.args.tenant {
            request = request.header("postrider-tenant", tenant);
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let request = request
            .build()
            .with_context(|| format!("the call to {url} cannot be made; are --url, --tenant and the like right?"))?;
        let answer = self
            .http
            .execute(request)
            .await
            .with_context(|| format!("{url} does not answer; is the server running, and is --url right?"))?;
        let status = answer.status();
        let text = answer.text().await.with_context(|| format!("the answer of {url} broke off"))?;
        let value: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        if status.is_success() {
            return Ok(value);
        }
        Err(refusal(status, &value))
    }
}

/// What a problem (RFC 9457) says, with each fault at its place in the body, or at its parameter or header.
fn refusal(status: StatusCode, problem: &Value) -> anyhow::Error {
    let parts = [text_of(problem, "title"), text_of(problem, "detail")];
    let words = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
    let faults = problem.get("errors").and_then(Value::as_array).into_iter().flatten();
    let fault = |fault: &Value| {
        let place = [text_of(fault, "pointer"), text_of(fault, "parameter")].concat();
        let place = if place.is_empty() { "the body" } else { &place };
        format!("\n  {place}: {}", text_of(fault, "detail"))
    };
    anyhow!("the server answered {status}: {words}{}", faults.map(fault).collect::<String>())
}

/// A text within an answer, or nothing.
pub(crate) fn text_of<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}
