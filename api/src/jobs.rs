//! `/v1/jobs`: any work, deliveries included.

use std::sync::Arc;

use axum::{Json as Answer, response::Response};
use postrider_core::{
    domain::{
        Id, UnixMs,
        dead_letter::DeadLetter,
        endpoint::Endpoint,
        http_request::HttpRequest,
        job::{Job, JobKind, JobView, Priority},
        lane::LaneName,
        limits::ATTEMPTS_MAX,
        tag::{TAGS_MAX, Tag},
    },
    running::running,
    store::{Item, ItemResult, JobDetail, NewJob},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    accept::{IdempotencyKey, Submission},
    auth::{Caller, Operate, Publish, ReadPublished},
    http_request::{self, HttpRequestJson},
    job_list,
    json::{Nothing, OptionalJson, RawJson, parse_at},
    path::Ref,
    problem::{Code, Faults, Problem},
    publish::schedule,
    state::{ApiSettings, ApiState},
    trace::Traced,
    wire::{AttemptJson, Time},
};

const UNIQUE_KEY_BYTES_MAX: usize = 255;
/// Lanes of endpoints are named so.
const ENDPOINT_LANE_PREFIX: &str = "ep_";

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(get))
        .routes(routes!(cancel))
        .routes(routes!(run_now))
        .merge(job_list::router())
}

/// A job to be done.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewJob)]
pub(crate) struct JobRequest {
    /// `http.request`, or `noop`, which does nothing and takes `{}`.
    kind: String,
    #[schema(value_type = HttpRequestJson)]
    args: Box<RawValue>,
    /// What shares one concurrency, rate and order; absent: `host:` and the URL's host, or `noop`.
    lane: Option<String>,
    /// Absent: now.
    #[schema(value_type = Option<Time>)]
    run_at: Option<String>,
    /// While a job of the same kind and key is pending, no other is made.
    unique_key: Option<String>,
    #[schema(minimum = 1, maximum = 50)]
    max_attempts: Option<u32>,
    /// 9 goes before 0 within a lane; absent: 4.
    #[schema(maximum = 9)]
    priority: Option<u8>,
    /// Words to find it by: a-z, 0-9, _ . : / @ + and -, 64 characters at most.
    #[schema(max_items = 10)]
    tags: Option<Vec<String>>,
}

/// A job that is stored.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AcceptedJob)]
pub(crate) struct JobAccepted {
    #[schema(value_type = String)]
    id: Id<Job>,
    kind: &'static str,
    /// A pending job has the same unique key; this is that one.
    existing: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    lane: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Time>,
}

/// A job.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Job)]
pub(crate) struct JobJson {
    #[schema(value_type = String)]
    id: Id<Job>,
    kind: &'static str,
    /// `scheduled`, `queued`, `running`, `retrying`, `succeeded`, `dead` or `cancelled`.
    state: &'static str,
    lane: String,
    /// Attempts that have ended.
    attempt: u32,
    max_attempts: u32,
    priority: u8,
    run_at: Time,
    event_id: Option<String>,
    #[schema(value_type = Option<String>)]
    endpoint_id: Option<Id<Endpoint>>,
    unique_key: Option<String>,
    /// Workers that vanished while they ran it.
    lost_workers: u32,
    /// The dead letter that it replays.
    #[schema(value_type = Option<String>)]
    replay_of: Option<Id<DeadLetter>>,
    created_at: Time,
    finished_at: Option<Time>,
    last_error: Option<String>,
    fingerprint: Option<String>,
    #[schema(value_type = Vec<String>)]
    tags: Vec<Tag>,
    /// Of a single job `http.request` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<HttpRequestJson>)]
    args: Option<Box<RawValue>>,
    /// Of a single job only, oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<Vec<AttemptJson>>,
}

impl JobJson {
    pub(crate) fn of(detail: JobDetail, running: bool) -> Self {
        let JobDetail { job, event, .. } = detail;
        Self {
            id: job.id,
            kind: job.kind.as_str(),
            state: JobView::of(&job, running, UnixMs::now()).as_str(),
            lane: job.lane.to_string(),
            attempt: job.attempt,
            max_attempts: job.max_attempts,
            priority: job.priority.get(),
            run_at: Time(job.run_at),
            event_id: event,
            endpoint_id: job.endpoint_id,
            unique_key: job.unique_key,
            lost_workers: job.lost_workers,
            replay_of: job.replay_of,
            created_at: Time(job.created_at),
            finished_at: job.finished_at.map(Time),
            last_error: job.last_error,
            fingerprint: job.fingerprint.map(|fingerprint| fingerprint.to_string()),
            tags: job.tags,
            args: None,
            attempts: None,
        }
    }
}

fn missing() -> Problem {
    Problem::not_found("job")
}

/// Takes a job in. Answers once it is durable.
#[utoipa::path(post, path = "/v1/jobs", tag = "jobs", request_body = JobRequest,
    params(IdempotencyKey, Traced),
    responses((status = 202, body = JobAccepted)))]
async fn create(
    caller: Caller<Publish>,
    key: IdempotencyKey,
    traced: Traced,
    body: RawJson,
) -> Result<Response, Problem> {
    let now = UnixMs::now();
    let job = NewJob { trace: traced.context(), ..read(caller.api.settings(), body.parse()?, now)? };
    let accepted = JobAccepted {
        id: job.id,
        kind: job.kind.as_str(),
        existing: false,
        lane: Some(job.lane.to_string()),
        run_at: Some(Time(job.run_at)),
        max_attempts: Some(job.max_attempts),
        created_at: Some(Time(now)),
    };
    let submission = Submission {
        gate: key.gate(&caller.api, "POST /v1/jobs", body.bytes(), now),
        items: vec![Item::jobs(vec![job])],
        answer: Arc::new(move |results| match results {
            [ItemResult::Existing(id)] => serde_json::to_string(&JobAccepted {
                id: *id,
                kind: accepted.kind,
                existing: true,
                lane: None,
                run_at: None,
                max_attempts: None,
                created_at: None,
            })
            .ok(),
            _ => serde_json::to_string(&accepted).ok(),
        }),
        now,
        step: Some(traced.0),
    };
    submission.submit(&caller).await
}

fn read(settings: &ApiSettings, request: JobRequest, now: UnixMs) -> Result<NewJob, Problem> {
    let kind = request.kind.parse::<JobKind>().map_err(|error| Problem::at(Code::InvalidBody, "/kind", error))?;
    let args = match kind {
        JobKind::HttpRequest => Some(http_request::read(settings, request.args.get(), "/args")?),
        JobKind::Noop => {
            let Nothing {} = parse_at(request.args.get(), "/args")?;
            None
        }
        JobKind::SiteRegenerate | JobKind::SiteAnnounce => {
            let detail = "sites are made again by their changes, or with POST /v1/sites/{site}/regenerate";
            return Err(Problem::at(Code::InvalidBody, "/kind", detail));
        }
        JobKind::SiteProbe => {
            let detail = "images and enclosures are looked at as a site's feeds name them; put the page with PUT /v1/sites/{site}/pages/{key}";
            return Err(Problem::at(Code::InvalidBody, "/kind", detail));
        }
        JobKind::NotificationPlan
        | JobKind::NotificationChunk
        | JobKind::NotificationBatch
        | JobKind::NotificationMessage
        | JobKind::NotificationDigest => {
            let detail = "people are told by notifications; publish one with POST /v1/notifications";
            return Err(Problem::at(Code::InvalidBody, "/kind", detail));
        }
        JobKind::WebhookDeliver | JobKind::WebhookTest => {
            let detail = "deliveries are made by events; publish one with POST /v1/events";
            return Err(Problem::at(Code::InvalidBody, "/kind", detail));
        }
    };
    let mut faults = Faults::default();
    let lane = match (&request.lane, &args) {
        (Some(name), _) => faults.keep("/lane", parse_lane(name)),
        (None, Some(args)) => Some(args.host_lane()),
        (None, None) => faults.keep("/lane", parse_lane(kind.as_str())),
    };
    let run_at = request.run_at.as_deref().and_then(|text| faults.keep("/run_at", schedule(text, now)));
    if let Some(key) = &request.unique_key {
        let fits = (1..=UNIQUE_KEY_BYTES_MAX).contains(&key.len()) && !key.contains(char::is_control);
        let detail = format!("a unique key has 1 to {UNIQUE_KEY_BYTES_MAX} bytes and no control characters");
        faults.check("/unique_key", fits, detail);
    }
    let attempts_fit = request.max_attempts.is_none_or(|count| (1..=ATTEMPTS_MAX).contains(&count));
    faults.check("/max_attempts", attempts_fit, format_args!("a job has 1 to {ATTEMPTS_MAX} attempts"));
    let priority = request.priority.and_then(|level| faults.keep("/priority", Priority::try_from(level)));
    let tags = read_tags(request.tags.unwrap_or_default(), &mut faults);
    let Some(lane) = lane else { return Err(faults.problem()) };
    faults.result()?;
    let with_attempts = |mut args: HttpRequest| {
        if let Some(count) = request.max_attempts {
            args.retry_schedule = args.retry_schedule.with_max_attempts(count);
        }
        args
    };
    let args = args.map(with_attempts);
    Ok(NewJob {
        id: Id::new(),
        kind,
        lane,
        max_attempts: args.as_ref().map_or(1, |args| args.retry_schedule.max_attempts()),
        priority: priority.unwrap_or_default(),
        run_at: run_at.unwrap_or(now),
        args: args.as_ref().map(http_request::stored).transpose()?,
        message_id: None,
        event_id: None,
        endpoint_id: None,
        unique_key: request.unique_key,
        replaces: false,
        replay_of: None,
        trace: None,
        tags,
    })
}

/// In order, each once.
fn read_tags(tags: Vec<String>, faults: &mut Faults) -> Vec<Tag> {
    let mut tags = faults.keep_all("/tags", tags, Tag::try_from);
    tags.sort_unstable();
    tags.dedup();
    faults.check("/tags", tags.len() <= TAGS_MAX, format_args!("a job has at most {TAGS_MAX} tags"));
    tags
}

fn parse_lane(name: &str) -> Result<LaneName, String> {
    if name.starts_with(ENDPOINT_LANE_PREFIX) {
        return Err(format!("lanes that begin with {ENDPOINT_LANE_PREFIX} are endpoints' own"));
    }
    name.parse().map_err(|error: postrider_core::domain::lane::LaneNameError| error.to_string())
}

/// Shows a job with its attempts.
#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path)),
    responses((status = 200, body = JobJson)))]
async fn get(caller: Caller<ReadPublished>, Ref(id): Ref<Job>) -> Result<Answer<JobJson>, Problem> {
    whole(&caller, id).await.map(Answer)
}

async fn whole<N>(caller: &Caller<N>, id: Id<Job>) -> Result<JobJson, Problem> {
    let mut detail = caller.scope().job(id).await?.ok_or_else(missing)?;
    let attempts = caller.scope().attempts(id).await?;
    let running = running(caller.api.queue(), &[(detail.job.lane_key(), id)]).await;
    let args = detail.args.take().filter(|_| detail.job.kind == JobKind::HttpRequest).and_then(http_request::show);
    Ok(JobJson {
        args,
        attempts: Some(attempts.into_iter().map(AttemptJson::from).collect()),
        ..JobJson::of(detail, running.first().copied().unwrap_or(false))
    })
}

/// Ends a job without another attempt. One that runs now ends when its attempt does.
#[utoipa::path(post, path = "/v1/jobs/{id}/cancel", tag = "jobs", params(("id" = String, Path)),
    responses((status = 200, body = JobJson)))]
async fn cancel(
    caller: Caller<Operate>,
    Ref(id): Ref<Job>,
    _: OptionalJson<Nothing>,
) -> Result<Answer<JobJson>, Problem> {
    let detail = caller.scope().job(id).await?.ok_or_else(missing)?;
    if !caller.scope().cancel_job(id, UnixMs::now()).await? {
        return Err(finished(&caller, id).await);
    }
    caller.api.dispatcher().cancel(&detail.job.lane_key(), id).await;
    whole(&caller, id).await.map(Answer)
}

/// Makes a pending job due now.
#[utoipa::path(post, path = "/v1/jobs/{id}/run-now", tag = "jobs", params(("id" = String, Path)),
    responses((status = 202, body = JobJson)))]
async fn run_now(caller: Caller<Operate>, Ref(id): Ref<Job>, _: OptionalJson<Nothing>) -> Result<Response, Problem> {
    let now = UnixMs::now();
    let Some(due) = caller.scope().run_job_now(id, now).await? else {
        return Err(finished(&caller, id).await);
    };
    caller.api.dispatcher().run_now(&due).await;
    Ok(crate::wire::accepted(whole(&caller, id).await?))
}

/// Why a job that is not pending cannot be changed: it has ended, or there is none.
async fn finished(caller: &Caller<Operate>, id: Id<Job>) -> Problem {
    match caller.scope().job(id).await {
        Ok(Some(detail)) => Problem::new(Code::JobFinished, format_args!("the job is {}", detail.job.state)),
        Ok(None) => missing(),
        Err(error) => error.into(),
    }
}
