//! The scheduler against a model that is too simple to be wrong: lists that are searched from end to end. What is claimed
//! must be what the model says is next in its lane, and nothing may be left that the model would start.

use std::time::Duration;

use proptest::prelude::*;

use super::state::{Now, State};
use crate::{
    domain::{
        Id, UnixMs,
        job::{Job, Priority},
        lane::{Gauge, Health, LaneKey, LaneSettings, SILENCE_MAX, Standing},
    },
    queue::{Lease, Next, Offered, QueueLimits, Room, Settled, Ticket, Verdict, WorkerId, rank::Rank},
};

const LANES: usize = 5;
const TENANTS: usize = 2;

/// What is done with both.
#[derive(Clone, Copy, Debug)]
enum Step {
    Offer { lane: usize, priority: u8, order: i64, delay_ms: u64 },
    Claim { count: usize },
    Settle { which: usize, health: Health, took_ms: u64, end: End },
    Cancel { which: usize },
    Pause { lane: usize, paused: bool },
    Set { lane: usize, concurrency_max: Option<u32>, ordered: bool },
    Pass { ms: i64 },
}

#[derive(Clone, Copy, Debug)]
enum End {
    Done,
    Later { delay_ms: u64, order: i64 },
    Release,
}

fn step() -> impl Strategy<Value = Step> {
    let health = prop_oneof![3 => Just(Health::Good), 2 => Just(Health::Bad), 1 => Just(Health::Neutral)];
    let delay_ms = || prop_oneof![Just(0), 1..3_000_u64];
    let end = prop_oneof![
        3 => Just(End::Done),
        2 => (delay_ms(), 0..50_i64).prop_map(|(delay_ms, order)| End::Later { delay_ms, order }),
        1 => Just(End::Release),
    ];
    prop_oneof![
        6 => (0..LANES, 0..=9_u8, 0..50_i64, delay_ms())
            .prop_map(|(lane, priority, order, delay_ms)| Step::Offer { lane, priority, order, delay_ms }),
        6 => (1..8_usize).prop_map(|count| Step::Claim { count }),
        6 => (any::<prop::sample::Index>(), health, 0..2_000_u64, end)
            .prop_map(|(which, health, took_ms, end)| Step::Settle { which: which.index(1_000), health, took_ms, end }),
        1 => any::<prop::sample::Index>().prop_map(|which| Step::Cancel { which: which.index(1_000) }),
        1 => (0..LANES, any::<bool>()).prop_map(|(lane, paused)| Step::Pause { lane, paused }),
        1 => (0..LANES, prop::option::of(0..6_u32), any::<bool>())
            .prop_map(|(lane, concurrency_max, ordered)| Step::Set { lane, concurrency_max, ordered }),
        3 => (0..2_500_i64).prop_map(|ms| Step::Pass { ms }),
    ]
}

/// A lane as a list of what waits, in no order.
struct Lane {
    key: LaneKey,
    settings: LaneSettings,
    gauge: Gauge,
    in_flight: u64,
    hold_until_ms: i64,
    /// Where it stands once it is due, when that is, and the job.
    waiting: Vec<(Rank, i64, Id<Job>)>,
}

impl Lane {
    /// What has to start next, if anything may start now.
    fn next(&self, now: Now) -> Option<(Rank, Id<Job>, Standing)> {
        let held = self.hold_until_ms.max(self.gauge.rests_until().0) > now.ms();
        let full = self.in_flight >= u64::from(self.gauge.in_flight_max(&self.settings));
        if self.settings.paused || held || full {
            return None;
        }
        let due = self.waiting.iter().filter(|(_, due_ms, _)| *due_ms <= now.ms());
        let (rank, job) = due.map(|(rank, _, job)| (*rank, *job)).min()?;
        let standing = self.gauge.standing_at_start(self.in_flight, SILENCE_MAX, now.unix())?;
        Some((rank, job, standing))
    }

    fn put(&mut self, job: Id<Job>, priority: Priority, order: i64, delay_ms: u64, now: Now) {
        let due_ms = now.ms() + i64::try_from(delay_ms).unwrap();
        let stands_at = if delay_ms == 0 { order } else { due_ms };
        self.waiting.push((Rank::new(priority, UnixMs(stands_at)), due_ms, job));
    }
}

/// The scheduler and its model.
struct Pair {
    state: State,
    lanes: Vec<Lane>,
    leased: Vec<(Lease, Rank)>,
    worker: WorkerId,
    now: Now,
}

impl Pair {
    fn new() -> Self {
        let now = Now(1_000_000_000);
        let tenants: Vec<_> = (0..TENANTS).map(|_| Id::new()).collect();
        let mut state = State::new(QueueLimits::default(), None, now);
        let lane = |n: usize| {
            let key = LaneKey { tenant: tenants[n % TENANTS], name: format!("lane-{n}").parse().unwrap() };
            let (settings, gauge) = (LaneSettings::default(), Gauge::default());
            assert_eq!(state.apply(&key, &settings, now), None);
            Lane { key, settings, gauge, in_flight: 0, hold_until_ms: 0, waiting: Vec::new() }
        };
        let lanes = (0..LANES).map(lane).collect();
        Self { state, lanes, leased: Vec::new(), worker: WorkerId::new("model"), now }
    }

    fn take(&mut self, step: Step) {
        let now = self.now;
        match step {
            Step::Offer { lane, priority, order, delay_ms } => self.offer(lane, priority, order, delay_ms),
            Step::Claim { count } => self.claim(count),
            Step::Settle { which, health, took_ms, end } => self.settle(which, health, took_ms, end),
            Step::Cancel { which } => self.cancel(which),
            Step::Pause { lane, paused } => {
                self.lanes[lane].settings.paused = paused;
                self.state.set_paused(&self.lanes[lane].key, paused, now);
            }
            Step::Set { lane, concurrency_max, ordered } => {
                let lane = &mut self.lanes[lane];
                if lane.settings.ordered && !ordered {
                    lane.hold_until_ms = 0;
                }
                lane.settings = LaneSettings { concurrency_max, ordered, ..lane.settings.clone() };
                assert_eq!(self.state.apply(&lane.key, &lane.settings, now), None);
            }
            Step::Pass { ms } => self.now = Now(now.0 + ms * 1_000),
        }
    }

    fn offer(&mut self, lane: usize, priority: u8, order: i64, delay_ms: u64) {
        let (lane, now) = (&mut self.lanes[lane], self.now);
        let priority = Priority::try_from(priority).unwrap();
        let (job, delay) = (Id::new(), Duration::from_millis(delay_ms));
        let ticket = Ticket { job, lane: lane.key.clone(), priority, order: UnixMs(order), delay, leads: false };
        assert_eq!(self.state.offer(&ticket, false, now), Offered::Taken);
        assert_eq!(self.state.offer(&ticket, false, now), Offered::Held);
        lane.put(job, priority, order, delay_ms, now);
    }

    fn claim(&mut self, count: usize) {
        let now = self.now;
        let claimed = self.state.claim(&self.worker, Room::whole(count), now).unwrap().leases;
        assert!(claimed.len() <= count);
        for lease in &claimed {
            let lane = self.lanes.iter_mut().find(|lane| lane.key == lease.lane).unwrap();
            let (rank, job, standing) = lane.next(now).expect("something of this lane may start");
            assert_eq!((lease.job, lease.standing), (job, standing));
            lane.waiting.retain(|(.., waiting)| *waiting != job);
            lane.gauge = lane.gauge.called(lane.in_flight, now.unix());
            lane.in_flight += 1;
            self.leased.push((lease.clone(), rank));
        }
        if claimed.len() < count {
            let left = self.lanes.iter().find_map(|lane| lane.next(now));
            assert_eq!(left, None, "something may start, there is room, and it was not claimed");
        }
    }

    fn settle(&mut self, which: usize, health: Health, took_ms: u64, end: End) {
        if self.leased.is_empty() {
            return;
        }
        let (lease, rank) = self.leased.swap_remove(which % self.leased.len());
        let (now, took, job) = (self.now, Duration::from_millis(took_ms), lease.job);
        let priority = Priority::default();
        let next = match end {
            End::Done => Next::Done,
            End::Release => Next::Release,
            End::Later { delay_ms, order } => {
                Next::Later { delay: Duration::from_millis(delay_ms), order: UnixMs(order), priority }
            }
        };
        let verdict = Verdict { lease: lease.clone(), health, took, next };
        assert_eq!(self.state.settle(&verdict, now), Settled::Applied);
        assert_eq!(self.state.settle(&verdict, now), Settled::Stale);
        let lane = self.lanes.iter_mut().find(|lane| lane.key == lease.lane).unwrap();
        lane.in_flight -= 1;
        lane.gauge = lane.gauge.after(health, took, &lane.settings, now.unix());
        match end {
            End::Done => {}
            End::Release => lane.waiting.push((Rank::front(rank.order()), 0, job)),
            End::Later { delay_ms, order } if lane.settings.ordered => {
                lane.hold_until_ms = now.ms() + i64::try_from(delay_ms).unwrap();
                lane.waiting.push((Rank::front(UnixMs(order)), 0, job));
            }
            End::Later { delay_ms, order } => lane.put(job, priority, order, delay_ms, now),
        }
    }

    fn cancel(&mut self, which: usize) {
        let waiting = self.lanes.iter().enumerate().flat_map(|(n, lane)| lane.waiting.iter().map(move |one| (n, *one)));
        let waiting: Vec<_> = waiting.collect();
        if let Some((n, (rank, _, job))) = waiting.get(which % waiting.len().max(1)).copied() {
            let lane = &mut self.lanes[n];
            if rank.is_front() {
                lane.hold_until_ms = 0;
            }
            lane.waiting.retain(|(.., waiting)| *waiting != job);
            assert!(self.state.cancel(&lane.key, job, self.now));
        }
        if let Some((lease, _)) = self.leased.first() {
            assert!(!self.state.cancel(&lease.lane, lease.job, self.now), "what runs has no ticket to take away");
        }
    }

    /// Everything that was ever offered and neither done nor cancelled is claimed once nothing stands in its way.
    fn drain(&mut self) {
        for lane in 0..LANES {
            self.take(Step::Pause { lane, paused: false });
            self.take(Step::Set { lane, concurrency_max: Some(5), ordered: lane % 2 == 0 });
        }
        let mut rounds = 0;
        while !self.leased.is_empty() || self.lanes.iter().any(|lane| !lane.waiting.is_empty()) {
            self.claim(50);
            while !self.leased.is_empty() {
                self.settle(0, Health::Good, 1, End::Done);
            }
            self.take(Step::Pass { ms: 5_000 });
            rounds += 1;
            assert!(rounds < 1_000, "something is never claimed");
        }
        assert_eq!(self.state.view(1).totals.tickets, 0);
    }
}

proptest! {
    #[test]
    fn the_scheduler_does_as_its_model_says(steps in prop::collection::vec(step(), 1..200)) {
        let mut pair = Pair::new();
        for step in steps {
            pair.take(step);
            let tickets: usize = pair.lanes.iter().map(|lane| lane.waiting.len()).sum();
            assert_eq!(pair.state.view(1).totals.tickets, (tickets + pair.leased.len()) as u64);
        }
        pair.drain();
    }
}
