//! Poison: a job that ends the process which runs it.

use std::collections::HashSet;

use serde_json::json;

use crate::harness::{
    App, Books, Client, LONG, Load, PrivateRedis, Publishing, Receiver, SOON, Script, Stack, eventually,
};

on_both_stacks!(a_job_that_ends_its_workers_is_dead_after_the_third_and_the_rest_drains);

const LANES: usize = 3;
/// What each tenant publishes around each kill.
const REST: usize = 60;
const KILLS: usize = 3;
/// Whose lease a lane's job is. The keys are listed in the queue's `shard.lua`.
const HOLDER: &str = "for _, held in ipairs(redis.call('KEYS', '*}:w:*')) do
    for _, lease in ipairs(redis.call('SMEMBERS', held)) do
        if string.find(lease, ARGV[1], 1, true) then return held end
    end
end
return ''";

/// No executor of the product aborts its process, so the test kills whoever has sent the poison's request. That one which
/// panics is a failed attempt is proved in `worker/src/tests/delivers.rs`.
async fn a_job_that_ends_its_workers_is_dead_after_the_third_and_the_rest_drains(stack: Stack) {
    let redis = PrivateRedis::start().await;
    let mut processes = Processes::start(stack, &redis).await;
    let client = processes.api().client.clone();
    let mut poisoned = Customer::of(client.clone()).await;
    let mut others = Vec::new();
    for slug in ["beside", "further"] {
        others.push(Customer::of(client.new_tenant(slug).await).await);
    }
    poisoned.receiver.always("/poison", Script::Hang);
    let extras = json!({ "event_types": ["poison"], "timeout_ms": 60_000 });
    let endpoint = client.create_endpoint(&poisoned.receiver.url("/poison"), extras).await;
    let poison = client.publish("poison", "1").await;
    poisoned.accepted.insert(poison.clone());
    for kills in 1..=KILLS {
        poisoned.receiver.wait_for("/poison", kills, LONG).await;
        let mut customers: Vec<&mut Customer> = others.iter_mut().chain([&mut poisoned]).collect();
        let publishing: Vec<Publishing> = customers.iter().map(|customer| customer.publish()).collect();
        publishing[0].wait_for(rand::random_range(1..REST)).await;
        processes.kill_the_one_with(&endpoint.id, &redis).await;
        for (customer, publishing) in customers.iter_mut().zip(publishing) {
            customer.accepted.extend(publishing.finish().await);
        }
    }
    let dead = || async { client.dead_letters(&endpoint.id).await.pop() };
    let dead = eventually("the poison is dead", SOON, dead).await;
    assert_eq!((&dead["cause"], &dead["attempt"]), (&json!("workers_lost"), &json!(0)));
    let job = client.get(&format!("/v1/jobs/{}", client.job_of(&poison).await)).send().await.expect(200);
    let attempts = job.list("/attempts");
    assert!(attempts.iter().all(|attempt| attempt["error_class"] == "lost"), "{}", job.text);
    assert_eq!((&job.body["lost_workers"], attempts.len()), (&json!(KILLS), KILLS));
    poisoned.balances(1).await;
    for other in others {
        other.balances(0).await;
    }
    assert_eq!(poisoned.receiver.requests("/poison").len(), KILLS, "it ran again after the third");
}

/// A tenant, what was accepted of it and what came to it.
struct Customer {
    client: Client,
    receiver: Receiver,
    accepted: HashSet<String>,
}

impl Customer {
    async fn of(client: Client) -> Self {
        let receiver = Receiver::start().await;
        client.create_lanes(LANES, &receiver.url("/hook"), json!({})).await;
        Self { client, receiver, accepted: HashSet::new() }
    }

    fn publish(&self) -> Publishing {
        Publishing::start(&self.client, &Load { kind: |n| format!("lane.{}", n % LANES), ..Load::of(REST) })
    }

    /// All but `dead` deliveries came.
    async fn balances(&self, dead: usize) {
        let books = Books { workers_vanish: true, ..Books::of(&self.accepted) };
        let balance = books.balance(&self.client, &self.receiver).await;
        assert_eq!((balance.delivered, balance.dead), (KILLS * REST, dead));
    }
}

/// Everything in one process, or an API and two workers.
struct Processes {
    api: App,
    workers: Vec<App>,
}

impl Processes {
    async fn start(stack: Stack, redis: &PrivateRedis) -> Self {
        if stack == Stack::Sqlite {
            return Self { api: App::start(stack).await, workers: Vec::new() };
        }
        let api = App::builder(stack).env("POSTRIDER_REDIS_URL", redis.url()).role("api").start().await;
        let workers = vec![api.beside("worker").await, api.beside("worker").await];
        Self { api, workers }
    }

    fn api(&self) -> &App {
        &self.api
    }

    /// Kills the process that runs a lane's job, and starts another in its place.
    async fn kill_the_one_with(&mut self, lane: &str, redis: &PrivateRedis) {
        if self.workers.is_empty() {
            self.api.kill();
            return self.api.restart().await;
        }
        let holder: String = redis.ask(&["EVAL", HOLDER, "0", lane]).await.unwrap();
        let has_it = |worker: &mut App| holder.contains(&format!("-{}-", worker.pid()));
        let worker = self.workers.iter_mut().position(has_it).expect("one of the workers holds the lease");
        self.workers.swap_remove(worker).kill();
        self.workers.push(self.api.beside("worker").await);
    }
}
