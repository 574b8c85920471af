//! What is set for a site, and what is refused of it.

use serde_json::json;

use crate::harness::{App, Stack};

on_both_stacks!(a_site_that_cannot_be_is_refused_by_place);

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
