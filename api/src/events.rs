//! `/v1/events`: published events and where they went.

use std::sync::Arc;

use axum::{Json as Answer, response::Response};
use postrider_core::{
    domain::{
        Id, UnixMs,
        endpoint::Endpoint,
        event::{Channel, Event, EventType},
        job::{Job, JobView},
        lane::{LaneKey, LaneName},
        tenant::Tenant,
    },
    running::running,
    store::{EventFilter, EventSummary, Item, ItemResult, NewJob, NoReplay},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    accept::{IdempotencyKey, Submission},
    auth::{Caller, Operate, Publish, ReadPublished},
    endpoints::not_active,
    json::{OptionalJson, RawJson},
    page::{Listing, Paging, Params},
    path::TextRef,
    problem::{Code, Faults, Problem},
    publish::{self, BatchAnswer, BatchRequest, EventAccepted, EventRequest},
    state::ApiState,
    trace::Traced,
    wire::{Time, raw},
};

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(publish_one, list))
        .routes(routes!(publish_batch))
        .routes(routes!(get))
        .routes(routes!(replay))
}

/// A published event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub(crate) struct EventJson {
    /// Your own id of it, or the one it was given.
    id: String,
    r#type: String,
    #[schema(value_type = Vec<String>)]
    channels: Vec<Channel>,
    created_at: Time,
    deliver_at: Time,
    deliveries: Vec<DeliveryJson>,
    /// Of a single event only; absent once retention has removed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    payload: Option<Box<RawValue>>,
}

/// One delivery of an event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(crate) struct DeliveryJson {
    #[schema(value_type = String)]
    job_id: Id<Job>,
    #[schema(value_type = String)]
    endpoint_id: Id<Endpoint>,
    /// `scheduled`, `queued`, `running`, `retrying`, `succeeded`, `dead` or `cancelled`.
    state: &'static str,
    /// Attempts that have ended.
    attempt: u32,
    max_attempts: u32,
    run_at: Time,
    last_error: Option<String>,
}

/// Publishes an event. Answers once it is durable.
#[utoipa::path(post, path = "/v1/events", tag = "events", request_body = EventRequest,
    params(IdempotencyKey, Traced),
    responses((status = 202, body = EventAccepted)))]
async fn publish_one(
    caller: Caller<Publish>,
    key: IdempotencyKey,
    traced: Traced,
    body: RawJson,
) -> Result<Response, Problem> {
    publish::one(&caller, key, traced, &body).await
}

/// Publishes up to 1,000 events, each accepted or refused by itself.
#[utoipa::path(post, path = "/v1/events/batch", tag = "events", request_body = BatchRequest,
    params(IdempotencyKey, Traced),
    responses((status = 202, body = BatchAnswer)))]
async fn publish_batch(
    caller: Caller<Publish>,
    key: IdempotencyKey,
    traced: Traced,
    body: RawJson,
) -> Result<Response, Problem> {
    publish::batch(&caller, key, traced, &body).await
}

/// Lists events, newest first. A page by type may be shorter than its limit although there is a next one.
#[utoipa::path(get, path = "/v1/events", tag = "events",
    params(Paging, ("type" = Option<String>, Query),
        ("since" = Option<Time>, Query), ("until" = Option<Time>, Query)),
    responses((status = 200, body = Listing<EventJson>)))]
async fn list(caller: Caller<ReadPublished>, mut params: Params) -> Result<Answer<Listing<EventJson>>, Problem> {
    let filter = EventFilter {
        kind: params.parsed("type", str::parse::<EventType>)?,
        since: params.parsed("since", UnixMs::parse)?,
        until: params.parsed("until", UnixMs::parse)?,
    };
    let listed = caller.scope().events(&filter, &params.page()?).await?;
    let jobs: Vec<_> = listed.rows.iter().flat_map(|summary| keys(caller.tenant, summary)).collect();
    let mut running = running(caller.api.queue(), &jobs).await.into_iter();
    Ok(Answer(Listing::of(listed, |summary| show(summary, &mut running))))
}

/// Shows an event with its payload and each delivery's state.
#[utoipa::path(get, path = "/v1/events/{id}", tag = "events", params(("id" = String, Path)),
    responses((status = 200, body = EventJson)))]
async fn get(caller: Caller<ReadPublished>, TextRef(id): TextRef) -> Result<Answer<EventJson>, Problem> {
    let summary = caller.scope().event(&id).await?.ok_or_else(|| Problem::not_found("event"))?;
    let running = running(caller.api.queue(), &keys(caller.tenant, &summary)).await;
    Ok(Answer(show(summary, &mut running.into_iter())))
}

/// Which endpoints an event is sent to once more; absent: those that want it now.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplayEvent {
    endpoints: Option<Vec<String>>,
}

/// Jobs that send an event once more.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReplayedEvent {
    id: String,
    deliveries: usize,
    #[schema(value_type = Vec<String>)]
    jobs: Vec<Id<Job>>,
}

/// Sends an event once more, whatever became of its deliveries. 409 where a named endpoint is disabled.
#[utoipa::path(post, path = "/v1/events/{id}/replay", tag = "events", params(("id" = String, Path), IdempotencyKey),
    request_body = ReplayEvent, responses((status = 202, body = ReplayedEvent)))]
async fn replay(
    caller: Caller<Operate>,
    TextRef(id): TextRef,
    key: IdempotencyKey,
    OptionalJson(request): OptionalJson<ReplayEvent>,
) -> Result<Response, Problem> {
    let summary = caller.scope().event(&id).await?.ok_or_else(|| Problem::not_found("event"))?;
    let now = UnixMs::now();
    // No body and an empty one ask for the same, so the key goes by what is asked for.
    let asked = serde_json::to_vec(&(&id, &request.endpoints)).map_err(|error| Problem::new(Code::Internal, error))?;
    let gate = key.gate(&caller.api, "POST /v1/events/{id}/replay", &asked, now);
    let jobs = replay_jobs(&caller, &summary.event, request, now).await?;
    let replayed = ReplayedEvent { id, deliveries: jobs.len(), jobs: jobs.iter().map(|job| job.id).collect() };
    let answer = serde_json::to_string(&replayed).map_err(|error| Problem::new(Code::Internal, error))?;
    let item = Item::jobs(jobs);
    let answer = Arc::new(move |_: &[ItemResult]| Some(answer.clone()));
    Submission { gate, items: vec![item], answer, now, step: None }.submit(&caller).await
}

async fn replay_jobs(
    caller: &Caller<Operate>,
    event: &Event,
    request: ReplayEvent,
    now: UnixMs,
) -> Result<Vec<NewJob>, Problem> {
    let endpoints = caller.api.store().directory().endpoints(caller.tenant).await?;
    let mut faults = Faults::default();
    let known = |text: &str| text.parse().ok().filter(|id| endpoints.get(*id).is_some());
    let named = request.endpoints.map(|named| {
        faults
            .keep_all("/endpoints", named, |text| known(&text).ok_or_else(|| format!("there is no endpoint {text:?}")))
    });
    if event.payload.is_some() {
        faults.result()?;
    }
    endpoints.replays(event, named.as_deref(), now).map_err(|refused| match refused {
        NoReplay::PayloadGone => Problem::new(Code::PayloadGone, "retention has removed this event's payload"),
        NoReplay::NoEndpoint(_) => Problem::not_found("endpoint"),
        NoReplay::EndpointDisabled(endpoint) => not_active(&endpoint),
    })
}

fn keys(tenant: Id<Tenant>, summary: &EventSummary) -> Vec<(LaneKey, Id<Job>)> {
    let key = |endpoint| LaneKey { tenant, name: LaneName::of_endpoint(endpoint) };
    summary.deliveries.iter().map(|delivery| (key(delivery.endpoint_id), delivery.job_id)).collect()
}

fn show(summary: EventSummary, running: &mut impl Iterator<Item = bool>) -> EventJson {
    let EventSummary { event, deliveries } = summary;
    let now = UnixMs::now();
    let deliveries = deliveries.into_iter().map(|delivery| {
        let runs = running.next().unwrap_or(false);
        DeliveryJson {
            job_id: delivery.job_id,
            endpoint_id: delivery.endpoint_id,
            state: JobView::derived(delivery.state, delivery.attempt, delivery.run_at, runs, now).as_str(),
            attempt: delivery.attempt,
            max_attempts: delivery.max_attempts,
            run_at: Time(delivery.run_at),
            last_error: delivery.last_error,
        }
    });
    EventJson {
        id: event.public_id(),
        r#type: event.kind.to_string(),
        deliveries: deliveries.collect(),
        channels: event.channels,
        created_at: Time(event.created_at),
        deliver_at: Time(event.deliver_at),
        payload: event.payload.and_then(raw),
    }
}
