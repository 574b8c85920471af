//! What is public of a site, as programs of others read it: every file is valid, and says what was handed in.

mod json_feed;
mod sitemaps;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use postrider_core::{
    domain::{UnixMs, site::permalink::Permalink},
    site::{Atom, Enclosure, Feed, Guid, Item, Rss},
};
use serde_json::{Value, json};

use crate::harness::{
    App, LONG, SeenFeed, SeenItem, ServedFeed, Stack, by_feedparser, by_rss_parser, eventually, unpacked, xmllint,
};

on_both_stacks!(every_public_file_is_valid_and_says_what_was_handed_in);

/// Tag, base, publication, and the section's name.
const LOCALES: [(&str, &str, &str, &str); 8] = [
    ("de", "https://de.news.example", "Die \"Zeitung\" & <Söhne>", "Politik & <Welt>"),
    ("fr", "https://news.example/fr", "L'Écho ]]> d'ici", "L'État"),
    ("ar", "https://ar.news.example", "الجريدة", "سياسة"),
    ("zh-Hans", "https://zh.news.example/hans", "新闻报", "政治"),
    ("zh-Hant", "https://zh.news.example/hant", "新聞報", "政治"),
    ("zh-Hant-HK", "https://hk.news.example", "新聞報（香港）", "政治"),
    ("pl", "https://żółw.example/wiadomości", "Gazeta Źródło", "Świat"),
    ("pt-BR", "https://br.news.example", "O Jornal 📰", "Política"),
];

/// What is handed in, and what readers see of it.
const TEXTS: [(&str, &str); 12] = [
    ("plain words", "plain words"),
    ("a ]]> b ]]]]>> c <![CDATA[d]]> e", "a ]]> b ]]]]>> c <![CDATA[d]]> e"),
    (
        "AT&T &amp; <i>Söhne</i> &lt;b> &nbsp; &#8; &unknown; <br",
        "AT&T &amp; <i>Söhne</i> &lt;b> &nbsp; &#8; &unknown; <br",
    ),
    ("a\u{8}b\u{0}c\u{b}d\u{1f}e\u{fffe}f\u{ffff}g", "abcdefg"),
    (
        "delete\u{7f} nextline \u{2028}separator\u{feff}s \u{ad}soft",
        "delete\u{7f} nextline \u{2028}separator\u{feff}s \u{ad}soft",
    ),
    ("👩‍👩‍👧‍👦 and 🇺🇦 and \u{10ffff} 𝄞", "👩‍👩‍👧‍👦 and 🇺🇦 and \u{10ffff} 𝄞"),
    ("composed é", "composed é"),
    ("apart e\u{301} \u{212b} \u{fb01}", "apart e\u{301} \u{212b} \u{fb01}"),
    ("\u{202e}right to left\u{202c} \u{200f}אב ab\u{200e}", "\u{202e}right to left\u{202c} \u{200f}אב ab\u{200e}"),
    ("one\r\ntwo\rthree\nfour\tfive", "one\ntwo\nthree\nfour\tfive"),
    ("quotes \" ' ` « » and <!-- no --> comment <?php ?>", "quotes \" ' ` « » and <!-- no --> comment <?php ?>"),
    ("percent %41 %C3 + \\ backslash \u{fffd} end", "percent %41 %C3 + \\ backslash \u{fffd} end"),
];

/// What stands behind the base as it is handed in, and in its canonical form.
const SLUGS: [(&str, &str); 12] = [
    ("/plain", "/plain"),
    ("/żółw", "/%C5%BC%C3%B3%C5%82w"),
    ("/cafe\u{301}", "/caf%C3%A9"),
    ("/caf%c3%a9-2", "/caf%C3%A9-2"),
    ("/a&b'c", "/a&b'c"),
    ("/q?a=1&b=<2>&c=\"ü\"", "/q?a=1&b=%3C2%3E&c=%22%C3%BC%22"),
    ("/新闻/港口", "/%E6%96%B0%E9%97%BB/%E6%B8%AF%E5%8F%A3"),
    ("/👋", "/%F0%9F%91%8B"),
    ("/انتخابات", "/%D8%A7%D9%86%D8%AA%D8%AE%D8%A7%D8%A8%D8%A7%D8%AA"),
    ("/a b+c", "/a%20b+c"),
    ("/50%25", "/50%25"),
    ("/]]>", "/%5D%5D%3E"),
];

/// A page in all languages.
struct Handed {
    key: String,
    at: usize,
    published_at: Timestamp,
}

impl Handed {
    fn all() -> Vec<Self> {
        let newest = Timestamp::from_second(Timestamp::now().as_second() - 60).unwrap();
        let one = |at: usize| Self {
            key: format!("wire/{at} é&\"<"),
            at,
            published_at: newest - SignedDuration::from_hours(5 * i64::try_from(at).unwrap()),
        };
        (0..TEXTS.len()).map(one).collect()
    }

    fn is_in_section(&self) -> bool {
        self.at.is_multiple_of(3)
    }

    fn handed(&self, text: usize) -> &'static str {
        TEXTS[(self.at + text) % TEXTS.len()].0
    }

    fn seen(&self, text: usize) -> String {
        TEXTS[(self.at + text) % TEXTS.len()].1.to_owned()
    }

    fn image(&self) -> String {
        format!("https://images.example/{}.jpg?a=1&b=%C3%A9", self.at)
    }

    fn json(&self) -> Value {
        let one = |tag: &str| {
            json!({
                "url": SLUGS[self.at].0,
                "title": format!("{tag}: {}", self.handed(0)),
                "summary": self.handed(0),
                "content": format!("<p>{}</p>", self.handed(1)),
                "author": self.handed(2),
                "published_at": self.published_at,
                "section": self.is_in_section().then_some("politics"),
                "image": self.image(),
                "enclosure": { "url": format!("https://files.example/{}.mp3?a&b", self.at), "type": "audio/mpeg", "length": 1_000 + self.at },
                "news": true,
            })
        };
        let translations: BTreeMap<&str, Value> = LOCALES.iter().map(|(tag, ..)| (*tag, one(tag))).collect();
        json!({ "key": self.key, "translations": translations })
    }
}

/// One public file, as it was served.
struct Public {
    locale: String,
    /// Below the locale's base.
    name: String,
    content_type: String,
    body: Vec<u8>,
}

impl Public {
    fn text(&self) -> String {
        unpacked(&self.name, &self.body)
    }
}

async fn publish(app: &App, pages: &[Handed]) -> Vec<Public> {
    let locale = |(tag, base, name, _): &(&str, &str, &str, &str)| json!({ "tag": tag, "base_url": base, "publication_name": name, "x_default": *tag == "de" });
    let names: BTreeMap<&str, &str> = LOCALES.iter().map(|(tag, .., section)| (*tag, *section)).collect();
    let site = json!({ "slug": "news", "locales": LOCALES.iter().map(locale).collect::<Vec<_>>(), "sections": [{ "key": "politics", "names": names }] });
    app.client.post("/v1/sites").json(&site).send().await.expect(201);
    let pages: Vec<Value> = pages.iter().map(Handed::json).collect();
    let put = app.client.post("/v1/sites/news/pages/batch").json(&json!({ "pages": pages })).send().await.expect(202);
    for page in put.list("/results") {
        assert_eq!(page["quarantined"], json!([]), "{page}");
    }
    let public = || async {
        let site = app.client.get("/v1/sites/news").send().await.expect(200);
        (site.body["stale"] == 0).then_some(())
    };
    eventually("all of the site is public", LONG, public).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut files = Vec::new();
    for file in app.client.all("/v1/sites/news/files").await {
        let (url, locale) = (file["url"].as_str().unwrap(), file["locale"].as_str().unwrap().to_owned());
        let (host, path) = url.strip_prefix("https://").and_then(|rest| rest.split_once('/')).unwrap();
        let answer = http.get(format!("{}/{path}", app.url())).header("host", host).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{url}");
        let content_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
        let name = path.rsplit('/').next().unwrap().to_owned();
        files.push(Public { locale, name, content_type, body: answer.bytes().await.unwrap().to_vec() });
    }
    files
}

async fn every_public_file_is_valid_and_says_what_was_handed_in(stack: Stack) {
    let app = App::start(stack).await;
    let pages = Handed::all();
    let files = publish(&app, &pages).await;
    let folder = tempfile::tempdir().unwrap();
    for file in files.iter().filter(|file| !file.name.ends_with(".json")) {
        let text = file.text();
        xmllint(folder.path(), &text).unwrap_or_else(|why| panic!("{} {}: {why}\n{text}", file.locale, file.name));
    }
    let names = |end: &str| files.iter().filter(|file| file.name.ends_with(end)).count();
    // An index, news, and feeds in two formats, of the locale and of its section.
    assert_eq!((names(".xml"), names(".json")), (6 * LOCALES.len(), 2 * LOCALES.len()));
    if std::env::var("POSTRIDER_TEST_XSD").is_err() {
        eprintln!("POSTRIDER_TEST_XSD is not set, so sitemaps are not judged by their schemas");
    }
    let (mut served, mut of) = (Vec::new(), Vec::new());
    for file in &files {
        match file.name.as_str() {
            name if name.ends_with(".json") => json_feed::judge(file, &pages),
            name if name.starts_with("feed") || name.starts_with("atom") => {
                served.push(ServedFeed { content_type: file.content_type.clone(), body: file.body.clone() });
                of.push(file);
            }
            name if name == "sitemap.xml" || name == "sitemap-news.xml" || name.ends_with(".gz") => {}
            name => panic!("nobody judges {name}"),
        }
    }
    sitemaps::judge(&files, &pages);
    for ((file, by_one), by_other) in of.iter().zip(by_feedparser(&served)).zip(by_rss_parser(&served)) {
        judge_feed(file, &by_one, &pages);
        judge_feed(file, &by_other, &pages);
        let version = if file.name.starts_with("atom") { "atom10" } else { "rss20" };
        assert_eq!((by_one.fault, by_one.version.as_deref()), (None, Some(version)), "{} {}", file.locale, file.name);
    }
}

#[test]
fn a_file_that_goes_with_an_item_is_read_as_it_was_written() {
    let link = |text: &str| Permalink::parse(text).unwrap();
    let (home, own, url) =
        (link("https://a.example/"), link("https://a.example/feed.xml"), link("https://a.example/1"));
    let (id, guid, language) = (guid("feed"), guid("page"), "de".parse().unwrap());
    let updated_at = UnixMs(1_700_000_000_000);
    let (title, description, publisher) = ("T", "D", "P");
    let feed = Feed {
        id: &id,
        title,
        description,
        publisher,
        language: &language,
        home: &home,
        own: &own,
        hub: None,
        updated_at,
    };
    let enclosure = Enclosure { url: "https://f.example/1.mp3?a&b", media_type: "audio/mpeg", length_bytes: u64::MAX };
    let item = Item {
        guid: &guid,
        url: &url,
        title,
        summary: None,
        content: None,
        author: None,
        published_at: updated_at,
        updated_at,
        section: None,
        image: None,
        enclosure: Some(enclosure),
    };
    let (mut rss, mut atom) = (Rss::begin(Vec::new(), &feed).unwrap(), Atom::begin(Vec::new(), &feed).unwrap());
    rss.push(&item).unwrap().unwrap();
    atom.push(&item).unwrap().unwrap();
    let served = |kind: &str, body| ServedFeed { content_type: format!("application/{kind}+xml; charset=utf-8"), body };
    let served = [served("rss", rss.end().unwrap().0), served("atom", atom.end().unwrap().0)];
    let written = [("https://f.example/1.mp3?a&b".to_owned(), u64::MAX.to_string(), "audio/mpeg".to_owned())];
    let by_one = by_feedparser(&served);
    assert!(by_one.iter().all(|feed| feed.fault.is_none() && feed.items[0].enclosures == written), "{by_one:?}");
    // It looks for none in Atom.
    assert_eq!(by_rss_parser(&served)[0].items[0].enclosures, written);
}

fn guid(name: &str) -> Guid {
    Guid::new("a.example", UnixMs(0), &[name])
}

#[test]
fn xmllint_refuses_what_breaks_a_schema() {
    let folder = tempfile::tempdir().unwrap();
    let sitemap = |inner: &str| {
        let root = "<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\" xmlns:image=\"http://www.google.com/schemas/sitemap-image/1.1\">";
        format!("{root}<url><loc>https://a.example/</loc>{inner}</url></urlset>")
    };
    let judged = |inner: &str| xmllint(folder.path(), &sitemap(inner));
    assert_eq!(judged("<image:image><image:loc>https://a.example/a.jpg</image:loc></image:image>"), Ok(()));
    assert!(judged("\u{8}").is_err());
    if std::env::var("POSTRIDER_TEST_XSD").is_ok() {
        for broken in ["<lastmod>yesterday</lastmod>", "<image:image/>", "<priority>2</priority>"] {
            assert!(judged(broken).unwrap_err().contains("Schemas validity error"), "{broken}");
        }
    }
}

/// The pages of a feed, newest first.
fn of_feed<'a>(file: &Public, pages: &'a [Handed]) -> Vec<&'a Handed> {
    pages.iter().filter(|page| !file.name.contains("politics") || page.is_in_section()).collect()
}

fn locale_of(file: &Public) -> (&'static str, String, &'static str, &'static str) {
    let (tag, base, name, section) = LOCALES.into_iter().find(|(tag, ..)| *tag == file.locale).unwrap();
    (tag, canonical(base), name, section)
}

fn canonical(base: &str) -> String {
    base.replace("żółw.example/wiadomości", "xn--w-uga1v8h.example/wiadomo%C5%9Bci")
}

fn title_of(file: &Public) -> String {
    let (_, _, name, section) = locale_of(file);
    if file.name.contains("politics") { format!("{name} – {section}") } else { name.to_owned() }
}

/// What a feed's reader is to see of a page, but for its id.
fn seen(file: &Public, page: &Handed) -> SeenItem {
    let (tag, base, _, section) = locale_of(file);
    SeenItem {
        id: String::new(),
        is_address: None,
        link: format!("{base}{}", SLUGS[page.at].1),
        title: format!("{tag}: {}", page.seen(0)),
        published: page.published_at.as_second(),
        summary: Some(page.seen(0)),
        content: Some(format!("<p>{}</p>", page.seen(1))),
        author: Some(page.seen(2)),
        section: page.is_in_section().then(|| section.to_owned()),
        image: Some(page.image()),
        enclosures: Vec::new(),
    }
}

/// An id that stays when the address changes, of the site's first host.
fn judge_id(id: &str, page: &Handed, tag: &str) {
    let end = format!(":news/{tag}/page/wire%2F{}%20%C3%A9%26%22%3C", page.at);
    assert!(id.starts_with("tag:de.news.example,20") && id.ends_with(&end), "{id}");
}

fn judge_feed(file: &Public, feed: &SeenFeed, pages: &[Handed]) {
    let (tag, base, ..) = locale_of(file);
    let own = format!("{base}/{}", file.name);
    let expected = (title_of(file), format!("{base}/"), Some(own));
    assert_eq!((feed.title.clone(), feed.link.clone(), feed.own.clone()), expected);
    let pages = of_feed(file, pages);
    assert_eq!(feed.items.len(), pages.len(), "{} {}", file.locale, file.name);
    for (item, page) in feed.items.iter().zip(pages) {
        judge_id(&item.id, page, tag);
        assert_ne!(item.is_address, Some(true));
        for (url, length, media_type) in &item.enclosures {
            let handed = (format!("https://files.example/{}.mp3?a&b", page.at), (1_000 + page.at).to_string());
            assert_eq!(((url.clone(), length.clone()), media_type.as_str()), (handed, "audio/mpeg"));
        }
        let known = SeenItem { id: String::new(), is_address: None, enclosures: Vec::new(), ..item.clone() };
        let mut expected = seen(file, page);
        if known.section.is_none() && file.name.starts_with("atom") {
            expected.section = None;
        }
        assert_eq!(known, expected, "{} {}", file.locale, file.name);
    }
}
