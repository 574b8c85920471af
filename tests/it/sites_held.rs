//! Sitemaps that wait for a person: what is said of them is of what was shown.

use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::harness::{App, SOON, Stack, eventually};

on_both_stacks!(a_confirmation_is_of_the_number_that_was_shown,);

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
        let asked = reqwest::Client::new().get(format!("{}{path}", self.0.url())).header("host", "de.news.example");
        let answer = asked.send().await.unwrap();
        (answer.status() == 200).then_some(())?;
        let (bytes, mut text) = (answer.bytes().await.unwrap(), String::new());
        match path.ends_with(".gz") {
            true => GzDecoder::new(bytes.as_ref()).read_to_string(&mut text).unwrap(),
            false => bytes.as_ref().read_to_string(&mut text).unwrap(),
        };
        Some(text)
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
