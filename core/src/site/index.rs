//! Indexes of sitemaps (sitemaps.org, protocol 0.9).

use std::io::{self, Write};

use super::{
    bounded::{Bounded, Bounds, Full},
    pack::{Packed, Packer},
    sitemap::BYTES_MAX,
    xml::push_element,
};
use crate::domain::{UnixMs, site::permalink::Permalink};

/// Sitemaps that one index names.
pub const SITEMAPS_MAX: u32 = 50_000;
const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<sitemapindex xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n";
const FOOT: &str = "</sitemapindex>\n";

/// An index that is being written.
#[derive(Debug)]
pub struct SitemapIndex<W> {
    file: Bounded<W>,
    /// One entry, used again.
    one: String,
}

impl<W: Write> SitemapIndex<W> {
    /// # Errors
    /// When it cannot be written.
    pub fn begin(out: W) -> io::Result<Self> {
        let bounds = Bounds { entries_max: SITEMAPS_MAX, bytes_max: BYTES_MAX };
        Ok(Self { file: Bounded::begin(out, bounds, HEAD, FOOT)?, one: String::new() })
    }

    /// Adds a sitemap with the time at which what is in it changed last, or nothing where the index is full.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn push(&mut self, loc: &Permalink, changed_at: Option<UnixMs>) -> io::Result<Result<(), Full>> {
        self.one.clear();
        self.one.push_str("<sitemap>\n");
        push_element(&mut self.one, "loc", loc.as_str());
        if let Some(at) = changed_at {
            push_element(&mut self.one, "lastmod", &at.in_seconds());
        }
        self.one.push_str("</sitemap>\n");
        self.file.push(&self.one)
    }

    /// What it was written to, and how many bytes it has.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn end(self) -> io::Result<(W, u64)> {
        self.file.end()
    }
}

/// One sitemap in an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    pub loc: String,
    pub changed_at: UnixMs,
}

/// The whole index of these sitemaps, compressed.
///
/// # Errors
/// When it cannot be written, an address is none, or there are more of them than an index takes.
pub fn write_index(entries: &[IndexEntry]) -> io::Result<Packed> {
    let mut index = SitemapIndex::begin(Packer::default())?;
    for entry in entries {
        let loc = Permalink::parse(&entry.loc).map_err(io::Error::other)?;
        let full = |Full| io::Error::other(format!("an index takes {SITEMAPS_MAX} sitemaps"));
        index.push(&loc, Some(entry.changed_at))?.map_err(full)?;
    }
    index.end()?.0.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_names_each_sitemap_and_its_last_change() {
        let link = |path: &str| Permalink::parse(&format!("https://a.example{path}")).unwrap();
        let mut index = SitemapIndex::begin(Vec::new()).unwrap();
        index.push(&link("/2026-01.xml.gz"), Some(UnixMs(1_700_000_000_999))).unwrap().unwrap();
        index.push(&link("/?a&b"), None).unwrap().unwrap();
        let (text, bytes) = index.end().unwrap();
        let expected = format!(
            "{HEAD}<sitemap>
<loc>https://a.example/2026-01.xml.gz</loc>
<lastmod>2023-11-14T22:13:20Z</lastmod>
</sitemap>
<sitemap>
<loc>https://a.example/?a&amp;b</loc>
</sitemap>
{FOOT}"
        );
        assert_eq!((String::from_utf8(text).unwrap(), bytes), (expected.clone(), expected.len() as u64));
    }

    #[test]
    fn an_index_is_full_at_its_limit() {
        let link = Permalink::parse("https://a.example/a.xml").unwrap();
        let mut index = SitemapIndex::begin(io::sink()).unwrap();
        for _ in 0..SITEMAPS_MAX {
            index.push(&link, None).unwrap().unwrap();
        }
        assert_eq!(index.push(&link, None).unwrap(), Err(Full));
    }
}
