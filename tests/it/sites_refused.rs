//! What is refused of a site and its pages: whoever reads the answer knows what to write instead.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{App, Stack};

on_both_stacks!(
    a_slug_that_is_none_and_a_place_that_is_taken_are_named,
    a_page_may_have_long_texts_and_a_number_has_bounds_that_people_read,
);

fn settings(base: &str) -> Value {
    json!({ "locales": [{ "tag": "de", "base_url": base, "publication_name": "Die Zeitung" }], "read_back": false })
}

async fn a_slug_that_is_none_and_a_place_that_is_taken_are_named(stack: Stack) {
    let app = App::start(stack).await;
    let put = |slug: &str, base: &str| {
        let call = app.client.call(Method::PUT, &format!("/v1/sites/{slug}")).json(&settings(base));
        async move { call.send().await }
    };
    put("news", "https://de.news.example/a").await.expect(201);
    let refused = put("Sport", "https://sport.example").await.expect_problem(400, "bad_parameter");
    assert!(refused.string("/detail").contains("\"Sport\" is no site's: a slug is 1 to 63"), "{}", refused.text);
    let taken = put("other", "https://de.news.example/a/").await.expect_problem(409, "exists");
    let words = "a locale at de.news.example/a, of the site news, exists already";
    assert_eq!(taken.string("/detail"), words);

    app.client.post("/v1/tenants").json(&json!({ "slug": "acme", "name": "Acme" })).send().await.expect(201);
    let of_others = app.client.call(Method::PUT, "/v1/sites/other").header("postrider-tenant", "acme");
    let taken = of_others.json(&settings("https://de.news.example/a")).send().await.expect_problem(409, "exists");
    assert_eq!(taken.string("/detail"), "a locale at de.news.example/a exists already");
}

async fn a_page_may_have_long_texts_and_a_number_has_bounds_that_people_read(stack: Stack) {
    let app = App::start(stack).await;
    let call = app.client.call(Method::PUT, "/v1/sites/news").json(&settings("https://de.news.example"));
    call.send().await.expect(201);
    let put = |bytes: usize, length: i64| {
        let enclosure = json!({ "url": "https://i.example/a.mp3", "length": length });
        let page = json!({ "url": "/a", "title": "T", "published_at": "2026-11-01T10:00:00Z",
            "content": "x".repeat(bytes), "enclosure": enclosure });
        let page = json!({ "translations": { "de": page } });
        let call = app.client.call(Method::PUT, "/v1/sites/news/pages/a").json(&page);
        async move { call.send().await }
    };
    put(4_000_000, 1).await.expect(202);
    let refused = put(4_300_000, 1).await.expect_problem(413, "body_too_large");
    assert!(refused.string("/detail").contains("4194304 bytes"), "{}", refused.text);
    let refused = put(1, -1).await.expect_problem(422, "invalid_body");
    assert!(refused.string("/detail").contains("expected a whole number from 0 to"), "{}", refused.text);
}
