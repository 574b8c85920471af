//! `/v1/lanes`: what shares one concurrency, rate and order: how it stands, and what operators set for it.

use axum::Json as Answer;
use postrider_core::{
    domain::{
        endpoint_settings::{CONCURRENCY, RATE_PER_SECOND, judge_number},
        lane::{Breaker, LaneKey, LaneName, LaneSettings},
    },
    lane_control::{LaneChange, LaneError, Lanes},
    queue::LaneView,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    auth::{Caller, Operate, Read},
    endpoints::not_active,
    json::{Json, Nothing, OptionalJson, Patch},
    path::TextRef,
    problem::{Code, Faults, Problem},
    state::ApiState,
    wire::Time,
};

/// Lanes of one list.
const LANES_MAX: usize = 250;
const BY: &str = "the API";

pub(crate) fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get, patch))
        .routes(routes!(pause))
        .routes(routes!(resume))
}

/// A lane. What the queue would say is null while it holds nothing of the lane.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Lane)]
pub(crate) struct LaneJson {
    name: String,
    paused: bool,
    concurrency_max: Option<u32>,
    rate_per_second: Option<u32>,
    ordered: bool,
    now: Option<LaneNow>,
}

/// How a lane stands in the queue.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LaneNow {
    /// Due, and waiting for their turn.
    ready: u64,
    delayed: u64,
    in_flight: u64,
    /// In flight at most, by what is set and by what the receiver bears now.
    limit: u32,
    /// When the oldest that is due was to start.
    oldest: Option<Time>,
    /// Its receiver failed again and again: one probe at a time, and none before this.
    breaker_rests_until: Option<Time>,
    /// More of its jobs wait in the database.
    spilled: bool,
}

/// Lanes, the deepest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LaneList {
    data: Vec<LaneJson>,
}

/// What is to be set: what is absent stays, null goes back to the default.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LanePatch {
    /// Jobs in flight at most.
    #[serde(default)]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1_000)]
    concurrency_max: Patch<u32>,
    /// Starts in one second at most.
    #[serde(default)]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 10_000)]
    rate_per_second: Patch<u32>,
}

impl LaneJson {
    fn of(name: &LaneName, set: &LaneSettings, view: Option<&LaneView>) -> Self {
        Self {
            name: name.to_string(),
            paused: set.paused,
            concurrency_max: set.concurrency_max,
            rate_per_second: set.rate_per_second,
            ordered: set.ordered,
            now: view.map(LaneNow::of),
        }
    }
}

impl LaneNow {
    fn of(view: &LaneView) -> Self {
        let rests = match view.breaker {
            Breaker::Closed => None,
            Breaker::Open { rest_until } => Some(Time(rest_until)),
        };
        Self {
            ready: view.ready,
            delayed: view.delayed,
            in_flight: view.in_flight,
            limit: view.limit,
            oldest: view.oldest.map(Time),
            breaker_rests_until: rests,
            spilled: view.spilled,
        }
    }
}

impl From<LaneError> for Problem {
    fn from(error: LaneError) -> Self {
        match error {
            LaneError::NoEndpoint => Self::new(Code::NotFound, error),
            LaneError::Disabled(endpoint) => not_active(&endpoint),
            LaneError::TooMany => Self::new(Code::LimitReached, error),
            // No call says which limits it has seen.
            LaneError::Stale => Self::new(Code::Internal, error),
            LaneError::Store(error) => error.into(),
        }
    }
}

/// Lists the lanes that have jobs in the queue, the deepest first, 250 at most, and then those that something is set for.
#[utoipa::path(get, path = "/v1/lanes", tag = "lanes", responses((status = 200, body = LaneList)))]
async fn list(caller: Caller<Read>) -> Result<Answer<LaneList>, Problem> {
    let views = caller.api.queue().lanes_of(caller.tenant, LANES_MAX).await;
    let views = views.inspect_err(|error| tracing::debug!(%error, "lanes are listed without the queue"));
    let views = views.unwrap_or_default();
    let set = caller.scope().lanes_set().await?;
    let known = |name: &LaneName| views.iter().any(|view| view.key.name == *name);
    let idle: Vec<_> = set.into_iter().filter(|(name, _)| !known(name)).collect();
    let busy = views.iter().map(|view| LaneJson::of(&view.key.name, &view.settings, Some(view)));
    let idle = idle.into_iter().map(|(name, settings)| LaneJson::of(&name, &settings, None));
    Ok(Answer(LaneList { data: busy.chain(idle).collect() }))
}

/// Shows a lane. One that nobody has used has the defaults.
#[utoipa::path(get, path = "/v1/lanes/{name}", tag = "lanes", params(("name" = String, Path)),
    responses((status = 200, body = LaneJson)))]
async fn get(caller: Caller<Read>, TextRef(name): TextRef) -> Result<Answer<LaneJson>, Problem> {
    let name = parse(&name)?;
    let scope = caller.scope();
    let lanes = Lanes { scope: &scope, tenant: caller.tenant, dispatcher: caller.api.dispatcher() };
    let settings = lanes.settings(&name).await?;
    let view = caller.api.queue().lane_view(&LaneKey { tenant: caller.tenant, name: name.clone() }).await;
    let view = view.inspect_err(|error| tracing::debug!(%error, "a lane is shown without the queue")).ok().flatten();
    Ok(Answer(LaneJson::of(&name, &settings, view.as_ref())))
}

/// Changes a lane's limits, in force everywhere within two seconds. An endpoint's lane changes with its endpoint.
#[utoipa::path(patch, path = "/v1/lanes/{name}", tag = "lanes", params(("name" = String, Path)),
    request_body = LanePatch, responses((status = 200, body = LaneJson)))]
async fn patch(
    caller: Caller<Operate>,
    TextRef(name): TextRef,
    Json(request): Json<LanePatch>,
) -> Result<Answer<LaneJson>, Problem> {
    let mut faults = Faults::default();
    let mut number = |pointer: &str, given: Patch<u32>, bounds| match given {
        Patch::Absent => None,
        Patch::Null => Some(None),
        Patch::Set(number) => faults.keep(pointer, judge_number(number, bounds)).map(|()| Some(number)),
    };
    let concurrency_max = number("/concurrency_max", request.concurrency_max, &CONCURRENCY);
    let rate_per_second = number("/rate_per_second", request.rate_per_second, &RATE_PER_SECOND);
    faults.result()?;
    change(&caller, &name, LaneChange { concurrency_max, rate_per_second, ..LaneChange::default() }).await
}

/// Holds a lane's jobs back until it is resumed. What runs goes on.
#[utoipa::path(post, path = "/v1/lanes/{name}/pause", tag = "lanes", params(("name" = String, Path)),
    responses((status = 200, body = LaneJson)))]
async fn pause(
    caller: Caller<Operate>,
    TextRef(name): TextRef,
    _: OptionalJson<Nothing>,
) -> Result<Answer<LaneJson>, Problem> {
    change(&caller, &name, LaneChange { paused: Some(true), ..LaneChange::default() }).await
}

/// Lets a lane's jobs go on.
#[utoipa::path(post, path = "/v1/lanes/{name}/resume", tag = "lanes", params(("name" = String, Path)),
    responses((status = 200, body = LaneJson)))]
async fn resume(
    caller: Caller<Operate>,
    TextRef(name): TextRef,
    _: OptionalJson<Nothing>,
) -> Result<Answer<LaneJson>, Problem> {
    change(&caller, &name, LaneChange { paused: Some(false), ..LaneChange::default() }).await
}

async fn change(caller: &Caller<Operate>, name: &str, change: LaneChange) -> Result<Answer<LaneJson>, Problem> {
    let name = parse(name)?;
    let scope = caller.scope();
    let lanes = Lanes { scope: &scope, tenant: caller.tenant, dispatcher: caller.api.dispatcher() };
    let settings = lanes.change(&name, &change, BY).await?;
    Ok(Answer(LaneJson::of(&name, &settings, None)))
}

fn parse(name: &str) -> Result<LaneName, Problem> {
    name.parse().map_err(|error| Problem::new(Code::NotFound, error))
}
