//! Jobs: how they are kept, cancelled and hurried.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;
use uuid::Uuid;

use super::{
    Scope, StoreError,
    due::{self, DueJob},
    pool::Tx,
    sql::{Dialect, Sql, sql},
    value::Value,
};
use crate::domain::{
    Id, UnixMs,
    dead_letter::DeadLetter,
    endpoint::Endpoint,
    event::{Event, public_id},
    fingerprint::Fingerprint,
    http_request::HttpRequest,
    job::{Job, JobKind, JobState, Priority},
    lane::{LaneKey, LaneName},
    tag::Tag,
    tenant::Tenant,
    trace::TraceContext,
};

/// A job to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    pub id: Id<Job>,
    pub kind: JobKind,
    pub lane: LaneName,
    pub max_attempts: u32,
    pub priority: Priority,
    pub run_at: UnixMs,
    /// Arguments, or the payload to send in the event's place.
    pub args: Option<Vec<u8>>,
    /// `webhook-id` where it is not the event's.
    pub message_id: Option<String>,
    pub event_id: Option<Id<Event>>,
    pub endpoint_id: Option<Id<Endpoint>>,
    pub unique_key: Option<String>,
    /// The pending job with its unique key ends, and this one goes on in its place; else that one stays, and this one is not kept.
    pub replaces: bool,
    pub replay_of: Option<Id<DeadLetter>>,
    /// What its attempts are children of, where that is not its event's.
    pub trace: Option<TraceContext>,
    pub tags: Vec<Tag>,
}

/// A job with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobDetail {
    pub job: Job,
    pub args: Option<Vec<u8>>,
    /// The event's id as its publisher and receiver know it.
    pub event: Option<String>,
}

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    id: Uuid,
    tenant_id: Uuid,
    kind: String,
    lane: String,
    state: String,
    attempt: i64,
    max_attempts: i64,
    priority: i64,
    run_at: i64,
    pub(super) args: Option<Vec<u8>>,
    message_id: Option<String>,
    event_id: Option<Uuid>,
    endpoint_id: Option<Uuid>,
    unique_key: Option<String>,
    lost_workers: i64,
    replay_of: Option<Uuid>,
    created_at: i64,
    finished_at: Option<i64>,
    last_error: Option<String>,
    fingerprint: Option<String>,
    event_own_id: Option<String>,
    pub(super) event_kind: Option<String>,
    pub(super) event_payload: Option<Vec<u8>>,
    pub(super) trace: Option<String>,
    tags: Option<String>,
}

pub(super) const COLUMNS: &str = "j.id, j.tenant_id, j.kind, j.lane, j.state, j.attempt, j.max_attempts, j.priority, j.run_at, j.args, \
    j.message_id, j.event_id, j.endpoint_id, j.unique_key, j.lost_workers, j.replay_of, j.created_at, j.finished_at, \
    j.last_error, j.fingerprint, j.tags, e.own_id AS event_own_id, e.kind AS event_kind";
pub(super) const FROM: &str = " FROM jobs j LEFT JOIN events e ON e.id = j.event_id";

fn unreadable(what: &'static str) -> impl Fn(String) -> StoreError {
    move |detail| StoreError::unreadable(what, detail)
}

pub(super) fn small(value: i64) -> u32 {
    u32::try_from(value).unwrap_or(if value < 0 { 0 } else { u32::MAX })
}

pub(super) fn priority(level: i64) -> Priority {
    u8::try_from(level).ok().and_then(|level| level.try_into().ok()).unwrap_or_default()
}

pub(super) fn read_tags(stored: Option<&str>) -> Result<Vec<Tag>, StoreError> {
    let read = stored.map(serde_json::from_str).transpose();
    read.map(Option::unwrap_or_default).map_err(|error| StoreError::unreadable("job's tags", error))
}

pub(super) fn write_tags(tags: &[Tag]) -> Option<String> {
    (!tags.is_empty()).then(|| serde_json::to_string(tags).unwrap_or_default())
}

/// Adds that the list in `column` has the tag. Tags have no character that JSON or a pattern writes otherwise, but for
/// one.
pub(super) fn tagged(select: Sql, column: &'static str, tag: &Tag) -> Sql {
    let plain = tag.as_str().replace('_', "\\_");
    select.then(" AND ").then(column).and(" LIKE ", format!("%\"{plain}\"%")).then(" ESCAPE '\\'")
}

impl Row {
    pub(super) fn event(&self) -> Option<String> {
        let own = self.message_id.as_deref().or(self.event_own_id.as_deref());
        self.event_id.map(|id| public_id(Id::from_uuid(id), own))
    }

    pub(super) fn job(&self) -> Result<Job, StoreError> {
        Ok(Job {
            id: Id::from_uuid(self.id),
            tenant_id: Id::from_uuid(self.tenant_id),
            kind: self.kind.parse().map_err(unreadable("job's kind"))?,
            lane: self.lane.parse().map_err(|error| StoreError::unreadable("job's lane", error))?,
            state: self.state.parse().map_err(unreadable("job's state"))?,
            attempt: small(self.attempt),
            max_attempts: small(self.max_attempts),
            priority: priority(self.priority),
            run_at: UnixMs(self.run_at),
            event_id: self.event_id.map(Id::from_uuid),
            endpoint_id: self.endpoint_id.map(Id::from_uuid),
            unique_key: self.unique_key.clone(),
            lost_workers: small(self.lost_workers),
            replay_of: self.replay_of.map(Id::from_uuid),
            created_at: UnixMs(self.created_at),
            finished_at: self.finished_at.map(UnixMs),
            last_error: self.last_error.clone(),
            fingerprint: self.fingerprint.clone().map(Fingerprint::stored),
            tags: read_tags(self.tags.as_deref())?,
        })
    }

    pub(super) fn detail(self) -> Result<JobDetail, StoreError> {
        Ok(JobDetail { job: self.job()?, event: self.event(), args: self.args })
    }
}

/// Why a job ended that another one has replaced.
const REPLACED: &str = "a later job with its unique key goes on in its place";

impl NewJob {
    /// A new delivery of an event to an endpoint, due at `run_at`.
    #[must_use]
    pub fn delivery(endpoint: &Endpoint, event: Id<Event>, run_at: UnixMs) -> Self {
        Self {
            id: Id::new(),
            kind: JobKind::WebhookDeliver,
            lane: LaneName::of_endpoint(endpoint.id),
            max_attempts: endpoint.settings.retry_schedule.max_attempts(),
            priority: Priority::default(),
            run_at,
            args: None,
            message_id: None,
            event_id: Some(event),
            endpoint_id: Some(endpoint.id),
            unique_key: None,
            replaces: false,
            replay_of: None,
            trace: None,
            tags: Vec::new(),
        }
    }

    /// A new job that calls what its arguments say.
    #[must_use]
    pub fn call(request: &HttpRequest, run_at: UnixMs) -> Self {
        let args = serde_json::to_vec(request).unwrap_or_default();
        let max_attempts = request.retry_schedule.max_attempts();
        Self { max_attempts, ..Self::plain(JobKind::HttpRequest, request.host_lane(), args, run_at) }
    }

    /// The only one of all that do the very same: a pending one ends, since this one goes on in its place.
    #[must_use]
    pub fn in_place_of_same(self) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, self.args.as_deref().unwrap_or_default());
        Self { unique_key: Some(URL_SAFE_NO_PAD.encode(digest)), replaces: true, ..self }
    }

    /// A new job with these arguments and nothing else; tried once, unless somebody says more.
    #[must_use]
    pub fn plain(kind: JobKind, lane: LaneName, args: Vec<u8>, run_at: UnixMs) -> Self {
        Self {
            id: Id::new(),
            kind,
            lane,
            max_attempts: 1,
            priority: Priority::default(),
            run_at,
            args: Some(args),
            message_id: None,
            event_id: None,
            endpoint_id: None,
            unique_key: None,
            replaces: false,
            replay_of: None,
            trace: None,
            tags: Vec::new(),
        }
    }
}

const INSERT: &str = "INSERT INTO jobs (id, tenant_id, kind, lane, state, attempt, max_attempts, priority, run_at, args, message_id, \
    event_id, endpoint_id, unique_key, lost_workers, replay_of, created_at, trace, tags) ";

fn insert_row(tenant: Id<Tenant>, job: &NewJob, now: UnixMs) -> Vec<Value> {
    vec![
        job.id.into(),
        tenant.into(),
        job.kind.as_str().into(),
        job.lane.as_str().into(),
        JobState::Pending.as_str().into(),
        0i64.into(),
        job.max_attempts.into(),
        job.priority.get().into(),
        job.run_at.into(),
        job.args.clone().into(),
        job.message_id.clone().into(),
        job.event_id.into(),
        job.endpoint_id.into(),
        job.unique_key.clone().into(),
        0i64.into(),
        job.replay_of.into(),
        now.into(),
        job.trace.as_ref().map(ToString::to_string).into(),
        write_tags(&job.tags).into(),
    ]
}

pub(super) fn insert(dialect: Dialect, jobs: Vec<(Id<Tenant>, &NewJob, UnixMs)>) -> Vec<Sql> {
    let row = |(tenant, job, now)| insert_row(tenant, job, now);
    dialect.runs(jobs).map(|run| sql(INSERT).rows(run.into_iter().map(row).collect())).collect()
}

/// The beginning of a statement by which jobs end as cancelled without being asked for; which ones is left to say.
pub(super) fn cancel(reason: &'static str, now: UnixMs) -> Sql {
    sql("UPDATE jobs SET state = 'cancelled'").and(", finished_at = ", now).and(", last_error = ", reason)
}

/// Whether somebody has cancelled a job. Until the transaction's end nobody does who has not by now.
pub(super) async fn is_cancelled(tx: &mut Tx<'_>, job: Id<Job>) -> Result<bool, StoreError> {
    let select = sql("SELECT state FROM jobs").and(" WHERE id = ", job).then(tx.for_share());
    let state: Option<(String,)> = tx.fetch_one(select).await?;
    Ok(state.is_some_and(|(state,)| state == JobState::Cancelled.as_str()))
}

/// Inserts a job that has a unique key, in place of the pending job that has the same one or, where it does not replace that, not
/// at all: then it answers with that one.
pub(super) async fn insert_unique(
    tx: &mut Tx<'_>,
    tenant: Id<Tenant>,
    job: &NewJob,
    now: UnixMs,
) -> Result<Option<Id<Job>>, StoreError> {
    if job.replaces {
        let end = cancel(REPLACED, now)
            .and(" WHERE state = 'pending' AND tenant_id = ", tenant)
            .and(" AND kind = ", job.kind.as_str())
            .and(" AND unique_key = ", job.unique_key.clone());
        tx.execute(end).await?;
    }
    let insert = sql(INSERT).rows(vec![insert_row(tenant, job, now)]).then(
        " ON CONFLICT (tenant_id, kind, unique_key) WHERE unique_key IS NOT NULL AND state = 'pending' DO NOTHING",
    );
    if tx.execute(insert).await? > 0 {
        return Ok(None);
    }
    let select = sql("SELECT id FROM jobs WHERE state = 'pending'")
        .and(" AND tenant_id = ", tenant)
        .and(" AND kind = ", job.kind.as_str())
        .and(" AND unique_key = ", job.unique_key.clone());
    let found: Option<(Uuid,)> = tx.fetch_one(select).await?;
    match found {
        Some((id,)) => Ok(Some(Id::from_uuid(id))),
        // It finished between the two statements, so the key is free again.
        None => tx.execute(sql(INSERT).rows(vec![insert_row(tenant, job, now)])).await.map(|_| None),
    }
}

impl Scope<'_> {
    /// # Errors
    /// When the database does not answer.
    pub async fn job(&self, id: Id<Job>) -> Result<Option<JobDetail>, StoreError> {
        let select = select_jobs().and(" WHERE j.tenant_id = ", self.tenant).and(" AND j.id = ", id);
        let row: Option<Row> = self.store.pool.fetch_one(select).await?;
        row.map(Row::detail).transpose()
    }

    /// Pending jobs of a kind that have one of these unique keys and were not tried before, each with its key.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn untried_jobs(
        &self,
        kind: JobKind,
        keys: &[&str],
    ) -> Result<Vec<(String, (LaneKey, Id<Job>))>, StoreError> {
        let select = sql("SELECT unique_key, lane, id FROM jobs WHERE state = 'pending' AND attempt = 0")
            .and(" AND tenant_id = ", self.tenant)
            .and(" AND kind = ", kind.as_str())
            .then(" AND unique_key")
            .any(keys.iter().copied());
        let rows: Vec<(String, String, Uuid)> = self.store.pool.fetch(select).await?;
        let read = |(key, lane, id): (String, String, Uuid)| {
            let name = lane.parse().map_err(|error| StoreError::unreadable("job's lane", error))?;
            Ok((key, (LaneKey { tenant: self.tenant, name }, Id::from_uuid(id))))
        };
        rows.into_iter().map(read).collect()
    }

    /// Ends a pending job without another attempt. False when it is not pending (any more).
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn cancel_job(&self, id: Id<Job>, now: UnixMs) -> Result<bool, StoreError> {
        if let Some(fresh) = &self.store.fresh {
            fresh.forget(&[id]);
        }
        let update = sql("UPDATE jobs SET state = 'cancelled'")
            .and(", finished_at = ", now)
            .and(" WHERE state = 'pending' AND tenant_id = ", self.tenant)
            .and(" AND id = ", id)
            .then(" RETURNING attempt, run_at");
        let mut tx = self.store.pool.begin().await?;
        let cancelled: Option<(i64, i64)> = tx.fetch_one(update).await?;
        if let Some((attempt, run_at)) = cancelled {
            let before = json!({ "state": JobState::Pending.as_str(), "attempt": attempt, "run_at": UnixMs(run_at) });
            let after = json!({ "state": JobState::Cancelled.as_str() });
            self.note(&mut tx, "job.cancel", id.to_string(), (Some(before), Some(after))).await?;
        }
        tx.commit().await?;
        Ok(cancelled.is_some())
    }

    /// Makes a pending job due now. One that is due stays as it is: another time would give it another place in its
    /// lane. `None` when it is not pending (any more).
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn run_job_now(&self, id: Id<Job>, now: UnixMs) -> Result<Option<DueJob>, StoreError> {
        let mut tx = self.store.pool.begin().await?;
        let update = sql("UPDATE jobs SET")
            .and(" run_at = ", now)
            .and(" WHERE state = 'pending' AND tenant_id = ", self.tenant)
            .and(" AND id = ", id)
            .and(" AND run_at > ", now);
        tx.execute(update).await?;
        let pending = due::pending().and(" AND tenant_id = ", self.tenant).and(" AND id = ", id);
        let row: Option<due::Row> = tx.fetch_one(pending).await?;
        if row.is_some() {
            self.note(&mut tx, "job.run_now", id.to_string(), Some(json!({ "run_at": now }))).await?;
        }
        tx.commit().await?;
        row.map(due::Row::read).transpose()
    }
}

pub(super) fn select_jobs() -> Sql {
    sql("SELECT ").then(COLUMNS).then(", NULL AS event_payload, NULL AS trace").then(FROM)
}

/// A `LIKE` pattern that finds `text` as it is, anywhere, whatever its case.
pub(super) fn like(text: &str) -> String {
    let plain = text.to_lowercase().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{plain}%")
}
