//! Sitemaps that wait for a person: what is said of them is of what was shown, and what is in them alone still waits.

use serde_json::{Value, json};

use crate::{
    harness::{App, LONG, SOON, Stack, eventually},
    sites::{self, DE, page_path},
};

on_both_stacks!(
    a_sitemap_that_loses_many_addresses_at_once_waits_for_a_person,
    a_confirmation_is_of_the_number_that_was_shown,
    what_is_held_with_another_number_by_then_is_not_confirmed,
    what_a_held_sitemap_lacks_waits_until_it_is_public,
    what_is_public_of_a_held_sitemap_is_put_back_where_its_folder_was_lost,
);

const SITEMAP: &str = "/sitemap-2026-11-1.xml.gz";

struct Site<'a>(&'a App);

impl<'a> Site<'a> {
    async fn make(app: &'a App, freshness_seconds: u32, pages: usize) -> Self {
        let locale = json!({ "tag": "de", "base_url": "https://de.news.example", "publication_name": "Die Zeitung" });
        let site =
            json!({ "slug": "news", "locales": [locale], "read_back": false, "freshness_seconds": freshness_seconds });
        app.client.post("/v1/sites").json(&site).send().await.expect(201);
        let site = Self(app);
        let page = |n| json!({ "key": format!("p{n}"), "translations": translations(&format!("/a{n}")) });
        let pages_: Vec<Value> = (0..pages).map(page).collect();
        app.client.post("/v1/sites/news/pages/batch").json(&json!({ "pages": pages_ })).send().await.expect(202);
        site.await_urls(pages).await;
        site
    }

    async fn put(&self, key: &str) {
        let page = json!({ "translations": translations(&format!("/{key}")) });
        let path = format!("/v1/sites/news/pages/{key}");
        self.0.client.call(reqwest::Method::PUT, &path).json(&page).send().await.expect(202);
    }

    async fn delete(&self, numbers: std::ops::Range<usize>) {
        for n in numbers {
            self.0.client.delete(&format!("/v1/sites/news/pages/p{n}")).send().await.expect(202);
        }
    }

    async fn shown(&self) -> Value {
        self.0.client.get("/v1/sites/news").send().await.expect(200).body
    }

    /// Waits until the month's sitemap is held, and would have so many addresses.
    async fn await_held(&self, urls_after: usize) -> Value {
        let held = || async { Some(self.shown().await).filter(|site| site["held"][0]["urls_after"] == urls_after) };
        eventually("the sitemap is held", SOON, held).await
    }

    async fn confirm(&self) {
        let confirmed = self.0.client.post("/v1/sites/news/confirm").send().await.expect(202);
        assert_eq!(confirmed.body["confirmed"], 1, "{}", confirmed.text);
    }

    async fn read(&self, path: &str) -> Option<String> {
        Some(self.0.published("de.news.example", path).await?.text)
    }

    async fn urls(&self) -> usize {
        self.read(SITEMAP).await.map_or(0, |text| text.matches("<loc>").count())
    }

    async fn await_urls(&self, count: usize) {
        let public = || async { (self.urls().await == count).then_some(()) };
        eventually("so many addresses are public", SOON, public).await;
    }
}

fn translations(url: &str) -> Value {
    json!({ "de": { "url": url, "title": "T", "published_at": "2026-11-01T10:00:00Z" } })
}

async fn a_sitemap_that_loses_many_addresses_at_once_waits_for_a_person(stack: Stack) {
    let app = App::start(stack).await;
    let site = &sites::Site::make(&app).await;
    for n in 0..10 {
        site.put(&format!("p{n}"), &format!("/a{n}"), &format!("/b{n}"), "2026-11-01T10:00:00Z").await;
    }
    let public = |count| async move { (site.addresses(DE, "").await.len() == count).then_some(()) };
    eventually("ten pages are public", SOON, || public(10)).await;
    for n in 0..5 {
        site.client.delete(&page_path(&format!("p{n}"))).send().await.expect(202);
    }
    let held = || async {
        let held = site.client.get("/v1/sites/news").send().await.expect(200).list("/held");
        (held.len() == 2).then_some(held)
    };
    let held = eventually("both languages' sitemaps are held", SOON, held).await;
    assert_eq!((&held[0]["urls_before"], &held[0]["urls_after"]), (&json!(10), &json!(5)));
    assert_eq!(site.addresses(DE, "").await.len(), 10);
    let confirmed = site.client.post("/v1/sites/news/confirm").send().await.expect(202);
    assert_eq!(confirmed.body["confirmed"], 2);
    eventually("what was confirmed is public", SOON, || public(5)).await;
    // A file can be read a moment before what was held is not any more.
    let free =
        || async { site.client.get("/v1/sites/news").send().await.expect(200).list("/held").is_empty().then_some(()) };
    eventually("nothing is held any more", SOON, free).await;
}

async fn what_is_public_of_a_held_sitemap_is_put_back_where_its_folder_was_lost(stack: Stack) {
    let app = App::start(stack).await;
    let site = Site::make(&app, 300, 10).await;
    site.delete(0..5).await;
    let id = site.await_held(5).await["id"].as_str().unwrap().to_owned();
    let folder = app.folder().join("sites").join(&id);
    let public = std::fs::read(folder.join("de").join(&SITEMAP[1..])).unwrap();
    for n in 0..2 {
        // At once, though something be written into it at this moment.
        std::fs::rename(&folder, app.folder().join(format!("lost-{n}"))).unwrap();
        app.client.post("/v1/sites/news/regenerate").send().await.expect(202);
        let there = || async { std::fs::read(folder.join("de").join(&SITEMAP[1..])).ok() };
        assert_eq!(eventually("the sitemap is there again", LONG, there).await, public);
        let feed = || async { site.read("/feed.xml").await };
        eventually("so are the files that are not held", LONG, feed).await;
    }
    assert_eq!(site.urls().await, 10);
    site.await_held(5).await;
    site.confirm().await;
    site.await_urls(5).await;
    let copies = std::fs::read_dir(app.folder().join("sites/.before").join(&id).join("de")).unwrap();
    let names: Vec<_> = copies.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!names.iter().any(|name| name.ends_with(".held")), "{names:?}");
}

async fn a_confirmation_is_of_the_number_that_was_shown(stack: Stack) {
    let app = App::start(stack).await;
    let site = Site::make(&app, 300, 30).await;
    site.delete(0..10).await;
    site.await_held(20).await;
    site.confirm().await;
    site.delete(10..28).await;
    site.await_held(2).await;
    assert!(site.urls().await >= 20, "nobody was asked about so few");
    site.confirm().await;
    site.await_urls(2).await;
    let free = || async { site.shown().await["held"].as_array().unwrap().is_empty().then_some(()) };
    eventually("nothing is held any more", SOON, free).await;
}

async fn what_is_held_with_another_number_by_then_is_not_confirmed(stack: Stack) {
    let app = App::start(stack).await;
    let site = Site::make(&app, 300, 30).await;
    site.delete(0..10).await;
    let seen = |site: &Value| {
        let one = &site["held"][0];
        json!({ "held": [{ "locale": one["locale"], "target": one["target"], "urls_after": one["urls_after"] }] })
    };
    let of_twenty = seen(&site.await_held(20).await);
    site.delete(10..28).await;
    let of_two = seen(&site.await_held(2).await);
    let confirm = async |seen: &Value| app.client.post("/v1/sites/news/confirm").json(seen).send().await;
    let refused = confirm(&of_twenty).await.expect_problem(409, "held_changed");
    assert!(refused.text.contains("since 1 sitemap is not as the call says"), "{}", refused.text);
    assert!(
        refused.text.contains("de shard/20261100001 was held with 20 addresses, and is with 2"),
        "{}",
        refused.text
    );
    let refused = confirm(&json!({ "held": [] })).await.expect_problem(409, "held_changed");
    assert!(refused.text.contains("is held with 2 addresses"), "{}", refused.text);
    assert_eq!(site.urls().await, 30);
    confirm(&of_two).await.expect(202);
    site.await_urls(2).await;
    let refused = || async { Some(confirm(&of_two).await).filter(|answer| answer.status == 409) };
    let refused = eventually("nothing is held any more", SOON, refused).await;
    assert!(refused.text.contains("is held no more"), "{}", refused.text);
}

async fn what_a_held_sitemap_lacks_waits_until_it_is_public(stack: Stack) {
    let app = App::start(stack).await;
    let site = Site::make(&app, 10, 10).await;
    let quiet = || async { Some(site.shown().await).filter(|site| site["clocks"][0]["waiting_since"].is_null()) };
    eventually("nothing waits", SOON, quiet).await;
    site.delete(0..5).await;
    site.await_held(5).await;
    site.put("new").await;
    site.await_held(6).await;
    let told = || async { (site.shown().await["stale"] == 0).then_some(()) };
    eventually("all else is public", SOON, told).await;
    assert!(site.read("/feed.xml").await.unwrap().contains("https://de.news.example/new"));
    let since = site.shown().await["clocks"][0]["waiting_since"].as_str().expect("a change waits").to_owned();

    let alerts = || async { app.client.get("/v1/sites/news/alerts").send().await.expect(200).list("/data") };
    let causes =
        |alerts: &[Value]| alerts.iter().map(|one| one["cause"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let late = || async { Some(alerts().await).filter(|alerts| causes(alerts).contains(&"late".to_owned())) };
    let raised = causes(&eventually("people are told that it is late", LONG, late).await);
    assert!(raised.contains(&"held".to_owned()) && !raised.contains(&"idle".to_owned()), "{raised:?}");
    // Nothing makes again and again what waits for a person.
    let jobs = || async { app.client.all("/v1/jobs?kind=site.regenerate").await };
    assert!(jobs().await.iter().all(|job| job["state"] == "succeeded"), "{:?}", jobs().await);

    site.confirm().await;
    site.await_urls(6).await;
    eventually("nothing waits any more", SOON, quiet).await;
    let publications = app.client.get("/v1/sites/news/publications").send().await.expect(200);
    assert_eq!(publications.string("/data/0/accepted_at"), since, "{}", publications.text);
}
