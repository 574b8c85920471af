//! Web push up to the subscription: the key that browsers subscribe with, and which browsers are whose.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{App, Client, PushBrowser, Stack};

on_both_stacks!(
    a_key_is_made_when_it_is_asked_for_and_can_be_brought_along,
    a_product_hands_in_the_browsers_of_its_people,
    a_browser_subscribes_by_its_owner_s_token_and_for_nobody_else,
    what_is_no_subscription_is_refused_at_its_place,
    a_push_service_without_tls_is_one_of_a_private_network,
);

/// The application server's keys of RFC 8291, section 5.
const PRIVATE: &str = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw";
const PUBLIC: &str = "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8";

async fn put_recipient(client: &Client, key: &str) {
    client.call(Method::PUT, &format!("/v1/recipients/{key}")).json(&json!({})).send().await.expect(201);
}

async fn inbox_token(client: &Client, key: &str) -> Client {
    let made = client.post(&format!("/v1/recipients/{key}/inbox/token")).send().await.expect(201);
    client.with_token(&made.string("/token"))
}

/// The addresses of somebody's browsers.
async fn endpoints(client: &Client, key: &str) -> Vec<String> {
    let shown = client.get(&format!("/v1/recipients/{key}/push-subscriptions")).send().await.expect(200);
    shown.list("/data").iter().map(|one| one["endpoint"].as_str().unwrap().to_owned()).collect()
}

async fn a_key_is_made_when_it_is_asked_for_and_can_be_brought_along(stack: Stack) {
    let app = App::start(stack).await;
    let put = |client: &Client, body: Value| client.call(Method::PUT, "/v1/push").json(&body).send();
    let made = app.client.get("/v1/push").send().await.expect(200);
    assert_eq!((made.string("/public_key").len(), &made.body["subject"]), (87, &Value::Null));
    assert_eq!(app.client.get("/v1/push").send().await.expect(200).body, made.body);
    let stranger = app.client.new_tenant("stranger").await;
    assert_ne!(stranger.get("/v1/push").send().await.expect(200).body["public_key"], made.body["public_key"]);
    // What is shown can be put back; who pushes is another thing than by which key.
    put(&app.client, made.body.clone()).await.expect(200);
    let named = put(&app.client, json!({ "subject": "mailto:ops@example.com" })).await.expect(200);
    assert_eq!(named.body["public_key"], made.body["public_key"]);
    assert_eq!(named.body["subject"], "mailto:ops@example.com");
    let brought = json!({ "subject": "https://example.com/contact", "private_key": PRIVATE, "public_key": PUBLIC });
    let set = put(&app.client, brought).await.expect(200);
    assert_eq!((set.string("/public_key").as_str(), &set.body["created_at"]), (PUBLIC, &made.body["created_at"]));
    assert!(!set.text.contains(PRIVATE) && set.body.get("private_key").is_none());
    assert_eq!(app.client.get("/v1/push").send().await.expect(200).body, set.body);
    for (body, pointer) in [
        (json!({ "subject": "ops@example.com" }), "/subject"),
        (json!({ "private_key": "short" }), "/private_key"),
        (json!({ "private_key": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" }), "/private_key"),
        (json!({ "private_key": PRIVATE, "public_key": made.body["public_key"] }), "/public_key"),
        (json!({ "public_key": made.body["public_key"] }), "/public_key"),
        (json!({ "colour": "red" }), "/colour"),
    ] {
        let refused = put(&app.client, body.clone()).await.expect_problem(422, "invalid_body");
        assert_eq!(refused.string("/errors/0/pointer"), pointer, "{body}: {}", refused.text);
    }
    assert_eq!(app.client.get("/v1/push").send().await.expect(200).body, set.body);
    let token = json!({ "name": "p", "role": "publisher" });
    let publisher = app.client.post("/v1/tokens").json(&token).send().await.expect(201).string("/token");
    let publisher = app.client.with_token(&publisher);
    publisher.get("/v1/push").send().await.expect(200);
    put(&publisher, json!({})).await.expect_problem(403, "forbidden");
}

async fn a_product_hands_in_the_browsers_of_its_people(stack: Stack) {
    let app = App::start(stack).await;
    let client = &app.client;
    put_recipient(client, "ada").await;
    put_recipient(client, "bob").await;
    let browser = PushBrowser::new(1);
    let put =
        |key: &str, body: Value| client.post(&format!("/v1/recipients/{key}/push-subscriptions")).json(&body).send();
    let mut said = browser.subscription("https://push.example/a");
    let made = put("ada", said.clone()).await.expect(201);
    assert!(made.string("/id").starts_with("psh_"), "{}", made.text);
    assert_eq!((made.string("/endpoint").as_str(), &made.body["expires_at"]), ("https://push.example/a", &Value::Null));
    assert!(made.body.get("keys").is_none(), "nobody needs them back");
    said["expirationTime"] = json!(4_102_444_800_000.0_f64);
    let again = put("ada", said.clone()).await.expect(200);
    assert_eq!(
        (&again.body["id"], again.string("/expires_at").as_str()),
        (&made.body["id"], "2100-01-01T00:00:00.000Z")
    );
    put("ada", browser.subscription("https://push.example/b")).await.expect(201);
    assert_eq!(endpoints(client, "ada").await, ["https://push.example/b", "https://push.example/a"]);
    // The same browser, which somebody else uses by now.
    put("bob", said.clone()).await.expect(200);
    assert_eq!(endpoints(client, "ada").await, ["https://push.example/b"]);
    assert_eq!(endpoints(client, "bob").await, ["https://push.example/a"]);
    let path = |key: &str| format!("/v1/recipients/{key}/push-subscriptions/{}", made.string("/id"));
    client.delete(&path("ada")).send().await.expect_problem(404, "not_found");
    let stranger = client.new_tenant("stranger").await;
    stranger.delete(&path("bob")).send().await.expect_problem(404, "not_found");
    client.delete(&path("bob")).send().await.expect(204);
    client.delete(&path("bob")).send().await.expect_problem(404, "not_found");
    assert!(endpoints(client, "bob").await.is_empty());
    put("nobody", said.clone()).await.expect_problem(404, "not_found");
    client.get("/v1/recipients/nobody/push-subscriptions").send().await.expect_problem(404, "not_found");
    // Who is removed takes their browsers along.
    client.delete("/v1/recipients/ada").send().await.expect(204);
    put_recipient(client, "ada").await;
    assert!(endpoints(client, "ada").await.is_empty());
}

async fn a_browser_subscribes_by_its_owner_s_token_and_for_nobody_else(stack: Stack) {
    let app = App::start(stack).await;
    put_recipient(&app.client, "ada").await;
    put_recipient(&app.client, "bob").await;
    let (ada, bob) = (inbox_token(&app.client, "ada").await, inbox_token(&app.client, "bob").await);
    let key = ada.get("/v1/inbox/push-key").send().await.expect(200);
    assert_eq!(key.header("access-control-allow-origin"), Some("*"));
    assert_eq!(key.body["public_key"], app.client.get("/v1/push").send().await.expect(200).body["public_key"]);
    let said = PushBrowser::new(2).subscription("https://push.example/shared");
    let path = "/v1/inbox/push-subscriptions";
    let asked = app.client.call(Method::OPTIONS, path).without_token().send().await.expect(204);
    assert_eq!(asked.header("access-control-allow-methods"), Some("GET, POST, PATCH, DELETE"));
    ada.post(path).json(&said).send().await.expect(201);
    ada.post(path).json(&said).send().await.expect(200);
    assert_eq!(endpoints(&app.client, "ada").await, ["https://push.example/shared"]);
    // Nobody takes another's browser away but by handing it in as theirs.
    bob.delete(path).json(&said).send().await.expect_problem(404, "not_found");
    bob.post(path).json(&said).send().await.expect(200);
    assert_eq!((endpoints(&app.client, "ada").await.len(), endpoints(&app.client, "bob").await.len()), (0, 1));
    ada.delete(path).json(&said).send().await.expect_problem(404, "not_found");
    bob.delete(path).json(&json!({ "endpoint": "HTTPS://push.example/shared" })).send().await.expect(204);
    assert!(endpoints(&app.client, "bob").await.is_empty());
    for (method, path) in [(Method::GET, "/v1/push"), (Method::GET, "/v1/recipients/ada/push-subscriptions")] {
        ada.call(method, path).send().await.expect_problem(401, "token_invalid");
    }
    app.client.post(path).json(&said).send().await.expect_problem(401, "token_invalid");
    app.client.delete("/v1/recipients/ada").send().await.expect(204);
    ada.post(path).json(&said).send().await.expect_problem(404, "not_found");
}

async fn what_is_no_subscription_is_refused_at_its_place(stack: Stack) {
    let app = App::start(stack).await;
    put_recipient(&app.client, "ada").await;
    let ada = inbox_token(&app.client, "ada").await;
    let good = PushBrowser::new(3).subscription("https://push.example/a");
    let with = |pointer: &str, value: Value| {
        let mut body = good.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    // On no curve, though it has the length and the first byte of a point.
    let off_the_curve = format!("BA{}", "A".repeat(85));
    let mut unknown = good.clone();
    unknown["colour"] = json!("red");
    for (body, pointer) in [
        (with("/endpoint", json!("no address")), "/endpoint"),
        (with("/endpoint", json!("https://10.0.0.1/")), "/endpoint"),
        (with("/endpoint", json!("https://push.example:6379/")), "/endpoint"),
        (with("/endpoint", json!("https://user@push.example/")), "/endpoint"),
        (with("/expirationTime", json!(-1)), "/expirationTime"),
        (with("/expirationTime", json!("soon")), "/expirationTime"),
        (with("/keys/p256dh", json!(off_the_curve)), "/keys/p256dh"),
        (with("/keys/p256dh", json!("BAAA")), "/keys/p256dh"),
        (with("/keys/p256dh", json!("ä")), "/keys/p256dh"),
        (with("/keys/auth", json!("AAAA")), "/keys/auth"),
        (with("/keys", json!({ "auth": "AAAA" })), "/keys/p256dh"),
        (with("/keys", json!(["a", "b"])), "/keys"),
        (unknown, "/colour"),
    ] {
        for call in [app.client.post("/v1/recipients/ada/push-subscriptions"), ada.post("/v1/inbox/push-subscriptions")]
        {
            let refused = call.json(&body).send().await.expect_problem(422, "invalid_body");
            assert_eq!(refused.string("/errors/0/pointer"), pointer, "{body}: {}", refused.text);
        }
    }
    assert!(endpoints(&app.client, "ada").await.is_empty());
}

async fn a_push_service_without_tls_is_one_of_a_private_network(stack: Stack) {
    let public = App::builder(stack).env("POSTRIDER_EGRESS_ALLOW", "").start().await;
    let private = App::start(stack).await;
    let browser = PushBrowser::new(4);
    for (app, url, status) in [
        (&public, "http://push.example/a", 422),
        (&public, "https://push.example/a", 201),
        (&public, "https://127.0.0.1:9000/a", 422),
        (&private, "http://127.0.0.1:9000/a", 201),
    ] {
        app.client.call(Method::PUT, "/v1/recipients/ada").json(&json!({})).send().await;
        let call = app.client.post("/v1/recipients/ada/push-subscriptions").json(&browser.subscription(url));
        let answer = call.send().await.expect(status);
        assert!(status == 201 || answer.string("/errors/0/pointer") == "/endpoint", "{url}: {}", answer.text);
    }
}
