//! The queue inside one process: pure state behind a mutex, a wake-up, and a journal of what runs.
//!
//! It needs no file to be durable, because SQL holds every job: the journal only tells the next start which
//! jobs ran when the process was killed, so that one which kills its worker is found out.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, broadcast},
    time::Instant,
};
use uuid::Uuid;

use self::{
    journal::Journal,
    state::{Now, State},
};
use super::{
    Claimed, Epoch, LaneView, Lease, LostLease, Offered, QueueError, QueueLimits, QueueView, Room, Settled,
    SpilledLane, Ticket, Verdict, WorkerAbout, WorkerId, news::NEWS_KEPT,
};
use crate::domain::{
    Id, UnixMs,
    job::Job,
    lane::{LaneKey, LaneSettings},
    tenant::Tenant,
};

mod journal;
mod lane;
#[cfg(test)]
mod model;
mod ready;
mod ring;
mod state;
mod steer;
mod tickets;
mod turns;
mod workers;

/// No ticket is due after this: the score of a delayed ticket in Redis has room for no more.
const DUE_MS_MAX: i64 = super::rank::ORDER_SPAN - 1;

#[derive(Clone, Debug, Default)]
pub struct EmbeddedOptions {
    pub limits: QueueLimits,
    /// Where running jobs are written down; without it, jobs that kill the process are not found out.
    pub journal: Option<PathBuf>,
}

/// The embedded queue. Cheap to clone; all clones are one queue.
#[derive(Clone, Debug)]
pub struct Embedded(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    stirred: Notify,
    /// The wall clock at the start; from there on the time only rises.
    started_at: UnixMs,
    started: Instant,
    epoch: String,
    news: broadcast::Sender<Vec<u8>>,
}

impl Embedded {
    pub(super) fn new(options: EmbeddedOptions) -> std::io::Result<Self> {
        let EmbeddedOptions { limits, journal } = options;
        let journal = journal.map(|path| Journal::open(&path)).transpose()?;
        let started_at = UnixMs::now();
        let state = State::new(limits, journal, Now(started_at.0.saturating_mul(1000)));
        Ok(Self(Arc::new(Shared {
            state: Mutex::new(state),
            stirred: Notify::new(),
            started_at,
            started: Instant::now(),
            epoch: Uuid::now_v7().simple().to_string(),
            news: broadcast::channel(NEWS_KEPT).0,
        })))
    }

    /// Nobody may be listening.
    pub(super) fn tell(&self, news: &[u8]) {
        self.0.news.send(news.to_vec()).ok();
    }

    pub(super) fn hear(&self) -> broadcast::Receiver<Vec<u8>> {
        self.0.news.subscribe()
    }

    fn now(&self) -> Now {
        let passed_us = i64::try_from(self.0.started.elapsed().as_micros()).unwrap_or(i64::MAX);
        Now(self.0.started_at.0.saturating_mul(1000).saturating_add(passed_us))
    }

    /// No call leaves the state half changed, so one that panicked has left it usable.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and wakes one waiter if there is something for it.
    fn change<T>(&self, change: impl FnOnce(&mut State, Now) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state, self.now());
        let stirred = std::mem::take(&mut state.stirred);
        drop(state);
        if stirred {
            self.0.stirred.notify_one();
        }
        result
    }

    pub(super) fn found_in_journal(&self) -> Vec<Id<Job>> {
        self.lock().journal.as_mut().map(Journal::take_found).unwrap_or_default()
    }

    pub(super) fn offer(&self, tickets: &[Ticket]) -> Result<Vec<Offered>, QueueError> {
        Ok(self.change(|state, now| tickets.iter().map(|ticket| state.offer(ticket, false, now)).collect()))
    }

    /// One epoch lasts as long as the process.
    pub(super) fn offer_again(&self, tickets: &[Ticket], _: &Epoch) -> Result<Vec<Offered>, QueueError> {
        self.offer(tickets)
    }

    pub(super) fn refill(&self, tickets: &[Ticket], _: &Epoch) -> Result<Vec<Offered>, QueueError> {
        Ok(self.change(|state, now| tickets.iter().map(|ticket| state.offer(ticket, true, now)).collect()))
    }

    pub(super) fn claim(&self, worker: &WorkerId, room: Room) -> Result<Claimed, QueueError> {
        self.change(|state, now| state.claim(worker, room, now))
    }

    pub(super) fn settle(&self, verdicts: &[Verdict]) -> Result<Vec<Settled>, QueueError> {
        Ok(self.change(|state, now| verdicts.iter().map(|verdict| state.settle(verdict, now)).collect()))
    }

    pub(super) fn renew(&self, worker: &WorkerId) -> Result<bool, QueueError> {
        Ok(self.change(|state, now| state.renew(worker, now)))
    }

    pub(super) fn reassert(&self, worker: &WorkerId, leases: &[Lease]) -> Result<Vec<bool>, QueueError> {
        Ok(self.change(|state, now| leases.iter().map(|lease| state.reassert(worker, lease, now)).collect()))
    }

    pub(super) fn retire(&self, worker: &WorkerId) -> Result<(), QueueError> {
        self.change(|state, now| state.take_back(worker, now));
        Ok(())
    }

    pub(super) fn expire(&self, worker: &WorkerId) -> Result<Vec<LostLease>, QueueError> {
        Ok(self.change(|state, now| state.expire(worker, now)))
    }

    pub(super) fn lane(&self, key: &LaneKey, settings: &LaneSettings) -> Result<Option<u64>, QueueError> {
        Ok(self.change(|state, now| state.apply(key, settings, now)))
    }

    pub(super) fn set_paused(&self, key: &LaneKey, paused: bool) -> Result<(), QueueError> {
        self.change(|state, now| state.set_paused(key, paused, now));
        Ok(())
    }

    pub(super) fn cancel(&self, key: &LaneKey, job: Id<Job>) -> Result<bool, QueueError> {
        Ok(self.change(|state, now| state.cancel(key, job, now)))
    }

    pub(super) fn run_now(&self, key: &LaneKey, job: Id<Job>) -> Result<bool, QueueError> {
        Ok(self.change(|state, now| state.run_now(key, job, now)))
    }

    pub(super) fn held(&self, jobs: &[(LaneKey, Id<Job>)]) -> Result<Vec<bool>, QueueError> {
        let state = self.lock();
        Ok(jobs.iter().map(|(key, job)| state.is_leased(key, *job)).collect())
    }

    pub(super) fn spilled(&self, max: usize) -> Result<Vec<SpilledLane>, QueueError> {
        Ok(self.lock().spilled(max))
    }

    pub(super) fn spill(&self, key: &LaneKey) -> Result<u64, QueueError> {
        Ok(self.change(|state, _| state.spill(key)))
    }

    pub(super) fn unspill(&self, key: &LaneKey, generation: u64) -> Result<bool, QueueError> {
        Ok(self.change(|state, now| state.unspill(key, generation, now)))
    }

    pub(super) fn epoch(&self) -> Result<Epoch, QueueError> {
        Ok(Epoch { token: self.0.epoch.clone(), age: Duration::MAX })
    }

    pub(super) async fn wait(&self, timeout: Duration) {
        let next_due_ms = self.lock().due.first().map(|&(wake_ms, _)| wake_ms);
        let until_due = next_due_ms.map(|due_ms| UnixMs(due_ms).since(UnixMs(self.now().ms())));
        let timeout = until_due.map_or(timeout, |until_due| timeout.min(until_due));
        // What happened since the last claim is stored in the wake-up: either end means "look again".
        tokio::select! {
            () = self.0.stirred.notified() => {}
            () = tokio::time::sleep(timeout) => {}
        }
    }

    pub(super) fn lanes_of(&self, tenant: Id<Tenant>, lanes_max: usize) -> Result<Vec<LaneView>, QueueError> {
        Ok(self.lock().lanes_of(tenant, lanes_max))
    }

    pub(super) fn lane_view(&self, key: &LaneKey) -> Result<Option<LaneView>, QueueError> {
        Ok(self.lock().lane_view(key))
    }

    pub(super) fn introduce(&self, worker: &WorkerId, about: &WorkerAbout) -> Result<(), QueueError> {
        self.lock().workers.introduce(worker, about);
        Ok(())
    }

    pub(super) fn held_by(&self, worker: &WorkerId, max: usize) -> Result<Vec<(LaneKey, Id<Job>)>, QueueError> {
        Ok(self.lock().held_by(worker, max))
    }

    pub(super) fn view(&self, lanes_max: usize) -> Result<QueueView, QueueError> {
        Ok(self.lock().view(lanes_max))
    }
}
