//! What a feed or a news sitemap had is public no longer than anything else that went, be it the last of its file.

use std::collections::HashMap;

use serde_json::json;

use crate::harness::{App, SOON, Stack, eventually};

on_both_stacks!(
    an_article_that_was_the_last_of_its_feeds_is_taken_away_at_once,
    an_article_that_moves_leaves_the_feeds_where_it_was,
);

const LEAK: [&str; 3] = ["feed-leak.xml", "atom-leak.xml", "feed-leak.json"];
const ALL: [&str; 3] = ["feed.xml", "atom.xml", "feed.json"];
const NEWS: [&str; 1] = ["sitemap-news.xml"];
const ADDRESS: &str = "https://de.news.example/artikel";

struct Site<'a>(&'a App);

impl<'a> Site<'a> {
    async fn make(app: &'a App) -> Self {
        let locale = json!({ "tag": "de", "base_url": "https://de.news.example", "publication_name": "Die Zeitung" });
        let sections = json!([{ "key": "leak" }, { "key": "sport" }, { "key": "never" }]);
        let site = json!({ "slug": "news", "locales": [locale], "sections": sections, "read_back": false });
        app.client.post("/v1/sites").json(&site).send().await.expect(201);
        Self(app)
    }

    async fn put(&self, key: &str, section: Option<&str>) {
        let (news, published_at) = (section.is_some(), jiff::Timestamp::now().to_string());
        let one = json!({ "url": format!("/{key}"), "title": "T", "published_at": published_at, "section": section, "news": news });
        let (path, page) = (format!("/v1/sites/news/pages/{key}"), json!({ "translations": { "de": one } }));
        self.0.client.call(reqwest::Method::PUT, &path).json(&page).send().await.expect(202);
    }

    async fn delete(&self, key: &str) {
        self.0.client.delete(&format!("/v1/sites/news/pages/{key}")).send().await.expect(202);
    }

    /// What is in a public file, with its ETag; `None` where there is none.
    async fn read(&self, name: &str) -> Option<(String, String)> {
        let file = self.0.published("de.news.example", &format!("/{name}")).await?;
        let tag = file.header("etag").to_owned();
        Some((file.text, tag))
    }

    /// Waits until all of these are public, and name the article or name none.
    async fn await_named<'n>(&self, names: &[&'n str], named: bool) -> HashMap<&'n str, String> {
        let mut tags = HashMap::new();
        for name in names {
            let as_said = || async { self.read(name).await.filter(|(text, _)| text.contains(ADDRESS) == named) };
            let (text, tag) = eventually(&format!("{name} names it: {named}"), SOON, as_said).await;
            assert!(named || !["<item>", "<entry>", "<url>", "date_published"].iter().any(|one| text.contains(one)));
            tags.insert(*name, tag);
        }
        tags
    }
}

async fn an_article_that_was_the_last_of_its_feeds_is_taken_away_at_once(stack: Stack) {
    let app = App::start(stack).await;
    let site = Site::make(&app).await;
    site.put("artikel", Some("leak")).await;
    site.await_named(&[LEAK, ALL].concat(), true).await;
    site.await_named(&NEWS, true).await;
    site.delete("artikel").await;
    let before = site.await_named(&[&LEAK[..], &ALL, &NEWS].concat(), false).await;
    assert!(site.read("feed-never.xml").await.is_none(), "nobody reads what never had anything");
    let index = || async { site.read("sitemap.xml").await.is_none().then_some(()) };
    eventually("an index that would name nothing goes", SOON, index).await;

    // What is empty stays as it is.
    let job = app.client.post("/v1/sites/news/regenerate").send().await.expect(202).string("/job_id");
    let done = || async {
        let job = app.client.get(&format!("/v1/jobs/{job}")).send().await;
        (job.string("/state") == "succeeded").then_some(())
    };
    eventually("all was made again", SOON, done).await;
    assert_eq!(site.await_named(&[&LEAK[..], &ALL, &NEWS].concat(), false).await, before);
    let files = app.client.get("/v1/sites/news/files").send().await.expect(200);
    assert!(!files.text.contains("never"), "{}", files.text);
}

async fn an_article_that_moves_leaves_the_feeds_where_it_was(stack: Stack) {
    let app = App::start(stack).await;
    let site = Site::make(&app).await;
    site.put("artikel", Some("leak")).await;
    site.put("b", None).await;
    site.await_named(&LEAK, true).await;
    site.put("artikel", Some("sport")).await;
    site.await_named(&["feed-sport.xml"], true).await;
    site.await_named(&LEAK, false).await;
    // The news sitemap that is left without any is named by the index no more.
    site.delete("artikel").await;
    site.await_named(&NEWS, false).await;
    let index = || async { site.read("sitemap.xml").await.filter(|(text, _)| !text.contains(NEWS[0])) };
    eventually("the index names what has addresses", SOON, index).await;
}
