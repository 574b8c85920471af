//! Sitemaps of a locale: addresses in their canonical form, each named by its own alternates, and none twice.

use std::io::BufRead;

use super::{
    Fault, Judged,
    address::{Seen, judge_absolute, judge_of_locale},
    elements::{Format, Values, What, out_of_place, read, root_values, values},
    times::rfc_3339_of,
};
use crate::{
    domain::site::{
        language::LanguageTag,
        permalink::{BaseUrl, Permalink, URL_CHARS_MAX},
        scan::{is_canonical_rest, is_certainly_canonical},
    },
    site::sitemap::{BYTES_MAX, URLS_MAX},
};

const X_DEFAULT: &str = "x-default";

/// Reads a sitemap of a locale.
///
/// # Errors
/// The first thing in it that search engines would refuse or pass over.
pub fn judge_urlset(file: impl BufRead, base: &BaseUrl) -> Result<Judged, Fault> {
    let mut urlset =
        Urlset { base, seen: Seen::default(), languages: Languages::default(), url: Url::default(), urls: 0 };
    let bytes = read(file, &mut urlset)?;
    match urlset.urls {
        0 => Err(Fault { what: "it has no address".to_owned(), at: String::new() }),
        urls => Ok(Judged { urls, bytes }),
    }
}

struct Urlset<'a> {
    base: &'a BaseUrl,
    seen: Seen,
    languages: Languages,
    url: Url,
    urls: u32,
}

/// One `<url>` as far as it is read.
#[derive(Default)]
struct Url {
    loc: String,
    has_lastmod: bool,
    has_alternates: bool,
    names_itself: bool,
    image_locs: u32,
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

    fn at(&self) -> &str {
        &self.url.loc
    }
}

impl Url {
    fn restart(&mut self) {
        self.loc.clear();
        let loc = std::mem::take(&mut self.loc);
        *self = Self { loc, ..Self::default() };
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
        self.url.has_alternates = true;
        if let Some((known, rest)) = self.languages.expected(attributes.raw)? {
            self.url.names_itself |= !known.is_default && known.is_at(rest, &self.url.loc);
            return Ok(());
        }
        let raw = attributes.raw;
        let [Some(rel), Some(tag), Some(href)] = values(attributes, ["rel", "hreflang", "href"])? else {
            return Err("an alternate lacks its hreflang or href".to_owned());
        };
        if rel.plain() != Some(b"alternate") {
            return Err("a link is no alternate".to_owned());
        }
        let known = self.languages.find(&tag.text()?)?;
        let href = href.text()?;
        known.judge(&href, raw)?;
        self.url.names_itself |= !known.is_default && *href == *self.url.loc;
        Ok(())
    }

    fn end(&mut self) -> Result<(), What> {
        if self.url.loc.is_empty() {
            return Err("an entry has no address".to_owned());
        }
        if self.url.has_alternates && !self.url.names_itself {
            return Err("its alternates do not name itself".to_owned());
        }
        self.urls += 1;
        match self.urls > URLS_MAX {
            true => Err(format!("it has more than {URLS_MAX} addresses")),
            false => Ok(()),
        }
    }
}

/// The languages of the file. Nearly every entry has the same ones in the same order, each at its own host: what is written
/// the same as before, up to that host, is parsed once, and only what stands behind it is looked at again.
#[derive(Debug, Default)]
struct Languages {
    known: Vec<Known>,
    next: usize,
    entry: u32,
}

#[derive(Debug)]
struct Known {
    tag: String,
    is_default: bool,
    origin: String,
    /// All that is written up to the end of the origin; empty where the address is not the last that is.
    before: Vec<u8>,
    /// The entry that it was last seen in.
    entry: u32,
}

impl Languages {
    fn restart(&mut self) {
        (self.next, self.entry) = (0, self.entry + 1);
    }

    /// The language that comes next, with what stands behind its origin, where that is written as ever and canonical.
    fn expected<'a>(&mut self, raw: &'a [u8]) -> Result<Option<(&Known, &'a [u8])>, What> {
        let Some(known) = self.known.get_mut(self.next).filter(|known| !known.before.is_empty()) else {
            return Ok(None);
        };
        let rest = raw.strip_prefix(known.before.as_slice()).and_then(|rest| rest.strip_suffix(b"\""));
        let fits = |rest: &&[u8]| {
            let plain = rest.starts_with(b"/") && !rest.contains(&b'&');
            plain && known.origin.len() + rest.len() <= URL_CHARS_MAX && is_canonical_rest(rest)
        };
        let Some(rest) = rest.filter(fits) else { return Ok(None) };
        self.next += 1;
        known.appear(self.entry)?;
        Ok(Some((known, rest)))
    }

    /// The language of a tag that this entry has not had.
    fn find(&mut self, tag: &str) -> Result<&mut Known, What> {
        let place = match self.known.iter().position(|known| known.tag == tag) {
            Some(place) => place,
            None => self.learn(tag)?,
        };
        self.next = place + 1;
        self.known[place].appear(self.entry)?;
        Ok(&mut self.known[place])
    }

    fn learn(&mut self, tag: &str) -> Result<usize, What> {
        let is_default = tag == X_DEFAULT;
        if !is_default {
            let parsed: LanguageTag = tag.parse().map_err(|error| format!("hreflang {tag:?}: {error}"))?;
            if parsed.as_str() != tag {
                return Err(format!("hreflang {tag:?} is written {parsed}"));
            }
        }
        let tag = tag.to_owned();
        self.known.push(Known { tag, is_default, origin: String::new(), before: Vec::new(), entry: 0 });
        Ok(self.known.len() - 1)
    }
}

impl Known {
    fn appear(&mut self, entry: u32) -> Result<(), What> {
        match std::mem::replace(&mut self.entry, entry) == entry {
            true => Err(format!("it has two alternates of {}", self.tag)),
            false => Ok(()),
        }
    }

    fn is_at(&self, rest: &[u8], url: &str) -> bool {
        url.len() == self.origin.len() + rest.len() && url.as_bytes().ends_with(rest) && url.starts_with(&self.origin)
    }

    fn judge(&mut self, href: &str, raw: &[u8]) -> Result<(), What> {
        if !is_certainly_canonical(&self.origin, "", href.as_bytes()) || self.origin.is_empty() {
            let link = Permalink::parse(href).map_err(|error| format!("the alternate {href:?}: {error}"))?;
            if link.as_str() != href {
                return Err(format!("the alternate {href:?} is not canonical; {link} is"));
            }
            link.split().0.clone_into(&mut self.origin);
        }
        self.before.clear();
        let before = raw.strip_suffix(b"\"").and_then(|raw| raw.strip_suffix(href.as_bytes()));
        if let Some(before) = before {
            self.before.extend_from_slice(before);
            self.before.extend_from_slice(self.origin.as_bytes());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\" \
        xmlns:xhtml=\"http://www.w3.org/1999/xhtml\" xmlns:image=\"http://www.google.com/schemas/sitemap-image/1.1\">";

    fn judged(inner: &str) -> Result<Judged, String> {
        let base = BaseUrl::parse("https://a.example").unwrap();
        judge_urlset(format!("{HEAD}{inner}</urlset>").as_bytes(), &base).map_err(|fault| fault.to_string())
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
        assert_eq!((all.urls, all.bytes), (1, (HEAD.len() + good.len() + "</urlset>".len()) as u64));
    }

    #[test]
    fn a_later_entry_is_judged_as_the_first_is() {
        let entry = |path: &str, links: &str| format!("<url><loc>https://a.example/{path}</loc>{links}</url>");
        let link = |path: &str| alternate("de", &format!("https://a.example/{path}"));
        let other = |path: &str| alternate("fr", &format!("https://b.example/{path}"));
        let first = entry("a", &(link("a") + &other("a")));
        assert_eq!(judged(&(first.clone() + &entry("b", &(link("b") + &other("b"))))).map(|judged| judged.urls), Ok(2));
        let query = entry("b?c=1&amp;d=2", &(link("b?c=1&amp;d=2") + &other("%D0%B1")));
        assert_eq!(judged(&(first.clone() + &query + &entry("c", &link("c")))).map(|judged| judged.urls), Ok(3));
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
        let cut = judge_urlset(HEAD.as_bytes(), &base).unwrap_err();
        assert!(cut.what.contains("ends before"), "{cut}");
        let latin = judge_urlset([HEAD.as_bytes(), b"<url><loc>https://a.example/\xe9"].concat().as_slice(), &base);
        assert!(latin.is_err());
    }
}
