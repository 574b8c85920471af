//! Inboxes as they change: what is new comes at once, whoever comes back gets what they missed, and a browser sees its owner's alone.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{
    ADMIN_TOKEN, App, Client, EventStream, PrivateRedis, SOON, Sent, Stack,
    notifying::{a_type, counts, followers, notified, planned},
};

on_both_stacks!(
    what_is_new_comes_with_the_badge_as_it_is_told,
    whoever_comes_back_gets_what_they_missed_or_is_told_to_read_again,
    what_is_done_in_one_window_shows_in_the_other,
    a_browser_s_token_opens_its_owner_s_inbox_and_nothing_else,
    a_stream_ends_with_the_process_and_goes_on_with_the_next,
);

async fn told(client: &Client, key: &str, n: usize) -> String {
    let body = json!({ "type": "post", "recipients": [key], "data": { "who": "Zoë", "n": n } });
    let id = notified(client, body).await;
    planned(client, &id).await;
    id
}

async fn open(app: &App, key: &str, after: Option<&str>) -> EventStream {
    let url = format!("{}/v1/recipients/{key}/inbox/stream", app.url());
    EventStream::open(&url, Some(ADMIN_TOKEN), after).await.unwrap()
}

async fn next(stream: &mut EventStream) -> Sent {
    stream.next(SOON).await.expect("the stream goes on")
}

/// The next counts, whatever items come before.
async fn counted(stream: &mut EventStream) -> Value {
    loop {
        let sent = next(stream).await;
        if sent.event == "counts" {
            return sent.json();
        }
    }
}

async fn what_is_new_comes_with_the_badge_as_it_is_told(stack: Stack) {
    let app = App::start(stack).await;
    a_type(&app.client).await;
    followers(&app.client, "a", 0..50).await;
    app.client.call(Method::PUT, "/v1/recipients/u1").json(&json!({ "locale": "de" })).send().await;
    let (mut one, mut two) = (open(&app, "u1", None).await, open(&app, "u2", None).await);
    for stream in [&mut one, &mut two] {
        assert_eq!(next(stream).await.json(), json!({ "unread": 0, "unseen": 0 }));
    }
    let body = json!({ "type": "post", "topics": ["a"], "data": { "who": "Zoë", "n": 1 } });
    let id = notified(&app.client, body).await;
    for (stream, title) in [(&mut one, "Zoë hat geschrieben"), (&mut two, "Zoë posted")] {
        let sent = next(stream).await;
        assert_eq!((sent.event.as_str(), sent.id.as_str()), ("item", "1"));
        let item = sent.json();
        assert_eq!((&item["id"], &item["title"], &item["seq"]), (&json!(id), &json!(title), &json!(1)));
        assert_eq!((&item["read_at"], item["delivered_at"].is_string()), (&Value::Null, true));
        assert_eq!(next(stream).await.json(), json!({ "unread": 1, "unseen": 1 }));
    }
    // Who is told something else does not disturb them.
    told(&app.client, "u3", 2).await;
    told(&app.client, "u2", 3).await;
    assert_eq!(next(&mut two).await.json()["seq"], 2);
}

async fn whoever_comes_back_gets_what_they_missed_or_is_told_to_read_again(stack: Stack) {
    let app = App::start(stack).await;
    a_type(&app.client).await;
    for n in 0..3 {
        told(&app.client, "anna", n).await;
    }
    let mut stream = open(&app, "anna", Some("1")).await;
    let sent = [next(&mut stream).await, next(&mut stream).await];
    assert_eq!(
        sent.map(|sent| (sent.event, sent.id)),
        [("item".to_owned(), "2".to_owned()), ("item".to_owned(), "3".to_owned())]
    );
    assert_eq!(next(&mut stream).await.json(), json!({ "unread": 3, "unseen": 3 }));
    // An id that was never given, as one of another installation, is no reason to miss what comes.
    let mut ahead = open(&app, "anna", Some("99")).await;
    assert_eq!(next(&mut ahead).await.json(), json!({ "unread": 3, "unseen": 3 }));
    for n in 3..54 {
        notified(&app.client, json!({ "type": "post", "recipients": ["anna"], "data": { "who": "a", "n": n } })).await;
    }
    while counted(&mut ahead).await["unread"] != 54 {}
    let mut behind = open(&app, "anna", Some("3")).await;
    let sent = next(&mut behind).await;
    assert_eq!((sent.event.as_str(), sent.id.as_str()), ("reload", "54"));
    assert_eq!(next(&mut behind).await.json()["unread"], 54);
}

async fn what_is_done_in_one_window_shows_in_the_other(stack: Stack) {
    let app = App::start(stack).await;
    a_type(&app.client).await;
    let id = told(&app.client, "anna", 1).await;
    told(&app.client, "anna", 2).await;
    let mut other = open(&app, "anna", None).await;
    assert_eq!(next(&mut other).await.json(), json!({ "unread": 2, "unseen": 2 }));
    let path = format!("/v1/recipients/anna/inbox/{id}");
    app.client.patch(&path).json(&json!({ "read": true })).send().await.expect(200);
    assert_eq!(next(&mut other).await.json(), json!({ "unread": 1, "unseen": 1 }));
    app.client.post("/v1/recipients/anna/inbox/read-all").send().await.expect(200);
    assert_eq!(next(&mut other).await.json(), json!({ "unread": 0, "unseen": 0 }));
}

async fn a_browser_s_token_opens_its_owner_s_inbox_and_nothing_else(stack: Stack) {
    let app = App::start(stack).await;
    a_type(&app.client).await;
    let id = told(&app.client, "anna", 1).await;
    told(&app.client, "bob", 1).await;
    let made = app.client.post("/v1/recipients/anna/inbox/token").send().await.expect(201);
    let token = made.string("/token");
    let anna = app.client.with_token(&token);
    assert_eq!(anna.all("/v1/inbox").await[0]["title"], "Zoë posted");
    anna.patch(&format!("/v1/inbox/{id}")).json(&json!({ "read": true })).send().await.expect(200);
    let counted = anna.get("/v1/inbox/counts").send().await.expect(200);
    assert_eq!(
        (counted.body.clone(), counted.header("access-control-allow-origin")),
        (json!({ "unread": 0, "unseen": 0 }), Some("*"))
    );
    anna.post("/v1/inbox/see-all").send().await.expect(200);
    anna.post("/v1/inbox/read-all").json(&json!({ "upto_seq": 1 })).send().await.expect(200);
    // Neither the product's API nor anybody else's inbox, and no other token here.
    for path in ["/v1/recipients/anna/inbox", "/v1/recipients/bob/inbox", "/v1/notifications", "/v1/events"] {
        anna.get(path).send().await.expect_problem(401, "token_invalid");
    }
    assert_eq!(counts(&app.client, "bob").await, (1, 1));
    app.client.get("/v1/inbox").send().await.expect_problem(401, "token_invalid");
    let (body, signature) = token.split_once('.').unwrap();
    let turned = format!("{body}.{}", signature.chars().rev().collect::<String>());
    for forged in [turned.as_str(), body, "pri_", "pri_AAAA.AAAA"] {
        app.client.with_token(forged).get("/v1/inbox").send().await.expect_problem(401, "token_invalid");
    }
    let asked = app.client.call(Method::OPTIONS, "/v1/inbox/stream").without_token().send().await.expect(204);
    assert_eq!(asked.header("access-control-allow-headers"), Some("authorization, content-type, last-event-id"));
    // An EventSource sends no headers.
    let mut stream =
        EventStream::open(&format!("{}/v1/inbox/stream?token={token}", app.url()), None, None).await.unwrap();
    assert_eq!(next(&mut stream).await.json(), json!({ "unread": 0, "unseen": 0 }));
    let refused = EventStream::open(&format!("{}/v1/inbox/stream?token=pri_no", app.url()), None, None).await;
    assert_eq!(refused.err(), Some(StatusCode::UNAUTHORIZED));
    // It ends with its time.
    for (body, status) in [(json!({ "ttl_seconds": 0 }), 422), (json!({ "ttl_seconds": 86_401 }), 422)] {
        app.client.post("/v1/recipients/anna/inbox/token").json(&body).send().await.expect(status);
    }
    let made = app.client.post("/v1/recipients/anna/inbox/token").json(&json!({ "ttl_seconds": 1 })).send().await;
    let short = made.expect(201).string("/token");
    let url = format!("{}/v1/inbox/stream?token={short}", app.url());
    let mut stream = EventStream::open(&url, None, None).await.unwrap();
    while stream.next(SOON).await.is_some() {}
    assert_eq!(EventStream::open(&url, None, None).await.err(), Some(StatusCode::UNAUTHORIZED));
    app.client.with_token(&short).get("/v1/inbox").send().await.expect_problem(401, "token_expired");
    // And with its owner.
    app.client.delete("/v1/recipients/anna").send().await.expect(204);
    anna.get("/v1/inbox").send().await.expect_problem(404, "not_found");
}

async fn a_stream_ends_with_the_process_and_goes_on_with_the_next(stack: Stack) {
    let mut app = App::start(stack).await;
    a_type(&app.client).await;
    told(&app.client, "anna", 1).await;
    let mut stream = open(&app, "anna", Some("0")).await;
    let last = next(&mut stream).await.id;
    let end = async { while stream.next(SOON).await.is_some() {} };
    let (status, ()) = tokio::join!(app.terminate(), end);
    assert!(status.success());
    app.restart().await;
    told(&app.client, "anna", 2).await;
    let mut stream = open(&app, "anna", Some(&last)).await;
    let sent = next(&mut stream).await;
    assert_eq!((sent.id.as_str(), &sent.json()["seq"]), ("2", &json!(2)));
}

/// The reader's process tells nobody: another does, and Redis loses what it had in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_process_tells_is_heard_also_from_a_redis_that_was_emptied() {
    let redis = PrivateRedis::start().await;
    let app = App::builder(Stack::Postgres).env("POSTRIDER_REDIS_URL", redis.url()).role("api").start().await;
    let _worker = app.beside("worker").await;
    a_type(&app.client).await;
    followers(&app.client, "a", 0..3).await;
    let mut stream = open(&app, "u1", None).await;
    assert_eq!(next(&mut stream).await.json(), json!({ "unread": 0, "unseen": 0 }));
    for n in 1..=2 {
        let body = json!({ "type": "post", "topics": ["a"], "data": { "who": "a", "n": n } });
        notified(&app.client, body).await;
        let sent = next(&mut stream).await;
        assert_eq!((sent.event.as_str(), sent.id), ("item", n.to_string()));
        assert_eq!(next(&mut stream).await.json(), json!({ "unread": n, "unseen": n }));
        redis.flush().await;
    }
}
