//! What the overview shows of the queue: a tenant's lanes, and the workers.

use postrider_core::{
    domain::{UnixMs, lane::Standing},
    queue::{LaneView, QueueError, WorkerView},
};

use crate::{
    lane_label::{LaneState, lane_state},
    moment::length,
    overview::ROWS,
    page::Refusal,
    visit::Visit,
    workers::{self, WorkerLine},
};

/// Lanes that are asked for.
const LANES_MAX: usize = 250;
/// Jobs that are named of what a worker runs.
const NAMED_MAX: usize = 3;
/// A job that has waited for so long while it was due is trouble.
const WAIT_MAX_MS: i64 = 60_000;

pub(crate) struct QueueNow {
    pub(crate) waiting: u64,
    pub(crate) in_flight: u64,
    /// How long the oldest job has waited that could run.
    pub(crate) oldest: Option<String>,
    pub(crate) late: bool,
    /// What waits in lanes that somebody has paused.
    pub(crate) held: u64,
    pub(crate) lanes: Vec<LaneLine>,
    /// How many workers run, how many there are with those that are lost, and the first of them.
    pub(crate) workers_count: usize,
    pub(crate) workers_known: usize,
    pub(crate) workers: Vec<WorkerLine>,
}

pub(crate) struct LaneLine {
    pub(crate) name: String,
    /// An endpoint's address.
    pub(crate) to: Option<String>,
    pub(crate) waiting: u64,
    pub(crate) in_flight: u64,
    pub(crate) oldest: Option<String>,
    pub(crate) state: LaneState,
}

impl QueueNow {
    /// `None` while the queue does not answer.
    pub(crate) async fn of(visit: &Visit) -> Result<Option<Self>, Refusal> {
        match look(visit).await {
            Ok((lanes, workers)) => Self::shown(visit, lanes, workers).await.map(Some),
            Err(error) => {
                tracing::warn!(%error, "the overview is shown without the queue");
                Ok(None)
            }
        }
    }

    async fn shown(visit: &Visit, mut lanes: Vec<LaneView>, workers: Vec<WorkerView>) -> Result<Self, Refusal> {
        let now = visit.now;
        let endpoints = visit.dashboard.store.directory().endpoints(visit.tenant.id).await?;
        let address = |lane: &LaneView| {
            let live = endpoints.get(lane.key.name.as_str().parse().ok()?)?;
            Some(visit.url(live.endpoint.settings.url.as_str()))
        };
        lanes.sort_by_key(|lane| lane.oldest.unwrap_or(UnixMs(i64::MAX)));
        // One that waits for its receiver, or for the job before it, says nothing of the workers.
        let waits_for_worker =
            |lane: &&LaneView| !lane.paused && matches!(lane.seat, Some(Standing::Answering | Standing::Unknown));
        let oldest = lanes.iter().filter(waits_for_worker).find_map(|lane| lane.oldest);
        let line = |lane: &LaneView| LaneLine {
            name: lane.key.name.to_string(),
            to: address(lane),
            waiting: lane.ready + lane.delayed,
            in_flight: lane.in_flight,
            oldest: age(lane.oldest, now),
            state: lane_state(lane.paused, Some(&lane.breaker)),
        };
        Ok(Self {
            waiting: lanes.iter().map(|lane| lane.ready + lane.delayed).sum(),
            in_flight: lanes.iter().map(|lane| lane.in_flight).sum(),
            oldest: age(oldest, now),
            held: lanes.iter().filter(|lane| lane.paused).map(|lane| lane.ready + lane.delayed).sum(),
            late: oldest.is_some_and(|at| now.0 - at.0 > WAIT_MAX_MS),
            lanes: lanes.iter().take(ROWS).map(line).collect(),
            workers_count: workers::running(&workers, now),
            workers_known: workers.len(),
            workers: workers::lines(visit, workers, ROWS, NAMED_MAX).await?,
        })
    }
}

async fn look(visit: &Visit) -> Result<(Vec<LaneView>, Vec<WorkerView>), QueueError> {
    let queue = &visit.dashboard.queue;
    let lanes = queue.lanes_of(visit.tenant.id, LANES_MAX).await?;
    Ok((lanes, queue.view(0).await?.workers))
}

fn age(at: Option<UnixMs>, now: UnixMs) -> Option<String> {
    at.map(|at| length(u64::try_from(now.0 - at.0).unwrap_or(0)))
}
