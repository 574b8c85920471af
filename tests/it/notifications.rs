//! Notifications: everybody is told once, counts are right, and the receipt adds up.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    Answer, App, Client, Stack,
    notifying::{a_type, counts, followers, notified, planned, receipt},
};

on_both_stacks!(
    whoever_is_named_is_told_once_and_reads_it_in_their_language,
    subscribers_of_overlapping_topics_are_told_once,
    a_topic_s_condition_says_for_whom_of_its_subscribers_it_is,
    whoever_does_not_want_it_or_did_it_is_not_told_and_the_receipt_says_so,
    a_notification_in_the_future_waits_and_can_be_cancelled,
    what_is_wrong_with_a_notification_is_said_at_its_place,
    the_same_key_tells_nobody_twice,
    an_inbox_is_seen_read_and_put_away_and_its_counts_follow,
    all_is_read_up_to_what_was_there,
    an_inbox_is_listed_page_after_page,
    marks_at_once_with_news_do_not_miscount,
    whoever_is_known_again_begins_with_an_empty_inbox,
    a_tenant_sees_none_of_another_s,
);

async fn inbox(client: &Client, key: &str) -> Vec<Value> {
    client.all(&format!("/v1/recipients/{key}/inbox")).await
}

async fn mark(client: &Client, key: &str, id: &str, body: Value) -> Answer {
    client.call(Method::PATCH, &format!("/v1/recipients/{key}/inbox/{id}")).json(&body).send().await
}

async fn whoever_is_named_is_told_once_and_reads_it_in_their_language(stack: Stack) {
    let app = App::start(stack).await;
    a_type(&app.client).await;
    let anna = json!({ "locale": "de-AT" });
    app.client.call(Method::PUT, "/v1/recipients/anna").json(&anna).send().await.expect(201);
    // Whoever is not known is made known, and a key that stands twice is told once.
    let body = json!({ "type": "post", "recipients": ["bob", "anna", "bob"], "data": { "who": "Zoë", "n": 3 } });
    let id = notified(&app.client, body).await;
    assert_eq!(
        planned(&app.client, &id).await["inbox"],
        json!({ "planned": 2, "delivered": 2, "pending": 0, "dead": 0, "suppressed": {} })
    );
    let [of_anna, of_bob] = [inbox(&app.client, "anna").await, inbox(&app.client, "bob").await];
    assert_eq!((of_anna.len(), of_bob.len()), (1, 1));
    assert_eq!((&of_anna[0]["title"], &of_bob[0]["title"]), (&json!("Zoë hat geschrieben"), &json!("Zoë posted")));
    assert_eq!(
        (&of_anna[0]["body"], &of_anna[0]["url"]),
        (&json!("3 Zeilen"), &json!("https://social.example/Zo%C3%AB"))
    );
    assert_eq!(
        (&of_bob[0]["id"], &of_bob[0]["type"], &of_bob[0]["category"]),
        (&json!(id), &json!("post"), &json!("posts"))
    );
    assert_eq!((&of_bob[0]["data"]["n"], &of_bob[0]["seq"]), (&json!(3), &json!(1)));
    assert_eq!(counts(&app.client, "anna").await, (1, 1));
    // Another version of the type changes nothing of what was told.
    let other = json!({ "category": "posts", "default_locale": "en", "sample": {},
        "channels": { "inbox": { "templates": { "en": { "title": "Other", "body": "Other" } } } } });
    app.client.call(Method::PUT, "/v1/notification-types/post").json(&other).send().await.expect(200);
    assert_eq!(inbox(&app.client, "bob").await[0]["title"], "Zoë posted");
    let id = notified(&app.client, json!({ "type": "post", "recipients": ["bob"], "data": {} })).await;
    planned(&app.client, &id).await;
    let titles: Vec<Value> = inbox(&app.client, "bob").await.iter().map(|item| item["title"].clone()).collect();
    assert_eq!(titles, ["Other", "Zoë posted"]);
}

async fn subscribers_of_overlapping_topics_are_told_once(stack: Stack) {
    let app = App::start(stack).await;
    a_type(&app.client).await;
    followers(&app.client, "a", 0..2_500).await;
    followers(&app.client, "b", 2_000..4_000).await;
    let body = json!({ "type": "post", "recipients": ["u10", "stranger"], "topics": ["a", "b", "a"], "actor": "u3999",
        "data": { "who": "Zoë", "n": 1 } });
    let id = notified(&app.client, body).await;
    let receipt = planned(&app.client, &id).await;
    assert_eq!(
        receipt["inbox"],
        json!({ "planned": 4_001, "delivered": 4_000, "pending": 0, "dead": 0, "suppressed": { "actor": 1 } })
    );
    for key in ["u0", "u10", "u2400", "u3998", "stranger"] {
        assert_eq!((inbox(&app.client, key).await.len(), counts(&app.client, key).await), (1, (1, 1)), "{key}");
    }
    assert_eq!(counts(&app.client, "u3999").await, (0, 0));
    let path = |key: &str| format!("/v1/notifications/{id}/recipients/{key}");
    for (key, fate) in [("u0", "delivered"), ("u10", "delivered"), ("u3998", "delivered"), ("u3999", "suppressed")] {
        let one = app.client.get(&path(key)).send().await.expect(200);
        assert_eq!(one.string("/channels/0/fate"), fate, "{key}");
    }
    app.client.call(Method::PUT, "/v1/recipients/late").json(&json!({})).send().await.expect(201);
    app.client.get(&path("late")).send().await.expect_problem(404, "not_found");
}

async fn a_topic_s_condition_says_for_whom_of_its_subscribers_it_is(stack: Stack) {
    let app = App::start(stack).await;
    a_type(&app.client).await;
    followers(&app.client, "some", 0..2_300).await;
    followers(&app.client, "all", 2_299..2_302).await;
    let put = async |path: &str, body: Value| app.client.call(Method::PUT, path).json(&body).send().await;
    for n in [0, 1_500, 2_299] {
        put(&format!("/v1/recipients/u{n}"), json!({ "attributes": { "plan": "pro", "age": n } })).await.expect(200);
    }
    put("/v1/recipients/u7", json!({ "attributes": { "plan": "free", "age": 9_000 } })).await.expect(200);
    let condition = "recipient.attributes.plan == 'pro' and recipient.attributes.age >= data.n";
    let made = put("/v1/topics/some", json!({ "condition": condition })).await.expect(200);
    assert_eq!(made.body["condition"], condition);
    // To put what is shown, or nothing, changes nothing of it.
    assert_eq!(put("/v1/topics/some", made.body.clone()).await.expect(200).body, made.body);
    assert_eq!(put("/v1/topics/some", json!({})).await.expect(200).body, made.body);
    let told = async |n: usize, topics: &[&str]| {
        let body = json!({ "type": "post", "topics": topics, "data": { "who": "Zoë", "n": n } });
        let id = notified(&app.client, body).await;
        (planned(&app.client, &id).await["inbox"]["delivered"].clone(), id)
    };
    let (count, id) = told(1_000, &["some"]).await;
    assert_eq!(count, 2);
    for (key, status) in [("u1500", 200), ("u2299", 200), ("u0", 404), ("u7", 404)] {
        app.client.get(&format!("/v1/notifications/{id}/recipients/{key}")).send().await.expect(status);
    }
    // Whoever follows another too is told by that one.
    assert_eq!(told(2_299, &["some", "all"]).await.0, 3);
    assert_eq!(told(9_999, &["some"]).await.0, 0);
    put("/v1/topics/some", json!({ "condition": null })).await.expect(200);
    assert_eq!(told(9_999, &["some"]).await.0, 2_300);
    for (bad, says) in [
        ("user.plan == 'pro'", "a condition knows `recipient` and `data`"),
        ("recipient.key ==", "it is no expression"),
        ("", "1 to 1024"),
    ] {
        let refused = put("/v1/topics/some", json!({ "condition": bad })).await.expect_problem(422, "invalid_body");
        let fault = refused.body["errors"][0].clone();
        assert!(fault["pointer"] == "/condition" && fault["detail"].as_str().unwrap().contains(says), "{refused:?}");
    }
}

async fn whoever_does_not_want_it_or_did_it_is_not_told_and_the_receipt_says_so(stack: Stack) {
    let app = App::start(stack).await;
    a_type(&app.client).await;
    let put =
        |key: &str, body: Value| app.client.call(Method::PUT, &format!("/v1/recipients/{key}")).json(&body).send();
    put("no", json!({ "preferences": { "posts": { "inbox": false } } })).await.expect(201);
    put("else", json!({ "preferences": { "posts": { "email": false }, "other": { "inbox": false } } }))
        .await
        .expect(201);
    let body =
        json!({ "type": "post", "recipients": ["no", "else", "me"], "actor": "me", "data": { "who": "me", "n": 1 } });
    let id = notified(&app.client, body).await;
    let counted = planned(&app.client, &id).await;
    assert_eq!(
        counted["inbox"],
        json!({ "planned": 3, "delivered": 1, "pending": 0, "dead": 0, "suppressed": { "actor": 1, "preference": 1 } })
    );
    let one = |key: &str| app.client.get(&format!("/v1/notifications/{id}/recipients/{key}")).send();
    let no = one("no").await.expect(200);
    assert_eq!(
        no.body["channels"],
        json!([{ "channel": "inbox", "fate": "suppressed", "reason": "preference", "job_id": no.string("/channels/0/job_id") }])
    );
    assert_eq!(one("me").await.expect(200).string("/channels/0/reason"), "actor");
    mark(&app.client, "else", &id, json!({ "read": true })).await.expect(200);
    let told = one("else").await.expect(200);
    let what: Vec<&str> =
        told.body["timeline"].as_array().unwrap().iter().map(|moment| moment["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["accepted", "delivered", "seen", "read"]);
    assert!(inbox(&app.client, "no").await.is_empty());
}

async fn a_notification_in_the_future_waits_and_can_be_cancelled(stack: Stack) {
    let app = App::start(stack).await;
    a_type(&app.client).await;
    let body = json!({ "type": "post", "recipients": ["anna"], "deliver_at": "2100-01-01T00:00:00Z", "data": { "who": "a", "n": 1 } });
    app.client.post("/v1/notifications").json(&body).send().await.expect_problem(422, "invalid_body");
    let at = (jiff::Timestamp::now() + std::time::Duration::from_secs(3_600)).to_string();
    let body = json!({ "type": "post", "recipients": ["anna"], "deliver_at": at, "data": { "who": "a", "n": 1 } });
    let id = notified(&app.client, body).await;
    let shown = receipt(&app.client, &id).await;
    assert_eq!((shown.string("/state").as_str(), &shown.body["receipt"]["inbox"]["planned"]), ("scheduled", &json!(0)));
    app.client.post(&format!("/v1/notifications/{id}/cancel")).send().await.expect(200);
    assert_eq!(receipt(&app.client, &id).await.string("/state"), "cancelled");
    app.client.post(&format!("/v1/notifications/{id}/cancel")).send().await.expect_problem(409, "job_finished");
    let told =
        notified(&app.client, json!({ "type": "post", "recipients": ["bob"], "data": { "who": "a", "n": 1 } })).await;
    planned(&app.client, &told).await;
    app.client.post(&format!("/v1/notifications/{told}/cancel")).send().await.expect_problem(409, "job_finished");
    app.client.get("/v1/recipients/anna").send().await.expect_problem(404, "not_found");
}

async fn what_is_wrong_with_a_notification_is_said_at_its_place(stack: Stack) {
    let app = App::start(stack).await;
    a_type(&app.client).await;
    let many: Vec<String> = (0..1_001).map(|n| format!("u{n}")).collect();
    let data = json!({ "who": "a", "n": 1 });
    for (body, pointer) in [
        (json!({ "type": "none", "recipients": ["a"], "data": data }), "/type"),
        (json!({ "type": "post", "data": data }), "/recipients"),
        (json!({ "type": "post", "recipients": ["a", "b c"], "data": data }), "/recipients/1"),
        (json!({ "type": "post", "recipients": many, "data": data }), "/recipients"),
        (json!({ "type": "post", "topics": ["none"], "data": data }), "/topics/0"),
        (json!({ "type": "post", "recipients": ["a"], "urgency": "now", "data": data }), "/urgency"),
        (json!({ "type": "post", "recipients": ["a"], "actor": "", "data": data }), "/actor"),
        (json!({ "type": "post", "recipients": ["a"], "data": { "who": "a" } }), "/data"),
        (json!({ "type": "post", "recipients": ["a"], "data": [] }), "/data"),
        (json!({ "type": "post", "recipients": ["a"], "data": data, "colour": 1 }), "/colour"),
    ] {
        let refused = app.client.post("/v1/notifications").json(&body).send().await.expect_problem(422, "invalid_body");
        assert_eq!(refused.string("/errors/0/pointer"), pointer, "{body}");
    }
    assert!(app.client.all("/v1/notifications").await.is_empty());
}

async fn the_same_key_tells_nobody_twice(stack: Stack) {
    let app = App::start(stack).await;
    a_type(&app.client).await;
    let body = json!({ "type": "post", "recipients": ["anna"], "data": { "who": "a", "n": 1 } });
    let send = || app.client.post("/v1/notifications").header("Idempotency-Key", "k1").json(&body).send();
    let first = send().await.expect(202);
    let again = send().await.expect(202);
    assert_eq!(first.body, again.body);
    planned(&app.client, &first.string("/id")).await;
    assert_eq!((inbox(&app.client, "anna").await.len(), counts(&app.client, "anna").await), (1, (1, 1)));
    let other = json!({ "type": "post", "recipients": ["bob"], "data": { "who": "a", "n": 1 } });
    let conflict = app.client.post("/v1/notifications").header("Idempotency-Key", "k1").json(&other).send().await;
    conflict.expect_problem(409, "idempotency_conflict");
    assert_eq!(app.client.all("/v1/notifications").await.len(), 1);
    // The body may have it too.
    let keyed = |key: &str| json!({ "type": "post", "recipients": ["cleo"], "data": { "who": "a", "n": 1 }, "idempotency_key": key });
    let send = |body: Value| app.client.post("/v1/notifications").json(&body).send();
    let first = send(keyed("k2")).await.expect(202);
    assert_eq!(send(keyed("k2")).await.expect(202).body, first.body);
    assert_eq!(app.client.all("/v1/notifications").await.len(), 2);
    let refused = send(keyed("k 2")).await.expect_problem(422, "invalid_body");
    assert_eq!(refused.string("/errors/0/pointer"), "/idempotency_key");
    let both = app.client.post("/v1/notifications").header("Idempotency-Key", "k3").json(&keyed("k2")).send().await;
    both.expect_problem(422, "invalid_body");
}

async fn an_inbox_is_seen_read_and_put_away_and_its_counts_follow(stack: Stack) {
    let app = App::start(stack).await;
    a_type(&app.client).await;
    let mut ids = Vec::new();
    for n in 0..3 {
        let id =
            notified(&app.client, json!({ "type": "post", "recipients": ["anna"], "data": { "who": "a", "n": n } }))
                .await;
        planned(&app.client, &id).await;
        ids.push(id);
    }
    assert_eq!(counts(&app.client, "anna").await, (3, 3));
    let marked = mark(&app.client, "anna", &ids[0], json!({ "seen": true })).await.expect(200);
    assert_eq!(
        (&marked.body["unread"], &marked.body["unseen"], &marked.body["read_at"]),
        (&json!(3), &json!(2), &Value::Null)
    );
    for _ in 0..2 {
        mark(&app.client, "anna", &ids[1], json!({ "read": true })).await.expect(200);
        assert_eq!(counts(&app.client, "anna").await, (2, 1));
    }
    mark(&app.client, "anna", &ids[1], json!({ "read": false })).await.expect(200);
    assert_eq!(counts(&app.client, "anna").await, (3, 1));
    mark(&app.client, "anna", &ids[2], json!({ "archived": true })).await.expect(200);
    assert_eq!(counts(&app.client, "anna").await, (2, 0));
    let listed = |state: &'static str| {
        let client = &app.client;
        async move { client.all(&format!("/v1/recipients/anna/inbox?state={state}")).await }
    };
    let of = |items: &[Value]| items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(of(&inbox(&app.client, "anna").await), [ids[1].clone(), ids[0].clone()]);
    assert_eq!(
        (of(&listed("unread").await), of(&listed("archived").await)),
        (vec![ids[1].clone(), ids[0].clone()], vec![ids[2].clone()])
    );
    mark(&app.client, "anna", &ids[2], json!({ "archived": false })).await.expect(200);
    assert_eq!(inbox(&app.client, "anna").await.len(), 3);
    mark(&app.client, "anna", &ids[0], json!({ "seen": false })).await.expect_problem(422, "invalid_body");
    mark(&app.client, "bob", &ids[0], json!({ "seen": true })).await.expect_problem(404, "not_found");
    mark(&app.client, "anna", "ntf_00000000000000000000000000", json!({ "seen": true }))
        .await
        .expect_problem(404, "not_found");
    app.client.get("/v1/recipients/anna/inbox?state=new").send().await.expect_problem(400, "bad_parameter");
}

async fn all_is_read_up_to_what_was_there(stack: Stack) {
    let app = App::start(stack).await;
    a_type(&app.client).await;
    for n in 0..4 {
        let id =
            notified(&app.client, json!({ "type": "post", "recipients": ["anna"], "data": { "who": "a", "n": n } }))
                .await;
        planned(&app.client, &id).await;
    }
    let all =
        |what: &str, body: Value| app.client.post(&format!("/v1/recipients/anna/inbox/{what}")).json(&body).send();
    assert_eq!(all("see-all", json!({ "upto_seq": 3 })).await.expect(200).body, json!({ "unread": 4, "unseen": 1 }));
    assert_eq!(all("read-all", json!({ "upto_seq": 2 })).await.expect(200).body, json!({ "unread": 2, "unseen": 1 }));
    assert_eq!(all("read-all", json!({})).await.expect(200).body, json!({ "unread": 0, "unseen": 0 }));
    assert_eq!(all("read-all", json!({})).await.expect(200).body, json!({ "unread": 0, "unseen": 0 }));
    assert_eq!(counts(&app.client, "anna").await, (0, 0));
    app.client.post("/v1/recipients/nobody/inbox/read-all").send().await.expect_problem(404, "not_found");
}

async fn an_inbox_is_listed_page_after_page(stack: Stack) {
    let app = App::start(stack).await;
    a_type(&app.client).await;
    for n in 0..5 {
        let id =
            notified(&app.client, json!({ "type": "post", "recipients": ["anna"], "data": { "who": "a", "n": n } }))
                .await;
        planned(&app.client, &id).await;
    }
    let (mut path, mut seqs) = ("/v1/recipients/anna/inbox?limit=2".to_owned(), Vec::new());
    loop {
        let page = app.client.get(&path).send().await.expect(200);
        assert_eq!((&page.body["unread"], &page.body["unseen"]), (&json!(5), &json!(5)));
        seqs.extend(page.list("/data").iter().map(|item| item["seq"].as_u64().unwrap()));
        match page.body["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/recipients/anna/inbox?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seqs, [5, 4, 3, 2, 1]);
}

/// Ten times as many marks as notifications, all at once: what is counted is what is there.
async fn marks_at_once_with_news_do_not_miscount(stack: Stack) {
    let app = App::start(stack).await;
    a_type(&app.client).await;
    followers(&app.client, "a", 0..50).await;
    let publish = async {
        for n in 0..10 {
            let id = notified(
                &app.client,
                json!({ "type": "post", "topics": ["a"], "recipients": ["u1"], "data": { "who": "a", "n": n } }),
            )
            .await;
            planned(&app.client, &id).await;
        }
    };
    let read = async |key: &str| {
        for _ in 0..20 {
            for item in inbox(&app.client, key).await.into_iter().take(2) {
                mark(&app.client, key, item["id"].as_str().unwrap(), json!({ "read": item["read_at"].is_null() }))
                    .await
                    .expect(200);
            }
            app.client.post(&format!("/v1/recipients/{key}/inbox/see-all")).send().await;
        }
    };
    let keys = ["u1", "u2", "u3", "u4"];
    followers(&app.client, "a", 0..50).await;
    futures::join!(publish, read(keys[0]), read(keys[1]), read(keys[2]), read(keys[3]), read(keys[1]));
    for key in keys {
        let items = inbox(&app.client, key).await;
        let new = |field: &str| items.iter().filter(|item| item[field].is_null()).count() as u64;
        assert_eq!((items.len(), counts(&app.client, key).await), (10, (new("read_at"), new("seen_at"))), "{key}");
        let mut seqs: Vec<u64> = items.iter().map(|item| item["seq"].as_u64().unwrap()).collect();
        seqs.sort_unstable();
        assert_eq!(seqs, (1..=10).collect::<Vec<_>>(), "{key}");
    }
}

async fn whoever_is_known_again_begins_with_an_empty_inbox(stack: Stack) {
    let app = App::start(stack).await;
    a_type(&app.client).await;
    let id =
        notified(&app.client, json!({ "type": "post", "recipients": ["anna", "bob"], "data": { "who": "a", "n": 1 } }))
            .await;
    planned(&app.client, &id).await;
    app.client.delete("/v1/recipients/anna").send().await.expect(204);
    app.client.get("/v1/recipients/anna/inbox").send().await.expect_problem(404, "not_found");
    app.client.call(Method::PUT, "/v1/recipients/anna").json(&json!({})).send().await.expect(201);
    assert_eq!((inbox(&app.client, "anna").await.len(), counts(&app.client, "anna").await), (0, (0, 0)));
    // The receipt is of what happened.
    assert_eq!(receipt(&app.client, &id).await.body["receipt"]["inbox"]["delivered"], 2);
}

async fn a_tenant_sees_none_of_another_s(stack: Stack) {
    let app = App::start(stack).await;
    a_type(&app.client).await;
    let id =
        notified(&app.client, json!({ "type": "post", "recipients": ["anna"], "data": { "who": "a", "n": 1 } })).await;
    planned(&app.client, &id).await;
    let other = app.client.new_tenant("other").await;
    other.get(&format!("/v1/notifications/{id}")).send().await.expect_problem(404, "not_found");
    other.post(&format!("/v1/notifications/{id}/cancel")).send().await.expect_problem(404, "not_found");
    other.get("/v1/recipients/anna/inbox").send().await.expect_problem(404, "not_found");
    other.call(Method::PUT, "/v1/recipients/anna").json(&json!({})).send().await.expect(201);
    other.get(&format!("/v1/notifications/{id}/recipients/anna")).send().await.expect_problem(404, "not_found");
    mark(&other, "anna", &id, json!({ "read": true })).await.expect_problem(404, "not_found");
    assert!(inbox(&other, "anna").await.is_empty());
    other
        .post("/v1/notifications")
        .json(&json!({ "type": "post", "recipients": ["anna"], "data": {} }))
        .send()
        .await
        .expect_problem(422, "invalid_body");
    assert_eq!(counts(&app.client, "anna").await, (1, 1));
    assert!(other.all("/v1/notifications").await.is_empty());
}
