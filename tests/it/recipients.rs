//! People whom a product tells things: what is kept of them, what is refused, and how they are found.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, App, Client, Stack};

on_both_stacks!(
    a_recipient_is_shown_as_they_were_put,
    what_is_known_of_an_address_stays_when_the_same_one_is_put_again,
    what_is_wrong_with_a_recipient_is_said_at_its_place,
    a_batch_keeps_each_recipient_by_itself,
    recipients_are_listed_by_key_and_found_by_its_beginning_or_by_address,
    recipients_and_topics_of_another_tenant_are_not_there,
    a_viewer_reads_recipients_and_topics_and_a_publisher_puts_them,
);

async fn put(client: &Client, key: &str, body: Value) -> Answer {
    client.call(Method::PUT, &format!("/v1/recipients/{key}")).json(&body).send().await
}

async fn a_recipient_is_shown_as_they_were_put(stack: Stack) {
    let app = App::start(stack).await;
    let body = json!({
        "email": "anna@example.com", "email_state": "verified", "locale": "PT-br", "time_zone": "europe/warsaw",
        "preferences": { "comments": { "email": false, "push": true }, "billing": {} },
        "quiet_hours": { "from": "22:00", "to": "07:30", "days": ["fri", "mon"] },
        "attributes": { "plan": "pro", "posts": 12, "beta": true },
    });
    // A key may have what paths are made of.
    let path = "/v1/recipients/user%2F42%3Fä";
    let made = app.client.call(Method::PUT, path).json(&body).send().await.expect(201);
    let shown = app.client.get(path).send().await.expect(200);
    assert_eq!(made.body, shown.body);
    assert_eq!(shown.string("/key"), "user/42?ä");
    assert!(shown.string("/id").starts_with("rcp_"), "{}", shown.text);
    let expected = json!({ "email": "anna@example.com", "email_state": "verified", "email_reason": null, "locale": "pt-BR",
        "time_zone": "Europe/Warsaw", "preferences": body["preferences"],
        "quiet_hours": { "from": "22:00", "to": "07:30", "days": ["mon", "fri"] }, "attributes": body["attributes"] });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&shown.body[name], value, "{name}");
    }
    // What is shown can be put back, in a batch as well.
    let back = app.client.call(Method::PUT, path).json(&shown.body).send().await.expect(200);
    assert_eq!(back.body, shown.body);
    let batch = json!({ "recipients": [&shown.body] });
    let back = app.client.post("/v1/recipients/batch").json(&batch).send().await.expect(200);
    assert_eq!((&back.body["changed"], &back.body["results"][0]["status"]), (&json!(0), &json!(200)), "{}", back.text);
    // The same again changes nothing, and nothing is left of what is left out.
    let again = app.client.call(Method::PUT, path).json(&body).send().await.expect(200);
    assert_eq!(again.body, shown.body);
    let bare = app.client.call(Method::PUT, path).json(&json!({})).send().await.expect(200);
    assert_eq!((&bare.body["id"], &bare.body["created_at"]), (&shown.body["id"], &shown.body["created_at"]));
    for name in ["email", "email_state", "locale", "time_zone", "quiet_hours"] {
        assert_eq!(bare.body[name], Value::Null, "{name}");
    }
    assert_eq!((&bare.body["preferences"], &bare.body["attributes"]), (&json!({}), &json!({})));
    let back = app.client.call(Method::PUT, path).json(&bare.body).send().await.expect(200);
    assert_eq!(back.body, bare.body);

    app.client.delete(path).send().await.expect(204);
    app.client.get(path).send().await.expect_problem(404, "not_found");
    app.client.delete(path).send().await.expect_problem(404, "not_found");
}

async fn what_is_known_of_an_address_stays_when_the_same_one_is_put_again(stack: Stack) {
    let app = App::start(stack).await;
    let state = |answer: Answer| (answer.body["email_state"].clone(), answer.body["email_reason"].clone());
    let bounced = json!({ "email": "a@b.example", "email_state": "suppressed", "email_reason": "it bounced" });
    put(&app.client, "a", bounced).await.expect(201);
    let again = put(&app.client, "a", json!({ "email": "a@b.example", "locale": "de" })).await.expect(200);
    assert_eq!(state(again), (json!("suppressed"), json!("it bounced")));
    let batch = json!({ "recipients": [{ "key": "a", "email": "a@b.example" }] });
    app.client.post("/v1/recipients/batch").json(&batch).send().await.expect(200);
    let kept = app.client.get("/v1/recipients/a").send().await.expect(200);
    assert_eq!(state(kept), (json!("suppressed"), json!("it bounced")));
    let other = put(&app.client, "a", json!({ "email": "c@b.example" })).await.expect(200);
    assert_eq!(state(other), (json!("unverified"), Value::Null));
}

async fn what_is_wrong_with_a_recipient_is_said_at_its_place(stack: Stack) {
    let app = App::start(stack).await;
    let categories: Value = (0..101).map(|n| (format!("c{n}"), json!({}))).collect::<serde_json::Map<_, _>>().into();
    let cases = [
        (json!({ "email": "nobody" }), "/email"),
        (json!({ "email": "a@b", "email_state": "good" }), "/email_state"),
        (json!({ "email": "a@b", "email_state": "suppressed" }), "/email_reason"),
        (json!({ "email": "a@b", "email_reason": "why" }), "/email_reason"),
        (json!({ "email_state": "verified" }), "/email_state"),
        (json!({ "locale": "en_US" }), "/locale"),
        (json!({ "time_zone": "CEST" }), "/time_zone"),
        (json!({ "quiet_hours": { "from": "22:00", "to": "07:00" } }), "/quiet_hours"),
        (json!({ "time_zone": "UTC", "quiet_hours": { "from": "24:00", "to": "07:00" } }), "/quiet_hours/from"),
        (json!({ "time_zone": "UTC", "quiet_hours": { "from": "22:00", "to": "22:00" } }), "/quiet_hours"),
        (json!({ "time_zone": "UTC", "quiet_hours": { "from": "1:00", "to": "07:00" } }), "/quiet_hours/from"),
        (
            json!({ "time_zone": "UTC", "quiet_hours": { "from": "22:00", "to": "07:00", "days": ["mon", "monday"] } }),
            "/quiet_hours/days/1",
        ),
        (
            json!({ "time_zone": "UTC", "quiet_hours": { "from": "22:00", "to": "07:00", "days": [] } }),
            "/quiet_hours/days",
        ),
        (json!({ "preferences": { "Two words": {} } }), "/preferences/Two words"),
        (json!({ "preferences": { "a": { "fax": true } } }), "/preferences/a/fax"),
        (json!({ "preferences": { "a": { "email": "no" } } }), "/preferences/a/email"),
        (json!({ "preferences": { "a": true } }), "/preferences/a"),
        (json!({ "preferences": categories }), "/preferences"),
        (json!({ "attributes": { "a": { "b": 1 } } }), "/attributes"),
        (json!({ "attributes": { "a": "x".repeat(4096) } }), "/attributes"),
        (json!({ "attributes": [] }), "/attributes"),
        (json!({ "colour": 1 }), "/colour"),
        (json!({ "key": "b" }), "/key"),
    ];
    for (body, pointer) in cases {
        let refused = put(&app.client, "a", body.clone()).await.expect_problem(422, "invalid_body");
        assert_eq!(refused.list("/errors").len(), 1, "{body}: {}", refused.text);
        assert_eq!(refused.string("/errors/0/pointer"), pointer, "{body}: {}", refused.text);
    }
    let twice = app.client.call(Method::PUT, "/v1/recipients/a");
    let twice = twice.json_text(r#"{"preferences": {"a": {"email": true, "email": false}}}"#).send().await;
    assert!(twice.expect_problem(422, "invalid_body").string("/detail").contains("twice"));
    for key in ["a%20b", "a%00", &"x".repeat(256)] {
        let refused = put(&app.client, key, json!({})).await.expect_problem(400, "bad_parameter");
        assert_eq!(refused.string("/errors/0/parameter"), "key");
    }
    let refused = app.client.get("/v1/recipients/import").send().await.expect_problem(400, "bad_parameter");
    assert_eq!(refused.string("/errors/0/parameter"), "key");
    app.client.get("/v1/recipients/a").send().await.expect_problem(404, "not_found");
}

async fn a_batch_keeps_each_recipient_by_itself(stack: Stack) {
    let app = App::start(stack).await;
    let batch = |list: Value| app.client.post("/v1/recipients/batch").json(&json!({ "recipients": list })).send();
    put(&app.client, "old", json!({ "locale": "de" })).await.expect(201);
    let done = batch(json!([
        { "key": "new", "locale": "fr" },
        { "key": "bad", "locale": "no locale" },
        { "key": "old", "locale": "es" },
        { "locale": "de" },
        { "key": "twice", "locale": "de" },
        { "key": "twice", "locale": "it" },
        [],
    ]));
    let done = done.await.expect(200);
    let results = done.list("/results");
    let statuses: Vec<&Value> = results.iter().map(|one| &one["status"]).collect();
    assert_eq!(statuses, [201, 422, 200, 422, 201, 201, 422], "{}", done.text);
    assert_eq!((&done.body["created"], &done.body["changed"]), (&json!(2), &json!(3)), "{}", done.text);
    assert_eq!(results[1]["error"]["errors"][0]["pointer"], "/recipients/1/locale");
    assert_eq!(results[3]["error"]["errors"][0]["pointer"], "/recipients/3/key");
    let locale =
        async |key: &str| app.client.get(&format!("/v1/recipients/{key}")).send().await.expect(200).string("/locale");
    assert_eq!(
        (locale("new").await, locale("old").await, locale("twice").await),
        ("fr".into(), "es".into(), "it".into())
    );
    app.client.get("/v1/recipients/bad").send().await.expect_problem(404, "not_found");
    let many: Vec<Value> = (0..1_001).map(|n| json!({ "key": format!("m{n}") })).collect();
    batch(many[..1_000].into()).await.expect(200);
    let same = batch(many[..1_000].into()).await.expect(200);
    assert_eq!((&same.body["created"], &same.body["changed"]), (&json!(0), &json!(0)));
    batch(many.into()).await.expect_problem(422, "batch_too_large");
}

async fn recipients_are_listed_by_key_and_found_by_its_beginning_or_by_address(stack: Stack) {
    let app = App::start(stack).await;
    let people: Vec<Value> = ["b1", "B1", "a", "ä", "b2", "b10", "c", "b", "b1@x"]
        .map(|key| json!({ "key": key, "email": if key == "c" { "b1@x" } else { "all@x.example" } }))
        .into();
    app.client.post("/v1/recipients/batch").json(&json!({ "recipients": people })).send().await.expect(200);
    let keys = async |query: &str| {
        let glue = if query.is_empty() { "?" } else { "&" };
        let (mut keys, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = app.client.get(&format!("/v1/recipients{query}{glue}limit=2{cursor}")).send().await.expect(200);
            keys.extend(page.list("/data").iter().map(|one| one["key"].as_str().unwrap().to_owned()));
            match page.body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return keys,
            }
        }
    };
    assert_eq!(keys("").await, ["B1", "a", "b", "b1", "b10", "b1@x", "b2", "c", "ä"]);
    assert_eq!(keys("?q=b1").await, ["b1", "b10", "b1@x"]);
    assert_eq!(keys("?q=b1@x").await, ["b1@x", "c"]);
    assert_eq!(keys("?q=all@x.example").await.len(), 8);
    assert!(keys("?q=nobody").await.is_empty());
}

async fn recipients_and_topics_of_another_tenant_are_not_there(stack: Stack) {
    let app = App::start(stack).await;
    let (owner, stranger) = (app.client.new_tenant("owner").await, app.client.new_tenant("stranger").await);
    put(&owner, "u1", json!({ "email": "u1@x.example" })).await.expect(201);
    owner.call(Method::PUT, "/v1/topics/t1").json(&json!({})).send().await.expect(201);
    owner.call(Method::PUT, "/v1/topics/t1/subscriptions/u1").send().await.expect(200);
    let batch = json!({ "subscribe": ["s1"] });
    for (method, path, body) in [
        (Method::GET, "/v1/recipients/u1", None),
        (Method::DELETE, "/v1/recipients/u1", None),
        (Method::GET, "/v1/recipients/u1/topics", None),
        (Method::GET, "/v1/topics/t1", None),
        (Method::DELETE, "/v1/topics/t1", None),
        (Method::GET, "/v1/topics/t1/subscriptions", None),
        (Method::PUT, "/v1/topics/t1/subscriptions/s1", None),
        (Method::DELETE, "/v1/topics/t1/subscriptions/u1", None),
        (Method::POST, "/v1/topics/t1/subscriptions/batch", Some(batch)),
    ] {
        let call = stranger.call(method, path);
        let call = if let Some(body) = body { call.json(&body) } else { call };
        call.send().await.expect_problem(404, "not_found");
    }
    let line = r#"{"recipient": "s1"}"#;
    let import = stranger.post("/v1/topics/t1/subscriptions/import").body("application/x-ndjson", line);
    import.send().await.expect_problem(404, "not_found");
    for list in ["/v1/recipients", "/v1/recipients?q=u1", "/v1/recipients?q=u1@x.example", "/v1/topics"] {
        assert!(stranger.all(list).await.is_empty(), "{list}");
        assert_eq!(owner.all(list).await.len(), 1, "{list}");
    }
    // The same keys are other people's and topics of their own.
    put(&stranger, "u1", json!({ "locale": "de" })).await.expect(201);
    stranger.call(Method::PUT, "/v1/topics/t1").json(&json!({})).send().await.expect(201);
    stranger.call(Method::PUT, "/v1/topics/t1/subscriptions/u1").send().await.expect(200);
    stranger.delete("/v1/recipients/u1").send().await.expect(204);
    assert_eq!(owner.get("/v1/recipients/u1").send().await.expect(200).string("/email"), "u1@x.example");
    assert_eq!(owner.get("/v1/topics/t1").send().await.expect(200).body["subscribers"], 1);
    assert_eq!(stranger.get("/v1/topics/t1").send().await.expect(200).body["subscribers"], 0);
}

async fn a_viewer_reads_recipients_and_topics_and_a_publisher_puts_them(stack: Stack) {
    let app = App::start(stack).await;
    let admin = app.client.new_tenant("acme").await;
    let of = async |role: &str| {
        let token = json!({ "name": role, "role": role });
        admin.with_token(&admin.post("/v1/tokens").json(&token).send().await.expect(201).string("/token"))
    };
    let (viewer, publisher) = (of("viewer").await, of("publisher").await);
    let writes = [
        (Method::PUT, "/v1/recipients/u1", Some(json!({})), 201),
        (Method::POST, "/v1/recipients/batch", Some(json!({ "recipients": [] })), 200),
        (Method::PUT, "/v1/topics/t1", Some(json!({})), 201),
        (Method::PUT, "/v1/topics/t1/subscriptions/u1", None, 200),
        (Method::POST, "/v1/topics/t1/subscriptions/batch", Some(json!({ "subscribe": ["u2"] })), 200),
        (Method::DELETE, "/v1/topics/t1/subscriptions/u2", None, 204),
    ];
    for (method, path, body, status) in writes {
        for (client, status) in [(&viewer, 403), (&publisher, status)] {
            let call = client.call(method.clone(), path);
            let call = if let Some(body) = &body { call.json(body) } else { call };
            call.send().await.expect(status);
        }
    }
    for client in [&viewer, &publisher] {
        for path in ["/v1/recipients", "/v1/recipients/u1", "/v1/recipients/u1/topics", "/v1/topics", "/v1/topics/t1"] {
            client.get(path).send().await.expect(200);
        }
        client.get("/v1/topics/t1/subscriptions").send().await.expect(200);
    }
    for path in ["/v1/recipients/u1", "/v1/topics/t1"] {
        viewer.delete(path).send().await.expect_problem(403, "forbidden");
        publisher.delete(path).send().await.expect(204);
    }
}
