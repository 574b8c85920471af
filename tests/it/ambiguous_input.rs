//! Null, and what is there twice: each is taken in one way or refused, so that nobody has to guess.

use serde_json::{Value, json};

use crate::harness::{ADMIN_TOKEN, App, Stack};

on_both_stacks!(
    null_is_refused_where_a_value_is_required,
    null_is_taken_as_absent_where_none_is_required,
    a_header_that_is_there_twice_is_refused,
    a_member_that_is_there_twice_is_refused_at_its_place,
    a_payload_is_kept_with_what_is_twice_in_it,
);

async fn null_is_refused_where_a_value_is_required(stack: Stack) {
    let app = App::start(stack).await;
    let made = app.client.create_endpoint("https://example.com/hook", json!({})).await;
    let endpoint = format!("/v1/endpoints/{}", made.id);
    let args = |field: &str| {
        let mut args = json!({ "method": "GET", "url": "https://example.com/" });
        args[field] = Value::Null;
        json!({ "kind": "http.request", "args": args })
    };
    let cases = [
        ("/v1/endpoints", json!({ "url": null }), "/url"),
        ("/v1/endpoints", json!({}), "/url"),
        ("/v1/events", json!({ "type": null, "payload": 1 }), "/type"),
        ("/v1/events", json!({ "payload": 1 }), "/type"),
        ("/v1/events/batch", json!({ "events": null }), "/events"),
        ("/v1/jobs", json!({ "kind": null, "args": {} }), "/kind"),
        ("/v1/jobs", json!({ "kind": "http.request", "args": null }), "/args"),
        ("/v1/jobs", args("method"), "/args/method"),
        ("/v1/jobs", args("url"), "/args/url"),
        ("/v1/tenants", json!({ "slug": null, "name": "A" }), "/slug"),
        ("/v1/tokens", json!({ "name": "a", "role": null }), "/role"),
        ("/v1/dead-letters/replay", json!({ "filter": null }), "/filter"),
        (&format!("{endpoint}/recover"), json!({ "since": null }), "/since"),
        (&format!("{endpoint}/recover"), json!({}), "/since"),
    ];
    for (path, body, pointer) in cases {
        let refused = app.client.post(path).json(&body).send().await.expect_problem(422, "invalid_body");
        assert_eq!(refused.list("/errors").len(), 1, "{path} {body}: {}", refused.text);
        assert_eq!(refused.string("/errors/0/pointer"), pointer, "{path} {body}: {}", refused.text);
        assert!(refused.string("/detail").contains("is required"), "{path} {body}: {}", refused.text);
    }
    let changed = app.client.patch(&endpoint).json(&json!({ "url": null })).send().await;
    let changed = changed.expect_problem(422, "invalid_body");
    assert_eq!(changed.string("/errors/0/pointer"), "/url");
    assert!(changed.string("/detail").contains("is required"), "{}", changed.text);
}

async fn null_is_taken_as_absent_where_none_is_required(stack: Stack) {
    let app = App::start(stack).await;
    let made = app.client.create_endpoint("https://example.com/hook", json!({})).await;
    let event = json!({ "type": "a", "payload": null, "id": null, "channels": null, "deliver_at": null });
    let published = app.client.post("/v1/events").json(&event).send().await.expect(202).string("/id");
    let args = json!({ "method": "GET", "url": "https://example.com/", "headers": null, "body": null,
        "timeout_ms": null, "retry_schedule_seconds": null, "retry_backoff": null });
    let job = json!({ "kind": "http.request", "args": args, "lane": null, "run_at": null, "unique_key": null,
        "max_attempts": null, "priority": null });
    let filter = json!({ "kind": null, "endpoint": null, "event_type": null, "fingerprint": null, "status": null,
        "q": null, "since": null, "until": null });
    let (token, endpoint) = (json!({ "name": "a", "role": "viewer", "expires_at": null }), &made.id);
    for (path, body, status) in [
        ("/v1/jobs", job, 202),
        ("/v1/tokens", token, 201),
        (&format!("/v1/events/{published}/replay"), json!({ "endpoints": null }), 202),
        (&format!("/v1/endpoints/{endpoint}/rotate-secret"), json!({ "grace_seconds": null, "secret": null }), 200),
        (&format!("/v1/endpoints/{endpoint}/recover"), json!({ "since": "2020-01-01T00:00:00Z", "until": null }), 202),
        ("/v1/dead-letters/replay", json!({ "filter": filter, "rate_per_second": null, "dry_run": null }), 202),
    ] {
        app.client.post(path).json(&body).send().await.expect(status);
    }
}

async fn a_header_that_is_there_twice_is_refused(stack: Stack) {
    let app = App::start(stack).await;
    let post = || app.client.post("/v1/events").json(&json!({ "type": "a", "payload": 1 }));
    for (name, values) in [
        ("Idempotency-Key", ["one", "two"]),
        ("Idempotency-Key", ["one", "one"]),
        ("Postrider-Tenant", ["default", "default"]),
        // The call has one already.
        ("Content-Type", ["application/json", "application/json"]),
    ] {
        let refused = post().header(name, values[0]).header(name, values[1]).send().await;
        let refused = refused.expect_problem(400, "bad_header");
        assert_eq!(refused.string("/errors/0/parameter"), name);
        assert!(refused.string("/detail").contains("twice"), "{}", refused.text);
    }
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    for first in ["Bearer nonsense", &bearer] {
        let call = post().without_token().header("authorization", first).header("authorization", &bearer);
        call.send().await.expect_problem(401, "token_invalid");
    }
    let coded = post().header("content-encoding", "identity").header("content-encoding", "gzip").send().await;
    coded.expect_problem(415, "unsupported_media_type");
    assert!(app.client.all("/v1/events").await.is_empty());
    let named = app.client.get("/v1/events").header("x-request-id", "one").header("x-request-id", "two").send().await;
    assert!(!["one", "two"].map(Some).contains(&named.expect(200).header("x-request-id")), "it is neither");
}

async fn a_member_that_is_there_twice_is_refused_at_its_place(stack: Stack) {
    let app = App::start(stack).await;
    let made = app.client.create_endpoint("https://example.com/hook", json!({})).await;
    let url = r#""url": "https://example.com/hook""#;
    let backoff = r#"{"base_seconds": 1, "factor": 2, "factor": 2, "cap_seconds": 60, "retries": 3}"#;
    let job = |args: &str| format!(r#"{{"kind": "http.request", "args": {{"method": "GET", {url}, {args}}}}}"#);
    for (path, body, pointer) in [
        ("/v1/events", r#"{"type": "a", "type": "a", "payload": 1}"#.to_owned(), "/type"),
        ("/v1/events", r#"{"type": "a", "payload": 1, "payload": 2}"#.to_owned(), "/payload"),
        ("/v1/events/batch", r#"{"events": [], "events": []}"#.to_owned(), "/events"),
        ("/v1/endpoints", format!("{{{url}, {url}}}"), "/url"),
        ("/v1/endpoints", format!(r#"{{{url}, "retry_backoff": {backoff}}}"#), "/retry_backoff/factor"),
        ("/v1/endpoints", format!(r#"{{{url}, "headers": {{"x-a": "1", "x-a": "1"}}}}"#), "/headers/x-a"),
        ("/v1/endpoints", format!(r#"{{{url}, "metadata": {{"a": 1, "a": 1}}}}"#), "/metadata/a"),
        (
            "/v1/endpoints",
            format!(r#"{{{url}, "metadata": {{"a": [0, {{"b/c": 1, "b/c": 2}}]}}}}"#),
            "/metadata/a/1/b~1c",
        ),
        ("/v1/jobs", r#"{"kind": "http.request", "kind": "http.request", "args": {}}"#.to_owned(), "/kind"),
        ("/v1/jobs", job(r#""body": "1", "body": "2""#), "/args/body"),
        ("/v1/jobs", job(r#""headers": {"x-a": "1", "x-a": "1"}"#), "/args/headers/x-a"),
        ("/v1/dead-letters/replay", r#"{"filter": {"q": "a", "q": "b"}}"#.to_owned(), "/filter/q"),
    ] {
        let refused = app.client.post(path).json_text(body.as_str()).send().await.expect_problem(422, "invalid_body");
        assert_eq!(refused.list("/errors").len(), 1, "{body}: {}", refused.text);
        assert_eq!(refused.string("/errors/0/pointer"), pointer, "{body}: {}", refused.text);
        assert!(refused.string("/detail").contains("there twice"), "{body}: {}", refused.text);
    }
    let patch =
        app.client.patch(&format!("/v1/endpoints/{}", made.id)).json_text(r#"{"ordered": true, "ordered": true}"#);
    assert_eq!(patch.send().await.expect_problem(422, "invalid_body").string("/errors/0/pointer"), "/ordered");
    let batch = r#"{"events": [{"type": "a", "payload": 1}, {"type": "a", "payload": 1, "id": "b", "id": "c"}]}"#;
    let answer = app.client.post("/v1/events/batch").json_text(batch).send().await.expect(202);
    assert_eq!(answer.string("/data/1/error/errors/0/pointer"), "/events/1/id");
    assert_eq!(app.client.all("/v1/events").await.len(), 1);
}

async fn a_payload_is_kept_with_what_is_twice_in_it(stack: Stack) {
    let app = App::start(stack).await;
    let payload = r#"{"a" :1, "a":{"b":1,"b":2}}"#;
    let id = app.client.publish("a.b", payload).await;
    let shown = app.client.get(&format!("/v1/events/{id}")).send().await.expect(200);
    assert!(shown.text.contains(payload), "{}", shown.text);
}
