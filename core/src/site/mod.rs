//! What a site publishes: sitemaps and feeds, written as streams, and read again by a parser of its own before anybody
//! else reads them. Knows no store and no network.

mod gate;
mod sitemap;
mod xml;

pub use self::{
    gate::{Fault, Judged, judge_urlset},
    sitemap::{Alternates, BYTES_MAX, Full, Sitemap, SitemapUrl, URLS_MAX},
    xml::{cleaned, escaped},
};
