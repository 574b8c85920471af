//! The gate before publication: reads a produced file with a parser that is not its writer, and says what is wrong with it.

use std::{collections::HashSet, io::BufRead};

use quick_xml::{
    XmlVersion,
    events::{BytesStart, Event},
    name::ResolveResult,
    reader::NsReader,
};

use super::sitemap::{BYTES_MAX, URLS_MAX};
use crate::domain::{
    UnixMs,
    site::{
        language::LanguageTag,
        permalink::{BaseUrl, URL_CHARS_MAX},
    },
};

const SITEMAP: &[u8] = b"http://www.sitemaps.org/schemas/sitemap/0.9";
const XHTML: &[u8] = b"http://www.w3.org/1999/xhtml";
const IMAGE: &[u8] = b"http://www.google.com/schemas/sitemap-image/1.1";

/// What a good file has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    pub urls: u32,
    pub bytes: u64,
}

/// Why a file is not published, with the address at which it was noticed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}{}", if at.is_empty() { String::new() } else { format!(" (at {at})") })]
pub struct Fault {
    pub what: String,
    pub at: String,
}

/// One `<url>` as far as it is read.
#[derive(Default)]
struct Url {
    loc: Option<String>,
    languages: Vec<String>,
    hrefs: Vec<String>,
}

/// Reads a sitemap of a locale.
///
/// # Errors
/// The first thing in it that search engines would refuse or pass over.
pub fn judge_urlset(file: impl BufRead, base: &BaseUrl) -> Result<Judged, Fault> {
    let mut judge = Judge { base, seen: HashSet::new(), judged: Judged::default(), url: Url::default() };
    judge.read(NsReader::from_reader(file))
}

struct Judge<'a> {
    base: &'a BaseUrl,
    /// Hashes of addresses would do; the addresses themselves are exact, and a file has 50,000 at most.
    seen: HashSet<String>,
    judged: Judged,
    url: Url,
}

impl Judge<'_> {
    fn read<R: BufRead>(&mut self, mut reader: NsReader<R>) -> Result<Judged, Fault> {
        let (mut buffer, mut path, mut text) = (Vec::new(), Vec::new(), String::new());
        loop {
            let event = reader.read_resolved_event_into(&mut buffer);
            let (namespace, event) =
                event.map_err(|error| self.fault(format_args!("it is no well-formed XML: {error}")))?;
            match event {
                Event::Start(start) => {
                    self.judge_between(&text)?;
                    text.clear();
                    path.push(self.name(&namespace, &start)?);
                    self.open(&path, &start)?;
                }
                Event::Empty(start) => {
                    self.judge_between(&text)?;
                    path.push(self.name(&namespace, &start)?);
                    self.open(&path, &start)?;
                    path.pop();
                }
                Event::Text(part) => {
                    let part =
                        part.decode().map_err(|error| self.fault(format_args!("its text is no UTF-8: {error}")))?;
                    text.push_str(&part);
                }
                Event::GeneralRef(reference) => {
                    let name = reference.decode().map_err(|error| self.fault(error))?;
                    match quick_xml::escape::resolve_predefined_entity(&name) {
                        Some(char) => text.push_str(char),
                        None => {
                            return Err(self.fault(format_args!("it has the entity &{name}; which XML does not know")));
                        }
                    }
                }
                Event::End(_) => {
                    self.close(&path, text.trim())?;
                    text.clear();
                    path.pop();
                }
                Event::DocType(_) | Event::CData(_) | Event::PI(_) | Event::Comment(_) => {
                    return Err(self.fault("it has a part that no sitemap of ours has"));
                }
                Event::Decl(_) => {}
                Event::Eof => break,
            }
            buffer.clear();
        }
        self.judged.bytes = reader.buffer_position();
        if !path.is_empty() {
            return Err(self.fault("it ends before its last element does"));
        }
        match (self.judged.bytes, self.judged.urls) {
            (bytes, _) if bytes > BYTES_MAX => {
                Err(self.fault(format_args!("it has {bytes} bytes; it may have {BYTES_MAX}")))
            }
            (_, urls) if urls > URLS_MAX => {
                Err(self.fault(format_args!("it has {urls} addresses; it may have {URLS_MAX}")))
            }
            (_, 0) => Err(self.fault("it has no address")),
            _ => Ok(self.judged),
        }
    }

    fn name(&self, namespace: &ResolveResult<'_>, start: &BytesStart<'_>) -> Result<Element, Fault> {
        let ResolveResult::Bound(namespace) = namespace else {
            return Err(self.fault("it has an element without a namespace"));
        };
        let local = start.local_name();
        Ok(match (namespace.as_ref(), local.as_ref()) {
            (SITEMAP, b"urlset") => Element::Urlset,
            (SITEMAP, b"url") => Element::Url,
            (SITEMAP, b"loc") => Element::Loc,
            (SITEMAP, b"lastmod") => Element::Lastmod,
            (XHTML, b"link") => Element::Link,
            (IMAGE, b"image") => Element::Image,
            (IMAGE, b"loc") => Element::ImageLoc,
            _ => {
                return Err(
                    self.fault(format_args!("it has the element {}", String::from_utf8_lossy(start.name().as_ref())))
                );
            }
        })
    }

    fn open(&mut self, path: &[Element], start: &BytesStart<'_>) -> Result<(), Fault> {
        use Element::{Image, ImageLoc, Lastmod, Link, Loc, Url, Urlset};
        match path {
            [Urlset] | [Urlset, Url, Loc | Lastmod | Image] | [Urlset, Url, Image, ImageLoc] => Ok(()),
            [Urlset, Url] => {
                self.url = self::Url::default();
                Ok(())
            }
            [Urlset, Url, Link] => self.link(start),
            _ => Err(self.fault("an element is where none like it may be")),
        }
    }

    fn link(&mut self, start: &BytesStart<'_>) -> Result<(), Fault> {
        let value = |name: &str| {
            let attribute = start.try_get_attribute(name).ok().flatten();
            attribute
                .and_then(|attribute| attribute.normalized_value(XmlVersion::Implicit1_0).ok())
                .map(|value| value.into_owned())
        };
        let (Some(tag), Some(href)) = (value("hreflang"), value("href")) else {
            return Err(self.fault("an alternate lacks its hreflang or href"));
        };
        if value("rel").as_deref() != Some("alternate") {
            return Err(self.fault("a link is no alternate"));
        }
        if tag != "x-default" && tag.parse::<LanguageTag>().map_or(true, |known| known.as_str() != tag) {
            return Err(self.fault(format_args!("hreflang {tag:?} is none that search engines know")));
        }
        if self.url.languages.contains(&tag) {
            return Err(self.fault(format_args!("it has two alternates of {tag}")));
        }
        self.judge_address(&href)?;
        self.url.languages.push(tag);
        self.url.hrefs.push(href);
        Ok(())
    }

    fn close(&mut self, path: &[Element], text: &str) -> Result<(), Fault> {
        use Element::{Image, ImageLoc, Lastmod, Loc, Url, Urlset};
        match path {
            [Urlset, Url, Loc] => {
                let canonical =
                    self.base.permalink(text).map_err(|error| self.fault(format_args!("{text}: {error}")))?;
                if canonical.as_str() != text {
                    return Err(self.fault(format_args!("{text} is not canonical; {canonical} is")));
                }
                if self.url.loc.replace(text.to_owned()).is_some() {
                    return Err(self.fault("an entry has two addresses"));
                }
                Ok(())
            }
            [Urlset, Url, Lastmod] => {
                UnixMs::parse(text).map_err(|error| self.fault(format_args!("lastmod: {error}")))?;
                Ok(())
            }
            [Urlset, Url, Image, ImageLoc] => self.judge_address(text),
            _ => {
                self.judge_between(text)?;
                if path == [Urlset, Url] { self.close_url() } else { Ok(()) }
            }
        }
    }

    /// What stands between elements.
    fn judge_between(&self, text: &str) -> Result<(), Fault> {
        if text.trim().is_empty() { Ok(()) } else { Err(self.fault("there is text where none may be")) }
    }

    fn close_url(&mut self) -> Result<(), Fault> {
        let url = std::mem::take(&mut self.url);
        let Some(loc) = url.loc else { return Err(self.fault("an entry has no address")) };
        if !url.hrefs.is_empty() && !url.hrefs.contains(&loc) {
            return Err(Fault { what: "its alternates do not name itself".to_owned(), at: loc });
        }
        self.judged.urls += 1;
        match self.seen.replace(loc) {
            None => Ok(()),
            Some(loc) => Err(Fault { what: "it is there twice".to_owned(), at: loc }),
        }
    }

    /// An address that may be of another locale's host: absolute, of characters that stand in addresses, not too long.
    fn judge_address(&self, url: &str) -> Result<(), Fault> {
        let absolute = url.starts_with("https://") || url.starts_with("http://");
        let plain = url.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&byte));
        match absolute && plain && url.len() <= URL_CHARS_MAX {
            true => Ok(()),
            false => Err(self.fault(format_args!("{url:?} is no canonical address"))),
        }
    }

    fn fault(&self, what: impl std::fmt::Display) -> Fault {
        Fault { what: what.to_string(), at: self.url.loc.clone().unwrap_or_default() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    Urlset,
    Url,
    Loc,
    Lastmod,
    Link,
    Image,
    ImageLoc,
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
            (url(&alternate("en-UK", own)), "en-UK"),
            (url(&alternate("EN", own)), "EN"),
            (url(&(alternate("de", own) + &alternate("de", own))), "two alternates of de"),
            (url(&alternate("fr", "https://b.example/")), "do not name itself"),
            (url(&alternate("de", "/a")), "no canonical address"),
            (url("<priority>1</priority>"), "the element priority"),
            (url("<!-- a -->"), "a part that no sitemap"),
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
