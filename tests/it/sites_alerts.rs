//! People are told what is wrong with a site: each cause once, and once that it is over.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::{App, Client, LONG, MailServer, Receiver, SOON, Script, Stack, eventually};

on_both_stacks!(
    a_broken_promise_is_told_once_on_every_way_and_so_is_its_end,
    nothing_that_runs_is_told,
    whom_alerts_cannot_go_to_is_refused_by_place,
    a_mail_server_that_says_nothing_keeps_nobody_else_from_being_told,
);

async fn put(client: &Client, path: &str, body: &Value) {
    let answer = client.call(reqwest::Method::PUT, path).json(body).send().await;
    assert!((200..300).contains(&answer.status), "{}", answer.text);
}

async fn put_page(client: &Client) {
    let one = json!({ "url": "/a", "title": "T", "published_at": "2026-11-01T10:00:00Z" });
    put(client, "/v1/sites/news/pages/a", &json!({ "translations": { "de": one } })).await;
}

fn site(base: &str, more: &Value) -> Value {
    let mut site = json!({ "locales": [{ "tag": "de", "base_url": base, "publication_name": "Die Zeitung" }] });
    site.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    site
}

/// A site's alert of a cause, once it has come so far.
async fn alert(client: &Client, cause: &str, recovered: bool, within: Duration) -> Value {
    let found = || async {
        let alerts = client.get("/v1/sites/news/alerts").send().await.expect(200);
        let alerts = alerts.body["data"].as_array().unwrap().clone();
        alerts.into_iter().find(|alert| alert["cause"] == cause && alert["recovered_at"].is_null() != recovered)
    };
    eventually("the alert is raised, or over", within, found).await
}

/// How often Slack was told something that has all of this in it.
fn told(receiver: &Receiver, parts: [&str; 2]) -> usize {
    let requests = receiver.requests("/slack");
    requests.iter().filter(|request| parts.iter().all(|part| request.text().contains(part))).count()
}

/// What endpoints were told of a site that is late.
fn events(receiver: &Receiver) -> Vec<Value> {
    let events = receiver.requests("/events").into_iter();
    let events = events.map(|request| serde_json::from_slice::<Value>(&request.body).unwrap());
    events.filter(|event| event["cause"] == "late").collect()
}

async fn event(receiver: &Receiver, state: &str) -> Value {
    let found = || async { events(receiver).into_iter().find(|event| event["state"] == state) };
    eventually("the event comes", LONG, found).await
}

async fn a_broken_promise_is_told_once_on_every_way_and_so_is_its_end(stack: Stack) {
    let (receiver, mail) = (Receiver::start().await, MailServer::start().await);
    let app = App::builder(stack)
        .env("POSTRIDER_SMTP_URL", mail.url())
        .env("POSTRIDER_SMTP_FROM", "postrider@example.com")
        .start()
        .await;
    let endpoint = json!({ "url": receiver.url("/events"), "event_types": ["site.alert"] });
    app.client.post("/v1/endpoints").json(&endpoint).send().await.expect(201);
    receiver.always("/de/sitemap.xml", Script::status(503));
    receiver.first("/slack", [Script::status(500), Script::status(500)], Script::status(200));
    let alerts = json!({ "emails": ["night@example.com"], "slack_url": receiver.url("/slack") });
    let late = site(&receiver.url("/de"), &json!({ "freshness_seconds": 10, "alerts": alerts }));
    put(&app.client, "/v1/sites/news", &late).await;
    put_page(&app.client).await;

    let raised = alert(&app.client, "late", false, LONG).await;
    let detail = raised["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("changes of de are not known to be public") && detail.ends_with("10 s were promised"),
        "{detail}"
    );
    mail.wait_for(&["RCPT TO:<night@example.com>", "Subject: Site news: late\r\n", "changes of de"], LONG).await;
    let late = || async { (told(&receiver, ["is late since", "de"]) > 0).then_some(()) };
    eventually("Slack is told", LONG, late).await;
    let event = event(&receiver, "raised").await;
    assert_eq!((&event["site"], &event["alert"]), (&json!("news"), &raised["id"]));

    let mended = site(&receiver.url("/de"), &json!({ "freshness_seconds": 10, "alerts": alerts, "read_back": false }));
    put(&app.client, "/v1/sites/news", &mended).await;
    alert(&app.client, "late", true, LONG).await;
    mail.wait_for(&["Subject: Site news: late is over\r\n", "within the time that was promised"], LONG).await;
    eventually("Slack is told", LONG, || async { (told(&receiver, ["was late from", ""]) == 1).then_some(()) }).await;
    let refused: Vec<String> = receiver.requests("/slack")[..2].iter().map(|one| one.text().to_owned()).collect();
    for text in &refused {
        let again = 1 + refused.iter().filter(|other| *other == text).count();
        eventually("what Slack did not take comes again", LONG, || async {
            (told(&receiver, [text, ""]) == again).then_some(())
        })
        .await;
    }
    assert!(told(&receiver, ["is late since", ""]) <= 3);
    let requests = receiver.requests("/slack");
    let last = |words: &str| requests.iter().rposition(|request| request.text().contains(words));
    assert!(last("is late since") < last("was late from"), "its end is told once the alert was taken");
    assert_eq!(self::event(&receiver, "recovered").await["alert"], raised["id"]);
    assert_eq!(events(&receiver).len(), 2, "{:?}", events(&receiver));
    let late = |mail: &String| mail.contains("Subject: Site news: late");
    assert_eq!(mail.mails().iter().filter(|mail| late(mail)).count(), 2, "{:?}", mail.mails());
}

async fn nothing_that_runs_is_told(stack: Stack) {
    let app = App::start(stack).await;
    let quiet = site("https://de.news.example", &json!({ "freshness_seconds": 30, "read_back": false }));
    put(&app.client, "/v1/sites/news", &quiet).await;
    app.client.post("/v1/lanes/site:news/pause").send().await.expect(200);
    put_page(&app.client).await;
    let raised = alert(&app.client, "idle", false, LONG).await;
    assert!(raised["detail"].as_str().unwrap().contains("look whether a worker runs"), "{raised}");
    app.client.post("/v1/lanes/site:news/resume").send().await.expect(200);
    alert(&app.client, "idle", true, LONG).await;
}

async fn whom_alerts_cannot_go_to_is_refused_by_place(stack: Stack) {
    let app = App::start(stack).await;
    let alerts = json!({ "emails": ["night@example.com", "nobody"], "slack_url": "http://10.0.0.1/x" });
    let site = site("https://de.news.example", &json!({ "alerts": alerts }));
    let refused = app.client.call(reqwest::Method::PUT, "/v1/sites/news").json(&site).send().await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    for place in ["/alerts/emails/1", "/alerts/slack_url"] {
        assert!(refused.text.contains(&format!("\"{place}\"")), "{place}: {}", refused.text);
    }
    let no_site = eventually("nothing was made", SOON, || async {
        Some(app.client.get("/v1/sites/news").send().await.status).filter(|status| *status == 404)
    });
    no_site.await;
}

async fn a_mail_server_that_says_nothing_keeps_nobody_else_from_being_told(stack: Stack) {
    let receiver = Receiver::start().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = App::builder(stack)
        .env("POSTRIDER_SMTP_URL", format!("smtp://{}", silent.local_addr().unwrap()))
        .env("POSTRIDER_SMTP_FROM", "postrider@example.com")
        .start()
        .await;
    let batch = async |slug: &str, pages: Vec<Value>| {
        let path = format!("/v1/sites/{slug}/pages/batch");
        app.client.post(&path).json(&json!({ "pages": pages })).send().await.expect(202);
    };
    let ways = [
        ("mailed", json!({ "emails": ["night@example.com"] })),
        ("told", json!({ "slack_url": receiver.url("/slack") })),
    ];
    for (slug, alerts) in &ways {
        let base = format!("https://{slug}.news.example");
        put(&app.client, &format!("/v1/sites/{slug}"), &site(&base, &json!({ "read_back": false, "alerts": alerts })))
            .await;
        let one = |key: &str| json!({ "url": format!("/{key}"), "title": "T", "published_at": "2026-11-01T10:00:00Z" });
        let page = |key: &str| json!({ "key": key, "translations": { "de": one(key) } });
        batch(slug, ["a", "b", "c"].map(page).to_vec()).await;
        let public = || async {
            let site = app.client.get(&format!("/v1/sites/{slug}")).send().await.expect(200);
            site.body["clocks"][0]["last_read_at"].is_string().then_some(())
        };
        eventually("it is public", SOON, public).await;
    }
    let most_go = async |slug: &str| {
        batch(slug, ["b", "c"].map(|key| json!({ "key": key, "removed": true })).to_vec()).await;
    };
    let asked = async || tokio::time::timeout(LONG, silent.accept()).await.expect("mail is brought").unwrap();

    most_go("mailed").await;
    let _first = asked().await;
    most_go("told").await;
    let of_the_other = || async { (told(&receiver, ["Site told is held since", "1 sitemap lost"]) > 0).then_some(()) };
    eventually("Slack is told", SOON, of_the_other).await;
    // The mail is given up and brought again.
    let _again = asked().await;
}
