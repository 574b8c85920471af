//! Sites: what was accepted is public in all its languages soon, and what is public is never broken.

use std::{collections::HashMap, io::Read};

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::harness::{App, Client, LONG, SOON, Stack, eventually};

on_both_stacks!(
    a_page_is_public_in_all_its_languages_soon_after_it_was_accepted,
    a_renamed_translation_changes_the_sitemaps_of_its_siblings_and_no_others,
    what_comes_out_as_it_was_is_not_published_again,
    what_cannot_be_published_is_quarantined_and_the_rest_is_public,
    a_public_file_is_served_as_caches_ask_for_it,
    what_was_accepted_before_a_crash_is_public_after_it,
    a_page_that_is_removed_is_named_nowhere,
    a_reader_never_meets_what_is_missing_or_broken,
    feeds_have_the_newest_pages_of_a_locale_and_of_a_section,
    news_are_of_the_last_48_hours,
    a_page_of_later_is_not_public_before,
    many_pages_are_imported_a_line_each,
    a_sitemap_that_loses_many_addresses_at_once_waits_for_a_person,
    a_site_is_its_tenants_own,
);

const DE: &str = "de.news.example";
const FR: &str = "news.example";

/// A site of two languages, one of them below a path, and whoever reads it.
struct Site<'a> {
    client: &'a Client,
    app: &'a App,
    http: reqwest::Client,
}

impl<'a> Site<'a> {
    async fn make(app: &'a App) -> Self {
        let site = json!({ "slug": "news", "locales": [
            { "tag": "de", "base_url": format!("https://{DE}"), "publication_name": "Die Zeitung", "x_default": true },
            { "tag": "fr", "base_url": format!("https://{FR}/fr"), "publication_name": "Le Journal" },
        ], "sections": [{ "key": "sport", "names": { "de": "Sport" } }], "read_back": false });
        app.client.post("/v1/sites").json(&site).send().await.expect(201);
        Self { client: &app.client, app, http: reqwest::Client::new() }
    }

    async fn put(&self, key: &str, de: &str, fr: &str, published_at: &str) {
        let one = |url: &str| json!({ "url": url, "title": "T", "published_at": published_at });
        let page = json!({ "translations": { "de": one(de), "fr": one(fr) } });
        self.client.call(reqwest::Method::PUT, &page_path(key)).json(&page).send().await.expect(202);
    }

    fn ask(&self, host: &str, path: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("{}{path}", self.app.url())).header("host", host)
    }

    /// What is in a public file, and its headers; `None` where there is none.
    async fn read(&self, host: &str, path: &str) -> Option<(String, HashMap<String, String>)> {
        let answer = self.ask(host, path).send().await.unwrap();
        if answer.status() == 404 {
            return None;
        }
        assert_eq!(answer.status(), 200, "{host}{path}");
        let header = |(name, value): (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().to_owned())
        };
        let headers = answer.headers().iter().map(header).collect();
        let bytes = answer.bytes().await.unwrap();
        let mut text = String::new();
        match path.ends_with(".gz") {
            true => GzDecoder::new(bytes.as_ref()).read_to_string(&mut text).unwrap(),
            false => bytes.as_ref().read_to_string(&mut text).unwrap(),
        };
        Some((text, headers))
    }

    /// The addresses that a locale's sitemaps have, through its index, as a search engine finds them.
    async fn addresses(&self, host: &str, base: &str) -> Vec<String> {
        let Some((index, _)) = self.read(host, &format!("{base}/sitemap.xml")).await else { return Vec::new() };
        let mut found = Vec::new();
        for sitemap in locs(&index) {
            let path = sitemap.strip_prefix(&format!("https://{host}")).unwrap();
            let (text, _) =
                self.read(host, path).await.unwrap_or_else(|| panic!("{sitemap} is in the index and not there"));
            found.extend(locs(&text));
        }
        found
    }

    async fn await_address(&self, host: &str, base: &str, address: &str) {
        let there = || async { self.addresses(host, base).await.iter().any(|one| one == address).then_some(()) };
        eventually("the address is public", SOON, there).await;
    }
}

fn page_path(key: &str) -> String {
    format!("/v1/sites/news/pages/{key}")
}

fn locs(xml: &str) -> Vec<String> {
    assert!(xml.trim_end().ends_with("</urlset>") || xml.trim_end().ends_with("</sitemapindex>"), "{xml}");
    xml.split("<loc>").skip(1).filter_map(|rest| rest.split("</loc>").next()).map(str::to_owned).collect()
}

async fn a_page_is_public_in_all_its_languages_soon_after_it_was_accepted(stack: Stack) {
    let app = App::start(stack).await;
    let site = Site::make(&app).await;
    site.put("a", "/żółw", "/tortue", "2026-11-01T10:00:00Z").await;
    site.await_address(DE, "", "https://de.news.example/%C5%BC%C3%B3%C5%82w").await;
    site.await_address(FR, "/fr", "https://news.example/fr/tortue").await;
    let (sitemap, _) = site.read(FR, "/fr/sitemap-2026-11-1.xml.gz").await.unwrap();
    for (tag, href) in [
        ("de", "https://de.news.example/%C5%BC%C3%B3%C5%82w"),
        ("fr", "https://news.example/fr/tortue"),
        ("x-default", "https://de.news.example/%C5%BC%C3%B3%C5%82w"),
    ] {
        let link = format!("<xhtml:link rel=\"alternate\" hreflang=\"{tag}\" href=\"{href}\"/>");
        assert!(sitemap.contains(&link), "{link}\n{sitemap}");
    }
    let kept = site.client.get(&page_path("a")).send().await.expect(200);
    assert_eq!(kept.string("/translations/de/url"), "https://de.news.example/%C5%BC%C3%B3%C5%82w");
}

async fn a_renamed_translation_changes_the_sitemaps_of_its_siblings_and_no_others(stack: Stack) {
    let app = App::start(stack).await;
    let site = Site::make(&app).await;
    site.put("old", "/old", "/ancien", "2026-09-01T10:00:00Z").await;
    site.put("new", "/new", "/neuf", "2026-11-01T10:00:00Z").await;
    site.await_address(FR, "/fr", "https://news.example/fr/neuf").await;
    site.await_address(FR, "/fr", "https://news.example/fr/ancien").await;
    let tag = |headers: &HashMap<String, String>| headers["etag"].clone();
    let (_, before) = site.read(FR, "/fr/sitemap-2026-09-1.xml.gz").await.unwrap();
    let (_, stale) = site.read(FR, "/fr/sitemap-2026-11-1.xml.gz").await.unwrap();
    site.put("new", "/renamed", "/neuf", "2026-11-01T10:00:00Z").await;
    site.await_address(DE, "", "https://de.news.example/renamed").await;
    let named = || async {
        let (text, headers) = site.read(FR, "/fr/sitemap-2026-11-1.xml.gz").await?;
        (text.contains("https://de.news.example/renamed") && tag(&headers) != tag(&stale)).then_some(text)
    };
    let text = eventually("the sibling names the new address", SOON, named).await;
    assert!(!text.contains("https://de.news.example/new"), "{text}");
    let (_, after) = site.read(FR, "/fr/sitemap-2026-09-1.xml.gz").await.unwrap();
    assert_eq!((tag(&after), &after["last-modified"]), (tag(&before), &before["last-modified"]));
}

async fn what_comes_out_as_it_was_is_not_published_again(stack: Stack) {
    let app = App::start(stack).await;
    let site = Site::make(&app).await;
    site.put("a", "/a", "/b", "2026-11-01T10:00:00Z").await;
    site.await_address(FR, "/fr", "https://news.example/fr/b").await;
    site.await_address(DE, "", "https://de.news.example/a").await;
    let public = || async { site.client.get("/v1/sites/news/files").send().await.expect(200).body };
    // A sitemap, an index and three feeds of each; a file can be read a moment before it is listed.
    let all = || async { Some(public().await).filter(|files| files["data"].as_array().unwrap().len() == 10) };
    let before = eventually("all files are public", SOON, all).await;
    let job = site.client.post("/v1/sites/news/regenerate").send().await.expect(202).string("/job_id");
    let done = || async {
        let job = site.client.get(&format!("/v1/jobs/{job}")).send().await;
        (job.string("/state") == "succeeded").then_some(())
    };
    eventually("all was made again", SOON, done).await;
    assert_eq!(public().await, before);
}

async fn what_cannot_be_published_is_quarantined_and_the_rest_is_public(stack: Stack) {
    let app = App::start(stack).await;
    let site = Site::make(&app).await;
    let one = |url: &str, published_at: &str| json!({ "url": url, "title": "T", "published_at": published_at });
    let pages = json!({ "pages": [
        { "key": "a", "translations": { "de": one("/caf%25C3%25A9", "2026-11-01T10:00:00Z"), "fr": one("/a", "2026-11-01T10:00:00Z") } },
        { "key": "b", "translations": { "de": one("/b", "yesterday"), "fr": one("https://de.news.example/b", "2026-11-01T10:00:00Z") } },
        { "key": "c", "translations": { "de": one("/c", "2026-11-01T10:00:00Z"), "en": one("/c", "2026-11-01T10:00:00Z") } },
    ] });
    let answer = site.client.post("/v1/sites/news/pages/batch").json(&pages).send().await.expect(202);
    let reasons: Vec<String> = answer
        .list("/results")
        .iter()
        .flat_map(|page| page["quarantined"].as_array().unwrap().clone())
        .map(|one| {
            format!(
                "{} {}: {}",
                one["locale"].as_str().unwrap(),
                one["field"].as_str().unwrap(),
                one["reason"].as_str().unwrap()
            )
        })
        .collect();
    for (reason, words) in reasons.iter().zip([
        "de url: it is encoded twice: %25C3",
        "de published_at: \"yesterday\"",
        "fr url: it is at https://de",
        "en locale:",
    ]) {
        assert!(reason.contains(words), "{reasons:?}");
    }
    assert_eq!(reasons.len(), 4);
    site.await_address(FR, "/fr", "https://news.example/fr/a").await;
    site.await_address(DE, "", "https://de.news.example/c").await;
    assert_eq!(site.addresses(FR, "/fr").await, ["https://news.example/fr/a"]);
    assert_eq!(site.addresses(DE, "").await, ["https://de.news.example/c"]);
}

async fn a_public_file_is_served_as_caches_ask_for_it(stack: Stack) {
    let app = App::start(stack).await;
    let site = Site::make(&app).await;
    site.put("a", "/a", "/b", "2026-11-01T10:00:00Z").await;
    site.await_address(DE, "", "https://de.news.example/a").await;
    let (plain, headers) = site.read(DE, "/sitemap.xml").await.unwrap();
    assert_eq!(headers["content-type"], "application/xml; charset=utf-8");
    let ask = || site.ask(DE, "/sitemap.xml");
    let coded = ask().header("accept-encoding", "br, gzip").send().await.unwrap();
    assert_eq!(coded.headers()["content-encoding"], "gzip");
    assert_ne!(coded.headers()["etag"], headers["etag"].as_str());
    let mut text = String::new();
    GzDecoder::new(coded.bytes().await.unwrap().as_ref()).read_to_string(&mut text).unwrap();
    assert_eq!(text, plain);
    let status = |request: reqwest::RequestBuilder| async { request.send().await.unwrap().status().as_u16() };
    assert_eq!(status(ask().header("if-none-match", &headers["etag"])).await, 304);
    assert_eq!(
        status(ask().header("if-none-match", "\"other\"").header("if-modified-since", &headers["last-modified"])).await,
        200
    );
    assert_eq!(status(ask().header("if-modified-since", &headers["last-modified"])).await, 304);
    assert_eq!(status(ask().header("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")).await, 200);
    let head = site.http.head(format!("{}/sitemap.xml", app.url())).header("host", DE).send().await.unwrap();
    assert_eq!(head.headers()["content-length"], plain.len().to_string().as_str());
    assert_eq!(head.headers()["etag"], headers["etag"].as_str());
    for host in ["DE.news.example", "de.news.example.", "de.news.example:443", "de.news.example.:80"] {
        assert_eq!(status(site.ask(host, "/sitemap.xml")).await, 200, "{host}");
    }
    for (taken, is_coded) in [("identity, gzip;q=0, *;q=1", false), ("*", true), ("gzip, *;q=0", true), ("br", false)] {
        let answer = ask().header("accept-encoding", taken).send().await.unwrap();
        assert_eq!(answer.headers().contains_key("content-encoding"), is_coded, "{taken}");
    }
    assert_eq!(status(site.ask("de.news.example:8080", "/sitemap.xml")).await, 404);
    assert_eq!(status(site.ask("other.example", "/sitemap.xml")).await, 404);
    assert_eq!(status(site.ask(DE, "/sitemap-1999-01-1.xml.gz")).await, 404);
}

async fn what_was_accepted_before_a_crash_is_public_after_it(stack: Stack) {
    let mut app = App::start(stack).await;
    Site::make(&app).await.put("a", "/a", "/b", "2026-11-01T10:00:00Z").await;
    app.kill();
    app.restart().await;
    let site = Site { client: &app.client, app: &app, http: reqwest::Client::new() };
    site.await_address(DE, "", "https://de.news.example/a").await;
}

async fn a_page_that_is_removed_is_named_nowhere(stack: Stack) {
    let app = App::start(stack).await;
    let site = Site::make(&app).await;
    site.put("a", "/a", "/b", "2026-11-01T10:00:00Z").await;
    site.put("b", "/c", "/d", "2026-10-01T10:00:00Z").await;
    site.await_address(DE, "", "https://de.news.example/a").await;
    site.await_address(DE, "", "https://de.news.example/c").await;
    site.client.delete(&format!("{}/translations/fr", page_path("a"))).send().await.expect(202);
    site.client.delete(&page_path("b")).send().await.expect(202);
    let left = || async {
        let left = (site.addresses(DE, "").await, site.addresses(FR, "/fr").await);
        (left == (vec!["https://de.news.example/a".to_owned()], Vec::new())).then_some(())
    };
    eventually("only what is left is public", SOON, left).await;
    // Whoever has read the index before may come for what it named.
    assert!(site.read(DE, "/sitemap-2026-10-1.xml.gz").await.is_some());
    site.client.delete(&page_path("b")).send().await.expect_problem(404, "not_found");
    site.client.get(&page_path("b")).send().await.expect_problem(404, "not_found");
}

async fn a_reader_never_meets_what_is_missing_or_broken(stack: Stack) {
    const ROUNDS: usize = 4;
    const PAGES: usize = 99;
    let app = App::start(stack).await;
    let site = Site::make(&app).await;
    let write = async {
        for round in 1..=ROUNDS {
            for n in 0..PAGES {
                let (key, month) = (format!("{round}-{n}"), n % 12 + 1);
                let published_at = format!("2025-{month:02}-01T10:00:00Z");
                site.put(&key, &format!("/a{key}"), &format!("/b{key}"), &published_at).await;
                if n % 3 == 2 {
                    site.client.delete(&page_path(&format!("{round}-{}", n - 1))).send().await.expect(202);
                }
            }
            let left = round * PAGES / 3 * 2;
            let all = || async { (site.addresses(FR, "/fr").await.len() == left).then_some(()) };
            eventually("all that is left is public", SOON, all).await;
        }
    };
    let read = async {
        loop {
            site.addresses(DE, "").await;
        }
    };
    tokio::select! {
        () = write => {}
        () = read => {}
    }
}

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
    let (text, headers) = eventually("the feed is public", SOON, feed).await;
    assert_eq!(headers["content-type"], "application/feed+json; charset=utf-8");
    let feed: Value = serde_json::from_str(&text).unwrap();
    let items = feed["items"].as_array().unwrap();
    assert_eq!((items.len(), items[0]["url"].as_str()), (50, Some("https://de.news.example/d59")));
    assert_eq!((items[49]["title"].as_str(), &feed["title"]), (Some("N° 10 & <more>"), &json!("Die Zeitung")));
    let sport = || async { site.read(DE, "/feed-sport.json").await };
    let (sport, _) = eventually("the section's feed is public", SOON, sport).await;
    let sport: Value = serde_json::from_str(&sport).unwrap();
    assert_eq!((sport["items"].as_array().unwrap().len(), &sport["title"]), (30, &json!("Die Zeitung – Sport")));
    for (path, media_type) in [("/feed.xml", "application/rss+xml"), ("/atom-sport.xml", "application/atom+xml")] {
        let (text, headers) = site.read(DE, path).await.unwrap();
        assert!(
            headers["content-type"].starts_with(media_type) && text.contains("https://de.news.example/d58"),
            "{text}"
        );
    }
    assert!(site.read(FR, "/fr/feed-sport.json").await.is_none());
    // A new address is the same item.
    let guid = items[0]["id"].clone();
    let renamed = json!({ "translations": { "de": one(59, "/umbenannt", None), "fr": one(59, "/f59", None) } });
    site.client.call(reqwest::Method::PUT, &page_path("p59")).json(&renamed).send().await.expect(202);
    let again = || async {
        let feed: Value = serde_json::from_str(&site.read(DE, "/feed.json").await?.0).unwrap();
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
    let news = || async { Some(locs(&site.read(DE, "/sitemap-news.xml").await?.0)) };
    let both = ["https://de.news.example/new", "https://de.news.example/ending"];
    assert_eq!(eventually("the news are public", SOON, news).await, both);
    let (index, _) = eventually("the index is public", SOON, || site.read(DE, "/sitemap.xml")).await;
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
    let (feed, _) = eventually("the feed is public", SOON, feed).await;
    assert_eq!(site.addresses(FR, "/fr").await, ["https://news.example/fr/maintenant"]);
    assert!(!feed.contains("/fr/apres"), "{feed}");
    let later = || async {
        let addresses = site.addresses(DE, "").await;
        addresses.contains(&"https://de.news.example/later".to_owned()).then_some(())
    };
    eventually("what was to be published later is", LONG, later).await;
    let told = || async { site.read(FR, "/fr/feed.xml").await?.0.contains("/fr/apres").then_some(()) };
    eventually("the feed names it, too", SOON, told).await;
}

async fn many_pages_are_imported_a_line_each(stack: Stack) {
    let app = App::start(stack).await;
    let site = Site::make(&app).await;
    let one = |url: &str| json!({ "url": url, "title": "T", "published_at": "2026-11-01T10:00:00Z" });
    let mut lines: Vec<String> = (0..1_200)
        .map(|n| json!({ "key": format!("p{n}"), "translations": { "de": one(&format!("/a{n}")) } }).to_string())
        .collect();
    lines.insert(3, "{".to_owned());
    lines.insert(7, json!({ "key": "x", "translations": { "de": one("/%25C3%25A9") } }).to_string());
    lines.insert(9, json!({ "key": "", "translations": {} }).to_string());
    lines.insert(11, String::new());
    let import = || site.client.post("/v1/sites/news/pages/import").body("application/x-ndjson", lines.join("\n"));
    let done = import().send().await.expect(202);
    assert_eq!(
        (&done.body["lines"], &done.body["changed"], &done.body["refused"], &done.body["quarantined"]),
        (&json!(1203), &json!(1200), &json!(2), &json!(1)),
        "{}",
        done.text
    );
    assert_eq!(
        (&done.body["refused_lines"][0]["line"], &done.body["refused_lines"][1]["line"]),
        (&json!(4), &json!(10))
    );
    let all = || async { (site.addresses(DE, "").await.len() == 1_200).then_some(()) };
    eventually("all pages are public", SOON, all).await;
    assert_eq!(import().send().await.expect(202).body["changed"], 0);
    let wrong = site.client.post("/v1/sites/news/pages/import").body("text/plain", "{}").send().await;
    wrong.expect_problem(415, "unsupported_media_type");
}

async fn a_sitemap_that_loses_many_addresses_at_once_waits_for_a_person(stack: Stack) {
    let app = App::start(stack).await;
    let site = &Site::make(&app).await;
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

async fn a_site_is_its_tenants_own(stack: Stack) {
    let app = App::start(stack).await;
    let site = Site::make(&app).await;
    let other = app.client.new_tenant("other").await;
    for path in ["/v1/sites/news", "/v1/sites/news/files", "/v1/sites/news/pages/a"] {
        other.get(path).send().await.expect_problem(404, "not_found");
    }
    let page = json!({ "translations": {} });
    other.call(reqwest::Method::PUT, &page_path("a")).json(&page).send().await.expect_problem(404, "not_found");
    assert_eq!(other.all("/v1/sites").await, Vec::<Value>::new());
    let taken = json!({ "slug": "news", "locales": [{ "tag": "de", "base_url": format!("https://{DE}/"), "publication_name": "N" }] });
    other.post("/v1/sites").json(&taken).send().await.expect_problem(409, "exists");
    // Who asks for a file does not say by which scheme.
    let by_http = json!({ "slug": "news", "locales": [{ "tag": "de", "base_url": format!("http://{DE}"), "publication_name": "N" }] });
    other.post("/v1/sites").json(&by_http).send().await.expect_problem(409, "exists");
    site.client.delete("/v1/sites/news").send().await.expect(204);
    other.post("/v1/sites").json(&taken).send().await.expect(201);
}
