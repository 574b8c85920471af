//! How often each failure happened, by hour and endpoint, for sparklines and for whom it touches.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::{Scope, StoreError, pool::Tx, sql::sql, value::Value};
use crate::domain::{Id, UnixMs, endpoint::Endpoint, fingerprint::Fingerprint, tenant::Tenant};

const HOUR_MS: i64 = 3_600_000;

impl Scope<'_> {
    /// How often each of these failed in each of the last `hours`, oldest first; the last is the one of `now`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn failures_by_hour(
        &self,
        fingerprints: &[Fingerprint],
        hours: u16,
        now: UnixMs,
    ) -> Result<HashMap<Fingerprint, Vec<u64>>, StoreError> {
        let first = now.0.div_euclid(HOUR_MS) + 1 - i64::from(hours);
        let select = sql("SELECT fingerprint, hour, CAST(SUM(count) AS BIGINT) FROM failure_hours")
            .and(" WHERE tenant_id = ", self.tenant)
            .and(" AND hour >= ", first)
            .then(" AND fingerprint")
            .any(fingerprints.iter().map(Fingerprint::as_str))
            .then(" GROUP BY fingerprint, hour");
        let mut all: HashMap<Fingerprint, Vec<u64>> = HashMap::new();
        for (fingerprint, hour, count) in self.store.pool.fetch::<(String, i64, i64)>(select).await? {
            let counts = all.entry(Fingerprint::stored(fingerprint)).or_insert_with(|| vec![0; usize::from(hours)]);
            let place = usize::try_from(hour - first).unwrap_or(usize::MAX);
            if let Some(place) = counts.get_mut(place) {
                *place = u64::try_from(count).unwrap_or(0);
            }
        }
        Ok(all)
    }

    /// How many endpoints each of these failed at since `since`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn failures_reach(
        &self,
        fingerprints: &[Fingerprint],
        since: UnixMs,
    ) -> Result<HashMap<Fingerprint, u64>, StoreError> {
        let select = sql("SELECT fingerprint, COUNT(DISTINCT endpoint_id) FROM failure_hours")
            .and(" WHERE tenant_id = ", self.tenant)
            .and(" AND hour >= ", since.0.div_euclid(HOUR_MS))
            .and(" AND endpoint_id <> ", Uuid::nil())
            .then(" AND fingerprint")
            .any(fingerprints.iter().map(Fingerprint::as_str))
            .then(" GROUP BY fingerprint");
        let rows: Vec<(String, i64)> = self.store.pool.fetch(select).await?;
        let read = |(fingerprint, count)| (Fingerprint::stored(fingerprint), u64::try_from(count).unwrap_or(0));
        Ok(rows.into_iter().map(read).collect())
    }

    /// The endpoints that a failure happened at since `since`, with how often, the most often first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn failing_endpoints(
        &self,
        fingerprint: &Fingerprint,
        since: UnixMs,
        limit: u32,
    ) -> Result<Vec<(Id<Endpoint>, u64)>, StoreError> {
        let select = sql("SELECT endpoint_id, CAST(SUM(count) AS BIGINT) FROM failure_hours")
            .and(" WHERE tenant_id = ", self.tenant)
            .and(" AND fingerprint = ", fingerprint.as_str())
            .and(" AND hour >= ", since.0.div_euclid(HOUR_MS))
            .and(" AND endpoint_id <> ", Uuid::nil())
            .and(" GROUP BY endpoint_id ORDER BY 2 DESC, 1 LIMIT ", limit);
        let rows: Vec<(Uuid, i64)> = self.store.pool.fetch(select).await?;
        Ok(rows.into_iter().map(|(id, count)| (Id::from_uuid(id), u64::try_from(count).unwrap_or(0))).collect())
    }
}

/// Counts by group, hour and endpoint that one transaction adds.
#[derive(Default)]
pub(super) struct Hours(BTreeMap<(Id<Tenant>, Fingerprint, i64, Uuid), i64>);

impl Hours {
    pub(super) fn add(
        &mut self,
        tenant: Id<Tenant>,
        failure: &Fingerprint,
        at: UnixMs,
        endpoint: Option<Id<Endpoint>>,
    ) {
        let endpoint = endpoint.map_or(Uuid::nil(), Id::uuid);
        *self.0.entry((tenant, failure.clone(), at.0.div_euclid(HOUR_MS), endpoint)).or_default() += 1;
    }

    /// Adds them to the table, in key order too.
    pub(super) async fn write(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        for run in tx.dialect().runs(self.0.into_iter().collect()) {
            let row = |((tenant, fingerprint, hour, endpoint), count): ((Id<Tenant>, Fingerprint, i64, Uuid), i64)| -> Vec<Value> {
            vec![tenant.into(), fingerprint.as_str().into(), hour.into(), endpoint.into(), count.into()]
        };
            let add = sql("INSERT INTO failure_hours (tenant_id, fingerprint, hour, endpoint_id, count) ")
            .rows(run.into_iter().map(row).collect())
            .then(" ON CONFLICT (tenant_id, fingerprint, hour, endpoint_id) DO UPDATE SET count = failure_hours.count + excluded.count");
            tx.execute(add).await?;
        }
        Ok(())
    }
}
