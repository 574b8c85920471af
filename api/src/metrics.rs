//! What the API counts for Prometheus.

use axum::http::StatusCode;
use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

type ByClass = Family<Vec<(&'static str, &'static str)>, Counter>;

/// The API's counters. Clones count into the same.
#[derive(Clone, Debug, Default)]
pub struct ApiMetrics {
    events: Counter,
    jobs: Counter,
    requests: ByClass,
}

impl ApiMetrics {
    /// Makes the counters and registers them.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("postrider_events_accepted", "Events stored", metrics.events.clone());
        registry.register("postrider_jobs_accepted", "Jobs stored, deliveries included", metrics.jobs.clone());
        let requests = metrics.requests.clone();
        registry.register("postrider_http_requests", "Requests to the API by the class of their answer", requests);
        metrics
    }

    pub(crate) fn accepted(&self, events: usize, jobs: usize) {
        self.events.inc_by(events as u64);
        self.jobs.inc_by(jobs as u64);
    }

    pub(crate) fn answered(&self, status: StatusCode) {
        let class = match status.as_u16() / 100 {
            1 => "1xx",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        };
        self.requests.get_or_create(&vec![("status", class)]).inc();
    }
}
