//! Types of notifications: what of them is stored, what is refused before anything could be sent, and what would be sent.

use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::harness::{Answer, App, Client, Stack};

on_both_stacks!(
    a_type_is_shown_as_it_was_put_and_its_version_grows_with_each_change,
    a_type_that_was_removed_is_gone_and_frees_its_key,
    a_variable_that_the_sample_lacks_is_refused_with_its_place_line_and_name,
    what_is_wrong_with_a_type_is_said_at_its_place,
    a_template_that_would_eat_the_server_is_refused,
    a_preview_is_what_the_recipient_would_get_in_their_language,
    a_preview_says_what_the_data_lack,
    a_type_is_previewed_before_it_is_stored,
    types_are_listed_by_key_without_their_templates,
    types_of_another_tenant_are_not_there,
    a_publisher_reads_types_and_an_operator_puts_them,
    puts_at_once_leave_one_version_each,
);

fn follower() -> Value {
    json!({
        "name": "New follower", "category": "social", "default_locale": "en",
        "channels": {
            "inbox": { "templates": {
                "en": { "title": "{{ data.actor.name }} follows you", "body": "Say hello.", "url": "/u/{{ data.actor.id }}" },
                "de": { "title": "{{ data.actor.name }} folgt dir", "body": "Sag hallo.", "url": "/u/{{ data.actor.id }}" } } },
            "email": { "templates": {
                "en": { "subject": "{{ data.actor.name }}\nfollows you", "text": "Hello {{ recipient.key }}, {{ data.actor.name }} \
                    follows you ({{ recipient.attributes.plan | default('free') }}, {{ recipient.time_zone }}).",
                    "html": "<p>{{ data.actor.name }}</p>" } } } },
        "sample": { "actor": { "id": 7, "name": "Anna <3" } },
    })
}

async fn put(client: &Client, key: &str, body: &Value) -> Answer {
    client.call(Method::PUT, &format!("/v1/notification-types/{key}")).json(body).send().await
}

async fn preview(client: &Client, key: &str, body: Value) -> Answer {
    client.post(&format!("/v1/notification-types/{key}/preview")).json(&body).send().await
}

/// The follower's type with another value at a pointer.
fn with(pointer: &str, value: Value) -> Value {
    let mut body = follower();
    *body.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
    body
}

async fn a_type_is_shown_as_it_was_put_and_its_version_grows_with_each_change(stack: Stack) {
    let app = App::start(stack).await;
    let made = put(&app.client, "user.followed", &follower()).await.expect(201);
    let shown = app.client.get("/v1/notification-types/user.followed").send().await.expect(200);
    assert_eq!(made.body, shown.body);
    assert!(shown.string("/id").starts_with("nty_"), "{}", shown.text);
    for name in ["name", "category", "default_locale", "channels", "sample"] {
        assert_eq!(shown.body[name], follower()[name], "{name}");
    }
    assert_eq!((shown.string("/key").as_str(), shown.string("/urgency").as_str()), ("user.followed", "normal"));
    assert_eq!(shown.body["version"], 1);
    let same = put(&app.client, "user.followed", &follower()).await.expect(200);
    assert_eq!(same.body, shown.body);
    let back = put(&app.client, "user.followed", &shown.body).await.expect(200);
    assert_eq!(back.body, shown.body);
    let refused = put(&app.client, "other", &shown.body).await.expect_problem(422, "invalid_body");
    assert_eq!(refused.string("/errors/0/pointer"), "/key");
    let mut changed = follower();
    changed["urgency"] = json!("high");
    changed["name"] = Value::Null;
    let changed = put(&app.client, "user.followed", &changed).await.expect(200);
    assert_eq!((&changed.body["version"], &changed.body["id"]), (&json!(2), &shown.body["id"]));
    assert_eq!((changed.string("/urgency").as_str(), changed.string("/name").as_str()), ("high", "user.followed"));
    app.client.get("/v1/notification-types/nobody").send().await.expect_problem(404, "not_found");
    for key in ["A", "a%20b"] {
        put(&app.client, key, &follower()).await.expect_problem(400, "bad_parameter");
    }
    put(&app.client, "preview", &follower()).await.expect_problem(405, "method_not_allowed");
}

async fn a_type_that_was_removed_is_gone_and_frees_its_key(stack: Stack) {
    let app = App::start(stack).await;
    let path = "/v1/notification-types/t";
    let first = put(&app.client, "t", &follower()).await.expect(201);
    put(&app.client, "t", &with("/sample/actor/name", json!("Bert"))).await.expect(200);
    app.client.delete(path).send().await.expect(204);
    app.client.delete(path).send().await.expect_problem(404, "not_found");
    app.client.get(path).send().await.expect_problem(404, "not_found");
    preview(&app.client, "t", json!({ "channel": "inbox" })).await.expect_problem(404, "not_found");
    assert!(app.client.all("/v1/notification-types").await.is_empty());
    let again = put(&app.client, "t", &follower()).await.expect(201);
    assert_eq!(again.body["version"], 1);
    assert_ne!(again.body["id"], first.body["id"]);
}

async fn a_variable_that_the_sample_lacks_is_refused_with_its_place_line_and_name(stack: Stack) {
    let app = App::start(stack).await;
    let subject = "/channels/email/templates/en/subject";
    for (template, says) in [
        ("a\n{% if data.actor.id > 9 %}\n{{ data.post.title }}{% endif %}", "line 3: data.post is not in the sample"),
        (
            "{{ data.actor.nick }}",
            "line 1: data.actor.nick is not in the sample; add it there, or where it may be absent write",
        ),
        ("{{ actor.name }}", "there is no variable actor"),
        ("{{ recipient.attributes.plan }}", "not every recipient has recipient.attributes.plan"),
        ("{{ data.actor.name | nosuch }}", "there is no filter nosuch"),
        ("\n{{ data.actor.name", "line 2: syntax error"),
    ] {
        let refused = put(&app.client, "t", &with(subject, json!(template))).await.expect_problem(422, "invalid_body");
        assert_eq!(refused.string("/errors/0/pointer"), subject, "{template}");
        let detail = refused.string("/errors/0/detail");
        assert!(detail.contains(says), "{template}: {detail}");
    }
    app.client.get("/v1/notification-types/t").send().await.expect_problem(404, "not_found");
    // Two templates lack something: both are told at once.
    let mut both = with(subject, json!("{{ data.x }}"));
    both["channels"]["inbox"]["templates"]["de"]["body"] = json!("{{ data.y }}");
    let refused = put(&app.client, "t", &both).await.expect_problem(422, "invalid_body");
    let pointers: Vec<_> = refused.list("/errors").iter().map(|error| error["pointer"].clone()).collect();
    assert_eq!(pointers, [json!("/channels/inbox/templates/de/body"), json!(subject)]);
    put(&app.client, "t", &with(subject, json!("{{ data.actor.nick | default('you') }}"))).await.expect(201);
}

async fn what_is_wrong_with_a_type_is_said_at_its_place(stack: Stack) {
    let app = App::start(stack).await;
    let notice = || json!({ "title": "t", "body": "b" });
    let many: Map<String, Value> = (0..50).map(|n| (format!("en-x-{n:03}"), notice())).collect();
    let many: Map<String, Value> = many.into_iter().chain([("en".to_owned(), notice())]).collect();
    let en = "/channels/inbox/templates/en";
    for (body, pointer) in [
        (with("/category", json!("A b")), "/category"),
        (with("/default_locale", json!("en_US")), "/default_locale"),
        (with("/default_locale", json!("de")), "/channels/email/templates"),
        (with("/name", json!("a\nb")), "/name"),
        (with("/channels", json!({})), "/channels"),
        (with("/channels", json!({ "sms": {} })), "/channels/sms"),
        (with("/channels/inbox", json!([])), "/channels/inbox"),
        (with("/channels/inbox/templates", json!(many)), "/channels/inbox/templates"),
        (with("/channels/inbox/templates", json!({ "EN": notice(), "en": notice() })), "/channels/inbox/templates/EN"),
        (with(en, json!({ "title": "t" })), "/channels/inbox/templates/en/body"),
        (with(en, json!({ "title": "t", "body": "b", "html": "x" })), "/channels/inbox/templates/en/html"),
        (with(en, json!({ "title": " ", "body": "b" })), "/channels/inbox/templates/en/title"),
        (
            with(en, json!({ "title": "t", "body": "b", "url": "javascript:alert(1)" })),
            "/channels/inbox/templates/en/url",
        ),
        (with(en, json!({ "title": "t", "body": "x".repeat(65_537) })), "/channels/inbox/templates/en/body"),
        (with("/sample", json!({ "actor": { "id": 7, "name": "x".repeat(16_384) } })), "/sample"),
        (with("/sample", json!([])), "/sample"),
    ] {
        let refused = put(&app.client, "t", &body).await.expect_problem(422, "invalid_body");
        assert_eq!(refused.string("/errors/0/pointer"), pointer, "{}", refused.text);
    }
    let urgent = json!({ "urgency": "now" });
    let mut body = follower();
    body.as_object_mut().unwrap().extend(urgent.as_object().unwrap().clone());
    let refused = put(&app.client, "t", &body).await.expect_problem(422, "invalid_body");
    assert_eq!(refused.string("/errors/0/pointer"), "/urgency");
    let twice = r#"{"category":"c","default_locale":"en","channels":{"inbox":{"templates":{
        "en":{"title":"a","body":"b"},"en":{"title":"c","body":"d"}}}}}"#;
    let call = app.client.call(Method::PUT, "/v1/notification-types/t").json_text(twice);
    let refused = call.send().await.expect_problem(422, "invalid_body");
    assert_eq!(refused.string("/errors/0/pointer"), "/channels/inbox/templates/en");
}

async fn a_template_that_would_eat_the_server_is_refused(stack: Stack) {
    let app = App::start(stack).await;
    for template in [
        "{% for a in range(9999) %}{% for b in range(9999) %}{{ a }}{% endfor %}{% endfor %}".to_owned(),
        "{{ 'x' * 1000000000 }}".to_owned(),
        "{% set n = namespace(x='xxxxxxxx') %}{% for a in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}".to_owned(),
        format!("{{{{ 1{} }}}}", "+1".repeat(30_000)),
        format!("{{{{ {}1 }}}}", "not ".repeat(16_000)),
        format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(5_000)),
        format!("{}{}", "{% if 1 %}".repeat(3_000), "{% endif %}".repeat(3_000)),
        format!("{{{{ {}1{} }}}}", "(".repeat(30_000), ")".repeat(30_000)),
        "{% for a in [1] %}{{ loop.cycle() }}{% endfor %}".to_owned(),
        "{% include '/etc/passwd' %}".to_owned(),
    ] {
        let body = with("/channels/email/templates/en/html", json!(template));
        let refused = put(&app.client, "t", &body).await.expect_problem(422, "invalid_body");
        assert_eq!(refused.string("/errors/0/pointer"), "/channels/email/templates/en/html", "{}", refused.text);
    }
    app.client.get("/healthz").send().await.expect(200);
}

async fn a_preview_is_what_the_recipient_would_get_in_their_language(stack: Stack) {
    let app = App::start(stack).await;
    put(&app.client, "t", &follower()).await.expect(201);
    let anna = json!({ "locale": "de-AT", "time_zone": "Europe/Vienna", "attributes": { "plan": "pro" } });
    app.client.call(Method::PUT, "/v1/recipients/u1").json(&anna).send().await.expect(201);
    let inbox = preview(&app.client, "t", json!({ "channel": "inbox", "recipient": "u1" })).await.expect(200);
    let notice = json!({ "title": "Anna <3 folgt dir", "body": "Sag hallo.", "url": "/u/7" });
    assert_eq!(inbox.body, json!({ "channel": "inbox", "locale": "de", "message": notice }));
    let data = json!({ "actor": { "id": 8, "name": "B & C" } });
    let mail =
        preview(&app.client, "t", json!({ "channel": "email", "recipient": "u1", "data": data })).await.expect(200);
    let message = json!({ "subject": "B & C follows you", "text": "Hello u1, B & C follows you (pro, Europe/Vienna).",
        "html": "<p>B &amp; C</p>" });
    assert_eq!(mail.body, json!({ "channel": "email", "locale": "en", "message": message }));
    // Of somebody of whom nothing is known, in a language that there is none of.
    let other = preview(&app.client, "t", json!({ "channel": "email", "locale": "fr" })).await.expect(200);
    assert_eq!(
        (other.string("/locale").as_str(), other.string("/message/subject").as_str()),
        ("en", "Anna <3 follows you")
    );
    assert!(other.string("/message/text").ends_with("(free, UTC)."), "{}", other.text);
    let swiss = preview(&app.client, "t", json!({ "channel": "inbox", "recipient": "u1", "locale": "en-GB" })).await;
    assert_eq!(swiss.expect(200).string("/locale"), "en");
}

async fn a_preview_says_what_the_data_lack(stack: Stack) {
    let app = App::start(stack).await;
    put(&app.client, "t", &follower()).await.expect(201);
    for (body, pointer, says) in [
        (
            json!({ "channel": "inbox", "data": { "actor": { "name": "B" } } }),
            "/data",
            "data.actor.id is not in the data",
        ),
        (
            json!({ "channel": "inbox", "data": { "actor": { "name": null, "id": 1 } } }),
            "/data",
            "null would be written",
        ),
        (json!({ "channel": "push" }), "/channel", "no channel push"),
        (json!({ "channel": "sms" }), "/channel", "is no channel"),
        (json!({ "channel": "inbox", "recipient": "nobody" }), "/recipient", "no recipient"),
        (json!({ "channel": "inbox", "locale": "x" }), "/locale", "no language tag"),
        (json!({ "channel": "inbox", "data": { "x": "x".repeat(16_384) } }), "/data", "may have 16384"),
    ] {
        let refused = preview(&app.client, "t", body.clone()).await.expect_problem(422, "invalid_body");
        assert_eq!(refused.string("/errors/0/pointer"), pointer, "{body}");
        assert!(refused.string("/errors/0/detail").contains(says), "{}", refused.text);
    }
}

async fn a_type_is_previewed_before_it_is_stored(stack: Stack) {
    let app = App::start(stack).await;
    let of = async |kind: Value| {
        let body = json!({ "type": kind, "channel": "inbox", "locale": "de" });
        app.client.post("/v1/notification-types/preview").json(&body).send().await
    };
    assert_eq!(of(follower()).await.expect(200).string("/message/title"), "Anna <3 folgt dir");
    let place = "/channels/email/templates/en/subject";
    let refused = of(with(place, json!("{{ data.x }}"))).await.expect_problem(422, "invalid_body");
    assert_eq!(refused.string("/errors/0/pointer"), format!("/type{place}"));
    assert!(app.client.all("/v1/notification-types").await.is_empty());
}

async fn types_are_listed_by_key_without_their_templates(stack: Stack) {
    let app = App::start(stack).await;
    for key in ["b", "a.z", "c", "a-z"] {
        put(&app.client, key, &follower()).await.expect(201);
    }
    let first = app.client.get("/v1/notification-types?limit=3").send().await.expect(200);
    let keys = |page: &Answer| page.list("/data").iter().map(|one| one["key"].clone()).collect::<Vec<_>>();
    assert_eq!(keys(&first), ["a-z", "a.z", "b"]);
    let listed = &first.body["data"][0];
    assert_eq!(
        (&listed["category"], &listed["version"], &listed["channels"]),
        (&json!("social"), &json!(1), &Value::Null)
    );
    let rest = format!("/v1/notification-types?limit=3&cursor={}", first.string("/next_cursor"));
    let rest = app.client.get(&rest).send().await.expect(200);
    assert_eq!((keys(&rest), &rest.body["next_cursor"]), (vec![json!("c")], &Value::Null));
}

async fn types_of_another_tenant_are_not_there(stack: Stack) {
    let app = App::start(stack).await;
    let (owner, stranger) = (app.client.new_tenant("owner").await, app.client.new_tenant("stranger").await);
    put(&owner, "t", &follower()).await.expect(201);
    owner.call(Method::PUT, "/v1/recipients/u1").json(&json!({})).send().await.expect(201);
    stranger.get("/v1/notification-types/t").send().await.expect_problem(404, "not_found");
    stranger.delete("/v1/notification-types/t").send().await.expect_problem(404, "not_found");
    preview(&stranger, "t", json!({ "channel": "inbox" })).await.expect_problem(404, "not_found");
    assert!(stranger.all("/v1/notification-types").await.is_empty());
    put(&stranger, "t", &with("/category", json!("other"))).await.expect(201);
    preview(&stranger, "t", json!({ "channel": "inbox", "recipient": "u1" })).await.expect_problem(422, "invalid_body");
    stranger.delete("/v1/notification-types/t").send().await.expect(204);
    let kept = owner.get("/v1/notification-types/t").send().await.expect(200);
    assert_eq!((kept.string("/category").as_str(), &kept.body["version"]), ("social", &json!(1)));
}

async fn a_publisher_reads_types_and_an_operator_puts_them(stack: Stack) {
    let app = App::start(stack).await;
    let admin = app.client.new_tenant("acme").await;
    let of = async |role: &str| {
        let token = json!({ "name": role, "role": role });
        admin.with_token(&admin.post("/v1/tokens").json(&token).send().await.expect(201).string("/token"))
    };
    let (operator, publisher, viewer) = (of("operator").await, of("publisher").await, of("viewer").await);
    let new = json!({ "type": follower(), "channel": "inbox" });
    for client in [&publisher, &viewer] {
        put(client, "t", &follower()).await.expect_problem(403, "forbidden");
        client.post("/v1/notification-types/preview").json(&new).send().await.expect_problem(403, "forbidden");
    }
    put(&operator, "t", &follower()).await.expect(201);
    operator.post("/v1/notification-types/preview").json(&new).send().await.expect(200);
    for client in [&publisher, &viewer, &operator] {
        client.get("/v1/notification-types/t").send().await.expect(200);
        client.get("/v1/notification-types").send().await.expect(200);
        preview(client, "t", json!({ "channel": "inbox" })).await.expect(200);
    }
    publisher.delete("/v1/notification-types/t").send().await.expect_problem(403, "forbidden");
    operator.delete("/v1/notification-types/t").send().await.expect(204);
}

async fn puts_at_once_leave_one_version_each(stack: Stack) {
    const PUTS: u64 = 12;
    let app = App::start(stack).await;
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..PUTS {
        let (client, body) = (app.client.clone(), with("/sample/actor/id", json!(n)));
        calls.spawn(async move { put(&client, "t", &body).await });
    }
    let (mut versions, mut made) = (Vec::new(), 0);
    while let Some(done) = calls.join_next().await {
        let done = done.unwrap();
        made += usize::from(done.status == 201);
        versions.push(done.body["version"].as_u64().unwrap_or_else(|| panic!("{}", done.text)));
    }
    versions.sort_unstable();
    assert_eq!((versions, made), ((1..=PUTS).collect(), 1));
}
