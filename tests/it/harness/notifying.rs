//! People who are told things: a type, followers, and waiting until everybody is told.

use std::ops::Range;

use reqwest::Method;
use serde_json::{Value, json};

use super::{Answer, Client, SOON, eventually};

/// A type `post` of category `posts` in English and German, whose data has `who` and `n`.
pub(crate) async fn a_type(client: &Client) {
    let notice = |title: &str, body: &str| json!({ "title": title, "body": body, "url": "https://social.example/{{ data.who | urlencode }}" });
    let body = json!({ "category": "posts", "default_locale": "en", "sample": { "who": "Anna", "n": 2 },
        "channels": { "inbox": { "templates": {
            "en": notice("{{ data.who }} posted", "{{ data.n }} lines"),
            "de": notice("{{ data.who }} hat geschrieben", "{{ data.n }} Zeilen"),
        } } } });
    client.call(Method::PUT, "/v1/notification-types/post").json(&body).send().await.expect(201);
}

/// A type `mail` of category `social` in English and German, whose data has `who`: in inboxes and by e-mail.
pub(crate) async fn a_mail_type(client: &Client) {
    let notice = json!({ "title": "{{ data.who }} posted", "body": "Look." });
    let mail = |subject: &str, hello: &str| {
        json!({ "subject": subject, "text": format!("{hello} {{{{ recipient.key }}}}\n"),
            "html": format!("<p>{hello} {{{{ recipient.key }}}}</p>") })
    };
    let body = json!({ "category": "social", "default_locale": "en", "sample": { "who": "Anna" }, "channels": {
        "inbox": { "templates": { "en": notice } },
        "email": { "templates": {
            "en": mail("{{ data.who }} posted", "Hello"), "de": mail("{{ data.who }} hat geschrieben", "Grüße,"),
        } },
    } });
    client.call(Method::PUT, "/v1/notification-types/mail").json(&body).send().await.expect(201);
}

/// A type `push` of category `social`, whose data has `who`: to browsers alone.
pub(crate) async fn a_push_type(client: &Client) {
    let notice = json!({ "title": "{{ data.who }} posted", "body": "For {{ recipient.key }}", "url": "/posts/1" });
    let body = json!({ "category": "social", "default_locale": "en", "urgency": "high", "sample": { "who": "Anna" },
        "channels": { "push": { "templates": { "en": notice } } } });
    client.call(Method::PUT, "/v1/notification-types/push").json(&body).send().await.expect(201);
}

/// A type `note` of category `social`, whose data has `who`: in inboxes, and to endpoints as an event `member.posted`.
pub(crate) async fn a_webhook_type(client: &Client) {
    let notice = json!({ "title": "{{ data.who }} posted", "body": "Look." });
    let body = json!({ "category": "social", "default_locale": "en", "sample": { "who": "Anna" }, "channels": {
        "inbox": { "templates": { "en": notice } }, "webhook": { "event_type": "member.posted" },
    } });
    client.call(Method::PUT, "/v1/notification-types/note").json(&body).send().await.expect(201);
}

/// Somebody with an address.
pub(crate) async fn a_reader(client: &Client, key: &str, address: &str) {
    let path = format!("/v1/recipients/{key}");
    client.call(Method::PUT, &path).json(&json!({ "email": address })).send().await.expect(201);
}

/// A topic that `u0`, `u1` and so on follow.
pub(crate) async fn followers(client: &Client, topic: &str, range: Range<usize>) {
    client.call(Method::PUT, &format!("/v1/topics/{topic}")).json(&json!({})).send().await;
    let lines: Vec<String> = range.map(|n| json!({ "recipient": format!("u{n}") }).to_string()).collect();
    let path = format!("/v1/topics/{topic}/subscriptions/import");
    client.post(&path).body("application/x-ndjson", lines.join("\n")).send().await.expect(200);
}

/// Publishes a notification; its id.
pub(crate) async fn notified(client: &Client, body: Value) -> String {
    client.post("/v1/notifications").json(&body).send().await.expect(202).string("/id")
}

pub(crate) async fn receipt(client: &Client, id: &str) -> Answer {
    let shown = client.get(&format!("/v1/notifications/{id}")).send().await.expect(200);
    for (channel, of) in shown.body["receipt"].as_object().unwrap() {
        let count = |field: &str| of[field].as_u64().unwrap();
        let suppressed: u64 = of["suppressed"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
        let sum = count("delivered") + count("pending") + count("dead") + suppressed;
        assert_eq!(count("planned"), sum, "the receipt of {channel} adds up");
    }
    shown
}

/// Waits until everybody was told; the receipt.
pub(crate) async fn planned(client: &Client, id: &str) -> Value {
    eventually("everybody was told", SOON, || async {
        let shown = receipt(client, id).await;
        (shown.body["state"] == "done").then(|| shown.body["receipt"].clone())
    })
    .await
}

/// How much is unread and unseen.
pub(crate) async fn counts(client: &Client, key: &str) -> (u64, u64) {
    let counts = client.get(&format!("/v1/recipients/{key}/inbox/counts")).send().await.expect(200);
    (counts.body["unread"].as_u64().unwrap(), counts.body["unseen"].as_u64().unwrap())
}
