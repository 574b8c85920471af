//! Roles in processes of their own over one PostgreSQL and one Redis, as on several machines.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{App, Client, Receiver, SOON, Script, Stack, eventually};

/// The contract's bound for a change to be in force everywhere.
const IN_FORCE: Duration = Duration::from_secs(2);
/// The contract's bound for a dead worker's jobs to run again, and what a busy machine may add.
const TAKEN_OVER: Duration = Duration::from_secs(20 + 10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_api_accepts_the_workers_deliver_once() {
    const EVENTS: usize = 60;
    let receiver = Receiver::start().await;
    let (api, _workers) = three_processes().await;
    for path in ["/a", "/b"] {
        api.client.create_endpoint(&receiver.url(path), json!({})).await;
    }
    publish_batch(&api.client, EVENTS).await;
    for path in ["/a", "/b"] {
        let came = receiver.wait_for_events(path, EVENTS, SOON).await;
        assert!(came.values().all(|count| *count == 1), "{path}: {came:?}");
    }
    let done = || async { (api.client.all("/v1/jobs?state=succeeded").await.len() == 2 * EVENTS).then_some(()) };
    eventually("every delivery has succeeded", SOON, done).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_made_or_enabled_a_moment_ago_gets_its_deliveries() {
    const ENDPOINTS: usize = 5;
    let receiver = Receiver::start().await;
    let (api, _workers) = three_processes().await;
    receiver.first("/hook", [Script::status(410)], Script::status(200));
    let first = api.client.create_endpoint(&receiver.url("/hook"), json!({ "event_types": ["first"] })).await;
    let publish = async |kind: &str| {
        let event = json!({ "type": kind, "payload": 1 });
        api.client.post("/v1/events").json(&event).send().await.expect(202)
    };
    publish("first").await;
    let path = format!("/v1/endpoints/{}", first.id);
    let disabled =
        || async { (api.client.get(&path).send().await.expect(200).string("/state") == "disabled").then_some(()) };
    eventually("the endpoint is disabled", SOON, disabled).await;
    bound_is_over().await;
    api.client.post(&format!("{path}/resume")).send().await.expect(200);
    publish("first").await;
    for n in 0..ENDPOINTS {
        api.client.create_endpoint(&receiver.url("/hook"), json!({ "event_types": [format!("new.{n}")] })).await;
        publish(&format!("new.{n}")).await;
    }
    receiver.wait_for("/hook", 1 + 1 + ENDPOINTS, SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_worker_s_jobs_run_again_at_another() {
    const LANES: usize = 3;
    const BEFORE: usize = 2 * LANES;
    const AFTER: usize = 6;
    let receiver = Receiver::start().await;
    let api = App::builder(Stack::Postgres).role("api").start().await;
    let mut first = api.beside("worker").await;
    let (let_go, held) = Script::held();
    receiver.always("/hook", held);
    api.client.create_lanes(LANES, &receiver.url("/hook"), json!({ "timeout_ms": 60_000 })).await;
    publish_to_lanes(&api.client, LANES, BEFORE).await;
    receiver.wait_for("/hook", BEFORE, SOON).await;
    let _second = api.beside("worker").await;
    publish_to_lanes(&api.client, LANES, AFTER).await;
    first.kill();
    let_go.send(true).unwrap();
    let done = || async { (api.client.all("/v1/jobs?state=succeeded").await.len() == BEFORE + AFTER).then_some(()) };
    eventually("every delivery has succeeded", TAKEN_OVER, done).await;
    assert_eq!(receiver.events("/hook").len(), BEFORE + AFTER);
    let again = receiver.requests("/hook").len() - (BEFORE + AFTER);
    assert!((BEFORE..=BEFORE + AFTER).contains(&again), "{again} came again; the killed worker had at least {BEFORE}");
    let jobs = api.client.all("/v1/jobs").await;
    let lost = jobs.iter().filter(|job| job["lost_workers"] == 1).count();
    assert_eq!(
        (lost, jobs.iter().all(|job| job["attempt"] == 1)),
        (again, true),
        "a loss is counted and spends no retry"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_url_a_pause_and_a_deletion_are_in_force_in_the_workers() {
    const EVENTS: usize = 20;
    let receiver = Receiver::start().await;
    let (api, _workers) = three_processes().await;
    let endpoint = api.client.create_endpoint(&receiver.url("/old"), json!({})).await;
    api.client.create_endpoint(&receiver.url("/witness"), json!({})).await;
    publish_batch(&api.client, EVENTS).await;
    receiver.wait_for("/old", EVENTS, SOON).await;
    let path = format!("/v1/endpoints/{}", endpoint.id);

    let moved = json!({ "url": receiver.url("/new") });
    api.client.patch(&path).json(&moved).send().await.expect(200);
    bound_is_over().await;
    publish_batch(&api.client, EVENTS).await;
    receiver.wait_for("/new", EVENTS, SOON).await;
    assert_eq!(receiver.requests("/old").len(), EVENTS, "a worker still delivers to the old address");

    api.client.post(&format!("{path}/pause")).send().await.expect(200);
    bound_is_over().await;
    publish_batch(&api.client, EVENTS).await;
    receiver.wait_for("/witness", 3 * EVENTS, SOON).await;
    assert_eq!(receiver.requests("/new").len(), EVENTS, "a worker still delivers to a paused endpoint");

    // What waits for it is cancelled, not delivered.
    api.client.delete(&path).send().await.expect(204);
    bound_is_over().await;
    publish_batch(&api.client, EVENTS).await;
    receiver.wait_for("/witness", 4 * EVENTS, SOON).await;
    let ended = || async { (api.client.all("/v1/jobs?state=cancelled").await.len() == EVENTS).then_some(()) };
    eventually("what waited for the endpoint is cancelled", SOON, ended).await;
    assert_eq!(receiver.requests("/new").len(), EVENTS, "a worker still delivers to a deleted endpoint");
}

/// The API and two workers. The API's process has the database, so it is named first.
async fn three_processes() -> (App, [App; 2]) {
    let api = App::builder(Stack::Postgres).role("api").start().await;
    let workers = [api.beside("worker").await, api.beside("worker").await];
    (api, workers)
}

/// Waits for as long as a change may take: the bound is what is proved, so nothing else can be waited for.
async fn bound_is_over() {
    let began = Instant::now();
    let over = || async { (began.elapsed() > IN_FORCE).then_some(()) };
    eventually("the bound is over", SOON, over).await;
}

async fn publish_batch(client: &Client, count: usize) {
    publish_to_lanes(client, 1, count).await;
}

async fn publish_to_lanes(client: &Client, lanes: usize, count: usize) {
    let event = |n: usize| json!({ "type": format!("lane.{}", n % lanes), "payload": n });
    let events: Vec<Value> = (0..count).map(event).collect();
    client.post("/v1/events/batch").json(&json!({ "events": events })).send().await.expect(202);
}
