//! Counts by minute. Gathered in memory for one transaction, then added to the rows of this process.

use std::collections::BTreeMap;

use super::sql::{Dialect, Sql, Value, sql};
use crate::domain::{Id, UnixMs, job::JobKind, tenant::Tenant};

/// Jobs accepted.
pub(super) const ACCEPTED: &str = "accepted";
/// Events accepted that no endpoint wanted.
pub(super) const UNWANTED: &str = "unwanted";
/// Upper bounds of the histogram of attempts' durations, in milliseconds.
const DURATION_BOUNDS_MS: [u32; 13] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 15_000];
const MINUTE_MS: i64 = 60_000;

/// Counts that one transaction adds.
pub(super) struct Counts<'n> {
    node: &'n str,
    counts: BTreeMap<(i64, Id<Tenant>, JobKind, String), i64>,
}

impl<'n> Counts<'n> {
    pub(super) const fn new(node: &'n str) -> Self {
        Self { node, counts: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, at: UnixMs, tenant: Id<Tenant>, kind: JobKind, metric: &str, count: i64) {
        *self.counts.entry((at.0.div_euclid(MINUTE_MS), tenant, kind, metric.to_owned())).or_default() += count;
    }

    /// Adds an attempt's duration to the histogram.
    pub(super) fn add_duration(&mut self, at: UnixMs, tenant: Id<Tenant>, kind: JobKind, duration_ms: u32) {
        let bound = DURATION_BOUNDS_MS.iter().find(|&&bound| duration_ms <= bound);
        let metric = bound.map_or_else(|| "le_inf".to_owned(), |bound| format!("le_{bound}"));
        self.add(at, tenant, kind, &metric, 1);
    }

    /// Adds them to the table, in key order, so that two transactions cannot wait for each other.
    pub(super) fn write(self, dialect: Dialect) -> Vec<Sql> {
        let node = self.node;
        let row = |((minute, tenant, kind, metric), count): ((i64, Id<Tenant>, JobKind, String), i64)| -> Vec<Value> {
            vec![minute.into(), tenant.into(), kind.as_str().into(), node.into(), metric.into(), count.into()]
        };
        let add = |run: Vec<_>| {
            sql("INSERT INTO job_stats (minute, tenant_id, kind, node, metric, count) ")
                .rows(run.into_iter().map(row).collect())
                .then(" ON CONFLICT (minute, tenant_id, kind, node, metric) DO UPDATE SET count = job_stats.count + excluded.count")
        };
        dialect.runs(self.counts.into_iter().collect()).map(add).collect()
    }
}
