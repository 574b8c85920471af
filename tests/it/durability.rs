//! Nothing that was accepted is lost by a process that ends, nor run twice in one that lives while Redis was another.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{App, PrivateRedis, Receiver, SOON, Script, Stack, eventually};

on_both_stacks!(what_failed_before_a_restart_is_retried_after_it);

/// The keys are listed in the queue's `shard.lua`.
const A_LANE_IS_PAUSED: &str = "for _, lane in ipairs(redis.call('KEYS', '*}:l:*')) do
    local _, _, _, pause = cmsgpack.unpack(redis.call('GET', lane))
    if pause == 1 then return 1 end
end
return 0";

async fn what_failed_before_a_restart_is_retried_after_it(stack: Stack) {
    let (mut app, receiver) = (App::start(stack).await, Receiver::start().await);
    receiver.first("/hook", [Script::status(500)], Script::status(200));
    app.client.create_endpoint(&receiver.url("/hook"), json!({ "retry_schedule_seconds": [2] })).await;
    let event = app.client.publish("a.b", "1").await;
    let job = format!("/v1/jobs/{}", app.client.job_of(&event).await);
    let retrying = || async { (app.client.get(&job).send().await.string("/state") == "retrying").then_some(()) };
    eventually("the failure is recorded", SOON, retrying).await;
    app.kill();
    app.restart().await;
    receiver.wait_for("/hook", 2, SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_on_a_full_disk_serves_and_goes_on() {
    let mut app = App::start(Stack::Sqlite).await;
    app.terminate().await;
    // Stands for a disk without room for another file: what is written there is refused.
    std::os::unix::fs::symlink("/dev/full", app.folder().join("listen.addr.new")).unwrap();
    let mut command = app.command(&["serve"]);
    let log = app.folder().join("full.log");
    let file = std::fs::File::create(&log).unwrap();
    let mut process = command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
    let said = || async { std::fs::read_to_string(&log).unwrap().contains("Postrider 0").then_some(()) };
    eventually("it is running", SOON, said).await;
    let text = std::fs::read_to_string(&log).unwrap();
    let ended = process.try_wait().unwrap();
    process.kill().ok();
    process.wait().unwrap();
    assert!(ended.is_none() && text.contains("listen.addr is not written") && text.contains("No space"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_in_another_process_does_not_run_again_when_redis_is_emptied() {
    const LANES: usize = 4;
    const RUNNING: usize = LANES * 2;
    let (redis, receiver) = (PrivateRedis::start().await, Receiver::start().await);
    // A tenant's new lanes may take a third of the slots, those for reading ahead included: the busy worker has no room
    // to take its own jobs once more.
    let app = App::builder(Stack::Postgres)
        .env("POSTRIDER_REDIS_URL", redis.url())
        .env("POSTRIDER_WORKER_CONCURRENCY", (3 * RUNNING - 2).to_string())
        .role("api")
        .start()
        .await;
    // Frozen while its first sweep waits to hear what runs: when it goes on, Redis is another one.
    let idle = app.beside("worker").await;
    idle.pause();
    let busy = app.beside("worker").await;
    let (let_go, held) = Script::held();
    receiver.always("/hook", held);
    app.client.create_lanes(LANES, &receiver.url("/hook"), json!({})).await;
    for n in 0..RUNNING {
        app.client.publish(&format!("lane.{}", n % LANES), &n.to_string()).await;
    }
    receiver.wait_for("/hook", RUNNING, SOON).await;
    // Only a sweep of all that is undone brings this one back, and what runs is due before it.
    receiver.always("/other", Script::status(200));
    app.client.create_endpoint(&receiver.url("/other"), json!({ "event_types": ["is.forgotten"] })).await;
    let soon = jiff::Timestamp::now() + Duration::from_millis(1_500);
    let forgotten = json!({ "type": "is.forgotten", "payload": 1, "deliver_at": soon.to_string() });
    app.client.post("/v1/events").json(&forgotten).send().await.expect(202);
    idle.resume();
    busy.pause();
    redis.flush().await;
    let noticed = || async { (redis.holds("*}:epoch").await && redis.holds("*}:known").await).then_some(()) };
    eventually("the idle worker notices that Redis was emptied", SOON, noticed).await;
    // A heartbeat's time, which a live worker may take to say what it runs.
    let noticed = Instant::now();
    let heartbeat = || async { (noticed.elapsed() > Duration::from_secs(1)).then_some(()) };
    eventually("a heartbeat is over", SOON, heartbeat).await;
    busy.resume();
    receiver.wait_for("/other", 1, SOON).await;
    let_go.send(true).unwrap();
    receiver.wait_for_events("/hook", RUNNING, SOON).await;
    app.client.publish("lane.0", "9").await;
    receiver.wait_for_events("/hook", RUNNING + 1, SOON).await;
    assert!(receiver.events("/hook").values().all(|count| *count == 1), "{:?}", receiver.events("/hook"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ordered_lane_goes_on_behind_what_runs_when_redis_is_emptied() {
    let (redis, receiver) = (PrivateRedis::start().await, Receiver::start().await);
    let app = with_redis(&redis).await;
    let _other = app.beside("worker").await;
    let (let_go, held) = Script::held();
    receiver.first("/hook", [held], Script::status(200));
    app.client.create_endpoint(&receiver.url("/hook"), json!({ "ordered": true })).await;
    let first = app.client.publish("a.b", "1").await;
    receiver.wait_for("/hook", 1, SOON).await;
    redis.flush().await;
    let second = app.client.publish("a.b", "2").await;
    let job = format!("/v1/jobs/{}", app.client.job_of(&second).await);
    let queued = || async { (app.client.get(&job).send().await.string("/state") == "queued").then_some(()) };
    eventually("the next waits", SOON, queued).await;
    // By then the lane was filled from SQL, where both are pending.
    let filled = || async { redis.holds("*}:r:*").await.then_some(()) };
    eventually("the lane is filled again", SOON, filled).await;
    assert_eq!(receiver.events("/hook").len(), 1);
    let_go.send(true).unwrap();
    let came = receiver.wait_for_events("/hook", 2, SOON).await;
    assert_eq!([came[&first], came[&second]], [1, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_comes_back_with_old_data_holds_no_lane_back() {
    let (mut redis, receiver) = (PrivateRedis::start().await, Receiver::start().await);
    let app = with_redis(&redis).await;
    let (let_go, held) = Script::held();
    receiver.first("/hook", [held], Script::status(200));
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), json!({ "ordered": true })).await;
    app.client.publish("a.b", "1").await;
    receiver.wait_for("/hook", 1, SOON).await;
    app.client.post(&format!("/v1/endpoints/{}/pause", endpoint.id)).send().await.expect(200);
    let paused = || async { redis.ask::<bool>(&["EVAL", A_LANE_IS_PAUSED, "0"]).await.unwrap().then_some(()) };
    eventually("the lane is paused", SOON, paused).await;
    // In it the first event is leased, and the lane paused.
    let old = redis.backup();
    let_go.send(true).unwrap();
    app.client.post(&format!("/v1/endpoints/{}/resume", endpoint.id)).send().await.expect(200);
    let second = app.client.publish("a.b", "2").await;
    receiver.wait_for_events("/hook", 2, SOON).await;
    redis.kill();
    redis.restart_from(old).await;
    let third = app.client.publish("a.b", "3").await;
    let came = receiver.wait_for_events("/hook", 3, SOON).await;
    assert_eq!([came[&second], came[&third]], [1, 1]);
}

async fn with_redis(redis: &PrivateRedis) -> App {
    App::builder(Stack::Postgres).env("POSTRIDER_REDIS_URL", redis.url()).start().await
}
