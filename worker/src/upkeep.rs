//! Housekeeping: what is old enough is removed, endpoints that have failed for long are disabled, and what waits for
//! deleted ones is cancelled.

use std::time::Duration;

use postrider_core::{
    domain::{Id, UnixMs, endpoint::EndpointState, job::Job},
    queue::{Queue, QueueError},
    store::{Deleted, EndpointChange, RetentionAges, Store, StoreError},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{WorkerParts, pace::rest};

const ROUND: Duration = Duration::from_secs(60);
/// Between two looks for deleted endpoints. Most of what waits for one ends as the queue hands it out; this is for what
/// is due in hours or days.
const DRAIN_ROUND: Duration = Duration::from_secs(3);
const DRAIN_JOBS_MAX: u32 = 500;
/// Between two batches, so that removing does not crowd out work.
const BATCH_REST: Duration = Duration::from_millis(250);

pub(crate) fn start(parts: &WorkerParts, stop: &CancellationToken, tasks: &mut JoinSet<()>) {
    tasks.spawn(remove_old(parts.store.clone(), parts.settings.retention, stop.clone()));
    tasks.spawn(disable_failing(parts.store.clone(), parts.settings.failing_disables_after, stop.clone()));
    tasks.spawn(drain_deleted(parts.store.clone(), parts.queue.clone(), stop.clone()));
}

async fn remove_old(store: Store, ages: RetentionAges, stop: CancellationToken) {
    while rest(ROUND, &stop).await {
        loop {
            match store.remove_old(&ages, UnixMs::now()).await {
                Ok(removed) => {
                    tracing::debug!(?removed, "retention");
                    if !removed.more() || !rest(BATCH_REST, &stop).await {
                        break;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "old rows could not be removed; they are tried again in a minute");
                    break;
                }
            }
        }
    }
}

async fn disable_failing(store: Store, after: Duration, stop: CancellationToken) {
    while rest(ROUND, &stop).await {
        if let Err(error) = disable_all(&store, after).await {
            tracing::warn!(%error, "endpoints that have failed for long could not be disabled yet");
        }
    }
}

async fn disable_all(store: &Store, after: Duration) -> Result<(), StoreError> {
    let now = UnixMs::now();
    for endpoint in store.failing_since_before(now - after).await? {
        let reason = format!("every delivery has failed for {}", in_words(after));
        let change = EndpointChange { state: EndpointState::Disabled, reason: Some(reason), now };
        store.tenant(endpoint.tenant_id).change_endpoint_state(endpoint.id, &[EndpointState::Failing], &change).await?;
        tracing::info!(endpoint = %endpoint.id, tenant = %endpoint.tenant_id, "an endpoint was disabled, since it failed for long");
    }
    Ok(())
}

async fn drain_deleted(store: Store, queue: Queue, stop: CancellationToken) {
    while rest(DRAIN_ROUND, &stop).await {
        let deleted = match store.deleted_undrained().await {
            Ok(deleted) => deleted,
            Err(error) => {
                tracing::debug!(%error, "deleted endpoints cannot be looked for");
                continue;
            }
        };
        for endpoint in deleted {
            if let Err(error) = drain(&store, &queue, &endpoint, &stop).await {
                tracing::warn!(%error, lane = %endpoint.lane().name, "what waits for a deleted endpoint could not be cancelled yet");
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum DrainError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// Cancels what waits for a deleted endpoint. What runs ends by itself, as a success or at the next look.
async fn drain(store: &Store, queue: &Queue, endpoint: &Deleted, stop: &CancellationToken) -> Result<(), DrainError> {
    let lane = endpoint.lane();
    loop {
        let jobs = store.lane_jobs(&lane, DRAIN_JOBS_MAX).await?;
        if jobs.is_empty() {
            return Ok(store.set_drained(endpoint, UnixMs::now()).await?);
        }
        let keys: Vec<_> = jobs.iter().map(|job| (job.lane.clone(), job.id)).collect();
        let running = queue.held(&keys).await?;
        let waiting: Vec<Id<Job>> =
            jobs.iter().zip(running).filter_map(|(job, running)| (!running).then_some(job.id)).collect();
        if waiting.is_empty() {
            return Ok(());
        }
        store.cancel_undeliverable(endpoint, &waiting, UnixMs::now()).await?;
        if jobs.len() < DRAIN_JOBS_MAX as usize || !rest(BATCH_REST, stop).await {
            return Ok(());
        }
    }
}

fn in_words(time: Duration) -> String {
    let hours = time.as_secs() / 3600;
    match hours {
        0 => format!("{} seconds", time.as_secs()),
        hours if hours % 24 == 0 => format!("{} days", hours / 24),
        hours => format!("{hours} hours"),
    }
}
