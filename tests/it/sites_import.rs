//! Imports of files as people have them: what is no page is named, costs nothing else, and is not passed over in silence.

use serde_json::json;

use crate::{
    harness::{App, SOON, Stack, bad, eventually, good},
    sites::{DE, Site},
};

on_both_stacks!(an_import_says_what_it_did_not_take, many_pages_are_imported_a_line_each);

const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;

fn page(key: &str, section: Option<&str>) -> String {
    let one =
        json!({ "url": format!("/{key}"), "title": "T", "published_at": "2026-11-01T10:00:00Z", "section": section });
    json!({ "key": key, "translations": { "de": one } }).to_string()
}

async fn an_import_says_what_it_did_not_take(stack: Stack) {
    let app = App::start(stack).await;
    let locale = json!({ "tag": "de", "base_url": "https://de.news.example", "publication_name": "Die Zeitung" });
    let site = json!({ "slug": "news", "locales": [locale], "read_back": false });
    app.client.post("/v1/sites").json(&site).send().await.expect(201);
    let folder = tempfile::tempdir().unwrap();
    let import = |name: &str, bytes: &[u8]| {
        let file = folder.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        app.shell(&["site", "import", "news", file.to_str().unwrap()])
    };

    let told = |output: std::process::Output| String::from_utf8(output.stdout.clone()).unwrap() + &bad(output);

    let too_long = "x".repeat(LINE_BYTES_MAX + 300_000);
    let lines = [&format!("\u{feff}{}", page("a", Some("sport"))), &too_long, "{", &page("b", None)].join("\r\n");
    let text = told(import("mixed", lines.as_bytes()));
    for words in [
        "Pages: 4. Changed: 2. Removed: 0. Refused lines: 2.",
        "line 2 is no page: it has more than 4194304 bytes",
        "line 3 is no page: column ",
        "do not have, so they have no feeds: sport.",
        "lines that were refused: 2. All others are stored",
    ] {
        assert!(text.contains(words), "{words} is not in {text}");
    }
    let kept = || async {
        let page = app.client.get("/v1/sites/news/pages/b").send().await;
        (page.status == 200).then_some(())
    };
    eventually("what came behind is kept", SOON, kept).await;
    app.client.get("/v1/sites/news/pages/a").send().await.expect(200);

    let many: Vec<&str> = vec!["[]"; 30];
    assert!(told(import("many", many.join("\n").as_bytes())).contains("  and 10 more"));
    assert!(told(import("last", too_long.as_bytes())).contains("line 1 is no page: it has more than"));
    assert!(told(import("none", b"\n\n")).contains("has no page, so nothing was changed"));
    assert!(told(import("gzip", &[0x1f, 0x8b, 8, 0])).contains("unpack it"));
    assert!(told(import("wide", &[0xff, 0xfe, b'{', 0])).contains("write it as UTF-8"));
    assert!(told(app.shell(&["site", "import", "news", folder.path().to_str().unwrap()])).contains("is a folder"));
    let text = good(import("good", page("c", None).as_bytes()));
    assert!(text.contains("Changed: 1. Removed: 0. Refused lines: 0.") && !text.contains("feeds"), "{text}");
    // A page that is not there is none to remove.
    let gone = ["a", "c", "nowhere"].map(|key| json!({ "key": key, "removed": true }).to_string());
    let text = good(import("gone", [gone.join("\n"), page("e", None)].join("\n").as_bytes()));
    assert!(text.contains("Pages: 4. Changed: 3. Removed: 2."), "{text}");

    let packed = app.client.post("/v1/sites/news/pages/import").body("application/x-ndjson", page("d", None));
    packed.header("content-encoding", "gzip").send().await.expect_problem(415, "unsupported_media_type");
}

async fn many_pages_are_imported_a_line_each(stack: Stack) {
    let app = App::start(stack).await;
    let site = Site::make(&app).await;
    let one = |url: &str| json!({ "url": url, "title": "T", "published_at": "2026-11-01T10:00:00Z" });
    let mut lines: Vec<String> = (0..1_200)
        .map(|n| json!({ "key": format!("p{n}"), "translations": { "de": one(&format!("/a{n}")) } }).to_string())
        .collect();
    lines.insert(3, "{".to_owned());
    lines.insert(7, json!({ "key": "x", "translations": { "de": one("/%25C3%25A9") } }).to_string());
    lines.insert(9, json!({ "key": "", "translations": {} }).to_string());
    lines.insert(11, String::new());
    let import = || site.client.post("/v1/sites/news/pages/import").body("application/x-ndjson", lines.join("\n"));
    let done = import().send().await.expect(202);
    assert_eq!(
        (&done.body["lines"], &done.body["changed"], &done.body["refused"], &done.body["quarantined"]),
        (&json!(1203), &json!(1200), &json!(2), &json!(1)),
        "{}",
        done.text
    );
    assert_eq!(
        (&done.body["refused_lines"][0]["line"], &done.body["refused_lines"][1]["line"]),
        (&json!(4), &json!(10))
    );
    let all = || async { (site.addresses(DE, "").await.len() == 1_200).then_some(()) };
    eventually("all pages are public", SOON, all).await;
    assert_eq!(import().send().await.expect(202).body["changed"], 0);
    let wrong = site.client.post("/v1/sites/news/pages/import").body("text/plain", "{}").send().await;
    wrong.expect_problem(415, "unsupported_media_type");
}
