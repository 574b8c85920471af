//! Images and enclosures of a site: feeds say what they really are, whatever is said of them, and wait for none.

use serde_json::{Value, json};

use crate::harness::{App, LONG, Receiver, SOON, Script, Stack, eventually};

on_both_stacks!(
    feeds_say_what_files_are_and_not_what_is_said_of_them,
    what_is_no_image_is_in_no_feed_and_in_no_sitemap,
    a_server_that_is_down_delays_nothing,
    a_server_that_streams_without_end_is_read_within_bounds,
    a_redirect_is_followed_where_calls_may_go,
    what_was_seen_is_not_fetched_again,
    problems_are_listed_page_by_page,
);

const JPEG: &[u8] = b"\xFF\xD8\xFF\xE0\0\x10JFIF\0\x01\x01\0";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01";
const WEBP: &[u8] = b"RIFF\x24\0\0\0WEBPVP8 \0\0\0\0";
const MP3: &[u8] = b"ID3\x04\0\0\0\0\0\0\xFF\xFB\x90\x44";
const PAGE: &[u8] = b"<!DOCTYPE html><html><title>404</title></html>";
const HOST: &str = "news.example";

fn file(said_type: &str, body: &[u8]) -> Script {
    Script::Answer { status: 200, headers: Vec::new(), body: body.to_vec() }.with_header("content-type", said_type)
}

/// A server that knows ranges: the first bytes of a file of so many.
fn part(said_type: &str, body: &[u8], length: u64) -> Script {
    let range = format!("bytes 0-{}/{length}", body.len() - 1);
    Script::Answer { status: 206, headers: Vec::new(), body: body.to_vec() }
        .with_header("content-type", said_type)
        .with_header("content-range", &range)
}

async fn make(app: &App) {
    let site = json!({ "slug": "news", "locales": [
        { "tag": "de", "base_url": format!("https://{HOST}"), "publication_name": "Die Zeitung" },
    ] });
    app.client.post("/v1/sites").json(&site).send().await.expect(201);
}

async fn put(app: &App, key: &str, files: Value) {
    let mut one = json!({ "url": format!("/{key}"), "title": key, "published_at": "2026-11-01T10:00:00Z" });
    one.as_object_mut().unwrap().extend(files.as_object().unwrap().clone());
    let page = json!({ "translations": { "de": one } });
    let path = format!("/v1/sites/news/pages/{key}");
    app.client.call(reqwest::Method::PUT, &path).json(&page).send().await.expect(202);
}

async fn read(app: &App, name: &str) -> Option<String> {
    Some(app.published(HOST, &format!("/{name}")).await?.text)
}

/// What RSS says of an item.
async fn item(app: &App, key: &str) -> Option<String> {
    let feed = read(app, "feed.xml").await?;
    let item = feed.split("<item>").find(|item| item.contains(&format!("<title>{key}</title>")));
    item.map(str::to_owned)
}

/// Waits until an item of RSS says this.
async fn says(app: &App, key: &str, what: &str) -> String {
    let said = || async { item(app, key).await.filter(|item| item.contains(what)) };
    eventually(&format!("{key} says {what}"), LONG, said).await
}

/// Waits until a file is known, and tells all that is.
async fn media(app: &App, url: &str) -> Value {
    let known = || async {
        let files = app.client.get("/v1/sites/news/media?limit=250").send().await.expect(200).list("/data");
        files.into_iter().find(|file| file["url"] == url && file["state"] != "waiting")
    };
    eventually(&format!("{url} is known"), LONG, known).await
}

async fn feeds_say_what_files_are_and_not_what_is_said_of_them(stack: Stack) {
    let (app, host) = (App::start(stack).await, Receiver::start().await);
    make(&app).await;
    host.always("/a.jpg", file("image/jpg", JPEG));
    host.always("/b.png?1477937782", file("image/png?1477937782", PNG));
    host.always("/c.jpg", file("image/jpeg", WEBP));
    host.always("/d.mp3", part("audio/mp3", MP3, 81_234));
    let enclosure = json!({ "url": host.url("/d.mp3"), "type": "image/jpg", "length": 1 });
    put(&app, "a", json!({ "image": host.url("/a.jpg"), "enclosure": enclosure })).await;
    put(&app, "b", json!({ "image": host.url("/b.png?1477937782") })).await;
    put(&app, "c", json!({ "image": host.url("/c.jpg") })).await;
    let url = host.url("/d.mp3");
    let item = says(&app, "a", &format!("<enclosure url=\"{url}\" length=\"81234\" type=\"audio/mpeg\"/>")).await;
    assert_eq!(item.matches("<enclosure").count(), 1);
    says(&app, "a", "/a.jpg\" medium=\"image\" type=\"image/jpeg\"/>").await;
    says(&app, "b", "/b.png?1477937782\" medium=\"image\" type=\"image/png\"/>").await;
    says(&app, "c", "/c.jpg\" medium=\"image\" type=\"image/webp\"/>").await;
    // The other formats are public a moment later.
    let attachments = json!([{ "url": url, "mime_type": "audio/mpeg", "size_in_bytes": 81_234 }]);
    let attached = || async {
        let feed: Value = serde_json::from_str(&read(&app, "feed.json").await?).unwrap();
        let items = feed["items"].as_array().unwrap();
        items.iter().any(|item| item["title"] == "a" && item["attachments"] == attachments).then_some(())
    };
    eventually("the JSON feed says so, too", SOON, attached).await;
    let known = media(&app, &url).await;
    assert_eq!(
        (&known["state"], &known["type"], &known["length"]),
        (&json!("good"), &json!("audio/mpeg"), &json!(81_234))
    );
    let requests = host.requests("/d.mp3");
    let asked: Vec<(&str, Option<&str>)> =
        requests.iter().map(|request| (request.method.as_str(), request.header("range"))).collect();
    assert_eq!(asked, [("HEAD", None), ("GET", Some("bytes=0-4095"))]);
}

async fn what_is_no_image_is_in_no_feed_and_in_no_sitemap(stack: Stack) {
    let (app, host) = (App::start(stack).await, Receiver::start().await);
    make(&app).await;
    host.always("/page.jpg", file("image/jpeg", PAGE));
    host.always("/gone.jpg", Script::status(410));
    host.always("/empty.jpg", file("image/jpeg", b""));
    host.always("/page.mp3", file("audio/mpeg", PAGE));
    for name in ["page", "gone", "empty"] {
        put(&app, name, json!({ "image": host.url(&format!("/{name}.jpg")) })).await;
    }
    put(&app, "sound", json!({ "enclosure": { "url": host.url("/page.mp3"), "type": "audio/mpeg", "length": 9 } }))
        .await;
    for (name, words) in
        [("page.jpg", "it is a page"), ("gone.jpg", "HTTP 410"), ("empty.jpg", "empty"), ("page.mp3", "it is a page")]
    {
        let known = media(&app, &host.url(&format!("/{name}"))).await;
        assert_eq!(known["state"], "bad");
        assert!(known["fault"].as_str().unwrap().contains(words), "{known}");
    }
    let without = || async {
        let (feed, sitemap) = (read(&app, "feed.xml").await?, read(&app, "sitemap-2026-11-1.xml.gz").await?);
        let whole = feed.matches("<item>").count() == 4 && sitemap.matches("<loc>").count() >= 4;
        (whole && !feed.contains("media:") && !feed.contains("<enclosure") && !sitemap.contains(".jpg")).then_some(())
    };
    eventually("all items are there without what they are not", LONG, without).await;
}

async fn a_server_that_is_down_delays_nothing(stack: Stack) {
    let (app, host, hanging) = (App::start(stack).await, Receiver::start().await, Receiver::start().await);
    make(&app).await;
    // To both calls of the first look.
    host.first("/a.jpg", [Script::status(503), Script::status(503)], file("image/jpeg", JPEG));
    hanging.always("/b.mp3", Script::Hang);
    let down = { Receiver::start().await.url("/c.jpg") };
    put(&app, "a", json!({ "image": host.url("/a.jpg") })).await;
    put(&app, "b", json!({ "enclosure": { "url": hanging.url("/b.mp3"), "type": "audio/mpeg", "length": 5 } })).await;
    put(&app, "c", json!({ "image": down })).await;
    let public = || async { (read(&app, "feed.xml").await?.matches("<item>").count() == 3).then_some(()) };
    eventually("all items are public", SOON, public).await;
    // One that answers is not held up by those that do not, nor by its own first failure for long.
    says(&app, "a", "type=\"image/jpeg\"/>").await;
    let waiting = app.client.get("/v1/sites/news/media?state=waiting").send().await.expect(200).list("/data");
    let mut urls: Vec<String> = waiting.iter().map(|file| file["url"].as_str().unwrap().to_owned()).collect();
    let mut expected = vec![hanging.url("/b.mp3"), down];
    urls.sort();
    expected.sort();
    assert_eq!(urls, expected);
    assert!(!item(&app, "b").await.unwrap().contains("<enclosure"));
}

async fn a_server_that_streams_without_end_is_read_within_bounds(stack: Stack) {
    let (app, host) = (App::start(stack).await, Receiver::start().await);
    make(&app).await;
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let first = [head.as_slice(), b"e\r\n", MP3, b"\r\n"].concat();
    host.first("/a.mp3", [file("audio/mpeg", b"")], Script::Endless { first, again: b"4\r\nabcd\r\n".repeat(1_000) });
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 900000000\r\n\r\n".to_vec();
    let again = vec![b'x'; 4_096];
    let endless = Script::Endless { first: [head.as_slice(), JPEG].concat(), again };
    host.first("/b.jpg", [Script::status(405)], endless);
    put(&app, "a", json!({ "enclosure": { "url": host.url("/a.mp3"), "length": 77 } })).await;
    put(&app, "b", json!({ "image": host.url("/b.jpg") })).await;
    // Nobody but its owner tells how long it is.
    says(&app, "a", "length=\"77\" type=\"audio/mpeg\"/>").await;
    says(&app, "b", "type=\"image/jpeg\"/>").await;
    assert_eq!(media(&app, &host.url("/b.jpg")).await["length"], 900_000_000);
    for job in app.client.all("/v1/jobs?kind=site.probe").await {
        let job = app.client.get(&format!("/v1/jobs/{}", job["id"].as_str().unwrap())).send().await.expect(200);
        let took = job.body.pointer("/attempts/0/duration_ms").and_then(Value::as_u64).unwrap();
        assert!(took < 5_000, "a look ends with the bytes that it wants, and not with its time: {}", job.text);
    }
}

async fn a_redirect_is_followed_where_calls_may_go(stack: Stack) {
    let (app, host) = (App::start(stack).await, Receiver::start().await);
    make(&app).await;
    host.always("/a.jpg", Script::redirect("/b.jpg"));
    host.always("/b.jpg", file("image/jpeg", JPEG));
    host.always("/inside.jpg", Script::redirect("http://10.0.0.1/secret.jpg"));
    host.always("/round.jpg", Script::redirect("/round.jpg"));
    put(&app, "a", json!({ "image": host.url("/a.jpg") })).await;
    put(&app, "inside", json!({ "image": host.url("/inside.jpg") })).await;
    put(&app, "round", json!({ "image": host.url("/round.jpg") })).await;
    put(&app, "own", json!({ "image": "http://169.254.169.254/latest/meta-data" })).await;
    says(&app, "a", "/a.jpg\" medium=\"image\" type=\"image/jpeg\"/>").await;
    for url in [host.url("/inside.jpg"), "http://169.254.169.254/latest/meta-data".to_owned()] {
        let refused = media(&app, &url).await;
        assert_eq!(
            (&refused["state"], &refused["fault"]),
            (&json!("bad"), &json!("the URL leads to an address that deliveries may not reach"))
        );
    }
    assert!(media(&app, &host.url("/round.jpg")).await["fault"].as_str().unwrap().contains("redirects"));
}

async fn what_was_seen_is_not_fetched_again(stack: Stack) {
    let (app, host) = (App::start(stack).await, Receiver::start().await);
    make(&app).await;
    host.always("/a.jpg", file("image/jpeg", JPEG));
    put(&app, "a", json!({ "image": host.url("/a.jpg") })).await;
    says(&app, "a", "type=\"image/jpeg\"/>").await;
    put(&app, "b", json!({ "image": host.url("/a.jpg") })).await;
    says(&app, "b", "type=\"image/jpeg\"/>").await;
    assert_eq!(host.requests("/a.jpg").len(), 2);
}

async fn problems_are_listed_page_by_page(stack: Stack) {
    let (app, host) = (App::start(stack).await, Receiver::start().await);
    make(&app).await;
    for n in 0..5 {
        host.always(&format!("/{n}.jpg"), if n == 4 { file("image/jpeg", JPEG) } else { Script::status(404) });
        put(&app, &format!("p{n}"), json!({ "image": host.url(&format!("/{n}.jpg")) })).await;
    }
    for n in 0..5 {
        media(&app, &host.url(&format!("/{n}.jpg"))).await;
    }
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/sites/news/media?state=bad&limit=3{cursor}");
        let page = app.client.get(&path).send().await.expect(200);
        found.extend(page.list("/data").into_iter().map(|file| file["url"].as_str().unwrap().to_owned()));
        let Some(next) = page.body["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let expected: Vec<String> = (0..4).map(|n| host.url(&format!("/{n}.jpg"))).collect();
    assert_eq!(found, expected);
    let wrong = app.client.get("/v1/sites/news/media?state=worse").send().await;
    wrong.expect_problem(400, "bad_parameter");
    let other = app.client.new_tenant("other").await;
    other.get("/v1/sites/news/media").send().await.expect_problem(404, "not_found");
}
