//! Topics: who subscribes to them, and that each knows how many do.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, App, Client, Stack};

on_both_stacks!(
    a_topic_is_named_counted_and_removed,
    a_topic_keeps_the_name_that_is_not_said,
    a_topic_is_put_back_as_it_is_shown,
    a_subscription_makes_whoever_is_not_known_and_a_topic_has_to_be_there,
    what_is_wrong_with_a_batch_of_subscriptions_is_said_at_its_place,
    a_recipient_who_is_removed_leaves_all_topics,
    doubled_batches_change_nothing_and_counts_stay_right,
    batches_and_removals_at_once_neither_stop_each_other_nor_miscount,
    subscriptions_are_listed_page_after_page,
);

async fn topic(client: &Client, key: &str) -> Answer {
    client.call(Method::PUT, &format!("/v1/topics/{key}")).json(&json!({})).send().await
}

async fn subscribers(client: &Client, key: &str) -> u64 {
    let shown = client.get(&format!("/v1/topics/{key}")).send().await.expect(200).body["subscribers"].as_u64().unwrap();
    assert_eq!(client.all(&format!("/v1/topics/{key}/subscriptions")).await.len() as u64, shown, "the count of {key}");
    shown
}

async fn batch(client: &Client, key: &str, body: Value) -> Answer {
    client.post(&format!("/v1/topics/{key}/subscriptions/batch")).json(&body).send().await
}

fn keys(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|n| format!("u{n}")).collect()
}

async fn a_topic_is_named_counted_and_removed(stack: Stack) {
    let app = App::start(stack).await;
    let put = |body: Value| app.client.call(Method::PUT, "/v1/topics/posts%2Fanna").json(&body).send();
    let made = put(json!({})).await.expect(201);
    assert_eq!((made.string("/key"), made.string("/name")), ("posts/anna".into(), "posts/anna".into()));
    assert_eq!((made.string("/id").starts_with("top_"), &made.body["subscribers"]), (true, &json!(0)));
    app.client.call(Method::PUT, "/v1/topics/posts%2Fanna/subscriptions/u1").send().await.expect(200);
    let named = put(json!({ "name": "Anna's posts" })).await.expect(200);
    assert_eq!((named.string("/name").as_str(), &named.body["subscribers"]), ("Anna's posts", &json!(1)));
    assert_eq!(named.body["id"], made.body["id"]);
    let refused = put(json!({ "name": "a\nb" })).await.expect_problem(422, "invalid_body");
    assert_eq!(refused.string("/errors/0/pointer"), "/name");
    topic(&app.client, "b").await.expect(201);
    topic(&app.client, "a%20b").await.expect_problem(400, "bad_parameter");
    let listed = app.client.get("/v1/topics?limit=1").send().await.expect(200);
    assert_eq!(listed.string("/data/0/key"), "b");
    let next = app.client.get(&format!("/v1/topics?cursor={}", listed.string("/next_cursor"))).send().await.expect(200);
    assert_eq!((next.string("/data/0/key").as_str(), &next.body["next_cursor"]), ("posts/anna", &Value::Null));
    app.client.delete("/v1/topics/posts%2Fanna").send().await.expect(204);
    app.client.delete("/v1/topics/posts%2Fanna").send().await.expect_problem(404, "not_found");
    assert!(app.client.all("/v1/recipients/u1/topics").await.is_empty());
}

async fn a_topic_keeps_the_name_that_is_not_said(stack: Stack) {
    let app = App::start(stack).await;
    let put = || app.client.call(Method::PUT, "/v1/topics/t");
    let made = put().json(&json!({ "name": "A name" })).send().await.expect(201);
    for again in [put(), put().json(&json!({})), put().json(&json!({ "name": null }))] {
        assert_eq!(again.send().await.expect(200).body, made.body);
    }
    assert_eq!(app.client.call(Method::PUT, "/v1/topics/u").send().await.expect(201).string("/name"), "u");
}

async fn a_topic_is_put_back_as_it_is_shown(stack: Stack) {
    let app = App::start(stack).await;
    let put = |body: Value| app.client.call(Method::PUT, "/v1/topics/t").json(&body).send();
    put(json!({ "name": "A name" })).await.expect(201);
    let shown = app.client.get("/v1/topics/t").send().await.expect(200).body;
    // Meanwhile somebody subscribes: that is not undone.
    app.client.call(Method::PUT, "/v1/topics/t/subscriptions/u1").send().await.expect(200);
    let back = put(shown.clone()).await.expect(200).body;
    for name in ["id", "key", "name", "created_at", "updated_at"] {
        assert_eq!(back[name], shown[name], "{name}");
    }
    assert_eq!((&shown["subscribers"], &back["subscribers"]), (&json!(0), &json!(1)));
    for (name, value) in [("key", "u"), ("colour", "red")] {
        let mut other = shown.clone();
        other[name] = value.into();
        let refused = put(other).await.expect_problem(422, "invalid_body");
        assert_eq!(refused.string("/errors/0/pointer"), format!("/{name}"));
    }
}

async fn a_subscription_makes_whoever_is_not_known_and_a_topic_has_to_be_there(stack: Stack) {
    let app = App::start(stack).await;
    let path = "/v1/topics/t/subscriptions/u1";
    app.client.call(Method::PUT, path).send().await.expect_problem(404, "not_found");
    app.client.get("/v1/recipients/u1").send().await.expect_problem(404, "not_found");
    topic(&app.client, "t").await.expect(201);
    let done = app.client.call(Method::PUT, path).send().await.expect(200);
    assert_eq!(done.body, json!({ "subscribed": 1, "unsubscribed": 0, "recipients_created": 1, "subscribers": 1 }));
    let again = app.client.call(Method::PUT, path).send().await.expect(200);
    assert_eq!(again.body, json!({ "subscribed": 0, "unsubscribed": 0, "recipients_created": 0, "subscribers": 1 }));
    assert_eq!(app.client.get("/v1/recipients/u1").send().await.expect(200).body["email"], Value::Null);
    assert_eq!(app.client.all("/v1/topics/t/subscriptions").await[0]["recipient"], "u1");
    assert_eq!(app.client.all("/v1/recipients/u1/topics").await[0]["key"], "t");
    app.client.delete(path).send().await.expect(204);
    app.client.delete(path).send().await.expect_problem(404, "not_found");
    app.client.delete("/v1/topics/t/subscriptions/nobody").send().await.expect_problem(404, "not_found");
    app.client.get("/v1/recipients/nobody").send().await.expect_problem(404, "not_found");
    assert_eq!(subscribers(&app.client, "t").await, 0);
}

async fn what_is_wrong_with_a_batch_of_subscriptions_is_said_at_its_place(stack: Stack) {
    let app = App::start(stack).await;
    topic(&app.client, "t").await.expect(201);
    for (body, pointer) in [
        (json!({ "subscribe": ["u1", ""] }), "/subscribe/1"),
        (json!({ "unsubscribe": ["a b"] }), "/unsubscribe/0"),
        (json!({ "subscribe": ["u1", "u2"], "unsubscribe": ["u3", "u2"] }), "/unsubscribe/1"),
        (json!({ "subscribe": [1] }), "/subscribe/0"),
        (json!({ "add": [] }), "/add"),
    ] {
        let refused = batch(&app.client, "t", body.clone()).await.expect_problem(422, "invalid_body");
        assert_eq!(refused.string("/errors/0/pointer"), pointer, "{body}");
    }
    let many = json!({ "subscribe": keys(0, 600), "unsubscribe": keys(600, 1_001) });
    batch(&app.client, "t", many).await.expect_problem(422, "batch_too_large");
    assert_eq!((subscribers(&app.client, "t").await, app.client.all("/v1/recipients").await.len()), (0, 0));
}

async fn a_recipient_who_is_removed_leaves_all_topics(stack: Stack) {
    let app = App::start(stack).await;
    for key in ["t1", "t2", "t3"] {
        topic(&app.client, key).await.expect(201);
    }
    batch(&app.client, "t1", json!({ "subscribe": ["u1", "u2"] })).await.expect(200);
    batch(&app.client, "t2", json!({ "subscribe": ["u1"] })).await.expect(200);
    batch(&app.client, "t3", json!({ "subscribe": ["u2"] })).await.expect(200);
    app.client.delete("/v1/recipients/u1").send().await.expect(204);
    let mut left = Vec::new();
    for key in ["t1", "t2", "t3"] {
        left.push(subscribers(&app.client, key).await);
    }
    assert_eq!(left, [1, 0, 1]);
    // Somebody of the same key is somebody else.
    app.client.call(Method::PUT, "/v1/recipients/u1").json(&json!({})).send().await.expect(201);
    assert!(app.client.all("/v1/recipients/u1/topics").await.is_empty());
}

async fn doubled_batches_change_nothing_and_counts_stay_right(stack: Stack) {
    let app = App::start(stack).await;
    topic(&app.client, "t").await.expect(201);
    app.client.call(Method::PUT, "/v1/recipients/u7").json(&json!({})).send().await.expect(201);
    let doubled = [keys(0, 300), keys(0, 300)].concat();
    let done = batch(&app.client, "t", json!({ "subscribe": doubled })).await.expect(200);
    assert_eq!(
        done.body,
        json!({ "subscribed": 300, "unsubscribed": 0, "recipients_created": 299, "subscribers": 300 })
    );
    let leave = [keys(0, 10), keys(0, 10), keys(900, 910)].concat();
    let change = json!({ "subscribe": keys(290, 310), "unsubscribe": leave });
    let done = batch(&app.client, "t", change.clone()).await.expect(200);
    assert_eq!(
        done.body,
        json!({ "subscribed": 10, "unsubscribed": 10, "recipients_created": 10, "subscribers": 300 })
    );
    let again = batch(&app.client, "t", change).await.expect(200);
    assert_eq!(again.body, json!({ "subscribed": 0, "unsubscribed": 0, "recipients_created": 0, "subscribers": 300 }));
    assert_eq!(subscribers(&app.client, "t").await, 300);
}

async fn batches_and_removals_at_once_neither_stop_each_other_nor_miscount(stack: Stack) {
    const ROUNDS: usize = 8;
    let app = App::start(stack).await;
    for key in ["t1", "t2"] {
        topic(&app.client, key).await.expect(201);
    }
    let (client, mut calls) = (&app.client, tokio::task::JoinSet::new());
    for round in 0..ROUNDS {
        // Each overlaps with its neighbours, on both topics, and is in another order.
        for key in ["t1", "t2"] {
            let (client, mut list) = (client.clone(), keys(round * 20, round * 20 + 120));
            if round % 2 == 0 {
                list.reverse();
            }
            calls.spawn(async move { batch(&client, key, json!({ "subscribe": list })).await.expect(200) });
        }
        let (from, to) = (round * 20, round * 20 + 15);
        let (leaver, writer, remover) = (client.clone(), client.clone(), client.clone());
        calls.spawn(async move { batch(&leaver, "t1", json!({ "unsubscribe": keys(from, to) })).await.expect(200) });
        calls.spawn(async move {
            let people: Vec<Value> =
                keys(from, to).iter().rev().map(|key| json!({ "key": key, "locale": "de" })).collect();
            writer.post("/v1/recipients/batch").json(&json!({ "recipients": people })).send().await.expect(200)
        });
        calls.spawn(async move {
            let gone = remover.delete(&format!("/v1/recipients/u{}", round * 20 + 7)).send().await;
            assert!([204, 404].contains(&gone.status), "{}", gone.text);
            gone
        });
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
    assert!(subscribers(client, "t1").await > 0);
    assert!(subscribers(client, "t2").await > 0);
}

async fn subscriptions_are_listed_page_after_page(stack: Stack) {
    let app = App::start(stack).await;
    for key in ["t1", "t2", "t3"] {
        topic(&app.client, key).await.expect(201);
        app.client.call(Method::PUT, &format!("/v1/topics/{key}/subscriptions/u3")).send().await.expect(200);
    }
    batch(&app.client, "t1", json!({ "subscribe": keys(0, 7) })).await.expect(200);
    for (path, name, count) in
        [("/v1/topics/t1/subscriptions", "recipient", 7_usize), ("/v1/recipients/u3/topics", "key", 3)]
    {
        let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = app.client.get(&format!("{path}?limit=2{cursor}")).send().await.expect(200);
            let data = page.list("/data");
            assert!(data.len() <= 2 && !data.is_empty(), "{}", page.text);
            seen.extend(data.iter().map(|one| one[name].as_str().unwrap().to_owned()));
            pages += 1;
            match page.body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!((seen.len(), pages), (count, count.div_ceil(2)), "{path}");
        app.client.get(&format!("{path}?cursor=x")).send().await.expect_problem(400, "bad_cursor");
    }
}
