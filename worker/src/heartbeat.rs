//! Keeps this process's leases alive, and notices when the queue no longer knows it.

use std::{sync::Arc, time::Duration};

use postrider_core::queue::Queue;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{leases::Leases, pace::rest};

/// A third of the lease: two heartbeats may be lost.
const BEAT: Duration = Duration::from_secs(5);
/// After one that failed.
const BEAT_AGAIN: Duration = Duration::from_secs(1);

/// Renews until `stop`, which comes after the last verdict.
pub(crate) async fn run(queue: Queue, leases: Leases, sweep: Arc<Notify>, stop: CancellationToken) {
    // The first heartbeat of an id registers it.
    let mut known = Vec::new();
    loop {
        let mut beat = BEAT;
        for worker in leases.workers() {
            match queue.renew(&worker).await {
                Ok(true) => {}
                Ok(false) if !known.contains(&worker) => known.push(worker),
                Ok(false) => {
                    tracing::warn!(%worker, "the queue had forgotten this worker; everything undone is offered again");
                    sweep.notify_one();
                }
                Err(error) => {
                    tracing::debug!(%error, %worker, "a heartbeat failed");
                    beat = BEAT_AGAIN;
                }
            }
        }
        for worker in leases.to_retire() {
            match queue.retire(&worker).await {
                Ok(()) => {
                    leases.retired(&worker);
                    known.retain(|one| *one != worker);
                }
                Err(error) => tracing::debug!(%error, %worker, "a worker's id could not be retired"),
            }
        }
        if !rest(beat, &stop).await {
            return;
        }
    }
}
