//! Attempts of jobs.

use std::collections::HashMap;

use uuid::Uuid;

use super::{
    Scope, StoreError,
    jobs::small,
    pool::Tx,
    sql::{Dialect, Sql, sql},
    value::Value,
};
use crate::domain::{
    Id, UnixMs,
    attempt::{Attempt, AttemptReport},
    dead_letter::PastAttempt,
    endpoint::Endpoint,
    job::Job,
    tenant::Tenant,
};

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    job_id: Uuid,
    n: i64,
    started_at: i64,
    duration_ms: i64,
    class: String,
    status_code: Option<i64>,
    error: Option<String>,
    response_body: Option<Vec<u8>>,
    address: Option<String>,
    worker: String,
    late: i64,
}

const COLUMNS: &str = "SELECT job_id, n, started_at, duration_ms, class, status_code, error, response_body, address, worker, late FROM attempts";

pub(super) fn status(code: i64) -> Option<u16> {
    u16::try_from(code).ok()
}

impl Row {
    pub(super) fn read(self) -> (Id<Job>, PastAttempt) {
        let attempt = PastAttempt {
            n: small(self.n),
            started_at: UnixMs(self.started_at),
            duration_ms: small(self.duration_ms),
            outcome: self.class,
            status_code: self.status_code.and_then(status),
            error: self.error,
            response_body: self.response_body.map(|body| String::from_utf8_lossy(&body).into_owned()),
            address: self.address,
            worker: Some(self.worker),
            late: self.late != 0,
        };
        (Id::from_uuid(self.job_id), attempt)
    }
}

/// An attempt to be kept.
pub(super) struct NewAttempt<'a> {
    pub(super) id: Id<Attempt>,
    pub(super) tenant: Id<Tenant>,
    pub(super) job: Id<Job>,
    pub(super) endpoint: Option<Id<Endpoint>>,
    /// 1 for the first.
    pub(super) n: u32,
    pub(super) report: &'a AttemptReport,
    /// Its outcome came too late and changed nothing.
    pub(super) late: bool,
}

impl NewAttempt<'_> {
    fn row(self) -> Vec<Value> {
        let report = self.report;
        vec![
            self.id.into(),
            self.tenant.into(),
            self.job.into(),
            self.endpoint.into(),
            self.n.into(),
            report.started_at.into(),
            report.duration_ms.into(),
            report.class.as_str().into(),
            report.status_code.into(),
            report.error.clone().into(),
            report.response_body.clone().into(),
            report.address.clone().into(),
            report.worker.as_str().into(),
            i64::from(self.late).into(),
        ]
    }
}

impl Scope<'_> {
    /// A job's attempts, oldest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn attempts(&self, job: Id<Job>) -> Result<Vec<PastAttempt>, StoreError> {
        let select =
            sql(COLUMNS).and(" WHERE tenant_id = ", self.tenant).and(" AND job_id = ", job).then(" ORDER BY n, id");
        Ok(self.store.pool.fetch::<Row>(select).await?.into_iter().map(|row| row.read().1).collect())
    }
}

pub(super) fn insert(dialect: Dialect, attempts: Vec<NewAttempt<'_>>) -> Vec<Sql> {
    let insert = |run: Vec<NewAttempt<'_>>| {
        sql("INSERT INTO attempts (id, tenant_id, job_id, endpoint_id, n, started_at, duration_ms, class, status_code, error, response_body, address, worker, late) ")
            .rows(run.into_iter().map(NewAttempt::row).collect())
    };
    dialect.runs(attempts).map(insert).collect()
}

/// The attempts of these jobs that were not late, oldest first. By number before id, since the clocks of two workers
/// need not agree.
pub(super) async fn on_time(
    tx: &mut Tx<'_>,
    jobs: &[Id<Job>],
) -> Result<HashMap<Id<Job>, Vec<PastAttempt>>, StoreError> {
    let select = sql(COLUMNS).then(" WHERE late = 0 AND job_id").any(jobs.iter().copied()).then(" ORDER BY n, id");
    let mut histories: HashMap<Id<Job>, Vec<PastAttempt>> = HashMap::new();
    for (job, attempt) in tx.fetch::<Row>(select).await?.into_iter().map(Row::read) {
        histories.entry(job).or_default().push(attempt);
    }
    Ok(histories)
}
