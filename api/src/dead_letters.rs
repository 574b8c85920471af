//! `/v1/dead-letters`: what ended without success, found, replayed or discarded.

use axum::{Json as Answer, response::Response};
use postrider_core::{
    domain::{
        Id, UnixMs,
        dead_letter::{DeadLetter, DeadLetterState},
        endpoint::Endpoint,
        job::{Input, Job, JobKind},
        tag::Tag,
    },
    store::{DeadLetterFilter, OperationKind, Replay, Resolved},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, Operate, Read},
    endpoints::not_active,
    http_request,
    json::{Json, Nothing, Object, OptionalJson, or_absent, parse_at, present},
    operations::OperationJson,
    page::{Listing, Paging, Params},
    path::Ref,
    problem::{Code, Faults, Problem},
    state::ApiState,
    tenants::check_line,
    wire::{AttemptJson, Time, accepted, raw},
};

const RATE_PER_SECOND: std::ops::RangeInclusive<u32> = 1..=10_000;
/// Statuses that an answer may have (RFC 9110 §15).
const STATUS: std::ops::RangeInclusive<u16> = 100..=599;

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(replay))
        .routes(routes!(discard))
        .routes(routes!(replay_many))
}

/// A whole snapshot of work that ended without success.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetter)]
pub(crate) struct DeadLetterJson {
    #[schema(value_type = String)]
    id: Id<DeadLetter>,
    #[schema(value_type = String)]
    job_id: Id<Job>,
    kind: &'static str,
    lane: String,
    /// `attempts_spent`, `gone`, `endpoint_disabled`, `workers_lost` or `invalid`.
    cause: &'static str,
    /// `open`, `replayed` or `discarded`.
    state: &'static str,
    event_id: Option<String>,
    event_type: Option<String>,
    #[schema(value_type = Option<String>)]
    endpoint_id: Option<Id<Endpoint>>,
    endpoint_url: Option<String>,
    /// Attempts that ended.
    attempt: u32,
    first_error: Option<String>,
    last_error: Option<String>,
    status_code: Option<u16>,
    fingerprint: Option<String>,
    /// The dead letter that the dead job had been a replay of.
    #[schema(value_type = Option<String>)]
    replay_of: Option<Id<DeadLetter>>,
    /// The job that replays this one.
    #[schema(value_type = Option<String>)]
    replayed_as: Option<Id<Job>>,
    created_at: Time,
    resolved_at: Option<Time>,
    resolved_reason: Option<String>,
    /// The job's.
    #[schema(value_type = Vec<String>)]
    tags: Vec<Tag>,
    /// What was to be sent, or the job's arguments; of a single dead letter only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    payload: Option<Box<RawValue>>,
    /// Of a single dead letter only.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<Vec<AttemptJson>>,
}

impl From<DeadLetter> for DeadLetterJson {
    fn from(letter: DeadLetter) -> Self {
        Self {
            id: letter.id,
            job_id: letter.job_id,
            kind: letter.kind.as_str(),
            lane: letter.lane.to_string(),
            cause: letter.cause.as_str(),
            state: letter.state.as_str(),
            event_id: letter.message_id,
            event_type: letter.event_type,
            endpoint_id: letter.endpoint_id,
            endpoint_url: letter.endpoint_url,
            attempt: letter.attempts,
            first_error: letter.first_error,
            last_error: letter.last_error,
            status_code: letter.status_code,
            fingerprint: letter.fingerprint.map(|fingerprint| fingerprint.to_string()),
            replay_of: letter.replay_of,
            replayed_as: letter.replayed_as,
            created_at: Time(letter.created_at),
            resolved_at: letter.resolved_at.map(Time),
            resolved_reason: letter.resolved_reason,
            tags: letter.tags,
            payload: None,
            attempts: None,
        }
    }
}

impl DeadLetterJson {
    fn whole(mut letter: DeadLetter) -> Self {
        let payload = std::mem::take(&mut letter.payload);
        let payload = match letter.kind.input() {
            Input::Payload => raw(payload),
            Input::Call => http_request::show(payload),
            Input::Own => None,
        };
        let attempts = std::mem::take(&mut letter.history).into_iter().map(AttemptJson::from).collect();
        Self { payload, attempts: Some(attempts), ..letter.into() }
    }
}

/// Which dead letters are meant; what is absent is not asked for.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = DeadLetterFilter)]
pub(crate) struct FilterJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    endpoint: Option<Id<Endpoint>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    /// The last status code.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 100, maximum = 599)]
    status: Option<u16>,
    /// Part of the last error.
    #[serde(skip_serializing_if = "Option::is_none")]
    q: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Time>,
    /// One of its job's tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
}

impl From<DeadLetterFilter> for FilterJson {
    fn from(filter: DeadLetterFilter) -> Self {
        Self {
            kind: filter.kind,
            endpoint: filter.endpoint,
            event_type: filter.event_type,
            fingerprint: filter.fingerprint,
            status: filter.status_code,
            q: filter.q,
            since: filter.since.map(Time),
            until: filter.until.map(Time),
            tag: filter.tag.map(String::from),
        }
    }
}

impl FilterJson {
    fn open(self) -> Result<DeadLetterFilter, Problem> {
        let mut faults = Faults::below("/filter");
        let kind = self.kind.as_deref().and_then(|kind| faults.keep("/kind", kind.parse::<JobKind>()));
        for (pointer, text) in [("/event_type", &self.event_type), ("/fingerprint", &self.fingerprint), ("/q", &self.q)]
        {
            if let Some(text) = text {
                check_line(&mut faults, pointer, "a filter", text);
            }
        }
        let tag = self.tag.and_then(|tag| faults.keep("/tag", Tag::try_from(tag)));
        let known = self.status.is_none_or(|status| STATUS.contains(&status));
        faults.check("/status", known, format_args!("a status is {} to {}", STATUS.start(), STATUS.end()));
        faults.result()?;
        Ok(DeadLetterFilter {
            kind: kind.map(|kind| kind.as_str().to_owned()),
            endpoint: self.endpoint,
            event_type: self.event_type,
            fingerprint: self.fingerprint,
            status_code: self.status,
            q: self.q,
            since: self.since.map(|Time(at)| at),
            until: self.until.map(|Time(at)| at),
            state: Some(DeadLetterState::Open),
            tag,
            ..DeadLetterFilter::default()
        })
    }
}

fn filter(params: &mut Params) -> Result<DeadLetterFilter, Problem> {
    Ok(DeadLetterFilter {
        kind: params.parsed("kind", str::parse::<JobKind>)?.map(|kind| kind.as_str().to_owned()),
        endpoint: params.parsed("endpoint", str::parse::<Id<Endpoint>>)?,
        event_type: params.text("event_type"),
        fingerprint: params.text("fingerprint"),
        status_code: params.number("status", &STATUS)?,
        q: params.text("q"),
        since: params.parsed("since", UnixMs::parse)?,
        until: params.parsed("until", UnixMs::parse)?,
        state: params.parsed("state", str::parse::<DeadLetterState>)?,
        tag: params.parsed("tag", str::parse::<Tag>)?,
        ..DeadLetterFilter::default()
    })
}

fn missing() -> Problem {
    Problem::not_found("dead letter")
}

/// Lists dead letters, newest first, without payloads and attempts.
#[utoipa::path(get, path = "/v1/dead-letters", tag = "dead letters",
    params(Paging, ("kind" = Option<String>, Query),
        ("endpoint" = Option<String>, Query), ("event_type" = Option<String>, Query),
        ("fingerprint" = Option<String>, Query), ("status" = Option<u16>, Query, minimum = 100, maximum = 599),
        ("q" = Option<String>, Query, description = "Part of the last error."), ("since" = Option<Time>, Query),
        ("until" = Option<Time>, Query), ("state" = Option<String>, Query), ("tag" = Option<String>, Query)),
    responses((status = 200, body = Listing<DeadLetterJson>)))]
async fn list(caller: Caller<Read>, mut params: Params) -> Result<Answer<Listing<DeadLetterJson>>, Problem> {
    let filter = filter(&mut params)?;
    let listed = caller.scope().dead_letters(&filter, &params.page()?).await?;
    Ok(Answer(Listing::of(listed, DeadLetterJson::from)))
}

/// Shows a dead letter with its payload and attempts.
#[utoipa::path(get, path = "/v1/dead-letters/{id}", tag = "dead letters", params(("id" = String, Path)),
    responses((status = 200, body = DeadLetterJson)))]
async fn get(caller: Caller<Read>, Ref(id): Ref<DeadLetter>) -> Result<Answer<DeadLetterJson>, Problem> {
    let letter = caller.scope().dead_letter(id).await?.ok_or_else(missing)?;
    Ok(Answer(DeadLetterJson::whole(letter)))
}

/// What is sent in the snapshot's place.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplayDeadLetter {
    /// Absent: what was to be sent.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<serde_json::Value>)]
    payload: Option<Box<RawValue>>,
}

/// The job that replays a dead letter.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReplayedDeadLetter {
    #[schema(value_type = String)]
    id: Id<DeadLetter>,
    #[schema(value_type = String)]
    job_id: Id<Job>,
}

/// Makes one new job of a dead letter. Once only; 409 where its endpoint is deleted or disabled.
#[utoipa::path(post, path = "/v1/dead-letters/{id}/replay", tag = "dead letters", params(("id" = String, Path)),
    request_body = ReplayDeadLetter, responses((status = 202, body = ReplayedDeadLetter)))]
async fn replay(
    caller: Caller<Operate>,
    Ref(id): Ref<DeadLetter>,
    OptionalJson(request): OptionalJson<ReplayDeadLetter>,
) -> Result<Response, Problem> {
    let scope = caller.scope();
    let payload = match request.payload {
        None => None,
        Some(payload) => {
            let letter = scope.dead_letter(id).await?.ok_or_else(missing)?;
            Some(judge_payload(&caller.api, letter.kind, &payload)?)
        }
    };
    let now = UnixMs::now();
    let job = resolved(scope.replay_dead_letter(id, payload, now).await?)?;
    caller.api.dispatcher().offer(std::slice::from_ref(&job));
    Ok(accepted(ReplayedDeadLetter { id, job_id: job.id }))
}

/// Another payload keeps the rules of the first: an event's its size, a job's arguments all of theirs.
fn judge_payload(api: &ApiState, kind: JobKind, payload: &RawValue) -> Result<Vec<u8>, Problem> {
    let (bytes, max) = (payload.get().len(), api.settings().payload_bytes_max);
    if bytes > max {
        let detail = format!("the payload has {bytes} bytes; it may have {max}");
        return Err(Problem::at(Code::PayloadTooLarge, "/payload", detail));
    }
    match kind {
        JobKind::WebhookDeliver | JobKind::WebhookTest => Ok(payload.get().as_bytes().to_vec()),
        JobKind::SiteRegenerate | JobKind::SiteAnnounce | JobKind::SiteProbe => {
            let detail = "a site's job has nothing to edit; replay it as it is";
            Err(Problem::at(Code::InvalidBody, "/payload", detail))
        }
        JobKind::NotificationPlan
        | JobKind::NotificationChunk
        | JobKind::NotificationBatch
        | JobKind::NotificationMessage
        | JobKind::NotificationDigest => {
            let detail = "a notification's job has nothing to edit; replay it as it is";
            Err(Problem::at(Code::InvalidBody, "/payload", detail))
        }
        JobKind::Noop => {
            let Nothing {} = parse_at(payload.get(), "/payload")?;
            Ok(Vec::new())
        }
        JobKind::HttpRequest => http_request::stored(&http_request::read(api.settings(), payload.get(), "/payload")?),
    }
}

/// Why a dead letter is dealt with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Discard {
    reason: String,
}

/// Marks a dead letter as dealt with. It stays readable.
#[utoipa::path(post, path = "/v1/dead-letters/{id}/discard", tag = "dead letters", params(("id" = String, Path)),
    request_body = Discard, responses((status = 200, body = DeadLetterJson)))]
async fn discard(
    caller: Caller<Operate>,
    Ref(id): Ref<DeadLetter>,
    Json(request): Json<Discard>,
) -> Result<Answer<DeadLetterJson>, Problem> {
    let mut faults = Faults::default();
    check_line(&mut faults, "/reason", "a reason", request.reason.trim());
    faults.result()?;
    let letter = resolved(caller.scope().discard_dead_letter(id, request.reason.trim(), UnixMs::now()).await?)?;
    Ok(Answer(DeadLetterJson::whole(letter)))
}

fn resolved<T>(resolved: Resolved<T>) -> Result<T, Problem> {
    match resolved {
        Resolved::Done(done) => Ok(done),
        Resolved::NotFound => Err(missing()),
        Resolved::EndpointGone => {
            Err(Problem::new(Code::EndpointGone, "its endpoint is deleted, so there is nowhere to deliver it to"))
        }
        Resolved::EndpointDisabled(endpoint) => Err(not_active(&endpoint)),
        Resolved::Already(letter) => {
            let job = letter.replayed_as.map(|job| format!(" as {job}")).unwrap_or_default();
            Err(Problem::new(Code::AlreadyResolved, format_args!("it was {}{job}", letter.state.as_str())))
        }
    }
}

/// A bulk replay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplayMany {
    #[schema(value_type = FilterJson)]
    filter: Object<FilterJson>,
    /// Jobs made in one second at most.
    #[schema(minimum = 1, maximum = 10_000)]
    rate_per_second: Option<u32>,
    /// Only counts what would be replayed.
    #[serde(default, deserialize_with = "or_absent")]
    #[schema(value_type = Option<bool>)]
    dry_run: bool,
}

/// What a bulk replay would do with the open dead letters that its filter takes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Count {
    /// Those that it would replay.
    count: u64,
    /// Those that it would leave as they are, since their endpoint is deleted or disabled.
    skipped: u64,
}

/// Replays every open dead letter that the filter takes, or only counts them. Those whose endpoint is deleted or
/// disabled are skipped and stay open.
#[utoipa::path(post, path = "/v1/dead-letters/replay", tag = "dead letters", request_body = ReplayMany,
    responses((status = 200, body = Count, description = "A dry run"), (status = 202, body = OperationJson)))]
async fn replay_many(caller: Caller<Operate>, Json(request): Json<ReplayMany>) -> Result<Response, Problem> {
    let Object(filter) = request.filter;
    let filter = filter.open()?;
    let mut faults = Faults::default();
    let fits = request.rate_per_second.is_none_or(|rate| RATE_PER_SECOND.contains(&rate));
    faults.check("/rate_per_second", fits, "a rate is 1 to 10000");
    faults.result()?;
    let scope = caller.scope();
    let open = scope.count_open_dead_letters(&filter).await?;
    if request.dry_run {
        let count = Count { count: open.replayable, skipped: open.all - open.replayable };
        return Ok(axum::response::IntoResponse::into_response(Answer(count)));
    }
    let replay = Replay {
        kind: OperationKind::ReplayDeadLetters { filter },
        total: Some(open.all),
        rate_per_second: request.rate_per_second,
    };
    let operation = scope.create_operation(&replay, UnixMs::now()).await?;
    Ok(accepted(OperationJson::from(operation)))
}
