//! Dead letters: snapshots, replayed once or discarded.

use serde_json::json;
use uuid::Uuid;

use super::{
    DueJob, Listed, NewJob, Page, Scope, StoreError,
    attempts::status,
    dead_letter_filter::DeadLetterFilter,
    endpoints::{self, TAKES_DELIVERIES},
    jobs::{self, read_tags, small},
    pool::Tx,
    sql::{Sql, sql},
};
use crate::domain::{
    Id, UnixMs,
    dead_letter::{DeadLetter, DeadLetterState},
    endpoint::{Endpoint, EndpointState},
    fingerprint::Fingerprint,
    http_request::HttpRequest,
    job::{Job, JobKind},
    lane::LaneName,
    sent::ShownHeaders,
    tenant::Tenant,
};

/// What became of a wish to replay or discard a dead letter.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolved<T> {
    Done(T),
    NotFound,
    /// Somebody was faster: it is replayed or discarded.
    Already(Box<DeadLetter>),
    /// Its endpoint is deleted, so there is nowhere to deliver it to.
    EndpointGone,
    /// Its endpoint is disabled: the replay would die at once.
    EndpointDisabled(Box<Endpoint>),
}

/// How many open dead letters a filter takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenCount {
    pub all: u64,
    /// Those among them that have somewhere to go: their endpoint is neither deleted nor disabled.
    pub replayable: u64,
}

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    id: Uuid,
    tenant_id: Uuid,
    job_id: Uuid,
    kind: String,
    lane: String,
    priority: i64,
    max_attempts: i64,
    cause: String,
    state: String,
    message_id: Option<String>,
    event_id: Option<Uuid>,
    event_type: Option<String>,
    endpoint_id: Option<Uuid>,
    endpoint_url: Option<String>,
    request_headers: Option<String>,
    payload: Vec<u8>,
    attempts: i64,
    history: String,
    first_error: Option<String>,
    last_error: Option<String>,
    status_code: Option<i64>,
    fingerprint: Option<String>,
    replay_of: Option<Uuid>,
    replayed_as: Option<Uuid>,
    created_at: i64,
    resolved_at: Option<i64>,
    resolved_reason: Option<String>,
    tags: Option<String>,
}

const COLUMNS: &str = "SELECT id, tenant_id, job_id, kind, lane, priority, max_attempts, cause, state, message_id, event_id, event_type, \
    endpoint_id, endpoint_url, request_headers, payload, attempts, history, first_error, last_error, status_code, fingerprint, \
    replay_of, replayed_as, created_at, resolved_at, resolved_reason, tags FROM dead_letters";
/// The same without what makes a list heavy.
const LIGHT: &str = "SELECT id, tenant_id, job_id, kind, lane, priority, max_attempts, cause, state, message_id, event_id, event_type, \
    endpoint_id, endpoint_url, CAST(NULL AS TEXT) AS request_headers, SUBSTR(payload, 1, 0) AS payload, attempts, '[]' AS history, \
    first_error, last_error, status_code, fingerprint, replay_of, replayed_as, created_at, resolved_at, resolved_reason, tags FROM ";

impl Row {
    fn read(self) -> Result<DeadLetter, StoreError> {
        let unreadable = |detail: String| StoreError::unreadable("dead letter", detail);
        Ok(DeadLetter {
            id: Id::from_uuid(self.id),
            tenant_id: Id::from_uuid(self.tenant_id),
            job_id: Id::from_uuid(self.job_id),
            kind: self.kind.parse().map_err(unreadable)?,
            lane: self.lane.parse().map_err(|error| StoreError::unreadable("dead letter's lane", error))?,
            cause: self.cause.parse().map_err(unreadable)?,
            state: self.state.parse().map_err(unreadable)?,
            message_id: self.message_id,
            event_type: self.event_type,
            endpoint_id: self.endpoint_id.map(Id::from_uuid),
            endpoint_url: self.endpoint_url,
            request_headers: read_headers(self.request_headers.as_deref())?,
            payload: self.payload,
            attempts: small(self.attempts),
            history: serde_json::from_str(&self.history)
                .map_err(|error| StoreError::unreadable("dead letter's history", error))?,
            first_error: self.first_error,
            last_error: self.last_error,
            status_code: self.status_code.and_then(status),
            fingerprint: self.fingerprint.map(Fingerprint::stored),
            replay_of: self.replay_of.map(Id::from_uuid),
            replayed_as: self.replayed_as.map(Id::from_uuid),
            created_at: UnixMs(self.created_at),
            resolved_at: self.resolved_at.map(UnixMs),
            resolved_reason: self.resolved_reason,
            tags: read_tags(self.tags.as_deref())?,
        })
    }

    /// Lane and attempts of the job that runs it again. A call that was changed has those of its new address and schedule,
    /// unless it was in a lane that somebody chose.
    fn seat(&self, payload: Option<&[u8]>) -> Result<(LaneName, u32), StoreError> {
        let lane: LaneName = self.lane.parse().map_err(|error| StoreError::unreadable("dead letter's lane", error))?;
        let read = |bytes: &[u8]| serde_json::from_slice::<HttpRequest>(bytes).ok();
        let changed = payload.filter(|_| self.kind == JobKind::HttpRequest.as_str()).and_then(read);
        let Some(changed) = changed else { return Ok((lane, small(self.max_attempts))) };
        let by_host = read(&self.payload).is_some_and(|old| old.host_lane() == lane);
        let lane = if by_host { changed.host_lane() } else { lane };
        Ok((lane, changed.retry_schedule.max_attempts()))
    }

    /// The job that runs the snapshot again.
    fn replay(&self, payload: Option<Vec<u8>>, now: UnixMs) -> Result<NewJob, StoreError> {
        let (lane, max_attempts) = self.seat(payload.as_deref())?;
        Ok(NewJob {
            id: Id::new(),
            kind: self.kind.parse().map_err(|error: String| StoreError::unreadable("dead letter", error))?,
            lane,
            max_attempts,
            priority: jobs::priority(self.priority),
            run_at: now,
            args: Some(payload.unwrap_or_else(|| self.payload.clone())),
            message_id: self.message_id.clone(),
            event_id: self.event_id.map(Id::from_uuid),
            endpoint_id: self.endpoint_id.map(Id::from_uuid),
            unique_key: None,
            replaces: false,
            replay_of: Some(Id::from_uuid(self.id)),
            trace: None,
            tags: read_tags(self.tags.as_deref())?,
        })
    }
}

fn read_headers(text: Option<&str>) -> Result<Option<ShownHeaders>, StoreError> {
    text.map(serde_json::from_str).transpose().map_err(|error| StoreError::unreadable("dead letter's headers", error))
}

pub(super) fn write_headers(headers: Option<&ShownHeaders>) -> Result<Option<String>, StoreError> {
    let text = headers.map(serde_json::to_string).transpose();
    text.map_err(|error| StoreError::unreadable("dead letter's headers", error))
}

impl Scope<'_> {
    /// # Errors
    /// When the database does not answer.
    pub async fn dead_letter(&self, id: Id<DeadLetter>) -> Result<Option<DeadLetter>, StoreError> {
        let row: Option<Row> = self.store.pool.fetch_one(self.one(id)).await?;
        row.map(Row::read).transpose()
    }

    /// What became of a job that died.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn dead_letter_of_job(&self, job: Id<Job>) -> Result<Option<DeadLetter>, StoreError> {
        let select = sql(COLUMNS).and(" WHERE job_id = ", job).and(" AND tenant_id = ", self.tenant);
        let row: Option<Row> = self.store.pool.fetch_one(select.then(" ORDER BY created_at DESC LIMIT 1")).await?;
        row.map(Row::read).transpose()
    }

    /// Without payloads and attempts. Where no index finds what is asked for, only so many rows are looked at: there may be
    /// fewer than asked for although there is a next part.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn dead_letters(
        &self,
        filter: &DeadLetterFilter,
        page: &Page<DeadLetter>,
    ) -> Result<Listed<DeadLetter, DeadLetter>, StoreError> {
        let searched = filter.searched_rows();
        let from = match searched {
            Some(rows) => {
                let found = filter.found(sql(LIGHT).then("(SELECT * FROM dead_letters"), self.tenant);
                filter.searched(page.within(found, "id", rows).then(") AS found WHERE 1 = 1"))
            }
            None => filter.finish(sql(LIGHT).then("dead_letters"), self.tenant),
        };
        let rows: Vec<Row> = self.store.pool.fetch(page.finish(from, "id")).await?;
        let letters = rows.into_iter().map(Row::read).collect::<Result<_, _>>()?;
        let mut listed = page.cut(letters, |letter: &DeadLetter| letter.id);
        if let (Some(rows), None) = (searched, listed.next) {
            let found = filter.found(sql("SELECT id FROM dead_letters"), self.tenant);
            listed.next = page.last_within(&self.store.pool, found, "id", rows).await?;
        }
        Ok(listed)
    }

    /// Whole ones, for an export.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn whole_dead_letters(
        &self,
        filter: &DeadLetterFilter,
        page: &Page<DeadLetter>,
    ) -> Result<Listed<DeadLetter, DeadLetter>, StoreError> {
        let select = filter.finish(sql(COLUMNS), self.tenant);
        let rows: Vec<Row> = self.store.pool.fetch(page.finish(select, "id")).await?;
        let letters = rows.into_iter().map(Row::read).collect::<Result<_, _>>()?;
        Ok(page.cut(letters, |letter: &DeadLetter| letter.id))
    }

    /// # Errors
    /// When the database does not answer.
    pub async fn count_open_dead_letters(&self, filter: &DeadLetterFilter) -> Result<OpenCount, StoreError> {
        let filter = filter.open();
        let select = sql("SELECT COUNT(*), COUNT(CASE WHEN endpoint_id IS NULL OR endpoint_id IN (")
            .then("SELECT id FROM endpoints WHERE ")
            .then(TAKES_DELIVERIES)
            .and(" AND tenant_id = ", self.tenant)
            .then(") THEN 1 END) FROM dead_letters");
        let counted: Option<(i64, i64)> = self.store.pool.fetch_one(filter.finish(select, self.tenant)).await?;
        let (all, replayable) = counted.unwrap_or_default();
        let count = |rows: i64| u64::try_from(rows).unwrap_or(0);
        Ok(OpenCount { all: count(all), replayable: count(replayable) })
    }

    /// Makes one new job of a dead letter, with another payload where one is given.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn replay_dead_letter(
        &self,
        id: Id<DeadLetter>,
        payload: Option<Vec<u8>>,
        now: UnixMs,
    ) -> Result<Resolved<DueJob>, StoreError> {
        let mut tx = self.store.pool.begin().await?;
        let lock = tx.for_update();
        let Some(row) = tx.fetch_one::<Row>(self.one(id).then(lock)).await? else { return Ok(Resolved::NotFound) };
        if row.state != DeadLetterState::Open.as_str() {
            return Ok(Resolved::Already(Box::new(row.read()?)));
        }
        if let Some(endpoint) = row.endpoint_id {
            let select = endpoints::select_live(self.tenant, Id::from_uuid(endpoint));
            let Some(endpoint) = tx.fetch_one::<endpoints::Row>(select).await? else {
                return Ok(Resolved::EndpointGone);
            };
            let endpoint = endpoint.read()?;
            if endpoint.state == EndpointState::Disabled {
                return Ok(Resolved::EndpointDisabled(Box::new(endpoint)));
            }
        }
        let bytes = payload.as_ref().map(Vec::len);
        let before = match bytes {
            Some(_) => json!({ "state": row.state, "payload_bytes": row.payload.len() }),
            None => json!({ "state": row.state }),
        };
        let job = replay_row(&mut tx, self.tenant, &row, payload, now).await?;
        let after = match bytes {
            Some(bytes) => json!({ "state": "replayed", "job": job.id, "other_payload": true, "payload_bytes": bytes }),
            None => json!({ "state": "replayed", "job": job.id, "other_payload": false }),
        };
        self.note(&mut tx, "dead_letter.replay", id.to_string(), (Some(before), Some(after))).await?;
        tx.commit().await?;
        Ok(Resolved::Done(job))
    }

    /// Marks a dead letter as dealt with, for a reason. It stays readable.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn discard_dead_letter(
        &self,
        id: Id<DeadLetter>,
        reason: &str,
        now: UnixMs,
    ) -> Result<Resolved<DeadLetter>, StoreError> {
        let mut tx = self.store.pool.begin().await?;
        let update =
            discard(reason, now).and(" WHERE state = 'open' AND tenant_id = ", self.tenant).and(" AND id = ", id);
        let done = tx.execute(update).await? > 0;
        let row: Option<Row> = tx.fetch_one(self.one(id)).await?;
        if done {
            // The statement takes open ones alone.
            let before = json!({ "state": DeadLetterState::Open });
            let after = json!({ "state": DeadLetterState::Discarded, "reason": reason });
            self.note(&mut tx, "dead_letter.discard", id.to_string(), (Some(before), Some(after))).await?;
        }
        tx.commit().await?;
        match row {
            None => Ok(Resolved::NotFound),
            Some(row) if done => Ok(Resolved::Done(row.read()?)),
            Some(row) => Ok(Resolved::Already(Box::new(row.read()?))),
        }
    }

    fn one(&self, id: Id<DeadLetter>) -> Sql {
        sql(COLUMNS).and(" WHERE tenant_id = ", self.tenant).and(" AND id = ", id)
    }
}

/// The beginning of a statement by which dead letters are discarded for a reason; which ones is left to say.
pub(super) fn discard(reason: &str, now: UnixMs) -> Sql {
    sql("UPDATE dead_letters SET state = 'discarded'").and(", resolved_at = ", now).and(", resolved_reason = ", reason)
}

/// Open dead letters that a filter takes, oldest first after `after`, locked.
pub(super) async fn next_open(
    tx: &mut Tx<'_>,
    tenant: Id<Tenant>,
    filter: &DeadLetterFilter,
    after: Option<Uuid>,
    until: UnixMs,
    limit: u32,
) -> Result<Vec<Row>, StoreError> {
    let mut select = filter.open().finish(sql(COLUMNS), tenant).and(" AND created_at <= ", until);
    if let Some(after) = after {
        select = select.and(" AND id > ", after);
    }
    let lock = tx.for_update();
    tx.fetch(select.then(" ORDER BY id").and(" LIMIT ", limit).then(lock)).await
}

/// Locks the open dead letters of these jobs, in the order in which a bulk replay does. Whoever had locked one is waited for.
pub(super) async fn lock_open_of_jobs(
    tx: &mut Tx<'_>,
    tenant: Id<Tenant>,
    jobs: impl Iterator<Item = Uuid>,
) -> Result<(), StoreError> {
    let select = sql("SELECT id FROM dead_letters WHERE state = 'open'").and(" AND tenant_id = ", tenant);
    let lock = tx.for_update();
    tx.fetch::<(Uuid,)>(select.then(" AND job_id").any(jobs).then(" ORDER BY id").then(lock)).await.map(drop)
}

/// The open dead letter of a dead job, locked.
pub(super) async fn open_of_job(tx: &mut Tx<'_>, tenant: Id<Tenant>, job: Uuid) -> Result<Option<Row>, StoreError> {
    let select = sql(COLUMNS).and(" WHERE state = 'open' AND tenant_id = ", tenant).and(" AND job_id = ", job);
    let lock = tx.for_update();
    tx.fetch_one(select.then(lock)).await
}

impl Row {
    pub(super) const fn id(&self) -> Uuid {
        self.id
    }

    pub(super) const fn endpoint(&self) -> Option<Uuid> {
        self.endpoint_id
    }
}

/// Makes the replaying job of an open, locked dead letter and links the two.
pub(super) async fn replay_row(
    tx: &mut Tx<'_>,
    tenant: Id<Tenant>,
    row: &Row,
    payload: Option<Vec<u8>>,
    now: UnixMs,
) -> Result<DueJob, StoreError> {
    let job = row.replay(payload, now)?;
    tx.execute_all(jobs::insert(tx.dialect(), vec![(tenant, &job, now)])).await?;
    let update = sql("UPDATE dead_letters SET state = 'replayed'")
        .and(", resolved_at = ", now)
        .and(", replayed_as = ", job.id)
        .and(" WHERE id = ", row.id);
    tx.execute(update).await?;
    Ok(job.due(tenant))
}
