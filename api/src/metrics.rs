//! What the API counts for Prometheus.

use axum::http::StatusCode;
use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The API's counters. Clones count into the same.
#[derive(Clone, Debug, Default)]
pub struct ApiMetrics {
    events: Counter,
    jobs: Counter,
    /// In the order of [`CLASSES`].
    requests: [Counter; CLASSES.len()],
}

impl ApiMetrics {
    /// Makes the counters and registers them.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("postrider_events_accepted", "Events stored", metrics.events.clone());
        registry.register("postrider_jobs_accepted", "Jobs stored, deliveries included", metrics.jobs.clone());
        let requests = Family::<[(&str, &str); 1], Counter>::default();
        let metrics =
            Self { requests: CLASSES.map(|class| requests.get_or_create_owned(&[("status", class)])), ..metrics };
        registry.register("postrider_http_requests", "Requests by the class of their answer", requests);
        metrics
    }

    pub(crate) fn accepted(&self, events: usize, jobs: usize) {
        self.events.inc_by(events as u64);
        self.jobs.inc_by(jobs as u64);
    }

    pub(crate) fn answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len());
        self.requests[class - 1].inc();
    }
}
