//! The same request again gives the same answer and does nothing twice.

use std::{collections::HashSet, time::Duration};

use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::{App, Receiver, SOON, Stack};

on_both_stacks!(
    the_same_key_100_times_at_once_makes_one_event,
    the_same_key_again_gives_the_first_answer_and_says_so,
    the_same_key_with_another_body_is_a_conflict,
    an_event_s_own_id_is_its_key,
    a_replay_that_is_asked_for_again_replays_once,
    a_job_that_is_asked_for_again_is_made_once,
    keys_of_two_tenants_have_nothing_to_do_with_each_other,
);

const KEY: &str = "order-7-paid";

async fn the_same_key_100_times_at_once_makes_one_event(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    let mut calls = JoinSet::new();
    for _ in 0..100 {
        let client = app.client.clone();
        calls.spawn(async move {
            let call = client.post("/v1/events").header("idempotency-key", KEY);
            call.json(&json!({ "type": "order.paid", "payload": { "order": 7 } })).send().await.expect(202)
        });
    }
    let answers = calls.join_all().await;
    let ids: HashSet<String> = answers.iter().map(|answer| answer.string("/id")).collect();
    assert_eq!(ids.len(), 1, "one event for one key");
    let replayed = answers.iter().filter(|answer| answer.header("idempotent-replayed") == Some("true")).count();
    assert_eq!(replayed, 99);
    assert_eq!(app.client.all("/v1/events").await.len(), 1);
    // Another event passes the same lane after all that the hundred could have made.
    app.client.publish("the.last", "1").await;
    receiver.wait_for("/hook", 2, SOON).await;
    assert_eq!(receiver.requests("/hook").len(), 2);
}

async fn the_same_key_again_gives_the_first_answer_and_says_so(stack: Stack) {
    let app = App::start(stack).await;
    let call =
        || app.client.post("/v1/events").header("idempotency-key", KEY).json(&json!({ "type": "a", "payload": 1 }));
    let first = call().send().await.expect(202);
    assert_eq!(first.header("idempotent-replayed"), None);
    let second = call().send().await.expect(202);
    assert_eq!(second.header("idempotent-replayed"), Some("true"));
    assert_eq!(first.body, second.body);
}

async fn the_same_key_with_another_body_is_a_conflict(stack: Stack) {
    let app = App::start(stack).await;
    let call = |n: u8| {
        app.client.post("/v1/events").header("idempotency-key", KEY).json(&json!({ "type": "a", "payload": n }))
    };
    call(1).send().await.expect(202);
    call(2).send().await.expect_problem(409, "idempotency_conflict");
    assert_eq!(app.client.all("/v1/events").await.len(), 1, "nothing is half-stored");
}

async fn an_event_s_own_id_is_its_key(stack: Stack) {
    let app = App::start(stack).await;
    let call = |n: u8| app.client.post("/v1/events").json(&json!({ "type": "a", "payload": n, "id": KEY }));
    assert_eq!(call(1).send().await.expect(202).string("/id"), KEY);
    let again = call(1).send().await.expect(202);
    assert_eq!((again.string("/id").as_str(), again.header("idempotent-replayed")), (KEY, Some("true")));
    call(2).send().await.expect_problem(409, "idempotency_conflict");
    let tomorrow = (jiff::Timestamp::now() + Duration::from_secs(24 * 3600)).to_string();
    for (field, other) in [("type", json!("b")), ("channels", json!(["eu"])), ("deliver_at", json!(tomorrow))] {
        let mut event = json!({ "type": "a", "payload": 1, "id": KEY });
        event[field] = other;
        let refused = app.client.post("/v1/events").json(&event).send().await;
        refused.expect_problem(409, "idempotency_conflict");
    }
    assert_eq!(app.client.all("/v1/events").await.len(), 1);
}

async fn a_replay_that_is_asked_for_again_replays_once(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    let events = [app.client.publish("a.b", "1").await, app.client.publish("a.b", "2").await];
    let replay = |event: &str| app.client.post(&format!("/v1/events/{event}/replay")).header("idempotency-key", KEY);
    let first = replay(&events[0]).send().await.expect(202);
    let mut calls = JoinSet::new();
    for n in 0..10 {
        // No body asks for the same as an empty one.
        let call = replay(&events[0]);
        calls.spawn(async move { if n % 2 == 0 { call } else { call.json(&json!({})) }.send().await.expect(202) });
    }
    for again in calls.join_all().await {
        assert_eq!((again.header("idempotent-replayed"), &again.body), (Some("true"), &first.body));
    }
    assert_eq!(app.client.jobs_of(&events[0]).await.len(), 2, "the delivery and one replay");
    replay(&events[1]).send().await.expect_problem(409, "idempotency_conflict");
    let named = replay(&events[0]).json(&json!({ "endpoints": [endpoint.id] })).send().await;
    named.expect_problem(409, "idempotency_conflict");
    let without_a_key = app.client.post(&format!("/v1/events/{}/replay", events[0])).send().await.expect(202);
    assert_ne!(without_a_key.body["jobs"], first.body["jobs"]);
}

async fn a_job_that_is_asked_for_again_is_made_once(stack: Stack) {
    let app = App::start(stack).await;
    let args = json!({ "method": "GET", "url": "https://example.com/" });
    let run_at = (jiff::Timestamp::now() + Duration::from_secs(3600)).to_string();
    let job = |lane: &str| {
        let job = json!({ "kind": "http.request", "args": args, "lane": lane, "run_at": run_at });
        app.client.post("/v1/jobs").header("idempotency-key", KEY).json(&job)
    };
    let first = job("a").send().await.expect(202);
    let again = job("a").send().await.expect(202);
    assert_eq!((again.header("idempotent-replayed"), &again.body), (Some("true"), &first.body));
    job("b").send().await.expect_problem(409, "idempotency_conflict");
    assert_eq!(app.client.all("/v1/jobs").await.len(), 1);
}

async fn keys_of_two_tenants_have_nothing_to_do_with_each_other(stack: Stack) {
    let app = App::start(stack).await;
    app.client.post("/v1/tenants").json(&json!({ "slug": "other", "name": "Other" })).send().await.expect(201);
    let call = |n: u8| {
        app.client.post("/v1/events").header("idempotency-key", KEY).json(&json!({ "type": "a", "payload": n }))
    };
    let ours = call(1).send().await.expect(202);
    let theirs = call(2).header("postrider-tenant", "other").send().await.expect(202);
    assert_ne!(ours.string("/id"), theirs.string("/id"));
    assert_eq!(theirs.header("idempotent-replayed"), None);
}
