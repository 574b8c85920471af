//! The channel `webhook`: one event for each notification, to the endpoints that subscribe to it, and what became of it there.

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{
        App, Client, LONG, Receiver, SOON, Script, Stack, eventually,
        notifying::{a_webhook_type, followers, notified, planned, receipt},
    },
    standard_webhooks::assert_verifies,
};

on_both_stacks!(
    an_event_goes_once_to_the_endpoints_that_subscribe_to_it,
    a_receipt_says_what_became_of_the_event_at_each_endpoint,
    endpoints_alone_are_told_without_anybody_named,
    an_event_is_made_when_it_is_due_and_not_where_it_was_cancelled,
    a_notification_whose_event_is_too_large_is_refused_and_told_to_people_alone,
    of_processes_that_are_killed_while_they_plan_each_notification_makes_one_event,
    webhook_is_set_for_types_and_not_for_people,
);

fn counts(planned: u64, delivered: u64, pending: u64, dead: u64, cancelled: u64) -> Value {
    let suppressed = if cancelled > 0 { json!({ "cancelled": cancelled }) } else { json!({}) };
    json!({ "planned": planned, "delivered": delivered, "pending": pending, "dead": dead, "suppressed": suppressed })
}

async fn events(client: &Client) -> Vec<Value> {
    client.all("/v1/events?type=member.posted").await
}

async fn an_event_goes_once_to_the_endpoints_that_subscribe_to_it(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    a_webhook_type(&app.client).await;
    let subscribes = |kinds: &[&str]| json!({ "event_types": kinds });
    let exactly = app.client.create_endpoint(&receiver.url("/exactly"), subscribes(&["member.posted"])).await;
    app.client.create_endpoint(&receiver.url("/below"), subscribes(&["member.*"])).await;
    app.client.create_endpoint(&receiver.url("/other"), subscribes(&["note"])).await;
    followers(&app.client, "fans", 0..3).await;
    let data = r#"{ "who": "Zo\u00eb",  "n": 1.0e0 }"#;
    let body = format!(
        r#"{{ "type": "note", "recipients": ["m2", "m1"], "topics": ["fans"], "actor": "m7", "urgency": "low", "data": {data} }}"#
    );
    let publish = async || {
        app.client.post("/v1/notifications").header("idempotency-key", "once").json_text(body.clone()).send().await
    };
    let id = publish().await.expect(202).string("/id");
    let told = planned(&app.client, &id).await;
    assert_eq!((&told["inbox"], &told["webhook"]), (&counts(5, 5, 0, 0, 0), &counts(2, 2, 0, 0, 0)));
    assert_eq!(publish().await.expect(202).string("/id"), id, "the same key");
    let shown = receipt(&app.client, &id).await;
    let event = shown.string("/event_id");
    let delivered = receiver.wait_for("/exactly", 1, SOON).await.remove(0);
    assert_eq!(delivered.event_id(), event);
    assert_verifies(&delivered, &exactly.secret);
    let payload = format!(
        r#"{{"id":"{id}","type":"note","category":"social","urgency":"low","actor":"m7","recipients":["m1","m2"],"topics":["fans"],"created_at":"{}","data":{data}}}"#,
        shown.string("/created_at")
    );
    assert_eq!(delivered.text(), payload);
    let of_event = app.client.get(&format!("/v1/events/{event}")).send().await.expect(200);
    assert_eq!((of_event.string("/type").as_str(), of_event.list("/deliveries").len()), ("member.posted", 2));
    assert_eq!(events(&app.client).await.len(), 1);
    let all = receiver.all_events();
    assert_eq!((all.len(), all[&event]), (1, 2), "one call of each of two endpoints");
    let of_one = app.client.get(&format!("/v1/notifications/{id}/recipients/m1")).send().await.expect(200);
    let channels: Vec<Value> = of_one.list("/channels").iter().map(|on| on["channel"].clone()).collect();
    assert_eq!(channels, [json!("inbox")]);
}

async fn a_receipt_says_what_became_of_the_event_at_each_endpoint(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    a_webhook_type(&app.client).await;
    let (let_go, held) = Script::held();
    receiver.always("/held", held);
    receiver.always("/bad", Script::status(500));
    app.client.create_endpoint(&receiver.url("/good"), json!({})).await;
    app.client.create_endpoint(&receiver.url("/held"), json!({})).await;
    let bad = app.client.create_endpoint(&receiver.url("/bad"), json!({ "retry_schedule_seconds": [0.05] })).await;
    let paused = app.client.create_endpoint(&receiver.url("/paused"), json!({})).await;
    app.client.post(&format!("/v1/endpoints/{}/pause", paused.id)).send().await.expect(200);
    let id = notified(&app.client, json!({ "type": "note", "recipients": ["m1"], "data": { "who": "a" } })).await;
    let comes_to = async |expected: Value| {
        eventually("the receipt says so", SOON, || async {
            let shown = receipt(&app.client, &id).await;
            (shown.body["receipt"]["webhook"] == expected).then(|| shown.string("/state"))
        })
        .await
    };
    assert_eq!(comes_to(counts(4, 1, 2, 1, 0)).await, "delivering");
    let event = receipt(&app.client, &id).await.string("/event_id");
    let jobs = app.client.jobs_of(&event).await;
    let job = &jobs.iter().find(|(endpoint, _)| *endpoint == paused.id).unwrap().1;
    app.client.post(&format!("/v1/jobs/{job}/cancel")).send().await.expect(200);
    assert_eq!(comes_to(counts(4, 1, 1, 1, 1)).await, "delivering");
    let_go.send(true).unwrap();
    assert_eq!(comes_to(counts(4, 2, 0, 1, 1)).await, "done");
    receiver.always("/bad", Script::status(200));
    let dead = app.client.dead_letters(&bad.id).await.remove(0);
    let replay = format!("/v1/dead-letters/{}/replay", dead["id"].as_str().unwrap());
    app.client.post(&replay).json(&json!({})).send().await.expect(202);
    assert_eq!(comes_to(counts(4, 3, 0, 0, 1)).await, "done");
    // Once more to whoever has it: they stay told, whatever comes of it.
    receiver.always("/good", Script::status(500));
    app.client.post(&format!("/v1/events/{event}/replay")).json(&json!({})).send().await.expect(202);
    receiver.wait_for("/good", 2, SOON).await;
    let shown = receipt(&app.client, &id).await;
    assert_eq!(shown.body["receipt"]["webhook"]["planned"], 4);
    assert!(shown.body["receipt"]["webhook"]["delivered"].as_u64().unwrap() >= 3, "{}", shown.text);
}

async fn endpoints_alone_are_told_without_anybody_named(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let alone = json!({ "category": "social", "default_locale": "en", "channels": { "webhook": {} } });
    app.client.call(Method::PUT, "/v1/notification-types/alone").json(&alone).send().await.expect(201);
    let shown = app.client.get("/v1/notification-types/alone").send().await.expect(200);
    assert_eq!(shown.body["channels"], json!({ "webhook": { "event_type": "alone" } }), "its key by default");
    app.client.create_endpoint(&receiver.url("/hook"), json!({ "event_types": ["alone"] })).await;
    let id = notified(&app.client, json!({ "type": "alone", "data": {} })).await;
    assert_eq!(planned(&app.client, &id).await, json!({ "webhook": counts(1, 1, 0, 0, 0) }));
    receiver.wait_for("/hook", 1, SOON).await;
    // Nobody is looked for, though somebody is named.
    let named = notified(&app.client, json!({ "type": "alone", "recipients": ["m1"], "data": {} })).await;
    assert_eq!(planned(&app.client, &named).await, json!({ "webhook": counts(1, 1, 0, 0, 0) }));
    app.client.get("/v1/recipients/m1").send().await.expect_problem(404, "not_found");
    a_webhook_type(&app.client).await;
    let nobody = json!({ "type": "note", "channels": ["inbox", "webhook"], "data": { "who": "a" } });
    let refused = app.client.post("/v1/notifications").json(&nobody).send().await.expect_problem(422, "invalid_body");
    assert_eq!(refused.string("/errors/0/pointer"), "/recipients");
    // An event that no endpoint wants is kept, and may be replayed to one that comes later.
    let unwanted =
        notified(&app.client, json!({ "type": "note", "channels": ["webhook"], "data": { "who": "a" } })).await;
    assert_eq!(planned(&app.client, &unwanted).await, json!({ "webhook": counts(0, 0, 0, 0, 0) }));
    assert_eq!(events(&app.client).await.len(), 1);
}

async fn an_event_is_made_when_it_is_due_and_not_where_it_was_cancelled(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    a_webhook_type(&app.client).await;
    let soon = (jiff::Timestamp::now() + Duration::from_secs(3)).to_string();
    let body = json!({ "type": "note", "recipients": ["m1"], "data": { "who": "a" }, "deliver_at": soon });
    let [due, cancelled] = [notified(&app.client, body.clone()).await, notified(&app.client, body).await];
    let path = format!("/v1/notifications/{cancelled}");
    app.client.post(&format!("{path}/cancel")).send().await.expect(200);
    let waiting = receipt(&app.client, &due).await;
    assert_eq!(waiting.string("/state"), "scheduled");
    assert_eq!(
        (&waiting.body["event_id"], &waiting.body["receipt"]["webhook"]),
        (&Value::Null, &counts(0, 0, 0, 0, 0))
    );
    assert!(events(&app.client).await.is_empty());
    // It was not there when it was handed in.
    app.client.create_endpoint(&receiver.url("/hook"), json!({})).await;
    assert_eq!(planned(&app.client, &due).await["webhook"], counts(1, 1, 0, 0, 0));
    assert_eq!(receiver.wait_for("/hook", 1, LONG).await.len(), 1);
    let ended = receipt(&app.client, &cancelled).await;
    assert_eq!((ended.string("/state").as_str(), &ended.body["event_id"]), ("cancelled", &Value::Null));
    assert_eq!(events(&app.client).await.len(), 1);
}

async fn a_notification_whose_event_is_too_large_is_refused_and_told_to_people_alone(stack: Stack) {
    const MAX: usize = 2_000;
    let app = App::builder(stack).env("POSTRIDER_PAYLOAD_BYTES_MAX", MAX.to_string()).start().await;
    a_webhook_type(&app.client).await;
    let of = |chars: usize, channels: &[&str]| json!({ "type": "note", "recipients": ["m1"], "channels": channels, "data": { "who": "a", "long": "x".repeat(chars) } });
    let large = of(MAX - 100, &["inbox", "webhook"]);
    let refused = app.client.post("/v1/notifications").json(&large).send().await.expect_problem(422, "invalid_body");
    assert_eq!(refused.string("/errors/0/pointer"), "/data");
    assert!(refused.string("/detail").contains("leave webhook out of channels"), "{}", refused.text);
    let people = notified(&app.client, of(MAX - 100, &["inbox"])).await;
    assert_eq!(planned(&app.client, &people).await, json!({ "inbox": counts(1, 1, 0, 0, 0) }));
    // As large as it may be.
    let id = notified(&app.client, of(0, &["webhook"])).await;
    planned(&app.client, &id).await;
    let event = receipt(&app.client, &id).await.string("/event_id");
    let shown = app.client.get(&format!("/v1/events/{event}")).send().await.expect(200);
    let frame = shown.body["payload"].to_string().len();
    notified(&app.client, of(MAX - frame, &["webhook"])).await;
    let beyond = of(MAX - frame + 1, &["webhook"]);
    app.client.post("/v1/notifications").json(&beyond).send().await.expect_problem(422, "invalid_body");
}

async fn of_processes_that_are_killed_while_they_plan_each_notification_makes_one_event(stack: Stack) {
    const KILLS: usize = 5;
    const EACH: usize = 30;
    let (mut app, receiver) = (App::start(stack).await, Receiver::start().await);
    a_webhook_type(&app.client).await;
    app.client.create_endpoint(&receiver.url("/hook"), json!({ "event_types": ["member.posted"] })).await;
    followers(&app.client, "fans", 0..1_500).await;
    let mut ids = Vec::new();
    for kill in 0..KILLS {
        for n in 0..EACH {
            let whom = if n % 3 == 0 { json!({ "topics": ["fans"] }) } else { json!({ "recipients": ["m1"] }) };
            let mut body = json!({ "type": "note", "data": { "who": "a" } });
            body.as_object_mut().unwrap().extend(whom.as_object().unwrap().clone());
            ids.push(notified(&app.client, body).await);
        }
        // After more of them have an event each time.
        let made = kill * EACH / KILLS;
        eventually("so many events are made", LONG, || async {
            let made_since = events(&app.client).await.len().saturating_sub(kill * EACH);
            (made_since >= made).then_some(())
        })
        .await;
        app.kill();
        app.restart().await;
    }
    let mut of_notifications = BTreeSet::new();
    for id in &ids {
        let done = eventually("it is told", LONG, || async {
            let shown = receipt(&app.client, id).await;
            (shown.body["state"] == "done").then_some(shown)
        })
        .await;
        assert_eq!(done.body["receipt"]["webhook"], counts(1, 1, 0, 0, 0), "{id}");
        of_notifications.insert(done.string("/event_id"));
    }
    assert_eq!(of_notifications.len(), KILLS * EACH);
    let listed: BTreeSet<String> =
        events(&app.client).await.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(listed, of_notifications, "no event but these");
    let received: HashSet<String> = receiver.all_events().into_keys().collect();
    assert_eq!(received.len(), KILLS * EACH);
}

async fn webhook_is_set_for_types_and_not_for_people(stack: Stack) {
    let app = App::start(stack).await;
    let refused = async |method: Method, path: &str, body: Value, pointer: &str| {
        let answer = app.client.call(method, path).json(&body).send().await.expect_problem(422, "invalid_body");
        assert_eq!(answer.string("/errors/0/pointer"), pointer, "{}", answer.text);
    };
    let of = |webhook: Value| json!({ "category": "c", "default_locale": "en", "channels": { "webhook": webhook } });
    let types = "/v1/notification-types/t";
    refused(Method::PUT, types, of(json!({ "event_type": "No Type" })), "/channels/webhook/event_type").await;
    app.client.call(Method::PUT, types).json(&of(json!({ "event_type": "a.b" }))).send().await.expect(201);
    refused(Method::POST, &format!("{types}/preview"), json!({ "channel": "webhook" }), "/channel").await;
    let none = json!({ "type": "t", "recipients": ["m1"], "channels": ["inbox"], "data": {} });
    refused(Method::POST, "/v1/notifications", none, "/channels/0").await;
    let wishes = json!({ "preferences": { "c": { "webhook": false } } });
    refused(Method::PUT, "/v1/recipients/m1", wishes, "/preferences/c/webhook").await;
}
