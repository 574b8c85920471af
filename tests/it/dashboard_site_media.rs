//! Images and enclosures of a site at the dashboard, and the warning before a language is late.

use serde_json::json;

use crate::{
    dashboard::{PASSWORD, with_user},
    dashboard_sites::put,
    harness::{Browser, LONG, Receiver, Script, Stack, eventually},
};

on_both_stacks!(
    an_enclosure_is_shown_as_it_is_beside_what_was_said_of_it,
    a_language_is_warned_of_when_half_of_its_time_is_over_and_told_as_late_after_it,
);

const SITE: &str = "/t/default/sites/news";
const MP3: &[u8] = b"ID3\x04\0\0\0\0\0\0\xFF\xFB\x90\x44";

async fn an_enclosure_is_shown_as_it_is_beside_what_was_said_of_it(stack: Stack) {
    let (app, host) = (with_user(stack, "viewer").await, Receiver::start().await);
    let locale = json!({ "tag": "de", "base_url": "https://de.news.example", "publication_name": "N" });
    let site = json!({ "slug": "news", "locales": [locale], "read_back": false });
    app.client.post("/v1/sites").json(&site).send().await.expect(201);
    let audio = Script::Answer { status: 200, headers: Vec::new(), body: MP3.to_vec() };
    host.always("/a.mp3", audio.with_header("content-type", "audio/mp3"));
    host.always("/gone.mp3", Script::status(404));
    host.always("/b.mp3", Script::Answer { status: 200, headers: Vec::new(), body: MP3.to_vec() });
    let enclosures =
        [("a", "a.mp3", "image/jpg?1477937782"), ("b", "gone.mp3", "audio/mpeg"), ("c", "b.mp3", "audio/mpeg")];
    for (key, name, said) in enclosures {
        let enclosure = json!({ "url": host.url(&format!("/{name}")), "type": said, "length": 4_711 });
        let one = json!({ "url": format!("/{key}"), "title": "T", "published_at": "2026-11-01T10:00:00Z", "enclosure": enclosure });
        let page = json!({ "translations": { "de": one } });
        let path = format!("/v1/sites/news/pages/{key}");
        app.client.call(reqwest::Method::PUT, &path).json(&page).send().await.expect(202);
    }
    let known = || async {
        let files = app.client.get("/v1/sites/news/media").send().await.expect(200).list("/data");
        (files.len() == 3 && files.iter().all(|file| file["state"] != "waiting")).then_some(files)
    };
    let files = eventually("all files were looked at", LONG, known).await;
    assert_eq!((&files[0]["said_type"], &files[0]["said_length"]), (&json!("image/jpg?1477937782"), &json!(4_711)));
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    let page = ada.open(&format!("{SITE}/media?state=all")).await.expect(200, "said: image/jpg?1477937782");
    assert!(page.text.contains("audio/mpeg <span class=\"soft\">said: image/jpg"), "{}", page.text);
    let page = page.expect(200, "said: 4,711");
    assert!(page.text.contains("404"), "{}", page.text);
    let page = ada.open(&format!("{SITE}/media?state=good")).await.expect(200, "/b.mp3");
    assert!(!page.text.contains("said: audio/mpeg"), "what it is, is not said again: {}", page.text);
    let page = ada.open(&format!("{SITE}/media")).await.expect(200, "gone.mp3").expect(200, "cannot be used");
    assert!(!page.text.contains("/a.mp3"), "{}", page.text);
    ada.open(&format!("{SITE}/media?state=waiting")).await.expect(200, "No file is like that now.");
    let page = ada.open(&format!("{SITE}/media?state=other-type")).await.expect(200, "/a.mp3");
    assert!(!page.text.contains("/b.mp3") && !page.text.contains("gone.mp3"), "{}", page.text);
    let asked = app.client.all("/v1/sites/news/media?state=other-type").await;
    assert_eq!(asked.iter().map(|file| &file["url"]).collect::<Vec<_>>(), [&files[0]["url"]], "{asked:?}");
    let refused = app.client.get("/v1/sites/news/media?state=worse").send().await.expect_problem(400, "bad_parameter");
    assert!(refused.string("/detail").contains("other-type"), "{}", refused.text);
    ada.open(&format!("{SITE}/media?state=worse"))
        .await
        .expect(422, "none of waiting, good, bad and other-type, and it is not all");
    ada.open(SITE).await.expect(200, &format!("{SITE}/media?state=all"));
    app.client.new_tenant("acme").await;
    ada.open("/t/acme/sites/news/media").await.expect(404, "site");
}

async fn a_language_is_warned_of_when_half_of_its_time_is_over_and_told_as_late_after_it(stack: Stack) {
    let app = with_user(stack, "viewer").await;
    let locale =
        |tag: &str| json!({ "tag": tag, "base_url": format!("https://{tag}.news.example"), "publication_name": "N" });
    // Nobody is at its addresses, so nothing is ever read back.
    let site = json!({ "slug": "news", "locales": [locale("de"), locale("fr")], "freshness_seconds": 10 });
    app.client.post("/v1/sites").json(&site).send().await.expect(201);
    let mut ada = Browser::signed_in(&app, "ada", PASSWORD).await;
    ada.open(SITE).await.expect(200, "all public");
    put(&app, "a", "/a").await;
    ada.open(SITE).await.expect(200, "changes on their way");
    let ada = tokio::sync::Mutex::new(ada);
    for words in ["half of the time is over", "late</span>"] {
        let told = || async {
            let mut ada = ada.lock().await;
            let pages = [ada.open(SITE).await.text, ada.open("/t/default/sites").await.text];
            pages.iter().all(|page| page.contains(words)).then_some(())
        };
        eventually(words, LONG, told).await;
    }
}
