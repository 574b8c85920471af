//! Files that no index of a site names any more.

use std::{fs, path::PathBuf};

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{App, SOON, Stack, eventually};

on_both_stacks!(one_file_that_cannot_be_removed_keeps_no_other_from_it);

const INDEX: &str = "sitemap.xml";

struct Site<'a> {
    app: &'a App,
    slug: &'static str,
}

impl Site<'_> {
    async fn call(&self, method: Method, path: &str, body: &Value) {
        let path = format!("/v1/sites/{}{path}", self.slug);
        let answer = self.app.client.call(method, &path).json(body).send().await;
        assert!((200..300).contains(&answer.status), "{}", answer.text);
    }

    /// A site of two languages and one page, once all of it is public.
    async fn make(&self) {
        let base = |tag: &str| format!("https://{tag}.{}.example", self.slug);
        let locale = |tag: &str| json!({ "tag": tag, "base_url": base(tag), "publication_name": "N" });
        let site = json!({ "locales": [locale("de"), locale("fr")], "read_back": false });
        self.call(Method::PUT, "", &site).await;
        let one = json!({ "url": "/a", "title": "T", "published_at": "2026-11-01T10:00:00Z" });
        self.call(Method::PUT, "/pages/a", &json!({ "translations": { "de": one, "fr": one } })).await;
        eventually("both indexes are public", SOON, || async {
            (self.files("").await.iter().filter(|url| url.ends_with(INDEX)).count() == 2).then_some(())
        })
        .await;
    }

    async fn files(&self, query: &str) -> Vec<String> {
        let files = self.app.client.all(&format!("/v1/sites/{}/files{query}", self.slug)).await;
        files.iter().map(|file| file["url"].as_str().unwrap().to_owned()).collect()
    }

    async fn folder(&self) -> PathBuf {
        let id = self.app.client.get(&format!("/v1/sites/{}", self.slug)).send().await.expect(200).string("/id");
        self.app.folder().join("sites").join(id)
    }

    /// Whether an attempt to make it again says so.
    async fn says(&self, words: &str) -> Option<()> {
        let jobs = self.app.client.all(&format!("/v1/jobs?kind=site.regenerate&lane=site:{}", self.slug)).await;
        for job in jobs {
            let job = self.app.client.get(&format!("/v1/jobs/{}", job["id"].as_str().unwrap())).send().await;
            let says = |attempt: &Value| attempt["error"].as_str().is_some_and(|error| error.contains(words));
            if job.list("/attempts").iter().any(says) {
                return Some(());
            }
        }
        None
    }
}

/// Whichever comes first.
async fn one_file_that_cannot_be_removed_keeps_no_other_from_it(stack: Stack) {
    let app = App::start(stack).await;
    for (slug, stuck, other) in [("one", "de", "fr"), ("two", "fr", "de")] {
        let site = Site { app: &app, slug };
        site.make().await;
        let folder = site.folder().await;
        // What it had replaced goes with a file: where a folder is in its place, neither can be removed.
        let aside = app.folder().join("sites/.before").join(folder.file_name().unwrap()).join(stuck).join(INDEX);
        fs::create_dir_all(aside.join("x")).unwrap();
        site.call(Method::DELETE, "/pages/a", &json!({})).await;
        let removed = || async { (!folder.join(other).join("sitemap.xml.gz").exists()).then_some(()) };
        eventually("the other index is removed", SOON, removed).await;
        let said = || async { site.says(&format!("{stuck}/{INDEX} cannot be removed")).await };
        eventually("it is said what could not be removed", SOON, said).await;
        let left = || async {
            let gone = site.files("?state=gone").await;
            let of_index: Vec<&String> = gone.iter().filter(|url| url.ends_with(INDEX)).collect();
            (of_index == [&format!("https://{stuck}.{slug}.example/{INDEX}")]).then_some(())
        };
        eventually("one index is left to be removed", SOON, left).await;
    }
}
