//! Numbers that broke others: many due delayed tickets, many lanes, and a server that goes away.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use postrider_core::{
    domain::lane::LaneSettings,
    queue::{EmbeddedOptions, Queue, RedisOptions, Rest, Room, Ticket},
};

use super::setup::{
    self, NORMAL, claim, claim_soon, delayed, done, grow, lane, redis_options, take, ticket, tickets, wide, worker,
};

super::on_both!(
    twenty_thousand_due_delayed_tickets_of_one_lane_all_run(NORMAL),
    a_thousand_lanes_with_backlogs_drain(NORMAL),
    a_rate_over_many_lanes_runs_all(NORMAL),
    a_claim_tells_whether_there_is_more(NORMAL),
);

/// Each with one job.
const LANES: usize = 200;

async fn drain(queue: &Queue, count: usize) {
    let worker = worker();
    let mut seen = HashSet::new();
    while seen.len() < count {
        let leases = claim_soon(queue, &worker, 1).await;
        let more = claim(queue, &worker, 199).await;
        for lease in leases.iter().chain(&more) {
            assert!(seen.insert(lease.job), "a job was leased twice");
        }
        done(queue, &leases).await;
        done(queue, &more).await;
    }
    assert_eq!(claim(queue, &worker, 10).await, []);
    let view = queue.view(10).await.unwrap();
    assert_eq!((view.totals.tickets, view.totals.lanes, view.totals.in_flight), (0, 0, 0));
}

async fn twenty_thousand_due_delayed_tickets_of_one_lane_all_run(queue: Queue) {
    let lane = lane("a");
    queue.lane(&lane, &wide()).await.unwrap();
    let all: Vec<Ticket> = (0..20_000).map(|_| delayed(&lane, Duration::from_millis(1))).collect();
    take(&queue, &all).await;
    drain(&queue, all.len()).await;
}

async fn a_thousand_lanes_with_backlogs_drain(queue: Queue) {
    let all: Vec<Ticket> = (0..1_000).flat_map(|n| tickets(&lane(&n.to_string()), 10)).collect();
    take(&queue, &all).await;
    drain(&queue, all.len()).await;
}

async fn a_rate_over_many_lanes_runs_all(queue: Queue) {
    let mut all = Vec::new();
    for n in 0..300 {
        let lane = lane(&n.to_string());
        queue.lane(&lane, &LaneSettings { rate_per_second: Some(5), ..wide() }).await.unwrap();
        all.extend(tickets(&lane, 6));
    }
    take(&queue, &all).await;
    drain(&queue, all.len()).await;
}

#[tokio::test]
async fn lanes_spread_over_shards_are_one_queue() {
    let queue = Queue::redis(RedisOptions { shards: 4, ..redis_options(NORMAL) }).unwrap();
    let all: Vec<Ticket> = (0..100).flat_map(|n| tickets(&lane(&n.to_string()), 20)).collect();
    take(&queue, &all).await;
    let view = queue.view(10).await.unwrap();
    assert_eq!((view.totals.tickets, view.totals.lanes, view.lanes.len()), (2_000, 100, 10));
    drain(&queue, all.len()).await;
}

#[tokio::test]
async fn an_idle_worker_on_redis_starts_an_offered_job_at_once() {
    let queue = setup::redis(NORMAL).await;
    let lane = lane("a");
    let (worker, mut fastest) = (worker(), Duration::MAX);
    for _ in 0..10 {
        assert_eq!(claim(&queue, &worker, 1).await, []);
        let waiting = tokio::spawn({
            let (queue, worker) = (queue.clone(), worker.clone());
            async move {
                let leases = claim_patiently(&queue, &worker).await;
                (leases, Instant::now())
            }
        });
        tokio::time::sleep(Duration::from_millis(5)).await;
        let offered = Instant::now();
        take(&queue, &tickets(&lane, 1)).await;
        let (leases, at) = waiting.await.unwrap();
        fastest = fastest.min(at - offered);
        done(&queue, &leases).await;
    }
    assert!(fastest < Duration::from_millis(50), "{fastest:?}: it polled");
}

async fn claim_patiently(queue: &Queue, worker: &postrider_core::queue::WorkerId) -> Vec<postrider_core::queue::Lease> {
    loop {
        queue.wait(Duration::from_secs(5)).await;
        let leases = claim(queue, worker, 1).await;
        if !leases.is_empty() {
            return leases;
        }
    }
}

#[tokio::test]
async fn a_silent_server_is_an_error_and_not_a_wait() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", silent.local_addr().unwrap()).parse().unwrap();
    let begun = Instant::now();
    let options = RedisOptions { response_timeout: Duration::from_millis(100), ..RedisOptions::new(url) };
    let refused = Queue::redis(options).unwrap().ready().await.unwrap_err();
    assert!(refused.is_unavailable(), "{refused}");
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_killed_process_s_running_jobs_are_found_once_at_the_next_start() {
    let path = std::env::temp_dir().join(format!("postrider-journal-{}", uuid::Uuid::now_v7().simple()));
    let open = || Queue::embedded(EmbeddedOptions { limits: NORMAL, journal: Some(path.clone()) });
    let queue = open().unwrap();
    assert_eq!(queue.found_in_journal(), []);
    let (worker, lane) = (worker(), lane("a"));
    grow(&queue, &lane, 4).await;
    take(&queue, &tickets(&lane, 6)).await;
    let leases = claim_soon(&queue, &worker, 4).await;
    done(&queue, &leases[1..3]).await;
    assert!(open().is_err(), "two processes would mix up their journals");
    drop(queue);

    let next = open().unwrap();
    assert_eq!(next.found_in_journal(), [leases[0].job, leases[3].job]);
    assert_eq!(next.found_in_journal(), []);
    take(&next, &tickets(&lane, 2)).await;
    claim_soon(&next, &worker, 2).await;
    next.retire(&worker).await.unwrap();
    drop(next);
    assert_eq!(open().unwrap().found_in_journal(), []);
    std::fs::remove_file(&path).unwrap();
}

async fn a_claim_tells_whether_there_is_more(queue: Queue) {
    many_lanes(&queue).await;
    let (worker, mut count) = (worker(), 0);
    loop {
        let claimed = queue.claim(&worker, Room::whole(2 * LANES)).await.unwrap();
        count += claimed.leases.len();
        if claimed.rest == Rest::Nothing {
            break;
        }
        assert!(claimed.rest == Rest::More && !claimed.leases.is_empty());
    }
    assert_eq!(count, LANES);
}

/// Whoever needs Redis while a claim goes through many lanes waits for all of them.
#[tokio::test]
async fn a_claim_from_redis_is_short_where_there_are_many_lanes() {
    let queue = setup::redis(NORMAL).await;
    many_lanes(&queue).await;
    let claimed = queue.claim(&worker(), Room::whole(2 * LANES)).await.unwrap();
    assert!((1..=LANES / 4).contains(&claimed.leases.len()), "{} lanes in one claim", claimed.leases.len());
}

/// A job on each of many lanes.
async fn many_lanes(queue: &Queue) {
    for number in 0..LANES {
        take(queue, &[ticket(&lane(&number.to_string()))]).await;
    }
}
