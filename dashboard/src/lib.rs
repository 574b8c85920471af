//! The operators' pages. For now one that says what is there; it knows neither SQL text nor HTTP clients.

use askama::Template;
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use postrider_core::queue::Queue;

const STYLE: &str = include_str!("../assets/postrider.css");
/// Nothing is loaded from elsewhere, nothing is framed, no script runs.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// Lanes are not listed yet, so one is enough to ask for.
const LANES_MAX: usize = 1;

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    version: &'static str,
    queue: Option<Totals>,
}

struct Totals {
    lanes: u64,
    waiting: u64,
    in_flight: u64,
    workers: usize,
}

/// The pages below `/`.
pub fn router(queue: Queue) -> Router {
    Router::new().route("/", get(overview)).route("/assets/postrider.css", get(style)).with_state(queue)
}

async fn overview(State(queue): State<Queue>) -> Response {
    let queue = match queue.view(LANES_MAX).await {
        Ok(view) => Some(Totals {
            lanes: view.totals.lanes,
            waiting: view.totals.tickets.saturating_sub(view.totals.in_flight),
            in_flight: view.totals.in_flight,
            workers: view.workers.len(),
        }),
        Err(error) => {
            tracing::warn!(%error, "the overview is shown without the queue");
            None
        }
    };
    match (Overview { version: env!("CARGO_PKG_VERSION"), queue }).render() {
        Ok(page) => ([(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY)], Html(page)).into_response(),
        Err(error) => {
            tracing::error!(%error, "the overview cannot be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)
}
