//! Counts by minute. Gathered in memory for one transaction, then added to the rows of this process; read as tallies.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Scope, Store, StoreError,
    sql::{Dialect, Sql, sql},
    value::Value,
};
use crate::domain::{Id, UnixMs, job::JobKind, tenant::Tenant};

/// Jobs accepted.
pub(super) const ACCEPTED: &str = "accepted";
/// Events accepted that no endpoint wanted.
pub(super) const UNWANTED: &str = "unwanted";
/// Upper bounds of the histogram of attempts' durations, in milliseconds.
pub const DURATION_BOUNDS_MS: [u32; 13] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 15_000];
/// Upper bounds of the histogram of how long jobs that were due waited for their attempt, in milliseconds.
pub const WAIT_BOUNDS_MS: [u32; 11] = [5, 25, 100, 500, 1_000, 5_000, 30_000, 60_000, 300_000, 1_800_000, 7_200_000];
/// Jobs that the sweep offered although they were overdue: the queue had lost them.
const REPAIRED: &str = "repaired";
/// The kind of what is counted of jobs of any kind.
const ANY_KIND: &str = "";
const MINUTE_MS: i64 = 60_000;

/// What became of a tenant's work in a stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Jobs.
    pub accepted: u64,
    pub succeeded: u64,
    /// Attempts that failed and are tried again.
    pub failed: u64,
    /// Jobs.
    pub dead: u64,
    /// Attempts by duration: those within each of [`DURATION_BOUNDS_MS`], then those beyond.
    pub durations: [u64; DURATION_BOUNDS_MS.len() + 1],
    /// Attempts by how long they waited while they were due: those within each of [`WAIT_BOUNDS_MS`], then those beyond.
    pub waits: [u64; WAIT_BOUNDS_MS.len() + 1],
    /// Jobs that the queue had lost and the sweep offered again.
    pub repaired: u64,
}

impl Tally {
    /// The part of finished jobs that succeeded, from 0 to 1; `None` where none finished.
    #[must_use]
    pub fn success_rate(&self) -> Option<f64> {
        let finished = self.succeeded + self.dead;
        (finished > 0).then(|| self.succeeded as f64 / finished as f64)
    }

    /// A bound in milliseconds that this part of the attempts stays within, the last of the bounds where it is beyond all;
    /// `None` where there were none.
    #[must_use]
    pub fn duration_within_ms(&self, part: f64) -> Option<u32> {
        within(&self.durations, &DURATION_BOUNDS_MS, part)
    }

    /// The same of how long attempts waited while they were due.
    #[must_use]
    pub fn wait_within_ms(&self, part: f64) -> Option<u32> {
        within(&self.waits, &WAIT_BOUNDS_MS, part)
    }

    /// Both together.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        self.accepted += other.accepted;
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.dead += other.dead;
        self.durations.iter_mut().zip(other.durations).for_each(|(sum, count)| *sum += count);
        self.waits.iter_mut().zip(other.waits).for_each(|(sum, count)| *sum += count);
        self.repaired += other.repaired;
        self
    }

    fn add(&mut self, metric: &str, count: u64) {
        match metric {
            ACCEPTED => self.accepted += count,
            "succeeded" => self.succeeded += count,
            "failed" => self.failed += count,
            "dead" => self.dead += count,
            REPAIRED => self.repaired += count,
            _ => {
                if let Some(bound) = metric.strip_prefix("le_") {
                    let place = DURATION_BOUNDS_MS.iter().position(|known| known.to_string() == bound);
                    self.durations[place.unwrap_or(DURATION_BOUNDS_MS.len())] += count;
                } else if let Some(bound) = metric.strip_prefix("wait_le_") {
                    let place = WAIT_BOUNDS_MS.iter().position(|known| known.to_string() == bound);
                    self.waits[place.unwrap_or(WAIT_BOUNDS_MS.len())] += count;
                }
            }
        }
    }
}

/// The bound that this part of what is counted stays within, the last of the bounds where it is beyond all; `None` where
/// nothing is counted.
fn within(counts: &[u64], bounds: &[u32], part: f64) -> Option<u32> {
    let all: u64 = counts.iter().sum();
    let mut sum = 0;
    let place = counts.iter().position(|count| {
        sum += count;
        sum as f64 >= part * all as f64
    });
    let last = bounds.len() - 1;
    (all > 0).then(|| bounds[place.unwrap_or(last).min(last)])
}

impl Store {
    /// Counts jobs that the queue had lost, by their tenants.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_repaired(&self, tenants: &[Id<Tenant>], now: UnixMs) -> Result<(), StoreError> {
        let mut counts: BTreeMap<Id<Tenant>, i64> = BTreeMap::new();
        tenants.iter().for_each(|tenant| *counts.entry(*tenant).or_default() += 1);
        let minute = now.0.div_euclid(MINUTE_MS);
        let node = self.node.as_ref();
        let row = |(tenant, count): (Id<Tenant>, i64)| {
            vec![minute.into(), tenant.into(), ANY_KIND.into(), node.into(), REPAIRED.into(), count.into()]
        };
        for run in self.pool.dialect().runs(counts.into_iter().collect()) {
            self.pool.execute(add_rows(run.into_iter().map(row).collect())).await?;
        }
        Ok(())
    }
}

impl Scope<'_> {
    /// A number that changes with whatever becomes of the tenant's work, and with what somebody does to it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn pulse(&self, now: UnixMs) -> Result<i64, StoreError> {
        let minute = now.0.div_euclid(MINUTE_MS);
        let select = sql("SELECT (SELECT CAST(COALESCE(SUM(count), 0) AS BIGINT) FROM job_stats")
            .and(" WHERE tenant_id = ", self.tenant)
            .and(" AND minute >= ", minute - 1)
            .then("), (SELECT CAST(COALESCE(SUM(seen), 0) AS BIGINT) FROM (SELECT seen FROM operations")
            .and(" WHERE tenant_id = ", self.tenant)
            .then(" ORDER BY id DESC LIMIT 10) AS latest), (SELECT created_at FROM audit_log")
            .and(" WHERE tenant_id = ", self.tenant)
            .then(" ORDER BY id DESC LIMIT 1)");
        let found: Option<(i64, i64, Option<i64>)> = self.store.pool.fetch_one(select).await?;
        let (counted, looked_at, noted_at) = found.unwrap_or_default();
        let mix = |sum: i64, part: i64| sum.wrapping_mul(31).wrapping_add(part);
        Ok([counted, looked_at, noted_at.unwrap_or(0)].into_iter().fold(minute, mix))
    }

    /// Tallies of `steps` stretches of `minutes` each, oldest first. The last is the one of `now`, and is not over.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn tallies(&self, minutes: u32, steps: u16, now: UnixMs) -> Result<Vec<(UnixMs, Tally)>, StoreError> {
        let length = i64::from(minutes.max(1));
        let last = now.0.div_euclid(MINUTE_MS).div_euclid(length);
        let first = last + 1 - i64::from(steps.max(1));
        let select = sql("SELECT minute / ")
            .and("", length)
            .then(", metric, CAST(SUM(count) AS BIGINT) FROM job_stats")
            .and(" WHERE tenant_id = ", self.tenant)
            .and(" AND minute >= ", first * length)
            .and(" AND minute < ", (last + 1) * length)
            .then(" GROUP BY 1, 2");
        let mut tallies: Vec<_> =
            (first..=last).map(|step| (UnixMs(step * length * MINUTE_MS), Tally::default())).collect();
        for (step, metric, count) in self.store.pool.fetch::<(i64, String, i64)>(select).await? {
            let place = usize::try_from(step - first).unwrap_or(usize::MAX);
            if let Some((_, tally)) = tallies.get_mut(place) {
                tally.add(&metric, u64::try_from(count).unwrap_or(0));
            }
        }
        Ok(tallies)
    }
}

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

    /// Adds how long an attempt waited to the histogram.
    pub(super) fn add_wait(&mut self, at: UnixMs, tenant: Id<Tenant>, kind: JobKind, wait: Duration) {
        let bound = WAIT_BOUNDS_MS.iter().find(|&&bound| wait <= Duration::from_millis(bound.into()));
        let metric = bound.map_or_else(|| "wait_le_inf".to_owned(), |bound| format!("wait_le_{bound}"));
        self.add(at, tenant, kind, &metric, 1);
    }

    /// Adds them to the table, in key order, so that two transactions cannot wait for each other.
    pub(super) fn write(self, dialect: Dialect) -> Vec<Sql> {
        let node = self.node;
        let row = |((minute, tenant, kind, metric), count): ((i64, Id<Tenant>, JobKind, String), i64)| -> Vec<Value> {
            vec![minute.into(), tenant.into(), kind.as_str().into(), node.into(), metric.into(), count.into()]
        };
        let add = |run: Vec<_>| add_rows(run.into_iter().map(row).collect());
        dialect.runs(self.counts.into_iter().collect()).map(add).collect()
    }
}

fn add_rows(rows: Vec<Vec<Value>>) -> Sql {
    sql("INSERT INTO job_stats (minute, tenant_id, kind, node, metric, count) ").rows(rows).then(
        " ON CONFLICT (minute, tenant_id, kind, node, metric) DO UPDATE SET count = job_stats.count + excluded.count",
    )
}
