//! What publishers' programs hand in: what is mended, what is quarantined with which words, and that nothing of it keeps the rest
//! from the public. Types of files that go with items are no part of it: they are judged by the files themselves.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{App, LONG, Stack, eventually};

on_both_stacks!(
    what_is_handed_in_in_the_wild_is_mended_or_quarantined_and_the_rest_is_public,
    of_two_pages_at_one_address_one_is_public_and_so_is_the_rest,
    what_is_no_text_is_refused_by_its_line,
);

const DE: &str = "de.news.example";
const FR: &str = "fr.news.example";
/// When every page was published, to the second.
const PUBLISHED: &str = "2026-11-01T10:00:00.000Z";

/// What becomes of a member of a translation.
#[derive(Clone, Copy)]
enum Then {
    /// It is kept, and public, as this.
    Kept(&'static str),
    /// It is taken for one that was left out.
    Absent,
    /// The translation is quarantined for it, with these words.
    Quarantined(&'static str),
}
use Then::{Absent, Kept, Quarantined};

/// A member, what it is handed in as, and what becomes of it.
type Row = (&'static str, &'static str, Then);

const ADDRESSES: &[Row] = &[
    // Spellings of an address.
    ("url", "/cafe\u{301}", Kept("https://de.news.example/caf%C3%A9")),
    ("url", "/caf%c3%a9-lower", Kept("https://de.news.example/caf%C3%A9-lower")),
    ("url", "/cafe%CC%81-apart", Kept("https://de.news.example/caf%C3%A9-apart")),
    ("url", "/żółw", Kept("https://de.news.example/%C5%BC%C3%B3%C5%82w")),
    ("url", "/%61bc%2Ddef", Kept("https://de.news.example/abc-def")),
    ("url", "HTTPS://DE.News.Example:443/capitals", Kept("https://de.news.example/capitals")),
    ("url", "/a b", Kept("https://de.news.example/a%20b")),
    ("url", "/q?a=1&b=<ü>", Kept("https://de.news.example/q?a=1&b=%3C%C3%BC%3E")),
    ("url", "/a%2fb", Kept("https://de.news.example/a%2Fb")),
    // Addresses that would be dead.
    (
        "url",
        "/caf%25C3%25A9",
        Quarantined("encoded twice: %25C3 is the code of a percent sign before another code; hand it in encoded once"),
    ),
    ("url", "/caf%E9", Quarantined("its codes are no UTF-8: %E9; encode it in UTF-8")),
    ("url", "/caf%C3", Quarantined("no UTF-8: %C3")),
    ("url", "/%C0%AF", Quarantined("no UTF-8: %C0%AF")),
    ("url", "/%ED%A0%BD", Quarantined("no UTF-8: %ED%A0%BD")),
    ("url", "/100%", Quarantined("a percent sign itself is written %25")),
    ("url", "/a\u{8}b", Quarantined("'\\u{8}'; leave it out")),
    ("url", "/a%08b", Quarantined("'\\u{8}'; leave it out")),
    ("url", "/a\u{0}b", Quarantined("'\\0'; leave it out")),
    ("url", "/a\nb", Quarantined("'\\n'; leave it out")),
    ("url", "/a\u{2028}b", Quarantined("'\\u{2028}'; leave it out")),
    ("url", "/a\\b", Quarantined("'\\\\'; leave it out")),
    ("url", "/a#b", Quarantined("a fragment (#…), which no sitemap takes; leave it out")),
    ("url", "/../a", Quarantined("\"..\"; write the path that it leads to")),
    ("url", "/%2e%2e/a", Quarantined("\"..\"; write the path that it leads to")),
    // Addresses of something else.
    (
        "url",
        "https://fr.news.example/a",
        Quarantined(
            "it is at https://fr.news.example, and the locale's pages are at https://de.news.example; hand it in under its own locale",
        ),
    ),
    ("url", "http://de.news.example/a", Quarantined("it is at http://de.news.example, and")),
    ("url", "https://de.news.example./a", Quarantined("it is at https://de.news.example., and")),
    (
        "url",
        "https://de..news.example/a",
        Quarantined("nothing between two dots, or before the first; write \"de.news"),
    ),
    ("url", "https://de.news.example:8443/a", Quarantined("it is at https://de.news.example:8443, and")),
    ("url", "https://u:p@de.news.example/a", Quarantined("a user or a password in it; leave them out")),
    ("url", "news/a", Quarantined("it begins with \"news/a\"; write https://")),
    ("url", "//de.news.example/a", Quarantined("write https://")),
    ("url", "www.de.news.example/a", Quarantined("write https://")),
    ("url", "javascript:alert(1)", Quarantined("write https://")),
    ("url", "https://", Quarantined("is no address: empty host; write it as a browser shows it")),
    ("url", "", Quarantined("it begins with \"\"; write https://")),
];

const TEXTS: &[Row] = &[
    ("title", "a\u{8}b\u{0}c\u{ffff}", Kept("abc")),
    ("title", " AT&T ]]> <b>\r\n", Kept("AT&T ]]> <b>")),
    ("title", "apart e\u{301}", Kept("apart e\u{301}")),
    ("title", "", Quarantined("it is empty; readers and the news index need one")),
    ("title", "\u{8} \u{0}", Quarantined("it is empty")),
    ("summary", "", Absent),
    ("content", " \u{b}", Absent),
    ("content", "<p>a ]]> \u{8}b</p>", Kept("<p>a ]]> b</p>")),
    ("author", " ", Absent),
    ("section", "", Absent),
    ("section", "Sport", Quarantined("a slug is 1 to 63 characters of a-z, 0-9 and -, and neither begins nor ends")),
    ("section", "sprot", Kept("sprot")),
];

const TIMES: &[Row] = &[
    ("published_at", "2026-11-01T11:00:00+01:00", Kept(PUBLISHED)),
    ("published_at", "2026-11-01T10:00Z", Kept(PUBLISHED)),
    ("published_at", "2026-11-01 10:00:00Z", Kept(PUBLISHED)),
    ("published_at", "2026-11-01T11:00:00+0100", Kept(PUBLISHED)),
    ("published_at", "1893-05-01T00:00:00Z", Kept("1893-05-01T00:00:00.000Z")),
    ("published_at", "9999-12-30T00:00:00Z", Kept("9999-12-30T00:00:00.000Z")),
    ("updated_at", "2020-01-01T00:00:00Z", Kept(PUBLISHED)),
    ("updated_at", "", Kept(PUBLISHED)),
    ("published_at", "2026-11-01T10:00:00", Kept(PUBLISHED)),
    ("published_at", "2026-11-01", Kept("2026-11-01T00:00:00.000Z")),
    ("published_at", "2026-02-30T10:00:00Z", Quarantined("is not a time like")),
    ("published_at", "Sun, 01 Nov 2026 10:00:00 GMT", Quarantined("is not a time like")),
    ("published_at", "1793527200", Quarantined("is not a time like")),
    ("published_at", "yesterday", Quarantined("is not a time like")),
    ("published_at", "", Quarantined("is not a time like")),
    ("published_at", "0000-00-00 00:00:00", Quarantined("is not a time like")),
    (
        "published_at",
        "0001-01-01T00:00:00Z",
        Quarantined("before the year 1000, as what programs write where no time is set; say when it was"),
    ),
    ("published_at", "-000001-01-01T00:00:00Z", Quarantined("before the year 1000")),
    ("updated_at", "0001-01-01T00:00:00Z", Quarantined("before the year 1000")),
];

/// On whatever host.
const IMAGES: &[Row] = &[
    ("image", "https://i.example/ä b|c.jpg#top", Kept("https://i.example/%C3%A4%20b%7Cc.jpg")),
    ("image", "https://i.example/caf%E9.jpg?a&b=%c3", Kept("https://i.example/caf%E9.jpg?a&b=%c3")),
    ("image", "https://Bücher.example/1.jpg", Kept("https://xn--bcher-kva.example/1.jpg")),
    ("image", "https://i.example/100%.jpg", Kept("https://i.example/100%.jpg")),
    ("image", "", Absent),
    (
        "image",
        "/1.jpg",
        Quarantined("\"/1.jpg\" is no absolute address: relative URL without a base; begin it with https://"),
    ),
    ("image", "//i.example/1.jpg", Quarantined("is no absolute address")),
    ("image", "data:image/png;base64,iVBORw0KGgo=", Quarantined("is no address of http or https; put the file at one")),
    ("image", "https://u:p@i.example/1.jpg", Quarantined("a user or a password in it; leave them out")),
    ("image", "https://:p@i.example/1.jpg", Quarantined("a user or a password in it; leave them out")),
    ("image", "https://-.example/1.jpg", Quarantined("is no address of http or https")),
];

fn rows() -> Vec<(&'static str, Value, Then)> {
    let fixed = [ADDRESSES, TEXTS, TIMES, IMAGES].concat();
    let mut rows: Vec<_> = fixed.into_iter().map(|(member, given, then)| (member, json!(given), then)).collect();
    let path = |text: &str, times: usize| json!(format!("/{}", text.repeat(times)));
    let image = json!(format!("https://i.example/{}.jpg", "a".repeat(2_048)));
    let relative = json!({ "url": "/1.mp3", "type": "audio/mpeg", "length": 1 });
    rows.extend([
        (
            "url",
            path("a", 2_048),
            Quarantined("it has 2072 characters with its codes; it may have 2047, so shorten it"),
        ),
        ("url", path("é", 400), Quarantined("it has 2424 characters with its codes")),
        ("title", json!("x".repeat(4_097)), Quarantined("it has 4097 characters; it may have 4096, so shorten it")),
        ("image", image, Quarantined("it has 2070 characters; it may have 2047, so shorten it")),
        ("enclosure", relative, Quarantined("\"/1.mp3\" is no absolute address")),
    ]);
    rows
}

const LONG_TAG: &str = concat!(
    "de-Latn-DE-a-long-text-that-is-no-tag-and-would-not-fit-into-an-index-of-a-database-",
    "if-it-were-kept-as-it-was-handed-in",
);

/// Languages as they are handed in, of a site that has de, fr and en-US.
const LOCALES: [(&str, &str); 10] = [
    ("en-UK", "UK is no region of ISO 3166-1; the United Kingdom is GB"),
    ("en_US", "\"en_US\" has an underscore; write it with a hyphen: en-US"),
    ("es-LATAM", "\"LATAM\" is an area of many countries"),
    ("eng", "three letters; hreflang takes the two of ISO 639-1: en"),
    ("sh", "was withdrawn from ISO 639-1; write sr, hr or bs"),
    ("en-us", "the site has no locale \"en-us\"; it is written en-US"),
    ("en", "the site has no locale en; add it to the site's settings and hand the page in again, or leave it out"),
    ("x\u{0}y", "is no language of ISO 639-1"),
    ("", "is no language of ISO 639-1"),
    (LONG_TAG, "has more than a language, a script and a region"),
];

fn good(path: &str) -> Value {
    json!({ "url": path, "title": "T", "published_at": PUBLISHED })
}

async fn site(app: &App) {
    let locale =
        |tag: &str, host: &str| json!({ "tag": tag, "base_url": format!("https://{host}"), "publication_name": "N" });
    let locales = [locale("de", DE), locale("fr", FR), locale("en-US", "us.news.example")];
    let site = json!({ "slug": "news", "locales": locales, "sections": [{ "key": "sport" }] });
    app.client.post("/v1/sites").json(&site).send().await.expect(201);
}

/// Puts pages by their keys, and answers what was quarantined: key, locale, field, reason.
async fn put(app: &App, pages: &BTreeMap<String, Value>) -> Vec<[String; 4]> {
    let page = |(key, translations): (&String, &Value)| json!({ "key": key, "translations": translations });
    let pages: Vec<Value> = pages.iter().map(page).collect();
    let answer =
        app.client.post("/v1/sites/news/pages/batch").json(&json!({ "pages": pages })).send().await.expect(202);
    let mut quarantined = Vec::new();
    for result in answer.list("/results") {
        for one in result["quarantined"].as_array().unwrap() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            quarantined.push([text(&result["key"]), text(&one["locale"]), text(&one["field"]), text(&one["reason"])]);
        }
    }
    let public = || async {
        let site = app.client.get("/v1/sites/news").send().await.expect(200);
        (site.body["stale"] == 0).then_some(())
    };
    eventually("all that is not quarantined is public", LONG, public).await;
    quarantined
}

/// All addresses in the sitemaps of a host, sorted.
async fn addresses(app: &App, host: &str) -> Vec<String> {
    let mut found = Vec::new();
    for file in app.client.all("/v1/sites/news/files").await {
        let url = file["url"].as_str().unwrap();
        let Some(path) = url.strip_prefix(&format!("https://{host}")).filter(|path| path.ends_with(".gz")) else {
            continue;
        };
        let text = app.published(host, path).await.expect("a file that is listed").text;
        let locs = text.split("<loc>").skip(1).filter_map(|rest| rest.split("</loc>").next());
        found.extend(locs.map(|loc| loc.replace("&amp;", "&")));
    }
    found.retain(|loc| loc.contains(host));
    found.sort();
    found
}

async fn what_is_handed_in_in_the_wild_is_mended_or_quarantined_and_the_rest_is_public(stack: Stack) {
    let app = App::start(stack).await;
    site(&app).await;
    let (rows, mut pages) = (rows(), BTreeMap::new());
    for (at, (member, given, _)) in rows.iter().enumerate() {
        let mut de = good(&format!("/d{at:02}"));
        de[member] = given.clone();
        pages.insert(format!("row-{at:02}"), json!({ "de": de, "fr": good(&format!("/f{at:02}")) }));
    }
    for (at, (tag, _)) in LOCALES.iter().enumerate() {
        pages.insert(format!("tag-{at:02}"), json!({ *tag: good("/t"), "fr": good(&format!("/t{at:02}")) }));
    }
    let mut quarantined = put(&app, &pages).await.into_iter();
    let mut of_de = Vec::new();
    for (at, (member, given, then)) in rows.iter().enumerate() {
        let key = format!("row-{at:02}");
        if let Quarantined(words) = then {
            let [of, locale, field, reason] =
                quarantined.next().unwrap_or_else(|| panic!("{given} is not quarantined"));
            assert_eq!([of.as_str(), &locale, &field], [key.as_str(), "de", *member], "{given}: {reason}");
            assert!(reason.contains(words), "{given}: {reason}");
            continue;
        }
        let kept = app.client.get(&format!("/v1/sites/news/pages/{key}")).send().await.expect(200);
        let kept = &kept.body["translations"]["de"];
        let expected = if let Kept(text) = then { json!(text) } else { Value::Null };
        assert_eq!(kept[member], expected, "{member} {given}");
        // What is published in thousands of years is not public yet.
        of_de.extend(kept["url"].as_str().filter(|_| !expected.to_string().contains("9999")).map(str::to_owned));
    }
    for (at, (tag, words)) in LOCALES.iter().enumerate() {
        let [of, locale, field, reason] = quarantined.next().unwrap();
        let shown: String = tag.chars().filter(|char| *char != '\0').take(64).collect();
        assert_eq!([of.as_str(), &locale, &field], [&format!("tag-{at:02}"), shown.as_str(), "locale"], "{reason}");
        assert!(reason.contains(words), "{tag}: {reason}");
    }
    assert_eq!(quarantined.next(), None);
    of_de.sort();
    assert_eq!(addresses(&app, DE).await, of_de);
    assert_eq!(addresses(&app, FR).await.len(), pages.len());
}

async fn of_two_pages_at_one_address_one_is_public_and_so_is_the_rest(stack: Stack) {
    let app = App::start(stack).await;
    site(&app).await;
    let page = |de: &str, fr: &str| json!({ "de": good(de), "fr": good(fr) });
    let pages = [("a", page("/café", "/1")), ("b", page("/cafe%CC%81", "/2")), ("c", page("/c", "/3"))];
    let pages = pages.map(|(key, page)| (key.to_owned(), page)).into();
    assert_eq!(put(&app, &pages).await, Vec::<[String; 4]>::new());
    assert_eq!(addresses(&app, DE).await, ["https://de.news.example/c", "https://de.news.example/caf%C3%A9"]);
    assert_eq!(addresses(&app, FR).await, ["1", "2", "3"].map(|path| format!("https://fr.news.example/{path}")));
    let files = app.client.get("/v1/sites/news/files").send().await.expect(200);
    let items =
        |url: &str| files.list("/data").into_iter().find(|file| file["url"] == url).map(|file| file["urls"].clone());
    for (url, count) in [("https://de.news.example/feed.xml", 2), ("https://fr.news.example/atom.xml", 3)] {
        assert_eq!(items(url), Some(json!(count)), "{url}");
    }
}

async fn what_is_no_text_is_refused_by_its_line(stack: Stack) {
    let app = App::start(stack).await;
    site(&app).await;
    let line = |key: &str, title: &[u8]| {
        let (before, after) = (
            format!("{{\"key\":\"{key}\",\"translations\":{{\"de\":{{\"url\":\"/{key}\",\"title\":"),
            format!(",\"published_at\":\"{PUBLISHED}\"}}}}}}\n"),
        );
        [before.as_bytes(), title, after.as_bytes()].concat()
    };
    let lines = [
        line("good", b"\"T\""),
        line("halved", br#""an emoji cut in two \ud83d""#),
        line("latin", b"\"caf\xe9\""),
        line("raw", b"\"a\x08b\""),
        line("number", b"7"),
        line("none", b"null"),
        line("coded", br#""a\u0008b""#),
    ];
    let call = app.client.post("/v1/sites/news/pages/import").body("application/x-ndjson", lines.concat());
    let done = call.send().await.expect(202);
    let refused: Vec<(u64, String)> = done
        .list("/refused_lines")
        .iter()
        .map(|one| (one["line"].as_u64().unwrap(), one["detail"].as_str().unwrap().to_owned()))
        .collect();
    for ((line, detail), (is, words)) in refused.iter().zip([
        (2, "hex escape"),
        (3, "not UTF-8"),
        (4, "control character"),
        (5, "translations/de/title"),
        (6, "translations/de/title"),
    ]) {
        assert!(*line == is && detail.contains(words), "{refused:?}");
    }
    assert_eq!((refused.len(), &done.body["changed"]), (5, &json!(2)), "{}", done.text);
}
