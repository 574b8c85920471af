//! What an endpoint's settings and states do to its deliveries.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Answer, App, Client, Receiver, SOON, Script, Stack, eventually};

on_both_stacks!(
    event_types_and_channels_choose_the_events,
    own_headers_and_the_time_out_are_in_force,
    a_rate_per_second_is_kept,
    a_concurrency_limit_is_kept,
    a_pause_holds_deliveries_and_a_resume_lets_them_go,
    a_change_of_its_lane_is_in_force_before_the_sweep_comes,
    a_test_answers_with_the_attempt_s_result,
    a_test_that_fails_leaves_nothing_but_its_answer,
    a_test_that_was_given_up_never_arrives,
    what_waits_for_an_endpoint_that_is_disabled_is_dead,
    what_waits_days_for_an_endpoint_is_cancelled_once_it_is_deleted,
    a_test_that_succeeds_makes_a_failing_endpoint_active,
    a_failing_endpoint_says_so_and_is_active_after_a_success,
    recover_includes_what_was_missed_while_disabled,
    calls_to_one_endpoint_at_once_do_not_wait_for_each_other,
    an_event_for_later_is_not_delivered_before,
    an_event_is_replayed_to_the_named_endpoints_only,
);

async fn event_types_and_channels_choose_the_events(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let make = |path: &str, extras: Value| {
        let (client, url) = (app.client.clone(), receiver.url(path));
        async move { client.create_endpoint(&url, extras).await }
    };
    make("/all", json!({})).await;
    make("/exact", json!({ "event_types": ["invoice.paid"] })).await;
    make("/family", json!({ "event_types": ["invoice.*"] })).await;
    make("/channel", json!({ "channels": ["eu", "us"] })).await;
    make("/both", json!({ "event_types": ["invoice.*"], "channels": ["eu"] })).await;
    let cases: [(&str, Value, &[&str]); 5] = [
        ("invoice.paid", json!([]), &["/all", "/exact", "/family"]),
        ("invoice.line.added", json!(["us"]), &["/all", "/family", "/channel"]),
        ("invoice.paid", json!(["eu", "asia"]), &["/all", "/exact", "/family", "/channel", "/both"]),
        ("invoices.paid", json!(["asia"]), &["/all"]),
        ("user.made", json!(["eu"]), &["/all", "/channel"]),
    ];
    let mut expected: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    for (kind, channels, paths) in cases {
        let body = json!({ "type": kind, "payload": 1, "channels": channels });
        let accepted = app.client.post("/v1/events").json(&body).send().await.expect(202);
        assert_eq!(accepted.body["deliveries"], paths.len(), "{kind} {channels}");
        paths.iter().for_each(|path| *expected.entry(path).or_default() += 1);
    }
    for (path, count) in expected {
        receiver.wait_for(path, count, SOON).await;
        assert_eq!(receiver.requests(path).len(), count, "{path}");
    }
}

async fn own_headers_and_the_time_out_are_in_force(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    receiver.first("/hook", [Script::Hang], Script::status(200));
    let headers = json!({ "X-Own": "mine", "User-Agent": "mine/1" });
    let extras = json!({ "headers": headers, "timeout_ms": 300, "retry_schedule_seconds": [0.05] });
    app.client.create_endpoint(&receiver.url("/hook"), extras).await;
    let event = app.client.publish("a.b", "1").await;
    let calls = receiver.wait_for("/hook", 2, SOON).await;
    assert!(calls.iter().all(|call| call.header("x-own") == Some("mine")), "{calls:?}");
    let agents = calls[0].headers.iter().filter(|(name, _)| name == "user-agent").map(|(_, agent)| agent.as_str());
    assert_eq!(agents.collect::<Vec<_>>(), ["mine/1"], "its own takes the place of ours");
    let job = format!("/v1/jobs/{}", app.client.job_of(&event).await);
    let done = || async { Some(app.client.get(&job).send().await).filter(|job| job.string("/state") == "succeeded") };
    let job = eventually("the second try succeeds", SOON, done).await;
    assert_eq!(job.string("/attempts/0/error_class"), "timeout");
    let took = job.body.pointer("/attempts/0/duration_ms").and_then(Value::as_u64).unwrap();
    assert!((290..5_000).contains(&took), "a time-out of 300 ms took {took} ms");
}

async fn a_rate_per_second_is_kept(stack: Stack) {
    const EVENTS: usize = 31;
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    app.client.create_endpoint(&receiver.url("/hook"), json!({ "rate_per_second": 10 })).await;
    publish_batch(&app.client, EVENTS).await;
    let calls = receiver.wait_for("/hook", EVENTS, SOON).await;
    let took = calls[EVENTS - 1].at - calls[0].at;
    assert!((2_900..6_000).contains(&took.as_millis()), "{EVENTS} at 10 a second took {took:?}");
}

async fn a_concurrency_limit_is_kept(stack: Stack) {
    const EVENTS: usize = 8;
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let (let_go, held) = Script::held();
    receiver.always("/narrow", held);
    app.client.create_endpoint(&receiver.url("/narrow"), json!({ "concurrency_max": 2 })).await;
    app.client.create_endpoint(&receiver.url("/wide"), json!({})).await;
    publish_batch(&app.client, EVENTS).await;
    receiver.wait_for("/narrow", 2, SOON).await;
    receiver.wait_for("/wide", EVENTS, SOON).await;
    assert_eq!(receiver.requests("/narrow").len(), 2, "in flight at once");
    let_go.send(true).unwrap();
    receiver.wait_for("/narrow", EVENTS, SOON).await;
}

async fn a_pause_holds_deliveries_and_a_resume_lets_them_go(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let endpoint = app.client.create_endpoint(&receiver.url("/paused"), json!({})).await;
    app.client.create_endpoint(&receiver.url("/other"), json!({})).await;
    let path = format!("/v1/endpoints/{}", endpoint.id);
    let paused = app.client.post(&format!("{path}/pause")).send().await.expect(200);
    assert_eq!(paused.string("/state"), "paused");
    assert!(!paused.string("/state_reason").is_empty());
    publish_batch(&app.client, 5).await;
    receiver.wait_for("/other", 5, SOON).await;
    assert!(receiver.requests("/paused").is_empty(), "a paused endpoint gets nothing");
    assert_eq!(app.client.post(&format!("{path}/resume")).send().await.expect(200).string("/state"), "active");
    let came = receiver.wait_for_events("/paused", 5, SOON).await;
    assert!(came.values().all(|count| *count == 1), "{came:?}");
}

async fn a_change_of_its_lane_is_in_force_before_the_sweep_comes(stack: Stack) {
    const ROUNDS: usize = 5;
    const EVENTS: usize = 9;
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    app.client.create_endpoint(&receiver.url("/witness"), json!({})).await;
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    let path = format!("/v1/endpoints/{}", endpoint.id);
    let (mut resumed, mut freed) = (Duration::ZERO, Duration::ZERO);
    for round in 0..ROUNDS {
        app.client.post(&format!("{path}/pause")).send().await.expect(200);
        publish_batch(&app.client, 1).await;
        receiver.wait_for("/witness", EVENTS * round + 1, SOON).await;
        let began = Instant::now();
        app.client.post(&format!("{path}/resume")).send().await.expect(200);
        receiver.wait_for("/hook", EVENTS * round + 1, SOON).await;
        resumed += began.elapsed();

        app.client.patch(&path).json(&json!({ "rate_per_second": 1 })).send().await.expect(200);
        publish_batch(&app.client, EVENTS - 1).await;
        receiver.wait_for("/witness", EVENTS * (round + 1), SOON).await;
        let began = Instant::now();
        app.client.patch(&path).json(&json!({ "rate_per_second": null })).send().await.expect(200);
        receiver.wait_for("/hook", EVENTS * (round + 1), SOON).await;
        freed += began.elapsed();
    }
    // The sweep comes every five seconds, and says what holds for the lanes whose jobs it looks at.
    for (what, took) in [("resuming", resumed), ("freeing its rate", freed)] {
        assert!(took.as_secs() < ROUNDS as u64, "{what} took {took:?} in {ROUNDS} rounds");
    }
}

async fn a_test_answers_with_the_attempt_s_result(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    receiver.first("/hook", [Script::status(200)], Script::status(503));
    let extras = json!({ "event_types": ["something.else"] });
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), extras).await;
    let path = format!("/v1/endpoints/{}", endpoint.id);
    let good = app.client.post(&format!("{path}/test")).send().await.expect(200);
    assert_eq!((good.string("/outcome"), &good.body["status_code"]), ("succeeded".to_owned(), &json!(200)));
    let call = receiver.wait_for("/hook", 1, SOON).await.remove(0);
    assert_eq!(call.event_id(), good.string("/event_id"));
    assert!(call.text().contains("postrider.test"), "{}", call.text());
    crate::standard_webhooks::assert_verifies(&call, &endpoint.secret);
    let bad = app.client.post(&format!("{path}/test")).send().await.expect(200);
    assert_eq!((bad.string("/outcome"), &bad.body["status_code"]), ("failed".to_owned(), &json!(503)));
    assert_eq!(bad.string("/response_body"), "answer 503");
    app.client.post(&format!("{path}/pause")).send().await.expect(200);
    app.client.post(&format!("{path}/test")).send().await.expect_problem(409, "endpoint_not_active");
}

async fn a_test_that_fails_leaves_nothing_but_its_answer(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let since = jiff::Timestamp::now();
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    let other = app.client.create_endpoint(&receiver.url("/other"), json!({})).await;
    for status in [503, 410] {
        receiver.always("/hook", Script::status(status));
        let bad = app.client.post(&format!("/v1/endpoints/{}/test", endpoint.id)).send().await.expect(200);
        assert_eq!((bad.string("/outcome"), &bad.body["status_code"]), ("failed".to_owned(), &json!(status)));
        let job = app.client.get(&format!("/v1/jobs/{}", bad.string("/job_id"))).send().await.expect(200);
        assert_eq!((job.string("/kind"), job.string("/state")), ("webhook.test".to_owned(), "cancelled".to_owned()));
        let shown = app.client.get(&format!("/v1/endpoints/{}", endpoint.id)).send().await.expect(200);
        assert_eq!((shown.string("/state"), &shown.body["state_reason"]), ("active".to_owned(), &Value::Null));
    }
    for nothing in ["/v1/dead-letters", "/v1/failures"] {
        assert!(app.client.all(nothing).await.is_empty(), "{nothing}");
    }
    receiver.always("/hook", Script::status(200));
    for endpoint in [&endpoint.id, &other.id] {
        assert_eq!(recover(&app.client, endpoint, since).await.body["replayed"], 0, "a test is not made up for");
    }
    assert_eq!((receiver.requests("/hook").len(), receiver.requests("/other").len()), (2, 0));
}

async fn a_test_that_was_given_up_never_arrives(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    receiver.first("/hook", [Script::status(500)], Script::status(200));
    let extras = json!({ "ordered": true, "timeout_ms": 1000, "retry_schedule_seconds": [3600] });
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), extras).await;
    // An ordered lane waits with its first, and the test behind it.
    let first = app.client.job_of(&app.client.publish("a.b", "1").await).await;
    await_state(&app.client, &endpoint.id, "failing").await;
    let untried = app.client.post(&format!("/v1/endpoints/{}/test", endpoint.id)).send().await;
    assert_eq!(untried.expect(504).body["code"], "no_attempt");
    let tests = app.client.all("/v1/jobs?kind=webhook.test").await;
    assert_eq!((tests.len(), &tests[0]["state"]), (1, &json!("cancelled")));
    app.client.post(&format!("/v1/jobs/{first}/run-now")).send().await.expect(202);
    let last = app.client.publish("a.b", "2").await;
    let calls = receiver.wait_for("/hook", 3, SOON).await;
    assert_eq!((calls.len(), calls[2].event_id()), (3, last.as_str()), "the test came all the same");
}

async fn what_waits_for_an_endpoint_that_is_disabled_is_dead(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let (let_go, held) = Script::held();
    receiver.first("/hook", [held, Script::status(410)], Script::status(200));
    let extras = json!({ "concurrency_max": 1 });
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), extras).await;
    publish_batch(&app.client, 4).await;
    receiver.wait_for("/hook", 1, SOON).await;
    let_go.send(true).unwrap();
    let dead = || async { Some(app.client.dead_letters(&endpoint.id).await).filter(|dead| dead.len() == 3) };
    let dead = eventually("all behind the refused one are dead", SOON, dead).await;
    let mut causes: Vec<&str> = dead.iter().map(|letter| letter["cause"].as_str().unwrap()).collect();
    causes.sort_unstable();
    assert_eq!(causes, ["endpoint_disabled", "endpoint_disabled", "gone"]);
    assert_eq!(receiver.requests("/hook").len(), 2, "a disabled endpoint was called");
}

async fn a_test_that_succeeds_makes_a_failing_endpoint_active(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    receiver.always("/hook", Script::status(500));
    let endpoint =
        app.client.create_endpoint(&receiver.url("/hook"), json!({ "retry_schedule_seconds": [3600] })).await;
    app.client.publish("a.b", "1").await;
    await_state(&app.client, &endpoint.id, "failing").await;
    receiver.always("/hook", Script::status(200));
    app.client.post(&format!("/v1/endpoints/{}/test", endpoint.id)).send().await.expect(200);
    let shown = app.client.get(&format!("/v1/endpoints/{}", endpoint.id)).send().await.expect(200);
    assert_eq!(shown.string("/state"), "active");
}

async fn a_failing_endpoint_says_so_and_is_active_after_a_success(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    receiver.always("/hook", Script::status(500));
    let extras = json!({ "retry_schedule_seconds": [0.05] });
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), extras).await;
    app.client.publish("a.b", "1").await;
    let failing = await_state(&app.client, &endpoint.id, "failing").await;
    assert!(!failing.string("/state_reason").is_empty(), "{}", failing.text);
    receiver.always("/hook", Script::status(200));
    app.client.publish("a.b", "2").await;
    let active = await_state(&app.client, &endpoint.id, "active").await;
    assert_eq!(active.body["state_reason"], Value::Null);
}

/// The operation, once it is done.
async fn recover(client: &Client, endpoint: &str, since: jiff::Timestamp) -> Answer {
    let body = json!({ "since": since.to_string() });
    let begun = client.post(&format!("/v1/endpoints/{endpoint}/recover")).json(&body).send().await.expect(202);
    let path = format!("/v1/operations/{}", begun.string("/id"));
    let done = || async {
        let operation = client.get(&path).send().await.expect(200);
        (operation.string("/state") == "succeeded").then_some(operation)
    };
    eventually("the recovery is done", SOON, done).await
}

async fn what_waits_days_for_an_endpoint_is_cancelled_once_it_is_deleted(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    receiver.always("/hook", Script::status(500));
    let days = json!({ "retry_schedule_seconds": [200_000] });
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), days.clone()).await;
    let ordered = json!({ "retry_schedule_seconds": [200_000], "ordered": true });
    let in_order = app.client.create_endpoint(&receiver.url("/hook"), ordered).await;
    let other = app.client.create_endpoint(&receiver.url("/hook"), days).await;
    for n in 0..5 {
        app.client.publish("a.b", &n.to_string()).await;
    }
    let at = jiff::Timestamp::now() + Duration::from_secs(300_000);
    let later = json!({ "type": "a.b", "payload": 9, "deliver_at": at.to_string() });
    app.client.post("/v1/events").json(&later).send().await.expect(202);
    receiver.wait_for("/hook", 5 + 1 + 5, SOON).await;
    for deleted in [&endpoint, &in_order] {
        app.client.delete(&format!("/v1/endpoints/{}", deleted.id)).send().await.expect(204);
    }
    let cancelled = || async {
        let jobs = app.client.all("/v1/jobs?state=cancelled").await;
        (jobs.len() == 12).then_some(jobs)
    };
    let jobs = eventually("all that waited is cancelled", SOON, cancelled).await;
    assert!(jobs.iter().all(|job| job["last_error"] == "endpoint deleted"), "{jobs:#?}");
    let others: Vec<Value> = app.client.all("/v1/jobs").await;
    let waiting = others.iter().filter(|job| job["endpoint_id"] == other.id && job["finished_at"].is_null());
    assert_eq!(waiting.count(), 6, "what waits for another endpoint stays");
}

async fn recover_includes_what_was_missed_while_disabled(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let since = jiff::Timestamp::now();
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    let before = app.client.publish("went.well", "0").await;
    receiver.wait_for("/hook", 1, SOON).await;
    receiver.always("/hook", Script::status(410));
    let gone = app.client.publish("was.gone", "1").await;
    let disabled = await_state(&app.client, &endpoint.id, "disabled").await;
    assert!(disabled.string("/state_reason").contains("410"), "{}", disabled.text);
    let missed = [app.client.publish("was.missed", "2").await, app.client.publish("was.missed", "3").await];
    let at = since + Duration::from_secs(36_000);
    let later = json!({ "type": "is.for.later", "payload": 4, "deliver_at": at.to_string() });
    let later = app.client.post("/v1/events").json(&later).send().await.expect(202).string("/id");
    receiver.always("/hook", Script::status(200));
    let path = format!("/v1/endpoints/{}", endpoint.id);
    app.client.post(&format!("{path}/resume")).send().await.expect(200);
    let operation = recover(&app.client, &endpoint.id, since).await;
    assert_eq!(operation.body["replayed"], 4, "{}", operation.text);
    let shown = app.client.get(&format!("/v1/events/{later}")).send().await.expect(200);
    assert_eq!(shown.string("/deliveries/0/state"), "scheduled", "what is for later stays so");
    let asked = json!({ "since": since.to_string(), "until": since.to_string() });
    let nothing = app.client.post(&format!("{path}/recover")).json(&asked).send().await.expect(202);
    assert_eq!((&nothing.body["total"], nothing.string("/until")), (&json!(0), nothing.string("/since")));
    let came = receiver.wait_for_events("/hook", 4, SOON).await;
    let counts: Vec<usize> = [&before, &gone, &missed[0], &missed[1]].map(|event| came[event]).to_vec();
    assert_eq!(counts, [1, 2, 1, 1], "once each, and the refused one once more");
}

async fn calls_to_one_endpoint_at_once_do_not_wait_for_each_other(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    let path = format!("/v1/endpoints/{}", endpoint.id);
    let pauses = (0..20).map(|n| app.client.post(&format!("{path}/{}", ["pause", "resume"][n % 2])).send());
    for answer in futures::future::join_all(pauses).await {
        answer.expect(200);
    }
    let deletions = futures::future::join_all((0..20).map(|_| app.client.delete(&path).send())).await;
    let count = |status: u16| deletions.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(204), count(404)), (1, 19));
}

async fn an_event_for_later_is_not_delivered_before(stack: Stack) {
    const AHEAD: Duration = Duration::from_millis(1_500);
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    let (asked, at) = (Instant::now(), jiff::Timestamp::now() + AHEAD);
    let body = json!({ "type": "a.b", "payload": 1, "deliver_at": at.to_string() });
    let event = app.client.post("/v1/events").json(&body).send().await.expect(202).string("/id");
    let shown = app.client.get(&format!("/v1/events/{event}")).send().await.expect(200);
    assert_eq!(shown.string("/deliveries/0/state"), "scheduled");
    let waited = receiver.wait_for("/hook", 1, SOON).await[0].at - asked;
    // Times are stored with milliseconds.
    assert!(waited + Duration::from_millis(2) >= AHEAD, "it came after {waited:?}");
}

async fn an_event_is_replayed_to_the_named_endpoints_only(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    app.client.create_endpoint(&receiver.url("/a"), json!({})).await;
    let b = app.client.create_endpoint(&receiver.url("/b"), json!({})).await;
    let event = app.client.publish("a.b", r#"{"z": 1.0}"#).await;
    receiver.wait_for("/a", 1, SOON).await;
    receiver.wait_for("/b", 1, SOON).await;
    let replay = format!("/v1/events/{event}/replay");
    let body = json!({ "endpoints": [b.id] });
    assert_eq!(app.client.post(&replay).json(&body).send().await.expect(202).body["deliveries"], 1);
    let calls = receiver.wait_for("/b", 2, SOON).await;
    assert_eq!((calls[1].event_id(), calls[1].text()), (event.as_str(), r#"{"z": 1.0}"#));
    assert_eq!(receiver.requests("/a").len(), 1);
    assert_eq!(app.client.post(&replay).send().await.expect(202).body["deliveries"], 2, "without names, to all");
    receiver.wait_for("/a", 2, SOON).await;
    receiver.wait_for("/b", 3, SOON).await;
    let unknown = json!({ "endpoints": ["ep_nobody"] });
    app.client.post(&replay).json(&unknown).send().await.expect_problem(422, "invalid_body");
}

async fn publish_batch(client: &Client, count: usize) {
    let events: Vec<Value> = (0..count).map(|n| json!({ "type": "a.b", "payload": n })).collect();
    client.post("/v1/events/batch").json(&json!({ "events": events })).send().await.expect(202);
}

async fn await_state(client: &Client, endpoint: &str, state: &str) -> Answer {
    let path = format!("/v1/endpoints/{endpoint}");
    let reached =
        || async { Some(client.get(&path).send().await.expect(200)).filter(|one| one.string("/state") == state) };
    eventually(&format!("the endpoint is {state}"), SOON, reached).await
}
