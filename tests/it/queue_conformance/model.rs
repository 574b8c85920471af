//! Random steps on both queues at once: every answer and every view must be the same.

use std::time::Duration;

use postrider_core::{
    domain::{
        Id, UnixMs,
        job::Priority,
        lane::{LaneKey, LaneSettings},
    },
    queue::{Breaker, Claimed, Health, LaneView, Lease, Next, Places, Queue, QueueLimits, Room, Ticket, WorkerId},
};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::setup::{HOUR, NORMAL, embedded, lane_of, redis, refill, ticket, verdict, worker};

const STEPS: usize = 1_500;
/// No receiver is silent for so long, so that the clocks make no difference.
const LIMITS: QueueLimits = QueueLimits { window: 12, silence: HOUR, ..NORMAL };

/// The two queues, and what the test knows of them.
struct Pair {
    queues: [Queue; 2],
    lanes: Vec<LaneKey>,
    worker: WorkerId,
    tickets: Vec<Ticket>,
    /// The same lease in both: their fences differ.
    leases: Vec<[Lease; 2]>,
    roll: StdRng,
}

#[tokio::test]
async fn both_queues_answer_the_same_to_random_steps() {
    for seed in [1, 2, 3] {
        let tenants = [Id::new(), Id::new(), Id::new()];
        let lanes = (0..7).map(|n| lane_of(tenants[n % 3], &format!("lane-{n}"))).collect();
        let mut pair = Pair {
            queues: [embedded(LIMITS).await, redis(LIMITS).await],
            lanes,
            worker: worker(),
            tickets: Vec::new(),
            leases: Vec::new(),
            roll: StdRng::seed_from_u64(seed),
        };
        for queue in &pair.queues {
            for lane in &pair.lanes {
                queue.lane(lane, &LaneSettings::default()).await.unwrap();
            }
        }
        for step in 0..STEPS {
            pair.step().await;
            pair.views_are_the_same(&format!("seed {seed}, step {step}")).await;
        }
    }
}

/// Asks both queues the same and takes one answer for both.
macro_rules! same {
    ($pair:expr, $queue:ident => $call:expr) => {{
        let [one, two] = &$pair.queues;
        let $queue = one;
        let first = $call.await.unwrap();
        let $queue = two;
        let second = $call.await.unwrap();
        assert_eq!(first, second);
        first
    }};
}

impl Pair {
    async fn step(&mut self) {
        let lane = self.lanes[self.roll.random_range(0..self.lanes.len())].clone();
        match self.roll.random_range(0..20) {
            0..5 => self.offer(&lane, false).await,
            5..6 => self.offer(&lane, true).await,
            6..10 => self.claim().await,
            10..15 => self.settle().await,
            15 => self.settings(&lane).await,
            16 => {
                let paused = self.roll.random_bool(0.3);
                if paused {
                    same!(self, queue => queue.pause(&lane));
                } else {
                    same!(self, queue => queue.resume(&lane));
                }
            }
            17 => self.touch().await,
            18 => self.unspill().await,
            // With more leases, either backend gives them back in an order of its own.
            _ if self.leases.len() < 2 => {
                same!(self, queue => queue.retire(&self.worker));
                self.leases.clear();
            }
            _ => {}
        }
    }

    fn some_ticket(&mut self) -> Option<Ticket> {
        if self.tickets.is_empty() {
            return None;
        }
        let at = self.roll.random_range(0..self.tickets.len());
        Some(self.tickets[at].clone())
    }

    async fn offer(&mut self, lane: &LaneKey, from_sql: bool) {
        let count = self.roll.random_range(1..5);
        let mut offered: Vec<Ticket> = (0..count)
            .map(|_| Ticket {
                priority: Priority::try_from(self.roll.random_range(0..10)).unwrap(),
                order: UnixMs(self.roll.random_range(0..50)),
                delay: if self.roll.random_bool(0.1) { HOUR } else { Duration::ZERO },
                ..ticket(lane)
            })
            .collect();
        offered.extend(self.some_ticket());
        if from_sql {
            same!(self, queue => refill(queue, &offered));
        } else {
            same!(self, queue => queue.offer(&offered));
        }
        self.tickets.extend(offered);
        let extra = self.tickets.len().saturating_sub(100);
        self.tickets.drain(..extra);
    }

    async fn claim(&mut self) {
        let count = self.roll.random_range(1..6);
        let [one, two] = &self.queues;
        let mut part = || self.roll.random_range(0..=count);
        let mut places = || Places { all: part(), unknown: part(), failing: part() };
        let tenants = vec![(self.lanes[0].tenant, places()), (self.lanes[1].tenant, places())];
        let all = Places { all: count, ..places() };
        let room = Room { all, tenant: places(), tenants };
        let room = match self.roll.random_range(0..4) {
            0 => room,
            1 => Room { tenants: Vec::new(), ..room },
            _ => Room::whole(count),
        };
        let first = one.claim(&self.worker, room.clone()).await.unwrap();
        let second = two.claim(&self.worker, room.clone()).await.unwrap();
        let names = |claimed: &Claimed| {
            let name = |lease: &Lease| (lease.job, lease.lane.clone(), lease.standing);
            (claimed.rest, claimed.leases.iter().map(name).collect::<Vec<_>>())
        };
        assert_eq!(names(&first), names(&second), "{room:?}");
        self.leases.extend(first.leases.into_iter().zip(second.leases).map(|(first, second)| [first, second]));
    }

    async fn settle(&mut self) {
        if self.leases.is_empty() {
            return;
        }
        let leases = self.leases.swap_remove(self.roll.random_range(0..self.leases.len()));
        let health = [Health::Good, Health::Bad, Health::Bad, Health::Neutral][self.roll.random_range(0..4)];
        let next = match self.roll.random_range(0..7) {
            0..3 => Next::Done,
            3 => Next::Release,
            4 => Next::InTurn { order: UnixMs(self.roll.random_range(0..50)), priority: Priority::default() },
            _ => Next::Later {
                delay: if self.roll.random_bool(0.2) { HOUR } else { Duration::ZERO },
                order: UnixMs(self.roll.random_range(0..50)),
                priority: Priority::default(),
            },
        };
        let stale = self.roll.random_bool(0.1);
        let verdicts = leases.map(|lease| {
            let fence = if stale { lease.fence - 1 } else { lease.fence };
            verdict(&Lease { fence, ..lease }, health, next.clone())
        });
        let [one, two] = &self.queues;
        let first = one.settle(&verdicts[..1]).await.unwrap();
        assert_eq!(first, two.settle(&verdicts[1..]).await.unwrap());
        if health == Health::Bad {
            // A rest of the breaker is over in both before another begins, so that lanes wake in one order.
            tokio::time::sleep(Duration::from_millis(7)).await;
            let view = self.queues[0].view(100).await.unwrap();
            for lane in view.lanes.iter().filter(|lane| lane.key == verdicts[0].lease.lane) {
                same!(self, queue => queue.lane(&lane.key, &lane.settings));
            }
        }
        if stale {
            let current = verdicts.map(|verdict| Lease { fence: verdict.lease.fence + 1, ..verdict.lease });
            self.leases.push(current);
        }
    }

    async fn settings(&mut self, lane: &LaneKey) {
        let settings = LaneSettings {
            concurrency_max: self.roll.random_bool(0.8).then(|| self.roll.random_range(0..12)),
            rate_per_second: None,
            ordered: self.roll.random_bool(0.3),
            paused: self.roll.random_bool(0.1),
        };
        same!(self, queue => queue.lane(lane, &settings));
    }

    async fn touch(&mut self) {
        let Some(ticket) = self.some_ticket() else { return };
        if self.roll.random_bool(0.5) {
            same!(self, queue => queue.cancel(&ticket.lane, ticket.job));
        } else {
            // Both stand at their own clock's time from then on, which may differ; an hour's wait ends in neither.
            same!(self, queue => queue.held(&[(ticket.lane.clone(), ticket.job)]));
        }
    }

    async fn unspill(&mut self) {
        let [one, two] = &self.queues;
        if self.roll.random_bool(0.3) {
            let lane = &self.lanes[self.roll.random_range(0..self.lanes.len())];
            one.spill(lane).await.unwrap();
            two.spill(lane).await.unwrap();
        }
        let (first, second) = (one.spilled(3).await.unwrap(), two.spilled(3).await.unwrap());
        let lanes = |lanes: &[postrider_core::queue::SpilledLane]| {
            lanes.iter().map(|lane| (lane.key.clone(), lane.depth)).collect::<Vec<_>>()
        };
        assert_eq!(lanes(&first), lanes(&second));
        for (first, second) in first.iter().zip(&second) {
            assert!(one.unspill(&first.key, first.generation).await.unwrap());
            assert!(two.unspill(&second.key, second.generation).await.unwrap());
        }
    }

    async fn views_are_the_same(&self, when: &str) {
        let [one, two] = &self.queues;
        let (first, second) = (one.view(100).await.unwrap(), two.view(100).await.unwrap());
        assert_eq!(first.totals, second.totals, "{when}");
        assert_eq!(comparable(first.lanes), comparable(second.lanes), "{when}");
    }
}

/// Without what the clocks say.
fn comparable(mut lanes: Vec<LaneView>) -> Vec<LaneView> {
    for lane in &mut lanes {
        if let Breaker::Open { rest_until } = &mut lane.breaker {
            *rest_until = UnixMs(0);
        }
    }
    lanes.sort_by(|a, b| a.key.cmp(&b.key));
    lanes
}
