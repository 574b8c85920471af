//! What this process holds: its slots, the leases in them, and the worker ids under which it claims. Knows neither
//! SQL nor the queue's calls.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use postrider_core::{
    domain::{Id, job::Job},
    queue::{Held as Counts, Lease, Room, WorkerId},
};
use prometheus_client::metrics::gauge::Gauge;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// All slots and leases of this process. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Leases {
    slots: Arc<Semaphore>,
    /// How many there are, free or not.
    all: usize,
    /// A slot became free.
    freed: Arc<Notify>,
    host: Arc<str>,
    state: Arc<Mutex<State>>,
    /// How many are held, for whoever watches.
    in_flight: Gauge,
}

#[derive(Debug)]
struct State {
    held: HashMap<Id<Job>, Held>,
    /// The same leases, counted.
    counts: Counts,
    worker: WorkerId,
    /// Ids under which a claim went unanswered: the queue may hold leases of theirs that nobody here knows.
    doubted: Vec<WorkerId>,
}

#[derive(Debug)]
struct Held {
    /// The fence under which the job came here; tells one slot of a job from the next.
    first_fence: u64,
    lease: Lease,
    worker: WorkerId,
}

/// A job's place in this process, from the claim until its verdict is given. Dropped, it is free again; dropped
/// without a verdict, its lease goes back as those of unanswered claims do.
#[derive(Debug)]
pub(crate) struct Slot {
    leases: Leases,
    job: Id<Job>,
    first_fence: u64,
    /// Given back first, so that whoever hears of a free slot finds it.
    permit: Option<OwnedSemaphorePermit>,
}

impl Leases {
    pub(crate) fn new(host: &str, slots: usize) -> Self {
        let (held, counts) = (HashMap::new(), Counts::default());
        let state = State { held, counts, worker: WorkerId::new(host), doubted: Vec::new() };
        Self {
            slots: Arc::new(Semaphore::new(slots)),
            all: slots,
            freed: Arc::default(),
            host: host.into(),
            state: Arc::new(Mutex::new(state)),
            in_flight: Gauge::default(),
        }
    }

    /// Shows how many are held.
    pub(crate) fn shown_by(self, in_flight: Gauge) -> Self {
        Self { in_flight, ..self }
    }

    /// Waits for a free slot, for up to `patience` until `wanted` are free, and takes up to `max` of them.
    pub(crate) async fn free_slots(&self, wanted: u32, patience: Duration, max: u32) -> Option<OwnedSemaphorePermit> {
        let mut permits = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        let wanted = wanted.min(u32::try_from(self.all / 4).unwrap_or(wanted));
        let others = Arc::clone(&self.slots).acquire_many_owned(wanted.saturating_sub(1));
        if let Ok(Ok(others)) = timeout(patience, others).await {
            permits.merge(others);
        }
        let taken = u32::try_from(permits.num_permits()).unwrap_or(max);
        let more = u32::try_from(self.slots.available_permits()).unwrap_or(max).min(max.saturating_sub(taken));
        if let Ok(more) = Arc::clone(&self.slots).try_acquire_many_owned(more) {
            permits.merge(more);
        }
        Some(permits)
    }

    /// What may be claimed into slots that were just taken.
    pub(crate) fn room(&self, taken: &OwnedSemaphorePermit) -> Room {
        let jobs = taken.num_permits();
        Room::shared(jobs, jobs + self.slots.available_permits(), &self.state().counts)
    }

    /// Waits until a slot became free since the last wait.
    pub(crate) async fn freed(&self) {
        self.freed.notified().await;
    }

    /// The id to claim under.
    pub(crate) fn worker(&self) -> WorkerId {
        self.state().worker.clone()
    }

    /// Every id that may hold leases.
    pub(crate) fn workers(&self) -> Vec<WorkerId> {
        let state = self.state();
        state.doubted.iter().chain([&state.worker]).cloned().collect()
    }

    /// What is known to be held under an id.
    pub(crate) fn held_by(&self, worker: &WorkerId) -> Vec<Lease> {
        let state = self.state();
        state.held.values().filter(|held| held.worker == *worker).map(|held| held.lease.clone()).collect()
    }

    /// The queue may hold leases under the present id that nobody here will end. Claims go on under a new id, and the
    /// one before is retired once what is known to be its own has ended: so what the queue leased it all the same comes
    /// back, although this process lives.
    pub(crate) fn doubt(&self) {
        let mut state = self.state();
        let doubted = std::mem::replace(&mut state.worker, WorkerId::new(&self.host));
        state.doubted.push(doubted);
    }

    /// What is known to be held goes on under the present id, which is the answer.
    pub(crate) fn gather(&self) -> WorkerId {
        let mut state = self.state();
        let worker = state.worker.clone();
        state.held.values_mut().for_each(|held| held.worker = worker.clone());
        worker
    }

    /// Doubted ids without a known lease.
    pub(crate) fn to_retire(&self) -> Vec<WorkerId> {
        let state = self.state();
        let idle = |worker: &&WorkerId| !state.held.values().any(|held| held.worker == **worker);
        state.doubted.iter().filter(idle).cloned().collect()
    }

    pub(crate) fn retired(&self, worker: &WorkerId) {
        self.state().doubted.retain(|doubted| doubted != worker);
    }

    /// Takes a claimed lease in. `None` when the job runs here already, because the queue had lost sight of it: the
    /// run that is under way goes on under the new lease.
    pub(crate) fn hold(&self, lease: Lease, worker: &WorkerId, permit: OwnedSemaphorePermit) -> Option<Slot> {
        let (job, fence) = (lease.job, lease.fence);
        let mut state = self.state();
        state.counts.add(&lease);
        if let Some(held) = state.held.get_mut(&job) {
            let before = std::mem::replace(&mut held.lease, lease);
            held.worker = worker.clone();
            state.counts.remove(&before);
            return None;
        }
        self.in_flight.inc();
        state.held.insert(job, Held { first_fence: fence, lease, worker: worker.clone() });
        Some(Slot { leases: self.clone(), job, first_fence: fence, permit: Some(permit) })
    }

    fn end(&self, job: Id<Job>, first_fence: u64) -> Option<Lease> {
        let mut state = self.state();
        if state.held.get(&job).is_none_or(|held| held.first_fence != first_fence) {
            return None;
        }
        let Held { lease, .. } = state.held.remove(&job)?;
        state.counts.remove(&lease);
        self.in_flight.dec();
        Some(lease)
    }

    /// No call leaves the state half changed, so one that panicked has left it usable.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    pub(crate) const fn job(&self) -> Id<Job> {
        self.job
    }

    /// The lease that a verdict ends. From here on the job may be claimed into another slot; this one stays taken
    /// until it is dropped. The second call finds nothing.
    pub(crate) fn end_lease(&self) -> Option<Lease> {
        self.leases.end(self.job, self.first_fence)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.leases.end(self.job, self.first_fence).is_some() {
            self.leases.doubt();
        }
        drop(self.permit.take());
        self.leases.freed.notify_one();
    }
}
