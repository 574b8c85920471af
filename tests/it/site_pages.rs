//! Pages as they are handed in: what of them is refused, and what is never published of them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{App, Stack};

on_both_stacks!(
    a_change_that_is_still_to_come_is_not_published,
    a_page_without_translations_is_refused_and_removes_nothing,
    a_key_that_no_page_has_is_refused_by_name,
    a_batch_and_an_import_remove_pages_that_they_call_removed,
    an_import_counts_what_was_to_be_removed_and_was_there,
    a_page_of_which_nothing_is_published_can_be_removed,
);

async fn make(app: &App) {
    let locale = json!({ "tag": "de", "base_url": "https://de.news.example", "publication_name": "Die Zeitung" });
    let site = json!({ "slug": "news", "locales": [locale], "read_back": false });
    app.client.post("/v1/sites").json(&site).send().await.expect(201);
}

fn one(updated_at: Option<&str>) -> Value {
    json!({ "url": "/a", "title": "T", "published_at": "2026-11-01T10:00:00Z", "updated_at": updated_at })
}

async fn a_change_that_is_still_to_come_is_not_published(stack: Stack) {
    let app = App::start(stack).await;
    make(&app).await;
    for seconds_ahead in [240, 86_400] {
        let at = (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds_ahead)).to_string();
        let page = json!({ "translations": { "de": one(Some(&at)) } });
        let put = app.client.call(Method::PUT, "/v1/sites/news/pages/a").json(&page).send().await.expect(202);
        assert_eq!(put.list("/quarantined").len(), 0, "{}", put.text);
        let kept = app.client.get("/v1/sites/news/pages/a").send().await.expect(200);
        let updated_at: jiff::Timestamp = kept.string("/translations/de/updated_at").parse().unwrap();
        assert!(updated_at <= jiff::Timestamp::now(), "{}", kept.text);
    }
}

async fn a_page_without_translations_is_refused_and_removes_nothing(stack: Stack) {
    let app = App::start(stack).await;
    make(&app).await;
    let (path, good) = ("/v1/sites/news/pages/a", json!({ "de": one(None) }));
    let put =
        |translations: &Value| app.client.call(Method::PUT, path).json(&json!({ "translations": translations })).send();
    put(&good).await.expect(202);
    let refused = put(&json!({})).await.expect_problem(422, "invalid_body");
    assert_eq!(refused.string("/errors/0/pointer"), "/translations");
    assert!(refused.string("/detail").contains("DELETE"), "{}", refused.text);
    let lines = [json!({ "key": "b", "translations": good }), json!({ "key": "a", "translations": {} })];
    let batch = app.client.post("/v1/sites/news/pages/batch").json(&json!({ "pages": lines })).send().await;
    assert_eq!(batch.expect_problem(422, "invalid_body").string("/errors/0/pointer"), "/pages/1/translations");
    let lines = lines.map(|line| line.to_string()).join("\n");
    let import = app.client.post("/v1/sites/news/pages/import").body("application/x-ndjson", lines);
    let import = import.send().await.expect(202);
    assert!(import.string("/refused_lines/0/detail").contains("\"removed\": true removes it"), "{}", import.text);
    assert_eq!((&import.body["changed"], &import.body["refused_lines"][0]["line"]), (&json!(1), &json!(2)));
    app.client.get(path).send().await.expect(200);
}

async fn a_key_that_no_page_has_is_refused_by_name(stack: Stack) {
    let app = App::start(stack).await;
    make(&app).await;
    let page = json!({ "translations": { "de": one(None) } });
    let put = |key: String| app.client.call(Method::PUT, &format!("/v1/sites/news/pages/{key}")).json(&page).send();
    put("a".repeat(255)).await.expect(202);
    for key in ["a".repeat(256), "a%07".to_owned()] {
        let refused = put(key).await.expect_problem(400, "bad_parameter");
        assert_eq!(refused.string("/errors/0/parameter"), "key");
        assert!(refused.string("/detail").contains("1 to 255 bytes"), "{}", refused.text);
    }
}

async fn a_batch_and_an_import_remove_pages_that_they_call_removed(stack: Stack) {
    let app = App::start(stack).await;
    make(&app).await;
    let batch = |pages: Value| app.client.post("/v1/sites/news/pages/batch").json(&json!({ "pages": pages })).send();
    let import = |pages: [Value; 2]| {
        let lines = pages.map(|page| page.to_string()).join("\n");
        app.client.post("/v1/sites/news/pages/import").body("application/x-ndjson", lines).send()
    };
    let has = async |key: &str| app.client.get(&format!("/v1/sites/news/pages/{key}")).send().await.status == 200;
    let (put, removed) = (
        |key: &str| json!({ "key": key, "translations": { "de": one(None) } }),
        |key: &str| json!({ "key": key, "removed": true }),
    );

    batch(json!([put("a"), put("b"), put("c")])).await.expect(202);
    let done = batch(json!([removed("a"), put("d"), removed("d"), removed("nowhere")])).await.expect(202);
    assert_eq!((&done.body["changed"], done.list("/results").len()), (&json!(1), 4), "{}", done.text);
    assert_eq!((has("a").await, has("b").await, has("d").await), (false, true, false));

    let done = import([removed("b"), put("e")]).await.expect(202);
    let told = ["changed", "removed", "refused"].map(|name| done.body[name].clone());
    assert_eq!(told, [json!(2), json!(1), json!(0)], "{}", done.text);
    assert_eq!((has("b").await, has("e").await), (false, true));

    let both = json!({ "key": "c", "translations": { "de": one(None) }, "removed": true });
    let refused = batch(json!([removed("e"), both])).await.expect_problem(422, "invalid_body");
    assert_eq!(refused.string("/errors/0/pointer"), "/pages/1/removed");
    let unsaid = batch(json!([{ "key": "c", "removed": false }])).await.expect_problem(422, "invalid_body");
    assert_eq!(unsaid.string("/errors/0/pointer"), "/pages/0/translations");
    assert_eq!((has("c").await, has("e").await), (true, true));

    // Programs write all members, and null where there is nothing to say.
    let with_null = |mut page: Value, member: &str| {
        page[member] = Value::Null;
        page
    };
    let kept = with_null(put("f"), "removed");
    batch(json!([kept, with_null(removed("c"), "translations")])).await.expect(202);
    let done = import([with_null(put("g"), "removed"), with_null(removed("e"), "translations")]).await.expect(202);
    assert_eq!(done.body["refused"], 0, "{}", done.text);
    assert_eq!((has("c").await, has("e").await, has("f").await, has("g").await), (false, false, true, true));
    let unsaid = batch(json!([{ "key": "f", "removed": null }])).await.expect_problem(422, "invalid_body");
    assert_eq!(unsaid.string("/errors/0/pointer"), "/pages/0/translations");
}

async fn an_import_counts_what_was_to_be_removed_and_was_there(stack: Stack) {
    let app = App::start(stack).await;
    make(&app).await;
    let import = |pages: Vec<Value>| {
        let lines = pages.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
        app.client.post("/v1/sites/news/pages/import").body("application/x-ndjson", lines).send()
    };
    let (good, removed) = (
        |key: &str| json!({ "key": key, "translations": { "de": one(None) } }),
        |key: &str| json!({ "key": key, "removed": true }),
    );
    let bad = |key: &str| {
        let bad = json!({ "url": "/%25C3%25A9", "title": "T", "published_at": "2026-11-01" });
        json!({ "key": key, "translations": { "de": bad } })
    };
    import(vec![good("a"), good("b"), bad("c")]).await.expect(202);
    // Of the first nothing is public any more, and nobody has asked for that.
    let done = import(vec![bad("a"), removed("b"), removed("c"), removed("d")]).await.expect(202);
    let told = ["changed", "removed", "quarantined"].map(|name| done.body[name].clone());
    assert_eq!(told, [json!(2), json!(2), json!(1)], "{}", done.text);
    let again = import(vec![removed("a"), removed("b"), removed("c")]).await.expect(202);
    assert_eq!(again.body["removed"], 1, "{}", again.text);
}

async fn a_page_of_which_nothing_is_published_can_be_removed(stack: Stack) {
    let app = App::start(stack).await;
    make(&app).await;
    let page =
        json!({ "translations": { "de": { "url": "/%25C3%25A9", "title": "T", "published_at": "2026-11-01" } } });
    let path = "/v1/sites/news/pages/a";
    app.client.call(Method::PUT, path).json(&page).send().await.expect(202);
    let quarantined = async || app.client.get("/v1/sites/news/quarantine").send().await.expect(200).list("/data").len();
    assert_eq!(quarantined().await, 1);
    app.client.call(Method::DELETE, path).send().await.expect(202);
    assert_eq!(quarantined().await, 0);
    app.client.call(Method::DELETE, path).send().await.expect_problem(404, "not_found");
}
