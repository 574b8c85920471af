//! Whether the process is up, whether it can take work, and its numbers for Prometheus. No token is asked for.

use std::{future::Future, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use postrider_core::{
    queue::{Queue, QueueGauges},
    store::Store,
};
use prometheus_client::{encoding::text::encode, registry::Registry};
use serde::Serialize;

/// What does not answer within this is not there.
const DEADLINE: Duration = Duration::from_secs(1);
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What readiness is judged by, and whose numbers are shown.
#[derive(Clone, Debug)]
pub struct HealthState {
    pub store: Store,
    pub queue: Queue,
    pub gauges: QueueGauges,
    pub registry: Arc<Registry>,
}

/// `/healthz`, `/readyz` and `/metrics`.
pub fn health_router(health: HealthState) -> Router {
    Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(health)
}

#[derive(Serialize)]
struct Status {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<Checks>,
}

/// `ok`, or what is wrong.
#[derive(Serialize)]
struct Checks {
    database: String,
    queue: String,
}

async fn alive() -> Response {
    Json(Status { status: "ok", checks: None }).into_response()
}

/// Without the queue work is still accepted and waits in SQL; without SQL it is not.
async fn ready(State(health): State<HealthState>) -> Response {
    let (database, queue) = tokio::join!(check(health.store.ready()), check(health.queue.ready()));
    let (code, status) = match (&database, &queue) {
        (Err(_), _) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        (Ok(()), Err(_)) => (StatusCode::OK, "degraded"),
        (Ok(()), Ok(())) => (StatusCode::OK, "ok"),
    };
    let said = |result: Result<(), String>| result.err().unwrap_or_else(|| "ok".to_owned());
    let checks = Some(Checks { database: said(database), queue: said(queue) });
    (code, Json(Status { status, checks })).into_response()
}

async fn check<E: std::fmt::Display>(ping: impl Future<Output = Result<(), E>>) -> Result<(), String> {
    match tokio::time::timeout(DEADLINE, ping).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("it did not answer within {} s", DEADLINE.as_secs())),
    }
}

async fn metrics(State(health): State<HealthState>) -> Response {
    health.gauges.look(&health.queue).await;
    let mut text = String::new();
    match encode(&mut text, &health.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
