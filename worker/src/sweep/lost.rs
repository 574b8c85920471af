//! Jobs whose worker vanished: each spends a life, and the one that has none left is dead without running again.

use std::{collections::HashMap, time::Duration};

use postrider_core::{
    domain::{
        Id, UnixMs,
        attempt::AttemptClass,
        job::{Job, Outcome},
        lane::Health,
    },
    queue::{Lease, LostLease, Next, Queue, Verdict, WorkerId},
    store::Work,
};
use tokio_util::sync::CancellationToken;

use super::Sweeper;
use crate::{
    WorkerParts,
    outcomes::{Recorder, lost_too_often},
    pace::{Outage, rest},
};

const LOOK: Duration = Duration::from_secs(1);
/// Named as the worker of what the journal tells of: its id ended with its process.
const KILLED: &str = "killed";

/// Counts what a killed process ran, before the first claim.
pub(crate) async fn count_found(parts: &WorkerParts, recorder: &Recorder, stop: &CancellationToken) {
    let found = parts.queue.found_in_journal();
    if found.is_empty() {
        return;
    }
    tracing::warn!(jobs = found.len(), "the process before this one ended in the middle of jobs");
    if let Some(dead) = count(recorder, &found, KILLED, stop).await {
        for work in dead {
            bury(recorder, &work).await;
        }
    }
}

pub(super) async fn run(sweeper: Sweeper) {
    let mut outage = Outage::none();
    loop {
        let goes_on = match sweeper.queue.expire(&sweeper.leases.worker()).await {
            Ok(lost) => {
                outage.over();
                end(&sweeper, lost).await;
                rest(LOOK, &sweeper.stop).await
            }
            Err(error) => {
                tracing::debug!(%error, "vanished workers cannot be looked for");
                outage.wait(&sweeper.stop).await
            }
        };
        if !goes_on {
            return;
        }
    }
}

/// The leases are this process's until the loss is counted, so that nothing runs again before. Told to stop, it leaves
/// them to whoever retires the worker.
async fn end(sweeper: &Sweeper, lost: Vec<LostLease>) {
    let mut by_worker: HashMap<WorkerId, Vec<Lease>> = HashMap::new();
    for LostLease { lease, vanished } in lost {
        by_worker.entry(vanished).or_default().push(lease);
    }
    for (vanished, leases) in by_worker {
        tracing::warn!(jobs = leases.len(), worker = %vanished, "a worker vanished in the middle of jobs; they go to others");
        let jobs: Vec<Id<Job>> = leases.iter().map(|lease| lease.job).collect();
        let Some(dead) = count(&sweeper.recorder, &jobs, vanished.as_str(), &sweeper.stop).await else { return };
        for work in &dead {
            bury(&sweeper.recorder, work).await;
        }
        let verdict = |lease: Lease| {
            let next = if dead.iter().any(|work| work.job.id == lease.job) { Next::Done } else { Next::Release };
            Verdict { lease, health: Health::Neutral, took: Duration::ZERO, next }
        };
        let verdicts: Vec<Verdict> = leases.into_iter().map(verdict).collect();
        settle(&sweeper.queue, &verdicts, &sweeper.stop).await;
    }
}

/// Spends a life of each job, and answers with those that have none left; `None` when `stop` came first. Waits for the
/// database as long as it takes.
async fn count(recorder: &Recorder, jobs: &[Id<Job>], worker: &str, stop: &CancellationToken) -> Option<Vec<Work>> {
    let mut outage = Outage::none();
    loop {
        let error = match recorder.store.count_lost_workers(jobs, worker, UnixMs::now()).await {
            Ok(counted) => {
                counted.iter().for_each(|work| recorder.metrics.attempt(work.job.kind, AttemptClass::Lost));
                let dead = |work: &Work| Outcome::of_lost_worker(work.job.kind, work.job.lost_workers) != Outcome::Lost;
                return Some(counted.into_iter().filter(dead).collect());
            }
            Err(error) => error,
        };
        if !error.is_unavailable() {
            tracing::error!(%error, jobs = jobs.len(), "a lost worker is not counted; its jobs run again");
            return Some(Vec::new());
        }
        tracing::warn!(%error, jobs = jobs.len(), "a lost worker cannot be counted yet");
        if !outage.wait(stop).await {
            return None;
        }
    }
}

async fn settle(queue: &Queue, verdicts: &[Verdict], stop: &CancellationToken) {
    let mut outage = Outage::none();
    while let Err(error) = queue.settle(verdicts).await {
        tracing::debug!(%error, "the jobs of a lost worker wait for the queue");
        if !outage.wait(stop).await {
            return;
        }
    }
}

async fn bury(recorder: &Recorder, work: &Work) {
    tracing::error!(job = %work.job.id, lost_workers = work.job.lost_workers, "a job is dead, since it ends its workers");
    recorder.commit(&lost_too_often(work)).await;
}
