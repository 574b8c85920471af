//! All lanes of one process and every ticket in them. Pure but for the journal: the time is an argument.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::{
    journal::{Journal, Slot},
    lane::Lane,
    ring::{LaneIndex, Rings},
    tickets::Tickets,
    workers::Workers,
};
use crate::{
    domain::{
        Id, UnixMs,
        job::{Job, Priority},
        lane::LaneKey,
    },
    queue::{Offered, QueueLimits, Ticket, WorkerId, rank::Rank},
};

/// A lane without tickets is forgotten after this long.
const IDLE_MS: i64 = 3_600_000;
/// Idle lanes looked at in one claim.
const IDLE_BATCH: usize = 4;

/// A point in time on the queue's clock, in microseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now(pub(super) i64);

impl Now {
    pub(super) const fn ms(self) -> i64 {
        self.0 / 1000
    }

    pub(super) const fn unix(self) -> UnixMs {
        UnixMs(self.ms())
    }
}

/// Where a ticket is. A backlog has a million of them, so this is 16 bytes, and the few that are leased keep what they
/// need elsewhere.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Ready { lane: LaneIndex, rank: Rank },
    Delayed { lane: LaneIndex, due_ms: i64, below_max: u8 },
    Leased(Box<Leased>),
}

#[derive(Clone, Debug)]
pub(super) struct Leased {
    pub(super) lane: LaneIndex,
    pub(super) fence: u64,
    pub(super) rank: Rank,
    pub(super) worker: WorkerId,
    pub(super) slot: Option<Slot>,
}

impl Place {
    pub(super) const fn lane(&self) -> LaneIndex {
        match self {
            Self::Ready { lane, .. } | Self::Delayed { lane, .. } => *lane,
            Self::Leased(leased) => leased.lane,
        }
    }
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) limits: QueueLimits,
    pub(super) tickets: Tickets,
    pub(super) lanes: Vec<Option<Lane>>,
    free: Vec<LaneIndex>,
    by_key: HashMap<LaneKey, LaneIndex>,
    pub(super) rings: Rings,
    /// Lanes that wait for a time.
    pub(super) due: BTreeSet<(i64, LaneIndex)>,
    idle: VecDeque<LaneIndex>,
    pub(super) by_depth: BTreeSet<(u64, LaneIndex)>,
    pub(super) spilled: BTreeSet<LaneIndex>,
    pub(super) workers: Workers,
    pub(super) journal: Option<Journal>,
    /// The last lease's fence, and the last spill's generation.
    pub(super) serial: u64,
    /// Something became claimable, or the time of the next look moved forward.
    pub(super) stirred: bool,
}

impl State {
    pub(super) fn new(limits: QueueLimits, journal: Option<Journal>, now: Now) -> Self {
        Self {
            limits,
            tickets: Tickets::default(),
            lanes: Vec::new(),
            free: Vec::new(),
            by_key: HashMap::new(),
            rings: Rings::default(),
            due: BTreeSet::new(),
            idle: VecDeque::new(),
            by_depth: BTreeSet::new(),
            spilled: BTreeSet::new(),
            workers: Workers::default(),
            journal,
            // Begins at the time, so that a fence from before a restart is never met again.
            serial: u64::try_from(now.0).unwrap_or_default(),
            stirred: false,
        }
    }

    pub(super) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub(super) fn find(&self, key: &LaneKey) -> Option<LaneIndex> {
        self.by_key.get(key).copied()
    }

    /// The lane of that name, made when it is not known.
    pub(super) fn index(&mut self, key: &LaneKey) -> LaneIndex {
        if let Some(&known) = self.by_key.get(key) {
            return known;
        }
        let lane = Some(Lane::new(key.clone()));
        let index = match self.free.pop() {
            Some(index) => {
                self.lanes[index as usize] = lane;
                index
            }
            None => {
                self.lanes.push(lane);
                // There is no memory for as many lanes as this could count.
                u32::try_from(self.lanes.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.by_key.insert(key.clone(), index);
        index
    }

    pub(super) fn lane(&mut self, index: LaneIndex) -> Option<&mut Lane> {
        self.lanes.get_mut(index as usize).and_then(Option::as_mut)
    }

    pub(super) fn offer(&mut self, ticket: &Ticket, refill: bool, now: Now) -> Offered {
        if self.tickets.contains_key(&ticket.job) {
            return Offered::Held;
        }
        let Some(index) = self.find(&ticket.lane) else { return Offered::Unknown };
        let window = self.limits.window;
        let Some(lane) = self.lane(index).filter(|lane| lane.told) else { return Offered::Unknown };
        let was_spilled = lane.spilled;
        if lane.depth() >= window || (was_spilled && !refill) {
            lane.spilled = true;
            // A refill is no news to whoever refills: only what was offered must be seen by `unspill`.
            if !refill || !was_spilled {
                let generation = self.next_serial();
                if let Some(lane) = self.lane(index) {
                    lane.generation = generation;
                }
            }
            self.spilled.insert(index);
            return Offered::Spilled;
        }
        if ticket.leads {
            if !ticket.delay.is_zero() {
                let delay_ms = i64::try_from(ticket.delay.as_millis()).unwrap_or(i64::MAX);
                lane.hold_until_ms = now.ms().saturating_add(delay_ms).min(super::DUE_MS_MAX);
            }
            self.insert_ready(index, ticket.job, Rank::front(ticket.order));
        } else {
            self.insert(index, ticket.job, ticket.priority, ticket.order, now, ticket.delay.as_millis());
        }
        self.seat(index, now);
        Offered::Taken
    }

    /// Puts a ticket among the ready ones, or the delayed ones when its delay is not zero.
    pub(super) fn insert(
        &mut self,
        index: LaneIndex,
        job: Id<Job>,
        priority: Priority,
        order: UnixMs,
        now: Now,
        delay_ms: u128,
    ) {
        if delay_ms == 0 {
            return self.insert_ready(index, job, Rank::new(priority, order));
        }
        let due_ms = now.ms().saturating_add(i64::try_from(delay_ms).unwrap_or(i64::MAX)).min(super::DUE_MS_MAX);
        let below_max = Priority::MAX.get() - priority.get();
        if let Some(lane) = self.lane(index) {
            lane.delayed.insert((due_ms, below_max, job));
        }
        self.tickets.insert(job, Place::Delayed { lane: index, due_ms, below_max });
    }

    pub(super) fn insert_ready(&mut self, index: LaneIndex, job: Id<Job>, rank: Rank) {
        if let Some(lane) = self.lane(index) {
            lane.ready.insert((rank, job));
        }
        self.tickets.insert(job, Place::Ready { lane: index, rank });
    }

    /// Puts a lane where its state says: in the ring, among those that wait for a time, or nowhere.
    pub(super) fn seat(&mut self, index: LaneIndex, now: Now) {
        let Some(lane) = self.lanes.get_mut(index as usize).and_then(Option::as_mut) else { return };
        let starts_at_ms = lane.starts_at_ms();
        if starts_at_ms.is_some_and(|at| at <= now.ms()) && !lane.in_ring {
            lane.in_ring = true;
            self.stirred = true;
            self.rings.push(lane.gauge.standing(), lane.key.tenant, index);
        }
        let wake_ms = lane.wake_at_ms(starts_at_ms, now.ms());
        if wake_ms != lane.wake_ms {
            if let Some(old_ms) = lane.wake_ms {
                self.due.remove(&(old_ms, index));
            }
            if let Some(wake_ms) = wake_ms {
                self.stirred |= self.due.first().is_none_or(|&(first_ms, _)| wake_ms < first_ms);
                self.due.insert((wake_ms, index));
            }
            lane.wake_ms = wake_ms;
        }
        let depth = lane.depth();
        if depth != lane.counted_depth {
            self.by_depth.remove(&(lane.counted_depth, index));
            if depth > 0 {
                self.by_depth.insert((depth, index));
            }
            lane.counted_depth = depth;
        }
        if depth == 0 {
            lane.empty_since_ms = now.ms();
            if !lane.in_idle {
                lane.in_idle = true;
                self.idle.push_back(index);
            }
        }
    }

    /// Forgets lanes that have been without tickets for long, a few at a time.
    pub(super) fn forget_idle(&mut self, now: Now) {
        for _ in 0..IDLE_BATCH {
            let Some(&index) = self.idle.front() else { return };
            let Some(lane) = self.lanes.get_mut(index as usize).and_then(Option::as_mut) else {
                self.idle.pop_front();
                continue;
            };
            if lane.depth() == 0 && lane.empty_since_ms + IDLE_MS > now.ms() {
                return;
            }
            self.idle.pop_front();
            lane.in_idle = false;
            if lane.may_be_forgotten() {
                self.by_key.remove(&lane.key);
                self.lanes[index as usize] = None;
                self.free.push(index);
            } else if lane.depth() == 0 {
                lane.in_idle = true;
                self.idle.push_back(index);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_that_waits_takes_few_bytes() {
        assert!(size_of::<(Id<Job>, Place)>() <= 32);
    }
}
