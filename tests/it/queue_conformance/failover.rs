//! A master dies, or hands over to its replica: the queue goes on by itself where it stopped.

use std::collections::HashSet;

use postrider_core::{domain::lane::LaneKey, queue::Queue};

use super::setup::{NORMAL, claim_soon, done, jobs, lane, options_at, take, tickets, worker};
use crate::harness::{RedisBehindSentinel, RedisCluster, SOON, eventually};

#[tokio::test]
async fn behind_sentinel_a_queue_goes_on_when_the_master_dies() {
    let mut servers = RedisBehindSentinel::start().await;
    goes_on(&servers.url(), async || servers.kill_the_master_in_step().await).await;
}

#[tokio::test]
async fn behind_sentinel_a_queue_goes_on_when_the_master_hands_over() {
    let servers = RedisBehindSentinel::start().await;
    goes_on(&servers.url(), async || servers.hand_over().await).await;
}

#[tokio::test]
async fn in_a_cluster_a_queue_goes_on_when_a_master_dies() {
    let mut cluster = RedisCluster::start_with_a_replica().await;
    goes_on(&cluster.url(), async || cluster.kill_the_first_master_in_step().await).await;
}

/// What is leased stays leased and what waits is not lost, through what `fails` does.
async fn goes_on(url: &str, fails: impl AsyncFnOnce()) {
    let queue = Queue::redis(options_at(url, NORMAL)).unwrap();
    let worker = worker();
    // Enough that each node of a cluster has some.
    let lanes: Vec<LaneKey> = (0..24).map(|n| lane(&n.to_string())).collect();
    let all: Vec<_> = lanes.iter().flat_map(|lane| tickets(lane, 2)).collect();
    take(&queue, &all).await;
    let leases = claim_soon(&queue, &worker, 24).await;
    let before = queue.epoch().await.unwrap().token;

    fails().await;
    let answers = || async { queue.epoch().await.ok() };
    let after = eventually("the queue answers again", SOON, answers).await;
    assert_eq!(after.token, before);
    done(&queue, &leases).await;
    let rest = claim_soon(&queue, &worker, 24).await;
    done(&queue, &rest).await;
    let ran: HashSet<_> = jobs(&leases).into_iter().chain(jobs(&rest)).collect();
    assert_eq!(ran, all.iter().map(|ticket| ticket.job).collect());
    assert_eq!(queue.view(0).await.unwrap().totals.tickets, 0);
}
