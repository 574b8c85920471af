//! One lane's tickets and what decides whether the next of them may start. Knows no other lane and no clock.

use std::collections::BTreeSet;

use super::ready::Ready;
use crate::{
    domain::{
        Id, UnixMs,
        job::{Job, Priority},
        lane::{Gauge, LaneKey, LaneSettings},
        rate::RateMark,
    },
    queue::{LaneView, rank::Rank},
};

/// A delayed ticket: due time in ms, then the priority (as 9 − priority), then the job.
pub(super) type Delayed = (i64, u8, Id<Job>);

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) key: LaneKey,
    pub(super) settings: LaneSettings,
    /// Somebody said what the settings are.
    pub(super) told: bool,
    pub(super) gauge: Gauge,
    pub(super) rate: RateMark,
    /// An ordered lane whose first ticket failed waits until then.
    pub(super) hold_until_ms: i64,
    pub(super) ready: Ready,
    pub(super) delayed: BTreeSet<Delayed>,
    pub(super) in_flight: u64,
    pub(super) spilled: bool,
    pub(super) generation: u64,
    pub(super) in_ring: bool,
    /// Under which time it stands among the lanes that wait for one.
    pub(super) wake_ms: Option<i64>,
    /// Since when it has no ticket.
    pub(super) empty_since_ms: i64,
    pub(super) in_idle: bool,
    /// What `State` last counted.
    pub(super) counted_depth: u64,
}

impl Lane {
    pub(super) fn new(key: LaneKey) -> Self {
        Self {
            key,
            settings: LaneSettings::default(),
            told: false,
            gauge: Gauge::default(),
            rate: RateMark::default(),
            hold_until_ms: 0,
            ready: Ready::default(),
            delayed: BTreeSet::new(),
            in_flight: 0,
            spilled: false,
            generation: 0,
            in_ring: false,
            wake_ms: None,
            empty_since_ms: 0,
            in_idle: false,
            counted_depth: 0,
        }
    }

    pub(super) fn depth(&self) -> u64 {
        (self.ready.len() + self.delayed.len()) as u64 + self.in_flight
    }

    /// When the first ready ticket may start; `None` when something other than time must happen first.
    pub(super) fn starts_at_ms(&self) -> Option<i64> {
        let in_flight_max = u64::from(self.gauge.in_flight_max(&self.settings));
        if self.ready.is_empty() || self.settings.paused || self.in_flight >= in_flight_max {
            return None;
        }
        let by_rate = self.settings.rate_per_second.map_or(0, |rate| (self.rate.lane_next_us(rate) + 999) / 1000);
        Some(self.hold_until_ms.max(self.gauge.rests_until().0).max(by_rate))
    }

    /// When the lane must be looked at again, given that its next start is at `starts_at_ms`.
    pub(super) fn wake_at_ms(&self, starts_at_ms: Option<i64>, now_ms: i64) -> Option<i64> {
        let due = self.delayed.first().map(|&(due_ms, ..)| due_ms.max(now_ms));
        let starts = starts_at_ms.filter(|&at| at > now_ms);
        due.into_iter().chain(starts).min()
    }

    /// Where a ticket stands that has waited until `due_ms`.
    pub(super) fn rank_when_due((due_ms, below_max, job): Delayed) -> (Rank, Id<Job>) {
        let priority = Priority::try_from(Priority::MAX.get() - below_max).unwrap_or_default();
        (Rank::new(priority, UnixMs(due_ms)), job)
    }

    pub(super) fn apply(&mut self, settings: &LaneSettings) {
        if self.settings.ordered && !settings.ordered {
            self.hold_until_ms = 0;
        }
        self.settings = settings.clone();
        self.told = true;
    }

    /// Whether anything but the settings, which callers repeat, would be lost with it.
    pub(super) fn may_be_forgotten(&self) -> bool {
        self.depth() == 0 && !self.in_ring && !self.spilled && !self.settings.paused
    }

    pub(super) fn view(&self) -> LaneView {
        LaneView {
            key: self.key.clone(),
            ready: self.ready.len() as u64,
            delayed: self.delayed.len() as u64,
            in_flight: self.in_flight,
            limit: self.gauge.in_flight_max(&self.settings),
            breaker: self.gauge.breaker,
            paused: self.settings.paused,
            spilled: self.spilled,
            seat: self.in_ring.then(|| self.gauge.standing()),
            oldest: self.oldest(),
            settings: self.settings.clone(),
        }
    }

    /// The first of each priority is the oldest of it.
    fn oldest(&self) -> Option<UnixMs> {
        let fronts = self.ready.first().filter(|(rank, _)| rank.is_front());
        let firsts = (0..=Priority::MAX.get()).filter_map(|level| {
            let priority = Priority::try_from(level).ok()?;
            let (low, high) = (Rank::new(priority, UnixMs(0)), Rank::new(priority, UnixMs(i64::MAX)));
            self.ready.first_from(low).filter(|(rank, _)| *rank < high)
        });
        fronts.into_iter().chain(firsts).map(|(rank, _)| rank.order()).min()
    }
}
