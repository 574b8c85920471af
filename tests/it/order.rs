//! An ordered endpoint gets its events in the order in which they were published, whatever the queue forgets.

use serde_json::{Value, json};

use crate::harness::{App, Client, LONG, PrivateRedis, Receiver, SOON, Script, Stack, eventually};

on_both_stacks!(
    a_killed_process_keeps_the_order_although_new_events_come_at_once,
    a_retry_that_is_an_hour_off_is_still_waited_for,
    what_is_told_to_run_now_keeps_its_place,
);

const PENDING: usize = 150;
const NEW: usize = 60;

async fn a_killed_process_keeps_the_order_although_new_events_come_at_once(stack: Stack) {
    let (mut app, receiver) = (App::start(stack).await, Receiver::start().await);
    let (_let_go, held) = Script::held();
    receiver.first("/hook", [held], Script::status(200));
    app.client.create_endpoint(&receiver.url("/hook"), json!({ "ordered": true })).await;
    publish_pending(&app.client).await;
    receiver.wait_for("/hook", 1, SOON).await;
    app.kill();
    let publishing = tokio::spawn(publish_new(app.client.clone()));
    app.restart().await;
    publishing.await.unwrap();
    assert_all_in_order(&receiver).await;
}

async fn a_retry_that_is_an_hour_off_is_still_waited_for(stack: Stack) {
    const LATER: usize = 5;
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    receiver.first("/hook", [Script::status(500)], Script::status(200));
    let extras = json!({ "ordered": true, "retry_schedule_seconds": [7200] });
    app.client.create_endpoint(&receiver.url("/hook"), extras).await;
    let job = app.client.job_of(&app.client.publish("in.order", "0").await).await;
    let shown = format!("/v1/jobs/{job}");
    let retrying = || async { (app.client.get(&shown).send().await.string("/state") == "retrying").then_some(()) };
    eventually("the first waits for its retry", SOON, retrying).await;
    app.client.create_endpoint(&receiver.url("/witness"), json!({})).await;
    for n in 1..=LATER {
        app.client.publish("in.order", &n.to_string()).await;
        receiver.wait_for("/witness", n, SOON).await;
    }
    app.client.post(&format!("{shown}/run-now")).send().await.expect(202);
    let calls = receiver.wait_for("/hook", LATER + 2, SOON).await;
    let came: Vec<&str> = calls.iter().map(crate::harness::Recorded::text).collect();
    assert_eq!(came, ["0", "0", "1", "2", "3", "4", "5"]);
}

async fn what_is_told_to_run_now_keeps_its_place(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let (let_go, held) = Script::held();
    receiver.first("/hook", [held], Script::status(200));
    app.client.create_endpoint(&receiver.url("/hook"), json!({ "ordered": true })).await;
    publish_pending(&app.client).await;
    receiver.wait_for("/hook", 1, SOON).await;
    for job in app.client.all("/v1/jobs?state=queued").await {
        let path = format!("/v1/jobs/{}/run-now", job["id"].as_str().unwrap());
        app.client.post(&path).send().await.expect(202);
    }
    let_go.send(true).unwrap();
    publish_new(app.client.clone()).await;
    receiver.wait_for_events("/hook", PENDING + NEW, SOON).await;
    assert_all_in_order(&receiver).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_redis_keeps_the_order() {
    let (redis, receiver) = (PrivateRedis::start().await, Receiver::start().await);
    let app = App::builder(Stack::Postgres).env("POSTRIDER_REDIS_URL", redis.url()).start().await;
    let (let_go, held) = Script::held();
    receiver.first("/hook", [Script::status(500), held], Script::status(200));
    let extras = json!({ "ordered": true, "retry_schedule_seconds": [1.0, 1.0] });
    app.client.create_endpoint(&receiver.url("/hook"), extras).await;
    publish_pending(&app.client).await;
    // Emptied while the first waits for its retry, and again while it is tried.
    receiver.wait_for("/hook", 1, SOON).await;
    redis.flush().await;
    receiver.wait_for("/hook", 2, SOON).await;
    redis.flush().await;
    publish_new(app.client.clone()).await;
    let_go.send(true).unwrap();
    assert_all_in_order(&receiver).await;
}

async fn publish_pending(client: &Client) {
    let events: Vec<Value> = (0..PENDING).map(|n| json!({ "type": "in.order", "payload": n })).collect();
    client.post("/v1/events/batch").json(&json!({ "events": events })).send().await.expect(202);
}

/// Publishes what comes after it, as soon as a server takes it.
async fn publish_new(client: Client) {
    for n in PENDING..PENDING + NEW {
        let body = json!({ "type": "in.order", "payload": n });
        let published = || async {
            let call = client.post("/v1/events").header("idempotency-key", &format!("new-{n}")).json(&body);
            call.try_send().await.ok().filter(|answer| answer.status == 202)
        };
        eventually("a new event is accepted", SOON, published).await;
    }
}

async fn assert_all_in_order(receiver: &Receiver) {
    receiver.wait_for_events("/hook", PENDING + NEW, LONG).await;
    let mut came: Vec<usize> = receiver.requests("/hook").iter().map(|one| one.text().parse().unwrap()).collect();
    // What ran when the queue forgot it may come again, at once.
    came.dedup();
    assert!(came.is_sorted(), "out of order: {came:?}");
    assert_eq!(came.len(), PENDING + NEW);
}
