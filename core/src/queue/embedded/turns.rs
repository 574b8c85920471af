//! Claiming and settling: a ticket's way out of its lane, and back or away.

use std::time::Duration;

use super::{
    lane::Lane,
    ring::LaneIndex,
    state::{Leased, Now, Place, State},
};
use crate::{
    domain::{
        Id,
        job::{Job, Priority},
        lane::Standing,
    },
    queue::{Claimed, Lease, LostLease, Next, QueueError, Rest, Room, Settled, Verdict, WorkerId, rank::Rank},
};

/// Lanes whose time has come that one claim looks at.
const DUE_LANES_MAX: usize = 100;
/// Delayed tickets of one lane that one claim makes ready.
const PROMOTED_MAX: usize = 200;
/// Turns of one claim that may turn out to be empty.
const EMPTY_TURNS_MAX: usize = 1_000;

impl State {
    pub(super) fn claim(&mut self, worker: &WorkerId, mut room: Room, now: Now) -> Result<Claimed, QueueError> {
        let lease_ms = i64::try_from(self.limits.lease.as_millis()).unwrap_or(i64::MAX);
        self.workers.seen(worker, now, lease_ms);
        self.forget_idle(now);
        self.wake_due(now);
        let mut leases = Vec::with_capacity(room.all.all.min(1_000));
        let (mut empty_turns, mut failed, mut passed) = (0, None, false);
        while room.all.all > 0 && empty_turns < EMPTY_TURNS_MAX && failed.is_none() {
            let Some((standing, index)) = self.rings.pop(&room) else {
                passed = true;
                break;
            };
            match self.take_turn(index, standing, worker, now) {
                Ok(Some(lease)) => {
                    room.take(lease.lane.tenant, standing);
                    leases.push(lease);
                }
                Ok(None) => empty_turns += 1,
                Err(error) => failed = Some(error),
            }
        }
        self.rings.give_back_passed();
        // Others may have room for what is left; when nothing was taken, whoever has none need not be told again.
        let left = !self.rings.is_empty();
        let rest = match (left, passed) {
            (false, _) => Rest::Nothing,
            (true, true) => Rest::HeldBack,
            (true, false) => Rest::More,
        };
        self.stirred |= rest == Rest::More || rest == Rest::HeldBack && !leases.is_empty();
        match failed {
            Some(error) if leases.is_empty() => return Err(error),
            Some(error) => tracing::warn!(%error, "claimed fewer jobs than there are"),
            None => {}
        }
        Ok(Claimed { leases, rest })
    }

    /// Lanes whose time has come: their due tickets join the ready ones, and they get a seat.
    fn wake_due(&mut self, now: Now) {
        let ripe: Vec<LaneIndex> =
            self.due.range(..(now.ms() + 1, 0)).take(DUE_LANES_MAX).map(|&(_, index)| index).collect();
        for index in ripe {
            for _ in 0..PROMOTED_MAX {
                let Some(lane) = self.lane(index) else { break };
                let Some(&first) = lane.delayed.first().filter(|first| first.0 <= now.ms()) else { break };
                lane.delayed.remove(&first);
                let (rank, job) = Lane::rank_when_due(first);
                self.insert_ready(index, job, rank);
            }
            self.seat(index, now);
        }
    }

    /// The turn of one lane, which was in the ring of `seated`: its first ticket, if it may start; the lane then waits
    /// for its next turn.
    fn take_turn(
        &mut self,
        index: LaneIndex,
        seated: Standing,
        worker: &WorkerId,
        now: Now,
    ) -> Result<Option<Lease>, QueueError> {
        let silence_max = self.limits.silence;
        let Some(lane) = self.lanes.get_mut(index as usize).and_then(Option::as_mut) else { return Ok(None) };
        lane.in_ring = false;
        let first = lane.ready.first().filter(|_| lane.starts_at_ms().is_some_and(|at| at <= now.ms()));
        let Some((rank, job)) = first else {
            self.seat(index, now);
            return Ok(None);
        };
        // It gets its seat back with the next answer.
        let Some(standing) = lane.gauge.standing_at_start(lane.in_flight, silence_max, now.unix()) else {
            return Ok(None);
        };
        if standing != seated {
            lane.in_ring = true;
            self.rings.push(standing, lane.key.tenant, index);
            return Ok(None);
        }
        let slot = match self.journal.as_mut().map(|journal| journal.write(job)).transpose() {
            Ok(slot) => slot,
            Err(error) => {
                self.seat(index, now);
                return Err(error.into());
            }
        };
        lane.ready.pop_first();
        lane.gauge = lane.gauge.called(lane.in_flight, now.unix());
        lane.in_flight += 1;
        if let Some(rate) = lane.settings.rate_per_second {
            lane.rate = lane.rate.spend(rate, now.0);
        }
        let key = lane.key.clone();
        self.serial += 1;
        let fence = self.serial;
        let leased = Leased { lane: index, fence, rank, worker: worker.clone(), slot };
        self.tickets.insert(job, Place::Leased(Box::new(leased)));
        self.workers.hold(worker, job);
        self.seat(index, now);
        Ok(Some(Lease { job, lane: key, fence, standing }))
    }

    pub(super) fn settle(&mut self, verdict: &Verdict, now: Now) -> Settled {
        let job = verdict.lease.job;
        let current = match self.tickets.get(&job) {
            Some(Place::Leased(leased)) if leased.fence == verdict.lease.fence => Some(leased.lane),
            _ => None,
        };
        let Some(index) = current else { return Settled::Stale };
        let Some(rank) = self.end_lease(job) else { return Settled::Stale };
        let Some(lane) = self.lane(index) else { return Settled::Stale };
        lane.gauge = lane.gauge.after(verdict.health, verdict.took, &lane.settings, now.unix());
        match &verdict.next {
            Next::Done => {
                self.tickets.remove(&job);
            }
            // Whether the lane is ordered is not known: the job waits in SQL for the sweep, which tells the lane first.
            Next::Release | Next::InTurn { .. } | Next::Later { .. } if !lane.told => {
                self.tickets.remove(&job);
            }
            Next::Release => self.insert_ready(index, job, Rank::front(rank.order())),
            Next::InTurn { order, priority } => self.insert_ready(index, job, Rank::new(*priority, *order)),
            Next::Later { delay, order, .. } if lane.settings.ordered => {
                let delay_ms = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
                lane.hold_until_ms = now.ms().saturating_add(delay_ms).min(super::DUE_MS_MAX);
                self.insert_ready(index, job, Rank::front(*order));
            }
            Next::Later { delay, order, priority } => {
                self.insert(index, job, *priority, *order, now, delay.as_millis());
            }
        }
        self.seat(index, now);
        Settled::Applied
    }

    /// Puts a ticket where its worker says that it is: in its hands, unless another worker leased it meanwhile.
    pub(super) fn reassert(&mut self, worker: &WorkerId, lease: &Lease, now: Now) -> bool {
        let lease_ms = i64::try_from(self.limits.lease.as_millis()).unwrap_or(i64::MAX);
        self.workers.seen(worker, now, lease_ms);
        let job = lease.job;
        let place = self.tickets.get(&job).cloned();
        let index = self.index(&lease.lane);
        let Some(lane) = self.lane(index) else { return false };
        let rank = match place {
            Some(Place::Leased(leased)) if leased.fence > lease.fence => return false,
            Some(Place::Leased(_)) => {
                self.own(job, worker, lease.fence);
                return true;
            }
            Some(Place::Ready { rank, .. }) => {
                lane.ready.remove((rank, job));
                rank
            }
            Some(Place::Delayed { due_ms, below_max, .. }) => {
                lane.delayed.remove(&(due_ms, below_max, job));
                Rank::new(Priority::MAX, now.unix())
            }
            None => Rank::new(Priority::MAX, now.unix()),
        };
        lane.in_flight += 1;
        let slot = self.journal.as_mut().and_then(|journal| journal.write(job).ok());
        let leased = Leased { lane: index, fence: lease.fence, rank, worker: worker.clone(), slot };
        self.tickets.insert(job, Place::Leased(Box::new(leased)));
        self.workers.hold(worker, job);
        self.seat(index, now);
        true
    }

    /// Makes a lease another worker's.
    fn own(&mut self, job: Id<Job>, to: &WorkerId, of: u64) -> Option<LaneIndex> {
        let Place::Leased(leased) = self.tickets.get_mut(&job)? else { return None };
        leased.fence = of;
        let before = std::mem::replace(&mut leased.worker, to.clone());
        let index = leased.lane;
        self.workers.let_go(&before, job);
        self.workers.hold(to, job);
        Some(index)
    }

    /// Takes a leased ticket from its worker. It is nowhere then: its caller puts it somewhere.
    fn end_lease(&mut self, job: Id<Job>) -> Option<Rank> {
        let Place::Leased(leased) = self.tickets.get(&job)? else { return None };
        let (index, rank, slot) = (leased.lane, leased.rank, leased.slot);
        self.workers.let_go(&leased.worker, job);
        if let (Some(journal), Some(slot)) = (self.journal.as_mut(), slot) {
            journal.clear(slot);
        }
        let lane = self.lane(index)?;
        lane.in_flight = lane.in_flight.saturating_sub(1);
        Some(rank)
    }

    /// Leases to `worker` what vanished workers held.
    pub(super) fn expire(&mut self, worker: &WorkerId, now: Now) -> Vec<LostLease> {
        let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self.workers.seen(worker, now, ms(self.limits.lease));
        let mut lost = Vec::new();
        for vanished in self.workers.expired(now, ms(self.limits.patience())) {
            for job in self.workers.remove(&vanished) {
                lost.extend(self.hand_on(job, worker).map(|lease| LostLease { lease, vanished: vanished.clone() }));
            }
        }
        lost
    }

    fn hand_on(&mut self, job: Id<Job>, to: &WorkerId) -> Option<Lease> {
        let next = self.next_serial();
        let index = self.own(job, to, next)?;
        Some(Lease { job, lane: self.lane(index)?.key.clone(), fence: next, standing: Standing::Failing })
    }

    /// Forgets a worker; what it held goes to the front.
    pub(super) fn take_back(&mut self, worker: &WorkerId, now: Now) {
        for job in self.workers.remove(worker) {
            let Some(index) = self.tickets.get(&job).map(Place::lane) else { continue };
            if let Some(rank) = self.end_lease(job) {
                self.insert_ready(index, job, Rank::front(rank.order()));
                self.seat(index, now);
            }
        }
    }
}
