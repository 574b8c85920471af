//! Files of a site at the dashboard and the API: which there are, how each stands, and what its last publication changed.

use serde_json::{Value, json};

use crate::{
    dashboard::{PASSWORD, with_user},
    dashboard_sites::{all_public, make, put},
    harness::{App, Browser, SOON, Stack, eventually},
};

on_both_stacks!(
    files_are_listed_by_language_and_state_and_lead_to_their_changes,
    what_a_publication_changed_in_a_file_is_told_by_addresses,
    a_file_of_many_entries_tells_all_and_shows_some,
    a_long_list_of_files_is_read_page_by_page,
);

const FILES: &str = "/t/default/sites/news/files";
const SITEMAP: &str = "sitemap-2026-11-1.xml.gz";

async fn changes(app: &App, name: &str) -> Option<Value> {
    let answer = app.client.get(&format!("/v1/sites/news/files/de/{name}/changes")).send().await;
    (answer.status == 200).then_some(answer.body)
}

async fn files_are_listed_by_language_and_state_and_lead_to_their_changes(stack: Stack) {
    let app = with_user(stack, "viewer").await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    make(&app).await;
    ada.open(FILES).await.expect(200, "Nothing is public yet.");
    for n in 0..4 {
        put(&app, &format!("p{n}"), &format!("/d{n}")).await;
    }
    all_public(&app, &mut ada).await.expect(200, FILES);
    let page = ada.open(FILES).await.expect(200, "sitemap of 2026-11-1").expect(200, "as it is to be");
    let place = |locale: &str, name: &str| page.text.find(&format!("{FILES}/{locale}/{name}\"")).unwrap_or_default();
    assert!(place("de", SITEMAP) > 0 && place("de", SITEMAP) < place("de", "feed.xml"), "{}", page.text);
    assert!(place("de", "feed.xml") < place("fr", SITEMAP), "{}", page.text);
    let page = ada.open(&format!("{FILES}?locale=fr")).await.expect(200, "/files/fr/feed.xml");
    assert!(!page.text.contains("/files/de/"), "{}", page.text);
    ada.open(&format!("{FILES}?state=held")).await.expect(200, "No file is like that.");
    ada.open(&format!("{FILES}/de/{SITEMAP}"))
        .await
        .expect(200, "https://de.news.example/sitemap-2026-11-1.xml.gz")
        .expect(200, "It has replaced no version that is kept")
        .expect(200, "/publications/pub_");
    for n in 0..2 {
        app.client.delete(&format!("/v1/sites/news/pages/p{n}")).send().await.expect(202);
    }
    let held = || async {
        let page = ada_opens(&app, &format!("{FILES}?state=held")).await;
        page.contains(SITEMAP).then_some(page)
    };
    let page = eventually("the sitemaps are held", SOON, held).await;
    assert!(!page.contains("feed.xml"), "{page}");
    ada.open(&format!("{FILES}/de/{SITEMAP}")).await.expect(200, "until somebody confirms");
    let asked = app.client.all("/v1/sites/news/files?state=held").await;
    let told = |file: &Value| (file["url"].as_str().unwrap().ends_with(SITEMAP), file["held_since"].is_string());
    assert_eq!(asked.iter().map(told).collect::<Vec<_>>(), [(true, true); 2], "{asked:?}");
    for state in ["stale", "gone"] {
        let path = format!("/v1/sites/news/files?state={state}");
        eventually("no other state is left", SOON, || async { app.client.all(&path).await.is_empty().then_some(()) })
            .await;
    }
    let all = app.client.all("/v1/sites/news/files").await;
    let as_they_are =
        |file: &&Value| file["stale_since"].is_null() && file["held_since"].is_null() && file["gone"] == false;
    assert_eq!((all.len(), all.iter().filter(as_they_are).count()), (10, 8), "{all:?}");
    for nowhere in ["de/feed.txt", "it/feed.xml", "de/..%2F..%2Fpostrider.db", "x/y"] {
        ada.open(&format!("{FILES}/{nowhere}")).await.expect(404, "file");
    }
    ada.open(&format!("{FILES}?locale=it")).await.expect(422, "no language");
    ada.open(&format!("{FILES}?state=lost")).await.expect(422, "stale, held or gone");
    ada.open(&format!("{FILES}?before=x")).await.expect(422, "cut off");
    app.client.new_tenant("acme").await;
    ada.open(&FILES.replace("default", "acme")).await.expect(404, "site");
}

async fn ada_opens(app: &App, path: &str) -> String {
    Browser::signed_in(app, "ada", PASSWORD).await.open(path).await.text
}

async fn what_a_publication_changed_in_a_file_is_told_by_addresses(stack: Stack) {
    let app = with_user(stack, "viewer").await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    make(&app).await;
    for key in ["a", "b", "c"] {
        put(&app, key, &format!("/{key}")).await;
    }
    all_public(&app, &mut ada).await;
    let answer = app.client.get(&format!("/v1/sites/news/files/de/{SITEMAP}/changes")).send().await;
    answer.expect_problem(404, "not_found");
    let one = |url: &str| json!({ "url": url, "title": "T <b>&amp;", "published_at": "2026-11-01T10:00:00Z" });
    let page = json!({ "translations": { "de": one("/a"), "fr": one("/%22%3E%3Cscript%3E") } });
    app.client.call(reqwest::Method::PUT, "/v1/sites/news/pages/a").json(&page).send().await.expect(202);
    put(&app, "b", "/moved").await;
    put(&app, "d", "/d").await;
    let changed = || async { changes(&app, SITEMAP).await };
    let found = eventually("the sitemap has two versions", SOON, changed).await;
    assert_eq!([&found["added"], &found["removed"], &found["changed"]], [2, 1, 1], "{found:#}");
    let entries = found["entries"].as_array().unwrap();
    let of = |entry: &Value| format!("{} {}", entry["change"].as_str().unwrap(), entry["url"].as_str().unwrap());
    let mut told: Vec<String> = entries.iter().map(of).collect();
    told[1..3].sort();
    let here = "https://de.news.example";
    assert_eq!(
        told,
        [
            format!("changed {here}/a"),
            format!("added {here}/d"),
            format!("added {here}/moved"),
            format!("removed {here}/b")
        ]
    );
    let lines: Vec<&str> = entries[0]["lines"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(
        lines,
        [
            "-<xhtml:link rel=\"alternate\" hreflang=\"fr\" href=\"https://fr.news.example/a\"/>",
            "+<xhtml:link rel=\"alternate\" hreflang=\"fr\" href=\"https://fr.news.example/%22%3E%3Cscript%3E\"/>"
        ]
    );
    all_public(&app, &mut ada).await;
    let page = ada.open(&format!("{FILES}/de/{SITEMAP}")).await;
    let page = page.expect(200, "2 added, 1 changed, 1 removed").expect(200, "<del>&#60;xhtml:link");
    assert!(page.text.trim_end().ends_with("</html>") && !page.text.contains("<script>"), "{}", page.text);
    // A title with markup in it is shown as it stands in the file, and is nothing to browsers.
    let page = ada.open(&format!("{FILES}/de/feed.xml")).await.expect(200, "1 changed");
    assert!(page.text.contains("T &#38;lt;b&#38;gt;"), "{}", page.text);
    ada.open(&format!("{FILES}/de/feed.json")).await.expect(200, "1 changed");
    ada.open(&format!("{FILES}/de/sitemap.xml")).await.expect(200, "lastmod");
    let other = app.client.new_tenant("acme").await;
    other.get(&format!("/v1/sites/news/files/de/{SITEMAP}/changes")).send().await.expect_problem(404, "not_found");
    let answer = app.client.get("/v1/sites/news/files/de/..%2F..%2Fpostrider.db/changes").send().await;
    answer.expect_problem(404, "not_found");
}

async fn a_file_of_many_entries_tells_all_and_shows_some(stack: Stack) {
    let app = with_user(stack, "viewer").await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    make(&app).await;
    let pages = |from: u32, to: u32| {
        let one = |n: u32, host: &str| json!({ "url": format!("/{host}{n}"), "title": "T", "published_at": "2026-11-01T10:00:00Z" });
        let page = |n: u32| json!({ "key": format!("p{n}"), "translations": { "de": one(n, "d"), "fr": one(n, "f") } });
        json!({ "pages": (from..to).map(page).collect::<Vec<_>>() })
    };
    for (from, to) in [(0, 300), (300, 800)] {
        app.client.post("/v1/sites/news/pages/batch").json(&pages(from, to)).send().await.expect(202);
        all_public(&app, &mut ada).await;
    }
    let found = changes(&app, SITEMAP).await.unwrap();
    assert_eq!((&found["added"], found["entries"].as_array().unwrap().len()), (&json!(500), 200));
    let page = ada.open(&format!("{FILES}/de/{SITEMAP}")).await;
    page.expect(200, "500 added, 0 changed, 0 removed").expect(200, "The first 200 are shown");
}

async fn a_long_list_of_files_is_read_page_by_page(stack: Stack) {
    let app = with_user(stack, "viewer").await;
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    make(&app).await;
    let one = |n: u32, host: &str| {
        let at = format!("{}-{:02}-01T10:00:00Z", 2020 + n / 12, n % 12 + 1);
        json!({ "url": format!("/{host}{n}"), "title": "T", "published_at": at })
    };
    let page = |n: u32| json!({ "key": format!("p{n}"), "translations": { "de": one(n, "d"), "fr": one(n, "f") } });
    let pages = json!({ "pages": (0..60).map(page).collect::<Vec<_>>() });
    app.client.post("/v1/sites/news/pages/batch").json(&pages).send().await.expect(202);
    all_public(&app, &mut ada).await;
    let (mut path, mut seen) = (FILES.to_owned(), Vec::new());
    loop {
        let page = ada.open(&path).await.expect(200, "Files of");
        let begin = format!("href=\"{FILES}/");
        let names = page.text.split(&begin).skip(1);
        seen.extend(names.map(|rest| rest.split('"').next().unwrap_or_default().to_owned()));
        let Some(older) = page.text.split("rel=\"next\" href=\"").nth(1) else { break };
        path = format!("{FILES}{}", older.split('"').next().unwrap_or_default().replace("&#38;", "&"));
    }
    let listed = page_by_page(&app, "limit=7").await;
    let mut distinct = seen.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!((seen.len(), distinct.len()), (listed.len(), listed.len()), "{seen:?}");
    assert!(listed.len() > 120, "{listed:?}");
    assert_eq!(listed, seen, "both list the same, in the same order");
    let of_fr: Vec<String> = seen.into_iter().filter(|place| place.starts_with("fr/")).collect();
    assert_eq!(page_by_page(&app, "locale=fr&limit=9").await, of_fr);
    for (query, code) in [("limit=251", "bad_parameter"), ("state=lost", "bad_parameter"), ("cursor=x", "bad_cursor")] {
        let refused = app.client.get(&format!("/v1/sites/news/files?{query}")).send().await;
        refused.expect_problem(400, code);
    }
    app.client.delete("/v1/sites/news/pages/p59").send().await.expect(202);
    let both = || async { Some(page_by_page(&app, "state=gone&limit=1").await).filter(|gone| gone.len() == 2) };
    let gone = eventually("an empty sitemap is about to be removed", SOON, both).await;
    assert_eq!(gone, ["de", "fr"].map(|locale| format!("{locale}/sitemap-2024-12-1.xml.gz")));
    let of_all = page_by_page(&app, "limit=1").await;
    assert_eq!(of_all.len() + 2, listed.len(), "each page is full, with what is public alone");
    let rest = app.client.all("/v1/sites/news/files").await;
    assert!(rest.len() + 2 == listed.len() && rest.iter().all(|file| file["gone"] == false), "{rest:?}");
}

/// `LOCALE/NAME` of the files that the API lists.
async fn page_by_page(app: &App, query: &str) -> Vec<String> {
    let (mut places, mut cursor) = (Vec::new(), String::new());
    let limit: usize = query.rsplit('=').next().unwrap().parse().unwrap();
    loop {
        let page = app.client.get(&format!("/v1/sites/news/files?{query}{cursor}")).send().await.expect(200);
        let files = page.list("/data");
        assert!(files.len() <= limit, "{}", page.text);
        let text = |file: &Value, name: &str| file[name].as_str().unwrap().to_owned();
        let name = |file: &Value| text(file, "url").rsplit('/').next().unwrap().to_owned();
        places.extend(files.iter().map(|file| format!("{}/{}", text(file, "locale"), name(file))));
        let Some(next) = page.body["next_cursor"].as_str() else { return places };
        assert_eq!(files.len(), limit, "a page is full but for the last: {}", page.text);
        cursor = format!("&cursor={next}");
    }
}
