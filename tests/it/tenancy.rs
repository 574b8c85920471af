//! What belongs to one tenant is not there for another: every object is 404, every list is empty.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{App, Client, Receiver, SOON, Script, Stack, eventually};

on_both_stacks!(
    a_tenant_cannot_see_replay_or_change_anything_of_another,
    a_tenant_s_lists_hold_nothing_of_another,
    a_role_may_do_no_more_than_its_name_says,
    a_tenant_s_token_cannot_act_for_another_tenant,
    a_revoked_and_an_expired_token_are_refused,
);

async fn a_tenant_cannot_see_replay_or_change_anything_of_another(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let owner = app.client.new_tenant("owner").await;
    let stranger = app.client.new_tenant("stranger").await;
    let things = Things::make(&owner, &receiver).await;
    let calls = things.calls();
    let paths: Vec<&String> =
        calls.iter().filter(|(method, ..)| *method == Method::GET).map(|(_, path, _)| path).collect();
    let mut before = Vec::new();
    for path in &paths {
        before.push(owner.get(path).send().await.expect(200).text);
    }
    for (method, path, body) in &calls {
        let call = stranger.call(method.clone(), path);
        let call = if body.is_null() { call } else { call.json(body) };
        let answer = call.send().await;
        assert_eq!(answer.status, 404, "{method} {path} by a stranger: {}", answer.text);
        answer.expect_problem(404, "not_found");
    }
    // All is as it was, and there for its owner.
    for (path, before) in paths.into_iter().zip(before) {
        assert_eq!(owner.get(path).send().await.expect(200).text, before, "{path}");
    }
    assert_eq!(receiver.requests("/hook").len(), 1, "the stranger has replayed nothing");
}

async fn a_tenant_s_lists_hold_nothing_of_another(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let owner = app.client.new_tenant("owner").await;
    let stranger = app.client.new_tenant("stranger").await;
    let things = Things::make(&owner, &receiver).await;
    let filtered = format!("/v1/dead-letters?endpoint={}", things.endpoint);
    for list in ["/v1/endpoints", "/v1/events", "/v1/jobs", "/v1/dead-letters", "/v1/failures", &filtered] {
        assert!(!owner.all(list).await.is_empty(), "{list} of its owner");
        let seen = stranger.get(list).send().await;
        let ids_of_owner = [&things.endpoint, &things.event, &things.job, &things.dead_letter];
        assert!(ids_of_owner.iter().all(|id| !seen.text.contains(id.as_str()) || seen.status >= 400), "{list}");
        assert!(seen.body["data"].as_array().is_none_or(Vec::is_empty), "{list} of a stranger: {}", seen.text);
    }
    assert_eq!(stranger.all("/v1/tokens").await.len(), 1, "its own token only");
    let nothing = json!({ "filter": { "endpoint": things.endpoint } });
    let answer = stranger.post("/v1/dead-letters/replay").json(&nothing).send().await;
    assert!([202, 404, 422].contains(&answer.status), "{}", answer.text);
    // The owner's dead letter is still open: its own replay is not a conflict.
    owner.post(&format!("/v1/dead-letters/{}/replay", things.dead_letter)).json(&json!({})).send().await.expect(202);
}

async fn a_role_may_do_no_more_than_its_name_says(stack: Stack) {
    let app = App::start(stack).await;
    let admin = app.client.new_tenant("acme").await;
    let event = json!({ "type": "a", "payload": 1 });
    let endpoint = json!({ "url": "https://example.com/hook" });
    let token = json!({ "name": "more", "role": "viewer" });
    // Role, and what publishing, making an endpoint and making a token answer.
    for (role, publish, make, mint) in
        [("viewer", 403, 403, 403), ("publisher", 202, 403, 403), ("operator", 202, 201, 403), ("admin", 202, 201, 201)]
    {
        let client = admin.with_token(&mint_token(&admin, role).await);
        client.get("/v1/events").send().await.expect(200);
        client.post("/v1/events").json(&event).send().await.expect(publish);
        client.post("/v1/endpoints").json(&endpoint).send().await.expect(make);
        client.post("/v1/tokens").json(&token).send().await.expect(mint);
        client.post("/v1/tenants").json(&json!({ "slug": "mine", "name": "Mine" })).send().await.expect(403);
    }
}

async fn a_tenant_s_token_cannot_act_for_another_tenant(stack: Stack) {
    let app = App::start(stack).await;
    let stranger = app.client.new_tenant("stranger").await;
    app.client.new_tenant("owner").await;
    for slug in ["owner", "default"] {
        let event = json!({ "type": "a", "payload": 1 });
        let answer = stranger.post("/v1/events").header("postrider-tenant", slug).json(&event).send().await;
        assert!((400..=404).contains(&answer.status), "acting for {slug}: {} {}", answer.status, answer.text);
        let seen = app.client.get("/v1/events").header("postrider-tenant", slug).send().await.expect(200);
        assert!(seen.list("/data").is_empty());
    }
}

async fn a_revoked_and_an_expired_token_are_refused(stack: Stack) {
    let app = App::start(stack).await;
    let admin = app.client.new_tenant("acme").await;
    let made = admin.post("/v1/tokens").json(&json!({ "name": "gone", "role": "viewer" })).send().await.expect(201);
    let revoked = made.string("/token");
    admin.get("/v1/events").token(&revoked).send().await.expect(200);
    let path = format!("/v1/tokens/{}", made.string("/id"));
    let answer = admin.delete(&path).send().await;
    assert!((200..300).contains(&answer.status), "{}", answer.text);
    let refused = || async { (admin.get("/v1/events").token(&revoked).send().await.status == 401).then_some(()) };
    eventually("a revoked token is refused (within 2 s everywhere)", SOON, refused).await;
    let expires_at = jiff::Timestamp::now() + std::time::Duration::from_secs(1);
    let short = json!({ "name": "short", "role": "viewer", "expires_at": expires_at.to_string() });
    let short = admin.post("/v1/tokens").json(&short).send().await.expect(201).string("/token");
    let refused = || async { (admin.get("/v1/events").token(&short).send().await.status == 401).then_some(()) };
    eventually("an expired token is refused", SOON, refused).await;
}

async fn mint_token(admin: &Client, role: &str) -> String {
    admin.post("/v1/tokens").json(&json!({ "name": role, "role": role })).send().await.expect(201).string("/token")
}

/// One of everything that a tenant can have.
struct Things {
    endpoint: String,
    event: String,
    job: String,
    /// A job that waits for tomorrow.
    waiting: String,
    /// One that has ended.
    operation: String,
    dead_letter: String,
    token: String,
}

impl Things {
    async fn make(owner: &Client, receiver: &Receiver) -> Self {
        receiver.always("/hook", Script::status(500));
        let extras = json!({ "retry_schedule_seconds": [] });
        let endpoint = owner.create_endpoint(&receiver.url("/hook"), extras).await.id;
        let event = owner.publish("a.b", "1").await;
        let job = owner.job_of(&event).await;
        let dead = || async { owner.dead_letters(&endpoint).await.pop() };
        let dead = eventually("a dead letter", SOON, dead).await;
        let dead_letter = dead["id"].as_str().expect("the id of a dead letter").to_owned();
        let token = json!({ "name": "second", "role": "viewer" });
        let token = owner.post("/v1/tokens").json(&token).send().await.expect(201).string("/id");
        let tomorrow = (jiff::Timestamp::now() + std::time::Duration::from_secs(24 * 3600)).to_string();
        let args = json!({ "method": "GET", "url": receiver.url("/hook") });
        let waiting = json!({ "kind": "http.request", "args": args, "run_at": tomorrow });
        let waiting = owner.post("/v1/jobs").json(&waiting).send().await.expect(202).string("/id");
        let none = json!({ "filter": { "event_type": "nothing.has.it" } });
        let operation = owner.post("/v1/dead-letters/replay").json(&none).send().await.expect(202).string("/id");
        let path = format!("/v1/operations/{operation}");
        let ended = || async { (owner.get(&path).send().await.string("/state") == "succeeded").then_some(()) };
        eventually("the operation has ended", SOON, ended).await;
        Self { endpoint, event, job, waiting, operation, dead_letter, token }
    }

    /// Every call that names one of them, with a body that is right.
    fn calls(&self) -> Vec<(Method, String, Value)> {
        let Self { endpoint, event, job, waiting, operation, dead_letter, token } = self;
        let (none, empty) = (Value::Null, json!({}));
        vec![
            (Method::GET, format!("/v1/endpoints/{endpoint}"), none.clone()),
            (Method::PATCH, format!("/v1/endpoints/{endpoint}"), json!({ "description": "mine now" })),
            (Method::POST, format!("/v1/endpoints/{endpoint}/pause"), none.clone()),
            (Method::POST, format!("/v1/endpoints/{endpoint}/resume"), none.clone()),
            (Method::POST, format!("/v1/endpoints/{endpoint}/test"), none.clone()),
            (Method::POST, format!("/v1/endpoints/{endpoint}/rotate-secret"), empty.clone()),
            (Method::POST, format!("/v1/endpoints/{endpoint}/recover"), json!({ "since": "2020-01-01T00:00:00Z" })),
            (Method::DELETE, format!("/v1/endpoints/{endpoint}"), none.clone()),
            (Method::GET, format!("/v1/events/{event}"), none.clone()),
            (Method::POST, format!("/v1/events/{event}/replay"), none.clone()),
            (Method::GET, format!("/v1/jobs/{job}"), none.clone()),
            (Method::POST, format!("/v1/jobs/{job}/cancel"), none.clone()),
            (Method::POST, format!("/v1/jobs/{job}/run-now"), none.clone()),
            (Method::GET, format!("/v1/jobs/{waiting}"), none.clone()),
            (Method::POST, format!("/v1/jobs/{waiting}/cancel"), none.clone()),
            (Method::POST, format!("/v1/jobs/{waiting}/run-now"), none.clone()),
            (Method::GET, format!("/v1/operations/{operation}"), none.clone()),
            (Method::POST, format!("/v1/operations/{operation}/cancel"), none.clone()),
            (Method::GET, format!("/v1/dead-letters/{dead_letter}"), none.clone()),
            (Method::POST, format!("/v1/dead-letters/{dead_letter}/replay"), empty),
            (Method::POST, format!("/v1/dead-letters/{dead_letter}/discard"), json!({ "reason": "mine now" })),
            (Method::DELETE, format!("/v1/tokens/{token}"), none),
        ]
    }
}
