//! Folders of public files that somebody has deleted.

use std::{
    fs,
    path::{Path, PathBuf},
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    dashboard_sites::make,
    harness::{App, LONG, SOON, Stack, eventually},
};

on_both_stacks!(a_folder_that_is_published_into_before_it_is_missed_is_whole_again);

/// All below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() { files.extend(self::files(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

async fn put(app: &App, key: &str, month: &str) {
    let one = json!({ "url": format!("/{key}"), "title": "T", "published_at": format!("{month}-01") });
    let page = json!({ "translations": { "de": one, "fr": one } });
    app.client.call(Method::PUT, &format!("/v1/sites/news/pages/{key}")).json(&page).send().await.expect(202);
}

async fn shown(app: &App) -> Value {
    app.client.get("/v1/sites/news").send().await.expect(200).body
}

async fn a_folder_that_is_published_into_before_it_is_missed_is_whole_again(stack: Stack) {
    let app = App::start(stack).await;
    make(&app).await;
    put(&app, "a", "2026-10").await;
    put(&app, "b", "2026-11").await;
    let folder = app.folder().join("sites").join(shown(&app).await["id"].as_str().unwrap());
    let none_waits = || async { (shown(&app).await["stale"] == 0 && !files(&folder).is_empty()).then_some(()) };
    eventually("all of it is public", SOON, none_waits).await;
    let before = files(&folder);
    assert!(before.contains(&folder.join("de/sitemap-2026-10-1.xml.gz")), "{before:?}");
    app.client.post("/v1/lanes/site:news/pause").send().await.expect(200);
    put(&app, "c", "2026-11").await;
    fs::remove_dir_all(folder.join("de")).unwrap();
    app.client.post("/v1/lanes/site:news/resume").send().await.expect(200);
    eventually("all files are there again", LONG, || async { (files(&folder) == before).then_some(()) }).await;
    eventually("nothing waits", SOON, none_waits).await;
    let sitemap = app.published("de.news.example", "/sitemap-2026-11-1.xml.gz").await.unwrap().text;
    assert!(sitemap.contains("https://de.news.example/c<"), "{sitemap}");
}
