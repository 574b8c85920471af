//! Queues of a test's own, and short ways to say what a test means.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use postrider_core::{
    domain::{
        Id, UnixMs,
        job::{Job, Priority},
        lane::{LIMIT_START, LaneKey, LaneSettings, SILENCE_MAX},
        tenant::Tenant,
    },
    queue::{
        EmbeddedOptions, Health, LaneView, Lease, Next, Offered, Queue, QueueError, QueueLimits, RedisOptions, Room,
        Settled, Ticket, Verdict, WorkerId,
    },
};

use crate::harness::shared_cluster;

pub(crate) const NORMAL: QueueLimits =
    QueueLimits { lease: Duration::from_secs(15), window: 1_000_000, silence: SILENCE_MAX };
pub(crate) const SMALL: QueueLimits = QueueLimits { window: 10, ..NORMAL };
pub(crate) const BRIEF: QueueLimits = QueueLimits { lease: Duration::from_millis(150), ..NORMAL };
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) async fn embedded(limits: QueueLimits) -> Queue {
    Queue::embedded(EmbeddedOptions { limits, journal: None }).unwrap()
}

pub(crate) fn redis_options(limits: QueueLimits) -> RedisOptions {
    let url = std::env::var("POSTRIDER_TEST_REDIS_URL").expect("POSTRIDER_TEST_REDIS_URL: run the tests by tests/run");
    options_at(&url, limits)
}

/// A queue of the test's own at an address.
pub(crate) fn options_at(url: &str, limits: QueueLimits) -> RedisOptions {
    let prefix = format!("test-{}", uuid::Uuid::now_v7().simple());
    RedisOptions { limits, prefix, ..RedisOptions::new(url.parse().unwrap()) }
}

pub(crate) async fn redis(limits: QueueLimits) -> Queue {
    Queue::redis(redis_options(limits)).unwrap()
}

/// On the cluster that tests share, over several shards.
pub(crate) async fn cluster(limits: QueueLimits) -> Queue {
    Queue::redis(options_at(&shared_cluster().await, limits)).unwrap()
}

pub(crate) fn worker() -> WorkerId {
    WorkerId::new("test")
}

pub(crate) fn lane_of(tenant: Id<Tenant>, name: &str) -> LaneKey {
    LaneKey { tenant, name: name.parse().unwrap() }
}

pub(crate) fn lane(name: &str) -> LaneKey {
    lane_of(Id::new(), name)
}

/// A ticket that is due, in the order in which tickets are made.
pub(crate) fn ticket(lane: &LaneKey) -> Ticket {
    Ticket {
        job: Id::new(),
        lane: lane.clone(),
        priority: Priority::default(),
        order: UnixMs(1_000),
        delay: Duration::ZERO,
        leads: false,
    }
}

pub(crate) fn tickets(lane: &LaneKey, count: usize) -> Vec<Ticket> {
    (0..count).map(|_| ticket(lane)).collect()
}

pub(crate) fn delayed(lane: &LaneKey, delay: Duration) -> Ticket {
    Ticket { delay, ..ticket(lane) }
}

pub(crate) fn wide() -> LaneSettings {
    LaneSettings { concurrency_max: Some(1_000_000), ..LaneSettings::default() }
}

pub(crate) fn ordered() -> LaneSettings {
    LaneSettings { ordered: true, ..LaneSettings::default() }
}

pub(crate) fn jobs(leases: &[Lease]) -> Vec<Id<Job>> {
    leases.iter().map(|lease| lease.job).collect()
}

pub(crate) fn verdict(lease: &Lease, health: Health, next: Next) -> Verdict {
    Verdict { lease: lease.clone(), health, took: Duration::ZERO, next }
}

pub(crate) fn later(delay: Duration) -> Next {
    Next::Later { delay, order: UnixMs(2_000), priority: Priority::default() }
}

/// Sets what holds for a lane that nothing waits for in SQL.
pub(crate) async fn tell(queue: &Queue, lane: &LaneKey, settings: &LaneSettings) {
    if let Some(generation) = queue.lane(lane, settings).await.unwrap() {
        assert!(queue.unspill(lane, generation).await.unwrap());
    }
}

/// Refills with what is read from SQL now.
pub(crate) async fn refill(queue: &Queue, tickets: &[Ticket]) -> Result<Vec<Offered>, QueueError> {
    queue.refill(tickets, &queue.epoch().await?).await
}

/// Offers tickets that must be taken. Lanes that nobody told the queue of have the defaults.
pub(crate) async fn take(queue: &Queue, tickets: &[Ticket]) {
    let mut offered = queue.offer(tickets).await.unwrap();
    if offered.contains(&Offered::Unknown) {
        let unknown = |at: &usize| offered[*at] == Offered::Unknown;
        let again: Vec<Ticket> = (0..tickets.len()).filter(unknown).map(|at| tickets[at].clone()).collect();
        let lanes: HashSet<&LaneKey> = again.iter().map(|ticket| &ticket.lane).collect();
        for lane in lanes {
            queue.lane(lane, &LaneSettings::default()).await.unwrap();
        }
        offered.retain(|offered| *offered != Offered::Unknown);
        offered.extend(queue.offer(&again).await.unwrap());
    }
    assert!(offered.iter().all(|offered| *offered == Offered::Taken), "{offered:?}");
}

/// Claims as whoever has room for all.
pub(crate) async fn claim(queue: &Queue, worker: &WorkerId, count: usize) -> Vec<Lease> {
    queue.claim(worker, Room::whole(count)).await.unwrap().leases
}

/// Lets a lane's receiver answer well until it gets `limit` calls at once.
pub(crate) async fn grow(queue: &Queue, lane: &LaneKey, limit: u32) {
    let worker = worker();
    for _ in LIMIT_START..limit {
        take(queue, &tickets(lane, 1)).await;
        let leases = claim_soon(queue, &worker, 1).await;
        done(queue, &leases).await;
    }
    queue.retire(&worker).await.unwrap();
}

pub(crate) async fn settle(queue: &Queue, lease: &Lease, health: Health, next: Next) {
    assert_eq!(queue.settle(&[verdict(lease, health, next)]).await.unwrap(), [Settled::Applied]);
}

pub(crate) async fn done(queue: &Queue, leases: &[Lease]) {
    let verdicts: Vec<Verdict> = leases.iter().map(|lease| verdict(lease, Health::Good, Next::Done)).collect();
    let settled = queue.settle(&verdicts).await.unwrap();
    assert!(settled.iter().all(|settled| *settled == Settled::Applied), "{settled:?}");
}

pub(crate) async fn none_is_due(queue: &Queue) {
    assert_eq!(claim(queue, &worker(), 10).await, []);
}

/// Claims until `count` leases came, which must happen soon.
pub(crate) async fn claim_soon(queue: &Queue, worker: &WorkerId, count: usize) -> Vec<Lease> {
    let until = Instant::now() + PATIENCE;
    let mut leases = Vec::new();
    while leases.len() < count {
        assert!(Instant::now() < until, "{} of {count} leases came", leases.len());
        leases.extend(claim(queue, worker, count - leases.len()).await);
        if leases.len() < count {
            queue.wait(Duration::from_millis(20)).await;
        }
    }
    leases
}

pub(crate) async fn view_of(queue: &Queue, key: &LaneKey) -> LaneView {
    let view = queue.view(10_000).await.unwrap();
    view.lanes.into_iter().find(|lane| lane.key == *key).unwrap()
}
