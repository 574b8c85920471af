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
    doubles::{Double, take_doubles},
    feed::{Enclosure, FEED_BYTES_MAX, Feed, Guid, ITEMS_MAX, Image, Item},
    gate::{Fault, Judged, judge_atom, judge_index, judge_json_feed, judge_news, judge_rss, judge_urlset},
    headers::{CACHE_CONTROL, media_type},
    index::{IndexEntry, SITEMAPS_MAX, SitemapIndex, write_index},
    json_feed::JsonFeed,
    latest::{FEED_ITEMS, Latest, MadeLatest, PAGES_MAX},
    lint::{Newest, Partner, Refusal},
    made::Made,
    news::{AHEAD_MAX, ARTICLES_MAX, Article, LeftOut, NEWS_FOR, NewsSitemap, Publication},
    pack::{Contents, Label, Packed, Packer, unpacked},
    robots::sitemap_lines,
    rss::Rss,
    shard::{make_sitemaps, sitemap_name},
    sitemap::{Alternates, BYTES_MAX, Sitemap, SitemapUrl, URLS_MAX},
    storage::{BadBucket, BucketError, Does, Kept, Shelf, Storage, StorageError},
    versions::{Compared, Versions},
    xml::escaped,
};
