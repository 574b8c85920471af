//! One page of a recovery: which events of an endpoint have no success, and the job that each of them needs.

use std::collections::HashSet;

use uuid::Uuid;

use super::{
    DueJob, Left, NewJob, StoreError, dead_letters, endpoints, events, jobs, operation_work::Done, pool::Tx, sql::sql,
};
use crate::domain::{
    Id, UnixMs,
    endpoint::{Endpoint, EndpointState},
    event::Event,
    job::{JobKind, JobState},
    tenant::Tenant,
};

/// The events that a page looks at.
pub(super) struct Range {
    pub(super) since: UnixMs,
    pub(super) until: UnixMs,
    pub(super) after: Option<Uuid>,
    pub(super) rows_max: u32,
}

#[derive(sqlx::FromRow)]
struct PastJob {
    id: Uuid,
    event_id: Uuid,
    kind: String,
    state: String,
}

/// One page of a recovery. The endpoint's row is locked, so that two recoveries cannot both find an event
/// without a delivery.
pub(super) async fn page(
    tx: &mut Tx<'_>,
    tenant: Id<Tenant>,
    endpoint: Id<Endpoint>,
    range: &Range,
    now: UnixMs,
) -> Result<Done, StoreError> {
    let lock = tx.for_update();
    let select = endpoints::select_live(tenant, endpoint).then(lock);
    let ended =
        Done { jobs: Vec::new(), discarded: 0, seen: 0, left: Vec::new(), position: None, more: false, failed: None };
    let Some(endpoint) = tx.fetch_one::<endpoints::Row>(select).await? else {
        return Ok(Done { failed: Some("the endpoint was deleted meanwhile"), ..ended });
    };
    let endpoint = endpoint.read()?;
    if endpoint.state == EndpointState::Disabled {
        return Ok(Done { failed: Some("the endpoint was disabled meanwhile; resume it and recover again"), ..ended });
    }
    let mut select = sql(events::COLUMNS)
        .and(" WHERE tenant_id = ", tenant)
        .and(" AND created_at >= ", range.since)
        .and(" AND created_at <= ", range.until);
    if let Some(after) = range.after {
        select = select.and(" AND id > ", after);
    }
    let found: Vec<events::Row> = tx.fetch(select.then(" ORDER BY id").and(" LIMIT ", range.rows_max)).await?;
    let found: Vec<Event> = found.into_iter().map(events::Row::read).collect::<Result<_, _>>()?;
    let Some(last) = found.last() else { return Ok(ended) };
    let done = Done {
        jobs: Vec::new(),
        discarded: 0,
        seen: u32::try_from(found.len()).unwrap_or(range.rows_max),
        left: Vec::new(),
        position: Some(last.id.uuid()),
        more: found.len() == range.rows_max as usize,
        failed: None,
    };
    let past = past_jobs(tx, &endpoint, &found).await?;
    let (mut made, mut left) = (Vec::new(), Vec::new());
    for event in &found {
        let tried: Vec<&PastJob> = past.iter().filter(|job| job.event_id == event.id.uuid()).collect();
        match recover_event(tx, &endpoint, event, &tried, now).await? {
            Ok(job) => made.push(job),
            Err(reason) => left.push(reason),
        }
    }
    Ok(Done { jobs: made, left, ..done })
}

/// What became of events at an endpoint so far, as it stays until the transaction ends.
///
/// Whoever else replays one of their dead letters has locked it, or waits for us. So the letters are locked before the jobs
/// are read, or a replay that was waited for would be missed. A job that had not ended when the letters were looked up counts
/// as pending: nothing of its own is locked.
async fn past_jobs(tx: &mut Tx<'_>, endpoint: &Endpoint, events: &[Event]) -> Result<Vec<PastJob>, StoreError> {
    let ids = || events.iter().map(|event| event.id);
    let ended = sql("SELECT id FROM jobs WHERE finished_at IS NOT NULL")
        .and(" AND endpoint_id = ", endpoint.id)
        .then(" AND event_id")
        .any(ids());
    let ended: HashSet<Uuid> = tx.fetch::<(Uuid,)>(ended).await?.into_iter().map(|(id,)| id).collect();
    dead_letters::lock_open_of_jobs(tx, endpoint.tenant_id, ended.iter().copied()).await?;
    let past = sql("SELECT id, event_id, kind, state FROM jobs")
        .and(" WHERE (endpoint_id = ", endpoint.id)
        .and(" OR kind = ", JobKind::WebhookTest.as_str())
        .then(") AND event_id")
        .any(ids())
        .then(" ORDER BY id");
    let mut past: Vec<PastJob> = tx.fetch(past).await?;
    for job in past.iter_mut().filter(|job| job.state == JobState::Dead.as_str() && !ended.contains(&job.id)) {
        job.state = JobState::Pending.as_str().to_owned();
    }
    Ok(past)
}

/// The job that an event without a success needs, of its open dead letter or a new one; or why it needs none.
async fn recover_event(
    tx: &mut Tx<'_>,
    endpoint: &Endpoint,
    event: &Event,
    tried: &[&PastJob],
    now: UnixMs,
) -> Result<Result<DueJob, Left>, StoreError> {
    let any = |state: JobState| tried.iter().any(|job| job.state == state.as_str());
    // The event of a test, be it another endpoint's, was meant for that moment only.
    if tried.iter().any(|job| job.kind == JobKind::WebhookTest.as_str()) {
        return Ok(Err(Left::Test));
    }
    if any(JobState::Succeeded) {
        return Ok(Err(Left::Delivered));
    }
    if any(JobState::Pending) {
        return Ok(Err(Left::Pending));
    }
    for job in tried.iter().rev() {
        if let Some(letter) = dead_letters::open_of_job(tx, endpoint.tenant_id, job.id).await? {
            return dead_letters::replay_row(tx, endpoint.tenant_id, &letter, None, now).await.map(Ok);
        }
    }
    let missed = endpoint.wants(&event.kind, &event.channels) && event.created_at >= endpoint.created_at;
    if tried.is_empty() && !missed {
        return Ok(Err(Left::NotWanted));
    }
    if event.payload.is_none() {
        return Ok(Err(Left::PayloadGone));
    }
    let job = NewJob::delivery(endpoint, event.id, event.deliver_at.max(now));
    tx.execute_all(jobs::insert(tx.dialect(), vec![(endpoint.tenant_id, &job, now)])).await?;
    Ok(Ok(job.due(endpoint.tenant_id)))
}
