//! Addresses that nothing is at. One of the dashboard's that ends with a slash leads to the same without it, and whoever looks
//! for a page sees one that says there is none. What programs ask for is answered as the API does.

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    middleware::{Next, from_fn},
    response::{IntoResponse, Redirect, Response},
};

use crate::{headers::guard, page::Refusal};

/// What the dashboard's addresses begin with.
const OURS: [&str; 6] = ["assets", "portal", "sign-in", "sign-out", "t", "welcome"];
/// What programs' addresses begin with, whatever takes a page there.
const CALLS: &str = "v1";

/// Puts all of a process' routes, those of other roles too, where somebody with a browser may miss them.
pub fn surrounded(routes: Router) -> Router {
    routes.layer(from_fn(surround))
}

async fn surround(request: Request, next: Next) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let looks = method == Method::GET || method == Method::HEAD;
    let first = uri.path().split('/').nth(1).unwrap_or_default();
    let is_ours = OURS.contains(&first);
    if let Some(path) = without_slash(&uri).filter(|_| looks && is_ours) {
        return guard(Redirect::permanent(&path).into_response()).await;
    }
    let shows_page = is_ours || (looks && first != CALLS && takes_pages(request.headers()));
    let response = next.run(request).await;
    let refusal = match response.status() {
        _ if !shows_page || is_page(&response) => return response,
        StatusCode::NOT_FOUND => Refusal::NotFound("page"),
        StatusCode::METHOD_NOT_ALLOWED => Refusal::OnlyForms,
        _ => return response,
    };
    let mut page = guard(refusal.into_response()).await;
    let kept = [header::ALLOW, header::HeaderName::from_static("x-request-id")];
    let kept = kept.into_iter().filter_map(|name| response.headers().get(&name).cloned().map(|value| (name, value)));
    page.headers_mut().extend(kept);
    page
}

/// The same address without the slashes that it ends with.
fn without_slash(uri: &Uri) -> Option<String> {
    let path = uri.path().strip_suffix('/')?.trim_end_matches('/');
    Some(uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}")))
}

fn takes_pages(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT).iter().any(|value| value.to_str().is_ok_and(|kinds| kinds.contains("text/html")))
}

fn is_page(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
}
