//! Jobs whose worker vanished: each spends a life, and the one that has none left is dead without running again.

use std::{collections::HashMap, time::Duration};

use postrider_core::{
    domain::{
        Id, UnixMs,
        job::{Job, Outcome},
    },
    queue::LostTicket,
    store::{Store, StoreError, Work},
};
use tokio_util::sync::CancellationToken;

use super::Sweeper;
use crate::{
    WorkerParts,
    outcomes::{Recorder, lost_too_often},
    pace::{Outage, rest},
};

const LOOK: Duration = Duration::from_secs(1);
/// Who is named as the worker of an attempt that nobody ended.
const NOBODY: &str = "vanished";

/// Counts what a killed process ran, before the first claim.
pub(crate) async fn count_found(parts: &WorkerParts, recorder: &Recorder, stop: &CancellationToken) {
    let found = parts.queue.found_in_journal();
    if found.is_empty() {
        return;
    }
    tracing::warn!(jobs = found.len(), "the process before this one ended in the middle of jobs");
    if let Some(dead) = count(&parts.store, &found, stop).await {
        for work in dead {
            bury(recorder, &work).await;
        }
    }
}

pub(super) async fn run(sweeper: Sweeper) {
    let mut outage = Outage::none();
    loop {
        let goes_on = match sweeper.queue.expire().await {
            Ok(lost) => {
                outage.over();
                if !lost.is_empty() {
                    end(&sweeper, &lost).await;
                }
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

async fn end(sweeper: &Sweeper, lost: &[LostTicket]) {
    tracing::warn!(jobs = lost.len(), "workers vanished in the middle of jobs; these go to others");
    let lanes: HashMap<Id<Job>, &LostTicket> = lost.iter().map(|ticket| (ticket.job, ticket)).collect();
    let ids: Vec<Id<Job>> = lost.iter().map(|ticket| ticket.job).collect();
    let Some(dead) = count(&sweeper.store, &ids, &sweeper.stop).await else { return };
    for work in dead {
        // Before the commit, so that it is not claimed meanwhile; one that was is found out by whoever reads its row.
        if let Some(ticket) = lanes.get(&work.job.id)
            && let Err(error) = sweeper.queue.cancel(&ticket.lane, ticket.job).await
        {
            tracing::debug!(%error, job = %ticket.job, "a dead job's ticket stays until it is claimed");
        }
        bury(&sweeper.recorder, &work).await;
    }
}

/// Spends a life of each job, and answers with those that have none left. Waits for the database as long as it takes:
/// the queue tells of each lost ticket once.
async fn count(store: &Store, jobs: &[Id<Job>], stop: &CancellationToken) -> Option<Vec<Work>> {
    let mut outage = Outage::none();
    loop {
        let error: StoreError = match store.count_lost_workers(jobs, NOBODY, UnixMs::now()).await {
            Ok(counted) => {
                let dead = |work: &Work| Outcome::of_lost_worker(work.job.lost_workers) != Outcome::Lost;
                return Some(counted.into_iter().filter(dead).collect());
            }
            Err(error) => error,
        };
        tracing::warn!(%error, jobs = jobs.len(), "lost workers cannot be counted yet");
        if !error.is_unavailable() || !outage.wait(stop).await {
            return None;
        }
    }
}

async fn bury(recorder: &Recorder, work: &Work) {
    tracing::error!(job = %work.job.id, lost_workers = work.job.lost_workers, "a job is dead, since it ends its workers");
    recorder.commit(&lost_too_often(work, NOBODY)).await;
}
