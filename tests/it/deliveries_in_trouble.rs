//! Deliveries that fail: each kind of failure is retried on the schedule, ends as one dead letter, and a replay after
//! mending delivers.

use serde_json::{Value, json};

use crate::{
    harness::{App, Client, LONG, Receiver, SOON, Script, Stack, eventually},
    standard_webhooks::assert_verifies,
};

on_both_stacks!(
    a_receiver_that_answers_500_gets_three_tries_one_dead_letter_and_the_replay,
    a_receiver_that_hangs_gets_three_tries_one_dead_letter_and_the_replay,
    a_receiver_that_drips_gets_three_tries_one_dead_letter_and_the_replay,
    a_receiver_that_closes_gets_three_tries_one_dead_letter_and_the_replay,
    a_receiver_that_redirects_is_not_followed_and_ends_as_one_dead_letter,
    a_refused_connection_ends_as_one_dead_letter,
    a_failed_tls_handshake_ends_as_one_dead_letter,
    an_endless_answer_is_read_to_a_bound_and_is_a_success,
    what_the_rules_of_today_refuse_is_not_called_and_its_tenant_learns_no_address,
    retry_after_is_the_earliest_next_try,
    recover_replays_every_failed_event_exactly_once,
    a_recovery_beside_a_bulk_replay_sends_each_failed_event_once,
);

async fn a_receiver_that_answers_500_gets_three_tries_one_dead_letter_and_the_replay(stack: Stack) {
    three_tries_then_a_replay(stack, Script::status(500)).await;
}

async fn a_receiver_that_hangs_gets_three_tries_one_dead_letter_and_the_replay(stack: Stack) {
    three_tries_then_a_replay(stack, Script::Hang).await;
}

async fn a_receiver_that_drips_gets_three_tries_one_dead_letter_and_the_replay(stack: Stack) {
    three_tries_then_a_replay(stack, Script::Drip).await;
}

async fn a_receiver_that_closes_gets_three_tries_one_dead_letter_and_the_replay(stack: Stack) {
    three_tries_then_a_replay(stack, Script::Close).await;
}

async fn a_receiver_that_redirects_is_not_followed_and_ends_as_one_dead_letter(stack: Stack) {
    let elsewhere = Receiver::start().await;
    three_tries_then_a_replay(stack, Script::redirect(&elsewhere.url("/trap"))).await;
    assert_eq!(elsewhere.connections(), 0, "redirects are not followed");
}

async fn a_refused_connection_ends_as_one_dead_letter(stack: Stack) {
    let gone = Receiver::start().await;
    let url = gone.url("/hook");
    drop(gone);
    mended_by_a_new_address(stack, &url).await;
}

async fn a_failed_tls_handshake_ends_as_one_dead_letter(stack: Stack) {
    let plain = Receiver::start().await;
    mended_by_a_new_address(stack, &plain.https_url("/hook")).await;
    assert!(plain.connections() >= 3, "TLS was tried at each attempt");
}

/// Short delays, and a time-out that a hanging receiver reaches soon.
fn impatient() -> Value {
    json!({ "retry_schedule_seconds": [0.05, 0.05], "timeout_ms": 500 })
}

const PAYLOAD: &str = r#"{"order":  7.0}"#;

async fn three_tries_then_a_replay(stack: Stack, trouble: Script) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    receiver.always("/hook", trouble);
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), impatient()).await;
    let event = app.client.publish("a.b", PAYLOAD).await;
    let dead = only_dead_letter(&app.client, &endpoint.id).await;
    assert_eq!(receiver.requests("/hook").len(), 3, "the first try and two retries");
    receiver.always("/hook", Script::status(200));
    replay_once(&app.client, &dead).await;
    let replayed = receiver.wait_for("/hook", 4, SOON).await.remove(3);
    assert_eq!((replayed.text(), replayed.event_id()), (PAYLOAD, event.as_str()));
    assert_verifies(&replayed, &endpoint.secret);
}

/// The endpoint points at what cannot answer; mending is its PATCH to a receiver that does.
async fn mended_by_a_new_address(stack: Stack, broken_url: &str) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let endpoint = app.client.create_endpoint(broken_url, impatient()).await;
    let event = app.client.publish("a.b", PAYLOAD).await;
    let dead = only_dead_letter(&app.client, &endpoint.id).await;
    let mended = json!({ "url": receiver.url("/hook") });
    app.client.patch(&format!("/v1/endpoints/{}", endpoint.id)).json(&mended).send().await.expect(200);
    replay_once(&app.client, &dead).await;
    let replayed = receiver.wait_for("/hook", 1, SOON).await.remove(0);
    assert_eq!((replayed.text(), replayed.event_id()), (PAYLOAD, event.as_str()));
    assert_verifies(&replayed, &endpoint.secret);
}

/// Waits for the endpoint's dead letter, whose job has three attempts that all failed, and gives its id.
async fn only_dead_letter(client: &Client, endpoint: &str) -> String {
    let dead = || async { Some(client.dead_letters(endpoint).await).filter(|dead| !dead.is_empty()) };
    let dead = eventually("a dead letter", SOON, dead).await;
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert_eq!(dead[0]["cause"], "attempts_spent");
    let job = dead[0]["job_id"].as_str().expect("the job of a dead letter");
    let job = client.get(&format!("/v1/jobs/{job}")).send().await.expect(200);
    assert_eq!(job.string("/state"), "dead");
    assert_eq!(job.list("/attempts").len(), 3, "{}", job.text);
    dead[0]["id"].as_str().expect("the id of a dead letter").to_owned()
}

async fn replay_once(client: &Client, dead_letter: &str) {
    let replay = format!("/v1/dead-letters/{dead_letter}/replay");
    client.post(&replay).json(&json!({})).send().await.expect(202);
    client.post(&replay).json(&json!({})).send().await.expect_problem(409, "already_resolved");
}

async fn an_endless_answer_is_read_to_a_bound_and_is_a_success(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    receiver.always("/hook", Script::big_body(200, 8 * 1024 * 1024));
    app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    let event = app.client.publish("a.b", "1").await;
    let job = format!("/v1/jobs/{}", app.client.job_of(&event).await);
    let done = || async { Some(app.client.get(&job).send().await).filter(|job| job.string("/state") == "succeeded") };
    let job = eventually("the job has succeeded", SOON, done).await;
    let kept = job.string("/attempts/0/response_body");
    assert_eq!(kept.len(), 4096, "the first 4 KiB of the answer are kept");
}

async fn what_the_rules_of_today_refuse_is_not_called_and_its_tenant_learns_no_address(stack: Stack) {
    let (mut app, receiver) = (App::start(stack).await, Receiver::start().await);
    let extras = json!({ "retry_schedule_seconds": [] });
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), extras).await;
    assert!(app.terminate().await.success());
    app.restart_with("POSTRIDER_EGRESS_ALLOW", "192.0.2.0/24").await;
    app.client.publish("a.b", "1").await;
    let dead = || async { app.client.dead_letters(&endpoint.id).await.pop() };
    let dead = eventually("the delivery is dead", SOON, dead).await;
    assert_eq!(receiver.connections(), 0, "an address was dialled that is not allowed any more");
    let job = app.client.get(&format!("/v1/jobs/{}", dead["job_id"].as_str().unwrap())).send().await.expect(200);
    assert_eq!(job.string("/attempts/0/error_class"), "egress");
    assert_eq!(job.string("/attempts/0/error"), "the URL leads to an address that deliveries may not reach");
    assert!(!job.text.contains("127.0.0.1"), "{}", job.text);
}

async fn retry_after_is_the_earliest_next_try(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    receiver.first("/hook", [Script::status(429).with_header("retry-after", "2")], Script::status(200));
    app.client.create_endpoint(&receiver.url("/hook"), impatient()).await;
    app.client.publish("a.b", "1").await;
    let requests = receiver.wait_for("/hook", 2, SOON).await;
    let waited = requests[1].at - requests[0].at;
    assert!(waited.as_millis() >= 1_950, "the receiver asked for 2 s and got {waited:?}");
}

async fn recover_replays_every_failed_event_exactly_once(stack: Stack) {
    const FAILED: usize = 250;
    const TRIES: usize = 8;
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let since = jiff::Timestamp::now();
    let extras = json!({ "retry_schedule_seconds": vec![0.01; TRIES - 1] });
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), extras).await;
    for n in 0..20 {
        app.client.publish("went.well", &n.to_string()).await;
    }
    let went_well = receiver.wait_for_events("/hook", 20, SOON).await;
    receiver.always("/hook", Script::status(500));
    publish_batch(&app.client, "went.wrong", FAILED).await;
    let dead = || async { Some(app.client.dead_letters(&endpoint.id).await).filter(|dead| dead.len() == FAILED) };
    eventually("every failed event is a dead letter", LONG, dead).await;
    let before = receiver.requests("/hook").len();
    assert_eq!(before, 20 + FAILED * TRIES);

    receiver.always("/hook", Script::status(200));
    let recover = format!("/v1/endpoints/{}/recover", endpoint.id);
    let since = json!({ "since": since.to_string() });
    let operation = app.client.post(&recover).json(&since).send().await.expect(202).string("/id");
    receiver.wait_for("/hook", before + FAILED, LONG).await;
    await_operation(&app.client, &operation).await;
    // A second recovery finds nothing left, and what it started would have come before its operation is done.
    let second = app.client.post(&recover).json(&since).send().await.expect(202).string("/id");
    await_operation(&app.client, &second).await;
    app.client.publish("the.last", "1").await;
    receiver.wait_for("/hook", before + FAILED + 1, SOON).await;
    let after = receiver.requests("/hook").split_off(before);
    assert_eq!(after.len(), FAILED + 1, "each failed event once, and the last one");
    let distinct: std::collections::HashSet<&str> = after.iter().map(crate::harness::Recorded::event_id).collect();
    assert_eq!(distinct.len(), FAILED + 1);
    assert!(distinct.iter().all(|event| !went_well.contains_key(*event)), "what had succeeded is not replayed");
}

async fn a_recovery_beside_a_bulk_replay_sends_each_failed_event_once(stack: Stack) {
    const FAILED: usize = 900;
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let since = json!({ "since": jiff::Timestamp::now().to_string() });
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), json!({ "retry_schedule_seconds": [] })).await;
    receiver.always("/hook", Script::status(500));
    publish_batch(&app.client, "went.wrong", FAILED).await;
    let dead = || async { Some(app.client.dead_letters(&endpoint.id).await).filter(|dead| dead.len() == FAILED) };
    eventually("every failed event is a dead letter", LONG, dead).await;
    receiver.always("/hook", Script::status(200));
    let recover = format!("/v1/endpoints/{}/recover", endpoint.id);
    let all = json!({ "filter": { "endpoint": endpoint.id } });
    let begin =
        async |path: &str, asked: &Value| app.client.post(path).json(asked).send().await.expect(202).string("/id");
    let (replays, recovers) = tokio::join!(begin("/v1/dead-letters/replay", &all), begin(&recover, &since));
    await_operation(&app.client, &replays).await;
    await_operation(&app.client, &recovers).await;
    receiver.wait_for("/hook", 2 * FAILED, LONG).await;
    app.client.publish("the.last", "1").await;
    receiver.wait_for("/hook", 2 * FAILED + 1, SOON).await;
    let sent = receiver.events("/hook");
    let often: Vec<_> = sent.iter().filter(|(_, count)| **count > 2).collect();
    assert_eq!((sent.len(), often.len()), (FAILED + 1, 0), "once when it failed, and once after that");
}

/// Publishes numbers from 0 in one batch, each accepted.
async fn publish_batch(client: &Client, kind: &str, count: usize) {
    let events: Vec<Value> = (0..count).map(|n| json!({ "type": kind, "payload": n })).collect();
    client.post("/v1/events/batch").json(&json!({ "events": events })).send().await.expect(202);
}

async fn await_operation(client: &Client, operation: &str) {
    let path = format!("/v1/operations/{operation}");
    let done = || async {
        let state = client.get(&path).send().await.expect(200).string("/state");
        assert!(!["failed", "cancelled"].contains(&state.as_str()), "the operation is {state}");
        (!["pending", "running"].contains(&state.as_str())).then_some(())
    };
    eventually("the operation is done", LONG, done).await;
}
