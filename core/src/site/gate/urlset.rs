//! Sitemaps of a locale: addresses in their canonical form, each named by its own alternates, and none twice.

use std::io::{self, BufRead as _, Read};

use super::{
    Fault,
    address::{Seen, judge_absolute, judge_of_locale},
    alternates::{JudgedAlternates, Languages, is_alternate},
    elements::{Format, Values, What, out_of_place, read, root_values, values},
    times::rfc_3339_of,
    window::Window,
};
use crate::{
    domain::site::permalink::BaseUrl,
    site::sitemap::{BYTES_MAX, URLS_MAX},
};

/// Reads a sitemap of a locale. Alternates that were judged in a file before, and stand there in the same bytes, are not
/// read again: all translations of a page have the same ones.
///
/// # Errors
/// The first thing in it that search engines would refuse or pass over.
pub(crate) fn judge_urlset(file: impl Read, base: &BaseUrl, judged: &mut JudgedAlternates) -> Result<u32, Fault> {
    let languages = Languages::default();
    let mut urlset = Urlset { base, seen: Seen::default(), judged, languages, url: Url::default(), urls: 0 };
    read(file, &mut urlset)?;
    match urlset.urls {
        0 => Err(Fault { what: "it has no address".to_owned(), at: String::new() }),
        urls => Ok(urls),
    }
}

struct Urlset<'a> {
    base: &'a BaseUrl,
    seen: Seen,
    judged: &'a mut JudgedAlternates,
    languages: Languages,
    url: Url,
    urls: u32,
}

/// One `<url>` as far as it is read.
#[derive(Default)]
struct Url {
    loc: String,
    has_lastmod: bool,
    alternates: Reading,
    /// Addresses of its alternates, by hash.
    hrefs: Vec<u64>,
    names_itself: bool,
    image_locs: u32,
}

/// How far the alternates of one `<url>` are read, which follow each other with nothing between.
#[derive(Default, PartialEq, Eq)]
enum Reading {
    #[default]
    Ahead,
    /// The file is held since their beginning.
    Now,
    Done,
}

impl Format for Urlset<'_> {
    const NAMESPACES: &'static [(&'static str, &'static str)] = &[
        ("xmlns", "http://www.sitemaps.org/schemas/sitemap/0.9"),
        ("xmlns:xhtml", "http://www.w3.org/1999/xhtml"),
        ("xmlns:image", "http://www.google.com/schemas/sitemap-image/1.1"),
    ];
    const BYTES_MAX: u64 = BYTES_MAX;

    fn open(&mut self, path: &str, attributes: Values<'_>) -> Result<(), What> {
        match path {
            "urlset/url/xhtml:link" => return self.link(attributes),
            "urlset/url/loc" => {}
            "urlset" => {
                let [] = root_values(attributes, [])?;
                return Ok(());
            }
            "urlset/url" => {
                self.url.restart();
                self.languages.restart();
            }
            "urlset/url/lastmod" | "urlset/url/image:image/image:loc" => {}
            "urlset/url/image:image" => self.url.image_locs = 0,
            _ => return Err(out_of_place(path)),
        }
        let [] = values(attributes, [])?;
        match path == "urlset/url" || path == "urlset/url/loc" || !self.url.loc.is_empty() {
            true => Ok(()),
            false => Err("an entry does not begin with its address".to_owned()),
        }
    }

    fn close(&mut self, path: &str, text: &str) -> Result<(), What> {
        match path {
            "urlset/url/loc" => self.loc(text),
            "urlset/url/lastmod" => {
                rfc_3339_of("lastmod", text)?;
                match std::mem::replace(&mut self.url.has_lastmod, true) {
                    true => Err("an entry has two times".to_owned()),
                    false => Ok(()),
                }
            }
            "urlset/url/image:image/image:loc" => {
                self.url.image_locs += 1;
                judge_absolute(text)
            }
            _ if !text.trim_ascii().is_empty() => Err("there is text where none may be".to_owned()),
            "urlset/url/image:image" if self.url.image_locs != 1 => Err("an image has not one address".to_owned()),
            "urlset/url" => self.end(),
            _ => Ok(()),
        }
    }

    fn step_over(&mut self, parent: &str, file: &mut Window<'_>) -> io::Result<()> {
        if parent != "urlset/url" {
            return Ok(());
        }
        match (&self.url.alternates, is_alternate(file)?) {
            (Reading::Ahead, true) => match self.judged.find(file)? {
                Some(known) => {
                    self.url.alternates = Reading::Done;
                    self.url.names_itself = known.names(self.judged.hash(&self.url.loc));
                    file.consume(known.bytes());
                }
                None => {
                    self.url.alternates = Reading::Now;
                    file.hold();
                }
            },
            (Reading::Now, false) => {
                self.url.alternates = Reading::Done;
                self.judged.push(file.let_go(), &self.url.hrefs);
            }
            _ => {}
        }
        Ok(())
    }

    fn at(&self) -> &str {
        &self.url.loc
    }
}

impl Url {
    fn restart(&mut self) {
        self.loc.clear();
        self.hrefs.clear();
        let (loc, hrefs) = (std::mem::take(&mut self.loc), std::mem::take(&mut self.hrefs));
        *self = Self { loc, hrefs, ..Self::default() };
    }
}

impl Urlset<'_> {
    fn loc(&mut self, text: &str) -> Result<(), What> {
        if !self.url.loc.is_empty() {
            return Err("an entry has two addresses".to_owned());
        }
        self.url.loc.push_str(text);
        judge_of_locale(self.base, text)?;
        match self.seen.insert(text) {
            true => Ok(()),
            false => Err("it is there twice".to_owned()),
        }
    }

    fn link(&mut self, attributes: Values<'_>) -> Result<(), What> {
        if self.url.loc.is_empty() {
            return Err("an entry does not begin with its address".to_owned());
        }
        if self.url.alternates != Reading::Now {
            return Err("its alternates do not follow each other".to_owned());
        }
        let [Some(rel), Some(tag), Some(href)] = values(attributes, ["rel", "hreflang", "href"])? else {
            return Err("an alternate lacks its hreflang or href".to_owned());
        };
        if rel.plain() != Some(b"alternate") {
            return Err("a link is no alternate".to_owned());
        }
        let (tag, href) = (tag.text()?, href.text()?);
        if self.languages.judge(&tag, &href)? {
            self.url.names_itself |= *href == *self.url.loc;
            self.url.hrefs.push(self.judged.hash(&href));
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), What> {
        if self.url.loc.is_empty() {
            return Err("an entry has no address".to_owned());
        }
        if self.url.alternates != Reading::Ahead && !self.url.names_itself {
            return Err("its alternates do not name itself".to_owned());
        }
        self.urls += 1;
        match self.urls > URLS_MAX {
            true => Err(format!("it has more than {URLS_MAX} addresses")),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::site::permalink::URL_CHARS_MAX;

    const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\" \
        xmlns:xhtml=\"http://www.w3.org/1999/xhtml\" xmlns:image=\"http://www.google.com/schemas/sitemap-image/1.1\">";

    fn judged(inner: &str) -> Result<u32, String> {
        let base = BaseUrl::parse("https://a.example").unwrap();
        let mut known = JudgedAlternates::default();
        judge_urlset(format!("{HEAD}{inner}</urlset>").as_bytes(), &base, &mut known).map_err(|fault| fault.to_string())
    }

    fn url(inner: &str) -> String {
        format!("<url><loc>https://a.example/caf%C3%A9?a=1&amp;b=2</loc>{inner}</url>")
    }

    fn alternate(tag: &str, href: &str) -> String {
        format!("<xhtml:link rel=\"alternate\" hreflang=\"{tag}\" href=\"{href}\"/>")
    }

    #[test]
    fn a_good_file_passes_with_its_counts() {
        let own = "https://a.example/caf%C3%A9?a=1&amp;b=2";
        let links = alternate("de", own) + &alternate("fr", "https://b.example/") + &alternate("x-default", own);
        let image = "<image:image><image:loc>https://i.example/1.jpg</image:loc></image:image>";
        let good = url(&format!("<lastmod>2026-01-31T12:00:00Z</lastmod>{links}{image}"));
        let all = judged(&good).unwrap();
        assert_eq!(all, 1);
    }

    #[test]
    fn a_later_entry_is_judged_as_the_first_is() {
        let entry = |path: &str, links: &str| format!("<url><loc>https://a.example/{path}</loc>{links}</url>");
        let link = |path: &str| alternate("de", &format!("https://a.example/{path}"));
        let other = |path: &str| alternate("fr", &format!("https://b.example/{path}"));
        let first = entry("a", &(link("a") + &other("a")));
        assert_eq!(judged(&(first.clone() + &entry("b", &(link("b") + &other("b"))))), Ok(2));
        let query = entry("b?c=1&amp;d=2", &(link("b?c=1&amp;d=2") + &other("%D0%B1")));
        assert_eq!(judged(&(first.clone() + &query + &entry("c", &link("c")))), Ok(3));
        for (links, words) in [
            (link("c") + &other("b"), "do not name itself"),
            (link("b") + &link("b"), "two alternates of de"),
            (link("b") + &other("b") + &other("b"), "two alternates of fr"),
            (link("b") + &other("%e9"), "no UTF-8"),
            (link("b") + &other("%c3%a9"), "https://b.example/%C3%A9 is"),
            (link("b") + &other("../b"), "segment"),
            (link("b") + &other("b\" href=\"https://b.example/c"), "the attribute href twice"),
            (link("b") + &other("b\" title=\"b"), "the attribute title"),
            (link("b") + &other("a&lt;b"), "not canonical"),
            (link("b") + &other("a<b"), "'<'"),
            (link("b") + &other("").replace(".example/", ".example.org"), "not canonical"),
            (link("b") + &other(&"a".repeat(URL_CHARS_MAX)), "characters"),
        ] {
            let refused = judged(&(first.clone() + &entry("b", &links))).expect_err(&links);
            assert!(refused.contains(words), "{links}: {refused}");
        }
    }

    #[test]
    fn alternates_that_are_known_are_judged_as_if_they_were_read() {
        let links = |path: &str| {
            alternate("de", &format!("https://a.example/{path}"))
                + &alternate("fr", &format!("https://b.example/{path}"))
        };
        let entry = |path: &str, inner: &str| format!("<url><loc>https://a.example/{path}</loc>{inner}</url>");
        let file = |inner: &str| format!("{HEAD}{inner}</urlset>");
        let mut known = JudgedAlternates::default();
        let mut judged = |base: &str, inner: &str| {
            let base = BaseUrl::parse(base).unwrap();
            let fresh = judge_urlset(file(inner).as_bytes(), &base, &mut JudgedAlternates::default());
            assert_eq!(judge_urlset(file(inner).as_bytes(), &base, &mut known), fresh, "{inner}");
            fresh.map_err(|fault| fault.to_string())
        };
        let pages = entry("a", &links("a")) + &entry("b", &links("b"));
        assert_eq!(judged("https://a.example", &pages), Ok(2));
        assert_eq!(judged("https://b.example", &pages.replace("<loc>https://a.", "<loc>https://b.")), Ok(2));
        for (inner, words) in [
            (entry("b", &links("a")), "do not name itself"),
            (entry("a", &(links("a") + &links("a"))), "two alternates of de"),
            (entry("a", &(links("a") + &alternate("it", "/a"))), "the alternate \"/a\""),
            (entry("a", &(links("a") + "<lastmod>2026-01-31T12:00:00Z</lastmod>" + &links("a"))), "follow each other"),
            (entry("a", &(links("a") + "a")), "text where none may be"),
            (entry("a", &("a".to_owned() + &links("a"))), "text where none may be"),
            (entry("a", "").replace("</loc>", &(links("a") + "</loc>")), "text where none may be"),
            (format!("<url>{}</url>", links("a")), "does not begin with its address"),
            (entry("a", &format!("<image:image>{}</image:image>", links("a"))), "element xhtml:link"),
            (entry("a", "") + &links("a"), "element xhtml:link"),
            (entry("a", &links("a").replace("/a\"/>", "/a%e9\"/>")), "no UTF-8"),
            (entry("a", &links("a").replacen("/>", ">", 1)), "element xhtml:link"),
        ] {
            let refused = judged("https://a.example", &inner).expect_err(&inner);
            assert!(refused.contains(words), "{inner}: {refused}");
        }
        let more = links("a") + &alternate("it", "https://c.example/a");
        assert_eq!(judged("https://a.example", &entry("a", &more)), Ok(1));
        assert_eq!(judged("https://a.example", &entry("a", &links("a"))), Ok(1));
    }

    #[test]
    fn what_search_engines_refuse_or_pass_over_is_a_fault() {
        let own = "https://a.example/caf%C3%A9?a=1&amp;b=2";
        for (inner, words) in [
            (String::new(), "no address"),
            ("<url></url>".to_owned(), "an entry has no address"),
            ("<url><loc>/a</loc></url>".to_owned(), "/a"),
            (
                "<url><loc>https://a.example/café</loc></url>".to_owned(),
                "not canonical; https://a.example/caf%C3%A9 is",
            ),
            ("<url><loc>https://a.example/caf%c3%a9</loc></url>".to_owned(), "not canonical"),
            ("<url><loc>https://b.example/</loc></url>".to_owned(), "pages are at https://a.example"),
            (url("") + &url(""), "there twice"),
            (url("<lastmod>yesterday</lastmod>"), "lastmod"),
            (url("<lastmod>2026-01-31</lastmod>"), "lastmod"),
            (url(&alternate("en-UK", own)), "hreflang \"en-UK\": UK is no region"),
            (url(&alternate("en_US", own)), "underscore"),
            (url(&alternate("es-LATAM", own)), "area of many countries"),
            (url(&alternate("eng", own)), "three letters"),
            (url(&alternate("EN", own)), "\"EN\" is written en"),
            (url(&(alternate("de", own) + &alternate("de", own))), "two alternates of de"),
            (url(&alternate("fr", "https://b.example/")), "do not name itself"),
            (url(&alternate("de", "/a")), "the alternate \"/a\""),
            (url(&(alternate("de", own) + &alternate("fr", "https://b.example/%e9"))), "no UTF-8"),
            (
                url(&(alternate("de", own) + &alternate("fr", "https://b.example/%c3%a9"))),
                "https://b.example/%C3%A9 is",
            ),
            (url(&(alternate("de", own) + &alternate("fr", "https://b.example/a%25C3%25A9"))), "encoded twice"),
            (url(&alternate("x-default", own)), "do not name itself"),
            (url("<xhtml:link rel=\"alternate\" hreflang=\"de\" hreflang=\"fr\" href=\"/\"/>"), "hreflang twice"),
            (url("<xhtml:link rel=\"alternate\" href=\"/\"/>"), "lacks its hreflang"),
            (url("<xhtml:link rel=\"next\" hreflang=\"de\" href=\"/\"/>"), "no alternate"),
            (url("<image:image/>"), "not one address"),
            (url("<image:image><image:loc>/1.jpg</image:loc></image:image>"), "no absolute address"),
            (format!("<url>{}<loc>{own}</loc></url>", alternate("de", own)), "does not begin with its address"),
            (url("<lastmod>2026-01-31 12:00:00Z</lastmod>"), "lastmod"),
            (url("<x xmlns=\"http://x\"/>"), "the element x"),
            (url("<![CDATA[ ]]>"), "CDATA"),
            (url("\u{8}"), "'\\u{8}', which XML forbids"),
            (url("&#8;"), "entity"),
            (url("a & b"), "well-formed"),
            (url("]]>"), "]]>"),
            (url("<priority>1</priority>"), "the element priority"),
            (url("<!-- a -->"), "a part that none"),
            (url("text"), "text where none may be"),
            (url("&eacute;"), "entity"),
            ("<url>".to_owned(), "well-formed"),
        ] {
            let refused = judged(&inner).expect_err(&inner);
            assert!(refused.contains(words), "{inner}: {refused}");
        }
        let base = BaseUrl::parse("https://a.example").unwrap();
        let cut = judge_urlset(HEAD.as_bytes(), &base, &mut JudgedAlternates::default()).unwrap_err();
        assert!(cut.what.contains("ends before"), "{cut}");
        let latin = [HEAD.as_bytes(), b"<url><loc>https://a.example/\xe9"].concat();
        assert!(judge_urlset(latin.as_slice(), &base, &mut JudgedAlternates::default()).is_err());
    }
}
