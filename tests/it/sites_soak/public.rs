//! What is public of the site, by parsers that are not the writer's.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    time::Duration,
};

use flate2::bufread::MultiGzDecoder;
use roxmltree::{Document, Node};
use serde_json::Value;

use super::model::{LOCALES, Page, Translation, X_DEFAULT};
use crate::harness::Answer;

const XHTML: &str = "http://www.w3.org/1999/xhtml";
/// Within how long whatever is asked for has come, on a busy machine.
const ANSWERED: Duration = Duration::from_secs(30);
const FEED_ITEMS: usize = 50;
const NEWS_MAX: usize = 1_000;
/// Differences that are shown.
const SHOWN: usize = 10;

/// Alternates of addresses: pairs of language and address.
type Addresses = BTreeMap<String, BTreeSet<(String, String)>>;

/// The site's public addresses. Clones are cheap.
#[derive(Clone)]
pub(super) struct Public {
    http: reqwest::Client,
    bases: BTreeMap<&'static str, String>,
}

impl Public {
    pub(super) fn new(bases: BTreeMap<&'static str, String>) -> Self {
        Self { http: reqwest::Client::builder().no_proxy().timeout(ANSWERED).build().unwrap(), bases }
    }

    pub(super) fn base(&self, tag: &str) -> &str {
        &self.bases[tag]
    }

    /// A public file with its status; `Err` where the server is away.
    pub(super) async fn read(&self, url: &str) -> reqwest::Result<(u16, Vec<u8>)> {
        let read = async {
            let answer = self.http.get(url).send().await?;
            Ok((answer.status().as_u16(), answer.bytes().await?.to_vec()))
        };
        // A server that was killed refuses or cuts off at once.
        read.await.inspect_err(|error: &reqwest::Error| assert!(!error.is_timeout(), "{url}: {error:?}"))
    }

    async fn text(&self, url: &str) -> String {
        let (status, bytes) = self.read(url).await.unwrap();
        assert_eq!(status, 200, "{url}");
        text_of(url, &bytes)
    }

    fn address(&self, tag: &str, one: &Translation) -> String {
        format!("{}{}", self.bases[tag], one.path())
    }

    /// Whether a page is kept as the API shows it.
    pub(super) fn is_kept_as(&self, page: &Page, shown: &Answer) -> bool {
        if page.is_empty() {
            return shown.status == 404;
        }
        let same = |tag: &&str| match (page.get(tag), &shown.body["translations"][tag]) {
            (None, kept) => kept.is_null(),
            (Some(one), kept) => {
                kept["url"] == self.address(tag, one)
                    && kept["title"] == one.title()
                    && (&kept["indexable"], &kept["news"]) == (&Value::from(one.indexable), &Value::from(one.news))
                    && kept["published_at"].as_str().and_then(|at| at.parse().ok()) == Some(one.published_at)
            }
        };
        shown.status == 200 && LOCALES.iter().all(same)
    }

    /// That sitemaps, news and feeds say these pages, all of them and nothing else.
    pub(super) async fn says_exactly(&self, pages: &BTreeMap<String, Page>) {
        for tag in LOCALES {
            same(&format!("sitemaps of {tag}"), &self.addresses(tag).await, &self.expected_addresses(tag, pages));
            let news = self.text(&format!("{}/sitemap-news.xml", self.base(tag))).await;
            let wanted = |one: &&Translation| one.news && one.indexable && one.published_at > hours_ago(48);
            let expected = self.newest(tag, pages, wanted, NEWS_MAX);
            let news: Vec<String> = entries(&news).into_keys().collect();
            let (news, expected): (BTreeSet<_>, BTreeSet<_>) =
                (news.into_iter().collect(), expected.into_iter().map(|(address, _)| address).collect());
            assert_eq!(news, expected, "news of {tag}");
            let feed = self.text(&format!("{}/feed.json", self.base(tag))).await;
            let feed: Value = serde_json::from_str(&feed).unwrap();
            let text = |item: &Value, name: &str| item[name].as_str().unwrap().to_owned();
            let items = feed["items"].as_array().unwrap().iter().map(|item| (text(item, "url"), text(item, "title")));
            assert_eq!(items.collect::<Vec<_>>(), self.newest(tag, pages, |_| true, FEED_ITEMS), "feed of {tag}");
        }
    }

    /// What the sitemaps of a locale have, through its index.
    async fn addresses(&self, tag: &str) -> Addresses {
        let mut found = Addresses::new();
        for sitemap in entries(&self.text(&format!("{}/sitemap.xml", self.base(tag))).await).into_keys() {
            if sitemap.ends_with("/sitemap-news.xml") {
                continue;
            }
            for (loc, alternates) in entries(&self.text(&sitemap).await) {
                assert!(found.insert(loc.clone(), alternates).is_none(), "{loc} is in two sitemaps");
            }
        }
        found
    }

    fn expected_addresses(&self, tag: &str, pages: &BTreeMap<String, Page>) -> Addresses {
        let mut expected = Addresses::new();
        for page in pages.values() {
            let shown = || page.iter().filter(|(_, one)| one.indexable);
            let mut alternates = BTreeSet::new();
            if shown().count() > 1 {
                alternates.extend(shown().map(|(tag, one)| ((*tag).to_owned(), self.address(tag, one))));
                let default = shown().find(|(tag, _)| **tag == X_DEFAULT);
                alternates.extend(default.map(|(tag, one)| ("x-default".to_owned(), self.address(tag, one))));
            }
            if let Some(own) = page.get(tag).filter(|one| one.indexable) {
                expected.insert(self.address(tag, own), alternates);
            }
        }
        expected
    }

    /// Addresses and titles of the newest pages of a locale.
    fn newest(
        &self,
        tag: &str,
        pages: &BTreeMap<String, Page>,
        wanted: impl Fn(&&Translation) -> bool,
        count: usize,
    ) -> Vec<(String, String)> {
        let own = pages.iter().filter_map(|(key, page)| page.get(tag).filter(&wanted).map(|one| (key, one)));
        let mut newest: Vec<_> = own.collect();
        newest.sort_by_key(|(key, one)| (std::cmp::Reverse(one.published_at), (*key).clone()));
        newest.into_iter().take(count).map(|(_, one)| (self.address(tag, one), one.title())).collect()
    }
}

fn same(what: &str, found: &Addresses, expected: &Addresses) {
    let lost: Vec<_> = expected.keys().filter(|loc| !found.contains_key(*loc)).collect();
    let stale: Vec<_> = found.keys().filter(|loc| !expected.contains_key(*loc)).collect();
    let other: Vec<_> =
        found.iter().filter(|(loc, own)| expected.get(*loc).is_some_and(|wanted| wanted != *own)).collect();
    assert!(
        lost.is_empty() && stale.is_empty() && other.is_empty(),
        "{what}: {} are not there, as {:?}; {} should not be there, as {:?}; {} have other alternates, as {:?}",
        lost.len(),
        &lost[..lost.len().min(SHOWN)],
        stale.len(),
        &stale[..stale.len().min(SHOWN)],
        other.len(),
        &other[..other.len().min(SHOWN)],
    );
}

/// What is in a public file, unpacked to its very end.
#[track_caller]
pub(super) fn text_of(name: &str, mut bytes: &[u8]) -> String {
    let mut text = Vec::new();
    match name.ends_with(".gz") {
        true => MultiGzDecoder::new(bytes).read_to_end(&mut text).unwrap_or_else(|error| panic!("{name}: {error}")),
        false => bytes.read_to_end(&mut text).unwrap(),
    };
    String::from_utf8(text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// That a file is a whole document.
#[track_caller]
pub(super) fn parses(name: &str, text: &str) {
    if name.ends_with(".json") {
        serde_json::from_str::<Value>(text).unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
    } else {
        Document::parse(text).unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
    }
}

/// The addresses of a sitemap or an index, with their alternates.
#[track_caller]
pub(super) fn entries(xml: &str) -> Addresses {
    let document = Document::parse(xml).unwrap_or_else(|error| panic!("{error}\n{xml}"));
    let mut entries = Addresses::new();
    for entry in document.root_element().children().filter(Node::is_element) {
        let loc = entry
            .children()
            .find(|child| child.has_tag_name((child.tag_name().namespace().unwrap_or_default(), "loc")));
        let loc = loc.and_then(|loc| loc.text()).unwrap_or_else(|| panic!("an entry without an address: {xml}"));
        let alternates = entry.children().filter(|child| child.has_tag_name((XHTML, "link")));
        let of =
            |link: Node<'_, '_>| Some((link.attribute("hreflang")?.to_owned(), link.attribute("href")?.to_owned()));
        let alternates =
            alternates.map(|link| of(link).unwrap_or_else(|| panic!("a link without words: {xml}"))).collect();
        assert!(entries.insert(loc.to_owned(), alternates).is_none(), "{loc} twice: {xml}");
    }
    entries
}

fn hours_ago(hours: i64) -> jiff::Timestamp {
    jiff::Timestamp::now() - jiff::SignedDuration::from_hours(hours)
}
