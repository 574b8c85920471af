//! Tells the queue how leases ended, in batches, after what happened was committed.

use std::time::Duration;

use postrider_core::{
    domain::lane::Health,
    queue::{Next, Queue, Verdict},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{leases::Slot, pace::Outage};

/// Verdicts of one call.
const BATCH: usize = 500;

/// Takes verdicts in. They wait in memory, at most one for each slot.
#[derive(Clone, Debug)]
pub(crate) struct Settler(mpsc::UnboundedSender<(Slot, Verdict)>);

/// The verdicts that wait.
pub(crate) type Verdicts = mpsc::UnboundedReceiver<(Slot, Verdict)>;

impl Settler {
    pub(crate) fn new() -> (Self, Verdicts) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Ends the slot's lease. The slot is free once the queue knows.
    pub(crate) fn settle(&self, slot: Slot, health: Health, took: Duration, next: Next) {
        let Some(lease) = slot.end_lease() else { return };
        if self.0.send((slot, Verdict { lease, health, took, next })).is_err() {
            tracing::debug!("a verdict came after the end; the ticket goes back with the worker's leases");
        }
    }

    /// Puts a job back that was not run.
    pub(crate) fn put_back(&self, slot: Slot, next: Next) {
        self.settle(slot, Health::Neutral, Duration::ZERO, next);
    }
}

/// Settles what comes until `finish`, and what has come by then; gives up at `hurry`, when the worker's leases go
/// back as a whole.
///
/// A call that failed is repeated for as long as it takes: the heartbeat keeps the leases, so nobody else could end
/// them, and the slots that wait here bound how many there are.
pub(crate) async fn run(queue: Queue, mut verdicts: Verdicts, finish: CancellationToken, hurry: CancellationToken) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut outage = Outage::none();
    loop {
        tokio::select! {
            biased;
            () = finish.cancelled(), if !verdicts.is_closed() => {
                verdicts.close();
                continue;
            }
            came = verdicts.recv_many(&mut batch, BATCH) => if came == 0 { return },
        }
        let told: Vec<Verdict> = batch.iter().map(|(_, verdict)| verdict.clone()).collect();
        while let Err(error) = queue.settle(&told).await {
            if outage.failures() == 0 {
                tracing::warn!(%error, verdicts = told.len(), "the queue was not told of what has ended; trying again");
            }
            if !outage.wait(&hurry).await {
                return;
            }
        }
        if outage.over() {
            tracing::info!("the queue is told again of what has ended");
        }
        batch.clear();
    }
}
