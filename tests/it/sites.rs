//! Sites: what was accepted is public in all its languages soon, and what is public is never broken.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{App, Client, Published, SOON, Stack, eventually, unpacked};

on_both_stacks!(
    a_page_is_public_in_all_its_languages_soon_after_it_was_accepted,
    a_renamed_translation_changes_the_sitemaps_of_its_siblings_and_no_others,
    what_comes_out_as_it_was_is_not_published_again,
    what_cannot_be_published_is_quarantined_and_the_rest_is_public,
    a_public_file_is_served_as_caches_ask_for_it,
    what_was_accepted_before_a_crash_is_public_after_it,
    a_page_that_is_removed_is_named_nowhere,
    a_file_that_no_index_names_any_more_stays_for_whoever_has_read_it,
    a_reader_never_meets_what_is_missing_or_broken,
    a_site_is_its_tenants_own,
);

pub(crate) const DE: &str = "de.news.example";
pub(crate) const FR: &str = "news.example";

/// A site of two languages, one of them below a path, and whoever reads it.
pub(crate) struct Site<'a> {
    pub(crate) client: &'a Client,
    app: &'a App,
}

impl<'a> Site<'a> {
    pub(crate) async fn make(app: &'a App) -> Self {
        let site = json!({ "slug": "news", "locales": [
            { "tag": "de", "base_url": format!("https://{DE}"), "publication_name": "Die Zeitung", "x_default": true },
            { "tag": "fr", "base_url": format!("https://{FR}/fr"), "publication_name": "Le Journal" },
        ], "sections": [{ "key": "sport", "names": { "de": "Sport" } }], "read_back": false });
        app.client.post("/v1/sites").json(&site).send().await.expect(201);
        Self { client: &app.client, app }
    }

    pub(crate) async fn put(&self, key: &str, de: &str, fr: &str, published_at: &str) {
        let one = |url: &str| json!({ "url": url, "title": "T", "published_at": published_at });
        let page = json!({ "translations": { "de": one(de), "fr": one(fr) } });
        self.client.call(Method::PUT, &page_path(key)).json(&page).send().await.expect(202);
    }

    pub(crate) async fn read(&self, host: &str, path: &str) -> Option<Published> {
        self.app.published(host, path).await
    }

    /// The addresses that a locale's sitemaps have, through its index, as a search engine finds them.
    pub(crate) async fn addresses(&self, host: &str, base: &str) -> Vec<String> {
        let Some(index) = self.read(host, &format!("{base}/sitemap.xml")).await else { return Vec::new() };
        let mut found = Vec::new();
        for sitemap in locs(&index.text) {
            let path = sitemap.strip_prefix(&format!("https://{host}")).unwrap();
            let found_there = self.read(host, path).await;
            let there = found_there.unwrap_or_else(|| panic!("{sitemap} is in the index and not there"));
            found.extend(locs(&there.text));
        }
        found
    }

    pub(crate) async fn await_address(&self, host: &str, base: &str, address: &str) {
        let there = || async { self.addresses(host, base).await.iter().any(|one| one == address).then_some(()) };
        eventually("the address is public", SOON, there).await;
    }
}

pub(crate) fn page_path(key: &str) -> String {
    format!("/v1/sites/news/pages/{key}")
}

pub(crate) fn locs(xml: &str) -> Vec<String> {
    assert!(xml.trim_end().ends_with("</urlset>") || xml.trim_end().ends_with("</sitemapindex>"), "{xml}");
    xml.split("<loc>").skip(1).filter_map(|rest| rest.split("</loc>").next()).map(str::to_owned).collect()
}

async fn a_page_is_public_in_all_its_languages_soon_after_it_was_accepted(stack: Stack) {
    let app = App::start(stack).await;
    let site = Site::make(&app).await;
    site.put("a", "/żółw", "/tortue", "2026-11-01T10:00:00Z").await;
    site.await_address(DE, "", "https://de.news.example/%C5%BC%C3%B3%C5%82w").await;
    site.await_address(FR, "/fr", "https://news.example/fr/tortue").await;
    let sitemap = site.read(FR, "/fr/sitemap-2026-11-1.xml.gz").await.unwrap().text;
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
    let tag = |file: &Published| file.header("etag").to_owned();
    let before = site.read(FR, "/fr/sitemap-2026-09-1.xml.gz").await.unwrap();
    let stale = site.read(FR, "/fr/sitemap-2026-11-1.xml.gz").await.unwrap();
    site.put("new", "/renamed", "/neuf", "2026-11-01T10:00:00Z").await;
    site.await_address(DE, "", "https://de.news.example/renamed").await;
    let named = || async {
        let file = site.read(FR, "/fr/sitemap-2026-11-1.xml.gz").await?;
        (file.text.contains("https://de.news.example/renamed") && tag(&file) != tag(&stale)).then_some(file.text)
    };
    let text = eventually("the sibling names the new address", SOON, named).await;
    assert!(!text.contains("https://de.news.example/new"), "{text}");
    let after = site.read(FR, "/fr/sitemap-2026-09-1.xml.gz").await.unwrap();
    assert_eq!((tag(&after), after.header("last-modified")), (tag(&before), before.header("last-modified")));
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
    let file = site.read(DE, "/sitemap.xml").await.unwrap();
    assert_eq!(file.header("content-type"), "application/xml; charset=utf-8");
    let ask = || app.ask_public(Method::GET, DE, "/sitemap.xml");
    let coded = ask().header("accept-encoding", "br, gzip").send().await.unwrap();
    assert_eq!(coded.headers()["content-encoding"], "gzip");
    assert_ne!(coded.headers()["etag"], file.header("etag"));
    assert_eq!(unpacked(".gz", &coded.bytes().await.unwrap()), file.text);
    let status = |request: reqwest::RequestBuilder| async { request.send().await.unwrap().status().as_u16() };
    assert_eq!(status(ask().header("if-none-match", file.header("etag"))).await, 304);
    assert_eq!(
        status(ask().header("if-none-match", "\"other\"").header("if-modified-since", file.header("last-modified")))
            .await,
        200
    );
    assert_eq!(status(ask().header("if-modified-since", file.header("last-modified"))).await, 304);
    assert_eq!(status(ask().header("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")).await, 200);
    let head = app.ask_public(Method::HEAD, DE, "/sitemap.xml").send().await.unwrap();
    assert_eq!(head.headers()["content-length"], file.text.len().to_string().as_str());
    assert_eq!(head.headers()["etag"], file.header("etag"));
    for host in ["DE.news.example", "de.news.example.", "de.news.example:443", "de.news.example.:80"] {
        assert_eq!(status(app.ask_public(Method::GET, host, "/sitemap.xml")).await, 200, "{host}");
    }
    for (taken, is_coded) in [("identity, gzip;q=0, *;q=1", false), ("*", true), ("gzip, *;q=0", true), ("br", false)] {
        let answer = ask().header("accept-encoding", taken).send().await.unwrap();
        assert_eq!(answer.headers().contains_key("content-encoding"), is_coded, "{taken}");
    }
    assert_eq!(status(app.ask_public(Method::GET, "de.news.example:8080", "/sitemap.xml")).await, 404);
    assert_eq!(status(app.ask_public(Method::GET, "other.example", "/sitemap.xml")).await, 404);
    assert_eq!(status(app.ask_public(Method::GET, DE, "/sitemap-1999-01-1.xml.gz")).await, 404);
}

async fn what_was_accepted_before_a_crash_is_public_after_it(stack: Stack) {
    let mut app = App::start(stack).await;
    Site::make(&app).await.put("a", "/a", "/b", "2026-11-01T10:00:00Z").await;
    app.kill();
    app.restart().await;
    let site = Site { client: &app.client, app: &app };
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
    eventually("neither siblings nor feeds name it", SOON, || is_named_by_none(&site)).await;
    site.client.delete(&page_path("b")).send().await.expect_problem(404, "not_found");
    site.client.get(&page_path("b")).send().await.expect_problem(404, "not_found");
}

/// Whether what is removed of both pages is in no file that whoever comes anew is led to.
async fn is_named_by_none(site: &Site<'_>) -> Option<()> {
    let mut texts = vec![site.read(DE, "/sitemap-2026-11-1.xml.gz").await?.text];
    for (host, base) in [(DE, ""), (FR, "/fr")] {
        for name in ["feed.xml", "atom.xml", "feed.json"] {
            texts.push(site.read(host, &format!("{base}/{name}")).await?.text);
        }
    }
    let removed = ["https://news.example/fr/b", "https://news.example/fr/d", "https://de.news.example/c"];
    let names_none = |text: &String| removed.iter().all(|address| !text.contains(address));
    texts.iter().all(names_none).then_some(())
}

async fn a_file_that_no_index_names_any_more_stays_for_whoever_has_read_it(stack: Stack) {
    let app = App::start(stack).await;
    let site = Site::make(&app).await;
    site.put("a", "/a", "/b", "2026-11-01T10:00:00Z").await;
    site.put("b", "/c", "/d", "2026-10-01T10:00:00Z").await;
    site.await_address(DE, "", "https://de.news.example/c").await;
    site.client.delete(&page_path("b")).send().await.expect(202);
    let left = || async { (site.addresses(DE, "").await == ["https://de.news.example/a"]).then_some(()) };
    eventually("the index does not name it", SOON, left).await;
    // What time makes public is looked for in the rounds in which files are removed, and before that.
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(1);
    site.put("later", "/later", "/apres", &soon.to_string()).await;
    site.await_address(DE, "", "https://de.news.example/later").await;
    assert!(site.read(DE, "/sitemap-2026-10-1.xml.gz").await.is_some());
}

async fn a_reader_never_meets_what_is_missing_or_broken(stack: Stack) {
    const ROUNDS: usize = 4;
    const PAGES: usize = 99;
    let app = App::start(stack).await;
    let site = Site::make(&app).await;
    let write = async {
        for round in 1..=ROUNDS {
            // A sitemap that comes, and one that goes.
            let alone = |round: usize| format!("alone-{round}");
            let published_at = format!("{}-01-01T10:00:00Z", 2000 + round);
            site.put(&alone(round), &format!("/a{round}"), &format!("/b{round}"), &published_at).await;
            if round > 1 {
                site.client.delete(&page_path(&alone(round - 1))).send().await.expect(202);
            }
            for n in 0..PAGES {
                let (key, month) = (format!("{round}-{n}"), n % 12 + 1);
                let published_at = format!("2025-{month:02}-01T10:00:00Z");
                site.put(&key, &format!("/a{key}"), &format!("/b{key}"), &published_at).await;
                if n % 3 == 2 {
                    site.client.delete(&page_path(&format!("{round}-{}", n - 1))).send().await.expect(202);
                }
            }
            let left = round * PAGES / 3 * 2 + 1;
            let all = || async { (site.addresses(FR, "/fr").await.len() == left).then_some(()) };
            eventually("all that is left is public", SOON, all).await;
        }
    };
    let read = async {
        let mut was_there = false;
        loop {
            let is_there = site.read(DE, "/sitemap.xml").await.is_some();
            assert!(is_there || !was_there, "the index was there, and is not");
            was_there = is_there;
            site.addresses(DE, "").await;
        }
    };
    tokio::select! {
        () = write => {}
        () = read => {}
    }
}

async fn a_site_is_its_tenants_own(stack: Stack) {
    let app = App::start(stack).await;
    let site = Site::make(&app).await;
    let other = app.client.new_tenant("other").await;
    for path in ["/v1/sites/news", "/v1/sites/news/files", "/v1/sites/news/pages/a"] {
        other.get(path).send().await.expect_problem(404, "not_found");
    }
    site.put("a", "/a", "/b", "2026-11-01T10:00:00Z").await;
    let published = || async {
        let listed = site.client.get("/v1/sites/news/publications").send().await.expect(200).list("/data");
        listed.first().map(|one| one["id"].as_str().unwrap().to_owned())
    };
    let publication = eventually("something is published", SOON, published).await;
    let page = json!({ "translations": {} });
    other.call(Method::PUT, &page_path("a")).json(&page).send().await.expect_problem(404, "not_found");
    assert_eq!(other.all("/v1/sites").await, Vec::<Value>::new());
    let taken = json!({ "slug": "news", "locales": [{ "tag": "de", "base_url": format!("https://{DE}/"), "publication_name": "N" }] });
    other.post("/v1/sites").json(&taken).send().await.expect_problem(409, "exists");
    // Who asks for a file does not say by which scheme.
    let by_http = json!({ "slug": "news", "locales": [{ "tag": "de", "base_url": format!("http://{DE}"), "publication_name": "N" }] });
    other.post("/v1/sites").json(&by_http).send().await.expect_problem(409, "exists");
    let own = json!({ "slug": "news", "locales": [{ "tag": "de", "base_url": "https://other.example", "publication_name": "N" }] });
    other.post("/v1/sites").json(&own).send().await.expect(201);
    let path = format!("/v1/sites/news/publications/{publication}");
    other.get(&path).send().await.expect_problem(404, "not_found");
    site.client.get(&path).send().await.expect(200);
    other.delete("/v1/sites/news").send().await.expect(204);
    site.client.delete("/v1/sites/news").send().await.expect(204);
    other.post("/v1/sites").json(&taken).send().await.expect(201);
}
