//! Notifications with a collapse key: of several with the same one, only the newest stands before a person, wherever they are told.

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    ADMIN_TOKEN, App, Client, EventStream, PushBrowser, Receiver, SOON, Script, Sent, SmtpServer, Stack, eventually,
    notifying::{a_push_type, a_reader, a_type, counts, followers, notified, planned, receipt},
};

on_both_stacks!(
    only_the_newest_of_a_key_stands_unread_and_what_was_read_stays,
    what_was_handed_in_first_and_is_due_later_takes_nobody_s_place,
    several_of_a_key_at_once_leave_one_item_whatever_is_marked_meanwhile,
    whoever_follows_their_inbox_sees_the_older_one_go,
    a_mail_that_waits_gives_way_to_a_newer_one,
    a_digest_leaves_out_what_a_newer_one_took_the_place_of,
    what_left_the_inbox_unseen_is_not_mailed_later,
    a_push_takes_the_place_of_older_ones_at_the_push_service_and_in_the_browser,
    a_push_that_is_tried_again_gives_way_to_a_newer_one,
    what_is_wrong_with_a_collapse_key_is_said_at_its_place,
);

/// One of type `post` with a collapse key.
async fn posted(client: &Client, n: usize, to: &[&str], key: &str) -> String {
    let body = json!({ "type": "post", "recipients": to, "data": { "who": "Zoë", "n": n }, "collapse_key": key });
    let id = notified(client, body).await;
    planned(client, &id).await;
    id
}

async fn ids(client: &Client, key: &str) -> Vec<String> {
    let items = client.all(&format!("/v1/recipients/{key}/inbox")).await;
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

async fn mark(client: &Client, key: &str, id: &str, mark: Value) -> u16 {
    let path = format!("/v1/recipients/{key}/inbox/{id}");
    client.patch(&path).json(&mark).send().await.status
}

/// What happened of a notification to one recipient: each with the one that replaced it, if any.
async fn timeline(client: &Client, id: &str, key: &str) -> Vec<(String, Option<String>)> {
    let one = client.get(&format!("/v1/notifications/{id}/recipients/{key}")).send().await.expect(200);
    let moment = |of: &Value| (of["what"].as_str().unwrap().to_owned(), of["replaced_by"].as_str().map(str::to_owned));
    one.list("/timeline").iter().map(moment).collect()
}

fn words(timeline: &[(String, Option<String>)]) -> Vec<&str> {
    timeline.iter().map(|(what, _)| what.as_str()).collect()
}

/// Runs what waits of a kind, before its time.
async fn run_now(client: &Client, kind: &str) {
    let waiting = eventually("something waits", SOON, || async {
        let jobs = client.all(&format!("/v1/jobs?kind={kind}&state=scheduled")).await;
        (!jobs.is_empty()).then_some(jobs)
    })
    .await;
    for job in waiting {
        client.post(&format!("/v1/jobs/{}/run-now", job["id"].as_str().unwrap())).send().await.expect(202);
    }
}

async fn only_the_newest_of_a_key_stands_unread_and_what_was_read_stays(stack: Stack) {
    let app = App::start(stack).await;
    let client = &app.client;
    a_type(client).await;
    let other = json!({ "category": "posts", "default_locale": "en", "sample": {},
        "channels": { "inbox": { "templates": { "en": { "title": "Other", "body": "Other" } } } } });
    client.call(Method::PUT, "/v1/notification-types/other").json(&other).send().await.expect(201);
    let first = posted(client, 1, &["anna", "bob", "cleo"], "match:7").await;
    assert_eq!(receipt(client, &first).await.body["collapse_key"], "match:7");
    let beside = posted(client, 2, &["anna"], "match:8").await;
    assert_eq!(mark(client, "bob", &first, json!({ "read": true })).await, 200);
    assert_eq!(mark(client, "cleo", &first, json!({ "seen": true })).await, 200);
    assert_eq!(counts(client, "anna").await, (2, 2));
    // It is of the key alone, whatever the type.
    let body = json!({ "type": "other", "recipients": ["anna", "bob", "cleo"], "data": {}, "collapse_key": "match:7" });
    let second = notified(client, body).await;
    assert_eq!(planned(client, &second).await["inbox"]["delivered"], 3);
    assert_eq!(ids(client, "anna").await, [second.clone(), beside.clone()]);
    assert_eq!(ids(client, "bob").await, [second.clone(), first.clone()]);
    assert_eq!(ids(client, "cleo").await, [second.as_str()]);
    for (key, expected) in [("anna", (2, 2)), ("bob", (1, 1)), ("cleo", (1, 1))] {
        assert_eq!(counts(client, key).await, expected, "{key}");
    }
    // The receipt is of what happened.
    assert_eq!(
        planned(client, &first).await["inbox"],
        json!({ "planned": 3, "delivered": 3, "pending": 0, "dead": 0, "suppressed": {} })
    );
    let of_anna = timeline(client, &first, "anna").await;
    assert_eq!(words(&of_anna), ["accepted", "delivered", "replaced"]);
    assert_eq!(of_anna[2].1.as_ref(), Some(&second));
    assert_eq!(words(&timeline(client, &first, "bob").await), ["accepted", "delivered", "seen", "read"]);
    assert_eq!(words(&timeline(client, &first, "cleo").await), ["accepted", "delivered", "seen", "replaced"]);
    assert_eq!(mark(client, "anna", &first, json!({ "read": true })).await, 404);
    // What is marked as unread again is new to them again, so it goes too.
    assert_eq!(mark(client, "bob", &first, json!({ "read": false })).await, 200);
    let third = posted(client, 3, &["anna", "bob"], "match:7").await;
    assert_eq!(ids(client, "bob").await, [third.as_str()]);
    assert_eq!(ids(client, "anna").await, [third, beside]);
    assert_eq!((counts(client, "anna").await, counts(client, "bob").await), ((2, 2), (1, 1)));
}

async fn what_was_handed_in_first_and_is_due_later_takes_nobody_s_place(stack: Stack) {
    let app = App::start(stack).await;
    let client = &app.client;
    a_type(client).await;
    let at = (jiff::Timestamp::now() + std::time::Duration::from_secs(3_600)).to_string();
    let body = json!({ "type": "post", "recipients": ["anna", "bob", "cleo"], "deliver_at": at,
        "data": { "who": "a", "n": 1 }, "collapse_key": "k" });
    let late = notified(client, body).await;
    let newer = posted(client, 2, &["anna", "cleo"], "k").await;
    assert_eq!(mark(client, "cleo", &newer, json!({ "read": true })).await, 200);
    run_now(client, "notification.plan").await;
    assert_eq!(
        planned(client, &late).await["inbox"],
        json!({ "planned": 3, "delivered": 1, "pending": 0, "dead": 0, "suppressed": { "collapsed": 2 } })
    );
    assert_eq!(ids(client, "anna").await, [newer.as_str()]);
    assert_eq!(ids(client, "bob").await, [late.as_str()]);
    assert_eq!(ids(client, "cleo").await, [newer.as_str()]);
    for (key, expected) in [("anna", (1, 1)), ("bob", (1, 1)), ("cleo", (0, 0))] {
        assert_eq!(counts(client, key).await, expected, "{key}");
    }
    let one = client.get(&format!("/v1/notifications/{late}/recipients/anna")).send().await.expect(200);
    assert_eq!(one.string("/channels/0/reason"), "collapsed");
    assert_eq!(timeline(client, &late, "anna").await[1], ("suppressed".to_owned(), Some(newer)));
    // Nothing was told that left a gap.
    posted(client, 3, &["anna"], "other").await;
    assert_eq!(client.all("/v1/recipients/anna/inbox").await[0]["seq"], 2);
}

/// Many of one key at once, to the same people in two chunks each, while some of these mark what they have.
async fn several_of_a_key_at_once_leave_one_item_whatever_is_marked_meanwhile(stack: Stack) {
    const COUNT: usize = 10;
    let app = App::start(stack).await;
    let client = &app.client;
    a_type(client).await;
    followers(client, "a", 0..50).await;
    followers(client, "b", 25..75).await;
    let publish = async |n: usize| {
        let topics: [&str; 2] = if n.is_multiple_of(2) { ["a", "b"] } else { ["b", "a"] };
        let body = json!({ "type": "post", "topics": topics, "recipients": ["u1", "u60"], "collapse_key": "k",
            "data": { "who": "a", "n": n } });
        let id = notified(client, body).await;
        planned(client, &id).await;
        id
    };
    let read = async |key: &str| {
        for _ in 0..15 {
            for item in client.all(&format!("/v1/recipients/{key}/inbox")).await.into_iter().take(2) {
                let read = json!({ "read": item["read_at"].is_null() });
                assert!([200, 404].contains(&mark(client, key, item["id"].as_str().unwrap(), read).await));
            }
            client.post(&format!("/v1/recipients/{key}/inbox/see-all")).send().await;
        }
    };
    let (told, ..) =
        futures::join!(join_all((0..COUNT).map(publish)), read("u1"), read("u30"), read("u60"), read("u1"));
    let newest = told.iter().max().unwrap();
    for n in 0..75 {
        let key = format!("u{n}");
        let items = client.all(&format!("/v1/recipients/{key}/inbox")).await;
        let new = |field: &str| items.iter().filter(|item| item[field].is_null()).count() as u64;
        assert_eq!(counts(client, &key).await, (new("read_at"), new("seen_at")), "{key}");
        assert_eq!(items.iter().filter(|item| item["id"] == newest.as_str()).count(), 1, "{key}");
        if !["u1", "u30", "u60"].contains(&key.as_str()) {
            assert_eq!((items.len(), new("read_at"), new("seen_at")), (1, 1, 1), "{key}");
        }
    }
    for id in &told {
        let inbox = planned(client, id).await["inbox"].clone();
        let collapsed = inbox["suppressed"]["collapsed"].as_u64().unwrap_or(0);
        assert_eq!((inbox["planned"].as_u64(), inbox["delivered"].as_u64()), (Some(75), Some(75 - collapsed)));
    }
}

async fn open(app: &App, key: &str, after: Option<&str>) -> EventStream {
    let url = format!("{}/v1/recipients/{key}/inbox/stream", app.url());
    EventStream::open(&url, Some(ADMIN_TOKEN), after).await.unwrap()
}

async fn next(stream: &mut EventStream) -> Sent {
    stream.next(SOON).await.expect("the stream goes on")
}

async fn whoever_follows_their_inbox_sees_the_older_one_go(stack: Stack) {
    let app = App::start(stack).await;
    let client = &app.client;
    a_type(client).await;
    let first = posted(client, 1, &["anna"], "k").await;
    let mut stream = open(&app, "anna", None).await;
    assert_eq!(next(&mut stream).await.json(), json!({ "unread": 1, "unseen": 1 }));
    let second = posted(client, 2, &["anna"], "k").await;
    let gone = next(&mut stream).await;
    assert_eq!((gone.event.as_str(), gone.id.as_str(), gone.json()), ("gone", "", json!({ "id": first })));
    let item = next(&mut stream).await;
    assert_eq!((item.event.as_str(), item.id.as_str(), &item.json()["id"]), ("item", "2", &json!(second)));
    // Several at once, one of which was read and is not any more.
    assert_eq!(mark(client, "anna", &second, json!({ "read": true })).await, 200);
    assert_eq!(next(&mut stream).await.json(), json!({ "unread": 0, "unseen": 0 }));
    let third = posted(client, 3, &["anna"], "k").await;
    assert_eq!(next(&mut stream).await.json()["id"], json!(third));
    assert_eq!(next(&mut stream).await.json(), json!({ "unread": 1, "unseen": 1 }));
    assert_eq!(mark(client, "anna", &second, json!({ "read": false })).await, 200);
    assert_eq!(next(&mut stream).await.json(), json!({ "unread": 2, "unseen": 1 }));
    let fourth = posted(client, 4, &["anna"], "k").await;
    let mut gone = [next(&mut stream).await, next(&mut stream).await].map(|sent| (sent.event.clone(), sent.json()));
    gone.sort_by_key(|(_, said)| said["id"].as_str().map(str::to_owned));
    assert_eq!(gone, [&second, &third].map(|id| ("gone".to_owned(), json!({ "id": id }))));
    assert_eq!(next(&mut stream).await.json()["id"], json!(fourth));
    assert_eq!(next(&mut stream).await.json(), json!({ "unread": 1, "unseen": 1 }));
    // Whoever comes back hears of what they may have, and of no other.
    let mut back = open(&app, "anna", Some("2")).await;
    let gone = next(&mut back).await;
    assert_eq!((gone.event.as_str(), gone.json()), ("gone", json!({ "id": second })));
    let item = next(&mut back).await;
    assert_eq!((item.event.as_str(), item.id.as_str(), &item.json()["id"]), ("item", "4", &json!(fourth)));
    let mut back = open(&app, "anna", Some("4")).await;
    assert_eq!(next(&mut back).await.event, "counts");
}

async fn mailing(stack: Stack, server: &SmtpServer, with: Value) -> App {
    let app = App::builder(stack)
        .env("POSTRIDER_SMTP_URL", server.url())
        .env("POSTRIDER_SMTP_FROM", "news@product.example")
        .start()
        .await;
    let mut email = json!({ "templates": { "en": { "subject": "Post {{ data.n }}", "text": "{{ data.n }}" } } });
    email.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
    let inbox = json!({ "templates": { "en": { "title": "Post {{ data.n }}", "body": "Look." } } });
    let body = json!({ "category": "posts", "default_locale": "en", "sample": { "n": 1 },
        "channels": { "inbox": inbox, "email": email } });
    app.client.call(Method::PUT, "/v1/notification-types/post").json(&body).send().await.expect(201);
    app
}

/// One of type `post` by these channels.
async fn mailed(client: &Client, n: usize, to: &[&str], key: &str, channels: &[&str]) -> String {
    let body =
        json!({ "type": "post", "recipients": to, "data": { "n": n }, "collapse_key": key, "channels": channels });
    let id = notified(client, body).await;
    eventually("their inboxes are told", SOON, || async {
        let shown = receipt(client, &id).await.body["receipt"]["email"].clone();
        let inbox = receipt(client, &id).await.body["receipt"]["inbox"].clone();
        let is_told = |of: &Value| of["planned"].as_u64() == Some(to.len() as u64);
        (is_told(&inbox) && inbox["pending"] == 0 || inbox.is_null() && is_told(&shown)).then_some(())
    })
    .await;
    id
}

async fn email(client: &Client, id: &str) -> Value {
    receipt(client, id).await.body["receipt"]["email"].clone()
}

const BOTH: [&str; 2] = ["inbox", "email"];

async fn a_mail_that_waits_gives_way_to_a_newer_one(stack: Stack) {
    let server = SmtpServer::start();
    let app = mailing(stack, &server, json!({})).await;
    let client = &app.client;
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::get("Asia/Kolkata").unwrap());
    let clock = |hours: i64| (&now + jiff::Span::new().hours(hours)).strftime("%H:%M").to_string();
    let quiet = |key: &str| {
        json!({ "email": format!("{key}@x.example"), "time_zone": "Asia/Kolkata",
        "quiet_hours": { "from": clock(-2), "to": clock(3) } })
    };
    for key in ["anna", "bob"] {
        client.call(Method::PUT, &format!("/v1/recipients/{key}")).json(&quiet(key)).send().await.expect(201);
    }
    let waiting = async |count: usize| {
        eventually("so many wait", SOON, || async {
            let jobs = client.all("/v1/jobs?kind=notification.message&state=scheduled").await;
            (jobs.len() == count).then_some(())
        })
        .await;
    };
    let first = mailed(client, 1, &["anna", "bob"], "k", &BOTH).await;
    waiting(2).await;
    let second = mailed(client, 2, &["anna"], "k", &["email"]).await;
    waiting(3).await;
    // It is settled at once, and says by which.
    let shown = email(client, &first).await;
    assert_eq!([&shown["pending"], &shown["suppressed"]["collapsed"]], [1, 1]);
    let told = timeline(client, &first, "anna").await;
    assert!(told.contains(&("suppressed".to_owned(), Some(second.clone()))), "{told:?}");
    for key in ["anna", "bob"] {
        let awake = json!({ "email": format!("{key}@x.example") });
        client.call(Method::PUT, &format!("/v1/recipients/{key}")).json(&awake).send().await.expect(200);
    }
    run_now(client, "notification.message").await;
    assert_eq!(planned(client, &second).await["email"]["delivered"], 1);
    let shown = planned(client, &first).await["email"].clone();
    assert_eq!([&shown["delivered"], &shown["suppressed"]["collapsed"]], [1, 1]);
    let mut subjects: Vec<Value> = server.mails().iter().map(|mail| mail["subject"].clone()).collect();
    subjects.sort_by_key(Value::to_string);
    assert_eq!(subjects, ["Post 1", "Post 2"]);
    // What comes late is not sent after the newer one was.
    let at = (jiff::Timestamp::now() + std::time::Duration::from_secs(3_600)).to_string();
    let body =
        json!({ "type": "post", "recipients": ["anna"], "data": { "n": 3 }, "collapse_key": "late", "deliver_at": at });
    let late = notified(client, body).await;
    let newer = mailed(client, 4, &["anna"], "late", &["email"]).await;
    assert_eq!(planned(client, &newer).await["email"]["delivered"], 1);
    run_now(client, "notification.plan").await;
    let shown = planned(client, &late).await;
    assert_eq!([&shown["email"]["suppressed"]["collapsed"], &shown["inbox"]["delivered"]], [1, 1]);
    assert_eq!(server.mails().len(), 3);
}

async fn a_digest_leaves_out_what_a_newer_one_took_the_place_of(stack: Stack) {
    let server = SmtpServer::start();
    let text = "{% for item in data.items %}{{ item.data.n }} {% endfor %}and {{ data.more }}";
    let digest =
        json!({ "window_s": 3600, "templates": { "en": { "subject": "{{ data.count }} posts", "text": text } } });
    let app = mailing(stack, &server, json!({ "digest": digest })).await;
    let client = &app.client;
    a_reader(client, "anna", "anna@x.example").await;
    let first = mailed(client, 1, &["anna"], "k", &BOTH).await;
    mailed(client, 2, &["anna"], "other", &BOTH).await;
    let third = mailed(client, 3, &["anna"], "k", &BOTH).await;
    // In the inbox alone, which is where digests look for what is not news any more.
    let fourth = mailed(client, 4, &["anna"], "gone", &BOTH).await;
    mailed(client, 5, &["anna"], "gone", &["inbox"]).await;
    run_now(client, "notification.digest").await;
    assert_eq!(planned(client, &third).await["email"]["delivered"], 1);
    for id in [&first, &fourth] {
        assert_eq!(planned(client, id).await["email"]["suppressed"], json!({ "collapsed": 1 }));
    }
    let mails = server.mails();
    assert_eq!((mails.len(), mails[0]["text"].as_str().unwrap().trim()), (1, "2 3 and 0"));
}

async fn what_left_the_inbox_unseen_is_not_mailed_later(stack: Stack) {
    let server = SmtpServer::start();
    let app = mailing(stack, &server, json!({ "only_if_unseen_for_s": 3600 })).await;
    let client = &app.client;
    for key in ["anna", "bob", "cleo"] {
        a_reader(client, key, &format!("{key}@x.example")).await;
    }
    let first = mailed(client, 1, &["anna", "bob", "cleo"], "k", &BOTH).await;
    let second = mailed(client, 2, &["anna"], "k", &BOTH).await;
    let third = mailed(client, 3, &["bob"], "k", &["inbox"]).await;
    run_now(client, "notification.batch").await;
    assert_eq!(planned(client, &second).await["email"]["delivered"], 1);
    let shown = planned(client, &first).await["email"].clone();
    assert_eq!([&shown["delivered"], &shown["suppressed"]["collapsed"]], [1, 2], "{shown}");
    let told = timeline(client, &first, "bob").await;
    assert!(told.contains(&("suppressed".to_owned(), Some(third))), "{told:?}");
    let mut readers = server.readers();
    readers.sort_unstable();
    assert_eq!(readers, ["anna@x.example", "cleo@x.example"]);
    assert_eq!(server.mail_to("anna@x.example", SOON).await["subject"], "Post 2");
}

async fn browsing(client: &Client, key: &str, endpoint: &str) {
    client.call(Method::PUT, &format!("/v1/recipients/{key}")).json(&json!({})).send().await;
    let said = PushBrowser::new(1).subscription(endpoint);
    client.post(&format!("/v1/recipients/{key}/push-subscriptions")).json(&said).send().await.expect(201);
}

async fn pushed(client: &Client, who: &str, key: Option<&str>) -> String {
    let mut body = json!({ "type": "push", "recipients": ["anna"], "data": { "who": who } });
    if let Some(key) = key {
        body["collapse_key"] = json!(key);
    }
    notified(client, body).await
}

async fn a_push_takes_the_place_of_older_ones_at_the_push_service_and_in_the_browser(stack: Stack) {
    let (app, service) = (App::start(stack).await, Receiver::start().await);
    let client = &app.client;
    a_push_type(client).await;
    browsing(client, "anna", &service.url("/phone")).await;
    for (n, key) in [(1, Some("Köln/7")), (2, Some("Köln/7")), (3, Some("Köln/8")), (4, None)] {
        let id = pushed(client, "Zoë", key).await;
        assert_eq!(planned(client, &id).await["push"]["delivered"], 1, "{n}");
    }
    let requests = service.requests("/phone");
    let topics: Vec<Option<&str>> = requests.iter().map(|request| request.header("topic")).collect();
    let tags: Vec<Value> = requests
        .iter()
        .map(|request| serde_json::from_slice::<Value>(&PushBrowser::new(1).read(request).text).unwrap()["tag"].clone())
        .collect();
    assert_eq!(tags, [json!("Köln/7"), json!("Köln/7"), json!("Köln/8"), Value::Null]);
    assert!(topics[0].is_some_and(|topic| topic.len() == 32 && !topic.contains("ln")), "{topics:?}");
    assert!(topics[0] == topics[1] && topics[1] != topics[2] && topics[3].is_none(), "{topics:?}");
}

async fn a_push_that_is_tried_again_gives_way_to_a_newer_one(stack: Stack) {
    let (app, service) = (App::start(stack).await, Receiver::start().await);
    let client = &app.client;
    a_push_type(client).await;
    service.first("/phone", [Script::status(429).with_header("retry-after", "3600")], Script::status(201));
    browsing(client, "anna", &service.url("/phone")).await;
    let first = pushed(client, "First", Some("k")).await;
    eventually("it waits", SOON, || async {
        client
            .all("/v1/jobs?kind=notification.message&state=retrying")
            .await
            .pop()
            .or(client.all("/v1/jobs?kind=notification.message&state=scheduled").await.pop())
    })
    .await;
    let second = pushed(client, "Second", Some("k")).await;
    assert_eq!(planned(client, &second).await["push"]["delivered"], 1);
    assert_eq!(planned(client, &first).await["push"]["suppressed"], json!({ "collapsed": 1 }));
    for job in client.all("/v1/jobs?kind=notification.message").await {
        client.post(&format!("/v1/jobs/{}/run-now", job["id"].as_str().unwrap())).send().await;
    }
    eventually("its job is done", SOON, || async {
        client.all("/v1/jobs?kind=notification.message&state=succeeded").await.pop()
    })
    .await;
    assert_eq!(service.requests("/phone").len(), 2);
}

async fn what_is_wrong_with_a_collapse_key_is_said_at_its_place(stack: Stack) {
    let app = App::start(stack).await;
    a_type(&app.client).await;
    for bad in ["", "two words", "a\u{200b}b", &"x".repeat(65)] {
        let body = json!({ "type": "post", "recipients": ["a"], "data": { "who": "a", "n": 1 }, "collapse_key": bad });
        let refused = app.client.post("/v1/notifications").json(&body).send().await.expect_problem(422, "invalid_body");
        assert_eq!(refused.string("/errors/0/pointer"), "/collapse_key");
        assert!(refused.string("/errors/0/detail").contains("1 to 64 visible characters"), "{refused:?}");
    }
    let id = posted(&app.client, 1, &["a"], &"ü".repeat(64)).await;
    assert_eq!(receipt(&app.client, &id).await.string("/collapse_key"), "ü".repeat(64));
    let body = json!({ "type": "post", "recipients": ["a"], "data": { "who": "a", "n": 1 } });
    let id = notified(&app.client, body).await;
    assert_eq!(receipt(&app.client, &id).await.body["collapse_key"], Value::Null);
}
