//! Clocks: hosts whose wall clocks are 30 s apart. Redis' clock rules leases and tickets, so that nothing is lost, nothing
//! runs early, and what is due at once waits for nobody's clock.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::json;

use crate::harness::{App, Books, Load, Publishing, Receiver, Recorded, Script, Stack, clock_ahead};

const APART_S: i64 = 30;
/// What nobody's clock holds up takes less, on a busy machine too.
const PROMPT: Duration = Duration::from_secs(10);
const LANES: usize = 4;
/// Longer than a lease.
const LONG_CALL: Duration = Duration::from_secs(17);
const LONG_CALLS: usize = 8;
/// The first retry comes after half of its delay at least.
const RETRY_S: f64 = 1.0;
const EVENTS: usize = 200;
const SCHEDULED: usize = 4;
const SCHEDULED_FOR: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_a_worker_whose_clock_is_30_s_ahead_nothing_is_lost_or_early_and_what_is_due_runs_at_once() {
    clocks_apart(APART_S).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_a_worker_whose_clock_is_30_s_behind_nothing_is_lost_or_early_and_what_is_due_runs_at_once() {
    clocks_apart(-APART_S).await;
}

async fn clocks_apart(ahead_s: i64) {
    let receiver = Receiver::start().await;
    let api = App::builder(Stack::Postgres).role("api").start().await;
    let wrong = clock_ahead(ahead_s);
    let _workers = tokio::join!(api.beside("worker"), api.beside_with("worker", &wrong));
    let failing_first = (0..EVENTS).map(|n| Script::status(if n % 5 == 0 { 500 } else { 200 }));
    receiver.first("/hook", failing_first, Script::status(200));
    receiver.always("/long", Script::Late(LONG_CALL));
    api.client.create_lanes(LANES, &receiver.url("/hook"), json!({ "retry_schedule_seconds": vec![RETRY_S; 3] })).await;
    for (path, endpoints) in [("/scheduled", 1), ("/long", LONG_CALLS)] {
        for _ in 0..endpoints {
            let extras = json!({ "event_types": [&path[1..]], "timeout_ms": 60_000 });
            api.client.create_endpoint(&receiver.url(path), extras).await;
        }
    }
    let mut accepted = HashSet::from([api.client.publish("long", "1").await]);
    let due = Instant::now() + SCHEDULED_FOR;
    for n in 0..SCHEDULED {
        let at = (Timestamp::now() + SCHEDULED_FOR).to_string();
        let event = json!({ "type": "scheduled", "payload": n, "deliver_at": at });
        accepted.insert(api.client.post("/v1/events").json(&event).send().await.expect(202).string("/id"));
    }
    let load = Load { kind: |n| format!("lane.{}", n % LANES), ..Load::of(EVENTS) };
    accepted.extend(Publishing::start(&api.client, &load).finish().await);
    receiver.wait_for_events("/hook", EVENTS, PROMPT).await;
    assert_eq!(Books::of(&accepted).balance(&api.client, &receiver).await.dead, 0);

    let jobs = api.client.all("/v1/jobs").await;
    assert!(jobs.iter().all(|job| job["lost_workers"] == 0), "a worker was taken for lost");
    assert_both_clocks_worked(&receiver.requests("/hook"), ahead_s);
    let mut tried: HashMap<String, Instant> = HashMap::new();
    for request in receiver.requests("/hook") {
        if let Some(before) = tried.insert(request.event_id().to_owned(), request.at) {
            let waited = request.at - before;
            assert!(waited.as_secs_f64() >= RETRY_S / 2.0, "a retry came after {waited:?}");
        }
    }
    // The sweep of a worker that is ahead may come upon one between its commit and its offer, and takes it for due.
    let early = receiver.requests("/scheduled").iter().filter(|request| request.at < due).count();
    assert!(early <= 1, "{early} of {SCHEDULED} came before their time");
}

/// Each has signed deliveries with the time that it believes.
fn assert_both_clocks_worked(requests: &[Recorded], ahead_s: i64) {
    let now = (Instant::now(), Timestamp::now().as_second());
    let ahead = |request: &Recorded| {
        let signed: i64 = request.header("webhook-timestamp").unwrap().parse().unwrap();
        let came = now.1 - i64::try_from((now.0 - request.at).as_secs()).unwrap();
        signed - came
    };
    for expected in [0, ahead_s] {
        let its = requests.iter().filter(|request| (ahead(request) - expected).abs() < APART_S / 2).count();
        assert!(its > 0, "no delivery by the worker whose clock is {expected} s ahead");
    }
}
