//! What feeds are like in the wild, and what becomes of text that is.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::{
    Fault,
    elements::{Format, Values, What, read, root_values},
    judge_atom, judge_json_feed, judge_rss,
};
use crate::{
    domain::{
        Id, UnixMs,
        site::{
            change::{Shard, Target},
            draft::{Draft, judge},
            permalink::{BaseUrl, Permalink},
            settings::{Locale, Site, SiteSettings},
            text::cleaned,
        },
    },
    site::{
        Atom, FEED_BYTES_MAX, Feed, Gate, Guid, Item, JsonFeed, Latest, Rss, ShardPages,
        feed::{MEDIA, tests::Parts},
    },
};

fn base() -> BaseUrl {
    BaseUrl::parse("https://a.example").unwrap()
}

fn rss(feed: &Feed<'_>, items: &[Item<'_>]) -> String {
    let mut rss = Rss::begin(Vec::new(), feed).unwrap();
    items.iter().for_each(|item| rss.push(item).unwrap().unwrap());
    String::from_utf8(rss.end().unwrap().0).unwrap()
}

fn atom(feed: &Feed<'_>, items: &[Item<'_>]) -> String {
    let mut atom = Atom::begin(Vec::new(), feed).unwrap();
    items.iter().for_each(|item| atom.push(item).unwrap().unwrap());
    String::from_utf8(atom.end().unwrap().0).unwrap()
}

fn json(feed: &Feed<'_>, items: &[Item<'_>]) -> String {
    let mut json = JsonFeed::begin(Vec::new(), feed).unwrap();
    items.iter().for_each(|item| json.push(item).unwrap().unwrap());
    String::from_utf8(json.end().unwrap().0).unwrap()
}

/// The good feed with one of its parts in other words.
fn refused(good: &str, part: &str, other: &str, judge: impl Fn(&[u8]) -> Result<u32, Fault>) -> String {
    assert!(good.contains(part), "{part}");
    let fault = judge(good.replacen(part, other, 1).as_bytes()).expect_err(other);
    fault.to_string()
}

#[test]
fn good_feeds_pass_and_are_the_same_for_the_same_content() {
    let parts = Parts::new();
    let (guid, url) =
        (Guid::new("a.example", parts.item().updated_at, &["2"]), Permalink::parse("https://a.example/2").unwrap());
    let bare = Item {
        guid: &guid,
        url: &url,
        content: None,
        summary: None,
        author: None,
        section: None,
        image: None,
        ..parts.item()
    };
    let items = [parts.item(), Item { enclosure: None, ..bare }];
    let feed = parts.feed();
    let judged = |text: &str, judged: Result<u32, Fault>| {
        assert_eq!(judged.unwrap(), 2, "{text}");
    };
    judged(&rss(&feed, &items), judge_rss(rss(&feed, &items).as_bytes(), &base()));
    judged(&atom(&feed, &items), judge_atom(atom(&feed, &items).as_bytes(), &base()));
    judged(&json(&feed, &items), judge_json_feed(json(&feed, &items).as_bytes(), &base()));
    assert!(judge_rss(rss(&feed, &[]).as_bytes(), &base()).is_ok());
}

#[test]
fn rss_that_loses_a_partner_is_refused_by_its_words() {
    let parts = Parts::new();
    let good = rss(&parts.feed(), &[parts.item()]);
    let at = "(at https://a.example/caf%C3%A9)";
    for (part, other, words) in [
        ("type=\"audio/mpeg\"", "type=\"image/jpg\"", "the enclosure: image/jpg is no registered type; image/jpeg is"),
        (
            "type=\"audio/mpeg\"",
            "type=\"image/png?1477937782\"",
            "the enclosure: the type \"image/png?1477937782\" has '?' in it",
        ),
        ("type=\"audio/mpeg\"", "type=\"jpeg\"", "has no slash"),
        ("type=\"audio/mpeg\"", "type=\"text/html\"", "the type of a page"),
        (" type=\"audio/mpeg\"", "", "the enclosure: it lacks its type"),
        ("length=\"1234\"", "length=\"0\"", "the enclosure: its length is zero"),
        ("length=\"1234\"", "length=\"\"", "its length \"\" is no number"),
        ("length=\"1234\"", "length=\"-1\"", "its length \"-1\" is no number"),
        (" length=\"1234\"", "", "the enclosure: it lacks its length"),
        (
            "<enclosure ",
            "<enclosure url=\"https://i.example/2\" length=\"1\" type=\"image/png\"/><enclosure ",
            "more than one enclosure",
        ),
        ("url=\"https://i.example/1.mp3\"", "url=\"/1.mp3\"", "no absolute address"),
        (
            "url=\"https://i.example/1.jpg?a&amp;b\"",
            "url=\"https://i.example/ä.jpg\"",
            "an image: \"https://i.example/ä.jpg\"",
        ),
        ("type=\"image/jpeg\"", "type=\"image/jpg\"", "an image: image/jpg"),
        ("Tue, 14 Nov 2023 22:13:20 GMT", "Tue, 14 Nov 23 22:13:20 GMT", "pubDate"),
        ("Tue, 14 Nov 2023 22:13:20 GMT", "2023-11-14T22:13:20Z", "pubDate"),
        ("22:14:20Z", "22:14Z", "dcterms:modified"),
        ("<link>https://a.example/caf%C3%A9<", "<link>https://a.example/caf%c3%a9<", "not canonical"),
        ("<link>https://a.example/caf%C3%A9<", "<link>https://b.example/<", "pages are at"),
        ("isPermaLink=\"false\"", "isPermaLink=\"true\"", "no address"),
        (" isPermaLink=\"false\"", "", "no address"),
        (">tag:", ">https:", "begins with tag: or urn:"),
        ("<dc:creator>Ann</dc:creator>", "<author>Ann</author>", "the element author"),
        ("&apos;s", "&rsquo;s", "the entity &rsquo;"),
        ("👋", "\u{8}", "'\\u{8}', which XML forbids"),
        ("👋", "\u{fffe}", "which XML forbids"),
    ] {
        let refused = refused(&good, part, other, |text| judge_rss(text, &base()));
        assert!(refused.contains(words), "{other}: {refused}");
        assert!(refused.ends_with(at) || other.starts_with("<link>"), "{other}: {refused}");
    }
}

#[test]
fn rss_that_is_no_rss_is_refused_by_its_words() {
    let parts = Parts::new();
    let good = rss(&parts.feed(), &[parts.item()]);
    for (part, other, words) in [
        ("version=\"2.0\"", "version=\"0.92\"", "RSS 2.0"),
        ("<language>pt-BR", "<language>pt_BR", "the feed's language"),
        ("22:14:20 GMT", "22:14:21 GMT", "its newest item was at"),
        ("rel=\"self\"", "rel=\"next\"", "a link that is \"next\""),
        (
            "<atom:link rel=\"self\" type=\"application/rss+xml\" href=\"https://a.example/feed?a&amp;b\"/>",
            "",
            "own address",
        ),
        (" xmlns:dc=\"http://purl.org/dc/elements/1.1/\"", "", "lacks a namespace"),
        ("http://purl.org/dc/elements/1.1/", "http://purl.org/dc", "its root says xmlns:dc"),
        ("encoding=\"UTF-8\"", "encoding=\"ISO-8859-1\"", "XML in UTF-8"),
        ("</rss>", "</rss><rss/>", "two roots"),
        ("</rss>", "", "ends before"),
        ("</item>", "</entry>", "well-formed"),
        ("<title>A &amp; B</title>", "<title>A & B</title>", "well-formed"),
        ("<title>A &amp; B</title>", "<title><![CDATA[A]]></title>", "CDATA"),
        ("<title>A &amp; B</title>", "<title>A <b>B</b></title>", "text where none may be"),
        ("<rss", "<!DOCTYPE rss><rss", "none of our files has"),
        ("<channel>", "<channel></channel><channel>", "lacks the feed's title"),
    ] {
        let refused = refused(&good, part, other, |text| judge_rss(text, &base()));
        assert!(refused.contains(words), "{other}: {refused}");
    }
}

#[test]
fn an_item_is_in_a_feed_once_and_a_feed_has_its_limit() {
    let parts = Parts::new();
    let good = rss(&parts.feed(), &[parts.item()]);
    let item = &good[good.find("<item>").unwrap()..good.find("</channel>").unwrap()];
    let again =
        |other: &str| refused(&good, "</channel>", &format!("{other}</channel>"), |text| judge_rss(text, &base()));
    assert_eq!(again(item), "it is there twice (at https://a.example/caf%C3%A9)");
    assert!(again(&item.replace("/caf%C3%A9<", "/b<")).contains("another item has its id, tag:a.example"));
    let long = "a".repeat(usize::try_from(FEED_BYTES_MAX).unwrap());
    assert!(refused(&good, "Short.", &long, |text| judge_rss(text, &base())).contains("more than 10485760 bytes"));
    let latin = [good.as_bytes().split_at(good.find("Short").unwrap()).0, b"\xe9"].concat();
    assert!(judge_rss(latin.as_slice(), &base()).is_err());
    assert!(judge_rss(&b""[..], &base()).is_err());
}

#[test]
fn atom_that_readers_misread_is_refused_by_its_words() {
    let parts = Parts::new();
    let good = atom(&parts.feed(), &[parts.item()]);
    for (part, other, words) in [
        ("type=\"audio/mpeg\"", "type=\"image/jpg\"", "the enclosure: image/jpg is no registered type"),
        ("length=\"1234\"", "length=\"0\"", "the enclosure: its length is zero"),
        (" length=\"1234\"", "", "the enclosure: it lacks its length"),
        ("<published>2023-11-14T22:13:20Z", "<published>Tue, 14 Nov 2023 22:13:20 GMT", "published: "),
        ("<updated>2023-11-14T22:14:20Z</updated>\n<link", "<link", "the feed was updated"),
        ("<updated>2023-11-14T22:14:20Z</updated>\n<author", "<author", "an item was updated"),
        ("<author>\n<name>The Example</name>\n</author>\n", "", "lacks the feed's author"),
        ("<name>Ann</name>", "<name> </name>", "an author has no name"),
        ("<id>tag:a.example,2020-09-13:news/de</id>\n", "", "lacks the feed's id"),
        (" xml:lang=\"pt-BR\"", "", "lacks the feed's language"),
        ("type=\"html\"", "type=\"xhtml\"", "that it is html"),
        ("term=", "label=", "the attribute label"),
        ("rel=\"hub\"", "rel=\"next\"", "\"next\""),
        ("https://a.example/caf%C3%A9", "https://a.example/caf%25C3%25A9", "encoded twice"),
        ("<title>Zoë&apos;s 👋 &amp; more<", "<title><", "an item's title"),
    ] {
        let refused = refused(&good, part, other, |text| judge_atom(text, &base()));
        assert!(refused.contains(words), "{other}: {refused}");
    }
}

#[test]
fn json_that_readers_misread_is_refused_by_its_words() {
    let parts = Parts::new();
    let good = json(&parts.feed(), &[parts.item()]);
    for (part, other, words) in [
        ("audio/mpeg", "image/jpg", "the enclosure: image/jpg is no registered type"),
        ("1234", "0", "the enclosure: its length is zero"),
        (",\"size_in_bytes\":1234", "", "the enclosure: it lacks its length"),
        ("1234", "\"1234\"", "no JSON Feed"),
        ("version/1.1", "version/1", "its version is"),
        ("22:13:20Z", "22:13:20", "date_published"),
        ("\"id\":\"tag", "\"id\":\"https", "begins with tag: or urn:"),
        ("\"content_html\"", "\"_content\"", "no JSON Feed"),
        ("\"content_html\":\"<p>a &amp; b ]]> c</p>\",", "", "neither content_html nor content_text"),
        ("WebSub", "rssCloud", "hub of WebSub"),
        (
            "\"language\":\"pt-BR\",\"authors\":[{\"name\":\"Ann",
            "\"language\":\"pt\",\"authors\":[{\"name\":\"Ann",
            "the feed's language",
        ),
        ("Short.", "\\u0008", "1 characters that XML forbids"),
        ("]}", "", "no JSON Feed"),
        ("https://i.example/1.jpg", "//i.example/1.jpg", "an image: "),
        ("\"url\":\"https://a.example/caf%C3%A9\"", "\"url\":\"https://a.example/a/../b\"", "segment"),
    ] {
        let refused = refused(&good, part, other, |text| judge_json_feed(text, &base()));
        assert!(refused.contains(words), "{other}: {refused}");
    }
}

/// All texts of an RSS feed by their elements.
#[derive(Default)]
struct Texts(Vec<(String, String)>);

impl Format for Texts {
    const NAMESPACES: &'static [(&'static str, &'static str)] = &[
        ("xmlns:atom", "http://www.w3.org/2005/Atom"),
        ("xmlns:content", "http://purl.org/rss/1.0/modules/content/"),
        ("xmlns:dc", "http://purl.org/dc/elements/1.1/"),
        ("xmlns:dcterms", "http://purl.org/dc/terms/"),
        ("xmlns:media", MEDIA),
    ];
    const CDATA: &'static [&'static str] = &["rss/channel/item/content:encoded"];
    const BYTES_MAX: u64 = FEED_BYTES_MAX;
    fn open(&mut self, path: &str, attributes: Values<'_>) -> Result<(), What> {
        if path == "rss" { root_values(attributes, ["version"]).map(|_| ()) } else { Ok(()) }
    }
    fn close(&mut self, path: &str, text: &str) -> Result<(), What> {
        self.0.push((path.to_owned(), text.to_owned()));
        Ok(())
    }
    fn at(&self) -> &str {
        ""
    }
}

proptest! {
    #[test]
    fn whatever_a_text_has_readers_see_it_cleaned(text in "([&<>\"'\\]\\[]|\\]\\]>|<!\\[CDATA\\[|&amp;|\r\n|\\PC|\\pC|\u{fffe}|[a-z ]){0,24}") {
        let parts = Parts::new();
        let text = format!("a{text}");
        let item = Item { title: &text, summary: Some(&text), content: Some(&text), author: Some(&text), section: Some(&text), ..parts.item() };
        let clean = cleaned(&text).0;
        let mut texts = Texts::default();
        prop_assert_eq!(read(rss(&parts.feed(), &[item]).as_bytes(), &mut texts).err(), None);
        for name in ["title", "description", "content:encoded", "dc:creator", "category"] {
            let path = format!("rss/channel/item/{name}");
            let found = texts.0.iter().find(|(other, _)| *other == path).map(|(_, text)| text.as_str());
            prop_assert_eq!(found, Some(&*clean), "{}", name);
        }
        prop_assert_eq!(judge_rss(rss(&parts.feed(), &[item]).as_bytes(), &base()).err(), None);
        prop_assert_eq!(judge_atom(atom(&parts.feed(), &[item]).as_bytes(), &base()).err(), None);
        let json = json(&parts.feed(), &[item]);
        prop_assert_eq!(judge_json_feed(json.as_bytes(), &base()).err(), None);
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(read["items"][0]["content_html"].as_str(), Some(&*clean));
    }

    #[test]
    fn whatever_a_page_is_kept_as_passes_the_gate(
        path in "(/|[a-z]|%25|%C3%A9|%c3%a9|é|e\u{301}|\\?|&|'|\"|<|>|\\[|\\.| |\u{fffe}|\u{ad}|\u{200f}|👋|\\PC){0,12}",
        host in "(i.example|ä.example|\\[::1\\]|1.2.3.4|_a.example|a-.example|-b.example|%41.example|.|xn--a)(:8080|:0|)",
        file in "(/|[a-z]|%|%E9|\\||é| |#|\\?|&|'|\"|<|\\\\|\u{8}|\u{fffe}|\\{|`|\\PC){0,10}",
        title in "([&<>\"'\\]]|\\PC|\\pC|\u{fffe}|[a-z ]){0,12}",
        time in "(0001|0999|1000|1583|1969|2026|9999)-(01-01|12-30)T(00|23):(00|59):(00|59|60)(Z|\\+14:00|-12:00)",
    ) {
        let locale = Locale { tag: "de".parse().unwrap(), base: base(), publication_name: title.clone() + "x", time_zone: Default::default(), x_default: true };
        let settings = SiteSettings::new(vec![locale.clone()]);
        let site = Site { id: Id::new(), tenant_id: Id::new(), slug: "news".parse().unwrap(), settings, created_at: UnixMs(0), updated_at: UnixMs(0) };
        let draft = Draft { url: format!("/{path}"), title: title.clone(), summary: Some(title.clone()), author: Some(title), published_at: time, image: Some(format!("https://{host}/{file}")), indexable: true, news: true, ..Draft::default() };
        let (page, _) = judge(&site.settings, "k&<".parse().unwrap(), [("de".to_owned(), draft)].into(), UnixMs(0));
        let Some(link) = page.translations.first().map(|one| one.link.clone()) else { return Ok(()) };
        let (now, shard) = (link.published_at, Shard::first_of(link.published_at));
        let mut pages = ShardPages::new(&site.settings, shard, now, 0);
        pages.push(&[link]);
        let mut made = pages.sitemaps(&locale.tag).unwrap();
        let marks = [Target::News, Target::Feed].map(|target| (locale.tag.clone(), target));
        let mut latest = Latest::new(&site, &marks, now);
        latest.take(&[page], now);
        made.extend(latest.make(&HashMap::new(), &HashSet::new()).unwrap().made);
        prop_assert_eq!(made.len(), 5);
        let mut gate = Gate::default();
        for one in made {
            prop_assert_eq!(gate.judge(&one, &locale, now).map_err(|fault| fault.to_string()), Ok(()), "{}", one.name);
        }
    }
}
