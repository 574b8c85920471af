//! Redis in trouble, under two processes that run deliveries throughout: events are accepted as if nothing were, what is
//! accepted goes out within seconds of its return, and what runs in a live process does not run again.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::sync::watch;

use crate::harness::{
    App, Books, Line, Load, PrivateRedis, Proxy, Publishing, Receiver, RedisBehindSentinel, RedisCluster, SOON, Script,
    Stack, eventually, rounds,
};

/// Longer than a worker's lease, so that none could be renewed in time.
const BEYOND_A_LEASE: Duration = Duration::from_secs(20);
/// What an acceptance takes at most, on a busy machine too.
const PROMPT: Duration = Duration::from_secs(2);
/// How long after the return of Redis all that was accepted before it has come, and what a busy machine may add.
const BACK: Duration = Duration::from_secs(10 + 10);
/// The keys are listed in the queue's `shard.lua`.
const A_LEASE: &str = "*}:f:*";
const PER_SECOND: usize = 40;
/// Where each worker's deliveries go that run throughout, two on each of some lanes.
const HELD: [&str; 3] = ["/held/one", "/held/other", "/held/late"];
/// Those that start last, wherever.
const LATE: usize = 2;
const HELD_LANES: usize = 2;
const HELD_EACH: usize = 2 * HELD_LANES;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_killed_and_restarted_with_its_data() {
    killed_and("restarted with its data", async |redis| redis.restart().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_killed_and_restarted_empty() {
    let empty = async |redis: &mut PrivateRedis| redis.restart_from(tempfile::tempdir().unwrap()).await;
    killed_and("restarted empty", empty).await;
}

async fn killed_and(restarted: &str, restart: impl AsyncFn(&mut PrivateRedis)) {
    let mut redis = PrivateRedis::start().await;
    let mut scene = Scene::on(&redis.url()).await;
    for _ in 0..rounds(2, 10) {
        scene.any_moment().await;
        redis.kill();
        scene.moment().await;
        restart(&mut redis).await;
        scene.goes_on(&format!("killed and {restarted}")).await;
    }
    scene.balances(async || redis.holds(A_LEASE).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_that_stands_still_for_longer_than_a_lease() {
    let redis = PrivateRedis::start().await;
    let (pause, resume) = (async || redis.pause(), async || redis.resume());
    of_no_use_for_20_s("stood still", &redis, &redis.url(), pause, resume).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_behind_a_line_that_takes_connections_in_and_never_answers() {
    let redis = PrivateRedis::start().await;
    let proxy = Proxy::start(redis.url().trim_start_matches("redis://")).await;
    let url = format!("redis://{}", proxy.address());
    let (silent, open) = (async || proxy.set(Line::Silent), async || proxy.set(Line::Open));
    of_no_use_for_20_s("silent", &redis, &url, silent, open).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_that_refuses_writes_since_it_is_full() {
    let redis = PrivateRedis::start().await;
    let limit = async |bytes| redis.ask::<()>(&["CONFIG", "SET", "maxmemory", bytes]).await.unwrap();
    of_no_use_for_20_s("full", &redis, &redis.url(), async || limit("1").await, async || limit("0").await).await;
}

/// `begins` and `ends` are what makes the server at `url` of no use, and undoes that.
async fn of_no_use_for_20_s(how: &str, redis: &PrivateRedis, url: &str, begins: impl AsyncFn(), ends: impl AsyncFn()) {
    let mut scene = Scene::on(url).await;
    for _ in 0..rounds(1, 5) {
        scene.any_moment().await;
        begins().await;
        scene.accepts_for(BEYOND_A_LEASE).await;
        ends().await;
        scene.goes_on(&format!("{how} for 20 s")).await;
    }
    scene.balances(async || redis.holds(A_LEASE).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_emptied_again_and_again() {
    let redis = PrivateRedis::start().await;
    let mut scene = Scene::on(&redis.url()).await;
    for _ in 0..rounds(3, 20) {
        scene.any_moment().await;
        redis.flush().await;
        scene.goes_on("emptied").await;
    }
    scene.balances(async || redis.holds(A_LEASE).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_that_fails_over_to_a_replica_which_lacks_the_last_second() {
    for _ in 0..rounds(1, 5) {
        let mut servers = RedisBehindSentinel::start().await;
        let mut scene = Scene::on(&servers.url()).await;
        scene.any_moment().await;
        servers.cut_the_replica_off().await;
        scene.starts_more().await;
        servers.kill_the_master();
        scene.goes_on("failed over by Sentinel").await;
        scene.balances(async || servers.promoted().holds(A_LEASE).await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_cluster_that_fails_over_to_a_replica_which_lacks_the_last_second() {
    for _ in 0..rounds(1, 5) {
        let mut cluster = RedisCluster::start_with_a_replica().await;
        let mut scene = Scene::on(&cluster.url()).await;
        scene.any_moment().await;
        cluster.cut_the_replica_off().await;
        scene.starts_more().await;
        cluster.kill_the_first_master();
        scene.goes_on("failed over by the cluster").await;
        scene.balances(async || cluster.holds(A_LEASE).await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_whose_scripts_are_flushed_again_and_again() {
    let redis = PrivateRedis::start().await;
    let mut scene = Scene::on(&redis.url()).await;
    for _ in 0..rounds(1, 10) {
        scene.any_moment().await;
        // A hundred at a time, since a receiver that owes its answer is given up after a minute.
        for _ in 0..100 {
            scene.publishing.wait_for_more(rand::random_range(1..4)).await;
            redis.ask::<()>(&["SCRIPT", "FLUSH"]).await.unwrap();
        }
        scene.goes_on("without its scripts").await;
    }
    scene.balances(async || redis.holds(A_LEASE).await).await;
}

/// Two workers, and events that come in all the time.
struct Scene {
    /// Takes events in, and has the database.
    api: App,
    workers: [App; 2],
    receiver: Receiver,
    publishing: Publishing,
    /// Events whose receiver owed its answer while something was wrong.
    held: HashSet<String>,
    let_go: [watch::Sender<bool>; 3],
}

impl Scene {
    async fn on(redis: &str) -> Self {
        let receiver = Receiver::start().await;
        let builder = App::builder(Stack::Postgres).env("POSTRIDER_REDIS_URL", redis);
        let api = builder.env("POSTRIDER_REDIS_SHARDS", "8").role("api").start().await;
        let workers = [api.beside("worker").await, api.beside("worker").await];
        for (group, path) in HELD.into_iter().enumerate() {
            for lane in 0..HELD_LANES {
                let extras = json!({ "event_types": [held_type(group, lane)], "timeout_ms": 60_000 });
                api.client.create_endpoint(&receiver.url(path), extras).await;
            }
        }
        receiver.fails_some_at_first("/hook");
        let extras = json!({ "event_types": ["load.test"], "retry_schedule_seconds": vec![0.1; 10] });
        api.client.create_endpoint(&receiver.url("/hook"), extras).await;
        let publishing = Publishing::start(&api.client, &Load::without_end(PER_SECOND));
        let (held, let_go) = (HashSet::new(), std::array::from_fn(|_| watch::channel(true).0));
        Self { api, workers, receiver, publishing, held, let_go }
    }

    /// Waits for a moment that nobody knows, at which both workers have deliveries whose receiver owes its answer.
    async fn any_moment(&mut self) {
        for worker in 0..self.workers.len() {
            // What is published while the other stands still is this one's.
            self.workers[1 - worker].pause();
            self.start(worker).await;
            self.workers[1 - worker].resume();
        }
        self.moment().await;
    }

    /// Deliveries start that the queue may forget.
    async fn starts_more(&mut self) {
        self.start(LATE).await;
    }

    /// Has deliveries of a group run until they are let go.
    async fn start(&mut self, group: usize) {
        let (let_go, held) = Script::held();
        self.receiver.always(HELD[group], held);
        self.let_go[group] = let_go;
        let before = self.receiver.requests(HELD[group]).len();
        for n in 0..HELD_EACH {
            self.held.insert(self.api.client.publish(&held_type(group, n / 2), &n.to_string()).await);
        }
        self.receiver.wait_for(HELD[group], before + HELD_EACH, SOON).await;
    }

    /// Waits for a number of events that nobody knows.
    async fn moment(&self) {
        self.publishing.wait_for_more(rand::random_range(1..2 * PER_SECOND)).await;
    }

    /// For so long events are accepted as ever.
    async fn accepts_for(&self, time: Duration) {
        let began = Instant::now();
        while began.elapsed() < time {
            self.publishing.wait_for_more(PER_SECOND / 2).await;
        }
    }

    /// All that was accepted goes out soon, what came just now as well, and what runs ends where it runs.
    async fn goes_on(&self, after: &str) {
        let began = Instant::now();
        self.publishing.wait_for_more(PER_SECOND / 4).await;
        let accepted = self.publishing.accepted();
        self.receiver.wait_for_all("/hook", &accepted, BACK).await;
        let (took, slowest) = (began.elapsed(), self.publishing.slowest());
        eprintln!("{after}: all came {took:?} after its return; the slowest 202 took {slowest:?}");
        assert_eq!(self.publishing.refusals(), 0, "an event was refused");
        assert!(slowest < PROMPT, "an event was accepted after {slowest:?}");
        // Once what one worker runs has ended, the other's could be taken for what is left of it.
        for let_go in &self.let_go {
            let_go.send_replace(true);
            self.publishing.wait_for_more(2 * PER_SECOND).await;
        }
    }

    /// Nothing is lost, nothing came twice, and the queue `holds_a_lease` of none of it any more.
    async fn balances(self, holds_a_lease: impl AsyncFn() -> bool) {
        let mut accepted = self.publishing.stop().await;
        accepted.extend(self.held);
        Books::of(&accepted).balance(&self.api.client, &self.receiver).await;
        let lost = self.api.client.all("/v1/jobs").await.into_iter().filter(|job| job["lost_workers"] != 0).count();
        assert_eq!(lost, 0, "a live process was taken for a vanished one");
        let nothing_is_leased = || async { (!holds_a_lease().await).then_some(()) };
        eventually("nothing is leased any more", SOON, nothing_is_leased).await;
    }
}

fn held_type(group: usize, lane: usize) -> String {
    format!("held.{group}.{lane}")
}
