//! Attempts of jobs.

use uuid::Uuid;

use super::{Scope, StoreError, jobs::small, sql::sql};
use crate::domain::{Id, UnixMs, attempt::AttemptClass, dead_letter::PastAttempt, job::Job};

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

pub(super) const COLUMNS: &str = "SELECT job_id, n, started_at, duration_ms, class, status_code, error, response_body, address, worker, late FROM attempts";

impl Row {
    pub(super) fn read(self) -> (Id<Job>, PastAttempt) {
        let attempt = PastAttempt {
            n: small(self.n),
            started_at: UnixMs(self.started_at),
            duration_ms: small(self.duration_ms),
            outcome: if self.class == AttemptClass::Succeeded.as_str() { "succeeded".to_owned() } else { self.class },
            status_code: self.status_code.and_then(|code| u16::try_from(code).ok()),
            error: self.error,
            response_body: self.response_body.map(|body| String::from_utf8_lossy(&body).into_owned()),
            address: self.address,
            worker: Some(self.worker),
            late: self.late != 0,
        };
        (Id::from_uuid(self.job_id), attempt)
    }
}

impl Scope<'_> {
    /// A job's attempts, oldest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn attempts(&self, job: Id<Job>) -> Result<Vec<PastAttempt>, StoreError> {
        let select =
            sql(COLUMNS).and(" WHERE tenant_id = ", self.tenant).and(" AND job_id = ", job).then(" ORDER BY id");
        Ok(self.store.pool.fetch::<Row>(select).await?.into_iter().map(|row| row.read().1).collect())
    }
}
