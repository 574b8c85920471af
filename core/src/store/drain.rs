//! Deleted endpoints whose deliveries still wait, some of them for days: found, emptied a page at a time, and forgotten.

use std::time::Duration;

use uuid::Uuid;

use super::{Store, StoreError, jobs::cancel, sql::sql, stats};
use crate::domain::{
    Id, UnixMs,
    endpoint::Endpoint,
    job::{Job, JobKind},
    lane::{LaneKey, LaneName},
    tenant::Tenant,
};

/// Why a delivery of a deleted endpoint ends.
pub const ENDPOINT_DELETED: &str = "endpoint deleted";
/// How long after a deletion a process that has not heard of it may still accept deliveries.
const UNHEARD: Duration = Duration::from_secs(60);
const ENDPOINTS_MAX: u32 = 100;

/// A deleted endpoint that may have pending deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleted {
    tenant: Id<Tenant>,
    endpoint: Id<Endpoint>,
    deleted_at: UnixMs,
}

impl Deleted {
    #[must_use]
    pub fn lane(&self) -> LaneKey {
        LaneKey { tenant: self.tenant, name: LaneName::of_endpoint(self.endpoint) }
    }
}

impl Store {
    /// Deleted endpoints that nobody has found empty yet.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn deleted_undrained(&self) -> Result<Vec<Deleted>, StoreError> {
        let select =
            sql("SELECT tenant_id, id, deleted_at FROM endpoints WHERE deleted_at IS NOT NULL AND drained_at IS NULL")
                .and(" ORDER BY id LIMIT ", ENDPOINTS_MAX);
        let rows: Vec<(Uuid, Uuid, i64)> = self.pool.fetch(select).await?;
        let read = |(tenant, id, at)| Deleted {
            tenant: Id::from_uuid(tenant),
            endpoint: Id::from_uuid(id),
            deleted_at: UnixMs(at),
        };
        Ok(rows.into_iter().map(read).collect())
    }

    /// Ends these deliveries of a deleted endpoint as cancelled where they are pending.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn cancel_undeliverable(&self, of: &Deleted, jobs: &[Id<Job>], now: UnixMs) -> Result<u64, StoreError> {
        let mut tx = self.pool.begin().await?;
        // In key order, so that two transactions cannot wait for each other.
        let mut in_order = jobs.to_vec();
        in_order.sort_unstable();
        let mut cancelled = 0;
        for run in tx.dialect().runs(in_order) {
            let update = cancel(ENDPOINT_DELETED, now)
                .and(" WHERE state = 'pending' AND endpoint_id = ", of.endpoint)
                .then(" AND id")
                .any(run);
            cancelled += tx.execute(update).await?;
        }
        let mut counts = stats::Counts::new(&self.node);
        counts.add(now, of.tenant, JobKind::WebhookDeliver, "cancelled", i64::try_from(cancelled).unwrap_or(i64::MAX));
        tx.execute_all(counts.write(tx.dialect())).await?;
        tx.commit().await?;
        Ok(cancelled)
    }

    /// Remembers that a deleted endpoint has no pending delivery, once none can come any more.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn set_drained(&self, of: &Deleted, now: UnixMs) -> Result<(), StoreError> {
        if now < of.deleted_at + UNHEARD {
            return Ok(());
        }
        let update = sql("UPDATE endpoints SET").and(" drained_at = ", now).and(" WHERE id = ", of.endpoint);
        self.pool.execute(update).await.map(drop)
    }
}
