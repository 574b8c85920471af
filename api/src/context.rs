//! What surrounds every request: its id, the body of its refusal, its count, its failure in the log, and a net under
//! panics.

use std::{
    any::Any,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    header::only,
    metrics::ApiMetrics,
    problem::{Code, Problem},
    public_files::{self, PublicFiles},
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_BYTES_MAX: usize = 128;
/// Between two lines in the log for requests that nothing can be done for now: an outage refuses thousands.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// Puts all of a process' routes into their surroundings: what nothing is at, a wrong method and a panic are problems
/// like others, and every answer has its request's id.
pub fn surrounded(routes: Router, public: PublicFiles, metrics: ApiMetrics) -> Router {
    routes
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(public, public_files::serve))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state((metrics, Told::default()), surround))
}

async fn surround(State((metrics, told)): State<(ApiMetrics, Told)>, request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = match check_host(&request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let problem = response.extensions_mut().remove::<Problem>();
    if let Some(problem) = &problem {
        problem.write(&id, &mut response);
    }
    let status = response.status();
    let cause = problem.and_then(|problem| problem.cause).unwrap_or_default();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        if let Some(others) = told.now() {
            tracing::warn!(%method, path, request_id = id, cause, others, "requests are refused with 503");
        }
    } else if status.is_server_error() {
        tracing::error!(%method, path, status = status.as_u16(), request_id = id, cause, "a request failed");
    }
    metrics.answered(status);
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// A request of HTTP/1.1 names its host once, or is refused (RFC 9112, section 3.2): a proxy in front might take it for
/// another's.
fn check_host(request: &Request) -> Result<(), Problem> {
    let host = only(request.headers(), header::HOST.as_str())?;
    if host.is_none() && request.version() == Version::HTTP_11 {
        return Err(Problem::of_parameter(Code::BadHeader, "Host", "it is missing; send one (RFC 9112, section 3.2)"));
    }
    Ok(())
}

/// When a refusal was told of last, and how many were not since.
#[derive(Clone, Debug, Default)]
struct Told(Arc<Mutex<(Option<Instant>, u64)>>);

impl Told {
    /// How many others there were since the last one that was told of, where this one is to be.
    fn now(&self) -> Option<u64> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, others) = &mut *told;
        if at.is_some_and(|at| at.elapsed() < TOLD_EVERY) {
            *others += 1;
            return None;
        }
        *at = Some(Instant::now());
        Some(std::mem::take(others))
    }
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

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn a_request_names_its_host_once() {
        for (version, hosts, is_taken) in [
            (Version::HTTP_11, &["a"][..], true),
            (Version::HTTP_11, &[], false),
            (Version::HTTP_11, &["a", "a"], false),
            (Version::HTTP_10, &[], true),
            (Version::HTTP_10, &["a", "b"], false),
        ] {
            let mut request = Request::builder().version(version);
            for host in hosts {
                request = request.header("host", *host);
            }
            let checked = check_host(&request.body(Body::empty()).unwrap());
            assert_eq!(checked.is_ok(), is_taken, "{version:?} {hosts:?}");
        }
    }

    #[test]
    fn of_many_refusals_in_a_second_one_is_told_of() {
        let told = Told::default();
        assert_eq!([told.now(), told.now(), told.now()], [Some(0), None, None]);
        told.0.lock().unwrap().0 = Instant::now().checked_sub(TOLD_EVERY);
        assert_eq!([told.now(), told.now()], [Some(2), None]);
    }
}
