//! How channels tell people: not whoever saw it already, not in their quiet hours, not too often, and many things in one message.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    App, Client, SOON, SmtpServer, Stack, eventually,
    notifying::{a_reader, notified, planned, receipt},
};

on_both_stacks!(
    who_has_seen_it_in_time_is_not_mailed,
    quiet_hours_hold_back_what_is_not_urgent,
    nobody_is_told_more_often_than_their_limit,
    a_hundred_at_once_are_one_mail_with_a_hundred_items,
    a_digest_leaves_out_what_was_seen_and_what_has_another_key,
    a_digest_of_one_reads_as_it_alone_and_one_of_none_is_not_sent,
    what_is_gathered_survives_a_kill_and_a_cancelled_digest_takes_nothing_more,
    what_is_wrong_with_a_workflow_is_said_at_its_place,
);

const AT_ONCE: usize = 100;

async fn started(stack: Stack, server: &SmtpServer) -> App {
    App::builder(stack)
        .env("POSTRIDER_SMTP_URL", server.url())
        .env("POSTRIDER_SMTP_FROM", "news@product.example")
        .start()
        .await
}

/// A type `post` in inboxes and by e-mail, of which `with` is set of its channel email.
async fn a_type(client: &Client, urgency: &str, with: Value) {
    let mut email = json!({ "templates": { "en": { "subject": "Post {{ data.n }}", "text": "{{ data.n }}" } } });
    email.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
    let inbox = json!({ "templates": { "en": { "title": "Post {{ data.n }}", "body": "Look." } } });
    let body = json!({ "category": "posts", "default_locale": "en", "urgency": urgency, "sample": { "n": 1, "to": "a" },
        "channels": { "inbox": inbox, "email": email } });
    client.call(Method::PUT, "/v1/notification-types/post").json(&body).send().await;
}

/// One of it to some people.
async fn posted(client: &Client, n: usize, to: &[&str]) -> String {
    notified(client, json!({ "type": "post", "recipients": to, "data": { "n": n, "to": "a" } })).await
}

/// What is set of a channel that gathers for an hour.
fn gathering() -> Value {
    let text = "{% for item in data.items %}{{ item.data.n }} {% endfor %}and {{ data.more }}";
    let mail = json!({ "subject": "{{ data.count }} posts", "text": text });
    json!({ "digest": { "window_s": 3600, "templates": { "en": mail } } })
}

async fn email(client: &Client, id: &str) -> Value {
    receipt(client, id).await.body["receipt"]["email"].clone()
}

async fn told_in_inbox(client: &Client, id: &str, count: u64) {
    eventually("their inboxes have it", SOON, || async {
        (receipt(client, id).await.body["receipt"]["inbox"]["delivered"] == count).then_some(())
    })
    .await;
}

async fn see(client: &Client, key: &str, id: &str) {
    let path = format!("/v1/recipients/{key}/inbox/{id}");
    client.patch(&path).json(&json!({ "seen": true })).send().await.expect(200);
}

async fn jobs(client: &Client, kind: &str, state: &str) -> Vec<Value> {
    client.all(&format!("/v1/jobs?kind={kind}&state={state}")).await
}

/// Runs what waits of a kind, before its time.
async fn run_now(client: &Client, kind: &str) {
    let waiting = eventually("something waits", SOON, || async {
        let jobs = jobs(client, kind, "scheduled").await;
        (!jobs.is_empty()).then_some(jobs)
    })
    .await;
    for job in waiting {
        client.post(&format!("/v1/jobs/{}/run-now", job["id"].as_str().unwrap())).send().await.expect(202);
    }
}

async fn who_has_seen_it_in_time_is_not_mailed(stack: Stack) {
    let server = SmtpServer::start();
    let app = started(stack, &server).await;
    a_type(&app.client, "normal", json!({ "only_if_unseen_for_s": 3600 })).await;
    for key in ["anna", "bob"] {
        a_reader(&app.client, key, &format!("{key}@x.example")).await;
    }
    let id = posted(&app.client, 1, &["anna", "bob"]).await;
    told_in_inbox(&app.client, &id, 2).await;
    assert_eq!(email(&app.client, &id).await["pending"], 2);
    see(&app.client, "anna", &id).await;
    run_now(&app.client, "notification.batch").await;
    let shown = planned(&app.client, &id).await;
    assert_eq!(
        shown["email"],
        json!({ "planned": 2, "delivered": 1, "pending": 0, "dead": 0, "suppressed": { "seen": 1 } })
    );
    assert_eq!(server.readers(), ["bob@x.example"]);
    // Where it is in no inbox, nobody can see it there.
    let body = json!({ "type": "post", "recipients": ["anna"], "data": { "n": 2, "to": "a" }, "channels": ["email"] });
    let id = notified(&app.client, body).await;
    assert_eq!(planned(&app.client, &id).await["email"]["delivered"], 1);
}

async fn quiet_hours_hold_back_what_is_not_urgent(stack: Stack) {
    let server = SmtpServer::start();
    let app = started(stack, &server).await;
    a_type(&app.client, "normal", json!({})).await;
    a_reader(&app.client, "bob", "bob@x.example").await;
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::get("Asia/Kolkata").unwrap());
    let clock = |hours: i64| (&now + jiff::Span::new().hours(hours)).strftime("%H:%M").to_string();
    let quiet = json!({ "email": "anna@x.example", "time_zone": "Asia/Kolkata",
        "quiet_hours": { "from": clock(-2), "to": clock(3) } });
    app.client.call(Method::PUT, "/v1/recipients/anna").json(&quiet).send().await.expect(201);
    let id = posted(&app.client, 1, &["anna", "bob"]).await;
    server.mail_to("bob@x.example", SOON).await;
    let waiting = eventually("anna's waits", SOON, || async {
        jobs(&app.client, "notification.message", "scheduled").await.pop()
    })
    .await;
    let run_at: jiff::Timestamp = waiting["run_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(run_at.to_zoned(now.time_zone().clone()).strftime("%H:%M").to_string(), clock(3));
    let shown = email(&app.client, &id).await;
    assert_eq!([&shown["pending"], &shown["delivered"]], [1, 1]);
    let one = app.client.get(&format!("/v1/notifications/{id}/recipients/anna")).send().await.expect(200);
    let on = one.body["channels"].as_array().unwrap().iter().find(|on| on["channel"] == "email").unwrap().clone();
    assert!(on["error"].as_str().unwrap().contains("quiet hours for them until"), "{on}");
    // Whoever runs it at once does not wake them.
    run_now(&app.client, "notification.message").await;
    let waiting = eventually("it waits again", SOON, || async {
        jobs(&app.client, "notification.message", "scheduled").await.pop()
    })
    .await;
    assert_eq!(waiting["attempt"], 0);
    // What is urgent reaches them.
    a_type(&app.client, "high", json!({})).await;
    let urgent = posted(&app.client, 2, &["anna"]).await;
    assert_eq!(planned(&app.client, &urgent).await["email"]["delivered"], 1);
    // Nor is anything held back that they want at any hour again.
    let awake = json!({ "email": "anna@x.example" });
    app.client.call(Method::PUT, "/v1/recipients/anna").json(&awake).send().await.expect(200);
    run_now(&app.client, "notification.message").await;
    assert_eq!(planned(&app.client, &id).await["email"]["delivered"], 2);
}

async fn nobody_is_told_more_often_than_their_limit(stack: Stack) {
    let server = SmtpServer::start();
    let app = started(stack, &server).await;
    a_type(&app.client, "normal", json!({ "throttle": { "limit": 3, "window_s": 3600 } })).await;
    for key in ["anna", "bob"] {
        a_reader(&app.client, key, &format!("{key}@x.example")).await;
    }
    let ids = futures::future::join_all((0..20).map(|n| posted(&app.client, n, &["anna"]))).await;
    let (mut delivered, mut throttled) = (0, 0);
    for id in &ids {
        let shown = planned(&app.client, id).await;
        assert_eq!(shown["inbox"]["delivered"], 1, "the inbox has no limit");
        delivered += shown["email"]["delivered"].as_u64().unwrap();
        throttled += shown["email"]["suppressed"]["throttled"].as_u64().unwrap_or(0);
    }
    assert_eq!((delivered, throttled, server.mails().len()), (3, 17, 3));
    let id = posted(&app.client, 21, &["anna", "bob"]).await;
    let shown = planned(&app.client, &id).await;
    assert_eq!([&shown["email"]["delivered"], &shown["email"]["suppressed"]["throttled"]], [1, 1]);
    // A window that is over counts anew.
    a_type(&app.client, "normal", json!({ "throttle": { "limit": 1, "window_s": 1 } })).await;
    a_reader(&app.client, "cleo", "cleo@x.example").await;
    let id = posted(&app.client, 22, &["cleo"]).await;
    assert_eq!(planned(&app.client, &id).await["email"]["delivered"], 1);
    eventually("cleo is mailed again", SOON, || async {
        let id = posted(&app.client, 23, &["cleo"]).await;
        (planned(&app.client, &id).await["email"]["delivered"] == 1).then_some(())
    })
    .await;
}

async fn a_hundred_at_once_are_one_mail_with_a_hundred_items(stack: Stack) {
    let server = SmtpServer::start();
    let app = started(stack, &server).await;
    a_type(&app.client, "normal", gathering()).await;
    a_reader(&app.client, "anna", "anna@x.example").await;
    let ids = futures::future::join_all((0..AT_ONCE).map(|n| posted(&app.client, n, &["anna"]))).await;
    for id in &ids {
        told_in_inbox(&app.client, id, 1).await;
        assert_eq!(email(&app.client, id).await["pending"], 1);
    }
    assert_eq!(jobs(&app.client, "notification.digest", "scheduled").await.len(), 1);
    run_now(&app.client, "notification.digest").await;
    let mail = server.mail_to("anna@x.example", SOON).await;
    assert_eq!(mail["subject"], "100 posts");
    let mut words: Vec<&str> = mail["text"].as_str().unwrap().split_whitespace().collect();
    assert_eq!(words.split_off(AT_ONCE), ["and", "0"]);
    words.sort_unstable_by_key(|word| word.parse::<usize>().unwrap());
    assert!(words.iter().zip(0..).all(|(word, n): (&&str, usize)| *word == n.to_string()), "{words:?}");
    for id in &ids {
        assert_eq!(planned(&app.client, id).await["email"]["delivered"], 1);
    }
    assert_eq!(server.mails().len(), 1);
    // What comes now is for the next.
    let id = posted(&app.client, AT_ONCE, &["anna"]).await;
    told_in_inbox(&app.client, &id, 1).await;
    assert_eq!(jobs(&app.client, "notification.digest", "scheduled").await.len(), 1);
}

async fn a_digest_leaves_out_what_was_seen_and_what_has_another_key(stack: Stack) {
    let server = SmtpServer::start();
    let app = started(stack, &server).await;
    let mut set = gathering();
    set["digest"]["by"] = json!("to");
    a_type(&app.client, "normal", set).await;
    a_reader(&app.client, "anna", "anna@x.example").await;
    let mut ids = Vec::new();
    for n in 0..4 {
        let data = json!({ "n": n, "to": if n == 3 { "b" } else { "a" } });
        ids.push(notified(&app.client, json!({ "type": "post", "recipients": ["anna"], "data": data })).await);
    }
    for id in &ids {
        told_in_inbox(&app.client, id, 1).await;
    }
    see(&app.client, "anna", &ids[1]).await;
    see(&app.client, "anna", &ids[3]).await;
    assert_eq!(jobs(&app.client, "notification.digest", "scheduled").await.len(), 2);
    run_now(&app.client, "notification.digest").await;
    for (id, seen) in ids.iter().zip([false, true, false, true]) {
        let shown = planned(&app.client, id).await;
        let expected = if seen { json!({ "seen": 1 }) } else { json!({}) };
        assert_eq!(shown["email"]["suppressed"], expected);
    }
    let mails = server.mails();
    assert_eq!(mails.len(), 1, "of b all was seen");
    assert_eq!(mails[0]["text"].as_str().unwrap().trim(), "0 2 and 0");
}

async fn a_digest_of_one_reads_as_it_alone_and_one_of_none_is_not_sent(stack: Stack) {
    let server = SmtpServer::start();
    let app = started(stack, &server).await;
    a_type(&app.client, "normal", gathering()).await;
    a_reader(&app.client, "anna", "anna@x.example").await;
    a_reader(&app.client, "bob", "bob@x.example").await;
    let id = posted(&app.client, 7, &["anna", "bob"]).await;
    told_in_inbox(&app.client, &id, 2).await;
    // Bob wants no more of it since.
    let no = json!({ "email": "bob@x.example", "preferences": { "posts": { "email": false } } });
    app.client.call(Method::PUT, "/v1/recipients/bob").json(&no).send().await.expect(200);
    run_now(&app.client, "notification.digest").await;
    let shown = planned(&app.client, &id).await;
    assert_eq!([&shown["email"]["delivered"], &shown["email"]["suppressed"]["preference"]], [1, 1]);
    let mail = server.mail_to("anna@x.example", SOON).await;
    assert_eq!(mail["subject"], "Post 7");
    assert_eq!(server.mails().len(), 1);
}

async fn what_is_gathered_survives_a_kill_and_a_cancelled_digest_takes_nothing_more(stack: Stack) {
    let server = SmtpServer::start();
    let mut app = started(stack, &server).await;
    a_type(&app.client, "normal", gathering()).await;
    a_reader(&app.client, "anna", "anna@x.example").await;
    let first = posted(&app.client, 0, &["anna"]).await;
    told_in_inbox(&app.client, &first, 1).await;
    app.kill();
    app.restart().await;
    let second = posted(&app.client, 1, &["anna"]).await;
    told_in_inbox(&app.client, &second, 1).await;
    let digests = jobs(&app.client, "notification.digest", "scheduled").await;
    assert_eq!(digests.len(), 1);
    app.client.post(&format!("/v1/jobs/{}/cancel", digests[0]["id"].as_str().unwrap())).send().await.expect(200);
    for id in [&first, &second] {
        assert_eq!(planned(&app.client, id).await["email"]["suppressed"], json!({ "cancelled": 1 }));
    }
    let third = posted(&app.client, 2, &["anna"]).await;
    told_in_inbox(&app.client, &third, 1).await;
    run_now(&app.client, "notification.digest").await;
    assert_eq!(planned(&app.client, &third).await["email"]["delivered"], 1);
    assert_eq!(server.mail_to("anna@x.example", SOON).await["subject"], "Post 2");
}

async fn what_is_wrong_with_a_workflow_is_said_at_its_place(stack: Stack) {
    let (app, notice) = (App::start(stack).await, json!({ "en": { "title": "t", "body": "b" } }));
    let digest = |set: Value| {
        let mut digest = json!({ "templates": notice });
        digest.as_object_mut().unwrap().extend(set.as_object().unwrap().clone());
        json!({ "push": { "templates": notice, "digest": digest } })
    };
    let push = |set: Value| {
        let mut push = json!({ "templates": notice });
        push.as_object_mut().unwrap().extend(set.as_object().unwrap().clone());
        json!({ "push": push })
    };
    for (channels, pointer, says) in [
        (push(json!({ "only_if_unseen_for_s": 0 })), "/channels/push/only_if_unseen_for_s", "1 to 2592000 seconds"),
        (push(json!({ "only_if_unseen_for_s": 60 })), "/channels/push/only_if_unseen_for_s", "no channel inbox"),
        (push(json!({ "throttle": { "limit": 0, "window_s": 60 } })), "/channels/push/throttle/limit", "1 to 10000"),
        (
            push(json!({ "throttle": { "limit": 1, "window_s": 2_592_001 } })),
            "/channels/push/throttle/window_s",
            "30 days",
        ),
        (digest(json!({})), "/channels/push/digest", "either `window_s`, or `at`"),
        (digest(json!({ "window_s": 60, "at": "08:00" })), "/channels/push/digest", "either `window_s`, or `at`"),
        (digest(json!({ "window_s": 60, "days": ["mon"] })), "/channels/push/digest/days", "`at`"),
        (digest(json!({ "at": "8" })), "/channels/push/digest/at", "no time of day"),
        (digest(json!({ "at": "08:00", "days": ["today"] })), "/channels/push/digest/days/0", "no day"),
        (digest(json!({ "window_s": 60, "by": "a..b" })), "/channels/push/digest/by", "names with dots"),
        (
            digest(json!({ "window_s": 60, "templates": { "en": { "title": "{{ data.who }}", "body": "b" } } })),
            "/channels/push/digest/templates/en/title",
            "data.who",
        ),
        (
            digest(
                json!({ "window_s": 60, "templates": { "en": { "title": "{% for i in data.items %}{{ i.data.who }}{% endfor %}", "body": "b" } } }),
            ),
            "/channels/push/digest/templates/en/title",
            "data.who",
        ),
        (
            json!({ "inbox": { "templates": notice, "digest": { "window_s": 60, "templates": notice } } }),
            "/channels/inbox/digest",
            "at once",
        ),
        (
            json!({ "inbox": { "templates": notice, "only_if_unseen_for_s": 60 } }),
            "/channels/inbox/only_if_unseen_for_s",
            "at once",
        ),
    ] {
        let body = json!({ "category": "c", "default_locale": "en", "channels": channels, "sample": { "n": 1 } });
        let put = app.client.call(Method::PUT, "/v1/notification-types/bad").json(&body);
        let refused = put.send().await.expect_problem(422, "invalid_body");
        let fault = &refused.body["errors"][0];
        assert!(
            fault["pointer"] == pointer && fault["detail"].as_str().unwrap().contains(says),
            "{pointer}: {refused:?}"
        );
    }
    // What is shown of it can be put back as it is.
    let set = json!({ "at": "08:00", "days": ["mon"], "by": "n", "templates": { "en": { "title": "{{ data.count }}", "body": "b" } } });
    let body = json!({ "category": "c", "default_locale": "en", "sample": { "n": 1 }, "channels":
        { "push": { "templates": notice, "throttle": { "limit": 2, "window_s": 60 }, "digest": set } } });
    let made = app.client.call(Method::PUT, "/v1/notification-types/good").json(&body).send().await.expect(201);
    assert_eq!(made.body["channels"], body["channels"]);
    let again = app.client.call(Method::PUT, "/v1/notification-types/good").json(&made.body).send().await.expect(200);
    assert_eq!(again.body, made.body);
    let preview = app.client.post("/v1/notification-types/good/preview");
    let shown = preview.json(&json!({ "channel": "push", "digest": true })).send().await.expect(200);
    assert_eq!(shown.body["message"]["title"], "2");
}
