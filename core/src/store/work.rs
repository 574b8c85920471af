//! Pending jobs as executors need them, and what is counted against those whose worker vanished.

use super::{
    Store, StoreError,
    attempts::{self, NewAttempt},
    jobs::{COLUMNS, FROM, Row},
    sql::{Sql, sql},
};
use crate::domain::{Id, UnixMs, attempt::AttemptReport, event::EventType, job::Job, trace::TraceContext};

/// A pending job with what its executor needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    pub job: Job,
    /// The payload to send, or the job's arguments; `None` where retention has removed it.
    pub payload: Option<Vec<u8>>,
    /// `webhook-id` of a delivery.
    pub message_id: Option<String>,
    pub event_type: Option<EventType>,
    /// What its attempts are children of.
    pub trace: Option<TraceContext>,
}

impl Row {
    fn work(self) -> Result<Work, StoreError> {
        let event_type = self.event_kind.as_deref().map(str::parse).transpose();
        Ok(Work {
            job: self.job()?,
            message_id: self.event(),
            // One that does not read back is of no use, and keeps nothing from being delivered.
            trace: self.trace.as_deref().and_then(|text| text.parse().ok()),
            event_type: event_type.map_err(|error| StoreError::unreadable("event's type", error))?,
            payload: self.args.or(self.event_payload),
        })
    }
}

impl Store {
    /// The pending ones among these jobs, with what their executors need.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn load_work(&self, jobs: &[Id<Job>]) -> Result<Vec<Work>, StoreError> {
        let mut jobs = jobs.to_vec();
        let mut work = self.fresh.as_ref().map(|fresh| fresh.take(&mut jobs)).unwrap_or_default();
        if jobs.is_empty() {
            return Ok(work);
        }
        let mut connection = self.work.lock().await;
        for run in self.pool.dialect().runs(jobs) {
            for row in connection.fetch::<Row>(select_work(run)).await? {
                work.push(row.work()?);
            }
        }
        Ok(work)
    }

    /// Counts a vanished worker against the pending ones among these jobs, and keeps the attempt that it took with it.
    /// Answers with them. All of it or nothing is done, so a call that failed can be made again.
    ///
    /// Nobody knows when such an attempt started: it is given the time at which it was missed, `now`, which comes after
    /// the attempts before it and before those that follow, and no duration.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_lost_workers(
        &self,
        jobs: &[Id<Job>],
        worker: &str,
        now: UnixMs,
    ) -> Result<Vec<Work>, StoreError> {
        if let Some(fresh) = &self.fresh {
            fresh.forget(jobs);
        }
        // In key order, so that two transactions cannot wait for each other.
        let mut in_order = jobs.to_vec();
        in_order.sort_unstable();
        let mut counted = Vec::with_capacity(jobs.len());
        let mut tx = self.pool.begin().await?;
        for run in tx.dialect().runs(in_order) {
            let update = sql("UPDATE jobs SET lost_workers = lost_workers + 1 WHERE finished_at IS NULL AND id")
                .any(run.iter().copied());
            tx.execute(update).await?;
            for row in tx.fetch::<Row>(select_work(run)).await? {
                counted.push(row.work()?);
            }
        }
        let report = AttemptReport::lost(worker, now);
        let attempt = |Work { job, .. }: &Work| NewAttempt {
            id: Id::new(),
            tenant: job.tenant_id,
            job: job.id,
            endpoint: job.endpoint_id,
            n: job.attempt + 1,
            report: &report,
            late: false,
        };
        tx.execute_all(attempts::insert(tx.dialect(), counted.iter().map(attempt).collect())).await?;
        tx.commit().await?;
        Ok(counted)
    }
}

/// A pending job is told by its `finished_at`: by its state, both databases would walk the indexes of all that are pending.
fn select_work(jobs: Vec<Id<Job>>) -> Sql {
    sql("SELECT ")
        .then(COLUMNS)
        .then(", e.payload AS event_payload, COALESCE(j.trace, e.trace) AS trace")
        .then(FROM)
        .then(" WHERE j.finished_at IS NULL AND j.id")
        .any(jobs)
}
