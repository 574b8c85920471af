//! `/v1/endpoints`: where events go. Every change is told to the queue's lane at once.

use std::time::Duration;

use axum::{Json as Answer, http::StatusCode, response::Response};
use postrider_core::{
    domain::{
        Id, UnixMs,
        endpoint::{Endpoint, EndpointState},
        event::{Channel, TypePattern},
        lane::{LaneKey, LaneName, LaneSettings},
        limits::ENDPOINTS_PER_TENANT_MAX,
        signature::SigningSecret,
    },
    store::{EndpointChange, OperationKind, Replay},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, Operate, Read},
    endpoint_settings::{EndpointPatch, NewEndpoint},
    endpoint_test,
    json::{HeaderList, Json, Nothing, OptionalJson},
    operations::OperationJson,
    page::{Listing, Paging, Params},
    path::Ref,
    portal_link,
    problem::{Code, Faults, Problem},
    retries::RetryBackoffJson,
    state::ApiState,
    wire::{Time, accepted, created},
};

/// How long an old secret signs on after a rotation, when nobody says.
const GRACE_DEFAULT: Duration = Duration::from_secs(24 * 3600);
const GRACE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(get, patch, delete))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(rotate_secret))
        .routes(routes!(recover))
        .merge(endpoint_test::router())
        .merge(portal_link::router())
}

/// A receiver of events.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Endpoint)]
pub(crate) struct EndpointJson {
    #[schema(value_type = String)]
    id: Id<Endpoint>,
    url: String,
    description: String,
    /// Empty: all types.
    #[schema(value_type = Vec<String>)]
    event_types: Vec<TypePattern>,
    /// Empty: all channels.
    #[schema(value_type = Vec<String>)]
    channels: Vec<Channel>,
    #[schema(value_type = std::collections::HashMap<String, String>)]
    headers: HeaderList,
    rate_per_second: Option<u32>,
    concurrency_max: Option<u32>,
    ordered: bool,
    timeout_ms: u32,
    /// Seconds before each retry, also where they were given as a backoff.
    retry_schedule_seconds: Vec<f64>,
    retry_backoff: Option<RetryBackoffJson>,
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
    /// `active`, `paused`, `failing` or `disabled`.
    state: &'static str,
    state_since: Time,
    state_reason: Option<String>,
    created_at: Time,
    updated_at: Time,
    /// Only in the answers that create an endpoint or rotate its secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl EndpointJson {
    fn with_secret(endpoint: Endpoint, secret: &SigningSecret) -> Self {
        Self { secret: Some(secret.reveal()), ..Self::from(endpoint) }
    }
}

impl From<Endpoint> for EndpointJson {
    fn from(endpoint: Endpoint) -> Self {
        let settings = endpoint.settings;
        Self {
            id: endpoint.id,
            url: settings.url.as_str().to_owned(),
            description: settings.description,
            event_types: settings.event_types,
            channels: settings.channels,
            headers: HeaderList(settings.headers),
            rate_per_second: settings.rate_per_second,
            concurrency_max: settings.concurrency_max,
            ordered: settings.ordered,
            timeout_ms: settings.timeout_ms,
            retry_schedule_seconds: settings.retry_schedule.seconds(),
            retry_backoff: settings.retry_schedule.backoff().map(RetryBackoffJson::from),
            metadata: settings.metadata,
            state: endpoint.state.as_str(),
            state_since: Time(endpoint.state_since),
            state_reason: endpoint.state_reason,
            created_at: Time(endpoint.created_at),
            updated_at: Time(endpoint.updated_at),
            secret: None,
        }
    }
}

fn missing() -> Problem {
    Problem::not_found("endpoint")
}

/// # Errors
/// 409 when the endpoint is disabled.
pub(crate) fn not_disabled(endpoint: &Endpoint) -> Result<(), Problem> {
    if endpoint.state == EndpointState::Disabled { Err(not_active(endpoint)) } else { Ok(()) }
}

/// The refusal to deliver to an endpoint that is disabled.
pub(crate) fn not_active(endpoint: &Endpoint) -> Problem {
    let why = endpoint.state_reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let detail = format!("the endpoint {} is disabled{why}; resume it first", endpoint.id);
    Problem::new(Code::EndpointNotActive, detail)
}

/// Creates an endpoint. Its secret is in this answer only.
#[utoipa::path(post, path = "/v1/endpoints", tag = "endpoints", request_body = NewEndpoint,
    responses((status = 201, body = EndpointJson)))]
async fn create(caller: Caller<Operate>, Json(request): Json<NewEndpoint>) -> Result<Response, Problem> {
    let (settings, secret) = request.check(caller.api.settings())?;
    let known = caller.api.store().directory().endpoints(caller.tenant).await?;
    if known.len() >= ENDPOINTS_PER_TENANT_MAX {
        let detail = format!("a tenant has at most {ENDPOINTS_PER_TENANT_MAX} endpoints; delete one");
        return Err(Problem::new(Code::LimitReached, detail));
    }
    let secret = secret.unwrap_or_else(|| SigningSecret::from_random(rand::random()));
    let endpoint = caller.scope().create_endpoint(&settings, &secret, UnixMs::now()).await?;
    Ok(created(EndpointJson::with_secret(endpoint, &secret)))
}

/// Lists endpoints, newest first.
#[utoipa::path(get, path = "/v1/endpoints", tag = "endpoints",
    params(Paging),
    responses((status = 200, body = Listing<EndpointJson>)))]
async fn list(caller: Caller<Read>, params: Params) -> Result<Answer<Listing<EndpointJson>>, Problem> {
    let listed = caller.scope().endpoints(&params.page()?).await?;
    Ok(Answer(Listing::of(listed, EndpointJson::from)))
}

/// Shows an endpoint, its state, since when and why.
#[utoipa::path(get, path = "/v1/endpoints/{id}", tag = "endpoints", params(("id" = String, Path)),
    responses((status = 200, body = EndpointJson)))]
async fn get(caller: Caller<Read>, Ref(id): Ref<Endpoint>) -> Result<Answer<EndpointJson>, Problem> {
    let endpoint = caller.scope().endpoint(id).await?.ok_or_else(missing)?;
    Ok(Answer(endpoint.into()))
}

/// Changes an endpoint's settings: what is absent stays, null goes back to the default.
#[utoipa::path(patch, path = "/v1/endpoints/{id}", tag = "endpoints", params(("id" = String, Path)),
    request_body = EndpointPatch, responses((status = 200, body = EndpointJson)))]
async fn patch(
    caller: Caller<Operate>,
    Ref(id): Ref<Endpoint>,
    Json(request): Json<EndpointPatch>,
) -> Result<Answer<EndpointJson>, Problem> {
    let change = request.check(caller.api.settings())?;
    let changed = caller.scope().update_endpoint(id, UnixMs::now(), |settings| change.apply(settings)).await?;
    let endpoint = changed.ok_or_else(missing)?;
    caller.api.dispatcher().tell(&endpoint.lane(), &endpoint.lane_settings()).await;
    Ok(Answer(endpoint.into()))
}

/// Deletes an endpoint: it gets nothing more.
#[utoipa::path(delete, path = "/v1/endpoints/{id}", tag = "endpoints", params(("id" = String, Path)),
    responses((status = 204)))]
async fn delete(caller: Caller<Operate>, Ref(id): Ref<Endpoint>) -> Result<StatusCode, Problem> {
    if !caller.scope().delete_endpoint(id, UnixMs::now()).await? {
        return Err(missing());
    }
    // What is still queued for it runs out as cancelled, which a paused lane would hold up.
    let lane = LaneKey { tenant: caller.tenant, name: LaneName::of_endpoint(id) };
    caller.api.dispatcher().tell(&lane, &LaneSettings::default()).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Holds deliveries back until the endpoint is resumed. Events still make deliveries, which wait.
#[utoipa::path(post, path = "/v1/endpoints/{id}/pause", tag = "endpoints", params(("id" = String, Path)),
    responses((status = 200, body = EndpointJson)))]
async fn pause(
    caller: Caller<Operate>,
    Ref(id): Ref<Endpoint>,
    _: OptionalJson<Nothing>,
) -> Result<Answer<EndpointJson>, Problem> {
    let reason = Some("paused through the API".to_owned());
    let change = EndpointChange { state: EndpointState::Paused, reason, now: UnixMs::now() };
    let endpoint = turn(&caller, id, &[EndpointState::Active, EndpointState::Failing], &change).await?;
    not_disabled(&endpoint)?;
    Ok(Answer(endpoint.into()))
}

/// Lets deliveries go on, also to an endpoint that was disabled.
#[utoipa::path(post, path = "/v1/endpoints/{id}/resume", tag = "endpoints", params(("id" = String, Path)),
    responses((status = 200, body = EndpointJson)))]
async fn resume(
    caller: Caller<Operate>,
    Ref(id): Ref<Endpoint>,
    _: OptionalJson<Nothing>,
) -> Result<Answer<EndpointJson>, Problem> {
    let change = EndpointChange { state: EndpointState::Active, reason: None, now: UnixMs::now() };
    let from = [EndpointState::Paused, EndpointState::Failing, EndpointState::Disabled];
    Ok(Answer(turn(&caller, id, &from, &change).await?.into()))
}

async fn turn(
    caller: &Caller<Operate>,
    id: Id<Endpoint>,
    from: &[EndpointState],
    change: &EndpointChange,
) -> Result<Endpoint, Problem> {
    let endpoint = caller.scope().change_endpoint_state(id, from, change).await?.ok_or_else(missing)?;
    caller.api.dispatcher().tell(&endpoint.lane(), &endpoint.lane_settings()).await;
    Ok(endpoint)
}

/// How a secret is changed.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotateSecret {
    /// How long the old secret signs too; absent: a day.
    #[schema(maximum = 2_592_000)]
    grace_seconds: Option<u64>,
    /// `whsec_…`; absent: one is made.
    secret: Option<String>,
}

/// Changes an endpoint's secret. The new one is in this answer only; the old one signs on for the grace.
#[utoipa::path(post, path = "/v1/endpoints/{id}/rotate-secret", tag = "endpoints", params(("id" = String, Path)),
    request_body = RotateSecret, responses((status = 200, body = EndpointJson)))]
async fn rotate_secret(
    caller: Caller<Operate>,
    Ref(id): Ref<Endpoint>,
    OptionalJson(request): OptionalJson<RotateSecret>,
) -> Result<Answer<EndpointJson>, Problem> {
    let mut faults = Faults::default();
    let secret = request.secret.as_deref().and_then(|text| faults.keep("/secret", SigningSecret::parse(text)));
    let grace = request.grace_seconds.map_or(GRACE_DEFAULT, Duration::from_secs);
    let detail = format!("a grace is 0 to {} seconds", GRACE_MAX.as_secs());
    faults.check("/grace_seconds", grace <= GRACE_MAX, detail);
    faults.result()?;
    let secret = secret.unwrap_or_else(|| SigningSecret::from_random(rand::random()));
    let now = UnixMs::now();
    if !caller.scope().rotate_secret(id, &secret, now + grace, now).await? {
        return Err(missing());
    }
    let endpoint = caller.scope().endpoint(id).await?.ok_or_else(missing)?;
    Ok(Answer(EndpointJson::with_secret(endpoint, &secret)))
}

/// Which events are recovered, by when they were published.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recover {
    since: Time,
    /// Absent: now.
    until: Option<Time>,
}

/// Replays every event of the endpoint that has no success, each exactly once. 409 while the endpoint is disabled.
#[utoipa::path(post, path = "/v1/endpoints/{id}/recover", tag = "endpoints", params(("id" = String, Path)),
    request_body = Recover, responses((status = 202, body = OperationJson)))]
async fn recover(
    caller: Caller<Operate>,
    Ref(id): Ref<Endpoint>,
    Json(request): Json<Recover>,
) -> Result<Response, Problem> {
    let now = UnixMs::now();
    let Recover { since: Time(since), until } = request;
    let until = until.map_or(now, |Time(until)| until.min(now));
    let mut faults = Faults::default();
    faults.check("/since", since <= until, format_args!("{since} is after {until}"));
    faults.result()?;
    let scope = caller.scope();
    let endpoint = scope.endpoint(id).await?.ok_or_else(missing)?;
    not_disabled(&endpoint)?;
    let kind = OperationKind::RecoverEndpoint { endpoint: id, since, until };
    let total = Some(scope.count_events(since, until).await?);
    let operation = scope.create_operation(&Replay { kind, total, rate_per_second: None }, now).await?;
    Ok(accepted(OperationJson::from(operation)))
}
