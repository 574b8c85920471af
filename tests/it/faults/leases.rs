//! Leases: a worker that is frozen past its own (SIGSTOP) and goes on later changes nothing any more.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Answer, App, Books, Client, PrivateRedis, Receiver, SOON, Script, Stack, eventually};

/// A lease of 15 s, the look for those that are over, and what a busy machine may add.
const TAKEN_OVER: Duration = Duration::from_secs(25);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_has_done_meanwhile_is_not_changed_by_a_worker_that_was_frozen() {
    const LANES: usize = 4;
    const RUNNING: usize = 2 * LANES;
    let receiver = Receiver::start().await;
    let api = App::builder(Stack::Postgres).role("api").start().await;
    let frozen = api.beside("worker").await;
    let (let_go, held) = Script::held();
    receiver.first("/hook", vec![held; RUNNING], Script::status(200));
    api.client.create_lanes(LANES, &receiver.url("/hook"), json!({ "timeout_ms": 60_000 })).await;
    let mut accepted = Vec::new();
    for n in 0..RUNNING {
        accepted.push(api.client.publish(&format!("lane.{}", n % LANES), &n.to_string()).await);
    }
    receiver.wait_for("/hook", RUNNING, SOON).await;
    frozen.pause();
    let mut other = api.beside("worker").await;
    receiver.wait_for("/hook", 2 * RUNNING, TAKEN_OVER).await;
    for event in &accepted {
        await_state(&api.client, event, "succeeded").await;
    }
    let_go.send(true).unwrap();
    frozen.resume();
    for event in &accepted {
        let job = await_late(&api.client, event).await;
        let kept = job.list("/attempts");
        let kept: Vec<Value> =
            kept.iter().map(|one| json!([one["outcome"], one["error_class"], one["late"]])).collect();
        for expected in
            [json!(["failed", "lost", null]), json!(["succeeded", null, null]), json!(["succeeded", null, true])]
        {
            assert_eq!(kept.iter().filter(|one| **one == expected).count(), 1, "{kept:?}");
        }
        assert_eq!((kept.len(), &job.body["attempt"], &job.body["lost_workers"]), (3, &json!(1), &json!(1)));
        assert_eq!(job.string("/state"), "succeeded");
    }
    // It is a worker as any other from here on.
    assert!(other.terminate().await.success());
    accepted.push(api.client.publish("lane.0", "9").await);
    receiver.wait_for_events("/hook", RUNNING + 1, SOON).await;
    Books { workers_vanish: true, ..Books::of(&accepted) }.balance(&api.client, &receiver).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_worker_s_late_failure_does_not_undo_what_another_runs_meanwhile() {
    const TIMEOUT_MS: u32 = 10_000;
    let receiver = Receiver::start().await;
    let api = App::builder(Stack::Postgres).role("api").start().await;
    let frozen = api.beside("worker").await;
    let (let_go, held) = Script::held();
    receiver.first("/hook", [Script::Hang, held], Script::status(200));
    let extras = json!({ "timeout_ms": TIMEOUT_MS, "retry_schedule_seconds": [0.1] });
    api.client.create_endpoint(&receiver.url("/hook"), extras).await;
    let event = api.client.publish("a.b", "1").await;
    receiver.wait_for("/hook", 1, SOON).await;
    frozen.pause();
    let _other = api.beside("worker").await;
    receiver.wait_for("/hook", 2, TAKEN_OVER).await;
    // The call of the frozen one has timed out long since, while the other's goes on.
    frozen.resume();
    await_late(&api.client, &event).await;
    let_go.send(true).unwrap();
    let job = await_state(&api.client, &event, "succeeded").await;
    assert_eq!((&job.body["attempt"], &job.body["lost_workers"]), (&json!(1), &json!(1)), "{}", job.text);
    Books { workers_vanish: true, ..Books::of(&[event]) }.balance(&api.client, &receiver).await;
    assert_eq!(receiver.requests("/hook").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_was_frozen_begins_nothing_that_another_has_by_now() {
    let (redis, receiver) = (PrivateRedis::start().await, Receiver::start().await);
    // One call at a time, and one job read ahead.
    let api = App::builder(Stack::Postgres).env("POSTRIDER_REDIS_URL", redis.url());
    let api = api.env("POSTRIDER_WORKER_CONCURRENCY", "1").role("api").start().await;
    let frozen = api.beside("worker").await;
    for path in ["/hook", "/probe"] {
        api.client
            .create_endpoint(&receiver.url(path), json!({ "event_types": [&path[1..]], "timeout_ms": 60_000 }))
            .await;
    }
    // A lane that has not answered yet gets one job only.
    let mut accepted = vec![api.client.publish("hook", "0").await];
    receiver.wait_for("/hook", 1, SOON).await;
    redis.await_leases(0).await;
    let ((let_go, held), (let_other_go, held_at_other)) = (Script::held(), Script::held());
    receiver.first("/hook", [held, held_at_other], Script::status(200));
    for n in 1..=2 {
        accepted.push(api.client.publish("hook", &n.to_string()).await);
    }
    receiver.wait_for("/hook", 2, SOON).await;
    redis.await_leases(2).await;
    frozen.pause();
    let _other = api.beside("worker").await;
    receiver.wait_for("/hook", 3, TAKEN_OVER).await;
    redis.await_leases(2).await;
    let_go.send(true).unwrap();
    frozen.resume();
    // The other has no slot left for it, so the frozen one does it, once it has done with what it had read ahead.
    accepted.push(api.client.publish("probe", "1").await);
    receiver.wait_for("/probe", 1, SOON).await;
    let_other_go.send(true).unwrap();
    Books { workers_vanish: true, ..Books::of(&accepted) }.balance(&api.client, &receiver).await;
    assert_eq!(receiver.events("/hook")[&accepted[2]], 1, "what was read ahead came twice");
}

async fn await_late(client: &Client, event: &str) -> Answer {
    let path = format!("/v1/jobs/{}", client.job_of(event).await);
    let late = || async {
        let job = client.get(&path).send().await.expect(200);
        job.list("/attempts").iter().any(|attempt| attempt["late"] == true).then_some(job)
    };
    eventually(&format!("an attempt of {event} is kept as late"), SOON, late).await
}

async fn await_state(client: &Client, event: &str, state: &str) -> Answer {
    let path = format!("/v1/jobs/{}", client.job_of(event).await);
    let reached =
        || async { Some(client.get(&path).send().await.expect(200)).filter(|job| job.string("/state") == state) };
    eventually(&format!("the delivery of {event} is {state}"), SOON, reached).await
}
