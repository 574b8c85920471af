//! Retries that are given as a backoff in place of a list of delays.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{App, Receiver, Recorded, SOON, Script, Stack, eventually};

on_both_stacks!(
    an_endpoint_s_backoff_is_kept_as_given_and_its_deliveries_are_tried_by_it,
    a_job_s_backoff_is_kept_in_its_dead_letter_and_can_be_written_back,
    a_backoff_and_a_list_of_delays_take_each_other_s_place,
);

fn backoff() -> Value {
    json!({ "base_seconds": 0.1, "factor": 2.0, "cap_seconds": 0.3, "retries": 3 })
}

const DELAYS: [f64; 3] = [0.1, 0.2, 0.3];

async fn an_endpoint_s_backoff_is_kept_as_given_and_its_deliveries_are_tried_by_it(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    receiver.always("/hook", Script::status(500));
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), json!({ "retry_backoff": backoff() })).await;
    let shown = app.client.get(&format!("/v1/endpoints/{}", endpoint.id)).send().await.expect(200);
    assert_eq!(shown.body["retry_backoff"], backoff());
    assert_eq!(shown.body["retry_schedule_seconds"], json!(DELAYS));
    app.client.publish("a.b", "1").await;
    let dead = || async { app.client.dead_letters(&endpoint.id).await.pop() };
    let letter = eventually("the delivery is dead", SOON, dead).await;
    assert_eq!(letter["attempt"], 4);
    assert_waits(&receiver.requests("/hook"));
}

async fn a_job_s_backoff_is_kept_in_its_dead_letter_and_can_be_written_back(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    receiver.first("/job", vec![Script::status(500); 4], Script::status(200));
    let args = json!({ "method": "GET", "url": receiver.url("/job"), "retry_backoff": backoff() });
    let job = json!({ "kind": "http.request", "args": args });
    let job = app.client.post("/v1/jobs").json(&job).send().await.expect(202);
    assert_eq!(job.body["max_attempts"], 4, "{}", job.text);
    let dead = || async { app.client.all("/v1/dead-letters").await.pop() };
    let letter = eventually("the job is dead", SOON, dead).await;
    assert_waits(&receiver.requests("/job"));
    let path = format!("/v1/dead-letters/{}", letter["id"].as_str().unwrap());
    let payload = app.client.get(&path).send().await.expect(200).body["payload"].clone();
    assert_eq!((&payload["retry_backoff"], &payload["retry_schedule_seconds"]), (&backoff(), &json!(DELAYS)));
    app.client.post(&format!("{path}/replay")).json(&json!({ "payload": payload })).send().await.expect(202);
    receiver.wait_for("/job", 5, SOON).await;
}

async fn a_backoff_and_a_list_of_delays_take_each_other_s_place(stack: Stack) {
    let app = App::start(stack).await;
    let made = app.client.create_endpoint("https://example.com/", json!({})).await;
    let path = format!("/v1/endpoints/{}", made.id);
    let default = app.client.get(&path).send().await.expect(200).body["retry_schedule_seconds"].clone();
    for (change, delays, kept) in [
        (json!({ "retry_backoff": backoff() }), json!(DELAYS), backoff()),
        (json!({ "description": "unchanged" }), json!(DELAYS), backoff()),
        (json!({ "retry_backoff": backoff(), "retry_schedule_seconds": DELAYS }), json!(DELAYS), backoff()),
        (json!({ "retry_schedule_seconds": [1.5] }), json!([1.5]), Value::Null),
        (json!({ "retry_schedule_seconds": null, "retry_backoff": backoff() }), json!(DELAYS), backoff()),
        (json!({ "retry_backoff": null, "retry_schedule_seconds": [2.5] }), json!([2.5]), Value::Null),
        (json!({ "retry_backoff": backoff() }), json!(DELAYS), backoff()),
        (json!({ "retry_backoff": null }), default, Value::Null),
    ] {
        let shown = app.client.patch(&path).json(&change).send().await.expect(200);
        let got = (&shown.body["retry_schedule_seconds"], &shown.body["retry_backoff"]);
        assert_eq!(got, (&delays, &kept), "{change}");
    }
    let both = json!({ "retry_backoff": backoff(), "retry_schedule_seconds": [0.1, 0.2, 0.4] });
    let refused = app.client.patch(&path).json(&both).send().await.expect_problem(422, "invalid_body");
    assert_eq!(refused.string("/errors/0/pointer"), "/retry_backoff");
}

/// The first two retries wait half of their delay at least.
fn assert_waits(calls: &[Recorded]) {
    assert_eq!(calls.len(), 4);
    for (n, delay) in DELAYS[..2].iter().enumerate() {
        let waited = calls[n + 1].at - calls[n].at;
        assert!(waited >= Duration::from_secs_f64(delay / 2.0), "retry {} came after {waited:?}", n + 1);
    }
}
