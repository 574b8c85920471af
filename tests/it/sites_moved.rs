//! A site that is set anew: where its locales and sections go, nobody who reads it is led to what is not there.

use serde_json::{Value, json};

use crate::harness::{App, SOON, Stack, eventually};

on_both_stacks!(
    a_locale_that_moves_is_found_at_both_places,
    a_locale_that_is_public_is_left_out_on_purpose_alone,
    a_section_that_goes_takes_its_feeds_along_and_no_page,
);

const HOST: &str = "news.example";

struct Site<'a>(&'a App);

fn locale(tag: &str, base: &str) -> Value {
    json!({ "tag": tag, "base_url": format!("https://{HOST}{base}"), "publication_name": "Die Zeitung" })
}

fn settings(locales: &[Value], sections: &[&str]) -> Value {
    let sections: Vec<Value> = sections.iter().map(|key| json!({ "key": key })).collect();
    json!({ "locales": locales, "sections": sections, "read_back": false })
}

impl Site<'_> {
    async fn set(&self, settings: &Value) -> crate::harness::Answer {
        self.0.client.call(reqwest::Method::PUT, "/v1/sites/news").json(settings).send().await
    }

    async fn put(&self, key: &str, tags: &[&str], section: Option<&str>) -> Value {
        let one = json!({ "url": format!("/{key}"), "title": "T", "published_at": "2026-11-01T10:00:00Z", "section": section });
        let translations: Value = tags.iter().map(|tag| ((*tag).to_owned(), one.clone())).collect();
        let path = format!("/v1/sites/news/pages/{key}");
        let page = json!({ "translations": translations });
        self.0.client.call(reqwest::Method::PUT, &path).json(&page).send().await.expect(202).body
    }

    /// What is at a path of the host; `None` where nothing is.
    async fn read(&self, path: &str) -> Option<String> {
        Some(self.0.published(HOST, path).await?.text)
    }

    /// The paths that an index names, and what is at them; `None` where there is no index.
    async fn sitemaps(&self, base: &str) -> Option<Vec<(String, String)>> {
        let index = self.read(&format!("{base}/sitemap.xml")).await?;
        let mut sitemaps = Vec::new();
        for loc in index.split("<loc>").skip(1) {
            let path = loc.split("</loc>").next().unwrap().strip_prefix(&format!("https://{HOST}")).unwrap().to_owned();
            let text =
                self.read(&path).await.unwrap_or_else(|| panic!("{base}/sitemap.xml names {path}, which is not there"));
            sitemaps.push((path, text));
        }
        Some(sitemaps)
    }

    async fn await_public(&self, base: &str, words: &str) {
        let public = || async {
            let sitemaps = self.sitemaps(base).await?;
            sitemaps.iter().all(|(_, text)| text.contains(words)).then_some(())
        };
        eventually(&format!("{words} is public below {base}"), SOON, public).await;
    }

    async fn gone(&self) -> Vec<String> {
        let files = self.0.client.get("/v1/sites/news/files?state=gone").send().await.expect(200).list("/data");
        files.iter().map(|file| file["url"].as_str().unwrap().to_owned()).collect()
    }
}

async fn a_locale_that_moves_is_found_at_both_places(stack: Stack) {
    let app = App::start(stack).await;
    let site = Site(&app);
    site.set(&settings(&[locale("de", "/one")], &[])).await.expect(201);
    for n in 0..3 {
        site.put(&format!("p{n}"), &["de"], None).await;
    }
    site.await_public("/one", "https://news.example/one/p2<").await;
    site.set(&settings(&[locale("de", "/two")], &[])).await.expect(200);
    // On the way, whichever index is read, all that it names is there.
    let moved = || async {
        site.sitemaps("/one").await.expect("an index at the former place");
        let sitemaps = site.sitemaps("/two").await?;
        sitemaps.iter().all(|(path, _)| path.starts_with("/two/")).then_some(())
    };
    eventually("the index names the new place", SOON, moved).await;
    site.await_public("/two", "https://news.example/two/p2<").await;
    assert_eq!(site.read("/one/sitemap.xml").await, site.read("/two/sitemap.xml").await);
    assert!(site.read("/one/feed.xml").await.unwrap().contains("https://news.example/two/feed.xml"));

    // The former place is anybody's, the present one is not.
    let other = |base: &str| json!({ "slug": "other", "locales": [locale("fr", base)], "read_back": false });
    app.client.post("/v1/sites").json(&other("/two")).send().await.expect_problem(409, "exists");
    app.client.post("/v1/sites").json(&other("/one")).send().await.expect(201);
    let left = || async { site.read("/one/sitemap.xml").await.is_none().then_some(()) };
    eventually("the former place is another site's", SOON, left).await;
    site.set(&settings(&[locale("de", "/one")], &[])).await.expect_problem(409, "exists");
}

async fn a_locale_that_is_public_is_left_out_on_purpose_alone(stack: Stack) {
    let app = App::start(stack).await;
    let site = Site(&app);
    let [de, fr] = [locale("de", "/de"), locale("fr", "/fr")];
    site.set(&settings(&[de.clone(), fr.clone()], &[])).await.expect(201);
    site.set(&settings(std::slice::from_ref(&de), &[])).await.expect(200);
    site.set(&settings(&[de.clone(), fr], &[])).await.expect(200);
    for n in 0..5 {
        site.put(&format!("p{n}"), &["de", "fr"], None).await;
    }
    site.await_public("/fr", "/fr/p4<").await;
    site.await_public("/de", "/fr/p4\"").await;
    let only = settings(std::slice::from_ref(&de), &[]);
    let refused = site.set(&only).await.expect_problem(409, "locale_is_public");
    assert!(refused.string("/detail").contains("?remove_locales=fr"), "{}", refused.text);
    assert!(site.read("/fr/sitemap.xml").await.is_some());
    let put = |query: &str| {
        let path = format!("/v1/sites/news?{query}");
        let call = app.client.call(reqwest::Method::PUT, &path).json(&only);
        async move { call.send().await }
    };
    put("remove_locales=de").await.expect_problem(409, "locale_is_public");
    put("remove=fr").await.expect_problem(400, "bad_parameter");
    // What waits of it is waited for no more.
    for n in 0..4 {
        app.client.delete(&format!("/v1/sites/news/pages/p{n}/translations/fr")).send().await.expect(202);
    }
    put("remove_locales=it,fr").await.expect(200);
    let alone = || async {
        let sitemaps = site.sitemaps("/de").await.expect("the other locale's index");
        sitemaps.iter().all(|(_, text)| !text.contains("/fr/") && text.contains("/de/p4<")).then_some(())
    };
    eventually("it is nobody's alternate", SOON, alone).await;
    let settled = || async {
        let now = app.client.get("/v1/sites/news").send().await.expect(200);
        (now.body["stale"] == 0 && now.list("/held").is_empty()).then_some(())
    };
    eventually("nothing waits", SOON, settled).await;
    assert!(site.read("/fr/sitemap.xml").await.is_none() && site.read("/fr/feed.xml").await.is_none());
}

async fn a_section_that_goes_takes_its_feeds_along_and_no_page(stack: Stack) {
    let app = App::start(stack).await;
    let site = Site(&app);
    let with = |sections: &[&str]| settings(&[locale("de", "/de")], sections);
    site.set(&with(&["sport"])).await.expect(201);
    assert_eq!(site.put("a", &["de"], Some("sport")).await["unknown_sections"], json!([]));
    let answer = site.put("b", &["de"], Some("typo")).await;
    assert_eq!((&answer["unknown_sections"], &answer["quarantined"]), (&json!(["typo"]), &json!([])));
    let public = |name: &'static str, words: &'static str| {
        let site = &site;
        let read = move || async move { site.read(name).await.filter(|text| text.contains(words)).map(drop) };
        async move { eventually(&format!("{words} is in {name}"), SOON, read).await }
    };
    public("/de/feed-sport.xml", "/de/a").await;
    public("/de/feed.xml", "/de/b").await;
    assert!(site.read("/de/feed-typo.xml").await.is_none());
    site.await_public("/de", "/de/b<").await;

    site.set(&with(&[])).await.expect(200);
    let gone = || async { Some(site.gone().await).filter(|gone| gone.len() == 3) };
    let gone = eventually("the section's feeds are about to go", SOON, gone).await;
    assert!(gone.iter().all(|url| url.contains("-sport.")), "{gone:?}");
    assert_eq!(site.put("a", &["de"], Some("sport")).await["unknown_sections"], json!(["sport"]));
    public("/de/feed.xml", "/de/a").await;

    site.set(&with(&["typo"])).await.expect(200);
    public("/de/feed-typo.xml", "/de/b").await;
    site.await_public("/de", "/de/a<").await;
}
