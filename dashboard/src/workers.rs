//! Workers: which run, where, since when, and what each of them does now. A tenant's page names its own jobs alone.

use askama::Template;
use axum::{Router, routing::get};
use postrider_core::{
    domain::UnixMs,
    queue::{LEASE, WorkerView},
};

use crate::{
    Dashboard, filters,
    moment::{Moment, length},
    page::{Frame, Refusal, Section, Shown, show},
    visit::Visit,
};

/// Workers of one page; those that are late first.
const WORKERS_MAX: usize = 100;
/// Jobs that are asked for of each, and those that are named on this page.
const HELD_MAX: usize = 2_000;
const NAMED_MAX: usize = 20;
/// A heartbeat comes each second; one that did not come for so long is late.
const LATE_MS: u64 = 4_000;

pub(crate) fn router() -> Router<Dashboard> {
    Router::new().route("/workers", get(workers))
}

#[derive(Template)]
#[template(path = "workers.html")]
struct WorkersPage {
    frame: Frame,
    /// The queue answered.
    told: bool,
    /// One of them is not lost.
    runs: bool,
    rows: Vec<WorkerLine>,
    lease: String,
}

/// A worker, as lists show it.
pub(crate) struct WorkerLine {
    pub(crate) id: String,
    pub(crate) host: String,
    pub(crate) version: String,
    pub(crate) since: Option<Moment>,
    pub(crate) seen: Moment,
    pub(crate) late: bool,
    /// Its lease is over: what it ran is anybody's.
    pub(crate) lost: bool,
    /// Until another worker takes over what it runs.
    pub(crate) left: String,
    pub(crate) in_flight: u64,
    pub(crate) slots: Option<u32>,
    /// This tenant's, and how many more of it.
    pub(crate) jobs: Vec<Running>,
    pub(crate) more: usize,
    /// Those of other tenants.
    pub(crate) others: u64,
}

pub(crate) struct Running {
    pub(crate) id: String,
    pub(crate) kind: &'static str,
    pub(crate) lane: String,
}

async fn workers(visit: Visit) -> Shown {
    let view = visit.dashboard.queue.view(0).await;
    let view =
        view.inspect_err(|error| tracing::warn!(%error, "workers are not shown: the queue does not answer")).ok();
    let told = view.is_some();
    let workers = view.map(|view| view.workers).unwrap_or_default();
    let runs = running(&workers, visit.now) > 0;
    let rows = lines(&visit, workers, WORKERS_MAX, NAMED_MAX).await?;
    let frame = Frame::of(&visit, Section::Workers, "Workers");
    show(&WorkersPage { frame, told, runs, rows, lease: length(u64::try_from(LEASE.as_millis()).unwrap_or(0)) })
}

/// How many of them are not lost. Who is lost stands among them until another worker has taken over.
pub(crate) fn running(workers: &[WorkerView], now: UnixMs) -> usize {
    workers.iter().filter(|worker| worker.expires_at > now).count()
}

/// At most `max` of them, those first that are late, each with up to `named_max` of the jobs that it runs.
pub(crate) async fn lines(
    visit: &Visit,
    mut workers: Vec<WorkerView>,
    max: usize,
    named_max: usize,
) -> Result<Vec<WorkerLine>, Refusal> {
    workers.sort_by_key(|worker| worker.last_seen.0.min(visit.now.0 - i64::try_from(LATE_MS).unwrap_or(0)));
    workers.truncate(max);
    let mut lines = Vec::with_capacity(workers.len());
    for worker in workers {
        lines.push(line(visit, worker, named_max).await?);
    }
    Ok(lines)
}

async fn line(visit: &Visit, worker: WorkerView, named_max: usize) -> Result<WorkerLine, Refusal> {
    let now = visit.now;
    let held = visit.dashboard.queue.held_by(&worker.id, HELD_MAX).await.unwrap_or_default();
    let own: Vec<_> = held.into_iter().filter(|(lane, _)| lane.tenant == visit.tenant.id).collect();
    let ids: Vec<_> = own.iter().take(named_max).map(|(_, job)| *job).collect();
    let kinds = visit.scope().kinds_of(&ids).await?;
    let jobs: Vec<Running> = own
        .iter()
        .take(named_max)
        .map(|(lane, job)| Running {
            id: job.to_string(),
            kind: kinds.get(job).map_or("job", |kind| kind.as_str()),
            lane: lane.name.to_string(),
        })
        .collect();
    let silent_ms = u64::try_from(now.0 - worker.last_seen.0).unwrap_or(0);
    let left = |until: UnixMs| u64::try_from(until.0 - now.0).unwrap_or(0);
    let about = worker.about;
    Ok(WorkerLine {
        id: worker.id.to_string(),
        host: about.as_ref().map(|about| about.host.clone()).unwrap_or_default(),
        version: about.as_ref().map(|about| about.version.clone()).unwrap_or_default(),
        since: about.as_ref().map(|about| Moment::of(about.since, now)),
        slots: about.as_ref().map(|about| about.slots),
        seen: Moment::of(worker.last_seen, now),
        late: silent_ms > LATE_MS && worker.expires_at > now,
        lost: worker.expires_at <= now,
        left: length(left(worker.expires_at)),
        in_flight: worker.in_flight,
        more: own.len() - jobs.len(),
        others: worker.in_flight.saturating_sub(own.len() as u64),
        jobs,
    })
}
