//! What is set for a site, and what is refused of it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{App, Stack};

on_both_stacks!(a_site_that_cannot_be_is_refused_by_place, a_sites_slug_is_in_the_body_of_a_new_one_alone);

async fn a_site_that_cannot_be_is_refused_by_place(stack: Stack) {
    let app = App::start(stack).await;
    let locale = |tag: &str, base: &str| json!({ "tag": tag, "base_url": base, "publication_name": "N" });
    for (locales, place, words) in [
        (json!([]), "/locales", "1 to 64"),
        (json!([locale("en-UK", "https://a.example")]), "/locales/0/tag", "GB"),
        (json!([locale("en_US", "https://a.example")]), "/locales/0/tag", "hyphen"),
        (json!([locale("es-LATAM", "https://a.example")]), "/locales/0/tag", "LATAM"),
        (json!([locale("eng", "https://a.example")]), "/locales/0/tag", "ISO 639-1: en"),
        (json!([locale("sh-Latn", "https://a.example")]), "/locales/0/tag", "sr, hr or bs"),
        (json!([locale("en", "a.example")]), "/locales/0/base_url", "https://"),
        (json!([locale("en", "https://a..example/en")]), "/locales/0/base_url", "write \"a.example\""),
        (json!([locale("en", "https://example.org./en")]), "/locales/0/base_url", "write \"example.org\""),
        (json!([locale("en", "https://a.example#top")]), "/locales/0/base_url", "fragment"),
        (
            json!([locale("en", "https://a.example"), locale("de", "https://A.example/")]),
            "/locales/1/base_url",
            "twice",
        ),
    ] {
        let refused = app.client.post("/v1/sites").json(&json!({ "slug": "a", "locales": locales })).send().await;
        let refused = refused.expect_problem(422, "invalid_body");
        assert_eq!(refused.string("/errors/0/pointer"), place, "{}", refused.text);
        assert!(refused.string("/errors/0/detail").contains(words), "{}", refused.text);
    }
}

async fn a_sites_slug_is_in_the_body_of_a_new_one_alone(stack: Stack) {
    let app = App::start(stack).await;
    let locale = json!({ "tag": "en", "base_url": "https://a.example", "publication_name": "N" });
    let site = json!({ "locales": [locale] });
    let with_slug = |slug: Value| json!({ "locales": [locale], "slug": slug });
    for (method, path, body) in [
        (Method::POST, "/v1/sites", &site),
        (Method::POST, "/v1/sites", &with_slug(Value::Null)),
        (Method::POST, "/v1/sites", &with_slug(json!("A"))),
        (Method::PUT, "/v1/sites/a", &with_slug(json!("a"))),
    ] {
        let refused = app.client.call(method, path).json(body).send().await.expect_problem(422, "invalid_body");
        assert_eq!((refused.string("/errors/0/pointer").as_str(), refused.list("/errors").len()), ("/slug", 1));
    }
    app.client.call(Method::PUT, "/v1/sites/a").json(&site).send().await.expect(201);
}
