//! What sitemaps, news and indexes of a site say of its pages, entry by entry.

use std::collections::BTreeMap;

use roxmltree::{Document, Node};

use super::{Handed, LOCALES, Public, SLUGS, canonical};

/// Articles of the last 48 hours.
const NEWS: usize = 10;

/// What a sitemap says of a page in one language.
#[derive(Debug, PartialEq, Eq)]
struct SeenUrl {
    changed: String,
    /// Language and address of each.
    alternates: Vec<(String, String)>,
    images: Vec<String>,
}

impl SeenUrl {
    fn of(url: Node<'_, '_>) -> Self {
        let links = url.children().filter(|node| node.has_tag_name("link"));
        let attribute = |node: &Node<'_, '_>, name| node.attribute(name).unwrap().to_owned();
        let images = url.children().filter(|node| node.has_tag_name("image"));
        Self {
            changed: text(url, "lastmod"),
            alternates: links.map(|link| (attribute(&link, "hreflang"), attribute(&link, "href"))).collect(),
            images: images.map(|image| text(image, "loc")).collect(),
        }
    }

    fn expected(page: &Handed) -> Self {
        let mut alternates: Vec<(String, String)> =
            LOCALES.iter().map(|(tag, base, ..)| ((*tag).to_owned(), address(base, page))).collect();
        alternates.push(("x-default".to_owned(), address(LOCALES[0].1, page)));
        Self { changed: page.published_at.to_string(), alternates, images: vec![page.image()] }
    }
}

fn address(base: &str, page: &Handed) -> String {
    format!("{}{}", canonical(base), SLUGS[page.at].1)
}

/// The text of an element that is right below another one.
fn text(of: Node<'_, '_>, name: &str) -> String {
    let found = of.children().find(|node| node.has_tag_name(name));
    found.and_then(|node| node.text()).unwrap_or_else(|| panic!("no {name} in {of:?}")).to_owned()
}

/// What is made of each entry of a file.
fn entries<T>(file: &Public, name: &str, read: impl Fn(Node<'_, '_>) -> T) -> Vec<T> {
    let xml = file.text();
    let document = Document::parse(&xml).unwrap();
    document.root_element().children().filter(|node| node.has_tag_name(name)).map(read).collect()
}

pub(super) fn judge(files: &[Public], pages: &[Handed]) {
    for (at, (tag, base, name, _)) in LOCALES.into_iter().enumerate() {
        let of_locale: Vec<&Public> = files.iter().filter(|file| file.locale == tag).collect();
        let named = |name: &str| *of_locale.iter().find(|file| file.name == name).unwrap();
        let sitemaps: Vec<&Public> = of_locale.iter().copied().filter(|file| file.name.ends_with(".gz")).collect();
        let urls = sitemaps.iter().flat_map(|file| entries(file, "url", |url| (text(url, "loc"), SeenUrl::of(url))));
        let urls: Vec<(String, SeenUrl)> = urls.collect();
        assert_eq!(urls.len(), pages.len(), "{tag}");
        let urls: BTreeMap<String, SeenUrl> = urls.into_iter().collect();
        for page in pages {
            let address = address(base, page);
            assert_eq!(urls.get(&address), Some(&SeenUrl::expected(page)), "{tag}: {address}");
        }
        let news = entries(named("sitemap-news.xml"), "url", |url| [text(url, "loc"), article(url)].concat());
        let language = ["de", "fr", "ar", "zh-cn", "zh-tw", "zh-tw", "pl", "pt"][at];
        let expected = pages.iter().take(NEWS).map(|page| {
            let (at, title) = (page.published_at, page.seen(0));
            format!("{} {name}, {language}, {at}, {tag}: {title}", address(base, page))
        });
        assert_eq!(news, expected.collect::<Vec<_>>(), "{tag}");
        let mut indexed = entries(named("sitemap.xml"), "sitemap", |sitemap| text(sitemap, "loc"));
        let there = sitemaps.iter().map(|file| file.name.as_str()).chain(["sitemap-news.xml"]);
        let mut there: Vec<String> = there.map(|name| format!("{}/{name}", canonical(base))).collect();
        indexed.sort();
        there.sort();
        assert_eq!(indexed, there, "{tag}");
    }
}

/// Whose article it is, in which language, when, and its title.
fn article(url: Node<'_, '_>) -> String {
    let news = url.children().find(|node| node.has_tag_name("news")).unwrap();
    let publication = news.children().find(|node| node.has_tag_name("publication")).unwrap();
    let (name, language) = (text(publication, "name"), text(publication, "language"));
    format!(" {name}, {language}, {}, {}", text(news, "publication_date"), text(news, "title"))
}
