//! PLACEHOLDER until formats lands.
use std::io::{self, BufRead, Write};

use super::{
    gate::Fault,
    pack::{Packed, Packer},
    xml::escaped,
};
use crate::domain::{UnixMs, site::permalink::BaseUrl};

/// One sitemap in an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    pub loc: String,
    pub changed_at: UnixMs,
}

pub fn write_index(entries: &[IndexEntry]) -> io::Result<Packed> {
    let mut out = Packer::default();
    out.write_all(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<sitemapindex xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n")?;
    for one in entries {
        let line = format!(
            "<sitemap>\n<loc>{}</loc>\n<lastmod>{}</lastmod>\n</sitemap>\n",
            escaped(&one.loc),
            one.changed_at.in_seconds()
        );
        out.write_all(line.as_bytes())?;
    }
    out.write_all(b"</sitemapindex>\n")?;
    out.end()
}

pub fn judge_index(mut file: impl BufRead, _: &BaseUrl) -> Result<(), Fault> {
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(|error| Fault { what: error.to_string(), at: String::new() })?;
    Ok(())
}
