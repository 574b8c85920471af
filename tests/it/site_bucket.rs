//! Public files in a bucket: they lie there as others serve them, whoever publishes them, and a bucket that fails for a while
//! costs nothing but time.

use std::time::Duration;

use serde_json::json;

use crate::harness::{
    App, BUCKET_SECRET, Bucket, Client, LONG, Mood, SOON, Stack, bad, eventually, postrider, unpacked,
};

on_both_stacks!(
    what_is_published_lies_in_the_bucket_as_others_serve_it,
    a_bucket_that_fails_for_a_while_keeps_the_old_and_gets_the_new,
    a_bucket_that_hangs_keeps_no_reader_waiting_for_long,
    what_no_index_names_is_taken_out_of_the_bucket,
    a_bucket_that_refuses_is_told_at_the_start_and_by_the_doctor,
    a_folder_of_ones_own_takes_public_files,
    another_place_gets_everything_once_it_is_asked_for,
    what_a_file_replaced_is_kept_in_the_bucket_for_comparison,
);

const HOST: &str = "de.news.example";
const PAGE: &str = "/v1/sites/news/pages/a";

pub(crate) async fn start(stack: Stack, bucket: &Bucket) -> App {
    let settings = bucket.settings("public/sites");
    settings.into_iter().fold(App::builder(stack), |app, (name, value)| app.env(name, value)).start().await
}

pub(crate) async fn make(client: &Client) {
    let locale =
        |tag: &str| json!({ "tag": tag, "base_url": format!("https://{tag}.news.example"), "publication_name": "N" });
    let site = json!({ "slug": "news", "locales": [locale("de"), locale("fr")], "read_back": false });
    client.post("/v1/sites").json(&site).send().await.expect(201);
}

pub(crate) async fn put(client: &Client, url: &str) {
    let one = json!({ "url": url, "title": "T", "published_at": "2026-11-01T10:00:00Z" });
    let page = json!({ "translations": { "de": one, "fr": one } });
    client.call(reqwest::Method::PUT, PAGE).json(&page).send().await.expect(202);
}

fn ask(app: &App, method: reqwest::Method, name: &str) -> reqwest::RequestBuilder {
    app.ask_public(method, HOST, &format!("/{name}"))
}

/// What Postrider serves; `None` where it has no such file.
async fn served(app: &App, name: &str) -> Option<String> {
    let answer = ask(app, reqwest::Method::GET, name).send().await.unwrap();
    (answer.status() == 200).then_some(())?;
    Some(unpacked(name, &answer.bytes().await.unwrap()))
}

/// What everybody reads from the bucket itself.
async fn direct(bucket: &Bucket, key: &str) -> reqwest::Response {
    reqwest::Client::new().get(bucket.url(key)).send().await.unwrap()
}

pub(crate) async fn await_served(app: &App, name: &str, what: &str, within: Duration) {
    let there = || async { served(app, name).await.filter(|text| text.contains(what)).map(|_| ()) };
    eventually(&format!("{what} is in {name}"), within, there).await;
}

/// The key of a locale's file, of those that are there.
pub(crate) fn key(bucket: &Bucket, end: &str) -> String {
    let keys = bucket.keys();
    let is_public = |key: &&String| key.ends_with(end) && !key.contains("/.before/");
    keys.iter().find(is_public).unwrap_or_else(|| panic!("{end} in {keys:?}")).clone()
}

async fn what_is_published_lies_in_the_bucket_as_others_serve_it(stack: Stack) {
    let bucket = Bucket::start().await;
    let app = start(stack, &bucket).await;
    make(&app.client).await;
    put(&app.client, "/żółw").await;
    await_served(&app, "sitemap.xml", "sitemap-2026-11-1.xml.gz", SOON).await;
    let rss = ("application/rss+xml; charset=utf-8", None);
    let coded = ("application/rss+xml; charset=utf-8", Some("gzip"));
    for (name, (kind, coding)) in [
        ("sitemap.xml", ("application/xml; charset=utf-8", None)),
        ("sitemap-2026-11-1.xml.gz", ("application/gzip", None)),
        ("feed.xml", rss),
        ("feed.xml.gz", coded),
        ("feed.json", ("application/feed+json; charset=utf-8", None)),
    ] {
        let answer = direct(&bucket, &key(&bucket, &format!("/de/{name}"))).await;
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header("content-type").as_deref(), Some(kind), "{name}");
        assert_eq!(header("content-encoding").as_deref(), coding, "{name}");
        assert_eq!(header("cache-control").as_deref(), Some("public, max-age=30"), "{name}");
        let read = unpacked(name, &answer.bytes().await.unwrap());
        let asked = if coding.is_some() { "feed.xml" } else { name };
        assert_eq!(Some(read), served(&app, asked).await, "{name}");
    }
    let keys = bucket.keys();
    assert!(keys.iter().all(|key| key.starts_with("public/sites/") && !key.contains("check")), "{keys:?}");
    assert!(!app.folder().join("sites").exists(), "a folder was made beside the bucket");
    // HEAD and conditional requests, as from a folder.
    let head = ask(&app, reqwest::Method::HEAD, "sitemap.xml").send().await.unwrap();
    let tag = head.headers()["etag"].clone();
    assert_eq!((head.status().as_u16(), head.headers().contains_key("last-modified")), (200, true));
    let again = ask(&app, reqwest::Method::GET, "sitemap.xml").header("if-none-match", tag).send().await.unwrap();
    assert_eq!(again.status(), 304);
    assert_eq!(served(&app, "sitemap-2019-01-1.xml.gz").await, None);
    assert!(!app.log().contains(BUCKET_SECRET) && !app.log().contains("ERROR"), "{}", app.log());
}

async fn a_bucket_that_fails_for_a_while_keeps_the_old_and_gets_the_new(stack: Stack) {
    let bucket = Bucket::start().await;
    let app = start(stack, &bucket).await;
    make(&app.client).await;
    put(&app.client, "/0").await;
    await_served(&app, "sitemap-2026-11-1.xml.gz", "https://fr.news.example/0", SOON).await;
    for (at, (status, code)) in [(503, "SlowDown"), (403, "AccessDenied"), (500, "InternalError")].iter().enumerate() {
        bucket.is(Mood::Refuses(*status, code));
        let (old, new) = (format!("https://de.news.example/{at}"), format!("https://de.news.example/{}", at + 1));
        put(&app.client, &format!("/{}", at + 1)).await;
        bucket.wait_for_another("PUT", SOON).await;
        let told = || async {
            let jobs = app.client.get("/v1/jobs?kind=site.regenerate&state=retrying").send().await.expect(200);
            let id = jobs.body["data"][0]["id"].as_str()?.to_owned();
            let told = app.client.get(&format!("/v1/jobs/{id}")).send().await.expect(200).body.to_string();
            (told.contains(code) && told.contains("news-sites/public/sites") && told.contains("tried again"))
                .then_some(())
        };
        eventually("the job says what the bucket answered", SOON, told).await;
        let answer = ask(&app, reqwest::Method::GET, "sitemap.xml").send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers().contains_key("retry-after")), (503, true), "{code}");
        let sitemap = key(&bucket, "/de/sitemap-2026-11-1.xml.gz");
        let public = unpacked(&sitemap, &direct(&bucket, &sitemap).await.bytes().await.unwrap());
        assert!(public.contains(&old) && !public.contains(&new), "{public}");
        bucket.is(Mood::Well);
        await_served(&app, "sitemap-2026-11-1.xml.gz", &new, LONG).await;
        await_served(&app, "feed.xml", &new, LONG).await;
    }
    let none_waits = || async {
        let site = app.client.get("/v1/sites/news").send().await.expect(200);
        (site.body["stale"] == 0).then_some(())
    };
    eventually("nothing is stale any more", LONG, none_waits).await;
}

async fn a_bucket_that_hangs_keeps_no_reader_waiting_for_long(stack: Stack) {
    let bucket = Bucket::start().await;
    let app = start(stack, &bucket).await;
    make(&app.client).await;
    put(&app.client, "/0").await;
    await_served(&app, "sitemap.xml", "sitemap-2026-11-1.xml.gz", SOON).await;
    bucket.is(Mood::Hangs);
    let answer = tokio::time::timeout(SOON, ask(&app, reqwest::Method::GET, "sitemap.xml").send()).await;
    assert_eq!(answer.expect("an answer all the same").unwrap().status(), 503);
    // Whoever asks for something else has nothing to do with it.
    app.client.get("/v1/sites/news").send().await.expect(200);
    bucket.is(Mood::Well);
    assert!(served(&app, "sitemap.xml").await.is_some());
}

async fn what_no_index_names_is_taken_out_of_the_bucket(stack: Stack) {
    let bucket = Bucket::start().await;
    let app = start(stack, &bucket).await;
    make(&app.client).await;
    put(&app.client, "/a").await;
    await_served(&app, "sitemap.xml", "sitemap-2026-11-1.xml.gz", SOON).await;
    // Gone already, which is nothing to stumble over.
    bucket.lose("/fr/sitemap.xml");
    app.client.delete(PAGE).send().await.expect(202);
    let gone = || async {
        let left = bucket.keys().into_iter().filter(|key| key.contains("/sitemap.xml")).count();
        (left == 0).then_some(())
    };
    eventually("both indexes are gone, packed and not", SOON, gone).await;
    assert_eq!(served(&app, "sitemap.xml").await, None);
    let none_waits = || async {
        let site = app.client.get("/v1/sites/news").send().await.expect(200);
        (site.body["stale"] == 0).then_some(())
    };
    eventually("nothing is stale", SOON, none_waits).await;
}

async fn a_bucket_that_refuses_is_told_at_the_start_and_by_the_doctor(stack: Stack) {
    const WRONG: &str = "wrong-secret-0123456789abcdefghijklmno";
    let bucket = Bucket::start().await;
    let app = start(stack, &bucket).await;
    make(&app.client).await;
    let good = app.shell(&["doctor"]);
    let said = String::from_utf8(good.stdout).unwrap();
    assert!(said.contains("ok    sites        s3://news-sites/public/sites gives back"), "{said}");
    // It runs all the same: deliveries have nothing to do with it.
    let mut app = app;
    app.terminate().await;
    app.restart_with("AWS_SECRET_ACCESS_KEY", WRONG).await;
    let log = app.log();
    for words in ["starting without the store", "SignatureDoesNotMatch", "mend AWS_ACCESS_KEY_ID"] {
        assert!(log.contains(words), "{words} in {log}");
    }
    let said = String::from_utf8(app.shell(&["doctor"]).stdout).unwrap();
    assert!(said.contains("WRONG sites") && said.contains("SignatureDoesNotMatch"), "{said}");
    assert!(!log.contains(WRONG) && !said.contains(WRONG), "a secret is told");
    bucket.is(Mood::Refuses(404, "NoSuchBucket"));
    let said = String::from_utf8(app.shell(&["doctor"]).stdout).unwrap();
    assert!(said.contains("NoSuchBucket") && said.contains("mend the setting sites_url"), "{said}");
}

async fn a_folder_of_ones_own_takes_public_files(stack: Stack) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("www");
    let app = App::builder(stack).env("POSTRIDER_SITES_URL", format!("file://{}", root.display())).start().await;
    make(&app.client).await;
    put(&app.client, "/a").await;
    await_served(&app, "sitemap.xml", "sitemap-2026-11-1.xml.gz", SOON).await;
    let site = std::fs::read_dir(&root).unwrap().next().unwrap().unwrap().path();
    let index = std::fs::read_to_string(site.join("de/sitemap.xml")).unwrap();
    assert_eq!(Some(index), served(&app, "sitemap.xml").await);
    assert!(!app.folder().join("sites").exists());
}

async fn another_place_gets_everything_once_it_is_asked_for(stack: Stack) {
    let (one, other) = (Bucket::start().await, Bucket::start().await);
    let mut app = start(stack, &one).await;
    make(&app.client).await;
    put(&app.client, "/a").await;
    await_served(&app, "sitemap.xml", "sitemap-2026-11-1.xml.gz", SOON).await;
    let none_waits = || async {
        let site = app.client.get("/v1/sites/news").send().await.expect(200);
        (site.body["stale"] == 0).then_some(())
    };
    eventually("nothing is stale", SOON, none_waits).await;
    app.terminate().await;
    let (_, address) =
        other.settings("public/sites").into_iter().find(|(name, _)| *name == "AWS_ENDPOINT_URL").unwrap();
    app.restart_with("AWS_ENDPOINT_URL", &address).await;
    assert_eq!(served(&app, "sitemap.xml").await, None);
    let rewrite = json!({ "rewrite": true });
    app.client.post("/v1/sites/news/regenerate").json(&rewrite).send().await.expect(202);
    let all_there = || async { (other.keys() == one.keys()).then_some(()) };
    eventually("every file is in the other bucket", SOON, all_there).await;
    await_served(&app, "sitemap-2026-11-1.xml.gz", "https://de.news.example/a", SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_on_several_machines_share_a_bucket() {
    let bucket = Bucket::start().await;
    let settings = bucket.settings("all");
    let api =
        settings.into_iter().fold(App::builder(Stack::Postgres).role("api"), |app, (name, value)| app.env(name, value));
    let api = api.start().await;
    let workers = [api.beside("worker").await, api.beside("worker").await];
    make(&api.client).await;
    put(&api.client, "/a").await;
    for app in [&api, &workers[0], &workers[1]] {
        await_served(app, "sitemap.xml", "sitemap-2026-11-1.xml.gz", SOON).await;
        await_served(app, "feed.json", "https://de.news.example/a", SOON).await;
    }
}

#[test]
fn settings_of_a_bucket_that_cannot_be_meant_are_refused_in_words() {
    let endpoint = ("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    let bucket = ("POSTRIDER_SITES_URL", "s3://news-sites");
    for (set, words) in [
        (vec![("POSTRIDER_SITES_URL", "s3://key:hush@news")], "AWS_SECRET_ACCESS_KEY"),
        (vec![("POSTRIDER_SITES_URL", "/srv/www")], "file:///ABSOLUTE/FOLDER"),
        (vec![bucket, endpoint], "AWS_ALLOW_HTTP=true"),
        (vec![bucket, ("AWS_ACCESS_KEY_ID", "half")], "set both or neither"),
        (vec![bucket, ("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "hush hush")], "AWS_SECRET_ACCESS_KEY has"),
        (vec![bucket, ("AWS_CA_BUNDLE", "/nowhere.pem")], "/nowhere.pem"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let said = bad(postrider(folder.path()).arg("serve").envs(set.clone()).output().unwrap());
        assert!(said.contains(words) && !said.contains("hush"), "{words} in {said} of {set:?}");
    }
}

async fn what_a_file_replaced_is_kept_in_the_bucket_for_comparison(stack: Stack) {
    let bucket = Bucket::start().await;
    let app = start(stack, &bucket).await;
    make(&app.client).await;
    put(&app.client, "/0").await;
    await_served(&app, "feed.xml", "https://de.news.example/0", SOON).await;
    let changes = || async { app.client.get("/v1/sites/news/files/de/feed.xml/changes").send().await };
    changes().await.expect_problem(404, "not_found");
    let before = direct(&bucket, &key(&bucket, "/de/feed.xml.gz")).await.bytes().await.unwrap();
    put(&app.client, "/1").await;
    await_served(&app, "feed.xml", "https://de.news.example/1", SOON).await;
    let told = changes().await.expect(200);
    assert!(told.text.contains("de.news.example/0") && told.text.contains("de.news.example/1"), "{}", told.text);
    let aside = bucket.keys().into_iter().find(|key| key.contains("/.before/") && key.ends_with("/de/feed.xml.gz"));
    assert_eq!(direct(&bucket, &aside.expect("a former version")).await.bytes().await.unwrap(), before);
    // The same again replaces nothing, once all else is in its place.
    let done = || async {
        let site = app.client.get("/v1/sites/news").send().await.expect(200).body;
        (site["stale"] == 0).then_some(())
    };
    eventually("all of it is public", SOON, done).await;
    let copies = || bucket.keys().iter().filter(|key| key.contains("/.before/")).count();
    let count = copies();
    let rewrite =
        app.client.post("/v1/sites/news/regenerate").json(&json!({ "rewrite": true })).send().await.expect(202);
    let job = rewrite.string("/job_id");
    let done = || async {
        let job = app.client.get(&format!("/v1/jobs/{job}")).send().await;
        (job.string("/state") == "succeeded").then_some(())
    };
    eventually("all was written again", SOON, done).await;
    let again = changes().await.expect(200);
    assert_eq!(
        (copies(), &again.body["before_at"], &again.body["entries"]),
        (count, &told.body["before_at"], &told.body["entries"])
    );
}
