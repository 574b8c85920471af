//! Keeps this process's leases alive, and notices when the queue no longer knows it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use postrider_core::{
    domain::{Id, job::Job, lane::Health},
    queue::{HEARTBEAT, Lease, Next, Queue, QueueError, Verdict, WorkerAbout, WorkerId},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{leases::Leases, pace::rest};

/// Renews until `stop`, which comes after the last verdict.
pub(crate) async fn run(queue: Queue, leases: Leases, about: WorkerAbout, sweep: Arc<Notify>, stop: CancellationToken) {
    let mut heart = Heart { queue, leases, about, known: Vec::new(), forgotten: false, orphans: Vec::new() };
    loop {
        if heart.renew().await {
            sweep.notify_one();
        }
        heart.retire().await;
        heart.reassert().await;
        if !rest(HEARTBEAT, &stop).await {
            return;
        }
    }
}

struct Heart {
    queue: Queue,
    leases: Leases,
    about: WorkerAbout,
    /// The first heartbeat of an id registers it.
    known: Vec<WorkerId>,
    /// The queue had forgotten a worker, and was not told yet what runs.
    forgotten: bool,
    /// Leases that the queue may have been told of after they had ended.
    orphans: Vec<Verdict>,
}

impl Heart {
    /// Whether the queue had forgotten a worker.
    async fn renew(&mut self) -> bool {
        let mut any = false;
        for worker in self.leases.workers() {
            match self.queue.renew(&worker).await {
                Ok(true) => {}
                Ok(false) if !self.known.contains(&worker) => {
                    self.introduce(&worker).await;
                    self.known.push(worker);
                }
                Ok(false) => {
                    self.introduce(&worker).await;
                    tracing::warn!(%worker, "the queue had forgotten this worker; everything undone is offered again");
                    any = true;
                }
                Err(error) => tracing::debug!(%error, %worker, "a heartbeat failed"),
            }
        }
        if any && !self.forgotten {
            self.forgotten = true;
            self.leases.doubt();
        }
        any
    }

    async fn introduce(&self, worker: &WorkerId) {
        if let Err(error) = self.queue.introduce(worker, &self.about).await {
            tracing::debug!(%error, %worker, "the queue was not told what this worker is");
        }
    }

    /// Tells the queue what runs, where it forgot that. All of it goes on under a new id: a queue that went back to old data
    /// holds leases that ended since, and nobody would end them again. They go back with the ids before, at the next
    /// heartbeat, when no claim is on its way under those.
    async fn reassert(&mut self) {
        if self.forgotten {
            let worker = self.leases.gather();
            let held = self.leases.held_by(&worker);
            let told = self.queue.reassert(&worker, &held).await;
            self.orphans.extend(ended(&held, &self.leases.held_by(&worker)));
            match told {
                Ok(_) => self.forgotten = false,
                Err(error) => tracing::debug!(%error, %worker, "the queue was not told what runs; it will be"),
            }
        }
        if let Err(error) = self.settle_orphans().await {
            tracing::debug!(%error, "leases that ended while the queue was told of them wait for the next heartbeat");
        }
    }

    async fn settle_orphans(&mut self) -> Result<(), QueueError> {
        if !self.orphans.is_empty() {
            self.queue.settle(&self.orphans).await?;
            self.orphans.clear();
        }
        Ok(())
    }

    /// Ids under which nothing runs. While the queue was not told what goes on under another, it may hold that under them.
    async fn retire(&mut self) {
        if self.forgotten {
            return;
        }
        for worker in self.leases.to_retire() {
            match self.queue.retire(&worker).await {
                Ok(()) => {
                    self.leases.retired(&worker);
                    self.known.retain(|one| *one != worker);
                }
                Err(error) => tracing::debug!(%error, %worker, "a worker's id could not be retired"),
            }
        }
    }
}

/// What was told as running and is not held any more. Its own verdict may have come to a queue that did not know the
/// lease, and nothing else would ever end it. Whoever claims the job next reads what became of it.
fn ended(told: &[Lease], held: &[Lease]) -> Vec<Verdict> {
    let held: HashSet<Id<Job>> = held.iter().map(|lease| lease.job).collect();
    let ended = told.iter().filter(|lease| !held.contains(&lease.job));
    let released = |lease: &Lease| Verdict {
        lease: lease.clone(),
        health: Health::Neutral,
        took: Duration::ZERO,
        next: Next::Release,
    };
    ended.map(released).collect()
}

#[cfg(test)]
mod tests {
    use postrider_core::{
        domain::{
            UnixMs,
            lane::{LaneKey, Standing},
        },
        queue::EmbeddedOptions,
    };

    use super::*;

    #[tokio::test]
    async fn a_lease_that_ended_while_the_queue_was_told_of_it_is_ended_there_too() {
        let (queue, leases) = (Queue::embedded(EmbeddedOptions::default()).unwrap(), Leases::new("test", 2));
        let lane = LaneKey { tenant: Id::new(), name: "a".parse().unwrap() };
        let [ran, runs] =
            [1, 2].map(|fence| Lease { job: Id::new(), lane: lane.clone(), fence, standing: Standing::Unknown });
        let told = [ran, runs.clone()];
        queue.reassert(&leases.worker(), &told).await.unwrap();
        let orphans = ended(&told, std::slice::from_ref(&runs));
        let about = WorkerAbout { host: String::new(), version: String::new(), slots: 2, since: UnixMs(0) };
        let mut heart = Heart { queue, leases, about, known: Vec::new(), forgotten: false, orphans };
        heart.settle_orphans().await.unwrap();
        let held = told.map(|lease| (lease.lane, lease.job));
        assert_eq!(heart.queue.held(&held).await.unwrap(), [false, true]);
        assert!(heart.orphans.is_empty());
    }
}
