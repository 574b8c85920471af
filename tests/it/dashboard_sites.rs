//! Sites at the dashboard: how soon changes are public, what was published, and what waits for somebody.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    dashboard::{PASSWORD, with_user},
    harness::{App, Browser, LONG, Page, SOON, Stack, eventually},
};

on_both_stacks!(
    a_site_says_what_is_public_and_what_is_not_and_why,
    an_operator_makes_a_site_again_and_confirms_what_is_held,
    of_many_sitemaps_that_are_held_the_first_are_shown_and_all_are_confirmed,
    an_operator_has_all_files_written_again,
    files_whose_folder_was_deleted_are_written_again_by_themselves,
    a_viewer_sees_all_of_a_site_and_changes_nothing,
    all_that_is_quarantined_is_read_page_by_page,
    there_is_no_site_of_another_tenant,
);

const SITE: &str = "/t/default/sites/news";

async fn call(app: &App, path: &str, body: &Value) {
    let answer = app.client.call(Method::PUT, path).json(body).send().await;
    assert!((200..300).contains(&answer.status), "{}", answer.text);
}

pub(crate) async fn make(app: &App) {
    let locale = |tag: &str| json!({ "tag": tag, "base_url": format!("https://{tag}.news.example"), "publication_name": "News" });
    let site = json!({ "locales": [locale("de"), locale("fr")], "read_back": false });
    call(app, "/v1/sites/news", &site).await;
}

pub(crate) async fn put(app: &App, key: &str, de: &str) {
    let one = |url: &str| json!({ "url": url, "title": "T", "published_at": "2026-11-01T10:00:00Z" });
    let page = json!({ "translations": { "de": one(de), "fr": one(&format!("/{key}")) } });
    call(app, &format!("/v1/sites/news/pages/{key}"), &page).await;
}

/// The site's page once all of it is public.
pub(crate) async fn all_public(app: &App, browser: &mut Browser) -> Page {
    let done = || async {
        let site = app.client.get("/v1/sites/news").send().await.expect(200).body;
        let clocks = site["clocks"].as_array().unwrap().clone();
        let read = |clock: &Value| clock["waiting_since"].is_null() && !clock["last_read_at"].is_null();
        clocks.iter().all(read).then_some(())
    };
    eventually("all of the site is public", SOON, done).await;
    browser.open(SITE).await
}

async fn a_site_says_what_is_public_and_what_is_not_and_why(stack: Stack) {
    let app = with_user(stack, "viewer").await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    ada.open("/t/default/sites").await.expect(200, "There is none yet.");
    make(&app).await;
    ada.open(SITE).await.expect(200, "No page was handed in yet").expect(200, "None was handed in yet.");
    put(&app, "a", "/a").await;
    put(&app, "%3Cscript%3E", "/caf%25C3%25A9").await;
    let page = all_public(&app, &mut ada).await.expect(200, "all public").expect(200, "it is encoded twice");
    assert!(page.text.contains("&#60;script&#62;") && !page.text.contains("<script>"), "{}", page.text);
    ada.open("/t/default/sites").await.expect(200, "all public").expect(200, "/t/default/sites/news");
    assert!(!page.text.contains("No page was handed in") && !page.text.contains("Read back after"), "{}", page.text);
    let publication = page.text.split("/publications/").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let page = ada.open(&format!("{SITE}/publications/{publication}")).await.expect(200, "sitemap-2026-11-1.xml.gz");
    assert!(page.text.contains("feed.xml"), "{}", page.text);
    ada.open(&format!("{SITE}/publications/pub_00000000000000000000000000")).await.expect(404, "publication");
}

async fn an_operator_makes_a_site_again_and_confirms_what_is_held(stack: Stack) {
    let app = with_user(stack, "operator").await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    make(&app).await;
    for n in 0..4 {
        put(&app, &format!("p{n}"), &format!("/d{n}")).await;
    }
    let page = all_public(&app, &mut ada).await;
    let token = page.field("token");
    ada.send(&format!("{SITE}/regenerate"), &[("token", &token)]).await.expect(200, "Regenerate now");
    for n in 0..2 {
        app.client.delete(&format!("/v1/sites/news/pages/p{n}")).send().await.expect(202);
    }
    let held = || async {
        let site = app.client.get("/v1/sites/news").send().await.expect(200).body;
        (site["held"].as_array().unwrap().len() == 2).then_some(())
    };
    eventually("both sitemaps are held", SOON, held).await;
    let page = ada.open(SITE).await.expect(200, "held until somebody confirms");
    let page = page.expect(200, "<a href=\"/t/default/sites/news/files/de/sitemap-2026-11-1.xml.gz\">");
    let stale = page.expect(200, "Confirm: publish what is held").field("seen");
    app.client.delete("/v1/sites/news/pages/p2").send().await.expect(202);
    let fewer = || async {
        let held = app.client.get("/v1/sites/news").send().await.expect(200).list("/held");
        held.iter().all(|one| one["urls_after"] == 1).then_some(())
    };
    eventually("both would have one address", SOON, fewer).await;
    let refused = ada.send(&format!("{SITE}/confirm"), &[("token", &token), ("seen", &stale)]).await;
    refused.expect(409, "The page showed 2 held sitemaps, with 4 addresses in all;").expect(
        409,
        "there is something else, 2 sitemaps with 2 addresses in all: sitemap-2026-11-1.xml.gz of de, with 1;",
    );
    let seen = ada.open(SITE).await.field("seen");
    ada.send(&format!("{SITE}/confirm"), &[("token", &token), ("seen", &seen)]).await.expect(200, "Site news");
    let page = || async {
        let site = app.client.get("/v1/sites/news").send().await.expect(200).body;
        site["held"].as_array().unwrap().is_empty().then_some(())
    };
    eventually("nothing is held", SOON, page).await;
    ada.open("/t/default/audit").await.expect(200, "site.regenerate").expect(200, "site.confirm");
}

async fn of_many_sitemaps_that_are_held_the_first_are_shown_and_all_are_confirmed(stack: Stack) {
    let app = with_user(stack, "operator").await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    make(&app).await;
    let months: Vec<String> = (0..30).map(|n| format!("{}-{:02}", 2020 + n / 12, n % 12 + 1)).collect();
    let batch =
        |pages: Vec<Value>| app.client.post("/v1/sites/news/pages/batch").json(&json!({ "pages": pages })).send();
    let page = |month: &String, key: &str| {
        let one = json!({ "url": format!("/{month}{key}"), "title": "T", "published_at": format!("{month}-02") });
        json!({ "key": format!("{month}{key}"), "translations": { "de": one, "fr": one } })
    };
    batch(months.iter().flat_map(|month| ["a", "b", "c"].map(|key| page(month, key))).collect()).await.expect(202);
    let token = all_public(&app, &mut ada).await.field("token");
    let removed = |key: String| json!({ "key": key, "removed": true });
    let most = months.iter().flat_map(|month| ["b", "c"].map(|key| removed(format!("{month}{key}"))));
    batch(most.collect()).await.expect(202);
    let held = async || app.client.get("/v1/sites/news").send().await.expect(200).list("/held").len();
    eventually("all sitemaps are held", SOON, || async { (held().await == 60).then_some(()) }).await;
    let page = ada.open(SITE).await.expect(200, "And 10 more; a confirmation is of all of them.");
    assert_eq!(page.text.matches("data-label=\"Would be\"").count(), 50);
    let seen = page.expect(200, "/sites/news/files?state=held").field("seen");
    app.client.post("/v1/lanes/site:news/pause").send().await.expect(200);
    let page = ada.send(&format!("{SITE}/confirm"), &[("token", &token), ("seen", &seen)]).await;
    let page = page.expect(200, "Confirmed: about to be published");
    assert!(!page.text.contains("/confirm\""), "{}", page.text);
    let site = app.client.get("/v1/sites/news").send().await.expect(200);
    assert!(site.list("/held").iter().all(|held| held["confirmed"] == true), "{}", site.text);
    app.client.post("/v1/lanes/site:news/resume").send().await.expect(200);
    eventually("nothing is held", SOON, || async { (held().await == 0).then_some(()) }).await;
}

async fn an_operator_has_all_files_written_again(stack: Stack) {
    let app = with_user(stack, "operator").await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    make(&app).await;
    put(&app, "a", "/a").await;
    let page = all_public(&app, &mut ada).await.expect(200, "Rewrite all files");
    let token = page.field("token");
    let feed = || {
        let site =
            std::fs::read_dir(app.folder().join("sites")).unwrap().filter_map(Result::ok).map(|site| site.path());
        site.map(|site| site.join("de/feed.xml.gz")).find(|feed| feed.exists())
    };
    std::fs::remove_file(feed().expect("a feed")).unwrap();
    let path = "/v1/jobs?kind=site.regenerate&state=succeeded";
    let before = app.client.all(path).await.len();
    ada.send(&format!("{SITE}/regenerate"), &[("token", &token)]).await.expect(200, "Regenerate now");
    let done = || async { (app.client.all(path).await.len() > before).then_some(()) };
    eventually("all was made again", SOON, done).await;
    assert_eq!(feed(), None, "what came out as it was is not written again");
    ada.send(&format!("{SITE}/rewrite"), &[("token", &token)]).await.expect(200, "Rewrite all files");
    eventually("the feed is there again", SOON, || async { feed() }).await;
    ada.open("/t/default/audit").await.expect(200, "site.regenerate").expect(200, "rewrite");
}

async fn files_whose_folder_was_deleted_are_written_again_by_themselves(stack: Stack) {
    let app = with_user(stack, "operator").await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    make(&app).await;
    put(&app, "a", "/a").await;
    all_public(&app, &mut ada).await;
    let files = |folder: &Path| {
        let mut names: Vec<String> = Vec::new();
        for locale in ["de", "fr"] {
            let there = std::fs::read_dir(folder.join(locale)).into_iter().flatten().filter_map(Result::ok);
            names.extend(there.map(|file| format!("{locale}/{}", file.file_name().display())));
        }
        names.sort();
        names
    };
    let sites = std::fs::read_dir(app.folder().join("sites")).unwrap().filter_map(Result::ok).map(|site| site.path());
    let folder = sites.into_iter().find(|site| site.join("de").exists()).expect("the site's folder");
    let before = files(&folder);
    assert!(before.iter().any(|name| name == "fr/feed.xml"), "{before:?}");
    std::fs::remove_dir_all(&folder).unwrap();
    eventually("all files are there again", LONG, || async { (files(&folder) == before).then_some(()) }).await;
    assert_eq!(app.log().matches("the folder of public files is gone").count(), 2, "once for each language");
    all_public(&app, &mut ada).await.expect(200, "all public");
}

async fn a_viewer_sees_all_of_a_site_and_changes_nothing(stack: Stack) {
    let app = with_user(stack, "viewer").await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    make(&app).await;
    let page = ada.open(SITE).await.expect(200, "From accepted to public");
    assert!(!page.text.contains("<button>Regenerate") && !page.text.contains("/rewrite\""), "{}", page.text);
    for act in ["regenerate", "rewrite", "confirm"] {
        ada.send(&format!("{SITE}/{act}"), &[]).await.expect(403, "the role operator may");
    }
}

async fn all_that_is_quarantined_is_read_page_by_page(stack: Stack) {
    let app = with_user(stack, "viewer").await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    make(&app).await;
    let empty = ada.open(&format!("{SITE}/quarantine")).await.expect(200, "There is none here.");
    assert!(!empty.text.contains("<table"), "{}", empty.text);
    let bad = json!({ "de": { "url": "/a#b", "title": "T", "published_at": "2026-11-01T10:00:00Z" } });
    let pages: Vec<Value> = (0..150).map(|n| json!({ "key": format!("a key {n:03}"), "translations": bad })).collect();
    app.client.post("/v1/sites/news/pages/batch").json(&json!({ "pages": pages })).send().await.expect(202);
    ada.open(SITE).await.expect(200, "All that is quarantined");
    let first = ada.open(&format!("{SITE}/quarantine")).await.expect(200, "a key 099").expect(200, "a fragment");
    assert!(!first.text.contains("a key 100"), "{}", first.text);
    let next = first.text.split("href=\"?before=").nth(1).and_then(|rest| rest.split('"').next()).expect("a next page");
    let second = ada.open(&format!("{SITE}/quarantine?before={next}")).await;
    let second = second.expect(200, "a key 100").expect(200, "a key 149");
    assert!(!second.text.contains("a key 099"), "{}", second.text);
}

async fn there_is_no_site_of_another_tenant(stack: Stack) {
    let app = with_user(stack, "operator").await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    make(&app).await;
    put(&app, "a", "/a").await;
    let page = all_public(&app, &mut ada).await.expect(200, "Site news");
    let token = page.field("token");
    let publication = page.text.split("/publications/").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let acme = app.client.new_tenant("acme").await;
    ada.open("/t/acme/sites/news").await.expect(404, "site");
    ada.send("/t/acme/sites/news/regenerate", &[("token", &token)]).await.expect(404, "site");
    let locale = json!({ "tag": "de", "base_url": "https://acme.example", "publication_name": "Acme" });
    acme.post("/v1/sites").json(&json!({ "slug": "news", "locales": [locale] })).send().await.expect(201);
    ada.open("/t/acme/sites/news").await.expect(200, "Site news");
    ada.open(&format!("/t/acme/sites/news/publications/{publication}")).await.expect(404, "publication");
    ada.open(&format!("{SITE}/publications/{publication}")).await.expect(200, "feed.xml");
}
