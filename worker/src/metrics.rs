//! What workers count for Prometheus. Every counter is there from the start, so that counting is one addition.

use std::sync::Arc;

use postrider_core::{
    domain::{
        attempt::AttemptClass,
        dead_letter::Cause,
        job::{JobKind, JobState, Outcome},
    },
    store::Finished,
};
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// The workers' counters. Clones count into the same.
#[derive(Clone, Debug)]
pub struct WorkerMetrics {
    attempts: Table,
    finished: Table,
    dead_letters: Table,
    late: Counter,
    /// Leases that this process holds.
    pub(crate) in_flight: Gauge,
    /// Leases that it may hold.
    pub(crate) slots: Gauge,
    /// Calls that were not made, since their address may not be reached.
    pub(crate) refusals: Counter,
    /// Due jobs that the queue should have held.
    pub(crate) repairs: Counter,
}

impl Default for WorkerMetrics {
    fn default() -> Self {
        let kinds: Vec<&str> = JobKind::ALL.iter().map(|kind| kind.as_str()).collect();
        let states: Vec<&str> = JobState::ALL.iter().map(|state| state.as_str()).collect();
        Self {
            attempts: Table::new(("kind", &kinds), ("outcome", &AttemptClass::ALL.map(AttemptClass::as_str))),
            finished: Table::new(("kind", &kinds), ("state", &states)),
            dead_letters: Table::new(("kind", &kinds), ("cause", &Cause::ALL.map(Cause::as_str))),
            late: Counter::default(),
            in_flight: Gauge::default(),
            slots: Gauge::default(),
            refusals: Counter::default(),
            repairs: Counter::default(),
        }
    }
}

impl WorkerMetrics {
    /// Makes the counters and registers them.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let Self { attempts, finished, dead_letters, late, in_flight, slots, refusals, repairs } = metrics.clone();
        let words = "Attempts by kind of job and how they ended, counted once that is committed";
        registry.register("postrider_attempts", words, attempts.family);
        let words = "Jobs that ended, by kind and state, counted once that is committed";
        registry.register("postrider_jobs_finished", words, finished.family);
        registry.register("postrider_dead_letters", "Dead letters by kind of job and cause", dead_letters.family);
        let words = "Outcomes that came after the job had gone on without them, and changed nothing";
        registry.register("postrider_late_outcomes", words, late);
        let words = "Jobs that this process has claimed and not ended, those that wait for a free thread included";
        registry.register("postrider_jobs_in_flight", words, in_flight);
        registry.register("postrider_worker_slots", "Jobs that this process may have in flight", slots);
        let words = "Calls that were not made, since their address may not be reached";
        registry.register("postrider_egress_refusals", words, refusals);
        let words = "Due jobs that the queue should have held and did not; the sweep offered them";
        registry.register("postrider_sweep_repairs", words, repairs);
        metrics
    }

    pub(crate) fn committed(&self, finished: &Finished) {
        // A lost one was counted with its worker.
        if let Some(report) = finished.report.as_ref().filter(|report| report.class != AttemptClass::Lost) {
            self.attempt(finished.kind, report.class);
        }
        let is_test = finished.kind == JobKind::WebhookTest;
        let state = match finished.outcome {
            Outcome::Retry { .. } | Outcome::Dead { .. } if is_test => JobState::Cancelled,
            Outcome::Retry { .. } | Outcome::Lost => return,
            Outcome::Succeeded => JobState::Succeeded,
            Outcome::Cancelled { .. } => JobState::Cancelled,
            Outcome::Dead { cause } => {
                self.dead_letters.inc(finished.kind as usize, cause as usize);
                JobState::Dead
            }
        };
        self.finished.inc(finished.kind as usize, state as usize);
    }

    pub(crate) fn attempt(&self, kind: JobKind, class: AttemptClass) {
        self.attempts.inc(kind as usize, class as usize);
    }

    pub(crate) fn came_late(&self) {
        self.late.inc();
    }
}

/// Counters by two labels, found by the places of their values.
#[derive(Clone, Debug)]
struct Table {
    family: Family<[(&'static str, &'static str); 2], Counter>,
    rows: Arc<[Vec<Counter>]>,
}

impl Table {
    fn new(rows: (&'static str, &[&'static str]), columns: (&'static str, &[&'static str])) -> Self {
        let family = Family::default();
        let counter = |row, column| family.get_or_create_owned(&[(rows.0, row), (columns.0, column)]);
        let row = |row: &&'static str| columns.1.iter().map(|column| counter(*row, *column)).collect();
        Self { rows: rows.1.iter().map(row).collect(), family }
    }

    fn inc(&self, row: usize, column: usize) {
        if let Some(counter) = self.rows.get(row).and_then(|row| row.get(column)) {
            counter.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_found_by_its_own_name() {
        let metrics = WorkerMetrics::default();
        for (place, kind) in JobKind::ALL.iter().enumerate() {
            for class in AttemptClass::ALL {
                metrics.attempt(*kind, class);
                let labels = [("kind", kind.as_str()), ("outcome", class.as_str())];
                assert_eq!(metrics.attempts.family.get(&labels).map(|counter| counter.get()), Some(1), "{labels:?}");
            }
            assert_eq!(*kind as usize, place);
        }
        assert!(JobState::ALL.iter().enumerate().all(|(place, state)| *state as usize == place));
        assert!(Cause::ALL.iter().enumerate().all(|(place, cause)| *cause as usize == place));
    }
}
