//! What is public of a site is read back as anybody reads it, and told to those who want to know.

use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::{App, Client, LONG, Receiver, Recorded, SOON, Script, Stack, eventually};

on_both_stacks!(
    what_is_public_is_read_back_and_told_once,
    a_change_that_nobody_can_read_keeps_its_clock_running,
    what_a_cache_holds_back_is_not_taken_for_public,
    a_site_may_do_without_being_read_back,
    a_hub_that_hangs_is_told_of_a_feed_once_it_answers,
    settings_that_cannot_be_are_refused_by_place,
);

const KEY: &str = "0123456789abcdef";

fn page(url: &str) -> Value {
    let one = json!({ "url": url, "title": "T", "published_at": "2026-11-01T10:00:00Z" });
    json!({ "translations": { "de": one } })
}

async fn make(client: &Client, base: &str, more: Value) {
    let mut site = json!({ "slug": "news", "locales": [
        { "tag": "de", "base_url": base, "publication_name": "Die Zeitung" },
    ] });
    site.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.post("/v1/sites").json(&site).send().await.expect(201);
}

async fn put(client: &Client, key: &str, page: &Value) {
    client.call(reqwest::Method::PUT, &format!("/v1/sites/news/pages/{key}")).json(page).send().await.expect(202);
}

async fn clock(client: &Client) -> Value {
    client.get("/v1/sites/news").send().await.expect(200).body["clocks"][0].clone()
}

/// Waits until nothing of the site waits, and something was read back.
async fn all_is_read_back(client: &Client) -> Value {
    let read = || async {
        let clock = clock(client).await;
        (clock["waiting_since"].is_null() && !clock["last_read_at"].is_null()).then_some(clock)
    };
    eventually("all that was published is read back", SOON, read).await
}

async fn what_is_public_is_read_back_and_told_once(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let endpoint = json!({ "url": receiver.url("/events"), "event_types": ["site.published"] });
    app.client.post("/v1/endpoints").json(&endpoint).send().await.expect(201);
    let base = format!("{}/de", app.url());
    let indexnow = json!({ "key": KEY, "endpoint": receiver.url("/indexnow") });
    make(&app.client, &base, json!({ "hub": receiver.url("/hub"), "indexnow": indexnow })).await;
    put(&app.client, "a", &page("/a b")).await;
    put(&app.client, "b", &page("/b")).await;
    let clock = all_is_read_back(&app.client).await;
    assert!((1..30_000).contains(&clock["p50_ms"].as_u64().unwrap()), "{clock}");
    assert_eq!(clock["p50_ms"], clock["max_ms"]);

    let told = receiver.wait_for("/indexnow", 1, SOON).await;
    let told: Value = serde_json::from_slice(&told[0].body).unwrap();
    assert_eq!(told["urlList"], json!([format!("{base}/a%20b"), format!("{base}/b")]));
    assert_eq!((&told["key"], &told["host"]), (&json!(KEY), &json!("127.0.0.1")));
    let key = reqwest::get(told["keyLocation"].as_str().unwrap()).await.unwrap();
    assert_eq!(key.text().await.unwrap(), KEY);

    let feeds = receiver.wait_for("/hub", 3, SOON).await;
    let mut feeds: Vec<String> = feeds.iter().map(feed).collect();
    feeds.sort();
    assert_eq!(feeds, ["atom.xml", "feed.json", "feed.xml"].map(|name| format!("{base}/{name}")));

    let event = receiver.wait_for("/events", 1, SOON).await;
    let event: Value = serde_json::from_slice(&event[0].body).unwrap();
    assert_eq!((&event["site"], &event["locale"], &event["file_count"]), (&json!("news"), &json!("de"), &json!(5)));
    let publications = app.client.get("/v1/sites/news/publications").send().await.expect(200);
    assert_eq!(publications.body["data"].as_array().unwrap().len(), 1, "{}", publications.text);
    assert_eq!(publications.string("/data/0/id"), event["publication"].as_str().unwrap());
    let id = publications.string("/data/0/id");
    let one = app.client.get(&format!("/v1/sites/news/publications/{id}")).send().await.expect(200);
    assert_eq!(one.body["changed"].as_array().unwrap().len(), 5, "{}", one.text);

    put(&app.client, "a", &page("/renamed")).await;
    let told = receiver.wait_for("/indexnow", 2, SOON).await;
    let told: Value = serde_json::from_slice(&told[1].body).unwrap();
    assert_eq!(told["urlList"], json!([format!("{base}/a%20b"), format!("{base}/renamed")]));
    receiver.wait_for("/events", 2, SOON).await;
    all_is_read_back(&app.client).await;
    assert_eq!((receiver.requests("/events").len(), receiver.requests("/indexnow").len()), (2, 2));

    // What an import puts has been there for long; what it removes is gone from now on.
    let mut new = page("/c");
    new["key"] = json!("c");
    let lines = format!("{new}\n{}", json!({ "key": "b", "removed": true }));
    app.client.post("/v1/sites/news/pages/import").body("application/x-ndjson", lines).send().await.expect(202);
    let told = receiver.wait_for("/indexnow", 3, SOON).await;
    let told: Value = serde_json::from_slice(&told[2].body).unwrap();
    assert_eq!(told["urlList"], json!([format!("{base}/b")]));
}

/// The feed that a hub is told of.
fn feed(request: &Recorded) -> String {
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(&request.body).into_owned().collect();
    assert_eq!(pairs[0], ("hub.mode".to_owned(), "publish".to_owned()));
    pairs.into_iter().find(|(name, _)| name == "hub.url").unwrap().1
}

async fn a_change_that_nobody_can_read_keeps_its_clock_running(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    receiver.always("/de/sitemap.xml", Script::status(503));
    make(&app.client, &receiver.url("/de"), json!({ "hub": receiver.url("/hub") })).await;
    put(&app.client, "a", &page("/a")).await;
    let failing = || async {
        let jobs = app.client.get("/v1/jobs?kind=site.announce").send().await.expect(200);
        let error = jobs.body["data"][0]["last_error"].as_str()?.to_owned();
        Some((jobs, error))
    };
    let (_, error) = eventually("the announcement fails", SOON, failing).await;
    assert_eq!(error, format!("{}: HTTP 503 Service Unavailable", receiver.url("/de/sitemap.xml")));
    let clock = clock(&app.client).await;
    assert!(!clock["waiting_since"].is_null() && clock["p50_ms"].is_null(), "{clock}");
    assert!(receiver.requests("/hub").is_empty());
    let publications = app.client.get("/v1/sites/news/publications").send().await.expect(200);
    let publication = &publications.body["data"][0];
    assert!(!publication["published_at"].is_null() && publication["read_at"].is_null(), "{publication}");
}

async fn what_a_cache_holds_back_is_not_taken_for_public(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    make(&app.client, &receiver.url("/de"), json!({})).await;
    put(&app.client, "a", &page("/a")).await;
    let failing = || async {
        let jobs = app.client.get("/v1/jobs?kind=site.announce").send().await.expect(200);
        jobs.body["data"][0]["last_error"].as_str().map(str::to_owned)
    };
    let error = eventually("the announcement fails", SOON, failing).await;
    assert!(error.contains("what is public is not what was published"), "{error}");
    assert!(!clock(&app.client).await["waiting_since"].is_null());
}

async fn a_site_may_do_without_being_read_back(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    make(&app.client, &receiver.url("/de"), json!({ "read_back": false, "hub": receiver.url("/hub") })).await;
    put(&app.client, "a", &page("/a")).await;
    all_is_read_back(&app.client).await;
    receiver.wait_for("/hub", 3, SOON).await;
    assert!(receiver.requests("/de/sitemap.xml").is_empty());
}

/// Jobs that call the hub and have not ended.
async fn pings(client: &Client) -> Vec<Value> {
    let ended = |job: &Value| ["succeeded", "dead", "cancelled"].contains(&job["state"].as_str().unwrap());
    client.all("/v1/jobs?kind=http.request").await.into_iter().filter(|job| !ended(job)).collect()
}

async fn a_hub_that_hangs_is_told_of_a_feed_once_it_answers(stack: Stack) {
    let (app, receiver) = (App::start(stack).await, Receiver::start().await);
    let (let_go, held) = Script::held();
    receiver.always("/hub", held);
    make(&app.client, &receiver.url("/de"), json!({ "read_back": false, "hub": receiver.url("/hub") })).await;
    let mut last_put_at = Instant::now();
    for n in 1..=3 {
        last_put_at = Instant::now();
        put(&app.client, "a", &page(&format!("/a{n}"))).await;
        let announced = || async {
            let publications = app.client.all("/v1/sites/news/publications").await;
            let all = publications.len() == n && publications.iter().all(|one| !one["read_at"].is_null());
            all.then_some(())
        };
        eventually("the publication is announced", SOON, announced).await;
    }
    let waiting = || async { Some(pings(&app.client).await).filter(|pings| pings.len() <= 3) };
    let waiting = eventually("one call for each feed waits", SOON, waiting).await;
    assert_eq!(waiting.len(), 3, "{waiting:?}");
    let_go.send(true).unwrap();
    for ping in waiting {
        let told = || async {
            let job = app.client.get(&format!("/v1/jobs/{}", ping["id"].as_str().unwrap())).send().await;
            (job.string("/state") == "succeeded").then_some(())
        };
        eventually("the hub is told of the last publication", LONG, told).await;
    }
    let of_last = receiver.requests("/hub").into_iter().filter(|request| request.at > last_put_at);
    let mut feeds: Vec<String> = of_last.map(|request| feed(&request)).collect();
    feeds.sort();
    feeds.dedup();
    assert_eq!(feeds.len(), 3, "{feeds:?}");
}

async fn settings_that_cannot_be_are_refused_by_place(stack: Stack) {
    let app = App::start(stack).await;
    let site = json!({ "slug": "news", "locales": [
        { "tag": "de", "base_url": "https://de.news.example", "publication_name": "Die Zeitung" },
    ], "hub": "ftp://hub.example", "indexnow": { "key": "short", "endpoint": "http://169.254.169.254/" } });
    let refused = app.client.post("/v1/sites").json(&site).send().await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    for place in ["/hub", "/indexnow/key", "/indexnow/endpoint"] {
        assert!(refused.text.contains(&format!("\"{place}\"")), "{place}: {}", refused.text);
    }
}
