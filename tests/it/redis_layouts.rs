//! The whole application on a Redis Cluster and behind Sentinel, with a master killed while events come in.

use std::{collections::HashSet, time::Duration};

use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::{App, Client, LONG, Receiver, RedisBehindSentinel, RedisCluster, SOON, Script, Stack, eventually};

const EVENTS: usize = 500;
const PUBLISHERS: usize = 4;
const LANES: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_cluster_a_master_killed_under_load_loses_none() {
    let mut cluster = RedisCluster::start_with_a_replica().await;
    let load = Load::on(&cluster.url()).await;
    load.run_while(|| cluster.kill_the_first_master()).await;
    let nothing_is_leased = || async { (!cluster.holds("*}:f:*").await).then_some(()) };
    eventually("nothing is leased any more", SOON, nothing_is_leased).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_sentinel_a_master_killed_under_load_loses_none() {
    let mut servers = RedisBehindSentinel::start().await;
    let load = Load::on(&servers.url()).await;
    load.run_while(|| servers.kill_the_master()).await;
    let nothing_is_leased = || async { (!servers.promoted().holds("*}:f:*").await).then_some(()) };
    eventually("nothing is leased any more", SOON, nothing_is_leased).await;
}

/// An application with endpoints on several lanes, some of whose first answers are failures.
struct Load {
    app: App,
    receiver: Receiver,
}

impl Load {
    async fn on(redis: &str) -> Self {
        let builder = App::builder(Stack::Postgres).env("POSTRIDER_REDIS_URL", redis);
        let (app, receiver) = (builder.env("POSTRIDER_REDIS_SHARDS", "16").start().await, Receiver::start().await);
        let answers = (0..EVENTS / 5).map(|n| Script::status(if n % 5 == 0 { 500 } else { 200 }));
        receiver.first("/hook", answers, Script::status(200));
        let retries = json!({ "retry_schedule_seconds": vec![0.1; 10] });
        app.client.create_lanes(LANES, &receiver.url("/hook"), retries).await;
        Self { app, receiver }
    }

    /// Publishes all events, with `trouble` in their midst. Each is accepted at once, and each comes.
    async fn run_while(&self, trouble: impl FnOnce()) {
        let mut publishers = JoinSet::new();
        for publisher in 0..PUBLISHERS {
            publishers.spawn(publish(self.app.client.clone(), publisher));
        }
        self.receiver.wait_for_events("/hook", EVENTS / 4, LONG).await;
        trouble();
        let mut accepted = HashSet::new();
        while let Some(events) = publishers.join_next().await {
            accepted.extend(events.expect("every event is accepted"));
        }
        assert_eq!(accepted.len(), EVENTS);
        let came = self.receiver.wait_for_events("/hook", EVENTS, LONG).await;
        assert!(accepted.iter().all(|event| came.contains_key(event)), "another event came in place of one");
        let ok = || async { (self.app.client.get("/readyz").send().await.string("/status") == "ok").then_some(()) };
        eventually("readiness is ok again", SOON, ok).await;
        self.app.client.publish("lane.0", "1").await;
        self.receiver.wait_for_events("/hook", EVENTS + 1, Duration::from_secs(5)).await;
    }
}

async fn publish(client: Client, publisher: usize) -> Vec<String> {
    let mut accepted = Vec::new();
    for n in (publisher..EVENTS).step_by(PUBLISHERS) {
        accepted.push(client.publish(&format!("lane.{}", n % LANES), &n.to_string()).await);
    }
    accepted
}
