//! What a site publishes: sitemaps and feeds, written as streams, and read again by a parser of its own before anybody
//! else reads them. Knows no store and no network.

mod gate;
mod index;
mod pack;
mod shard;
mod sitemap;
mod storage;
mod xml;

pub use self::{
    gate::{Fault, Judged, judge_urlset},
    index::{IndexEntry, judge_index, write_index},
    pack::{Label, Packed, Packer, unpacked},
    shard::{Made, make_sitemaps, sitemap_name},
    sitemap::{Alternates, BYTES_MAX, Full, Sitemap, SitemapUrl, URLS_MAX},
    storage::Storage,
    xml::{cleaned, escaped},
};
