//! Lanes: what shares one concurrency, rate and order. How each stands in the queue, and what operators set for it.

use std::ops::RangeInclusive;

use askama::Template;
use axum::{
    Router,
    extract::Path,
    response::{IntoResponse, Redirect},
    routing::{get, post},
};
use postrider_core::{
    domain::{
        Id, UnixMs,
        endpoint::Endpoint,
        endpoint_settings::{CONCURRENCY, RATE_PER_SECOND, judge_number},
        lane::{BAD_STREAK_MAX, Breaker, LaneKey, LaneName, LaneSettings},
    },
    lane_control::{LaneChange, LaneError, LaneLimits, Lanes},
    queue::{LaneView, QueueError},
    store::{JobFilter, Page, Scope},
};

use crate::{
    Dashboard,
    faults::{Faults, Named},
    fields::Fields,
    filters::{self, grouped},
    lane_label::{LaneLabel, LaneState, lane_state},
    moment::{Moment, length},
    once::not_whole,
    page::{Frame, Refusal, Section, Shown, base, show},
    visit::{Deed, Visit},
};

/// Lanes of one page.
const LANES_MAX: usize = 100;
const CONCURRENCY_FIELD: Named = ("concurrency_max", "In flight at most");
const RATE_FIELD: Named = ("rate_per_second", "Starts a second");

pub(crate) fn router() -> Router<Dashboard> {
    Router::new()
        .route("/lanes", get(lanes))
        .route("/lanes/{name}", get(lane))
        .route("/lanes/{name}/pause", post(pause))
        .route("/lanes/{name}/resume", post(resume))
        .route("/lanes/{name}/limits", post(limits))
}

#[derive(Template)]
#[template(path = "lanes.html")]
struct LanesPage {
    frame: Frame,
    /// The queue answered.
    told: bool,
    /// There may be more than are shown.
    is_cut: bool,
    rows: Vec<Line>,
}

#[derive(Template)]
#[template(path = "lane.html")]
struct LanePage {
    frame: Frame,
    told: bool,
    /// A job waits or runs in it, or did so lately, or something is set for it.
    is_known: bool,
    line: Line,
    /// More than its state is said of it.
    says_more: bool,
    endpoint: Option<String>,
    bad_streak: u32,
    concurrency_bounds: String,
    rate_bounds: String,
    /// The limits that the form shows.
    seen: String,
}

/// A lane, in a list or by itself.
struct Line {
    label: LaneLabel,
    state: LaneState,
    paused: bool,
    concurrency_max: Option<u32>,
    rate_per_second: Option<u32>,
    ordered: bool,
    now: Option<Now>,
}

/// How a lane stands in the queue.
struct Now {
    ready: u64,
    delayed: u64,
    in_flight: u64,
    limit: u32,
    oldest: Option<String>,
    breaker: Option<Moment>,
    spilled: bool,
}

impl Line {
    fn of(label: LaneLabel, set: &LaneSettings, view: Option<&LaneView>, now: UnixMs) -> Self {
        Self {
            label,
            state: lane_state(set.paused, view.map(|view| &view.breaker)),
            paused: set.paused,
            concurrency_max: set.concurrency_max,
            rate_per_second: set.rate_per_second,
            ordered: set.ordered,
            now: view.map(|view| Now::of(view, now)),
        }
    }
}

impl Now {
    fn of(view: &LaneView, now: UnixMs) -> Self {
        Self {
            ready: view.ready,
            delayed: view.delayed,
            in_flight: view.in_flight,
            limit: view.limit,
            oldest: view.oldest.map(|at| length(u64::try_from(now.0 - at.0).unwrap_or(0))),
            breaker: match view.breaker {
                Breaker::Closed => None,
                Breaker::Open { rest_until } => Some(Moment::of(rest_until, now)),
            },
            spilled: view.spilled,
        }
    }
}

async fn lanes(visit: Visit) -> Shown {
    let views = told(visit.dashboard.queue.lanes_of(visit.tenant.id, LANES_MAX).await);
    let set = visit.scope().lanes_set().await?;
    let endpoints = visit.dashboard.store.directory().endpoints(visit.tenant.id).await?;
    let line = |name: &LaneName, set: &LaneSettings, view: Option<&LaneView>| {
        Line::of(LaneLabel::of(name, &endpoints), set, view, visit.now)
    };
    let is_cut = views.as_ref().is_some_and(|views| views.len() >= LANES_MAX) || set.len() > LANES_MAX;
    let busy = views.iter().flatten().map(|view| line(&view.key.name, &view.settings, Some(view)));
    let known = |name: &LaneName| views.iter().flatten().any(|view| view.key.name == *name);
    let idle = set.iter().filter(|(name, _)| !known(name)).take(LANES_MAX);
    let rows = busy.chain(idle.map(|(name, settings)| line(name, settings, None))).collect();
    show(&LanesPage { frame: Frame::of(&visit, Section::Lanes, "Lanes"), told: views.is_some(), is_cut, rows })
}

async fn lane(visit: Visit, Path((_, name)): Path<(String, String)>) -> Shown {
    let name = parse(&name)?;
    let scope = visit.scope();
    let settings = of(&visit, &scope).settings(&name).await.map_err(refused)?;
    let key = LaneKey { tenant: visit.tenant.id, name };
    let view = told(visit.dashboard.queue.lane_view(&key).await);
    let endpoint = key.name.as_str().parse::<Id<Endpoint>>().ok();
    let endpoints = visit.dashboard.store.directory().endpoints(visit.tenant.id).await?;
    let view = view.as_ref().map(Option::as_ref);
    let is_new = endpoint.is_none() && view.flatten().is_none() && settings == LaneSettings::default();
    let is_known = !is_new || has_jobs(&scope, &key.name, visit.now).await?;
    let bounds = |range: &RangeInclusive<u32>| format!("{} to {}", grouped(range.start()), grouped(range.end()));
    let line = Line::of(LaneLabel::of(&key.name, &endpoints), &settings, view.flatten(), visit.now);
    let page = LanePage {
        frame: Frame::of(&visit, Section::Lanes, format!("Lane {}", key.name)),
        told: view.is_some(),
        is_known,
        says_more: line.state != LaneState::Active || endpoint.is_some(),
        line,
        endpoint: endpoint.map(|id| id.to_string()),
        bad_streak: BAD_STREAK_MAX,
        concurrency_bounds: bounds(&CONCURRENCY),
        rate_bounds: bounds(&RATE_PER_SECOND),
        seen: limits_of(&settings),
    };
    show(&page)
}

/// Whether one of the newest jobs is in a lane.
async fn has_jobs(scope: &Scope<'_>, name: &LaneName, now: UnixMs) -> Result<bool, Refusal> {
    let filter = JobFilter { lane: Some(name.clone()), ..JobFilter::default() };
    Ok(!scope.jobs(&filter, &Page { before: None, limit: 1 }, now).await?.rows.is_empty())
}

async fn pause(Path((_, name)): Path<(String, String)>, Deed { visit, .. }: Deed) -> Shown {
    change(&visit, &name, LaneChange { paused: Some(true), ..LaneChange::default() }).await
}

async fn resume(Path((_, name)): Path<(String, String)>, Deed { visit, .. }: Deed) -> Shown {
    change(&visit, &name, LaneChange { paused: Some(false), ..LaneChange::default() }).await
}

async fn limits(Path((_, name)): Path<(String, String)>, Deed { visit, fields }: Deed) -> Shown {
    let mut faults = Faults::default();
    let concurrency_max = number(&fields, CONCURRENCY_FIELD, &CONCURRENCY, &mut faults);
    let rate_per_second = number(&fields, RATE_FIELD, &RATE_PER_SECOND, &mut faults);
    faults.result()?;
    let seen = match fields.text("seen") {
        Some(text) => Some(read_limits(text).ok_or_else(not_whole)?),
        None => None,
    };
    let change = LaneChange {
        paused: None,
        concurrency_max: Some(concurrency_max),
        rate_per_second: Some(rate_per_second),
        seen,
    };
    self::change(&visit, &name, change).await
}

/// Limits in a few letters, by which a change knows whether they are still those that its form shows.
fn limits_of(set: &LaneSettings) -> String {
    let limit = |limit: Option<u32>| limit.map_or_else(|| "any".to_owned(), |limit| limit.to_string());
    format!("{}/{}", limit(set.concurrency_max), limit(set.rate_per_second))
}

/// The same limits again.
fn read_limits(text: &str) -> Option<LaneLimits> {
    let (concurrency_max, rate_per_second) = text.split_once('/')?;
    let read = |text: &str| if text == "any" { Some(None) } else { text.parse().ok().map(Some) };
    Some((read(concurrency_max)?, read(rate_per_second)?))
}

/// `None` where nothing is written.
fn number(fields: &Fields, named: Named, bounds: &RangeInclusive<u32>, faults: &mut Faults) -> Option<u32> {
    let number = faults.read(fields.parsed::<u32>(named, "whole number"))?;
    faults.keep(named, judge_number(number, bounds))?;
    Some(number)
}

async fn change(visit: &Visit, name: &str, change: LaneChange) -> Shown {
    let name = parse(name)?;
    let scope = visit.scope();
    of(visit, &scope).change(&name, &change, visit.user.name.as_str()).await.map_err(refused)?;
    Ok(Redirect::to(&format!("{}/lanes/{name}", base(&visit.tenant))).into_response())
}

fn of<'a>(visit: &'a Visit, scope: &'a Scope<'a>) -> Lanes<'a> {
    Lanes { scope, tenant: visit.tenant.id, dispatcher: &visit.dashboard.dispatcher }
}

fn parse(name: &str) -> Result<LaneName, Refusal> {
    name.parse().map_err(|_| Refusal::NotFound("lane"))
}

fn refused(error: LaneError) -> Refusal {
    match error {
        LaneError::NoEndpoint => Refusal::NotFound("endpoint"),
        LaneError::Store(error) => error.into(),
        LaneError::Stale => Refusal::stale("these settings"),
        error @ (LaneError::Disabled(_) | LaneError::TooMany) => {
            Refusal::Conflict(format!("Nothing was changed: {error}."))
        }
    }
}

/// `None` while the queue does not answer.
fn told<T>(answer: Result<T, QueueError>) -> Option<T> {
    answer.inspect_err(|error| tracing::warn!(%error, "lanes are shown without the queue")).ok()
}
