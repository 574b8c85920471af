//! Pending jobs as the queue needs them: which job, which lane, when.

use uuid::Uuid;

use super::{
    NewJob, Store, StoreError,
    jobs::priority,
    sql::{Sql, sql},
};
use crate::domain::{
    Id, UnixMs,
    endpoint::Endpoint,
    job::{Job, Priority},
    lane::LaneKey,
    tenant::Tenant,
};

/// What a ticket needs of a pending job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueJob {
    pub id: Id<Job>,
    pub lane: LaneKey,
    pub endpoint_id: Option<Id<Endpoint>>,
    pub priority: Priority,
    pub run_at: UnixMs,
}

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    id: Uuid,
    tenant_id: Uuid,
    lane: String,
    endpoint_id: Option<Uuid>,
    priority: i64,
    run_at: i64,
}

const COLUMNS: &str = "id, tenant_id, lane, endpoint_id, priority, run_at";

pub(super) fn pending() -> Sql {
    sql("SELECT ").then(COLUMNS).then(" FROM jobs WHERE state = 'pending'")
}

fn pending_in(lane: &LaneKey) -> Sql {
    pending().and(" AND tenant_id = ", lane.tenant).and(" AND lane = ", lane.name.as_str())
}

impl Row {
    pub(super) fn read(self) -> Result<DueJob, StoreError> {
        let name = self.lane.parse().map_err(|error| StoreError::unreadable("job's lane", error))?;
        Ok(DueJob {
            id: Id::from_uuid(self.id),
            lane: LaneKey { tenant: Id::from_uuid(self.tenant_id), name },
            endpoint_id: self.endpoint_id.map(Id::from_uuid),
            priority: priority(self.priority),
            run_at: UnixMs(self.run_at),
        })
    }
}

impl NewJob {
    /// What its ticket needs, once it is stored.
    #[must_use]
    pub fn due(&self, tenant: Id<Tenant>) -> DueJob {
        DueJob {
            id: self.id,
            lane: LaneKey { tenant, name: self.lane.clone() },
            endpoint_id: self.endpoint_id,
            priority: self.priority,
            run_at: self.run_at,
        }
    }
}

impl Store {
    /// Pending jobs that are due before `until`, in the order of their due time, after `after`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn due_jobs(
        &self,
        after: Option<(UnixMs, Id<Job>)>,
        until: UnixMs,
        limit: u32,
    ) -> Result<Vec<DueJob>, StoreError> {
        let select = match after {
            Some((run_at, id)) => pending().and(" AND (run_at, id) > (", run_at).and(", ", id).then(")"),
            None => pending(),
        };
        self.first_due(select.and(" AND run_at <= ", until), limit).await
    }

    /// The first pending jobs of a lane, in the order of their due time.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn lane_jobs(&self, lane: &LaneKey, limit: u32) -> Result<Vec<DueJob>, StoreError> {
        self.first_due(pending_in(lane), limit).await
    }

    /// The pending jobs of a lane that have been tried before: an ordered lane waits with the first of them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn retrying_jobs(&self, lane: &LaneKey, limit: u32) -> Result<Vec<DueJob>, StoreError> {
        self.first_due(pending_in(lane).then(" AND attempt > 0"), limit).await
    }

    /// Whether others of its lane go before a job that was never tried: what is due before it, and what waits for its
    /// retry. SQL alone can say so, since a queue may lack jobs whose offer failed.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn goes_behind(&self, job: &Job) -> Result<bool, StoreError> {
        let lane = job.lane_key();
        let before = pending_in(&lane).and(" AND (run_at, id) < (", job.run_at).and(", ", job.id).then(")");
        Ok(!self.first_due(before, 1).await?.is_empty() || !self.retrying_jobs(&lane, 1).await?.is_empty())
    }

    async fn first_due(&self, select: Sql, limit: u32) -> Result<Vec<DueJob>, StoreError> {
        let select = select.then(" ORDER BY run_at, id").and(" LIMIT ", limit);
        self.pool.fetch::<Row>(select).await?.into_iter().map(Row::read).collect()
    }
}
