//! Keeps this process's leases alive, and notices when the queue no longer knows it.

use std::sync::Arc;

use postrider_core::queue::{HEARTBEAT, Queue, WorkerId};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{leases::Leases, pace::rest};

/// Renews until `stop`, which comes after the last verdict.
pub(crate) async fn run(queue: Queue, leases: Leases, sweep: Arc<Notify>, stop: CancellationToken) {
    // The first heartbeat of an id registers it.
    let mut known = Vec::new();
    // Those that the queue had forgotten and that have not told it yet what they run.
    let mut forgotten: Vec<WorkerId> = Vec::new();
    loop {
        for worker in leases.workers() {
            match queue.renew(&worker).await {
                Ok(true) => {}
                Ok(false) if !known.contains(&worker) => known.push(worker),
                Ok(false) => {
                    tracing::warn!(%worker, "the queue had forgotten this worker; everything undone is offered again");
                    forgotten.push(worker);
                    sweep.notify_one();
                }
                Err(error) => {
                    tracing::debug!(%error, %worker, "a heartbeat failed");
                }
            }
        }
        let mut untold = Vec::new();
        for worker in forgotten.drain(..) {
            if let Err(error) = queue.reassert(&worker, &leases.held_by(&worker)).await {
                tracing::debug!(%error, %worker, "the queue was not told what runs; it will be");
                untold.push(worker);
            }
        }
        forgotten = untold;
        for worker in leases.to_retire() {
            match queue.retire(&worker).await {
                Ok(()) => {
                    leases.retired(&worker);
                    known.retain(|one| *one != worker);
                }
                Err(error) => tracing::debug!(%error, %worker, "a worker's id could not be retired"),
            }
        }
        if !rest(HEARTBEAT, &stop).await {
            return;
        }
    }
}
