//! Deliveries that go as they should: signed, byte for byte, in order, by the settings of now.

use serde_json::json;

use crate::{
    harness::{App, Receiver, SOON, Script, Stack, eventually},
    standard_webhooks::{assert_refuses, assert_verifies, verifies},
};

on_both_stacks!(
    an_event_reaches_three_endpoints_each_signed_with_its_own_secret_byte_for_byte,
    a_filter_and_a_channel_choose_the_endpoints,
    an_endpoint_s_own_headers_come_and_every_attempt_has_the_same_event_id,
    a_rotation_signs_with_both_secrets_until_its_grace_is_over,
    an_answer_410_disables_the_endpoint,
    an_event_goes_out_at_once_and_does_not_wait_for_the_sweep,
    events_are_found_by_type_and_time,
    an_ordered_endpoint_keeps_the_order_through_failures,
    a_hanging_endpoint_does_not_delay_another,
    a_paused_endpoint_gets_nothing_until_it_is_resumed,
);

/// Odd spacing, key order, doubled keys, number forms and escapes: all of it JSON, none of it what a serializer writes.
const ODD_PAYLOAD: &str =
    "{ \"z\":1.0e3 ,\"a\" : [1,2.50, -0,1E+2,12345678901234567890123],\n\t\"ü\":\"\\u00e9\\/é\", \"a\":null  }";

async fn an_event_reaches_three_endpoints_each_signed_with_its_own_secret_byte_for_byte(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let mut endpoints = Vec::new();
    for path in ["/one", "/two", "/three"] {
        endpoints.push((path, app.client.create_endpoint(&receiver.url(path), json!({})).await));
    }
    let event = app.client.publish("invoice.paid", ODD_PAYLOAD).await;
    for (path, endpoint) in &endpoints {
        let requests = receiver.wait_for(path, 1, SOON).await;
        assert_eq!(requests[0].method, "POST");
        assert_eq!(requests[0].text(), ODD_PAYLOAD, "byte for byte as published");
        assert_eq!(requests[0].event_id(), event);
        assert_eq!(requests[0].header("content-type"), Some("application/json"));
        assert!(requests[0].header("user-agent").unwrap().starts_with("Postrider/"));
        assert_verifies(&requests[0], &endpoint.secret);
        for (_, other) in endpoints.iter().filter(|(other, _)| other != path) {
            assert_refuses(&requests[0], &other.secret);
        }
    }
    let jobs = app.client.jobs_of(&event).await;
    assert_eq!(jobs.len(), 3);
    for (_, job) in jobs {
        let path = format!("/v1/jobs/{job}");
        let succeeded = || async { (app.client.get(&path).send().await.string("/state") == "succeeded").then_some(()) };
        eventually("the job has succeeded", SOON, succeeded).await;
        let shown = app.client.get(&path).send().await.expect(200);
        assert_eq!(shown.list("/attempts").len(), 1);
        assert_eq!(shown.body["attempts"][0]["status_code"], 200);
    }
}

async fn a_filter_and_a_channel_choose_the_endpoints(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    app.client.create_endpoint(&receiver.url("/exact"), json!({ "event_types": ["invoice.paid"] })).await;
    app.client.create_endpoint(&receiver.url("/below"), json!({ "event_types": ["invoice.*"] })).await;
    app.client.create_endpoint(&receiver.url("/channel"), json!({ "channels": ["eu"] })).await;
    let cases = [
        (json!({ "type": "invoice.paid", "payload": 1 }), 2),
        (json!({ "type": "invoice.void", "payload": 2, "channels": ["eu"] }), 2),
        (json!({ "type": "user.made", "payload": 3 }), 0),
    ];
    for (event, deliveries) in cases {
        let accepted = app.client.post("/v1/events").json(&event).send().await.expect(202);
        assert_eq!(accepted.body["deliveries"], deliveries, "{event}");
    }
    receiver.wait_for("/below", 2, SOON).await;
    receiver.wait_for("/exact", 1, SOON).await;
    let channel = receiver.wait_for("/channel", 1, SOON).await;
    assert_eq!(channel[0].text(), "2");
    assert_eq!(receiver.requests("/exact").len(), 1);
}

async fn an_endpoint_s_own_headers_come_and_every_attempt_has_the_same_event_id(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    receiver.first("/hook", [Script::status(500), Script::status(503)], Script::status(204));
    let extras = json!({ "headers": { "x-tenant": "blue" }, "retry_schedule_seconds": [0.05, 0.05] });
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), extras).await;
    let event = app.client.publish("a.b", "{}").await;
    let requests = receiver.wait_for("/hook", 3, SOON).await;
    for request in &requests {
        assert_eq!(request.event_id(), event);
        assert_eq!(request.header("x-tenant"), Some("blue"));
        assert_verifies(request, &endpoint.secret);
    }
}

async fn a_rotation_signs_with_both_secrets_until_its_grace_is_over(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    let rotate = format!("/v1/endpoints/{}/rotate-secret", endpoint.id);
    let second = app.client.post(&rotate).json(&json!({})).send().await.expect(200).string("/secret");
    assert_ne!(second, endpoint.secret);
    app.client.publish("a.b", r#"{"n": 1}"#).await;
    let both = receiver.wait_for("/hook", 1, SOON).await.remove(0);
    assert_eq!(both.header("webhook-signature").unwrap().split(' ').count(), 2);
    assert_verifies(&both, &endpoint.secret);
    assert_verifies(&both, &second);
    // No grace for the second, nor for what was retired before it: within 2 s everywhere, they sign no more.
    let no_grace = json!({ "grace_seconds": 0 });
    let third = app.client.post(&rotate).json(&no_grace).send().await.expect(200).string("/secret");
    let retired = || async {
        let before = receiver.requests("/hook").len();
        app.client.publish("a.b", r#"{"n": 2}"#).await;
        let request = receiver.wait_for("/hook", before + 1, SOON).await.remove(before);
        let signs = [&endpoint.secret, &second].map(|secret| verifies(&request, secret));
        (signs == [false, false]).then_some(request)
    };
    let last = eventually("the retired secrets sign no more", SOON, retired).await;
    assert_verifies(&last, &third);
}

async fn an_answer_410_disables_the_endpoint(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    receiver.always("/hook", Script::status(410));
    let endpoint = app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    app.client.publish("a.b", "{}").await;
    let path = format!("/v1/endpoints/{}", endpoint.id);
    let disabled = || async {
        Some(app.client.get(&path).send().await.expect(200)).filter(|shown| shown.string("/state") == "disabled")
    };
    eventually("the endpoint is disabled", SOON, disabled).await;
    let dead = || async { Some(app.client.dead_letters(&endpoint.id).await).filter(|dead| dead.len() == 1) };
    let dead = eventually("the delivery is a dead letter", SOON, dead).await;
    assert_eq!(dead[0]["cause"], "gone");
    assert_eq!(receiver.requests("/hook").len(), 1, "410 is not tried again");
    let accepted = app.client.post("/v1/events").json(&json!({ "type": "a.b", "payload": 1 })).send().await.expect(202);
    assert_eq!(accepted.body["deliveries"], 0, "a disabled endpoint gets nothing more");
    app.client.post(&format!("{path}/pause")).send().await.expect_problem(409, "endpoint_not_active");
}

async fn an_event_goes_out_at_once_and_does_not_wait_for_the_sweep(stack: Stack) {
    const EVENTS: usize = 5;
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    let began = std::time::Instant::now();
    for n in 1..=EVENTS {
        app.client.publish("a.b", &n.to_string()).await;
        receiver.wait_for("/hook", n, SOON).await;
    }
    // The sweep looks every five seconds.
    let took = began.elapsed();
    assert!(took.as_secs() < 10, "{EVENTS} events, each after the one before it, took {took:?}");
}

async fn events_are_found_by_type_and_time(stack: Stack) {
    let app = App::start(stack).await;
    let old = app.client.publish("a.b", "1").await;
    let shown = app.client.get(&format!("/v1/events/{old}")).send().await.expect(200);
    let published: jiff::Timestamp = shown.string("/created_at").parse().unwrap();
    let after = published + std::time::Duration::from_millis(1);
    let passed = || async { (jiff::Timestamp::now() > after).then_some(()) };
    eventually("a later millisecond", SOON, passed).await;
    let new = app.client.publish("c.d", "2").await;
    for (query, expected) in
        [("type=a.b".to_owned(), &old), (format!("since={after}"), &new), (format!("until={after}"), &old)]
    {
        let found = app.client.all(&format!("/v1/events?{query}")).await;
        let ids: Vec<&str> = found.iter().map(|event| event["id"].as_str().unwrap()).collect();
        assert_eq!(ids, [expected.as_str()], "{query}");
    }
}

async fn an_ordered_endpoint_keeps_the_order_through_failures(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    // Every other request fails once, so that each later event has the chance to overtake.
    let trouble = (0..20).map(|n| Script::status(if n % 2 == 0 { 500 } else { 200 }));
    receiver.first("/hook", trouble, Script::status(200));
    let extras = json!({ "ordered": true, "retry_schedule_seconds": [0.05, 0.05, 0.05] });
    app.client.create_endpoint(&receiver.url("/hook"), extras).await;
    for n in 0..20 {
        app.client.publish("a.b", &n.to_string()).await;
    }
    let requests = receiver.wait_for("/hook", 30, SOON).await;
    let mut order: Vec<&str> = requests.iter().map(crate::harness::Recorded::text).collect();
    order.dedup();
    let published: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    assert_eq!(order, published, "each event is done before the next begins");
}

async fn a_hanging_endpoint_does_not_delay_another(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    receiver.always("/hangs", Script::Hang);
    let filtered = |kind: &str| json!({ "event_types": [kind], "timeout_ms": 20_000 });
    app.client.create_endpoint(&receiver.url("/hangs"), filtered("slow")).await;
    app.client.create_endpoint(&receiver.url("/prompt"), filtered("quick")).await;
    for n in 0..200 {
        app.client.publish("slow", &n.to_string()).await;
    }
    receiver.wait_for("/hangs", 1, SOON).await;
    let started = std::time::Instant::now();
    for n in 0..20 {
        app.client.publish("quick", &n.to_string()).await;
    }
    receiver.wait_for("/prompt", 20, SOON).await;
    let took = started.elapsed();
    assert!(took.as_secs() < 10, "20 quick deliveries took {took:?} beside a receiver that hangs for 20 s");
}

async fn a_paused_endpoint_gets_nothing_until_it_is_resumed(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let endpoint = app.client.create_endpoint(&receiver.url("/paused"), json!({})).await;
    app.client.create_endpoint(&receiver.url("/other"), json!({})).await;
    app.client.post(&format!("/v1/endpoints/{}/pause", endpoint.id)).send().await.expect(200);
    for n in 0..10 {
        app.client.publish("a.b", &n.to_string()).await;
    }
    receiver.wait_for("/other", 10, SOON).await;
    assert!(receiver.requests("/paused").is_empty());
    app.client.post(&format!("/v1/endpoints/{}/resume", endpoint.id)).send().await.expect(200);
    receiver.wait_for_events("/paused", 10, SOON).await;
}
