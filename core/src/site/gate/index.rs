//! Indexes of sitemaps.

use std::io;

use super::{
    Fault,
    address::{Seen, judge_of_locale},
    elements::{Format, Values, What, out_of_place, read, root_values, values},
    items::once,
    times::rfc_3339_of,
};
use crate::{
    domain::site::permalink::BaseUrl,
    site::{index::SITEMAPS_MAX, sitemap::BYTES_MAX},
};

/// Reads an index of the sitemaps that are published below an address.
///
/// # Errors
/// The first thing in it that search engines would refuse or pass over.
pub(crate) fn judge_index(file: impl io::Read, public: &BaseUrl) -> Result<u32, Fault> {
    let mut index = Index { public, seen: Seen::default(), loc: None, lastmod: None, count: 0 };
    read(file, &mut index)?;
    match index.count {
        0 => Err(Fault { what: "it has no sitemap".to_owned(), at: String::new() }),
        urls => Ok(urls),
    }
}

struct Index<'a> {
    public: &'a BaseUrl,
    seen: Seen,
    loc: Option<String>,
    lastmod: Option<()>,
    count: u32,
}

impl Format for Index<'_> {
    const NAMESPACES: &'static [(&'static str, &'static str)] =
        &[("xmlns", "http://www.sitemaps.org/schemas/sitemap/0.9")];
    const BYTES_MAX: u64 = BYTES_MAX;

    fn open(&mut self, path: &str, attributes: Values<'_>) -> Result<(), What> {
        let [] = match path {
            "sitemapindex" => root_values(attributes, [])?,
            "sitemapindex/sitemap" => {
                (self.loc, self.lastmod) = (None, None);
                values(attributes, [])?
            }
            "sitemapindex/sitemap/loc" | "sitemapindex/sitemap/lastmod" => values(attributes, [])?,
            _ => return Err(out_of_place(path)),
        };
        Ok(())
    }

    fn close(&mut self, path: &str, text: &str) -> Result<(), What> {
        match path {
            "sitemapindex/sitemap/loc" => {
                once(&mut self.loc, "an address", text.to_owned())?;
                judge_of_locale(self.public, text)?;
                if self.seen.insert(text) { Ok(()) } else { Err("it is there twice".to_owned()) }
            }
            "sitemapindex/sitemap/lastmod" => {
                rfc_3339_of("lastmod", text)?;
                once(&mut self.lastmod, "lastmod", ())
            }
            _ if !text.trim_ascii().is_empty() => Err("there is text where none may be".to_owned()),
            "sitemapindex/sitemap" if self.loc.is_none() => Err("an entry has no address".to_owned()),
            "sitemapindex/sitemap" => {
                self.count += 1;
                match self.count > SITEMAPS_MAX {
                    true => Err(format!("it has more than {SITEMAPS_MAX} sitemaps")),
                    false => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn at(&self) -> &str {
        self.loc.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(inner: &str) -> Result<u32, String> {
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><sitemapindex xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">{inner}</sitemapindex>"
        );
        judge_index(text.as_bytes(), &BaseUrl::parse("https://a.example/sitemaps").unwrap())
            .map_err(|fault| fault.to_string())
    }

    #[test]
    fn an_index_that_leads_astray_is_refused() {
        let one =
            "<sitemap><loc>https://a.example/sitemaps/1.xml</loc><lastmod>2026-01-31T12:00:00Z</lastmod></sitemap>";
        assert_eq!(judged(one), Ok(1));
        let entry = |inner: &str| format!("<sitemap><loc>https://a.example/sitemaps/1.xml</loc>{inner}</sitemap>");
        for (inner, words) in [
            (String::new(), "no sitemap"),
            (one.repeat(2), "there twice"),
            ("<sitemap></sitemap>".to_owned(), "no address"),
            ("<sitemap><loc>/1.xml</loc></sitemap>".to_owned(), "not canonical"),
            ("<sitemap><loc>1.xml</loc></sitemap>".to_owned(), "begins with"),
            ("<sitemap><loc>https://a.example/1.xml</loc></sitemap>".to_owned(), "not below /sitemaps"),
            ("<sitemap><loc>https://b.example/1.xml</loc></sitemap>".to_owned(), "pages are at"),
            ("<sitemap><loc>https://a.example/sitemaps/%c3%a9.xml</loc></sitemap>".to_owned(), "not canonical"),
            (entry("<lastmod>2026-01-31</lastmod>"), "lastmod: \"2026-01-31\""),
            (entry("<loc>https://a.example/sitemaps/2.xml</loc>"), "an address twice"),
            (entry("<priority>1</priority>"), "the element priority"),
            ("<url/>".to_owned(), "the element url"),
            ("<sitemap a=\"1\"/>".to_owned(), "the attribute a"),
            (entry("text"), "text where none may be"),
        ] {
            let refused = judged(&inner).expect_err(&inner);
            assert!(refused.contains(words), "{inner}: {refused}");
        }
    }
}
