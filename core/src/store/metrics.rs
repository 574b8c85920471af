//! What the store counts for Prometheus: the grouped commits. Knows no scrape.

use std::time::Duration;

use prometheus_client::{
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::Store;

type Labels = [(&'static str, &'static str); 1];
type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

/// Upper bounds of the writes in one transaction; the last is what one takes at most.
const WRITES: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];
/// Upper bounds of a commit's duration: an fsync on a fast disk, up to the time after which callers give up.
const SECONDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Of both committers. Clones count into the same.
#[derive(Clone, Debug)]
pub(super) struct StoreMetrics {
    batch_writes: Histograms,
    duration: Histograms,
    failed: Family<Labels, Counter>,
}

/// Of one committer.
#[derive(Clone, Debug)]
pub(super) struct CommitMetrics {
    batch_writes: Histogram,
    duration: Histogram,
    failed: Counter,
}

impl Default for StoreMetrics {
    fn default() -> Self {
        Self {
            batch_writes: Family::new_with_constructor(|| Histogram::new(WRITES)),
            duration: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            failed: Family::default(),
        }
    }
}

impl StoreMetrics {
    pub(super) fn of(&self, writes: &'static str) -> CommitMetrics {
        let labels = [("writes", writes)];
        CommitMetrics {
            batch_writes: self.batch_writes.get_or_create_owned(&labels),
            duration: self.duration.get_or_create_owned(&labels),
            failed: self.failed.get_or_create_owned(&labels),
        }
    }
}

impl CommitMetrics {
    /// One group of writes was committed, or was not.
    pub(super) fn ended(&self, writes: usize, failed: usize, took: Duration) {
        self.batch_writes.observe(writes as f64);
        self.duration.observe(took.as_secs_f64());
        if failed > 0 {
            self.failed.inc_by(failed as u64);
        }
    }
}

impl Store {
    /// Has its numbers shown to Prometheus.
    pub fn register_metrics(&self, registry: &mut Registry) {
        let StoreMetrics { batch_writes, duration, failed } = self.metrics.clone();
        registry.register("postrider_commit_batch_writes", "Writes that one transaction took", batch_writes);
        let words = "From the begin of a group's transaction to its commit, or to giving it up";
        registry.register_with_unit("postrider_commit_duration", words, Unit::Seconds, duration);
        registry.register("postrider_commit_failures", "Writes that the database did not take", failed);
    }
}
