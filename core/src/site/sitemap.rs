//! Sitemaps (sitemaps.org, protocol 0.9) with localised alternates and images, written as a stream.

use std::{
    io::{self, Write},
    ops::Range,
};

use super::{
    bounded::{Bounded, Bounds, Full},
    xml::escaped,
};
use crate::domain::{
    UnixMs,
    site::{language::LanguageTag, permalink::Permalink},
};

/// Bytes of one sitemap before compression.
pub const BYTES_MAX: u64 = 52_428_800;
/// Addresses of one sitemap.
pub const URLS_MAX: u32 = 50_000;
const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\" \
    xmlns:xhtml=\"http://www.w3.org/1999/xhtml\" xmlns:image=\"http://www.google.com/schemas/sitemap-image/1.1\">\n";
const FOOT: &str = "</urlset>\n";

/// Writes the alternates of one page, which all of its translations have in the same words: of each language in its order,
/// and of whoever has none of them. Answers where the addresses of the languages stand in it.
pub fn push_alternates<'a>(
    text: &mut String,
    translations: impl IntoIterator<Item = (&'a LanguageTag, &'a Permalink)>,
    default: Option<&Permalink>,
) -> Vec<Range<usize>> {
    let mut push = |tag: &str, url: &Permalink| {
        text.extend(["<xhtml:link rel=\"alternate\" hreflang=\"", tag, "\" href=\""]);
        let begins = text.len();
        text.push_str(&escaped(url.as_str()));
        let place = begins..text.len();
        text.push_str("\"/>");
        place
    };
    let places = translations.into_iter().map(|(tag, url)| push(tag.as_str(), url)).collect();
    if let Some(url) = default {
        push("x-default", url);
    }
    places
}

/// One translation of one page. Its texts are XML.
#[derive(Clone, Copy, Debug)]
pub struct SitemapUrl<'a> {
    pub loc: &'a str,
    pub updated_at: Option<UnixMs>,
    pub alternates: &'a str,
    pub image: Option<&'a str>,
}

/// A sitemap that is being written.
#[derive(Debug)]
pub struct Sitemap<W> {
    file: Bounded<W>,
    /// One address, used again.
    one: String,
}

impl<W: Write> Sitemap<W> {
    /// # Errors
    /// When it cannot be written.
    pub fn begin(out: W) -> io::Result<Self> {
        let bounds = Bounds { entries_max: URLS_MAX, bytes_max: BYTES_MAX };
        Ok(Self { file: Bounded::begin(out, bounds, HEAD, FOOT)?, one: String::new() })
    }

    /// Adds an address, or nothing where the sitemap is full.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn push(&mut self, url: SitemapUrl<'_>) -> io::Result<Result<(), Full>> {
        self.one.clear();
        let text = &mut self.one;
        text.push_str("<url><loc>");
        text.push_str(url.loc);
        text.push_str("</loc>");
        if let Some(at) = url.updated_at {
            text.push_str("<lastmod>");
            text.push_str(&at.in_seconds());
            text.push_str("</lastmod>");
        }
        text.push_str(url.alternates);
        if let Some(image) = url.image {
            text.push_str("<image:image><image:loc>");
            text.push_str(image);
            text.push_str("</image:loc></image:image>");
        }
        text.push_str("</url>\n");
        self.file.push(text)
    }

    #[must_use]
    pub const fn urls(&self) -> u32 {
        self.file.entries()
    }

    /// What it was written to, and how many bytes it has.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn end(self) -> io::Result<(W, u64)> {
        self.file.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::site::permalink::BaseUrl;

    #[test]
    fn all_translations_of_a_page_name_each_other_in_the_same_words() {
        let (de, fr): (LanguageTag, LanguageTag) = ("de".parse().unwrap(), "fr".parse().unwrap());
        let link = |host: &str, path: &str| BaseUrl::parse(host).unwrap().permalink(path).unwrap();
        let (one, other) = (link("https://a.example", "/café?x=1&y='"), link("https://b.example", "/b"));
        let mut alternates = String::new();
        let places = push_alternates(&mut alternates, [(&de, &one), (&fr, &other)], Some(&other));
        assert_eq!(&alternates[places[1].clone()], "https://b.example/b");
        let mut sitemap = Sitemap::begin(Vec::new()).unwrap();
        let url = SitemapUrl {
            loc: &alternates[places[0].clone()],
            updated_at: Some(UnixMs(1_700_000_000_999)),
            alternates: &alternates,
            image: Some("https://i.example/?a&amp;b"),
        };
        sitemap.push(url).unwrap().unwrap();
        let (text, bytes) = sitemap.end().unwrap();
        let expected = format!(
            "{HEAD}<url><loc>https://a.example/caf%C3%A9?x=1&amp;y=&apos;</loc>\
             <lastmod>2023-11-14T22:13:20Z</lastmod>\
             <xhtml:link rel=\"alternate\" hreflang=\"de\" href=\"https://a.example/caf%C3%A9?x=1&amp;y=&apos;\"/>\
             <xhtml:link rel=\"alternate\" hreflang=\"fr\" href=\"https://b.example/b\"/>\
             <xhtml:link rel=\"alternate\" hreflang=\"x-default\" href=\"https://b.example/b\"/>\
             <image:image><image:loc>https://i.example/?a&amp;b</image:loc></image:image></url>
{FOOT}"
        );
        assert_eq!((String::from_utf8(text).unwrap(), bytes), (expected.clone(), expected.len() as u64));
    }

    #[test]
    fn a_sitemap_is_full_before_it_has_more_bytes_than_a_sitemap_may_have() {
        let tag: LanguageTag = "de".parse().unwrap();
        let link = BaseUrl::parse("https://a.example").unwrap().permalink(&format!("/{}", "a".repeat(1_900))).unwrap();
        let mut alternates = String::new();
        push_alternates(&mut alternates, [(&tag, &link); 2], None);
        let mut sitemap = Sitemap::begin(io::sink()).unwrap();
        let url = SitemapUrl { loc: link.as_str(), updated_at: None, alternates: &alternates, image: None };
        while sitemap.push(url).unwrap().is_ok() {}
        let urls = sitemap.urls();
        let (_, bytes) = sitemap.end().unwrap();
        assert!(bytes <= BYTES_MAX && bytes > BYTES_MAX - 6_000, "{bytes}");
        assert!(urls < URLS_MAX);
    }
}
