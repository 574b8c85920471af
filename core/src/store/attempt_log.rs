//! Attempts of one endpoint, newest first, and its health by the latest of them.

use std::collections::HashMap;

use uuid::Uuid;

use super::{
    Listed, Page, Scope, StoreError, attempts,
    jobs::small,
    sql::{Sql, sql},
};
use crate::domain::{
    Id,
    attempt::{Attempt, AttemptClass},
    dead_letter::PastAttempt,
    endpoint::Endpoint,
    health::{HEALTH_ATTEMPTS, Health},
    job::Job,
    tenant::Tenant,
};

/// Attempts that one page looks at for those that failed.
const LOOKED_AT_MAX: u32 = 10_000;

/// An attempt in the log of its endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedAttempt {
    pub id: Id<Attempt>,
    pub job_id: Id<Job>,
    pub attempt: PastAttempt,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    #[sqlx(flatten)]
    attempt: attempts::Row,
}

impl Row {
    fn read(self) -> LoggedAttempt {
        let (job_id, attempt) = self.attempt.read();
        LoggedAttempt { id: Id::from_uuid(self.id), job_id, attempt }
    }
}

impl Scope<'_> {
    /// Attempts of one endpoint, newest first, without the receiver's answers.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn endpoint_attempts(
        &self,
        endpoint: Id<Endpoint>,
        page: &Page<Attempt>,
    ) -> Result<Listed<LoggedAttempt, Attempt>, StoreError> {
        let select = page.finish(of_endpoint(self.tenant, endpoint, "NULL"), "id");
        let rows = self.store.pool.fetch::<Row>(select).await?.into_iter().map(Row::read).collect();
        Ok(page.cut(rows, |attempt: &LoggedAttempt| attempt.id))
    }

    /// The failed ones among the newest attempts of one endpoint. One that is shorter than its limit and has a next part was
    /// cut off by what a page may look at.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn endpoint_failed_attempts(
        &self,
        endpoint: Id<Endpoint>,
        page: &Page<Attempt>,
    ) -> Result<Listed<LoggedAttempt, Attempt>, StoreError> {
        let all = sql("SELECT id FROM attempts").and(" WHERE tenant_id = ", self.tenant);
        let all = all.and(" AND endpoint_id = ", endpoint);
        let floor = page.last_within(&self.store.pool, all, "id", LOOKED_AT_MAX).await?;
        let mut select =
            of_endpoint(self.tenant, endpoint, "NULL").and(" AND class <> ", AttemptClass::Succeeded.as_str());
        if let Some(floor) = floor {
            select = select.and(" AND id >= ", floor);
        }
        let rows = self.store.pool.fetch::<Row>(page.finish(select, "id")).await?;
        let listed = page.cut(rows.into_iter().map(Row::read).collect(), |attempt: &LoggedAttempt| attempt.id);
        Ok(Listed { next: listed.next.or(floor), ..listed })
    }

    /// One attempt of an endpoint, with the receiver's answer.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn endpoint_attempt(
        &self,
        endpoint: Id<Endpoint>,
        id: Id<Attempt>,
    ) -> Result<Option<LoggedAttempt>, StoreError> {
        let select = of_endpoint(self.tenant, endpoint, "response_body").and(" AND id = ", id);
        Ok(self.store.pool.fetch_one::<Row>(select).await?.map(Row::read))
    }

    /// How these endpoints do by the latest attempts of each. What was never tried is not among them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn health(&self, endpoints: &[Id<Endpoint>]) -> Result<HashMap<Id<Endpoint>, Health>, StoreError> {
        if endpoints.is_empty() {
            return Ok(HashMap::new());
        }
        let rows: Vec<(Uuid, String, i64)> = self.store.pool.fetch(select_latest(self.tenant, endpoints)).await?;
        let mut attempts: HashMap<Uuid, Vec<(String, u32)>> = HashMap::new();
        for (endpoint, class, duration_ms) in rows {
            attempts.entry(endpoint).or_default().push((class, small(duration_ms)));
        }
        let health = |(endpoint, attempts): (Uuid, Vec<(String, u32)>)| {
            let attempts = attempts.iter().map(|(class, duration_ms)| (class.as_str(), *duration_ms));
            (Id::from_uuid(endpoint), Health::of(attempts))
        };
        Ok(attempts.into_iter().map(health).collect())
    }
}

/// `answer` is what the receiver's answer is read from.
fn of_endpoint(tenant: Id<Tenant>, endpoint: Id<Endpoint>, answer: &'static str) -> Sql {
    sql("SELECT id, job_id, n, started_at, duration_ms, class, status_code, error, ")
        .then(answer)
        .then(" AS response_body, address, worker, late FROM attempts")
        .and(" WHERE tenant_id = ", tenant)
        .and(" AND endpoint_id = ", endpoint)
}

/// A part for each endpoint: both databases read the end of the index for each, and nothing else.
fn select_latest(tenant: Id<Tenant>, endpoints: &[Id<Endpoint>]) -> Sql {
    let mut select = sql("");
    for (place, endpoint) in endpoints.iter().enumerate() {
        let begin = if place == 0 { "" } else { " UNION ALL " };
        select = select
            .then(format!("{begin}SELECT * FROM (SELECT endpoint_id, class, duration_ms FROM attempts"))
            .and(" WHERE tenant_id = ", tenant)
            .and(" AND endpoint_id = ", *endpoint)
            .then(format!(" ORDER BY id DESC LIMIT {HEALTH_ATTEMPTS}) AS latest{place}"));
    }
    select
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::sqlite_plan;

    #[tokio::test]
    async fn attempts_of_an_endpoint_are_read_from_the_end_of_their_index() {
        let (tenant, endpoints) = (Id::new(), [Id::new(), Id::new()]);
        let log = Page::<Attempt> { before: Some(Id::new()), limit: 50 };
        let log = sqlite_plan(log.finish(of_endpoint(tenant, endpoints[0], "response_body"), "id")).await;
        assert!(log.contains("INDEX attempts_by_endpoint (endpoint_id=? AND id<?)"), "{log}");
        let health = sqlite_plan(select_latest(tenant, &endpoints)).await;
        assert_eq!(health.matches("INDEX attempts_by_endpoint (endpoint_id=?)").count(), 2, "{health}");
        for plan in [log, health] {
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
        }
    }
}
