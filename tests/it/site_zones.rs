//! Time zones of locales: times that name no offset, as programs of newsrooms hand them in.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    dashboard::{PASSWORD, with_user},
    harness::{App, Browser, SOON, Stack, eventually},
};

on_both_stacks!(
    a_time_without_an_offset_is_read_in_its_locales_zone_and_published_in_utc,
    a_zone_that_is_none_is_refused_by_its_name,
);

fn locale(tag: &str, zone: Option<&str>) -> Value {
    let base = format!("https://{}.news.example", tag.to_lowercase());
    let mut locale = json!({ "tag": tag, "base_url": base, "publication_name": "News" });
    if let Some(zone) = zone {
        locale["time_zone"] = zone.into();
    }
    locale
}

async fn read(app: &App, host: &str, name: &str) -> Option<String> {
    Some(app.published(host, &format!("/{name}")).await?.text)
}

async fn a_time_without_an_offset_is_read_in_its_locales_zone_and_published_in_utc(stack: Stack) {
    let app = with_user(stack, "viewer").await;
    let locales = [locale("pl", Some("europe/warsaw")), locale("pt-BR", Some("America/Sao_Paulo")), locale("en", None)];
    let site = json!({ "locales": locales, "read_back": false });
    let made = app.client.call(Method::PUT, "/v1/sites/news").json(&site).send().await.expect(201);
    let zones: Vec<String> = (0..3).map(|at| made.string(&format!("/locales/{at}/time_zone"))).collect();
    assert_eq!(zones, ["Europe/Warsaw", "America/Sao_Paulo", "UTC"]);
    let one = |at: &str| json!({ "url": "/a", "title": "T", "published_at": at, "updated_at": at });
    let page = json!({ "translations": { "pl": one("2026-10-25T02:30:00"), "pt-BR": one("2026-10-25"), "en": one("2026-10-25T02:30") } });
    let put = app.client.call(Method::PUT, "/v1/sites/news/pages/a").json(&page).send().await.expect(202);
    assert_eq!(put.body["quarantined"], json!([]));
    let kept = app.client.get("/v1/sites/news/pages/a").send().await.expect(200);
    let at = |tag: &str| kept.string(&format!("/translations/{tag}/published_at"));
    // The clocks of Warsaw show half past two twice that night; the first is meant.
    assert_eq!(at("pl"), "2026-10-25T00:30:00.000Z");
    assert_eq!(at("pt-BR"), "2026-10-25T03:00:00.000Z");
    assert_eq!(at("en"), "2026-10-25T02:30:00.000Z");
    let feed = || read(&app, "pt-br.news.example", "atom.xml");
    let feed = eventually("the feed is public", SOON, feed).await;
    assert!(feed.contains("<published>2026-10-25T03:00:00Z</published>"), "{feed}");
    let line = "{\"key\":\"b\",\"translations\":{\"pl\":{\"url\":\"/b\",\"title\":\"T\",\"published_at\":\"2026-03-29T02:30\"}}}";
    let import = app.client.post("/v1/sites/news/pages/import").body("application/x-ndjson", line);
    import.send().await.expect(202);
    let kept = app.client.get("/v1/sites/news/pages/b").send().await.expect(200);
    assert_eq!(kept.string("/translations/pl/published_at"), "2026-03-29T01:30:00.000Z", "clocks leave it out");
    let page = json!({ "translations": { "pl": one("25.10.2026"), "en": one("2026-10-25T02:30:00") } });
    let put = app.client.call(Method::PUT, "/v1/sites/news/pages/c").json(&page).send().await.expect(202);
    assert_eq!(put.string("/quarantined/0/locale"), "pl");
    let reason = put.string("/quarantined/0/reason");
    assert!(reason.contains("RFC 3339") && reason.contains("Europe/Warsaw"), "{reason}");
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    ada.open("/t/default/sites/news").await.expect(200, "Europe/Warsaw").expect(200, "America/Sao_Paulo");
}

async fn a_zone_that_is_none_is_refused_by_its_name(stack: Stack) {
    let app = App::start(stack).await;
    let site = json!({ "locales": [locale("de", None), locale("pl", Some("Europe/Berln"))] });
    let refused = app.client.call(Method::PUT, "/v1/sites/news").json(&site).send().await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    assert!(refused.text.contains("/locales/1/time_zone") && refused.text.contains("Europe/Berln"), "{}", refused.text);
}
