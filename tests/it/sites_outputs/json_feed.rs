//! JSON feeds of a site by the words of their format, item by item.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{Handed, Public, judge_id, locale_of, of_feed, seen, title_of};
use crate::harness::SeenItem;

/// JSON Feed 1.1 by its own words: what an object must have, what it may have, and nothing else.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonFeed {
    version: String,
    title: String,
    description: Option<String>,
    home_page_url: String,
    feed_url: String,
    language: Option<String>,
    #[serde(default)]
    authors: Vec<JsonAuthor>,
    #[serde(default)]
    hubs: Vec<Value>,
    items: Vec<JsonItem>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonAuthor {
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonItem {
    id: String,
    url: String,
    title: String,
    content_html: Option<String>,
    content_text: Option<String>,
    summary: Option<String>,
    image: Option<String>,
    date_published: Timestamp,
    date_modified: Timestamp,
    language: Option<String>,
    #[serde(default)]
    authors: Vec<JsonAuthor>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    attachments: Vec<JsonAttachment>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonAttachment {
    url: String,
    mime_type: String,
    size_in_bytes: u64,
}

pub(super) fn judge(file: &Public, pages: &[Handed]) {
    let (tag, base, name, _) = locale_of(file);
    assert_eq!(file.content_type, "application/feed+json; charset=utf-8");
    let feed: JsonFeed = serde_json::from_slice(&file.body).unwrap();
    assert_eq!(feed.version, "https://jsonfeed.org/version/1.1");
    assert_eq!((feed.title, feed.home_page_url), (title_of(file), format!("{base}/")));
    assert_eq!((feed.feed_url, feed.language.as_deref()), (format!("{base}/{}", file.name), Some(tag)));
    assert!(feed.description.is_some_and(|text| !text.is_empty()) && feed.hubs.is_empty());
    assert_eq!(feed.authors.first().map(|author| author.name.as_str()), Some(name));
    let pages = of_feed(file, pages);
    assert_eq!(feed.items.len(), pages.len());
    for (item, page) in feed.items.into_iter().zip(pages) {
        judge_id(&item.id, page, tag);
        assert!(item.date_modified >= item.date_published && item.content_text.is_none());
        assert_eq!(item.language.as_deref(), Some(tag));
        for JsonAttachment { url, mime_type, size_in_bytes } in item.attachments {
            let handed = (format!("https://files.example/{}.mp3?a&b", page.at), 1_000 + page.at as u64);
            assert_eq!(((url, size_in_bytes), mime_type.as_str()), (handed, "audio/mpeg"));
        }
        let read = SeenItem {
            id: String::new(),
            is_address: None,
            link: item.url,
            title: item.title,
            published: item.date_published.as_second(),
            summary: item.summary,
            content: item.content_html,
            author: item.authors.into_iter().next().map(|author| author.name),
            section: item.tags.into_iter().next(),
            image: item.image,
            enclosures: Vec::new(),
        };
        assert_eq!(read, seen(file, page));
    }
}
