//! What a site publishes: sitemaps and feeds, written as streams, and read again by a parser of its own before anybody
//! else reads them. Knows no database, and no network but that to a bucket (`storage/`).

mod atom;
mod bounded;
mod diff;
mod doubles;
mod entries;
mod feed;
mod gate;
mod headers;
mod index;
mod json_feed;
mod latest;
mod lint;
mod made;
mod news;
mod pack;
mod robots;
mod rss;
mod shard;
mod sitemap;
mod storage;
mod versions;
mod xml;

pub use self::{
    atom::Atom,
    bounded::Full,
    diff::{Became, DiffLine, EntryDiff, FileDiff, LineDiff, SHOWN_MAX, diff},
    doubles::{Addresses, Double, take_doubles},
    feed::{Enclosure, FEED_BYTES_MAX, Feed, Guid, ITEMS_MAX, Image, Item},
    gate::Fault,
    headers::{CACHE_CONTROL, media_type},
    index::{IndexEntry, SITEMAPS_MAX, SitemapIndex, write_index},
    json_feed::JsonFeed,
    latest::{FEED_ITEMS, Latest, MadeLatest, PAGES_MAX},
    lint::{Newest, Partner, Refusal},
    made::{Gate, Made},
    news::{AHEAD_MAX, ARTICLES_MAX, Article, LeftOut, NEWS_FOR, NewsSitemap, Publication},
    pack::{Contents, Label, Packed, Packer, unpacked},
    robots::sitemap_lines,
    rss::Rss,
    shard::{ShardPages, sitemap_name},
    sitemap::{BYTES_MAX, Sitemap, SitemapUrl, URLS_MAX, push_alternates},
    storage::{BadBucket, BucketError, Does, Kept, Shelf, Storage, StorageError},
    versions::{Compared, Versions},
    xml::escaped,
};
