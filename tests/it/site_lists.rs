//! What is wrong with a site, as its owner asks for it: quarantined translations, what partners would refuse, redirects, robots.

use serde_json::{Value, json};

use crate::harness::{App, LONG, SOON, Stack, bad, eventually, good, postrider};

on_both_stacks!(
    two_pages_with_one_address_are_not_both_published,
    what_is_quarantined_is_listed_by_locale_and_field,
    partners_rules_are_asked_for_a_locale,
    redirect_rules_are_tried_against_a_sites_pages,
    robots_lines_are_those_of_each_host,
);

const HOST: &str = "news.example";

async fn make(app: &App) {
    let locale = |tag: &str, base: &str| json!({ "tag": tag, "base_url": base, "publication_name": "The News" });
    let locales = [locale("de", "https://news.example"), locale("fr", "https://fr.news.example")];
    let site = json!({ "slug": "news", "locales": locales });
    app.client.post("/v1/sites").json(&site).send().await.expect(201);
}

async fn put(app: &App, key: &str, translations: Value) {
    let path = format!("/v1/sites/news/pages/{key}");
    let page = json!({ "translations": translations });
    app.client.call(reqwest::Method::PUT, &path).json(&page).send().await.expect(202);
}

fn one(url: &str, published_at: &str) -> Value {
    json!({ "url": url, "title": "T", "published_at": published_at })
}

async fn read(app: &App, name: &str) -> Option<String> {
    Some(app.published(HOST, &format!("/{name}")).await?.text)
}

async fn quarantined(app: &App, query: &str) -> Vec<String> {
    let (mut listed, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = app.client.get(&format!("/v1/sites/news/quarantine?{query}{cursor}")).send().await.expect(200);
        listed.extend(page.list("/data"));
        let Some(next) = page.body["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let text = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
    listed.iter().map(|one| format!("{} {} {}", text(one, "key"), text(one, "locale"), text(one, "field"))).collect()
}

async fn two_pages_with_one_address_are_not_both_published(stack: Stack) {
    let app = App::start(stack).await;
    make(&app).await;
    put(&app, "first", json!({ "de": one("/a", "2026-11-01T10:00:00Z") })).await;
    let second = json!({ "de": one("/a", "2026-11-02T10:00:00Z"), "fr": one("/b", "2026-11-02T10:00:00Z") });
    put(&app, "second", second).await;
    put(&app, "third", json!({ "de": one("/c", "2026-11-03T10:00:00Z") })).await;
    let listed = || async { Some(quarantined(&app, "").await).filter(|listed| !listed.is_empty()) };
    assert_eq!(eventually("the second page is quarantined", SOON, listed).await, ["second de url"]);
    let reason = app.client.get("/v1/sites/news/quarantine").send().await.expect(200).string("/data/0/reason");
    assert!(reason.contains("\"first\"") && reason.contains("same address"), "{reason}");
    let public = || async {
        let (sitemap, feed) = (read(&app, "sitemap-2026-11-1.xml.gz").await?, read(&app, "feed.xml").await?);
        let counts = (sitemap.matches("<loc>").count(), feed.matches("<item>").count());
        (counts == (2, 2)).then_some(sitemap)
    };
    let sitemap = eventually("the address is public once", SOON, public).await;
    assert!(!sitemap.contains("hreflang=\"fr\""), "{sitemap}");
    app.client.delete("/v1/sites/news/pages/first").send().await.expect(202);
    let freed = || async {
        let is_there = read(&app, "sitemap-2026-11-1.xml.gz").await?.contains("hreflang=\"fr\"");
        (is_there && quarantined(&app, "").await.is_empty()).then_some(())
    };
    eventually("the second page has the address", LONG, freed).await;
    let by_sibling = || async {
        let sibling = app.published("fr.news.example", "/sitemap-2026-11-1.xml.gz").await?;
        sibling.text.contains("hreflang=\"de\" href=\"https://news.example/a\"").then_some(())
    };
    eventually("its sibling names it", SOON, by_sibling).await;
    let named = || async { read(&app, "feed.xml").await?.contains("/page/second").then_some(()) };
    eventually("the feed names it, too", LONG, named).await;
}

async fn what_is_quarantined_is_listed_by_locale_and_field(stack: Stack) {
    let app = App::start(stack).await;
    make(&app).await;
    for n in 0..4 {
        let (de, fr) = (one("/%25C3%25A9", "2026-11-01T10:00:00Z"), one(&format!("/{n}"), "yesterday"));
        put(&app, &format!("p{n}"), json!({ "de": de, "fr": fr })).await;
    }
    assert_eq!(quarantined(&app, "").await.len(), 8);
    assert_eq!(quarantined(&app, "limit=3").await.len(), 8);
    let of_fr = ["p0 fr published_at", "p1 fr published_at", "p2 fr published_at", "p3 fr published_at"];
    assert_eq!(quarantined(&app, "locale=fr").await, of_fr);
    assert_eq!(quarantined(&app, "field=published_at&limit=1").await, of_fr);
    assert_eq!(quarantined(&app, "locale=fr&field=url").await, Vec::<String>::new());
    put(&app, "p0", json!({ "de": one("/mended", "2026-11-01T10:00:00Z") })).await;
    assert_eq!(quarantined(&app, "").await.len(), 6);
    let other = app.client.new_tenant("other").await;
    for path in ["quarantine", "robots", "lint?partner=msn&locale=de"] {
        other.get(&format!("/v1/sites/news/{path}")).send().await.expect_problem(404, "not_found");
    }
    app.client.get("/v1/sites/news/quarantine?cursor=x").send().await.expect_problem(400, "bad_cursor");
}

async fn partners_rules_are_asked_for_a_locale(stack: Stack) {
    let app = App::start(stack).await;
    make(&app).await;
    put(&app, "a", json!({ "de": one("/a", "2026-11-01T10:00:00Z") })).await;
    let answer = app.client.get("/v1/sites/news/lint?partner=msn&locale=de").send().await.expect(200);
    let rules: Vec<String> = answer.list("/data").iter().map(|one| one["rule"].as_str().unwrap().to_owned()).collect();
    assert_eq!(rules, ["title-length", "body", "image"]);
    let first = &answer.list("/data")[0];
    assert_eq!((&first["key"], &first["url"]), (&json!("a"), &json!("https://news.example/a")));
    assert!(first["source"].as_str().unwrap().starts_with("https://support.microsoft.com/"));
    let of_fr = app.client.get("/v1/sites/news/lint?partner=msn&locale=fr").send().await.expect(200);
    assert_eq!(of_fr.list("/data"), Vec::<Value>::new(), "there is no page in it");
    for (query, parameter) in
        [("partner=msn", "locale"), ("partner=bing&locale=de", "partner"), ("partner=msn&locale=en", "locale")]
    {
        let refused = app.client.get(&format!("/v1/sites/news/lint?{query}")).send().await;
        assert_eq!(refused.expect_problem(400, "bad_parameter").string("/errors/0/parameter"), parameter);
    }
    let lint = |partner: &'static str| {
        let mut command = postrider(std::env::temp_dir().as_path());
        command.args(["site", "lint", "news", "--locale", "de", "--partner", partner, "--url"]).arg(app.url());
        command.env("POSTRIDER_TOKEN", crate::harness::ADMIN_TOKEN);
        tokio::task::spawn_blocking(move || command.output().unwrap())
    };
    let told = bad(lint("flipboard").await.unwrap());
    assert!(told.contains("3 things have to be mended for flipboard"), "all of it, its body and its image: {told}");
    let now = (jiff::Timestamp::now() - jiff::SignedDuration::from_secs(60)).to_string();
    let mut news = one("/b", &now);
    news["news"] = json!(true);
    put(&app, "b", json!({ "de": news })).await;
    let told = good(lint("google-news").await.unwrap());
    assert!(told.contains("google-news would refuse nothing"), "{told}");
}

async fn redirect_rules_are_tried_against_a_sites_pages(stack: Stack) {
    let app = App::start(stack).await;
    make(&app).await;
    put(&app, "a", json!({ "de": one("/news/a", "2026-11-01T10:00:00Z") })).await;
    let check = |body: Value| {
        let request = app.client.post("/v1/sites/news/check-links").json(&body);
        async move { request.send().await }
    };
    let report = check(json!({ "redirects": "prefix /news/ /archive/\n" })).await.expect(200);
    assert_eq!((&report.body["pages"], &report.body["rules"]), (&json!(1), &json!(1)));
    let errors: Vec<Value> = report.list("/findings").into_iter().filter(|one| one["level"] == "error").collect();
    assert_eq!(errors.len(), 1, "{}", report.text);
    assert_eq!((&errors[0]["line"], &errors[0]["path"]), (&json!(1), &json!("https://news.example/news/a")));
    let named = json!({ "redirects": "exact /a /b\nexact /b /a\n", "addresses": ["https://news.example/c"] });
    let report = check(named).await.expect(200);
    assert_eq!(report.string("/findings/0/code"), "redirect-loop");
    let refused = check(json!({ "redirects": "exact /a\n" })).await.expect_problem(422, "invalid_body");
    assert_eq!(refused.string("/errors/0/pointer"), "/redirects");
    let refused = check(json!({ "redirects": "", "addresses": ["/a"] })).await.expect_problem(422, "invalid_body");
    assert_eq!(refused.string("/errors/0/pointer"), "/addresses/0");
    let detail = refused.string("/detail");
    assert_eq!(detail, "\"/a\" is no absolute address; write all of it, as in https://example.com/a");
}

async fn robots_lines_are_those_of_each_host(stack: Stack) {
    let app = App::start(stack).await;
    make(&app).await;
    let day = "2026-11-01T10:00:00Z";
    put(&app, "a", json!({ "de": one("/a", day), "fr": one("/b", day) })).await;
    let lines = || async {
        let listed = app.client.get("/v1/sites/news/robots").send().await.expect(200).list("/data");
        (listed.len() == 2).then_some(listed)
    };
    let line = |host: &str| json!({ "host": host, "lines": format!("Sitemap: https://{host}/sitemap.xml\n") });
    assert_eq!(
        eventually("both indexes are public", SOON, lines).await,
        [line("fr.news.example"), line("news.example")]
    );
}
