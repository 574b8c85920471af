//! A master dies, or hands over to its replica: the queue goes on by itself where it stopped. One that went back leases
//! nothing that runs.

use std::collections::HashSet;

use postrider_core::{
    domain::lane::LaneKey,
    queue::{Queue, Room},
};

use super::setup::{NORMAL, claim_soon, done, jobs, lane, options_at, take, tickets, worker};
use crate::harness::{PrivateRedis, RedisBehindSentinel, RedisCluster, SOON, eventually};

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

#[tokio::test]
async fn a_server_that_went_back_leases_nothing_before_it_heard_what_runs() {
    let mut redis = PrivateRedis::start().await;
    let queue = Queue::redis(options_at(&redis.url(), NORMAL)).unwrap();
    let [runs, other] = [worker(), worker()];
    queue.renew(&runs).await.unwrap();
    let lane = lane("a");
    take(&queue, &tickets(&lane, 2)).await;
    // In it nothing is leased.
    let old = redis.backup();
    let leases = claim_soon(&queue, &runs, 1).await;
    redis.kill();
    redis.restart_from(old).await;
    let claimed = || async { queue.claim(&other, Room::whole(10)).await.ok() };
    let claimed = eventually("the queue answers again", SOON, claimed).await;
    assert_eq!(claimed.leases, []);
    assert!(!queue.renew(&runs).await.unwrap(), "it is told that the server is another");
    assert_eq!(queue.reassert(&runs, &leases).await.unwrap(), [true]);
    let rest = claim_soon(&queue, &other, 1).await;
    assert_ne!(rest[0].job, leases[0].job);
    done(&queue, &leases).await;
    done(&queue, &rest).await;
    assert_eq!(queue.view(0).await.unwrap().totals.tickets, 0);
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
