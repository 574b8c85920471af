//! What operators and the sweep do to lanes and tickets: settings, pause, cancel, spill, view.

use super::{
    ring::LaneIndex,
    state::{Now, Place, State},
};
use crate::{
    domain::{
        Id,
        job::{Job, Priority},
        lane::{LaneKey, LaneSettings},
        tenant::Tenant,
    },
    queue::{LOOKED_AT_MAX, LaneView, QueueTotals, QueueView, SpilledLane, WorkerId, rank::Rank},
};

impl State {
    pub(super) fn renew(&mut self, worker: &WorkerId, now: Now) -> bool {
        let lease_ms = i64::try_from(self.limits.lease.as_millis()).unwrap_or(i64::MAX);
        self.workers.seen(worker, now, lease_ms);
        self.workers.register(worker)
    }

    pub(super) fn apply(&mut self, key: &LaneKey, settings: &LaneSettings, now: Now) -> Option<u64> {
        let index = self.index(key);
        let lane = self.lane(index)?;
        // What waits in SQL goes before what is offered from now on, so it is filled from there first.
        let begins_spilled = settings.ordered && !lane.told;
        lane.apply(settings);
        let generation = begins_spilled.then(|| self.spill(key));
        self.seat(index, now);
        generation
    }

    pub(super) fn spill(&mut self, key: &LaneKey) -> u64 {
        let index = self.index(key);
        let generation = self.next_serial();
        if let Some(lane) = self.lane(index) {
            lane.spilled = true;
            lane.generation = generation;
        }
        self.spilled.insert(index);
        generation
    }

    pub(super) fn set_paused(&mut self, key: &LaneKey, paused: bool, now: Now) {
        let index = self.index(key);
        if let Some(lane) = self.lane(index) {
            lane.settings.paused = paused;
        }
        self.seat(index, now);
    }

    pub(super) fn cancel(&mut self, key: &LaneKey, job: Id<Job>, now: Now) -> bool {
        let Some((index, place)) = self.place(key, job) else { return false };
        let Some(lane) = self.lane(index) else { return false };
        match place {
            Place::Leased(_) => return false,
            Place::Delayed { due_ms, below_max, .. } => lane.delayed.remove(&(due_ms, below_max, job)),
            Place::Ready { rank, .. } => {
                // An ordered lane waits with its first ticket, and not without it.
                if rank.is_front() {
                    lane.hold_until_ms = 0;
                }
                lane.ready.remove((rank, job))
            }
        };
        self.tickets.remove(&job);
        self.seat(index, now);
        true
    }

    pub(super) fn run_now(&mut self, key: &LaneKey, job: Id<Job>, now: Now) -> bool {
        let Some((index, place)) = self.place(key, job) else { return false };
        let Some(lane) = self.lane(index) else { return false };
        match place {
            Place::Delayed { due_ms, below_max, .. } => {
                lane.delayed.remove(&(due_ms, below_max, job));
                let priority = Priority::try_from(Priority::MAX.get() - below_max).unwrap_or_default();
                self.insert_ready(index, job, Rank::new(priority, now.unix()));
            }
            Place::Ready { rank, .. } if rank.is_front() && lane.hold_until_ms > now.ms() => lane.hold_until_ms = 0,
            Place::Ready { .. } | Place::Leased(_) => return false,
        }
        self.seat(index, now);
        true
    }

    /// Where a job's ticket is, in the lane that it is said to be in.
    fn place(&self, key: &LaneKey, job: Id<Job>) -> Option<(LaneIndex, Place)> {
        let index = self.find(key)?;
        let place = self.tickets.get(&job).filter(|place| place.lane() == index)?;
        Some((index, place.clone()))
    }

    pub(super) fn is_leased(&self, key: &LaneKey, job: Id<Job>) -> bool {
        let Some(Place::Leased(leased)) = self.tickets.get(&job) else { return false };
        self.find(key) == Some(leased.lane)
    }

    pub(super) fn spilled(&self, max: usize) -> Vec<SpilledLane> {
        let lanes = self.spilled.iter().filter_map(|&index| self.lanes.get(index as usize)?.as_ref());
        let mut low: Vec<SpilledLane> = lanes
            .filter(|lane| lane.depth() < self.limits.window.div_ceil(2))
            .map(|lane| SpilledLane { key: lane.key.clone(), generation: lane.generation, depth: lane.depth() })
            .collect();
        low.sort_by(|a, b| a.depth.cmp(&b.depth).then_with(|| a.key.cmp(&b.key)));
        low.truncate(max);
        low
    }

    pub(super) fn unspill(&mut self, key: &LaneKey, generation: u64, now: Now) -> bool {
        let Some(index) = self.find(key) else { return false };
        let Some(lane) = self.lane(index).filter(|lane| lane.generation == generation) else { return false };
        lane.spilled = false;
        self.spilled.remove(&index);
        self.seat(index, now);
        true
    }

    pub(super) fn lanes_of(&self, tenant: Id<Tenant>, lanes_max: usize) -> Vec<LaneView> {
        let deepest = self.by_depth.iter().rev().take(LOOKED_AT_MAX);
        let lanes = deepest.filter_map(|&(_, index)| self.lanes.get(index as usize)?.as_ref());
        lanes.filter(|lane| lane.key.tenant == tenant).take(lanes_max).map(super::lane::Lane::view).collect()
    }

    pub(super) fn lane_view(&self, key: &LaneKey) -> Option<LaneView> {
        self.lanes.get(self.find(key)? as usize)?.as_ref().map(super::lane::Lane::view)
    }

    pub(super) fn held_by(&self, worker: &WorkerId, max: usize) -> Vec<(LaneKey, Id<Job>)> {
        let held = |job: Id<Job>| {
            let index = self.tickets.get(&job)?.lane();
            Some((self.lanes.get(index as usize)?.as_ref()?.key.clone(), job))
        };
        self.workers.held_by(worker).take(max).filter_map(held).collect()
    }

    pub(super) fn view(&self, lanes_max: usize) -> QueueView {
        let deepest = self.by_depth.iter().rev().take(lanes_max);
        let lanes =
            deepest.filter_map(|&(_, index)| self.lanes.get(index as usize)?.as_ref().map(super::lane::Lane::view));
        QueueView {
            lanes: lanes.collect(),
            workers: self.workers.views(),
            totals: QueueTotals {
                lanes: self.by_depth.len() as u64,
                tickets: self.tickets.len() as u64,
                in_flight: self.workers.in_flight(),
            },
        }
    }
}
