//! Feeds and news sitemaps: what is newest, what is news no more, and what is not to be told yet.

use serde_json::{Value, json};

use crate::{
    harness::{App, LONG, SOON, Stack, eventually},
    sites::{DE, FR, Site, locs, page_path},
};

on_both_stacks!(
    feeds_have_the_newest_pages_of_a_locale_and_of_a_section,
    news_are_of_the_last_48_hours,
    a_page_of_later_is_not_public_before,
);

/// A time so many milliseconds from now.
fn from_now(by_ms: i64) -> String {
    (jiff::Timestamp::now() + jiff::SignedDuration::from_millis(by_ms)).to_string()
}

async fn feeds_have_the_newest_pages_of_a_locale_and_of_a_section(stack: Stack) {
    let app = App::start(stack).await;
    let site = Site::make(&app).await;
    let one = |n: usize, url: &str, section: Option<&str>| {
        let published_at = format!("2026-11-01T10:{n:02}:00Z");
        json!({ "url": url, "title": format!("N° {n} & <more>"), "content": "<p>ça</p>", "published_at": published_at, "section": section })
    };
    let page = |n: usize| {
        let section = n.is_multiple_of(2).then_some("sport");
        let translations = json!({ "de": one(n, &format!("/d{n}"), section), "fr": one(n, &format!("/f{n}"), None) });
        json!({ "key": format!("p{n}"), "translations": translations })
    };
    let pages: Vec<Value> = (0..60).map(page).collect();
    site.client.post("/v1/sites/news/pages/batch").json(&json!({ "pages": pages })).send().await.expect(202);
    let feed = || async { site.read(DE, "/feed.json").await };
    let file = eventually("the feed is public", SOON, feed).await;
    assert_eq!(file.header("content-type"), "application/feed+json; charset=utf-8");
    let feed: Value = serde_json::from_str(&file.text).unwrap();
    let items = feed["items"].as_array().unwrap();
    assert_eq!((items.len(), items[0]["url"].as_str()), (50, Some("https://de.news.example/d59")));
    assert_eq!((items[49]["title"].as_str(), &feed["title"]), (Some("N° 10 & <more>"), &json!("Die Zeitung")));
    let sport = || async { site.read(DE, "/feed-sport.json").await };
    let sport = eventually("the section's feed is public", SOON, sport).await;
    let sport: Value = serde_json::from_str(&sport.text).unwrap();
    assert_eq!((sport["items"].as_array().unwrap().len(), &sport["title"]), (30, &json!("Die Zeitung – Sport")));
    for (path, media_type) in [("/feed.xml", "application/rss+xml"), ("/atom-sport.xml", "application/atom+xml")] {
        let file = site.read(DE, path).await.unwrap();
        let is_of_type = file.header("content-type").starts_with(media_type);
        assert!(is_of_type && file.text.contains("https://de.news.example/d58"), "{}", file.text);
    }
    assert!(site.read(FR, "/fr/feed-sport.json").await.is_none());
    // A new address is the same item.
    let guid = items[0]["id"].clone();
    let renamed = json!({ "translations": { "de": one(59, "/umbenannt", None), "fr": one(59, "/f59", None) } });
    site.client.call(reqwest::Method::PUT, &page_path("p59")).json(&renamed).send().await.expect(202);
    let again = || async {
        let feed: Value = serde_json::from_str(&site.read(DE, "/feed.json").await?.text).unwrap();
        let item = feed["items"][0].clone();
        (item["url"] == "https://de.news.example/umbenannt").then_some(item)
    };
    assert_eq!(eventually("the feed names the new address", SOON, again).await["id"], guid);
}

async fn news_are_of_the_last_48_hours(stack: Stack) {
    const HOURS_48_MS: i64 = 48 * 3_600_000;
    let app = App::start(stack).await;
    let site = Site::make(&app).await;
    let one =
        |url: &str, published_at: &str| json!({ "url": url, "title": "T", "published_at": published_at, "news": true });
    for (key, published_at) in
        [("new", from_now(-1_000)), ("ending", from_now(25_000 - HOURS_48_MS)), ("old", from_now(-HOURS_48_MS - 1_000))]
    {
        let page = json!({ "translations": { "de": one(&format!("/{key}"), &published_at) } });
        site.client.call(reqwest::Method::PUT, &page_path(key)).json(&page).send().await.expect(202);
    }
    let news = || async { Some(locs(&site.read(DE, "/sitemap-news.xml").await?.text)) };
    let both = ["https://de.news.example/new", "https://de.news.example/ending"];
    assert_eq!(eventually("the news are public", SOON, news).await, both);
    let index = eventually("the index is public", SOON, || site.read(DE, "/sitemap.xml")).await.text;
    assert!(locs(&index).contains(&"https://de.news.example/sitemap-news.xml".to_owned()), "{index}");
    let ended = || async { (news().await? == both[..1]).then_some(()) };
    eventually("what is older than 48 hours is news no more", LONG, ended).await;
}

async fn a_page_of_later_is_not_public_before(stack: Stack) {
    let app = App::start(stack).await;
    let site = Site::make(&app).await;
    site.put("later", "/later", "/apres", &from_now(25_000)).await;
    site.put("now", "/now", "/maintenant", &from_now(-1_000)).await;
    site.await_address(DE, "", "https://de.news.example/now").await;
    site.await_address(FR, "/fr", "https://news.example/fr/maintenant").await;
    let feed = || site.read(FR, "/fr/feed.xml");
    let feed = eventually("the feed is public", SOON, feed).await.text;
    assert_eq!(site.addresses(FR, "/fr").await, ["https://news.example/fr/maintenant"]);
    assert!(!feed.contains("/fr/apres"), "{feed}");
    let later = || async {
        let addresses = site.addresses(DE, "").await;
        addresses.contains(&"https://de.news.example/later".to_owned()).then_some(())
    };
    eventually("what was to be published later is", LONG, later).await;
    let told = || async { site.read(FR, "/fr/feed.xml").await?.text.contains("/fr/apres").then_some(()) };
    eventually("the feed names it, too", SOON, told).await;
}
