//! What workers count for Prometheus.

use postrider_core::{domain::job::Outcome, store::Finished};
use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

type ByKindAndOutcome = Family<[(&'static str, &'static str); 2], Counter>;

/// The workers' counters. Clones count into the same.
#[derive(Clone, Debug, Default)]
pub struct WorkerMetrics {
    outcomes: ByKindAndOutcome,
}

impl WorkerMetrics {
    /// Makes the counters and registers them.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let words = "Executions by kind of job and what came of them, counted once it is committed";
        registry.register("postrider_executions", words, metrics.outcomes.clone());
        metrics
    }

    pub(crate) fn committed(&self, finished: &Finished) {
        let outcome = match finished.outcome {
            Outcome::Succeeded => "succeeded",
            Outcome::Retry { .. } => "failed",
            Outcome::Dead { .. } => "dead",
            Outcome::Cancelled { .. } => "cancelled",
            Outcome::Lost => "lost",
        };
        self.outcomes.get_or_create(&[("kind", finished.kind.as_str()), ("outcome", outcome)]).inc();
    }
}
