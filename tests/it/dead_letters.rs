//! Dead letters: kept whole, found, replayed alone or in bulk, and discarded.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::harness::{Answer, App, Client, MadeEndpoint, Receiver, SOON, Script, Stack, eventually};

on_both_stacks!(
    a_bulk_replay_is_counted_and_kept_to_its_rate,
    a_bulk_replay_can_be_cancelled_halfway,
    a_discarded_dead_letter_is_not_replayed,
    a_replay_with_another_payload_delivers_its_bytes,
    a_dead_letter_outlives_its_endpoint,
    a_replay_to_a_disabled_endpoint_is_refused_until_it_is_resumed,
    failures_are_grouped_by_their_fingerprint,
    dead_letters_are_found_by_each_of_their_filters,
    lists_are_paged_without_gap_or_double,
);

async fn a_bulk_replay_is_counted_and_kept_to_its_rate(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let endpoint = die(&app.client, &receiver, &[("kind.a", 40), ("kind.b", 5)]).await;
    receiver.always("/hook", Script::status(200));
    let filter = json!({ "endpoint": endpoint.id, "event_type": "kind.a" });
    let dry = json!({ "filter": filter, "dry_run": true });
    let counted = app.client.post("/v1/dead-letters/replay").json(&dry).send().await.expect(200);
    assert_eq!(counted.body, json!({ "count": 40, "skipped": 0 }));
    let bulk = json!({ "filter": filter, "rate_per_second": 20 });
    let begun = app.client.post("/v1/dead-letters/replay").json(&bulk).send().await.expect(202);
    assert_eq!(begun.body["total"], 40);
    let path = format!("/v1/operations/{}", begun.string("/id"));
    let part = || async {
        let replayed = app.client.get(&path).send().await.expect(200).body["replayed"].as_u64().unwrap();
        (0 < replayed).then_some(replayed)
    };
    assert!(eventually("the operation shows progress", SOON, part).await < 40, "all at once");
    let done = ended(&app.client, &begun).await;
    assert_eq!((&done["state"], &done["replayed"], &done["seen"]), (&json!("succeeded"), &json!(40), &json!(40)));
    let calls = receiver.wait_for("/hook", 90 + 40, SOON).await;
    let took = calls[129].at - calls[90].at;
    assert!(took.as_millis() >= 1_400, "40 at 20 a second took {took:?}");
    assert_eq!(app.client.all("/v1/dead-letters?state=open").await.len(), 5, "the others stay");
}

async fn a_bulk_replay_can_be_cancelled_halfway(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    die(&app.client, &receiver, &[("a.b", 30)]).await;
    receiver.always("/hook", Script::status(200));
    let bulk = json!({ "filter": {}, "rate_per_second": 4 });
    let begun = app.client.post("/v1/dead-letters/replay").json(&bulk).send().await.expect(202);
    let path = format!("/v1/operations/{}", begun.string("/id"));
    let some = || async { app.client.get(&path).send().await.body["replayed"].as_u64().filter(|count| *count > 2) };
    eventually("some are replayed", SOON, some).await;
    let cancelled = app.client.post(&format!("{path}/cancel")).send().await.expect(200);
    assert_eq!(cancelled.string("/state"), "cancelled");
    app.client.post(&format!("{path}/cancel")).send().await.expect_problem(409, "operation_finished");
    let replayed = app.client.all("/v1/dead-letters?state=replayed").await.len();
    let open = app.client.all("/v1/dead-letters?state=open").await.len();
    assert_eq!(replayed + open, 30);
    assert!(replayed > 2 && open > 0, "{replayed} replayed, {open} open");
    receiver.wait_for("/hook", 60 + replayed, SOON).await;
    assert_eq!(app.client.all("/v1/dead-letters?state=open").await.len(), open, "it goes on after its end");
}

async fn a_discarded_dead_letter_is_not_replayed(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let endpoint = die(&app.client, &receiver, &[("a.b", 1)]).await;
    let path = format!("/v1/dead-letters/{}", only(&app.client, &endpoint).await);
    app.client.post(&format!("{path}/discard")).json(&json!({})).send().await.expect_problem(422, "invalid_body");
    let reason = json!({ "reason": "the customer has left" });
    let discarded = app.client.post(&format!("{path}/discard")).json(&reason).send().await.expect(200);
    assert_eq!(discarded.string("/state"), "discarded");
    app.client.post(&format!("{path}/replay")).send().await.expect_problem(409, "already_resolved");
    app.client.post(&format!("{path}/discard")).json(&reason).send().await.expect_problem(409, "already_resolved");
    let shown = app.client.get(&path).send().await.expect(200);
    assert_eq!(shown.string("/resolved_reason"), "the customer has left");
    assert_eq!(shown.body["payload"], 0, "it stays readable");
    let dry = json!({ "filter": {}, "dry_run": true });
    let counted = app.client.post("/v1/dead-letters/replay").json(&dry).send().await.expect(200);
    assert_eq!(counted.body["count"], 0, "a bulk replay leaves it out");
}

async fn a_replay_with_another_payload_delivers_its_bytes(stack: Stack) {
    const EDITED: &str = r#"{"b":  1.50, "a": "\u00e9"}"#;
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let endpoint = die(&app.client, &receiver, &[("a.b", 1)]).await;
    receiver.always("/hook", Script::status(200));
    let letter = only(&app.client, &endpoint).await;
    let path = format!("/v1/dead-letters/{letter}");
    let too_large = json!({ "payload": "x".repeat(300 * 1024) });
    let refused = app.client.post(&format!("{path}/replay")).json(&too_large).send().await;
    refused.expect_problem(413, "payload_too_large");
    let body = format!(r#"{{"payload": {EDITED}}}"#);
    let job = app.client.post(&format!("{path}/replay")).json_text(body).send().await.expect(202).string("/job_id");
    let call = receiver.wait_for("/hook", 3, SOON).await.remove(2);
    assert_eq!(call.text(), EDITED);
    crate::standard_webhooks::assert_verifies(&call, &endpoint.secret);
    assert_eq!(app.client.get(&path).send().await.expect(200).string("/replayed_as"), job);
    assert_eq!(app.client.get(&format!("/v1/jobs/{job}")).send().await.expect(200).string("/replay_of"), letter);
}

async fn a_dead_letter_outlives_its_endpoint(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let endpoint = die(&app.client, &receiver, &[("a.b", 1)]).await;
    let path = format!("/v1/dead-letters/{}", only(&app.client, &endpoint).await);
    let before = app.client.get(&path).send().await.expect(200);
    app.client.delete(&format!("/v1/endpoints/{}", endpoint.id)).send().await.expect(204);
    let after = app.client.get(&path).send().await.expect(200);
    assert_eq!(after.text, before.text, "it stays as it was");
    assert_eq!((after.string("/endpoint_url"), after.list("/attempts").len()), (receiver.url("/hook"), 2));
    app.client.post(&format!("{path}/replay")).send().await.expect_problem(409, "endpoint_gone");
    assert_eq!(app.client.get(&path).send().await.expect(200).string("/state"), "open", "it can be discarded");
}

async fn a_replay_to_a_disabled_endpoint_is_refused_until_it_is_resumed(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let client = &app.client;
    receiver.always("/hook", Script::status(410));
    let endpoint = client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    let event = client.publish("a.b", "1").await;
    await_dead(client, &endpoint, 1).await;
    let letter = format!("/v1/dead-letters/{}", only(client, &endpoint).await);
    let path = format!("/v1/endpoints/{}", endpoint.id);
    for (call, body) in [
        (format!("{letter}/replay"), json!({})),
        (format!("/v1/events/{event}/replay"), json!({ "endpoints": [endpoint.id] })),
        (format!("{path}/recover"), json!({ "since": "2020-01-01T00:00:00Z" })),
        (format!("{path}/pause"), json!({})),
    ] {
        let refused = client.post(&call).json(&body).send().await.expect_problem(409, "endpoint_not_active");
        let words = [&endpoint.id, "the receiver answered 410 Gone", "resume it"];
        assert!(words.iter().all(|word| refused.string("/detail").contains(word)), "{call}: {}", refused.text);
    }
    let bulk = |dry_run| client.post("/v1/dead-letters/replay").json(&json!({ "filter": {}, "dry_run": dry_run }));
    assert_eq!(bulk(true).send().await.expect(200).body, json!({ "count": 0, "skipped": 1 }));
    assert_eq!(ended(client, &bulk(false).send().await.expect(202)).await["skipped"], 1);
    assert_eq!(client.get(&letter).send().await.expect(200).string("/state"), "open");

    receiver.always("/hook", Script::status(200));
    client.post(&format!("{path}/resume")).send().await.expect(200);
    assert_eq!(bulk(true).send().await.expect(200).body, json!({ "count": 1, "skipped": 0 }));
    assert_eq!(ended(client, &bulk(false).send().await.expect(202)).await["replayed"], 1);
    receiver.wait_for("/hook", 2, SOON).await;
}

async fn failures_are_grouped_by_their_fingerprint(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    receiver.always("/500", Script::status(500));
    receiver.always("/404", Script::status(404));
    let extras = json!({ "retry_schedule_seconds": [0.01] });
    let broken = app.client.create_endpoint(&receiver.url("/500"), extras.clone()).await;
    let missing = app.client.create_endpoint(&receiver.url("/404"), extras).await;
    publish(&app.client, "a.b", 6).await;
    await_dead(&app.client, &broken, 6).await;
    await_dead(&app.client, &missing, 6).await;
    let groups = app.client.all("/v1/failures").await;
    assert_eq!(groups.len(), 2, "{groups:#?}");
    for (status, endpoint) in [(500, &broken), (404, &missing)] {
        let group = groups.iter().find(|group| group["status_code"] == status).expect("a group of each status");
        assert_eq!((&group["count"], &group["error_class"]), (&json!(12), &json!("http_status")), "two tries of six");
        assert!(group["first_seen_at"].as_str() <= group["last_seen_at"].as_str());
        let fingerprint = group["fingerprint"].as_str().unwrap();
        let letters = app.client.all(&format!("/v1/dead-letters?fingerprint={fingerprint}")).await;
        assert_eq!(letters.len(), 6);
        assert!(letters.iter().all(|letter| letter["endpoint_id"] == *endpoint.id));
        let example = group["example"]["job_id"].as_str().unwrap();
        assert!(letters.iter().any(|letter| letter["job_id"] == *example), "an example is one of them");
    }
}

async fn dead_letters_are_found_by_each_of_their_filters(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    receiver.always("/teapot", Script::status(418));
    let args = json!({ "method": "GET", "url": receiver.url("/teapot"), "retry_schedule_seconds": [] });
    let call = json!({ "kind": "http.request", "args": args });
    let call = app.client.post("/v1/jobs").json(&call).send().await.expect(202).string("/id");
    let dead = || async { app.client.all("/v1/dead-letters").await.pop() };
    let first = eventually("the call is dead", SOON, dead).await;
    let endpoint = die(&app.client, &receiver, &[("a.b", 1), ("c.d", 1)]).await;
    let letters = app.client.dead_letters(&endpoint.id).await;
    let job = |kind: &str| {
        let letter = letters.iter().find(|letter| letter["event_type"] == kind).expect("a letter of each type");
        letter["job_id"].as_str().unwrap().to_owned()
    };
    let (ab, cd) = (job("a.b"), job("c.d"));
    // The smallest time after the first died, and no later than the others.
    let died: jiff::Timestamp = first["created_at"].as_str().unwrap().parse().unwrap();
    let after = died + std::time::Duration::from_millis(1);
    for (name, value, expected) in [
        ("kind", json!("http.request"), vec![&call]),
        ("kind", json!("webhook.deliver"), vec![&ab, &cd]),
        ("endpoint", json!(endpoint.id), vec![&ab, &cd]),
        ("event_type", json!("c.d"), vec![&cd]),
        ("fingerprint", first["fingerprint"].clone(), vec![&call]),
        ("status", json!(500), vec![&ab, &cd]),
        ("q", json!("http 418"), vec![&call]),
        ("q", json!("%"), vec![]),
        ("since", json!(after.to_string()), vec![&ab, &cd]),
        ("until", json!(after.to_string()), vec![&call]),
    ] {
        let query = value.as_str().map_or_else(|| value.to_string(), |text| text.replace('%', "%25"));
        let found = app.client.all(&format!("/v1/dead-letters?{name}={query}")).await;
        let found: HashSet<&str> = found.iter().map(|letter| letter["job_id"].as_str().unwrap()).collect();
        assert_eq!(found, expected.iter().map(|job| job.as_str()).collect(), "{name}={query}");
        let dry = json!({ "filter": { name: value }, "dry_run": true });
        let counted = app.client.post("/v1/dead-letters/replay").json(&dry).send().await.expect(200);
        assert_eq!(counted.body["count"], expected.len(), "a bulk replay by {name}={query}");
    }
}

async fn lists_are_paged_without_gap_or_double(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    die(&app.client, &receiver, &[("a.b", 25)]).await;
    for list in ["/v1/dead-letters", "/v1/jobs", "/v1/events"] {
        let (mut ids, mut sizes, mut cursor) = (Vec::new(), Vec::new(), String::new());
        loop {
            let page = app.client.get(&format!("{list}?limit=7{cursor}")).send().await.expect(200);
            let rows = page.list("/data");
            ids.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
            sizes.push(rows.len());
            match page.body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(sizes, [7, 7, 7, 4], "{list}");
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 25, "{list}");
        assert!(ids.is_sorted_by(|a, b| a > b), "{list} is newest first");
    }
}

/// Makes an endpoint at `/hook` and lets so many events of each type die there, each after two tries.
async fn die(client: &Client, receiver: &Receiver, kinds: &[(&str, usize)]) -> MadeEndpoint {
    receiver.always("/hook", Script::status(500));
    let extras = json!({ "retry_schedule_seconds": [0.01] });
    let endpoint = client.create_endpoint(&receiver.url("/hook"), extras).await;
    for (kind, count) in kinds {
        publish(client, kind, *count).await;
    }
    await_dead(client, &endpoint, kinds.iter().map(|(_, count)| count).sum()).await;
    endpoint
}

async fn publish(client: &Client, kind: &str, count: usize) {
    let events: Vec<Value> = (0..count).map(|n| json!({ "type": kind, "payload": n })).collect();
    client.post("/v1/events/batch").json(&json!({ "events": events })).send().await.expect(202);
}

async fn await_dead(client: &Client, endpoint: &MadeEndpoint, count: usize) {
    let dead = || async { (client.dead_letters(&endpoint.id).await.len() == count).then_some(()) };
    eventually(&format!("{count} dead letters"), SOON, dead).await;
}

/// An operation once it is over.
async fn ended(client: &Client, begun: &Answer) -> Value {
    let path = format!("/v1/operations/{}", begun.string("/id"));
    let over = || async { Some(client.get(&path).send().await.body).filter(|one| one["state"] != "running") };
    eventually("the operation is over", SOON, over).await
}

async fn only(client: &Client, endpoint: &MadeEndpoint) -> String {
    let letters = client.dead_letters(&endpoint.id).await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    letters[0]["id"].as_str().unwrap().to_owned()
}
