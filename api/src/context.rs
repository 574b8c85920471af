//! What surrounds every request: its id, the body of its refusal, its count, and a net under panics.

use std::any::Any;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    header::only,
    metrics::ApiMetrics,
    problem::{Code, Problem},
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_BYTES_MAX: usize = 128;

/// Puts all of a process' routes into their surroundings: what nothing is at, a wrong method and a panic are problems
/// like others, and every answer has its request's id.
pub fn surrounded(routes: Router, metrics: ApiMetrics) -> Router {
    routes
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(metrics, surround))
}

async fn surround(State(metrics): State<ApiMetrics>, request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        problem.write(&id, &mut response);
    }
    let status = response.status();
    if status.is_server_error() {
        tracing::warn!(%method, path, status = status.as_u16(), request_id = id, "a request failed");
    }
    metrics.answered(status);
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// The caller's id where it is one, short and plain, so that it can be searched for in both logs; else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let plain = |id: &&str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(known)
    };
    let given = only(headers, REQUEST_ID.as_str()).ok().flatten().and_then(|id| id.to_str().ok()).filter(plain);
    given.map_or_else(|| uuid::Uuid::now_v7().simple().to_string(), str::to_owned)
}

/// The answer for a path that nothing is at.
pub(crate) async fn not_found() -> Problem {
    Problem::new(Code::NotFound, "there is nothing at this path; /openapi.json lists the calls")
}

async fn method_not_allowed() -> Problem {
    Problem::new(Code::MethodNotAllowed, "this path has other methods; Allow lists them")
}

fn panicked(cause: Box<dyn Any + Send + 'static>) -> Response {
    let text = match cause.downcast::<String>() {
        Ok(text) => *text,
        Err(cause) => cause.downcast::<&str>().map(|text| (*text).to_owned()).unwrap_or_default(),
    };
    tracing::error!(panic = text, "a request's handler panicked");
    Problem::new(Code::Internal, "the request failed here; the log has the reason").into_response()
}
