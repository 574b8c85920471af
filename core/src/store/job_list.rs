//! Lists of jobs. Newest first, and never more work than a page may take: where no index leads to what is asked for, the
//! newest jobs are looked at up to a bound, and the next page goes on from there.

use std::collections::HashMap;

use uuid::Uuid;

use super::{
    JobDetail, Listed, Page, Scope, StoreError,
    jobs::{Row, like, select_jobs, tagged},
    sql::{Dialect, Sql, sql},
};
use crate::domain::{
    Id, UnixMs,
    event::Event,
    fingerprint::Fingerprint,
    job::{Job, JobKind, JobView},
    lane::LaneName,
    tag::Tag,
};

/// Jobs that one page looks at where no index leads to what is asked for.
const LOOKED_AT_MAX: u32 = 10_000;
/// The same where their payloads are read, which stand apart.
const PAYLOADS_READ_MAX: u32 = 1_000;
/// SQLite takes an index of some rows only where its own condition is said, and else reads all of a tenant's jobs.
const RETRYING: &str = " AND j.state = 'pending' AND j.attempt > 0";
const ENDED_BADLY: &str = " AND j.state IN ('dead', 'cancelled')";
/// An id is made a moment before or after the time that its job is given.
const ID_SKEW_MS: i64 = 10_000;

/// Which jobs a list shows.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    pub state: Option<JobView>,
    pub kind: Option<JobKind>,
    pub lane: Option<LaneName>,
    pub tag: Option<Tag>,
    pub event: Option<Id<Event>>,
    /// Of the last error: its failure group.
    pub fingerprint: Option<Fingerprint>,
    /// Part of the last error, or the whole unique key.
    pub text: Option<String>,
    /// Part of the event's payload or of the arguments, to the byte.
    pub payload: Option<String>,
    /// Made then or later.
    pub since: Option<UnixMs>,
    /// Made before.
    pub until: Option<UnixMs>,
}

impl Scope<'_> {
    /// A page of jobs. One that is shorter than its limit and has a next one was cut off by what may be looked at.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn jobs(
        &self,
        filter: &JobFilter,
        page: &Page<Job>,
        now: UnixMs,
    ) -> Result<Listed<JobDetail, Job>, StoreError> {
        let floor = self.floor(filter, page).await?;
        let select =
            filter.finish(select_jobs().and(" WHERE j.tenant_id = ", self.tenant), self.store.pool.dialect(), now);
        let select = match floor {
            Some(floor) => select.and(" AND j.id >= ", floor),
            None => select,
        };
        let rows: Vec<Row> = self.store.pool.fetch(page.finish(select, "j.id")).await?;
        let jobs = rows.into_iter().map(Row::detail).collect::<Result<_, _>>()?;
        let listed = page.cut(jobs, |detail: &JobDetail| detail.job.id);
        Ok(Listed { next: listed.next.or(floor), ..listed })
    }

    /// The kinds of these jobs.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn kinds_of(&self, jobs: &[Id<Job>]) -> Result<HashMap<Id<Job>, JobKind>, StoreError> {
        if jobs.is_empty() {
            return Ok(HashMap::new());
        }
        let select = sql("SELECT id, kind FROM jobs").and(" WHERE tenant_id = ", self.tenant).then(" AND id");
        let rows: Vec<(Uuid, String)> = self.store.pool.fetch(select.any(jobs.iter().copied())).await?;
        let kind = |(id, kind): (Uuid, String)| Some((Id::from_uuid(id), kind.parse().ok()?));
        Ok(rows.into_iter().filter_map(kind).collect())
    }

    /// The last job that a page looks at; `None` where it may look at all.
    async fn floor(&self, filter: &JobFilter, page: &Page<Job>) -> Result<Option<Id<Job>>, StoreError> {
        let Some(looked_at_max) = filter.looked_at_max() else { return Ok(None) };
        let ids = filter.indexed(sql("SELECT j.id FROM jobs j").and(" WHERE j.tenant_id = ", self.tenant));
        page.last_within(&self.store.pool, ids, "j.id", looked_at_max).await
    }
}

impl JobFilter {
    /// Jobs that a page may look at; `None` where the index leads to those that are shown alone.
    fn looked_at_max(&self) -> Option<u32> {
        let by_state = matches!(self.state, None | Some(JobView::Retrying | JobView::Dead | JobView::Cancelled));
        let plain = self.kind.is_none()
            && self.lane.is_none()
            && self.tag.is_none()
            && self.text.is_none()
            && self.fingerprint.is_none();
        match &self.payload {
            _ if self.event.is_some() => None,
            Some(_) => Some(PAYLOADS_READ_MAX),
            None if by_state && plain => None,
            None => Some(LOOKED_AT_MAX),
        }
    }

    /// What an index leads to, in the order of ids.
    fn indexed(&self, select: Sql) -> Sql {
        let select = match self.state {
            Some(JobView::Retrying) => select.then(RETRYING),
            Some(JobView::Dead) => select.then(" AND j.state = 'dead'").then(ENDED_BADLY),
            Some(JobView::Cancelled) => select.then(" AND j.state = 'cancelled'").then(ENDED_BADLY),
            _ => select,
        };
        let select = match self.since {
            Some(since) => select.and(" AND j.id >= ", Id::<Job>::first_of(UnixMs(since.0.saturating_sub(ID_SKEW_MS)))),
            None => select,
        };
        match self.until {
            Some(until) => select.and(" AND j.id < ", Id::<Job>::first_of(UnixMs(until.0.saturating_add(ID_SKEW_MS)))),
            None => select,
        }
    }

    fn finish(&self, select: Sql, dialect: Dialect, now: UnixMs) -> Sql {
        let mut select = self.indexed(select);
        select = match self.state {
            None | Some(JobView::Retrying | JobView::Dead | JobView::Cancelled) => select,
            Some(JobView::Succeeded) => select.then(" AND j.state = 'succeeded'"),
            Some(JobView::Scheduled) => {
                select.then(" AND j.state = 'pending' AND j.attempt = 0").and(" AND j.run_at > ", now)
            }
            Some(JobView::Queued) => {
                select.then(" AND j.state = 'pending' AND j.attempt = 0").and(" AND j.run_at <= ", now)
            }
            Some(JobView::Running) => select.then(" AND j.state = 'pending'").and(" AND j.run_at <= ", now),
        };
        if let Some(kind) = self.kind {
            select = select.and(" AND j.kind = ", kind.as_str());
        }
        if let Some(lane) = &self.lane {
            select = select.and(" AND j.lane = ", lane.as_str());
        }
        if let Some(fingerprint) = &self.fingerprint {
            select = select.and(" AND j.fingerprint = ", fingerprint.as_str());
        }
        if let Some(tag) = &self.tag {
            select = tagged(select, "j.tags", tag);
        }
        if let Some(event) = self.event {
            // By its id alone, SQLite would look for it among all of a tenant's jobs.
            select = select.and(" AND j.id IN (SELECT id FROM jobs WHERE event_id = ", event).then(")");
        }
        if let Some(since) = self.since {
            select = select.and(" AND j.created_at >= ", since);
        }
        if let Some(until) = self.until {
            select = select.and(" AND j.created_at < ", until);
        }
        if let Some(text) = &self.text {
            select = select
                .and(" AND (j.unique_key = ", text.as_str())
                .and(" OR LOWER(j.last_error) LIKE ", like(text))
                .then(" ESCAPE '\\')");
        }
        match &self.payload {
            Some(text) => with_payload(select, dialect, text),
            None => select,
        }
    }
}

/// Adds that what is sent has these bytes.
fn with_payload(select: Sql, dialect: Dialect, text: &str) -> Sql {
    match dialect {
        Dialect::Sqlite => select.and(" AND INSTR(COALESCE(j.args, e.payload), ", text.as_bytes()).then(") > 0"),
        Dialect::Postgres => select.and(" AND POSITION(", text.as_bytes()).then(" IN COALESCE(j.args, e.payload)) > 0"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::tenant::Tenant, store::tests::sqlite_plan};

    fn of(filter: &JobFilter) -> Sql {
        let select = select_jobs().and(" WHERE j.tenant_id = ", Id::<Tenant>::new());
        filter.finish(select, Dialect::Sqlite, UnixMs(0))
    }

    #[tokio::test]
    async fn jobs_that_ended_badly_are_found_by_their_state_and_not_among_all_of_a_tenant_s() {
        for state in [JobView::Dead, JobView::Cancelled] {
            let filter = JobFilter { state: Some(state), ..JobFilter::default() };
            assert_eq!(filter.looked_at_max(), None);
            let plan = sqlite_plan(Page::<Job> { before: None, limit: 50 }.finish(of(&filter), "j.id")).await;
            assert!(plan.contains("INDEX jobs_ended_badly (tenant_id=? AND state=?)"), "{plan}");
        }
    }

    #[tokio::test]
    async fn jobs_that_are_tried_again_are_found_among_themselves() {
        let all = JobFilter { state: Some(JobView::Retrying), ..JobFilter::default() };
        let alike = JobFilter { fingerprint: "0123456789abcdef".parse().ok(), ..all.clone() };
        assert_eq!((all.looked_at_max(), alike.looked_at_max()), (None, Some(LOOKED_AT_MAX)));
        for filter in [all, alike] {
            let select = of(&filter).and(" AND j.id >= ", Id::<Job>::new());
            let plan = sqlite_plan(Page::<Job> { before: None, limit: 50 }.finish(select, "j.id")).await;
            assert!(plan.contains("INDEX jobs_retrying_by_id (tenant_id=? AND state=? AND id>?)"), "{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
        }
    }

    #[tokio::test]
    async fn jobs_of_an_event_are_found_by_it() {
        let filter = JobFilter { event: Some(Id::new()), ..JobFilter::default() };
        assert_eq!(filter.looked_at_max(), None);
        let plan = sqlite_plan(Page::<Job> { before: None, limit: 50 }.finish(of(&filter), "j.id")).await;
        assert!(plan.contains("INDEX jobs_by_event (event_id=?)") && plan.contains("AND id=?)"), "{plan}");
    }

    #[tokio::test]
    async fn what_no_index_leads_to_is_found_in_the_order_of_ids_within_a_bound() {
        let lane = || Some("a".parse().unwrap());
        for filter in [
            JobFilter { state: Some(JobView::Succeeded), ..JobFilter::default() },
            JobFilter { fingerprint: "0123456789abcdef".parse().ok(), ..JobFilter::default() },
            JobFilter { lane: lane(), ..JobFilter::default() },
            JobFilter { payload: Some("a".to_owned()), since: Some(UnixMs(0)), ..JobFilter::default() },
        ] {
            assert!(filter.looked_at_max().is_some());
            let select = of(&filter).and(" AND j.id >= ", Id::<Job>::new());
            let plan = sqlite_plan(Page::<Job> { before: None, limit: 50 }.finish(select, "j.id")).await;
            assert!(plan.contains("INDEX jobs_by_tenant (tenant_id=? AND id>?)"), "{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
        }
    }
}
