//! Failures grouped by fingerprint.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{
    Scope, StoreError,
    attempts::status,
    outcomes::Finished,
    pool::Tx,
    sql::{Value, sql},
};
use crate::domain::{
    Id, UnixMs,
    fingerprint::Fingerprint,
    job::{Job, JobKind},
    tenant::Tenant,
};

/// Failures that are one failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureGroup {
    pub fingerprint: Fingerprint,
    pub kind: JobKind,
    pub class: String,
    pub status_code: Option<u16>,
    /// An example of the message.
    pub error: String,
    /// The job of the example.
    pub job_id: Id<Job>,
    /// Failed attempts.
    pub count: u64,
    pub first_seen_at: UnixMs,
    pub last_seen_at: UnixMs,
}

#[derive(sqlx::FromRow)]
struct Row {
    fingerprint: String,
    kind: String,
    class: String,
    status_code: Option<i64>,
    error: String,
    job_id: Uuid,
    count: i64,
    first_seen_at: i64,
    last_seen_at: i64,
}

impl Row {
    fn read(self) -> Result<FailureGroup, StoreError> {
        Ok(FailureGroup {
            fingerprint: Fingerprint::stored(self.fingerprint),
            kind: self.kind.parse().map_err(|error: String| StoreError::unreadable("failure's kind", error))?,
            class: self.class,
            status_code: self.status_code.and_then(status),
            error: self.error,
            job_id: Id::from_uuid(self.job_id),
            count: u64::try_from(self.count).unwrap_or(0),
            first_seen_at: UnixMs(self.first_seen_at),
            last_seen_at: UnixMs(self.last_seen_at),
        })
    }
}

impl Scope<'_> {
    /// The groups seen last come first. `before` is the last row of the page before: its time and fingerprint.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn failures(
        &self,
        before: Option<(UnixMs, Fingerprint)>,
        limit: u32,
    ) -> Result<Vec<FailureGroup>, StoreError> {
        let mut select = sql("SELECT fingerprint, kind, class, status_code, error, job_id, count, first_seen_at, last_seen_at FROM failure_groups")
            .and(" WHERE tenant_id = ", self.tenant);
        if let Some((time, fingerprint)) = before {
            select = select.and(" AND (last_seen_at, fingerprint) < (", time).and(", ", fingerprint.as_str()).then(")");
        }
        let select = select.then(" ORDER BY last_seen_at DESC, fingerprint DESC").and(" LIMIT ", limit);
        self.store.pool.fetch::<Row>(select).await?.into_iter().map(Row::read).collect()
    }
}

/// Adds the failures among these outcomes to their groups, in key order, so that two transactions cannot wait
/// for each other.
pub(super) async fn add(tx: &mut Tx<'_>, failed: &[(&Finished, Fingerprint)]) -> Result<(), StoreError> {
    let mut groups: BTreeMap<(Id<Tenant>, &Fingerprint), (&Finished, i64)> = BTreeMap::new();
    for (finished, fingerprint) in failed {
        let entry = groups.entry((finished.tenant, fingerprint)).or_insert((finished, 0));
        *entry = (finished, entry.1 + 1);
    }
    for run in tx.dialect().runs(groups.into_iter().collect()) {
        let row = |((tenant, fingerprint), (finished, count)): ((Id<Tenant>, &Fingerprint), (&Finished, i64))| -> Option<Vec<Value>> {
            let report = finished.report.as_ref()?;
            Some(vec![
                tenant.into(),
                fingerprint.as_str().into(),
                finished.kind.as_str().into(),
                report.class.as_str().into(),
                report.status_code.into(),
                report.error.clone().unwrap_or_default().into(),
                finished.job.into(),
                count.into(),
                finished.now.into(),
                finished.now.into(),
            ])
        };
        let add = sql("INSERT INTO failure_groups (tenant_id, fingerprint, kind, class, status_code, error, job_id, count, first_seen_at, last_seen_at) ")
            .rows(run.into_iter().filter_map(row).collect())
            .then(" ON CONFLICT (tenant_id, fingerprint) DO UPDATE SET count = failure_groups.count + excluded.count, \
                last_seen_at = excluded.last_seen_at, error = excluded.error, job_id = excluded.job_id");
        tx.execute(add).await?;
    }
    Ok(())
}
